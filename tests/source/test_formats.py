"""What inputs hold: by their bytes, never by what a text happens to begin with."""

import gzip
import random
import shutil
import sqlite3

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typed_sources import piped

from dbshuf.errors import InputBroken, InputUnreadable, UsageError
from dbshuf.source.formats import NAMES, kind_of_inputs, table_by_head
from dbshuf.source.head import check_encoding
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.tables.opening import tables_of_inputs

TABLE = pa.table({"a": [1, 2]})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One file of every kind."""
    tmp_path = tmp_path_factory.mktemp("kinds")
    pq.write_table(TABLE, tmp_path / "parquet")
    for name, new in (("file", pa.ipc.new_file), ("stream", pa.ipc.new_stream)):
        with new(tmp_path / name, TABLE.schema) as writer:
            writer.write_table(TABLE)
    with duckdb.connect(tmp_path / "duckdb") as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
        connection.execute('CREATE VIEW "a view" AS SELECT 2 AS b')
    with sqlite3.connect(tmp_path / "sqlite") as connection:
        connection.executescript("CREATE TABLE t(a); CREATE VIEW v AS SELECT 1; " + _many(30))
    connection.close()
    (tmp_path / "text").write_bytes(b"a line\n")
    return tmp_path


def _many(count):
    return "".join(f"CREATE TABLE many_{i:02}(a);" for i in range(count))


def kind(*paths, asked=None, table=None):
    return kind_of_inputs(resolve_inputs([str(path) for path in paths]), asked, table=table)


def test_every_kind_is_told_by_its_bytes(files):
    """Names do not matter."""
    assert kind(files / "parquet", files / "parquet") == "parquet"
    assert kind(files / "file", files / "stream") == "arrow"
    assert kind(files / "text") == "lines"
    assert kind(files / "duckdb", table="t") == "duckdb"
    assert kind(files / "sqlite", table="t") == "sqlite"


def test_text_is_never_taken_for_anything_else(tmp_path):
    """Text that begins with the words, and bytes at random behind them."""
    rows = random.Random(7)
    noise = bytes(rows.randrange(256) for _ in range(400))
    heads = [
        b"PAR1 is a magic word\n",
        b"ARROW1 is one too\n",
        b"I saw a DUCK once, and the duck saw me\n" * 9,
        b"1234567 DUCK\0\0\0\0\0 quack\n" * 9,
        b"SQLite format 3 is a file format\n",
        b"\xff\xff\xff\xff" + noise,
        b"\xff\xff\xff\xff\x08\0\0\0" + noise,
        b"\xff\xff\xff\xff\xff\xff\xff\x7f" + noise,
        b"\xff\xff\xff\xff\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"PAR1",
        b"PAR1 to PAR1",
        b"PAR1 and so on until the next PAR1",
        b"",
        noise,
    ]
    for head in heads:
        (tmp_path / "a").write_bytes(head)
        assert kind(tmp_path / "a") == "lines", head


def test_a_parquet_file_that_is_cut_short_is_no_text(files):
    """By its name: its lines would be noise."""
    cut = files / "cut.parquet"
    cut.write_bytes((files / "parquet").read_bytes()[:-1])
    assert kind(cut) == "parquet"
    assert kind(cut, asked="lines") == "lines"


def test_what_the_user_says_wins(files):
    """Even a Parquet file can be moved as lines."""
    for asked in ("lines", "json", "csv", "tsv", "parquet", "arrow"):
        assert kind(files / "parquet", files / "text", asked=asked) == asked
    with pytest.raises(UsageError, match="--from `xml`") as caught:
        kind(files / "text", asked="xml")
    assert all(name in caught.value.hint for name in NAMES)


def test_inputs_of_two_kinds_are_refused_with_one_of_each_and_the_counts(files):
    """Named one by one, so no pattern would help."""
    with pytest.raises(UsageError, match=r"there are 2 Parquet files and 1 of text") as caught:
        kind(files / "parquet", files / "parquet", files / "text")
    assert f"such as `{files / 'parquet'}` and `{files / 'text'}`" in caught.value.message
    assert "--from" in caught.value.hint
    with pytest.raises(UsageError, match=r"there are 1 of text and 1 Arrow IPC file, such as"):
        kind(files / "text", files / "file")


def data_set(folder, files):
    """A directory as data sets are published: tables, and words about them."""
    (folder / "data").mkdir(parents=True)
    for number in range(12):
        shutil.copy(files / "parquet", folder / "data" / f"train-{number:05}.parquet")
    (folder / "README.md").write_bytes(b"# About\n")
    (folder / "dataset_infos.json").write_bytes(b"{}\n")
    (folder / ".gitattributes").write_bytes(b"*.parquet filter=lfs\n")
    return folder


def test_the_option_that_helps_is_named_where_a_directory_holds_two_kinds(files, tmp_path):
    """A published data set has a README beside its tables."""
    folder = data_set(tmp_path / "set", files)
    with pytest.raises(UsageError) as caught:
        kind(folder)
    assert f"`{folder}` holds 2 of text and 12 Parquet files, such as" in caught.value.message
    assert caught.value.hint == "pass --include '*.parquet'"
    found = resolve_inputs([str(folder)], include=["*.parquet"])
    assert len(found) == 12
    assert kind_of_inputs(found, None, table=None) == "parquet"
    for path in (folder / "data").iterdir():
        path.rename(path.with_suffix(""))
    with pytest.raises(UsageError) as caught:
        kind(folder)
    assert caught.value.hint == "pass --exclude README.md --exclude dataset_infos.json"
    found = resolve_inputs([str(folder)], exclude=["README.md", "dataset_infos.json"])
    assert kind_of_inputs(found, None, table=None) == "parquet"


def test_pipes_and_compressed_files_are_lines_unless_the_user_says_more(files, tmp_path):
    """What must be read from several places cannot come from either."""
    data = (files / "file").read_bytes()
    assert kind_of_inputs([piped(data)], None, table=None) == "lines"
    assert kind_of_inputs([piped(data)], "arrow", table=None) == "arrow"
    with pytest.raises(UsageError, match="pipe-0` is a pipe, and a Parquet file must be a plain"):
        kind_of_inputs([piped(data)], "parquet", table=None)
    (tmp_path / "a.gz").write_bytes(b"\x1f\x8b\x08" + bytes(20))
    assert kind(tmp_path / "a.gz") == "lines"
    with pytest.raises(UsageError, match="is compressed, and an SQLite database must be"):
        kind(tmp_path / "a.gz", asked="sqlite", table="t")


@pytest.mark.parametrize("name", ["parquet", "file", "stream", "duckdb", "sqlite"])
def test_a_table_that_would_be_read_as_text_is_refused(files, tmp_path, name):
    """In a pipe and compressed, by 16 bytes too; as a plain file it is text where the user says."""
    data = (files / name).read_bytes()
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(data))
    for source in (piped(data), *resolve_inputs([str(packed)])):
        with pytest.raises(InputUnreadable, match="would be read as text") as caught:
            check_encoding([source], "lines")
        assert ("--from arrow" in caught.value.hint) == (name in ("file", "stream"))
    assert table_by_head(data[:16]) is not None
    check_encoding(resolve_inputs([str(files / name)]), "lines")


def test_text_that_begins_as_a_table_does_is_read_from_a_pipe():
    """Short or long, coloured, and of lines that end with NUL."""
    alike = (b"PAR1SIAN\n", b"ARROW1 \n", b"SQLite format 3\n", b"12345678DUCKLING\n", b"\xff" * 20)
    hard = (b"12345678DUCK\n", b"PAR1 \x1b[31mred\x1b[0m\n", b"PAR1\0PAR2\0", b"PAR1\n\x15\n")
    check_encoding([piped(text) for text in (*alike, *hard)], "lines")


def tables(path, asked=None):
    """The tables that are taken where --table names none."""
    inputs = resolve_inputs([str(path)])
    return tables_of_inputs(inputs, kind_of_inputs(inputs, asked, table=None))


def test_a_database_of_several_tables_needs_a_table_and_they_are_listed(files):
    """Twenty of them at most; a view may be what is wanted as well as a table."""
    with pytest.raises(UsageError, match="DuckDB database, and --table names none") as caught:
        tables(files / "duckdb")
    assert caught.value.hint == "--table takes a query, or one of: `a view`, `t`"
    with pytest.raises(UsageError, match="SQLite database, and --table names none") as caught:
        tables(files / "sqlite")
    assert "`many_19` and 12 more" in caught.value.hint
    with pytest.raises(InputBroken):
        tables(files / "text", asked="duckdb")


@pytest.mark.parametrize("asked", [None, "lines", "csv", "json"])
def test_a_table_of_something_else_is_refused(files, asked):
    """It would go unnoticed."""
    with pytest.raises(UsageError, match="--table is for databases"):
        kind(files / "text", asked=asked, table="t")
