"""A table, a view or a query of an SQLite file, read with Python's own sqlite3.

SQLite keeps a type with every value, so a first pass finds out which ones a column has;
there must be one, beside NULL.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from dbshuf.base.statements import filled, identifier, statement
from dbshuf.base.workers import Stopped
from dbshuf.errors import (
    DbshufError,
    InputBroken,
    InputChanged,
    InputUnreadable,
    QueryFailed,
    QueryInvalid,
    SchemaMismatch,
)
from dbshuf.source.input import Input, open_raw
from dbshuf.source.tables.databases import Running, TableName, find_table, no_table
from dbshuf.source.tables.interface import Pace, Part, Pieces, check_unchanged, first_line

# The bits of sql/sqlite/table_type.sql, their names in SQLite, and the types for them.
_TYPES = {
    1: ("integer", pa.int64()),
    2: ("real", pa.float64()),
    4: ("text", pa.string()),
    8: ("blob", pa.binary()),
}
_PATIENCE_S = 5.0  # for another program that writes
_PASS_COLUMNS = 250  # looked at in one pass; SQLite takes 2,000 aggregates, of which 4 each
_ALLOWED = (
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
)
# What SQLite asks for itself when a table-valued function such as json_each is called; the
# file is open read-only all the same.
_ALLOWED_ON = (
    (sqlite3.SQLITE_PRAGMA, "table_xinfo"),
    (sqlite3.SQLITE_UPDATE, "sqlite_master"),
)
_DAMAGED = (InputBroken, "the database is damaged, or is none: fetch it again")
_BUSY = (InputUnreadable, "another program writes to it: wait until it is done")
_CLOSED = (
    InputUnreadable,
    "check its permissions; a file in WAL mode needs a folder that can be written",
)
_ERRORS: dict[int, tuple[type[DbshufError], str]] = {
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_CANTOPEN: _CLOSED,
    sqlite3.SQLITE_IOERR: _CLOSED,
    sqlite3.SQLITE_PERM: _CLOSED,
    sqlite3.SQLITE_READONLY: _CLOSED,
    sqlite3.SQLITE_AUTH: (QueryInvalid, "it reads the tables of its database and nothing else"),
    sqlite3.SQLITE_ERROR: (QueryInvalid, "check the query or the view"),
}


@dataclass(frozen=True)
class _Profile:
    """What the first pass finds.

    sql     that gives the rows
    schema  its columns
    rows    how many
    """

    sql: str
    schema: pa.Schema
    rows: int


class SqliteInput:
    """Rows of one SQLite file; see parts.TableInput."""

    def __init__(self, source: Input, table: str) -> None:
        """Look at all values of `table`, a name or a query.

        Raises  UsageError, QueryInvalid, QueryFailed, SchemaMismatch, InputBroken,
                InputUnreadable
        """
        self.input = source
        self._profile = _profile(source, table, _log_state(source))
        self.schema = self._profile.schema
        self.rows: int | None = self._profile.rows
        self.least_bytes = 0
        self._running = Running()

    def parts(self, names: Sequence[str]) -> Iterator[Part]:
        yield Part(0, lambda pace: self._read(names, pace))

    def _read(self, names: Sequence[str], pace: Pace) -> Pieces:
        places = [(self.schema.get_field_index(name), name) for name in names]
        with (
            _reported(self.input),
            _connected(self.input) as connection,
            self._running.of(connection),
        ):
            cursor = connection.execute(self._profile.sql)
            while rows := cursor.fetchmany(pace.rows):
                columns = list(zip(*rows, strict=True))
                yield pa.RecordBatch.from_arrays(
                    [self._array(columns[at], self.schema.field(at)) for at, _ in places],
                    [name for _, name in places],
                )

    def _array(self, values: Sequence[Any], field: pa.Field) -> pa.Array:
        is_text = pa.types.is_string(field.type)
        try:
            found = pa.array(values, pa.binary() if is_text else field.type)
        except (pa.ArrowException, TypeError, OverflowError):
            raise InputChanged(
                f"`{self.input.name}`: column `{field.name}` has values of another type than at"
                " the first pass",
                hint="shuffle a copy that no one writes to, or a query without random()",
            ) from None
        return found.view(pa.string()) if is_text else found

    def stop(self) -> None:
        """End a query that runs."""
        self._running.stop()

    def close(self) -> None:
        """Do nothing: nothing stays open."""


def tables_of(source: Input) -> list[TableName]:
    """Return the tables and views of a file. Raises InputBroken, InputUnreadable."""
    with _reported(source), _connected(source) as connection:
        return _tables(connection)


def _tables(connection: sqlite3.Connection) -> list[TableName]:
    rows = connection.execute(statement("sqlite", "table_names"))
    return [TableName("", name.decode("utf-8", "replace")) for (name,) in rows]


@lru_cache(maxsize=64)
def _profile(source: Input, table: str, log_state: object) -> _Profile:
    """Look at all values; `log_state` only tells one state of the file from another."""
    with _reported(source), _connected(source) as connection:
        found = find_table(_tables(connection), table)
        if found is None:
            names = _names_of_query(connection, source, table)
            sql = _without_end(table)
            declared: dict[str, Any] = {}
        else:
            sql = filled("sqlite", "table_rows", table=found.quoted).text
            names = _names_of(connection.execute(sql))
            declared = _declared(connection, found)
        bits, rows = _types(connection, sql, len(names))
        fields = []
        for at, name in enumerate(names):
            kind = _TYPES.get(bits[at])
            if bits[at] and kind is None:
                raise SchemaMismatch(
                    f"`{source.name}`: {_mixed(connection, sql, names, at)}",
                    hint="rows count from 0; cast it in a query given to --table:"
                    f" cast({identifier(name)} as text)",
                )
            fields.append((name, kind[1] if kind else declared.get(name, pa.string())))
    return _Profile(sql, pa.schema(fields), rows)


def _names_of(cursor: sqlite3.Cursor) -> list[str]:
    return [column[0] for column in cursor.description or ()]


def _names_of_query(connection: sqlite3.Connection, source: Input, query: str) -> list[str]:
    """Return the names of a query's columns. Raises UsageError if it is no query at all."""
    why = "it gives no rows"
    try:
        names = _names_of(connection.execute(query))
        if names:
            return names
    except (sqlite3.Warning, sqlite3.ProgrammingError) as error:  # more than one statement
        why = first_line(error)
    except sqlite3.OperationalError as error:
        why = first_line(error)
        if "syntax error" not in why and "incomplete input" not in why:
            raise
    raise no_table(source, query, _tables(connection), why)


