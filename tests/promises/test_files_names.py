"""Files with two columns of one name, or of names that SQL takes for one: read as any other."""

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from public_shapes import STRATEGIES, check_told, refusal, shuffle

import dbshuf

ROWS = 40
FIELDS = [
    pa.field("a", pa.int64(), nullable=False, metadata={"PARQUET:field_id": "7", "unit": "m"}),
    pa.field("a", pa.dictionary(pa.int32(), pa.string()), metadata={"PARQUET:field_id": "9"}),
    pa.field("a", pa.dictionary(pa.int8(), pa.string())),
    pa.field("a_1", pa.string()),
    pa.field("A", pa.large_string()),
    pa.field("pair", pa.struct([pa.field("x", pa.int8()), pa.field("x", pa.string())])),
]


def twins() -> pa.Table:
    """A table with every trait of columns, and three of its columns are `a`."""
    numbers = range(ROWS)
    texts = [None if n % 5 == 0 else str(n) for n in numbers]
    parts = [pa.array(numbers, pa.int8()), pa.array(texts)]
    columns = [
        pa.array(numbers),
        pa.array([str(n % 7) for n in numbers]).dictionary_encode(),
        pa.array([f"c{n % 3}" for n in numbers]).dictionary_encode().cast(FIELDS[2].type),
        pa.array([f"one {n}" for n in numbers]),
        pa.array(texts, pa.large_string()),
        pa.StructArray.from_arrays(parts, fields=list(FIELDS[5].type)),
    ]
    return pa.table(columns, schema=pa.schema(FIELDS, metadata={"made by": "me"}))


def written(path, table):
    """Write a table as the kind of file that its name says."""
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=15)
    else:
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table, 15)
    return path


def table_of(path):
    if path.suffix == ".parquet":
        return pq.ParquetFile(path).read()
    return pa.ipc.open_file(path).read_all()


def rows_of(table):
    """Rows as tuples: a row with two values of one name is no dict."""
    columns = [
        zip(*(part.to_pylist() for part in column.combine_chunks().flatten()), strict=True)
        if pa.types.is_struct(column.type)
        else column.to_pylist()
        for column in table.columns
    ]
    return Counter(zip(*columns, strict=True))


def check_kept(out, table):
    found = table_of(out)
    for one, other in zip(found.schema, table.schema, strict=True):
        assert one.equals(other, check_metadata=True), (one, other, one.metadata)
    assert found.schema.metadata[b"made by"] == b"me"
    assert not any(key.startswith(b"dbshuf.") for one in found.schema for key in one.metadata or ())
    assert rows_of(found) == rows_of(table)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize(
    "how", [*({"strategy": one} for one in STRATEGIES), {"engine": "sqlite"}, {"where": "a_0 >= 0"}]
)
def test_columns_of_one_name_leave_as_they_came(kind, how, tmp_path):
    """Values, order of columns, nullability, field ids, metadata, dictionaries of each."""
    table = twins()
    if how.get("strategy") == "spill":  # which cannot carry a struct of this kind
        table = table.drop_columns("pair")
    if kind == "parquet":  # pyarrow itself notes ids on fields that had none
        source = written(tmp_path / "in.parquet", table)
        table = table_of(source)
    else:
        source = written(tmp_path / "in.arrow", table)
    out = shuffle(source, tmp_path / f"out.{kind}", **how)
    check_kept(out, table)
    assert sum(rows_of(table_of(out)).values()) == ROWS


def test_csv_has_both_names_in_its_header(cli, corpus, home):
    """As pyarrow's CSV writer does, and read again."""
    corpus("in.csv", b"a,b,a,A\n1,2,3,4\n5,6,7,8\n")
    assert cli("shuffle", "in.csv", "--from", "csv", "-o", "out.csv").code == 0
    head, *rows = (home / "out.csv").read_text().splitlines()
    assert head == "a,b,a,A"
    assert sorted(rows) == ["1,2,3,4", "5,6,7,8"]
    assert cli("verify", "in.csv", "out.csv", "--from", "csv").code == 0


def test_json_lines_name_the_column_and_the_way_out(cli, home):
    """An object with two members of one name is another value to each reader."""
    written(home / "in.parquet", twins().select([0, 1, 3]))
    ran = cli("shuffle", "in.parquet", "-o", "out.jsonl")
    check_told(ran, "two columns `a`", "--select '*'", "a_0, a_2", codes=[22])
    ran = cli("shuffle", "in.parquet", "--format", "jsonl", "--select", "*", "--take", 1)
    assert ran.code == 0, ran.err
    assert ran.out.startswith(b'{"a_0":'), ran.out


