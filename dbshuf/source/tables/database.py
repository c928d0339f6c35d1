"""What --table means: a table or a view of a database file by its name, or else a query.

One thread reads, so that the rows of a query come in the same order every time. What an
engine does in its own way is in duckdb.py and sqlite.py; the rest is here.
"""

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import pyarrow as pa

from dbshuf.base.statements import identifier
from dbshuf.base.workers import Stopped
from dbshuf.errors import DbshufError, UsageError
from dbshuf.source.input import Input, check_unchanged
from dbshuf.source.tables.interface import BatchSize, RecordBatches, RowRange

_SHOWN_TABLES = 20
_DEFAULT_SCHEMA = "main"
_INTERRUPT_S = 0.05


class NotOneSelect(Exception):
    """The text of --table is no query; the words say why."""


@dataclass(frozen=True)
class Profile:
    """What is known of a table or a query before it is read.

    sql     that gives the rows
    schema  its columns
    rows    how many; None where only reading tells
    is_steady  whether they come in one order each time; a query, or a view, may have random()
    """

    sql: str
    schema: pa.Schema
    rows: int | None
    is_steady: bool = False


@dataclass(frozen=True)
class TableName:
    """A table or a view; SQLite has no schemas, so there it is empty."""

    schema: str
    name: str
    is_view: bool = False

    @property
    def quoted(self) -> str:
        """The name as SQL takes it."""
        parts = [self.schema, self.name] if self.schema else [self.name]
        return ".".join(map(identifier, parts))

    def __str__(self) -> str:
        is_default = self.schema in ("", _DEFAULT_SCHEMA)
        return self.name if is_default else f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Database(ABC):
    """One file, and what its engine does in its own way; a connection has `interrupt` and `close`.

    errors  what the engine raises
    """

    source: Input
    errors: ClassVar[tuple[type[Exception], ...]]

    @abstractmethod
    def connect(self) -> Any:
        """Open the file read-only."""

    @abstractmethod
    def fence(self, connection: Any) -> None:
        """Let a connection read the tables of its file and do nothing else."""

    @abstractmethod
    def tables(self, connection: Any) -> list[TableName]:
        """Return the tables and views."""

    @abstractmethod
    def look(self, connection: Any, asked: str, found: TableName | None) -> Profile:
        """Return what there is to read: the table that was found, or else the query `asked`.

        Raises  NotOneSelect, SchemaMismatch, what the engine raises
        """

    @abstractmethod
    def batches(
        self, connection: Any, profile: Profile, names: Sequence[str], batch_size: BatchSize
    ) -> RecordBatches:
        """Yield all rows in their order, with at least the columns `names`."""

    @abstractmethod
    def is_interrupt(self, error: Exception) -> bool:
        """Whether a query was ended by `interrupt`."""

    @abstractmethod
    def told(self, error: Exception) -> DbshufError:
        """Return what to tell the user when the engine fails."""

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        """Open the file read-only and fenced, close it at the end, and tell errors as our own.

        Results must be closed before: a DuckDB file that is left half-closed is waited for
        without an end by whoever opens it next.
        """
        try:
            with contextlib.closing(self.connect()) as connection:
                self.fence(connection)
                yield connection
        except self.errors as error:
            raise self._told(error) from None

    def _told(self, error: Exception) -> Exception:
        try:
            check_unchanged(self.source)
        except DbshufError as change:
            return change
        return Stopped() if self.is_interrupt(error) else self.told(error)


class _RunningQuery:
    """The query that a reader runs, so that another thread can end it.

    A query that has not quite begun does not notice that it is interrupted, so that is
    done again and again until it is over.
    """

    def __init__(self) -> None:
        self._connection: Any = None
        self._is_stopped = False

    @contextlib.contextmanager
    def of(self, connection: Any) -> Iterator[None]:
        """Name the connection that is in use; raises Stopped if it should not be any more."""
        self._connection = connection
        try:
            if self._is_stopped:
                raise Stopped
            yield
        finally:
            self._connection = None

    def stop(self) -> None:
        """End the query, now or as soon as it begins; does not wait for its end."""
        self._is_stopped = True
        if self._connection is not None:
            threading.Thread(target=self._interrupt, daemon=True).start()

    def _interrupt(self) -> None:
        while (connection := self._connection) is not None:
            with contextlib.suppress(Exception):  # it may have ended by itself, and be closed
                connection.interrupt()
            time.sleep(_INTERRUPT_S)


class DatabaseInput:
    """Rows of one database file; see interface.TableInput."""

    least_bytes = 0

    def __init__(self, database: Database, table: str) -> None:
        """Look at the columns of `table`, a name or a query.

        Raises  UsageError, QueryInvalid, QueryFailed, SchemaMismatch, InputBroken,
                InputUnreadable
        """
        self.input = database.source
        self._database = database
        self._profile = _profile(database, table)
        self.schema, self.rows = self._profile.schema, self._profile.rows
        self.is_steady = self._profile.is_steady
        self._running = _RunningQuery()

    def row_ranges(self, names: Sequence[str]) -> Iterator[RowRange]:
        yield RowRange(0, lambda batch_size: self._read(names, batch_size))

    def _read(self, names: Sequence[str], batch_size: BatchSize) -> RecordBatches:
        database = self._database
        with (
            database.connected() as connection,
            self._running.of(connection),
            contextlib.closing(
                database.batches(connection, self._profile, names, batch_size)
            ) as batches,
        ):
            yield from batches

    def stop(self) -> None:
        """End a query that runs."""
        self._running.stop()

    def close(self) -> None:
        """Do nothing: nothing stays open."""


def tables_of(database: Database) -> list[TableName]:
    """Return the tables and views of a file. Raises InputBroken, InputUnreadable."""
    with database.connected() as connection:
        return database.tables(connection)


@lru_cache(maxsize=64)
def _profile(database: Database, table: str) -> Profile:
    """Look at a table; of an input with another log there is another profile."""
    with database.connected() as connection:
        tables = database.tables(connection)
        found = _find_table(tables, table)
        try:
            profile = database.look(connection, table, found)
            return replace(profile, is_steady=found is not None and not found.is_view)
        except NotOneSelect as fault:
            raise _no_table(database.source, table, tables, str(fault)) from None


def _find_table(tables: Sequence[TableName], asked: str) -> TableName | None:
    """Return the table that `asked` names, or None.

    A name is taken as it is, and else without regard to case, as SQL does; the schema may
    be left out, and `main` comes first then.
    """
    for fold in (str, str.lower):
        wanted = fold(asked)
        found = [one for one in tables if fold(str(one)) == wanted]
        found += [one for one in tables if fold(f"{one.schema}.{one.name}") == wanted]
        found += [one for one in tables if fold(one.name) == wanted]
        if found:
            return found[0]
    return None


def _no_table(source: Input, asked: str, tables: Sequence[TableName], why: str) -> UsageError:
    """The error for a --table that is neither a name nor a query."""
    return UsageError(
        f"--table: `{source.name}` has no table `{asked}`, nor is that one SELECT: {why}",
        hint=table_list(tables),
    )


def table_list(tables: Sequence[TableName]) -> str:
    """Return a hint that lists the tables of a database."""
    if not tables:
        return "it has no tables"
    shown = ", ".join(f"`{table}`" for table in tables[:_SHOWN_TABLES])
    more = f" and {len(tables) - _SHOWN_TABLES:,} more" if len(tables) > _SHOWN_TABLES else ""
    return f"--table takes a query, or one of: {shown}{more}"
