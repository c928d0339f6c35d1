"""A store that is a DuckDB database; see engine.py."""

import contextlib
import os
import stat
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from dbshuf.base.durable import EarlyWriteback
from dbshuf.base.statements import filled, identifier, quoted, shuffle_key, statement
from dbshuf.errors import SchemaMismatch
from dbshuf.query.result_types import not_taken
from dbshuf.store.description import described
from dbshuf.store.engine import SqlWriter
from dbshuf.store.schema import (
    BESIDE_BYTES,
    UNSTORED_HINT,
    StoreInfo,
    attached,
    check_storable,
    explained,
)
from dbshuf.units import MIB

_LOOK_BYTES = 64 * MIB  # DuckDB's limit where only what the store holds is asked for
_ENGINE_BYTES = 64 * MIB  # of DuckDB, for empty tables
_MOST_KEPT_BYTES = 256 * MIB  # of blocks

# From v1.3.0 on a file packs text as DICT_FSST, before that as FSST, which takes 8 CPU seconds
# for 500 MB of 147-byte lines instead of 11.5, the same 244 MB, and 0.4 s to be read again
# (duckdb 2.0.1). DuckDB 1.2 opens it too. Columns of rows may need types that came later. As it
# is text takes 1.2 times its bytes and less than half of the CPU time, see store_unpacked.sql.
_STORAGE_OF_LINES = "v1.2.0"

Connection = duckdb.DuckDBPyConnection


