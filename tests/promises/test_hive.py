"""Folders such as `lang=en` are columns, as Spark, Arrow and DuckDB write and read them."""

import datetime as dt
import json

import pyarrow as pa
import pyarrow.dataset
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
import reference

import dbshuf

STRATEGIES = ("memory", "spill", "partition")


def write_arrow(table, path):
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def write_csv(table, path):
    rows = [table.schema.names, *(list(row.values()) for row in table.to_pylist())]
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))


WRITERS = {"parquet": pq.write_table, "arrow": write_arrow, "csv": write_csv}


@pytest.fixture
def folder(home):
    """Write a file into a folder below the home directory."""

    def make(name, table, kind="parquet"):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[kind](pa.table(table), path)

    return make


@pytest.fixture
def shuffled(cli, home):
    def run(*args, seed="42"):
        ran = cli("shuffle", *args, "-o", home / "out.parquet", "--seed", seed)
        assert ran.code == 0, ran.err
        return pq.read_table(home / "out.parquet")

    return run


def in_order(*inputs, seed="42"):
    ids = [(ordinal << 44 | row) for ordinal, rows in enumerate(inputs) for row in range(len(rows))]
    rows = [row for rows in inputs for row in rows]
    return [row for _, row in sorted(zip((reference.key(i, seed) for i in ids), rows, strict=True))]


def columns_of(table):
    return {field.name: field.type for field in table.schema}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv"])
def test_folders_of_a_directory_are_columns(kind, strategy, folder, shuffled):
    """Behind the file's own; whole numbers are numbers; the order is as without them."""
    wanted = []
    for lang in ("de", "en"):
        for year in (2019, 2020):
            texts = [f"{lang} {year} {n}" for n in range(30)]
            folder(f"data/lang={lang}/year={year}/part-0.{kind}", {"text": texts}, kind)
            wanted.append([{"text": text, "lang": lang, "year": year} for text in texts])
    options = ["--strategy", strategy, *(["--from", "csv"] if kind == "csv" else [])]
    table = shuffled("data", *options)
    assert columns_of(table) == {"text": pa.string(), "lang": pa.string(), "year": pa.int64()}
    assert table.to_pylist() == in_order(*wanted)
    bare = shuffled("data", *options, "--no-hive")
    assert bare.to_pylist() == table.select(["text"]).to_pylist()


def test_what_other_programs_write_is_what_is_read(home, shuffled):
    """Values with every character, null too: they come back as they were."""
    values = ["a b", "x/y", "50%", "a=b", "雪", "ä:?*", None, "7"]
    table = pa.table({"n": list(range(len(values))), "key": values})
    pa.dataset.write_dataset(
        table, home / "data", format="parquet", partitioning=["key"], partitioning_flavor="hive"
    )
    found = shuffled("data").to_pylist()
    assert sorted(found, key=lambda row: row["n"]) == table.to_pylist()


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        (["1", "-5", "0"], pa.int64(), [1, -5, 0]),
        (["1", "__HIVE_DEFAULT_PARTITION__"], pa.int64(), [1, None]),
        (["01", "2"], pa.string(), ["01", "2"]),
        (["-0", "+1", "1.5"], pa.string(), ["-0", "+1", "1.5"]),
        (["9223372036854775807"], pa.int64(), [2**63 - 1]),
        (["9223372036854775808"], pa.string(), ["9223372036854775808"]),
        (["2024-02-29"], pa.date32(), [dt.date(2024, 2, 29)]),
        (["2024-02-29", "2023-02-29"], pa.string(), ["2024-02-29", "2023-02-29"]),
        (["", "a"], pa.string(), ["", "a"]),
        (["__HIVE_DEFAULT_PARTITION__"], pa.string(), [None]),
        (["%", "%zz", "%41"], pa.string(), ["%", "%zz", "A"]),
        (["٣"], pa.string(), ["٣"]),
    ],
)
def test_the_type_is_that_of_all_values(values, kind, found, folder, shuffled):
    """No value loses a digit or a sign."""
    for value in values:
        folder(f"data/k={value}/a.parquet", {"n": [1]})
    table = shuffled("data")
    assert columns_of(table)["k"] == kind
    assert sorted(map(str, table["k"].to_pylist())) == sorted(map(str, found))


def test_sql_sees_the_columns(folder, shuffled, cli, home):
    """--where, --select, --sql, query, text outputs and stream()."""
    for lang in ("de", "en"):
        folder(f"data/lang={lang}/a.parquet", {"n": [1, 2]})
    wanted = in_order([], [{"n": 1, "lang": "en"}, {"n": 2, "lang": "en"}])
    assert shuffled("data", "--where", "lang = 'en'").to_pylist() == wanted
    assert shuffled("data", "--select", "lang", "--where", "n = 1").num_rows == 2
    (home / "q.sql").write_text("select lang, count(*) as c from lines group by all")
    rows = shuffled("data", "--sql", "q.sql").to_pylist()
    assert sorted(row["lang"] for row in rows) == ["de", "en"]
    ran = cli("query", "data", "select lang, sum(n)::int from lines group by all order by 1")
    assert ran.out.replace(b'"', b"").splitlines()[1:] == [b"de,3", b"en,3"]
    ran = cli("shuffle", "data", "--format", "jsonl", "--where", "lang = 'en'", "--seed", "42")
    assert [json.loads(line) for line in ran.out.splitlines()] == wanted
    with dbshuf.stream(str(home / "data"), seed=42, where="lang = 'en'") as reader:
        assert reader.read_all().to_pylist() == wanted
    with dbshuf.stream(str(home / "data"), hive=False) as reader:
        assert reader.schema.names == ["n"]


