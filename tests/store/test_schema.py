"""The database: what any client sees of it, what dbshuf says of it, what is no store."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import ORDER_VECTORS
from store_tools import ask, written

from dbshuf.api import ingest
from dbshuf.base.key import row_keys
from dbshuf.base.statements import shuffle_key
from dbshuf.errors import (
    DbshufError,
    InputMissing,
    InputUnreadable,
    MemoryTooSmall,
    OutputSpaceShort,
    OutputUnwritable,
    SchemaMismatch,
    StoreInvalid,
    TempSpaceShort,
)
from dbshuf.store.create import place_names
from dbshuf.store.opening import is_store, open_store
from dbshuf.store.schema import check_storable, explained

VECTORS = json.loads(ORDER_VECTORS.read_text("utf-8"))
INTERVALS = pa.list_(pa.struct([("i", pa.month_day_nano_interval())]))
A, B = b"one\n\ntwo\r\n" + "été 雪\n".encode(), b"b\n" * 40 + b"l\0st"

HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reader")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path):
    """A store of two inputs."""
    ingest(tmp_path / "s.duckdb", written(tmp_path, a=A, b=B))
    return tmp_path / "s.duckdb"


@pytest.fixture(scope="module")
def macro():
    """A database that has the macro and no more."""
    with duckdb.connect() as connection:
        connection.execute(f"create macro shuffle_key(seed, id) as {shuffle_key()}")
        yield connection


def test_plain_sql_gives_the_order_of_shuffle(store):
    """Without dbshuf, with any seed."""
    for seed in ("42", "it's 雪", ""):
        quoted = seed.replace("'", "''")
        found = ask(store, f"select line from lines order by shuffle_key('{quoted}', id)")
        wanted = [line.decode()[:-1] for _, line in reference.keyed([A, B], seed)]
        assert [line for (line,) in found] == wanted


def test_the_macro_meets_the_vectors(macro):
    """The same file that the other forms of the key are tested against."""
    for vector in VECTORS["keys"]:
        found = macro.execute("select shuffle_key(?, ?)", [vector["seed"], vector["id"]])
        assert found.fetchall() == [(vector["key"],)]


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(
    ids=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30),
    seed=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
)
def test_the_macro_and_numpy_give_one_key(ids, seed, macro):
    """Ids of all 64 bits, seeds of any characters."""
    array = np.array(ids, np.uint64)
    macro.register("few", pa.table({"id": array}))
    found = macro.execute("select id, shuffle_key(?, id) from few", [seed]).fetchall()
    assert dict(found) == dict(zip(ids, row_keys(array, seed).tolist(), strict=True))


def test_a_constant_seed_is_hashed_once_not_per_row(macro):
    """Hashing takes 7 us, the rest of the key 30 ns a row."""
    plan = macro.execute("explain select shuffle_key('42', range) from range(9)").fetchall()[0][1]
    assert "sha256" not in plan
    assert "16145977406113917788" in plan.replace("\n", "")  # the first word of this seed


def test_the_macro_works_by_the_name_of_its_database(store):
    """ATTACH, and no USE."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{store}' as corpus (read_only)")
        found = connection.sql("select corpus.shuffle_key('7', id), id from corpus.lines")
        assert all(key == reference.key(row, "7") for key, row in found.fetchall())


def test_tables_say_what_there_is(store, tmp_path):
    """Every column of `sources`, and the types of `lines`."""
    described = ask(store, "describe lines")
    assert [row[:2] for row in described] == [
        ("id", "UBIGINT"),
        ("source", "VARCHAR"),
        ("line", "VARCHAR"),
    ]
    (row,) = ask(store, "select * exclude (changed_ns, ingested_at) from sources where ordinal = 0")
    path = str(tmp_path / "a")
    digest = hashlib.sha256(A).hexdigest()
    assert row == (0, path, path, None, len(A), digest, 4, len(A), 10, len(A))
    ((changed, seconds),) = ask(
        store,
        "select changed_ns, epoch(now()) - epoch(ingested_at) from sources where ordinal = 0",
    )
    assert changed == (tmp_path / "a").stat().st_mtime_ns
    assert 0 <= seconds < 600


