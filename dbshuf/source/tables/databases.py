"""What --table means: a table or a view of a database file by its name, or else a query."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from dbshuf.base.statements import identifier
from dbshuf.base.workers import Stopped
from dbshuf.errors import UsageError
from dbshuf.source.input import Input

_SHOWN_TABLES = 20
_DEFAULT_SCHEMA = "main"
_INTERRUPT_S = 0.05


class Connection(Protocol):
    """What DuckDB's and SQLite's connections have in common."""

    def interrupt(self) -> None:
        """End what runs on it; in any thread."""


@dataclass(frozen=True)
class TableName:
    """A table or a view; SQLite has no schemas, so there it is empty."""

    schema: str
    name: str

    @property
    def quoted(self) -> str:
        """The name as SQL takes it."""
        parts = [self.schema, self.name] if self.schema else [self.name]
        return ".".join(map(identifier, parts))

    def __str__(self) -> str:
        is_default = self.schema in ("", _DEFAULT_SCHEMA)
        return self.name if is_default else f"{self.schema}.{self.name}"


class Running:
    """The query that a reader runs, so that another thread can end it.

    A query that has not quite begun does not notice that it is interrupted, so that is
    done again and again until it is over.
    """

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._is_stopped = False

    @contextlib.contextmanager
    def of(self, connection: Connection) -> Iterator[None]:
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


def find_table(tables: Sequence[TableName], asked: str) -> TableName | None:
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


def no_table(source: Input, asked: str, tables: Sequence[TableName], why: str) -> UsageError:
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
