"""Folders as Spark, Hugging Face and people leave them: what is read, and what is told."""

import os

import pyarrow as pa
import pytest
from public_shapes import check_told, multiset, parquet, refusal, rows_of, schema_of, shuffle

EN, DE = [{"x": 1}, {"x": 2}], [{"x": 3}]
KEYED = [row | {"lang": lang} for lang, rows in (("en", EN), ("de", DE)) for row in rows]


@pytest.fixture
def spark(home):
    """A folder as Spark writes it."""
    parquet(home / "in/lang=en/part-0.parquet", EN)
    parquet(home / "in/lang=de/part-0.parquet", DE)
    for name in ("_SUCCESS", "lang=en/._SUCCESS.crc", "_temporary/0/part.parquet", "_metadata"):
        (home / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "in" / name).write_bytes(b"no parquet\n")
    return home / "in"


@pytest.mark.parametrize("end", ["parquet", "arrow", "jsonl"])
def test_a_folder_of_spark_is_read_with_its_keys_as_columns(end, spark, home):
    """The keys stand in no file: without the folders' names they are lost."""
    made = shuffle(spark, home / f"out.{end}")
    assert multiset(rows_of(made)) == multiset(KEYED)


def test_hive_columns_are_there_in_every_command(spark, cli, home):
    """Filter, query and store see one relation."""
    kept = shuffle(spark, home / "kept.parquet", where="lang = 'de'")
    assert multiset(rows_of(kept)) == multiset([{"x": 3, "lang": "de"}])
    ran = cli("query", spark, "select lang, sum(x) as s from lines group by all order by 1")
    assert (ran.code, ran.out) == (0, b"lang,s\nde,3\nen,3\n"), ran.err
    assert cli("ingest", "store.duckdb", spark).code == 0
    assert cli("export", "store.duckdb", "-o", "out.parquet", "--seed", 42).code == 0
    assert multiset(rows_of(home / "out.parquet")) == multiset(KEYED)


def test_no_hive_reads_the_files_alone(spark, cli, home):
    assert cli("shuffle", spark, "-o", "out.parquet", "--no-hive").code == 0
    assert multiset(rows_of(home / "out.parquet")) == multiset(EN + DE)


def test_hive_is_off_by_itself_where_a_file_lies_outside_and_on_when_asked(cli, home):
    """One file beside the folders: the folders' names are no rule."""
    parquet(home / "in/lang=en/a.parquet", EN)
    parquet(home / "in/b.parquet", DE)
    assert cli("shuffle", "in", "-o", "off.parquet").code == 0
    assert schema_of(home / "off.parquet").names == ["x"]
    assert cli("shuffle", "in/lang=en", "-o", "inner.parquet", "--hive").code == 0
    assert multiset(rows_of(home / "inner.parquet")) == multiset(r | {"lang": "en"} for r in EN)


def test_what_begins_with_an_underscore_is_read_when_it_is_named(cli, home):
    """Left out of folders means not picked up by chance."""
    (home / "in").mkdir()
    (home / "in/_notes.txt").write_bytes(b"a\n")
    assert cli("shuffle", "in/_notes.txt").out == b"a\n"
    check_told(cli("shuffle", "in"), codes=(5,))


@pytest.fixture
def hugging(home):
    """A folder as the Hugging Face hub has it."""
    parquet(home / "in/data/train-0.parquet", EN)
    parquet(home / "in/data/test-0.parquet", DE)
    (home / "in/README.md").write_bytes(b"---\nlicense: cc0\n---\n")
    return home / "in"


def test_mixed_kinds_are_told_with_counts_and_the_include_that_would_do(hugging, cli):
    for command in (("shuffle",), ("plan",), ("ingest", "store.duckdb")):
        check_told(cli(*command, hugging), "2", "1", "arquet", "--include", codes=(21, 2))


