"""Parquet as it is found: the schema, the metadata and every value leave as they came."""

import datetime
import decimal
import json
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from public_shapes import (
    ALPHABETS,
    STRATEGIES,
    check_told,
    multiset,
    parquet,
    rows_of,
    schema_of,
    shuffle,
)

from dbshuf.errors import StrategyUnfit

DAY = datetime.datetime(2024, 2, 29, 12, 30, 1, 123456, tzinfo=datetime.UTC)
D = decimal.Decimal
COLUMNS = {
    "int8": (pa.int8(), [-128, None, 127]),
    "int16": (pa.int16(), [-(2**15), None, 1]),
    "uint8": (pa.uint8(), [0, None, 255]),
    "uint16": (pa.uint16(), [0, None, 2**16 - 1]),
    "uint32": (pa.uint32(), [0, None, 2**32 - 1]),
    "uint64": (pa.uint64(), [0, None, 2**64 - 1]),
    "half": (pa.float16(), [0.5, None, -2.0]),
    "float": (pa.float32(), [0.5, None, -0.0]),
    "large_string": (pa.large_string(), ["", None, "é"]),
    "string_view": (pa.string_view(), ["", None, "longer than twelve bytes"]),
    "binary_view": (pa.binary_view(), [b"", None, b"\xff longer than twelve bytes"]),
    "large_binary": (pa.large_binary(), [b"", None, b"\xff"]),
    "fixed_binary": (pa.binary(3), [b"abc", None, b"\0\0\0"]),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), ["a", None, "b"]),
    "date32": (pa.date32(), [datetime.date(1, 1, 1), None, datetime.date(9999, 12, 31)]),
    "time32": (pa.time32("ms"), [datetime.time(0, 0), None, datetime.time(23, 59, 59)]),
    "time64": (pa.time64("us"), [datetime.time(0, 0), None, datetime.time(23, 59, 59, 9)]),
    "naive_ms": (pa.timestamp("ms"), [datetime.datetime(1969, 1, 1), None, None]),
    "naive_ns": (pa.timestamp("ns"), [datetime.datetime(2024, 1, 1), None, None]),
    "utc": (pa.timestamp("us", "UTC"), [DAY, None, DAY]),
    "berlin": (pa.timestamp("us", "Europe/Berlin"), [DAY, None, DAY]),
    "offset": (pa.timestamp("ms", "+05:30"), [DAY.replace(microsecond=0), None, None]),
    "duration": (pa.duration("us"), [datetime.timedelta(seconds=-1), None, None]),
    "decimal9": (pa.decimal128(9, 2), [D("1.10"), None, D("-9999999.99")]),
    "decimal18": (pa.decimal128(18, 0), [D(10**17), None, D(0)]),
    "decimal38": (pa.decimal128(38, 10), [D("1e-10"), None, D("-1.5")]),
    "decimal76": (pa.decimal256(76, 3), [D(10**70) / 8, None, D("0.001")]),
    "list": (pa.list_(pa.int16()), [[1, None], None, []]),
    "large_list": (pa.large_list(pa.string()), [["a"], None, []]),
    "fixed_list": (pa.list_(pa.float32(), 2), [[1.0, 2.0], None, [3.0, 4.0]]),
    "struct": (pa.struct([pa.field("a", pa.int8(), nullable=False)]), [{"a": 1}, None, {"a": 2}]),
    "map": (pa.map_(pa.string(), pa.int32()), [[("k", 1)], None, []]),
    "null": (pa.null(), [None, None, None]),
    "bool": (pa.bool_(), [True, None, False]),
    "uuid": (pa.uuid(), [uuid.UUID(int=7).bytes, None, uuid.UUID(int=2**127).bytes]),
    "json": (pa.json_(), ['{"b":1,"a":-0.0}', None, "null"]),
}


def column(name):
    kind, values = COLUMNS[name]
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    return pa.array(values, kind)


def typed_table(names, **field_options):
    fields = [pa.field(name, COLUMNS[name][0], **field_options) for name in names]
    return pa.table([column(name) for name in names], schema=pa.schema(fields))


def loosened(schema):
    """The schema without names that a standard gives: of a list's element, a map's entries."""
    text = schema.to_string(truncate_metadata=False, show_schema_metadata=False)
    text = text.replace(" ('map')", "").replace("child 0, map: struct", "child 0, entries: struct")
    return text.replace("item: ", "element: ")