class DuckdbStore:
    """DuckDB; see engine.StoreEngine."""

    name = "duckdb"
    packs_vectors = True
    log_suffixes: tuple[str, ...] = (".wal",)

    def create(self, path: Path, columns: pa.Schema, values: dict[str, Any]) -> None:
        with attached(
            path,
            memory_bytes=_ENGINE_BYTES,
            threads=1,
            row_group_rows=values["row_group_rows"],
            storage_version=_STORAGE_OF_LINES if values["kind"] == "lines" else None,
        ) as connection:
            _fill(connection, columns)
            connection.execute(statement("duckdb", "store_describe"), values)
            connection.execute("CHECKPOINT dbshuf")

    def look(self, path: Path) -> StoreInfo:
        with attached(path, memory_bytes=_LOOK_BYTES, threads=1) as connection:
            return described(path, "duckdb", connection)

    @contextlib.contextmanager
    def reading(
        self, info: StoreInfo, *, memory_bytes: int, readers: int
    ) -> Iterator[Callable[[], "_DuckdbRows"]]:
        limit = memory_bytes - readers * BESIDE_BYTES
        with attached(info.path, memory_bytes=limit, threads=1) as connection:
            yield lambda: _DuckdbRows(connection.cursor(), info)

    @contextlib.contextmanager
    def writing(
        self, info: StoreInfo, *, memory_bytes: int, threads: int, folder: Path, packs: bool
    ) -> Iterator["_DuckdbWriter"]:
        with (
            contextlib.closing(
                EarlyWriteback(info.path)
            ) as early,  # after DuckDB, which has a lock
            attached(
                info.path,
                memory_bytes=memory_bytes,
                threads=threads,
                folder=folder,
                row_group_rows=info.row_group_rows,
            ) as connection,
        ):
            _keep_blocks(connection, min(memory_bytes // 2, _MOST_KEPT_BYTES))
            if info.schema is None and not packs:
                connection.execute(statement("duckdb", "store_unpacked"))
            yield _DuckdbWriter(connection, info, early)
        with contextlib.suppress(OSError):  # DuckDB leaves the log that it had no use for
            if not (log := _log_of(info.path)).stat().st_size:
                log.unlink()

    def told(self, error: Exception, path: Path) -> Exception:
        if isinstance(error, duckdb.Error | OSError | RuntimeError):
            return explained(error, path, is_written=False)
        return error


def _keep_blocks(connection: Connection, size: int) -> None:
    """Have DuckDB keep memory for blocks rather than give it back and ask for it again.

    Of 1 GB that is stored, half of the time in the kernel goes with that (duckdb 2.0.1).
    """
    with contextlib.suppress(duckdb.Error):  # it is no less right where there is no such setting
        connection.execute(filled("duckdb", "store_blocks", size=quoted(f"{size}B")).text)


def _log_of(path: Path) -> Path:
    """Return where DuckDB keeps the log of a store: beside what a link points to."""
    return Path(f"{os.path.realpath(path)}.wal")


def _fill(connection: Connection, columns: pa.Schema) -> None:
    """Make the tables; SchemaMismatch for a column of a row that would not come back."""
    try:
        connection.register("feed", pa.Table.from_batches([], columns))
        back = connection.sql("FROM feed").to_arrow_table().schema
    except (duckdb.Error, pa.ArrowException) as error:
        raise SchemaMismatch(
            f"a DuckDB database cannot hold {not_taken(connection, columns)}", hint=UNSTORED_HINT
        ) from error
    check_storable(pa.schema([*columns][2:]), pa.schema([*back][2:]))
    connection.execute(filled("duckdb", "store_create", key=shuffle_key()).text)
    connection.unregister("feed")


class _DuckdbRows:
    def __init__(self, cursor: Connection, info: StoreInfo) -> None:
        self._cursor = cursor
        cursor.execute(statement("duckdb", "store_quiet"))
        columns = [identifier(name) for name in (info.id_column, *info.row.names)]
        self._rows = filled("duckdb", "store_rows", id=columns[0], columns=", ".join(columns)).text
        self._end = info.terminator if info.is_binary else info.terminator.decode("ascii")

    def lines(self, first: int, end: int, piece_rows: int) -> Generator[pa.RecordBatch]:
        values = {"terminator": self._end, "first": first, "end": end}
        yield from self._pieces(statement("duckdb", "store_lines"), values, piece_rows)

    def rows(self, first: int, end: int, piece_rows: int) -> Generator[pa.RecordBatch]:
        yield from self._pieces(self._rows, {"first": first, "end": end}, piece_rows)

    def _pieces(
        self, query: str, values: dict[str, Any], piece_rows: int
    ) -> Generator[pa.RecordBatch]:
        found = self._cursor.sql(query, params=values)
        with contextlib.closing(found.to_arrow_reader(piece_rows)) as reader:
            yield from filter(len, reader)

    def close(self) -> None:
        self._cursor.close()


class _DuckdbWriter(SqlWriter):
    def __init__(self, connection: Connection, info: StoreInfo, early: EarlyWriteback) -> None:
        super().__init__("duckdb", connection, duckdb.Error)
        self._connection, self._path, self._early = connection, info.path, early

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """As of any engine; the log has rows too, and nobody reads it who may not read the store.

        DuckDB makes one with the umask's mode where there is none.
        """
        with contextlib.suppress(OSError):
            mode = stat.S_IMODE(os.stat(self._path).st_mode) & 0o666
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(_log_of(self._path), flags, mode))
        with super().transaction():
            yield

    def info(self) -> StoreInfo:
        self._info = described(self._path, "duckdb", self._connection)
        return self._info

    def insert(self, rows: Iterator[pa.RecordBatch], schema: pa.Schema, source: str) -> int:
        name = identifier(self._info.source_column)
        insert = filled("duckdb", "store_insert", source=name).text
        reader = pa.RecordBatchReader.from_batches(schema, self._watched(rows))
        try:
            self._connection.register("feed", reader)
            found = self._connection.execute(insert, {"source": source}).fetchall()
            return int(found[0][0])
        finally:
            with contextlib.suppress(duckdb.Error, ValueError):
                self._connection.unregister("feed")

    def _watched(self, rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in rows:
            self._early.look()
            yield batch

    def interrupt(self) -> None:
        self._connection.interrupt()

    def finish(self) -> None:
        self._connection.execute("CHECKPOINT dbshuf")