def test_only_what_is_below_the_named_part_counts_by_itself(folder, shuffled, home):
    """A glob begins at its first wild part; --hive takes every folder of the path."""
    folder("data/lang=en/year=1/a.parquet", {"n": [1]})
    for name, keys in (
        ("data", ["lang", "year"]),
        ("data/", ["lang", "year"]),
        (home / "data", ["lang", "year"]),
        ("data/lang=en", ["year"]),
        ("data/*/*/a.parquet", ["lang", "year"]),
        ("data/lang=*/year=1/*.parquet", ["lang", "year"]),
        ("data/lang=en/*/*.parquet", ["year"]),
        ("data/**/*.parquet", ["lang", "year"]),
        ("data/lang=en/year=1/a.parquet", []),
    ):
        assert shuffled(name).schema.names == ["n", *keys]
        assert shuffled(name, "--hive").schema.names == ["n", "lang", "year"]


def test_a_directory_of_other_folders_is_as_it_was(folder, shuffled, cli):
    """One file beside the folders, or another key, and nothing is a column by itself."""
    folder("a/lang=en/a.parquet", {"n": [1]})
    folder("a/b.parquet", {"n": [2]})
    assert shuffled("a").schema.names == ["n"]
    ran = cli("shuffle", "a", "--hive", "-o", "o.parquet")
    assert (ran.code, "`a/b.parquet`" in ran.err) == (2, True)
    folder("c/lang=en/a.parquet", {"n": [1]})
    folder("c/year=1/a.parquet", {"n": [2]})
    assert shuffled("c").schema.names == ["n"]
    ran = cli("shuffle", "c", "--hive", "-o", "o.parquet")
    assert ran.code == 2
    assert "`c/lang=en/a.parquet`" in ran.err
    assert "`c/year=1/a.parquet`" in ran.err
    folder("d/k=1/K=2/a.parquet", {"n": [1]})
    assert shuffled("d").schema.names == ["n"]
    assert cli("shuffle", "d", "--hive", "-o", "o.parquet").code == 2


def test_a_column_of_the_file_stays(folder, shuffled):
    """What the file says of its rows is never replaced by what its folder is called."""
    folder("data/lang=en/a.parquet", {"Lang": ["de"], "n": [1]})
    assert shuffled("data").to_pylist() == [{"Lang": "de", "n": 1}]
    folder("data/lang=fr/a.parquet", {"n": [2]})
    table = shuffled("data", "--schema", "union")
    assert sorted(table.schema.names) == ["Lang", "lang", "n"]


def test_directories_with_and_without_folders_meet_in_a_union(folder, shuffled, cli):
    """Where only some inputs have the column it is no silent loss."""
    folder("data/lang=en/a.parquet", {"n": [1]})
    folder("b.parquet", {"n": [2]})
    ran = cli("shuffle", "data", "b.parquet", "-o", "o.parquet")
    assert ran.code == 21
    assert "`lang`" in ran.err
    assert "--schema union" in ran.err
    rows = shuffled("data", "b.parquet", "--schema", "union").to_pylist()
    assert sorted(rows, key=lambda row: row["n"]) == [
        {"n": 1, "lang": "en"},
        {"n": 2, "lang": None},
    ]


def test_lines_stay_lines(cli, home):
    """Folders give lines no column, and who asks for them is told."""
    for lang in ("de", "en"):
        path = home / f"data/lang={lang}/a.txt"
        path.parent.mkdir(parents=True)
        path.write_text(f'{{"t": "{lang}"}}\n')
    assert sorted(cli("shuffle", "data").out.splitlines()) == [b'{"t": "de"}', b'{"t": "en"}']
    for options in ([], ["--from", "json"]):
        ran = cli("shuffle", "data", "--hive", "--format", "jsonl", *options)
        assert ran.code == 2
        assert "--hive" in ran.err
        assert "source" in ran.err


def test_a_store_keeps_the_columns(folder, cli, shuffled, home):
    """Export is as shuffle; what is added later may have other values, not other types."""
    for lang in ("de", "en"):
        folder(f"data/lang={lang}/a.parquet", {"n": [1, 2]})
    assert cli("ingest", "s.duckdb", "data").code == 0
    ran = cli("export", "s.duckdb", "--seed", "42", "--format", "jsonl")
    assert [json.loads(one) for one in ran.out.splitlines()] == shuffled("data").to_pylist()
    folder("data/lang=1/a.parquet", {"n": [3]})
    assert cli("ingest", "s.duckdb", "data/").code == 0
    folder("more/lang=2/a.parquet", {"n": [4]})
    assert cli("ingest", "s.duckdb", "more").code == 0
    ran = cli("export", "s.duckdb", "--format", "jsonl", "--where", "lang in ('1', '2')")
    assert sorted(json.loads(one)["lang"] for one in ran.out.splitlines()) == ["1", "2"]
    assert cli("ingest", "t.duckdb", "more", "--no-hive").code == 0
    assert json.loads(cli("export", "t.duckdb", "--format", "jsonl").out) == {"n": 4}