def test_open_store_says_what_it_holds(store):
    """What a plan is made of, without a look at a line."""
    info = open_store(store)
    assert (info.kind, info.is_binary, info.terminator, info.schema) == (
        "lines",
        False,
        b"\n",
        None,
    )
    assert (info.rows, info.text_bytes) == (4 + 41, len(A) + len(B) + 1)
    assert [(one.ordinal, one.name) for one in info.inputs] == [
        (one.ordinal, one.source) for one in info.sources
    ]
    survey = info.survey()
    assert (survey.text_bytes, survey.is_exact) == (info.text_bytes, True)
    assert survey.longest_line_bytes == 10


@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize(("pack", "method"), [(False, "Uncompressed"), (True, "FSST")])
def test_lines_are_packed_where_asked_as_every_duckdb_since_1_2_reads(
    calls, pack, method, tmp_path
):
    """FSST takes a third less time than what later files hold, also in a store that grows."""
    path = tmp_path / "s.duckdb"
    for call in range(calls):
        text = b"".join(b"line %d of %d\n" % (n * 7919, call) for n in range(30_000))
        ingest(path, written(tmp_path, **{f"t{call}": text}), pack=pack)
    version = "select tags['storage_version'] from duckdb_databases() where database_name = 's'"
    assert ask(path, version) == [("v1.2.0+",)]
    packed = """select distinct compression from pragma_storage_info('lines')
        where column_name = 'line' and segment_type = 'VARCHAR'"""
    assert ask(path, packed) == [(method,)]


def test_a_store_that_moved_is_the_same_store(store, tmp_path):
    """It names its inputs by their own absolute paths."""
    (tmp_path / "elsewhere").mkdir()
    moved = store.rename(tmp_path / "elsewhere" / "t.duckdb")
    result = ingest(moved, [tmp_path / "a", tmp_path / "b"])
    assert [one.is_added for one in result.inputs] == [False, False]


@pytest.mark.parametrize("sql", ["select 1", "create table lines (line text)", "views"])
def test_another_database_is_no_store_and_is_left_alone(sql, tmp_path):
    """Also one whose tables are views, which could name any file of the reader's."""
    other, inputs = tmp_path / "o.duckdb", written(tmp_path, a=A)
    with duckdb.connect(str(other)) as connection:
        if sql == "views":
            for name in ("lines", "sources", "store"):
                connection.execute(f"create view {name} as select * from read_text('/etc/hosts')")
        else:
            connection.execute(sql)
    before = other.read_bytes()
    for action in (lambda: open_store(other), lambda: ingest(other, inputs)):
        with pytest.raises(StoreInvalid, match=r"o\.duckdb"):
            action()
    assert not is_store(other)
    assert other.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no database " * 1000, b"SQLite format 3\0" * 100])
def test_a_file_that_is_no_database_is_left_alone(content, tmp_path):
    """Whatever is at the place of the store."""
    path, inputs = tmp_path / "junk", written(tmp_path, a=A)
    path.write_bytes(content)
    with pytest.raises(StoreInvalid, match="junk"):
        ingest(path, inputs)
    assert not is_store(path)
    assert path.read_bytes() == content


def test_a_store_of_a_later_format_is_refused(store):
    """Its tables may mean something else."""
    with duckdb.connect(str(store)) as connection:
        connection.execute("update store set format = 2")
    with pytest.raises(StoreInvalid, match="format 2"):
        open_store(store)


def test_a_missing_store_is_missing(tmp_path):
    with pytest.raises(InputMissing, match="absent"):
        open_store(tmp_path / "absent.duckdb")


