"""A store that is a SQLite database: as the DuckDB store in all that can be seen of it."""

import contextlib
import gzip
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import struct
from importlib.resources import files

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
import typed_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import ORDER_VECTORS
from store_tools import read_lines, read_rows, written

import dbshuf
from dbshuf.api import ingest
from dbshuf.base.key import row_keys
from dbshuf.errors import (
    InputUnreadable,
    LineTooLong,
    MemoryTooSmall,
    NotUtf8,
    OutputSpaceShort,
    OutputUnwritable,
    StoreInvalid,
    UsageError,
)
from dbshuf.source.schema.plain import plain_schema
from dbshuf.store import sqlite
from dbshuf.store.opening import is_store, open_store
from dbshuf.store.sqlite_values import declared_type, of_values, to_values

VECTORS = json.loads(ORDER_VECTORS.read_text("utf-8"))
KEY = (files("dbshuf.sql") / "sqlite" / "key.sql").read_text("utf-8")
A = b"".join(b"%d words\n" % i for i in range(3000)) + b"\n\r\n\0\n" + "été 雪\n".encode()
B = b"".join(b"b %d\n" % (i % 50) for i in range(700)) + b"last"


def words_of(seed):
    """Return the words of a seed as SQLite takes them."""
    digest = hashlib.sha256(f"dbshuf-order-1:{seed}".encode()).digest()
    return dict(zip(("s1", "s2"), struct.unpack("<2q", digest[:16]), strict=True))


def signed(number):
    """Return the same 64 bits as SQLite has them."""
    return number - (1 << 64) if number >= 1 << 63 else number


def ask(store, sql, values=()):
    """Ask the database with SQLite alone."""
    connection = sqlite3.connect(store)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


@pytest.fixture
def store(tmp_path):
    """A store of two inputs, of which one is compressed."""
    paths = written(tmp_path, a=A, b=gzip.compress(B))
    ingest(tmp_path / "s.sqlite", paths)
    return tmp_path / "s.sqlite"


# --- the key ----------------------------------------------------------------------------


def test_the_key_in_sql_meets_the_vectors():
    """With the top bit flipped, and no step that turns REAL."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for vector in VECTORS["keys"]:
            query = f"SELECT {KEY} AS key FROM (SELECT {signed(vector['id'])} AS id)"
            ((key,),) = connection.execute(query, words_of(vector["seed"])).fetchall()
            assert isinstance(key, int)
            assert key == vector["key"] - (1 << 63)


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40, unique=True), st.text())
def test_the_key_in_sql_orders_as_numpy_does(ids, seed):
    """Ids of all 64 bits, as one column of a table."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE lines (id INTEGER)")
        values = [(signed(one),) for one in ids]
        connection.executemany("INSERT INTO lines VALUES (?)", values)
        found = connection.execute(f"SELECT id FROM lines ORDER BY {KEY}", words_of(seed))
        order = np.argsort(row_keys(np.array(ids, np.uint64), seed))
        assert [row for (row,) in found] == [signed(ids[at]) for at in order]


# --- what others see, and what comes out --------------------------------------------------