def test_include_and_exclude_choose_files_and_repeat(hugging, cli, home):
    for options, rows in (
        (("--include", "*.parquet"), EN + DE),
        (("--exclude", "*.md"), EN + DE),
        (("--include", "*train*.parquet", "--include", "*test*.parquet"), EN + DE),
        (("--include", "*.parquet", "--exclude", "*test*"), EN),
        (("--exclude", "README*", "--exclude", "*train*"), DE),
    ):
        ran = cli("shuffle", hugging, "-o", "out.parquet", *options)
        assert ran.code == 0, ran.err
        assert multiset(rows_of(home / "out.parquet")) == multiset(rows)
    check_told(cli("shuffle", hugging, "--include", "*.nothing"), codes=(5,))


def union(home, *tables):
    return [parquet(home / f"in/{n}.parquet", table) for n, table in enumerate(tables)]


def test_schema_union_takes_columns_by_name_and_widens_numbers(cli, home):
    """Missing is null; int32 beside int64 is int64; a column that is all null has no say."""
    tables = (
        pa.table({"a": pa.array([1], pa.int32()), "b": ["x"]}),
        pa.table({"b": pa.array([None], pa.null()), "a": pa.array([2**40], pa.int64())}),
        pa.table({"a": pa.array([7], pa.int16()), "c": [0.5]}),
    )
    want = [{"a": 1, "b": "x", "c": None}, {"a": 2**40, "b": None, "c": None}]
    want.append({"a": 7, "b": None, "c": 0.5})
    union(home, *tables)
    check_told(cli("shuffle", "in", "-o", "out.parquet"), "--schema union", codes=(21,))
    for end in ("parquet", "arrow", "jsonl"):
        ran = cli("shuffle", "in", "-o", f"out.{end}", "--schema", "union")
        assert ran.code == 0, ran.err
        assert multiset(rows_of(home / f"out.{end}")) == multiset(want)
    assert schema_of(home / "out.parquet").field("a").type == pa.int64()


@pytest.mark.parametrize(
    ("one", "other"),
    [(["x"], [1]), ([2**62 + 1], [0.5]), ([[1]], [1]), ([b"x"], ["x"]), ([True], [1])],
)
def test_schema_union_refuses_what_would_lose(one, other, cli, home):
    union(home, pa.table({"a": one}), pa.table({"a": other}))
    ran = cli("shuffle", "in", "-o", "out.parquet", "--schema", "union")
    check_told(ran, "a", codes=(21,))
    assert not (home / "out.parquet").exists()


def test_special_files_and_circles_of_links_behind_a_folder_end_no_run(cli, home):
    """A fifo waits for ever; links that multiply paths are walked for ever."""
    (home / "in").mkdir()
    (home / "in/a.txt").write_bytes(b"a\n")
    for n in range(12):
        (home / f"in/d{n}").mkdir()
        for side in "xy":
            (home / f"in/d{n}/{side}").symlink_to(home / f"in/d{(n + 1) % 12}")
    ran = cli("shuffle", "in", timeout_s=20)
    assert (ran.code, ran.out) == (0, b"a\n"), ran.err
    os.mkfifo(home / "pipe")
    for name, target in (("f", home / "pipe"), ("z", "/dev/zero")):
        (home / "in" / name).symlink_to(target)
        for argument in ("in", "in/*"):
            ran = cli("shuffle", argument, timeout_s=20)
            if ran.code:
                check_told(ran, name)
            else:
                assert ran.out == b"a\n"
        (home / "in" / name).unlink()


@pytest.mark.parametrize("command", [("shuffle",), ("plan",), ("ingest", "s.duckdb")])
def test_a_url_that_is_none_of_those_that_are_read_is_told(command, cli):
    check_told(cli(*command, "ftp://host/a.txt"), "ftp://host/a.txt")


def test_library_takes_the_same_choices(hugging, home):
    assert refusal(hugging, home / "no.parquet").exit_code in (2, 21)
    made = shuffle(hugging, home / "out.parquet", include=["*.parquet"])
    assert multiset(rows_of(made)) == multiset(EN + DE)
