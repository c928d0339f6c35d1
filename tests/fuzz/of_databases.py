"""Damaged databases, as inputs and as stores: the rows their engine reads, or an error in words.

DuckDB has a checksum of every block, so its rows are those that were written. SQLite has none: what
its own reader in Python makes of the same bytes is what is right. Tables of a store are changed by
SQL too, as any client of its engine could.
"""

import contextlib
import json
import os
import random
import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mutation import Target
from of_tables import _next_ns

import dbshuf
from dbshuf.errors import DbshufError
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.tables.reader import open_tables

Edit = tuple[str, int, bytes]  # what is done, where, with what
Given = tuple[str, list[Edit]]  # name of a database, what is done to it

_MEMORY = "3GB"
_ROWS = 60
_TABLE = pa.table(
    {
        "n": pa.array(range(_ROWS), pa.int64()),
        "t": [None if n % 7 == 3 else f"text é {n % 5}" * (1 + n % 9) for n in range(_ROWS)],
        "r": [n / 4 for n in range(_ROWS)],
        "b": [bytes([n, 255 - n]) for n in range(_ROWS)],
    }
)
_LINES = b"".join(b"line %d %s\n" % (n, b"x" * (n % 50)) for n in range(_ROWS))
_ODD = [b"\0", b"\xff", b"\x80", b"\x7f", b"\0" * 4, b"\xff" * 8, b"\x0d", b"\xff" * 64]
_OF_SQL = """NULL -1 0 1 2 9223372036854775807 1.5 '' 'x' 'rows' 'lines' x'ff' x'' '[' '{}' '{"a":'
'{"a":"BIGINT"}' '"JSON"' 'id' 'line' 'source' '2020-01-01' x'0a' x'00' 'é' 'csv' 'duckdb'"""
_OF_STORE = """format order_version kind is_binary terminator header_lines header id_column
source_column row_group_rows arrow_schema json_structure"""
_OF_SOURCES = """ordinal source path table_name size_bytes changed_ns digest rows text_bytes
longest_bytes vector_bytes ingested_at"""
_SCHEMAS = [_TABLE.schema.field(name).with_name("n") for name in _TABLE.schema.names]
_SCHEMAS += [pa.field("n", pa.list_(pa.int64())), pa.field("n", pa.month_day_nano_interval())]
_VALUES = [*_OF_SQL.split()]
_VALUES += [f"x'{pa.schema([one]).serialize().to_pybytes().hex()}'" for one in _SCHEMAS]
_COLUMNS = [f"store.{name}" for name in _OF_STORE.split()]
_COLUMNS += [f"sources.{name}" for name in _OF_SOURCES.split()]
_COLUMNS += ["lines.id", "lines.source", "lines.line", "lines.n", "lines.t", "lines.r"]


@dataclass(frozen=True)
class Base:
    """A sound database, where its bytes mean something, and the log that lies beside it.

    wanted  its rows, or what a run with seed 1 writes of it; None: what SQLite reads
    """

    data: bytes
    places: Sequence[int]
    wanted: Any
    log: tuple[str, bytes] = ("", b"")


def _base(name: str, wanted: Any, log: str = "") -> Base:
    data = Path(name).read_bytes()
    places = np.flatnonzero(np.frombuffer(data, np.uint8)).tolist()
    return Base(data, places, wanted, (log, Path(name + log).read_bytes() if log else b""))