def test_any_sqlite_client_sees_the_tables_and_the_order(store):
    tables = ask(store, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    assert [name for (name,) in tables] == ["lines", "sources", "store"]
    assert [row[1:3] for row in ask(store, "PRAGMA table_info(lines)")] == [
        ("id", "INTEGER"),
        ("source", "TEXT"),
        ("line", "TEXT"),
    ]
    found = ask(store, f"SELECT line FROM lines ORDER BY {KEY}", words_of("42"))
    want = [line.decode()[:-1] for _, line in reference.keyed([A, B], "42")]
    assert [line for (line,) in found] == want
    sources = ask(store, "SELECT path, digest, rows FROM sources ORDER BY ordinal")
    assert [(os.path.basename(path), rows) for path, _, rows in sources] == [
        ("a", 3004),
        ("b", 701),
    ]
    assert sources[0][1] == hashlib.sha256(A).hexdigest()
    assert ask(store, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.txt", {}),
        ("out.txt", {"strategy": "partition"}),
        ("out.txt", {"engine": "sqlite"}),
        ("out.parquet", {}),
        ("shards", {"shards": 3}),
        ("split.jsonl", {"split": "train=0.9,valid=0.1"}),
        ("where.txt", {"where": "bytes > 4 and line like '%7%'"}),
        ("out.parquet", {"select": "upper(line) as u, position, source"}),
        ("out.parquet", {"sql": "select line, min(id) as id from lines group by line"}),
    ],
)
def test_export_gives_the_bytes_of_shuffle_and_of_the_duckdb_store(
    store, name, options, tmp_path, snapshot
):
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    ingest(tmp_path / "s.duckdb", paths)
    told = {"seed": "42", "memory": "2GB", **options}
    found = []
    for kind in ("sqlite", "duckdb", "shuffle"):
        folder = tmp_path / kind
        folder.mkdir()
        if kind == "shuffle":
            dbshuf.shuffle(paths, folder / name, **told)
        else:
            dbshuf.export(tmp_path / f"s.{kind}", folder / name, **told)
        found.append(snapshot(folder))
        found[-1].pop(f"{name}/_manifest.json", None)  # which says what was read
    assert found[0] == found[1] == found[2]


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_typed_rows_come_back_with_every_value(data, tmp_path_factory):
    """All types, nested ones too, with nulls: the very file that shuffle writes."""
    folder = tmp_path_factory.mktemp("typed")
    batch = data.draw(typed_rows.batches(typed_rows.SCHEMA))
    with pa.ipc.new_file(folder / "in.arrow", batch.schema) as file:
        file.write_batch(batch)
    ingest(folder / "s.db", [str(folder / "in.arrow")])
    rows, schema = read_rows(folder / "s.db")
    assert schema == plain_schema(batch.schema, "in.arrow")
    assert list(rows.values()) == batch.to_pylist()
    dbshuf.export(folder / "s.db", folder / "export.arrow", seed=1, memory="2GB")
    dbshuf.shuffle(folder / "in.arrow", folder / "shuffle.arrow", seed=1, memory="2GB")
    assert (folder / "export.arrow").read_bytes() == (folder / "shuffle.arrow").read_bytes()
    shutil.rmtree(folder)


def test_typed_rows_are_those_of_the_duckdb_store(tmp_path):
    """Parquet in, Parquet out, and the values are what SQL calls them."""
    table = pa.Table.from_batches([typed_rows.many_rows(5000)])
    pq.write_table(table, tmp_path / "in.parquet")
    for kind in ("sqlite", "duckdb"):
        ingest(tmp_path / f"s.{kind}", [str(tmp_path / "in.parquet")])
        dbshuf.export(
            tmp_path / f"s.{kind}",
            tmp_path / f"{kind}.parquet",
            seed=1,
            memory="2GB",
            where="number % 2 = 0 or text is null",
        )
    assert (tmp_path / "sqlite.parquet").read_bytes() == (tmp_path / "duckdb.parquet").read_bytes()
    ((total,),) = ask(tmp_path / "s.sqlite", "SELECT sum(number) FROM lines WHERE text NOT NULL")
    text, number = table["text"].to_pylist(), table["number"].to_pylist()
    assert total == sum(n or 0 for t, n in zip(text, number, strict=True) if t is not None)


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.float16()], ids=str)
def test_floats_keep_their_bits(kind):
    bits = [0x7FF8000000000001, 0xFFF8000000000000, 1 << 63, 0, 0x7FF << 52, 1]
    given_values = np.array(bits, np.uint64).view(np.float64)
    array = pa.array(given_values.astype(kind.to_pandas_dtype()), kind)
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE t (x {declared_type(kind)})")
        connection.executemany("INSERT INTO t VALUES (?)", ([v] for v in to_values(array)))
        values = [value for (value,) in connection.execute("SELECT x FROM t")]
    assert of_values(values, kind).to_numpy().tobytes() == array.to_numpy().tobytes()


def test_any_bytes_come_back_from_a_binary_store(tmp_path):
    """Also lines that are no UTF-8, in threads, in small buffers."""
    data = bytes(range(1, 256)) * 40 + b"\0\n\xff"
    ingest(tmp_path / "s.db", written(tmp_path, a=b"text\n" + data), binary=True)
    want = [(row, line) for row, line in _numbered(b"text\n" + data)]
    assert read_lines(tmp_path / "s.db", workers=3) == want


