"""A store that is a SQLite database; see engine.py.

It is in rollback mode, one transaction an input. What a run that was killed left half-done lies
in the journal beside it, from which whoever opens it next puts back what was there.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from dbshuf.base.row_batch import arrow_numbers
from dbshuf.base.statements import filled, identifier, statement
from dbshuf.errors import (
    DbshufError,
    InputUnreadable,
    LineTooLong,
    MemoryTooSmall,
    OutputSpaceShort,
    OutputUnwritable,
    SchemaMismatch,
    StoreInvalid,
)
from dbshuf.store.description import described
from dbshuf.store.engine import SqlWriter
from dbshuf.store.schema import MADE_ANEW, StoreInfo, no_store
from dbshuf.store.sqlite_values import Value, declared_type, of_values, to_values
from dbshuf.units import KIB, MIB

_PATIENCE_S = 1.0  # for another program that writes
_READING_CACHE_BYTES = 2 * MIB
_MOST_CACHE_BYTES = 32 * MIB  # rows are appended, and what is written before is not read again
_PIECE_ROWS, _PIECE_BYTES = 4096, MIB  # turned into Python's objects at a time
_SIGNED = 1 << 63

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_CLOSED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY)

Connection = sqlite3.Connection


class SqliteStore:
    """SQLite; see engine.StoreEngine."""

    name = "sqlite"
    packs_vectors = False
    log_suffixes: tuple[str, ...] = ("-journal", "-wal", "-shm")

    def create(self, path: Path, columns: pa.Schema, values: dict[str, Any]) -> None:
        id_column, source_column, *row = columns
        declared = [f", {identifier(one.name)} {declared_type(one.type)}" for one in row]
        tables = filled(
            "sqlite",
            "store_create",
            id=identifier(id_column.name),
            source=identifier(source_column.name),
            columns="".join(declared),
        ).text
        with _opened(path, is_written=True, mode="rwc") as connection:
            try:
                connection.executescript(tables)
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_ERROR:
                    raise
                raise SchemaMismatch(
                    f"a SQLite database cannot hold these columns: {error}",
                    hint="leave some out; dbshuf shuffle takes them as they are",
                ) from error
            connection.execute(statement("sqlite", "store_describe"), values)

    def look(self, path: Path) -> StoreInfo:
        with _opened(path, is_written=False) as connection:
            return _describe(connection, path)

    @contextlib.contextmanager
    def reading(
        self, info: StoreInfo, *, memory_bytes: int, readers: int
    ) -> Iterator[Callable[[], "_SqliteRows"]]:
        yield lambda: _SqliteRows(info)

    @contextlib.contextmanager
    def writing(
        self, info: StoreInfo, *, memory_bytes: int, threads: int, folder: Path, packs: bool
    ) -> Iterator["_SqliteWriter"]:
        cache_bytes = min(memory_bytes // 2, _MOST_CACHE_BYTES)
        with _opened(info.path, is_written=True, cache_bytes=cache_bytes) as connection:
            for setting in _settings("store_writing"):
                connection.execute(setting).fetchall()
            connection.execute("BEGIN EXCLUSIVE")  # the lock stays until the end
            connection.execute("COMMIT")
            yield _SqliteWriter(connection, info)

    def told(self, error: Exception, path: Path) -> Exception:
        if isinstance(error, sqlite3.Error | MemoryError):
            return _explained(error, path, is_written=False)
        if isinstance(error, pa.ArrowException | TypeError | ValueError | OverflowError):
            return StoreInvalid(
                f"`{path}`: a value in `lines` has another type than its column: {error}",
                hint=MADE_ANEW,
            )
        return error


def _settings(name: str, **parts: str) -> list[str]:
    text = filled("sqlite", name, **parts).text
    return [one.strip() for one in text.split(";") if one.strip()]


@contextlib.contextmanager
def _opened(
    path: Path, *, is_written: bool, mode: str = "rw", cache_bytes: int = _READING_CACHE_BYTES
) -> Iterator[Connection]:
    """Open a store, and close it at the end. Raises as `_explained`, also for what is done inside.

    mode  of one that is written
    """
    try:
        with contextlib.closing(_connect(path, mode if is_written else "ro")) as connection:
            for setting in _settings("store_settings", cache_kib=str(cache_bytes // KIB)):
                connection.execute(setting).fetchall()
            yield connection
    except (sqlite3.Error, MemoryError, UnicodeError) as error:
        raise _explained(error, path, is_written=is_written) from error


def _connect(path: Path, mode: str) -> Connection:
    if mode == "ro" and os.path.exists(f"{path}-journal"):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(path, "rw")) as other:
            other.execute(statement("sqlite", "store_tables")).fetchone()  # puts it back
    name = quote(os.fsencode(path.absolute()))
    return sqlite3.connect(
        f"file:{name}?mode={mode}",
        uri=True,
        timeout=_PATIENCE_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _describe(connection: Connection, path: Path) -> StoreInfo:
    """Read what a database holds. Raises StoreInvalid if it is no store."""
    try:
        return described(path, "sqlite", connection)
    except sqlite3.OperationalError as error:
        if _code(error) == sqlite3.SQLITE_ERROR:
            raise no_store(path, "sqlite") from error
        raise


class _SqliteRows:
    """A connection of its own for each thread."""

    def __init__(self, info: StoreInfo) -> None:
        self._info = info
        self._stack = contextlib.ExitStack()
        self._connection = self._stack.enter_context(_opened(info.path, is_written=False))
        self._connection.text_factory = bytes
        self._schema = pa.schema([(info.id_column, pa.uint64()), *info.row])
        columns = [identifier(name) for name in self._schema.names]
        self._rows = filled("sqlite", "store_rows", id=columns[0], columns=", ".join(columns)).text

    def lines(self, first: int, end: int, piece_rows: int) -> Generator[pa.RecordBatch]:
        terminator = self._info.terminator
        for ids, (lines,) in self._pieces(first, end, piece_rows):
            ended = pa.array([line + terminator for line in lines], pa.binary())
            yield pa.RecordBatch.from_arrays([ids, ended], ["id", "line"])

    def rows(self, first: int, end: int, piece_rows: int) -> Generator[pa.RecordBatch]:
        for ids, columns in self._pieces(first, end, piece_rows):
            kinds = self._schema.types[1:]
            arrays = [of_values(*pair) for pair in zip(columns, kinds, strict=True)]
            yield pa.RecordBatch.from_arrays([ids, *arrays], schema=self._schema)

    def _pieces(
        self, first: int, end: int, piece_rows: int
    ) -> Iterator[tuple[pa.Array, list[tuple[Any, ...]]]]:
        """Yield ids and columns of the rows whose ids lie in [first, end)."""
        # Ids from 2^63 on are negative, so that they may come before others.
        for begin, stop in ((first, min(end, _SIGNED)), (max(first, _SIGNED), end)):
            if begin >= stop:
                continue
            values = {"first": _signed(begin), "last": _signed(stop - 1)}
            with contextlib.closing(self._connection.execute(self._rows, values)) as found:
                while rows := found.fetchmany(piece_rows):
                    ids, *columns = zip(*rows, strict=True)
                    del rows
                    yield arrow_numbers(np.array(ids, np.int64).view(np.uint64)), columns

    def close(self) -> None:
        self._stack.close()


def _signed(row_id: int) -> int:
    return row_id - 2 * _SIGNED if row_id >= _SIGNED else row_id


class _SqliteWriter(SqlWriter):
    def __init__(self, connection: Connection, info: StoreInfo) -> None:
        super().__init__("sqlite", connection, sqlite3.Error)
        self._connection, self._path, self._info = connection, info.path, info
        self._is_interrupted = False

    def info(self) -> StoreInfo:
        self._info = _describe(self._connection, self._path)
        return self._info

    def insert(self, rows: Iterator[pa.RecordBatch], schema: pa.Schema, source: str) -> int:
        id_column, *names = schema.names
        columns = [identifier(name) for name in (id_column, self._info.source_column, *names)]
        places = ", ".join("?" * len(columns))
        insert = filled("sqlite", "store_insert", columns=", ".join(columns), places=places).text
        inserted = 0
        for batch in rows:
            mean = max(batch.nbytes // max(len(batch), 1), 1)
            step = max(min(_PIECE_BYTES // mean, _PIECE_ROWS), 1)
            for first in range(0, len(batch), step):
                piece = batch.slice(first, step)
                ids = piece.column(0).to_numpy().view(np.int64).tolist()
                others: list[list[Value]] = [to_values(column) for column in piece.columns[1:]]
                values = zip(ids, [source] * len(ids), *others, strict=True)
                inserted += self._connection.executemany(insert, values).rowcount
                if self._is_interrupted:
                    raise sqlite3.OperationalError("interrupted")
        return inserted

    def interrupt(self) -> None:
        self._is_interrupted = True
        self._connection.interrupt()

    def finish(self) -> None:
        """Do nothing: what is committed lies in the file."""


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _explained(error: Exception, path: Path, *, is_written: bool) -> DbshufError:
    """Return what to tell the user for an error of SQLite that opens, reads or writes a store."""
    code, words = _code(error), str(error).strip() or type(error).__name__
    if isinstance(error, UnicodeError):
        return StoreInvalid(f"`{path}`: a name in it is no UTF-8", hint=MADE_ANEW)
    if code == sqlite3.SQLITE_FULL:
        return OutputSpaceShort(
            f"`{path}`: the disk is full: {words}",
            hint="free space there, and run this again; what was added before is whole",
        )
    if code == sqlite3.SQLITE_NOMEM or isinstance(error, MemoryError):
        return MemoryTooSmall(
            f"`{path}`: --memory leaves SQLite too little: {words}", hint="pass a larger --memory"
        )
    if code == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError):
        return LineTooLong(
            f"`{path}`: a row is longer than SQLite takes: {words}",
            hint="make a store of DuckDB, by a name that ends in .duckdb",
        )
    if code in _BUSY or code in _CLOSED or (is_written and code == sqlite3.SQLITE_IOERR):
        kind = OutputUnwritable if is_written else InputUnreadable
        hint = "check the path and its permissions"
        if code in _BUSY:
            hint = "another program has it open: close it there"
        return kind(f"cannot open `{path}`: {words}", hint=hint)
    return StoreInvalid(f"`{path}`: SQLite says: {words}", hint="make a new store")