@cache
def _sound(name: str) -> Base:
    """Make a sound database, in a folder that is gone afterwards."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory(dir=before) as folder:
        os.chdir(folder)
        try:
            return _INPUTS[name](name) if name in _INPUTS else _new_store(name)
        finally:
            os.chdir(before)


def _fill_sqlite(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE t (n INTEGER, t TEXT, r REAL, b BLOB)")
    rows = [tuple(row.values()) for row in _TABLE.to_pylist()]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    connection.execute("CREATE INDEX of_n ON t (n)")
    connection.execute("CREATE VIEW v AS SELECT n FROM t")
    connection.commit()


def _sqlite_input(name: str, page_bytes: int = 1024) -> Base:
    with contextlib.closing(sqlite3.connect(name)) as connection:
        connection.execute(f"PRAGMA page_size = {page_bytes}")
        _fill_sqlite(connection)
    return _base(name, None)


def _sqlite_wal(name: str) -> Base:
    """What was written last is in the log beside it."""
    with contextlib.closing(sqlite3.connect(name)) as connection:
        connection.execute("PRAGMA page_size = 512")
        connection.execute("PRAGMA journal_mode = wal")
        _fill_sqlite(connection)
        return _base(name, None, "-wal")


def _duckdb_input(name: str, is_logged: bool = False) -> Base:
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{name}' AS d (BLOCK_SIZE 16384)")
        connection.register("feed", _TABLE)
        if is_logged:
            connection.execute("CREATE TABLE d.t AS FROM feed LIMIT 0")
            connection.execute("CHECKPOINT d")
            connection.execute("INSERT INTO d.t FROM feed")
            return _base(name, _TABLE.to_pylist(), ".wal")
        connection.execute("CREATE TABLE d.t AS FROM feed; CREATE VIEW d.v AS SELECT n FROM d.t")
        connection.execute("CHECKPOINT d; DETACH d")
    return _base(name, _TABLE.to_pylist())


_INPUTS = {
    "a.sqlite": _sqlite_input,
    "wal.sqlite": _sqlite_wal,
    "a.duckdb": _duckdb_input,
    "wal.duckdb": lambda name: _duckdb_input(name, is_logged=True),
}
_STORES = ("lines.sqlite", "rows.sqlite", "lines.duckdb", "rows.duckdb")


def _new_store(name: str) -> Base:
    kind = name.split(".", maxsplit=1)[0]
    source = Path("in.txt" if kind == "lines" else "in.parquet")
    if kind == "lines":
        source.write_bytes(_LINES)
    else:
        pq.write_table(_TABLE.drop(["b"]), source)
    dbshuf.ingest(name, str(source), memory=_MEMORY, threads=1)
    return _base(name, _shuffled(source))


@cache
def _shuffled(source: Path) -> bytes:
    dbshuf.shuffle(str(source), "out.jsonl", memory=_MEMORY, threads=1, seed=1)
    return Path("out.jsonl").read_bytes()


def _maker(names: Sequence[str]):
    def make(rng: random.Random) -> Given:
        name = rng.choice(names)
        base = _sound(name)
        edits = [_edit(rng, name, base) for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2, 4)))]
        return name, edits

    return make


def _edit(rng: random.Random, name: str, base: Base) -> Edit:
    """Two in three at bytes that are not zero, or close to them."""
    if name in _STORES and rng.randrange(3) == 0:
        return "sql", 0, f"{rng.choice(_COLUMNS)} = {rng.choice(_VALUES)}".encode()
    if base.log[0] and rng.randrange(2):
        at, place = rng.randrange(len(base.log[1])), "log "
    elif rng.randrange(3):
        at, place = rng.choice(base.places), ""
    else:
        at, place = rng.randrange(len(base.data)), ""
    if rng.randrange(8) == 0:
        return f"{place}cut", at, b""
    if rng.randrange(2):
        return f"{place}flip", at, bytes([1 << rng.randrange(8)])
    return f"{place}put", at, rng.choice(_ODD)


def _written(given: Given) -> bool:
    """Write a database as it is to be read; return whether it is as it was made."""
    name, edits = given
    base = _sound(name)
    data, log = bytearray(base.data), bytearray(base.log[1])
    for kind, at, what in edits:
        place = log if kind.startswith("log ") else data
        if kind.endswith("cut"):
            del place[at:]
        elif kind.endswith("put"):
            place[at : at + len(what)] = what
        elif kind.endswith("flip") and at < len(place):
            place[at] ^= what[0]
    for suffix in ("-wal", "-shm", "-journal", ".wal"):
        Path(name + suffix).unlink(missing_ok=True)
    Path(name).write_bytes(data)
    if base.log[0]:
        Path(name + base.log[0]).write_bytes(log)
    for kind, _, what in edits:
        if kind == "sql":
            _change(name, what.decode())
    os.utime(name, ns=(_next_ns(), _next_ns()))
    return not edits


def _change(name: str, text: str) -> None:
    """Set a column of a table of a store, in one row, as somebody might."""
    column, value = text.split(" = ")
    table, column = column.split(".")
    if name.endswith(".duckdb") and value.startswith("x'"):
        value = f"from_hex({value[1:]})"
    update = f"UPDATE {table} SET {column} = {value} WHERE rowid = (SELECT max(rowid) FROM {table})"
    if name.endswith(".duckdb"):
        with contextlib.suppress(duckdb.Error), duckdb.connect(name) as connection:
            connection.execute(update)
    else:
        faults = (sqlite3.Error, UnicodeError)
        with contextlib.suppress(*faults), contextlib.closing(_opened(name)) as connection:
            connection.execute(update)
            connection.commit()


def _opened(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{name}?mode=rw", uri=True)
    connection.text_factory = bytes
    return connection


def _plain(name: str, query: str) -> list[tuple] | None:
    """Return the rows that Python's sqlite3 reads; None if it fails."""
    try:
        with contextlib.closing(_opened(name)) as connection:
            return connection.execute(query).fetchall()
    except (sqlite3.Error, UnicodeError):
        return None