def _numbered(data):
    position = 0
    for line in data.split(b"\n"):
        yield position, line + b"\n"
        position += len(line) + 1


def test_ids_from_half_of_all_on_are_negative_and_in_their_place(tmp_path, store):
    """Ordinals beyond 2^19 do not fit in a signed number."""
    info = open_store(store)
    connection = sqlite3.connect(store)
    rows = [(signed(2**63 - 2), "s", "below"), (signed(2**63 + 5), "s", "beyond")]
    connection.executemany("INSERT INTO lines VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    with sqlite.SqliteStore().reading(info, memory_bytes=1 << 20, readers=1) as reader:
        found = reader()
        batches = list(found.rows(2**62, 2**64, 10))
        found.close()
    table = pa.Table.from_batches(batches)
    assert table["id"].to_pylist() == [2**63 - 2, 2**63 + 5]
    assert table["line"].to_pylist() == ["below", "beyond"]


# --- appends and failures -----------------------------------------------------------------


def test_what_is_there_is_left_out_and_the_rest_is_added(store, tmp_path):
    more = written(tmp_path, c=b"one\ntwo\n")
    result = ingest(store, [str(tmp_path / "a"), *more])
    assert [one.is_added for one in result.inputs] == [False, True]
    dbshuf.export(store, tmp_path / "out.txt", seed="42", memory="2GB")
    want = reference.shuffled([A, B, b"one\ntwo\n"], "42")
    assert (tmp_path / "out.txt").read_bytes() == want
    os.utime(tmp_path / "a", ns=(1, 1))
    assert not ingest(store, [str(tmp_path / "a")]).rows
    (tmp_path / "a").write_bytes(A + b"more\n")
    with pytest.raises(StoreInvalid, match="changed since it was added"):
        ingest(store, [str(tmp_path / "a")])


def test_an_input_that_fails_leaves_nothing_of_it(store, tmp_path, snapshot):
    """The inputs before it are in, whole; no journal stays behind."""
    paths = written(tmp_path, c=b"one\n" * 9, d=b"good\n" * 60_000 + b"\xff\n", e=b"never\n")
    with pytest.raises(NotUtf8):
        ingest(store, paths)
    assert ask(store, "SELECT count(*), max(ordinal) FROM sources") == [(3, 2)]
    assert ask(store, "SELECT count(*) FROM lines WHERE line IN ('good', 'never')") == [(0,)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "d", "e", "s.sqlite"]
    with pytest.raises(NotUtf8):
        ingest(tmp_path / "new.sqlite", paths[1:])
    dbshuf.export(store, tmp_path / "out.txt", seed="42", memory="2GB")
    assert (tmp_path / "out.txt").read_bytes() == reference.shuffled([A, B, b"one\n" * 9], "42")


def test_a_killed_ingest_changes_nothing_and_can_be_repeated(start, wait_for, home, cli):
    reference.write_numbered(home / "small.txt", 1000, 50)
    reference.write_numbered(home / "large.txt", 400_000, 147)
    assert cli("ingest", "s.sqlite", "small.txt").code == 0
    child = start("ingest", "s.sqlite", "large.txt", "--memory", "400MB")
    wait_for(lambda: (home / "s.sqlite").stat().st_size > 20_000_000, "rows on disk", 60)
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    ran = cli("export", "s.sqlite", "--seed", "42")
    assert ran.code == 0, ran.err
    assert ran.out == reference.shuffled([(home / "small.txt").read_bytes()], "42")
    assert ask(home / "s.sqlite", "SELECT count(*) FROM lines") == [(1000,)]
    ran = cli("ingest", "s.sqlite", "small.txt", "large.txt")
    assert ran.code == 0, ran.err
    assert ask(home / "s.sqlite", "SELECT count(*) FROM lines") == [(401_000,)]


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE sources",
        "DELETE FROM store",
        "UPDATE store SET format = 2",
        "UPDATE store SET id_column = 'other'",
        "UPDATE store SET arrow_schema = 'text'",
        "DELETE FROM lines WHERE id = 0",
        "UPDATE lines SET line = NULL WHERE id = 0",
        "UPDATE lines SET line = x'ff' WHERE id = 0",
        "UPDATE sources SET ordinal = 7 WHERE ordinal = 0",
        "UPDATE sources SET text_bytes = x'00' WHERE ordinal = 0",
        "UPDATE sources SET rows = -1 WHERE ordinal = 0",
        "UPDATE sources SET digest = x'07' WHERE ordinal = 0",
        "UPDATE store SET terminator = 'x'",
        "UPDATE store SET kind = 'x'",
        "UPDATE store SET header_lines = 'x'",
        "UPDATE store SET json_structure = 'source'",
    ],
)
def test_what_something_else_changed_is_no_store(change, store, tmp_path):
    """Told as the DuckDB store tells it; no output."""
    connection = sqlite3.connect(store)
    connection.execute(change)
    connection.commit()
    connection.close()
    with pytest.raises((StoreInvalid, NotUtf8)):
        dbshuf.export(store, tmp_path / "out.parquet", seed="42", memory="2GB")
    assert not (tmp_path / "out.parquet").exists()