def check_same(source, output):
    """The output has the schema that pyarrow reads of the source, and its rows."""
    assert loosened(schema_of(output)) == loosened(schema_of(source))
    assert multiset(rows_of(output)) == multiset(rows_of(source))


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_type_leaves_with_its_type_and_values(name, home):
    """Through Parquet and through Arrow, as pyarrow reads the input."""
    source = parquet(home / "in.parquet", typed_table([name]))
    for output in (home / "out.parquet", home / "out.arrow"):
        check_same(source, shuffle(source, output))


@pytest.mark.parametrize("strategy", ["memory", "partition"])
def test_all_types_beside_one_another_survive_every_strategy(strategy, home):
    """One engine's types are not another's."""
    source = parquet(home / "in.parquet", typed_table(COLUMNS))
    check_same(source, shuffle(source, home / "out.parquet", strategy=strategy))


@pytest.mark.parametrize("name", COLUMNS)
def test_a_type_survives_the_strategy_that_has_it_in_duckdb_or_is_refused(name, home):
    """DuckDB carries the rows there, and has no type for some: nothing is changed unsaid."""
    source, output = parquet(home / "in.parquet", typed_table([name])), home / "out.parquet"
    try:
        shuffle(source, output, strategy="spill")
    except StrategyUnfit:
        assert not output.exists()
        assert name != "utc"  # whatever the zone of the machine is
    else:
        check_same(source, output)


def test_what_duckdb_would_change_within_another_type_is_refused_by_name(home):
    """UUIDs and JSON texts lie in lists and structs, too; there they ended a run as a bug."""
    pairs = pa.StructArray.from_arrays([column("uuid"), column("json")], ["u", "j"])
    source = parquet(home / "in.parquet", pa.table({"s": pairs}))
    with pytest.raises(StrategyUnfit, match="DuckDB would turn column `s` struct<u: extension"):
        shuffle(source, home / "out.parquet", strategy="spill")


def test_intervals_keep_their_nanoseconds_or_are_refused(home):
    """DuckDB has microseconds, and gives back the same type."""
    values = [pa.MonthDayNano([1, 2, 1]), None, pa.MonthDayNano([0, 0, -1])]
    table = pa.table({"i": pa.array(values, pa.month_day_nano_interval())})
    source = home / "in.arrow"
    with pa.ipc.new_file(source, table.schema) as writer:
        writer.write_table(table)
    check_same(source, shuffle(source, home / "out.arrow"))
    with pytest.raises(StrategyUnfit, match="DuckDB would cut nanoseconds off column `i`"):
        shuffle(source, home / "spilled.arrow", strategy="spill")


@pytest.mark.parametrize("name", COLUMNS)
def test_an_arrow_column_of_any_type_leaves_with_its_type_and_values(name, home):
    """An Arrow file holds what no Parquet file tells."""
    source = home / "in.arrow"
    table = typed_table([name], metadata={"unit": "m"})
    with pa.ipc.new_file(source, table.schema) as writer:
        writer.write_table(table)
    check_same(source, shuffle(source, home / "out.arrow"))


def test_required_columns_stay_required_at_every_level(home):
    """20 of 72 sound public files have them."""
    inner = pa.struct([pa.field("x", pa.int32(), nullable=False), pa.field("y", pa.string())])
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("s", inner, nullable=False),
            pa.field("l", pa.list_(pa.field("element", pa.int8(), nullable=False)), nullable=False),
        ]
    )
    rows = [{"id": i, "s": {"x": i, "y": None}, "l": [i, 2]} for i in range(9)]
    source = parquet(home / "in.parquet", pa.Table.from_pylist(rows, schema))
    for output in (home / "out.parquet", home / "out.arrow"):
        check_same(source, shuffle(source, output))
    kept = shuffle(source, home / "kept.parquet", where="id > 3")
    assert loosened(schema_of(kept)) == loosened(schema_of(source))
    assert multiset(rows_of(kept)) == multiset(rows[4:])