def _check_input(given: Given) -> bool:
    name, is_whole = given[0], _written(given)
    base = _sound(name)
    try:
        source = open_tables(
            resolve_inputs([name], (), ()),
            name.rpartition(".")[2],
            batch_bytes=1 << 16,
            table="t",
        )
        try:
            rows = [row for batch in source.batches() for row in batch.batch.to_pylist()]
        finally:
            source.close()
    except DbshufError:
        assert not is_whole
        return False
    if base.wanted is not None and not base.log[0]:
        assert rows == base.wanted
    elif base.wanted is not None:  # of a log what is whole at its front
        assert rows == base.wanted[: len(rows)]
    else:
        plain = _plain(name, "SELECT * FROM t")
        assert plain is not None
        values = [tuple(map(_as_sqlite, row.values())) for row in rows]
        assert repr(values) == repr(plain)
    return True


def _as_sqlite(value: object) -> object:
    return value.encode() if isinstance(value, str) else value


def _check_store(given: Given) -> bool:
    """An export writes what the store holds, or nothing and an error in words."""
    name, edits = given
    is_whole, wanted = _written(given), _sound(name).wanted
    out = Path("out.jsonl")
    out.unlink(missing_ok=True)
    try:
        dbshuf.export(name, str(out), seed=1, memory=_MEMORY, threads=1, strategy="memory")
    except DbshufError:
        assert not is_whole
        assert not out.exists()
        return False
    found = out.read_bytes()
    if is_whole or (name.endswith(".duckdb") and not any(kind == "sql" for kind, _, _ in edits)):
        assert found == wanted
    elif name == "rows.sqlite":
        rows = _plain(name, "SELECT * FROM lines")
        assert rows is not None
        assert len(rows) == len(found.splitlines())
        assert all(isinstance(json.loads(line), dict) for line in found.splitlines())
    return True


TARGETS = {
    "sqlite": Target(0.001, _maker(["a.sqlite", "wal.sqlite"]), _check_input),
    "duckdb": Target(0.001, _maker(["a.duckdb", "wal.duckdb"]), _check_input),
    "sqlite-store": Target(0.0002, _maker(_STORES[:2]), _check_store),
    "duckdb-store": Target(0.0002, _maker(_STORES[2:]), _check_store),
}