@pytest.mark.parametrize("holder", ["writer", "reader"])
def test_a_store_that_another_program_holds_is_named(holder, store, tmp_path):
    """With what to do; a reader keeps writers out, and no reader."""
    command = [sys.executable, "-c", HOLD, str(store), holder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline() == b"open\n"
            with pytest.raises((OutputUnwritable, InputUnreadable), match=r"s\.duckdb") as caught:
                ingest(store, written(tmp_path, c=b"c\n"))
            assert "another program" in caught.value.hint
            assert str(child.pid) in caught.value.message
            assert is_store(store) == (holder == "reader")
        finally:
            child.stdin.close()
    assert ingest(store, [tmp_path / "c"]).rows == 1


def test_a_store_that_this_program_holds_is_named(store, tmp_path):
    """DuckDB takes a file once a process."""
    with duckdb.connect(str(store)):
        for action in (lambda: open_store(store), lambda: ingest(store, [tmp_path / "a"])):
            with pytest.raises(DbshufError, match="already attached") as caught:
                action()
            assert "close it" in caught.value.hint


def test_columns_that_the_row_has_keep_their_names():
    """Those of dbshuf give way, whatever the case."""
    assert place_names(None) == ("id", "source")
    assert place_names(pa.schema([("n", pa.int8())])) == ("id", "source")
    taken = pa.schema([(name, pa.int8()) for name in ("ID", "dbshuf_id", "Source")])
    assert place_names(taken) == ("dbshuf_id_", "dbshuf_source")
    with pytest.raises(SchemaMismatch, match="`A` and `a`"):
        place_names(pa.schema([("A", pa.int8()), ("a", pa.int8())]))


@pytest.mark.parametrize(
    ("given", "found", "is_kept"),
    [
        (pa.timestamp("s"), pa.timestamp("us"), True),
        (pa.timestamp("ns", "UTC"), pa.timestamp("us", "UTC"), False),
        (pa.timestamp("us", "Europe/Rome"), pa.timestamp("us", "UTC"), True),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), False),
        (pa.time32("ms"), pa.time64("us"), True),
        (pa.binary(4), pa.binary(), True),
        (pa.decimal128(9, 2), pa.decimal128(9, 3), False),
        (pa.list_(pa.time32("s")), pa.list_(pa.time64("us")), True),
        (pa.struct([("a", pa.int8())]), pa.struct([("b", pa.int8())]), False),
        (pa.null(), pa.int32(), True),
        (pa.uint64(), pa.int64(), False),
        (pa.month_day_nano_interval(), pa.month_day_nano_interval(), True),
        (INTERVALS, INTERVALS, False),
    ],
)
def test_only_types_that_come_back_whole_are_stored(given, found, is_kept):
    """A store gives the very columns of `shuffle`, or refuses them."""
    given, found = pa.schema([("x", given)]), pa.schema([("x", found)])
    if is_kept:
        check_storable(given, found)
    else:
        with pytest.raises(SchemaMismatch, match="`x`"):
            check_storable(given, found)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("Out of Memory Error: failed to offload data block of size 160.0 KiB", TempSpaceShort),
        ("Failed to commit: failed to pin block of size 980.0 KiB", MemoryTooSmall),
        ("IO Error: Could not write file: No space left on device", OutputSpaceShort),
        ("IO Error: Could not set lock on file", OutputUnwritable),
        ("Serialization Error: version number 99 was written by a later DuckDB", StoreInvalid),
    ],
)
def test_what_duckdb_says_is_told_apart(words, error):
    """A full disk, a full temporary directory and a full memory look much alike there."""
    found = explained(duckdb.Error(words), Path("s.duckdb"), is_written=True)
    assert type(found) is error
    assert "s.duckdb" in found.message
    assert found.hint


def test_as_many_threads_as_there_is_memory_for_fill_a_store(tmp_path, monkeypatch):
    """DuckDB starts all that it is told of."""
    told, connect = [], duckdb.connect

    def connected(*args, config=None, **more):
        told.append((config or {}).get("threads", 1))
        return connect(*args, config=config or {}, **more)

    monkeypatch.setattr(duckdb, "connect", connected)
    found = ingest(tmp_path / "s.duckdb", written(tmp_path, a=A), threads=2**62, memory="3GB")
    assert found.rows == A.count(b"\n")
    assert 2 < max(told) < 1000