def test_field_metadata_and_ids_stay(home):
    """Iceberg finds columns by PARQUET:field_id alone."""
    ids = [{b"PARQUET:field_id": b"%d" % n, b"comment": b"column %d" % n} for n in (17, 4, 99)]
    fields = [
        pa.field("a", pa.int32(), metadata=ids[0]),
        pa.field("s", pa.struct([pa.field("b", pa.string(), metadata=ids[2])]), metadata=ids[1]),
    ]
    table = pa.table([[1, 2], [{"b": "x"}, None]], schema=pa.schema(fields))
    source = parquet(home / "in.parquet", table)
    for output in (home / "out.parquet", home / "out.arrow"):
        made = schema_of(shuffle(source, output))
        assert made.field("a").metadata == ids[0]
        assert made.field("s").metadata == ids[1]
        assert made.field("s").type.field("b").metadata == ids[2]


def test_ids_and_nullability_stay_where_pyarrow_left_no_schema_of_its_own(home):
    """Spark and parquet-mr write no ARROW:schema."""
    field = pa.field("a", pa.int32(), nullable=False, metadata={b"PARQUET:field_id": b"5"})
    source = parquet(
        home / "in.parquet",
        pa.table([pa.array([3, 1, 2], pa.int32())], schema=pa.schema([field])),
        store_schema=False,
    )
    made = schema_of(shuffle(source, home / "out.parquet"))
    assert made.field("a").metadata[b"PARQUET:field_id"] == b"5"
    assert not made.field("a").nullable


def test_decimals_in_integers_and_logical_types_stay_what_they_are(home):
    """A file for a reader that knows INT32 decimals must stay one."""
    table = pa.table(
        {
            "d9": pa.array([D("1.10"), None], pa.decimal128(9, 2)),
            "d18": pa.array([D("1.1"), None], pa.decimal128(18, 1)),
            "u": column("uuid")[:2],
            "j": column("json")[:2],
        }
    )
    source = parquet(home / "in.parquet", table, store_decimal_as_integer=True)
    output = shuffle(source, home / "out.parquet")
    kinds = [
        [
            (c.physical_type, str(c.logical_type))
            for c in map(pq.ParquetFile(p).schema.column, range(4))
        ]
        for p in (source, output)
    ]
    assert kinds[0] == kinds[1]
    check_same(source, output)


def test_key_value_metadata_is_kept(home):
    """Model cards, geo, licences and provenance travel in it."""
    table = pa.table({"a": [1, 2]}).replace_schema_metadata(
        {"licence": "CC0", "": "empty key", "org.x": "中文", "blob": b"\xc3\xa9"}
    )
    source = parquet(home / "in.parquet", table)
    for output in (home / "out.parquet", home / "out.arrow"):
        made = schema_of(shuffle(source, output)).metadata
        for key, value in table.schema.metadata.items():
            assert made[key] == value
    shuffle(source, home / "shards", shards=2, format="parquet")
    for shard in sorted((home / "shards").glob("*.parquet")):
        assert schema_of(shard).metadata[b"licence"] == b"CC0"


PANDAS = {
    "index_columns": ["b"],
    "column_indexes": [],
    "columns": [
        {
            "name": n,
            "field_name": n,
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        }
        for n in "ab"
    ],
}
FEATURES = {"info": {"features": {n: {"dtype": "int64", "_type": "Value"} for n in "ab"}}}
GEO = {
    "version": "1.1.0",
    "primary_column": "b",
    "columns": {"b": {"encoding": "WKB", "geometry_types": []}},
}


@pytest.mark.parametrize("how", [{"select": "a"}, {"sql": "select id, a from lines"}])
def test_metadata_never_speaks_of_a_column_that_is_gone(how, home):
    """Pandas raises KeyError on an index column that a --select dropped; datasets too."""
    keys = {"pandas": PANDAS, "huggingface": FEATURES, "geo": GEO}
    table = pa.table({"a": [1, 2], "b": [3, 4]}).replace_schema_metadata(
        {key: json.dumps(value) for key, value in keys.items()}
    )
    source = parquet(home / "in.parquet", table)
    whole = schema_of(shuffle(source, home / "whole.parquet")).metadata
    for key, value in keys.items():
        assert json.loads(whole[key.encode()]) == value
    made = schema_of(shuffle(source, home / "out.parquet", **how))
    assert made.names == ["a"]
    for key in keys:
        assert '"b"' not in (made.metadata or {}).get(key.encode(), b"").decode()