@pytest.mark.parametrize(
    ("sql", "value"),
    [("a_0", 3), ("a_2", "3"), ("a_1", "one 3"), ('"A_4"', "3"), ("a_3", "c0")],
)
def test_sql_numbers_columns_of_one_name(sql, value, cli, home):
    """Numbers that make the name of another column are left out."""
    written(home / "in.parquet", twins().drop_columns("pair"))
    ran = cli(
        "query", "in.parquet", f"select {sql} as it from lines where a_0 = 3", "-o", "o.arrow"
    )
    assert ran.code == 0, ran.err
    assert table_of(home / "o.arrow").to_pylist() == [{"it": value}]


@pytest.mark.parametrize("name", ["a", "A"])
@pytest.mark.parametrize("option", ["--where", "--select", "--split-by"])
def test_a_name_of_several_columns_is_refused_only_where_it_is_used(name, option, cli, home):
    """Nobody gets the first of them in silence; the hint has the names that there are."""
    written(home / "in.parquet", pa.table([[1, 2], ["x", "y"]], names=["A", "a"]))
    split = ["--split", "x=0.5,y=0.5"] if option == "--split-by" else []
    wanted = f"{name} is not null" if option == "--where" else name
    check_told(
        cli("shuffle", "in.parquet", "-o", "out.parquet", *split, option, wanted),
        "A_0, a_1",
        codes=[19],
    )
    assert cli("shuffle", "in.parquet", "-o", "out.arrow", "--where", "a_1 = 'y'").code == 0
    assert table_of(home / "out.arrow").to_pydict() == {"A": [2], "a": ["y"]}


@pytest.mark.parametrize("store", ["kept.duckdb", "kept.sqlite"])
def test_a_store_gives_columns_of_one_name_back(store, cli, home):
    """What `shuffle` of the same input writes, byte for byte."""
    written(home / "in.parquet", twins().drop_columns("pair"))
    assert cli("ingest", store, "in.parquet").code == 0
    assert cli("shuffle", "in.parquet", "-o", "one.parquet", "--seed", 1).code == 0
    assert cli("export", store, "-o", "two.parquet", "--seed", 1).code == 0
    assert (home / "one.parquet").read_bytes() == (home / "two.parquet").read_bytes()


def test_a_union_joins_by_names_so_that_each_must_be_of_one_column(tmp_path):
    """Columns that differ in case alone are two names; in a store they are one."""
    pair = pa.table([[1], [2]], names=["a", "a"])
    first, second = (written(tmp_path / f"{n}.parquet", pair) for n in "12")
    error = refusal([first, second], tmp_path / "out.parquet", schema="union")
    assert "several columns `a`" in error.message
    cased = pa.table([[1], [2]], names=["A", "a"])
    first, second = (written(tmp_path / f"{n}.parquet", cased) for n in "34")
    out = shuffle([first, second], tmp_path / "out.parquet", schema="union")
    assert table_of(out).to_pydict() == {"A": [1, 1], "a": [2, 2]}
    with pytest.raises(dbshuf.DbshufError, match="joins columns by their names"):
        dbshuf.ingest(tmp_path / "kept.duckdb", [first], schema="union", memory="4GB")
    assert not (tmp_path / "kept.duckdb").exists()


def test_structs_without_fields_keep_which_are_null(tmp_path):
    """Arrow has them, as pandas and DuckDB write `{}`; pyarrow makes none of no parts."""
    kind = pa.struct([])
    deep = pa.struct([pa.field("e", kind, nullable=False)])
    table = pa.table({"n": range(9), "e": pa.array([{}, None, {}] * 3, kind)})
    table = table.append_column("deep", pa.array([{"e": {}}, None, {"e": {}}] * 3, deep))
    source = written(tmp_path / "in.arrow", table)
    for strategy in ("memory", "partition"):
        out = shuffle(source, tmp_path / f"{strategy}.arrow", strategy=strategy)
        found = table_of(out)
        assert found.schema.equals(table.schema)
        assert found.sort_by("n").to_pylist() == table.to_pylist()