def test_a_damaged_file_is_no_store(store, tmp_path):
    data = bytearray(store.read_bytes())
    data[20_000:] = os.urandom(len(data) - 20_000)
    store.write_bytes(data)
    with pytest.raises(StoreInvalid, match="SQLite says"):
        dbshuf.export(store, tmp_path / "out.txt", seed="42", memory="2GB")
    (tmp_path / "other.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 200)
    assert not is_store(tmp_path / "other.sqlite")


def test_names_in_a_store_that_are_no_utf8_are_told(store):
    """Python's sqlite3 ends its own message with a UnicodeDecodeError."""
    data = store.read_bytes()
    at = data.index(b"lineslines")
    store.write_bytes(data[:at] + b"\xff" + data[at + 1 :])
    with pytest.raises(StoreInvalid, match="no UTF-8"):
        open_store(store)


def test_a_store_that_another_program_writes_is_told(store, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "_PATIENCE_S", 0.05)
    connection = sqlite3.connect(store, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(InputUnreadable, match="locked"):
            dbshuf.export(store, tmp_path / "out.txt", memory="2GB")
        with pytest.raises((OutputUnwritable, InputUnreadable), match="locked"):
            ingest(store, written(tmp_path, c=b"x\n"))
    finally:
        connection.close()


def test_errors_of_sqlite_have_kinds(tmp_path):
    for code, kind in (
        (sqlite3.SQLITE_FULL, OutputSpaceShort),
        (sqlite3.SQLITE_NOMEM, MemoryTooSmall),
        (sqlite3.SQLITE_TOOBIG, LineTooLong),
        (sqlite3.SQLITE_IOERR, OutputUnwritable),
        (sqlite3.SQLITE_CORRUPT, StoreInvalid),
    ):
        error = sqlite3.OperationalError("words")
        error.sqlite_errorcode = code
        assert type(sqlite._explained(error, tmp_path, is_written=True)) is kind


# --- which engine ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "engine", "magic"),
    [
        ("s.sqlite", None, b"SQLite"),
        ("s.SQLITE3", None, b"SQLite"),
        ("s.db", None, b"SQLite"),
        ("s", "sqlite", b"SQLite"),
        ("s.duckdb", None, b"DUCK"),
        ("s.db", "duckdb", b"DUCK"),
        ("s", None, b"DUCK"),
    ],
)
def test_the_name_or_the_option_tells_the_engine(name, engine, magic, tmp_path):
    ingest(tmp_path / name, written(tmp_path, a=A), engine=engine)
    assert magic in (tmp_path / name).read_bytes()[:16]
    assert open_store(tmp_path / name).rows == 3004


def test_what_an_engine_cannot_do_is_refused(store, tmp_path):
    more = written(tmp_path, c=b"x\n")
    with pytest.raises(StoreInvalid, match="is a SQLite database, and --engine is duckdb"):
        ingest(store, more, engine="duckdb")
    with pytest.raises(UsageError, match="--pack is for a DuckDB database"):
        ingest(tmp_path / "t.sqlite", more, pack=True)
    with pytest.raises(UsageError, match="--engine `spark`: a store is a database of one of"):
        ingest(tmp_path / "t", more, engine="spark")
    assert not (tmp_path / "t").exists()