@pytest.mark.parametrize("plain_footer", [True, False])
def test_an_encrypted_file_is_told_and_ends_no_process(plain_footer, cli, home):
    """pyarrow's C++ aborts on such columns; an abort loses a night's work."""

    class Plain(pe.KmsClient):
        def __init__(self, _config):
            super().__init__()

        def wrap_key(self, key, _name):
            return key.hex()

        def unwrap_key(self, key, _name):
            return bytes.fromhex(key)

    table = pa.table({"a": list(range(50)), "b": ["x"] * 50})
    config = pe.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["b"]}, plaintext_footer=plain_footer
    )
    factory = pe.CryptoFactory(Plain)
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
    with pq.ParquetWriter(home / "in.parquet", table.schema, encryption_properties=properties) as w:
        w.write_table(table)
    for arguments in (
        ("shuffle", "in.parquet", "-o", "out.parquet"),
        ("plan", "in.parquet", "-o", "out.parquet"),
        ("query", "in.parquet", "select count(b) from lines"),
        ("ingest", "store.duckdb", "in.parquet"),
    ):
        ran = cli(*arguments)
        if arguments[0] == "plan" and ran.code == 0:
            continue  # a plain footer is all that a plan needs
        check_told(ran, "in.parquet", "encrypted", codes=(4, 6))
        assert not (home / "out.parquet").exists()


def test_empty_files_keep_their_schema(home):
    """No rows, no row groups, an empty group: all are files that people have."""
    schema = pa.schema([pa.field("a", pa.int32(), nullable=False), pa.field("b", pa.string())])
    some = pa.Table.from_pylist([{"a": 1, "b": "x"}], schema)
    for name, parts in (("none", []), ("group", [some[:0]]), ("between", [some, some[:0], some])):
        source = home / f"{name}.parquet"
        with pq.ParquetWriter(source, schema) as writer:
            for part in parts:
                writer.write_table(part)
        for strategy in STRATEGIES:
            check_same(
                source, shuffle(source, home / f"{name}-{strategy}.parquet", strategy=strategy)
            )


def test_a_file_without_columns_is_read_or_told(cli, home):
    """It has a number of rows, and nothing in them."""
    source = parquet(home / "in.parquet", pa.table({"a": [1, 2, 3]}).select([]))
    ran = cli("shuffle", source, "-o", "out.parquet")
    if ran.code:
        check_told(ran, "in.parquet", "column")
    else:
        made = pq.ParquetFile(home / "out.parquet")
        assert (made.schema_arrow.names, made.metadata.num_rows) == ([], 3)


def test_a_pandas_frame_with_a_decimal_index_is_read(home):
    """pyarrow reads it, so it is sound."""
    column_of = {"name": "i", "field_name": "i", "pandas_type": "decimal", "numpy_type": "object"}
    table = pa.table({"v": [1, 2], "i": pa.array([D("1.5"), D("2.5")], pa.decimal128(3, 1))})
    column_of["metadata"] = {"precision": 3, "scale": 1}
    pandas = {"index_columns": ["i"], "column_indexes": [], "columns": [column_of]}
    table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
    source = parquet(home / "in.parquet", table)
    output = shuffle(source, home / "out.parquet")
    check_same(source, output)
    assert json.loads(schema_of(output).metadata[b"pandas"]) == pandas


def test_names_in_every_script_and_hostile_ones_stay(home):
    """Names are the user's; a file's name too."""
    names = [
        *ALPHABETS,
        "a b",
        'say "x"',
        "it's",
        "a.b",
        "a;--",
        "new\nline",
        "select",
        "id",
        "A",
        "a",
    ]
    rows = [{name: f"{name} {n}" for name in names} for n in range(3)]
    source = parquet(home / "данные 中文 'x'.parquet", rows)
    for output in (home / "out.parquet", home / "out.arrow", home / "out.jsonl"):
        shuffle(source, output)
        assert multiset(rows_of(output)) == multiset(rows)


def test_thousands_of_columns_are_read_and_written(home):
    """Tables of features are that wide: what is done for each column is not done for all."""
    table = pa.table(
        {f"c{number}": pa.array([number, None], pa.int32()) for number in range(4_000)}
    )
    pq.write_table(table, home / "in.parquet")
    found = pq.read_table(shuffle(home / "in.parquet", home / "out.parquet"))
    assert found.schema.names == table.schema.names
    assert sorted(found.to_pylist(), key=repr) == sorted(table.to_pylist(), key=repr)