def _without_end(query: str) -> str:
    """Return one statement without the semicolon and what follows it."""
    end = query.find(";")
    while end >= 0 and not sqlite3.complete_statement(query[: end + 1]):  # within quotes, say
        end = query.find(";", end + 1)
    return query if end < 0 else query[:end]


def _declared(connection: sqlite3.Connection, table: TableName) -> dict[str, Any]:
    """Return the types of columns by their affinity, for those with no value to tell.

    Source  "Datatypes In SQLite", section 3.1 (sqlite.org/datatype3.html)
    """
    rows = connection.execute(statement("sqlite", "table_columns"), {"table": table.name})
    return {name.decode(): _affinity((kind or b"").decode().upper()) for name, kind in rows}


def _affinity(declared: str) -> Any:
    if "INT" in declared:
        return pa.int64()
    if any(word in declared for word in ("CHAR", "CLOB", "TEXT")):
        return pa.string()
    if "BLOB" in declared or not declared:
        return pa.binary()
    return pa.float64()


def _columns(count: int) -> list[str]:
    return [f"column_{at}" for at in range(count)]


def _types(connection: sqlite3.Connection, sql: str, count: int) -> tuple[list[int], int]:
    """Return the types of each column's values as bits, and the number of rows."""
    bits: list[int] = []
    rows, columns = 0, _columns(count)
    for begin in range(0, count, _PASS_COLUMNS):
        types = ", ".join(
            filled("sqlite", "table_type", column=column).text
            for column in columns[begin : begin + _PASS_COLUMNS]
        )
        looked = filled("sqlite", "table_types", rows=sql, columns=", ".join(columns), types=types)
        rows, *found = connection.execute(looked.text).fetchone()
        bits += [one or 0 for one in found]
    return bits, int(rows)


def _mixed(connection: sqlite3.Connection, sql: str, names: list[str], at: int) -> str:
    """Return which types column number `at` has, and where, for a message."""
    columns = _columns(len(names))
    misfit = filled(
        "sqlite", "table_misfit", rows=sql, columns=", ".join(columns), column=columns[at]
    )
    places = []
    for kind, _ in _TYPES.values():
        (row,) = connection.execute(misfit.text, {"type": kind}).fetchone()
        if row is not None:
            places.append((int(row), kind))
    (_, first), (row, other) = sorted(places)[:2]
    return f"column `{names[at]}` mixes types: {first} at first, {other} in row {row}"


@contextlib.contextmanager
def _connected(source: Input) -> Iterator[sqlite3.Connection]:
    """Open a file read-only, for statements that read its tables and do nothing else."""
    open_raw(source.name).close()  # SQLite would not say why
    name = quote(os.fsencode(os.path.abspath(source.name)))
    connection = sqlite3.connect(
        f"file:{name}?mode=ro",
        timeout=_PATIENCE_S,
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.text_factory = bytes  # text may be no UTF-8
        connection.execute(statement("sqlite", "table_settings"))
        connection.set_authorizer(_authorize)
        yield connection
    finally:
        connection.close()


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    is_allowed = action in _ALLOWED or (action, first) in _ALLOWED_ON
    return sqlite3.SQLITE_OK if is_allowed and second != "load_extension" else sqlite3.SQLITE_DENY


def _log_state(source: Input) -> object:
    """Return what changes when someone writes to the log beside the file."""
    try:
        status = os.stat(source.name + "-wal")
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def _reported(source: Input) -> Iterator[None]:
    """Turn SQLite's errors into our own."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _error(source, error) from None
    except UnicodeError:
        kind, hint = _DAMAGED
        raise kind(f"`{source.name}`: a name in it is no UTF-8", hint=hint) from None


def _error(source: Input, error: Exception) -> Exception:
    try:
        check_unchanged(source)
    except DbshufError as change:
        return change
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_INTERRUPT:
        return Stopped()
    words = first_line(error)
    if "not authorized" in words:
        code = sqlite3.SQLITE_AUTH
    kind, hint = _ERRORS.get(code, (QueryFailed, "check the query or the view"))
    option = "--table: " if issubclass(kind, QueryInvalid | QueryFailed) else ""
    return kind(f"{option}`{source.name}`: SQLite says: {words}", hint=hint)
