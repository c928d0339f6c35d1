"""SQLite's part in reading database files, through Python's own sqlite3.

DuckDB reads such files with an extension that is not in its wheel, and pyarrow does not.
SQLite keeps a type with every value, so a first pass finds out which ones a column has;
there must be one, beside NULL.
"""

import os
import sqlite3
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import quote

import pyarrow as pa

from dbshuf.base.statements import filled, identifier, statement
from dbshuf.errors import (
    DbshufError,
    InputBroken,
    InputChanged,
    InputUnreadable,
    QueryFailed,
    QueryInvalid,
    SchemaMismatch,
)
from dbshuf.source.input import open_raw
from dbshuf.source.tables.database import Database, NotOneSelect, Profile, TableName
from dbshuf.source.tables.interface import BatchSize, RecordBatches, first_line

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


Connection = sqlite3.Connection


class SqliteDatabase(Database):
    """One SQLite file."""

    errors: ClassVar = (sqlite3.Error, sqlite3.Warning, UnicodeError, MemoryError)

    def connect(self) -> Connection:
        open_raw(self.source.file).close()  # SQLite would not say why
        name = quote(os.fsencode(os.path.abspath(self.source.file)))
        return sqlite3.connect(
            f"file:{name}?mode=ro",
            timeout=_PATIENCE_S,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )

    def fence(self, connection: Connection) -> None:
        connection.text_factory = bytes  # text may be no UTF-8
        connection.execute(statement("sqlite", "table_settings"))
        connection.set_authorizer(_authorize)

    def tables(self, connection: Connection) -> list[TableName]:
        rows = connection.execute(statement("sqlite", "table_names"))
        return [
            TableName("", name.decode("utf-8", "replace"), bool(is_view)) for name, is_view in rows
        ]

    def look(self, connection: Connection, asked: str, found: TableName | None) -> Profile:
        declared: dict[str, Any] = {}
        if found is None:
            names = _names_of_query(connection, asked)
            sql = _without_end(asked)
        else:
            sql = filled("sqlite", "table_rows", table=found.quoted).text
            names = _names_of(connection.execute(sql))
            declared = _declared(connection, found)
        bits, rows = _types(connection, sql, len(names))
        fields = []
        for at, name in enumerate(names):
            kind = _TYPES.get(bits[at])
            if bits[at] and kind is None:
                raise _mixed(self.source.name, connection, sql, names, at)
            fields.append((name, kind[1] if kind else declared.get(name, pa.string())))
        return Profile(sql, pa.schema(fields), rows)

    def batches(
        self, connection: Connection, profile: Profile, names: Sequence[str], batch_size: BatchSize
    ) -> RecordBatches:
        places = [profile.schema.get_field_index(name) for name in names]
        fields = [profile.schema.field(at) for at in places]
        cursor = connection.execute(profile.sql)
        while rows := cursor.fetchmany(batch_size.rows):
            columns = list(zip(*rows, strict=True))
            arrays = [
                _array(self.source.name, columns[at], field)
                for at, field in zip(places, fields, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, list(names))

    def is_interrupt(self, error: Exception) -> bool:
        return _code(error) == sqlite3.SQLITE_INTERRUPT

    def told(self, error: Exception) -> DbshufError:
        name = self.source.name
        if isinstance(error, UnicodeError):
            return InputBroken(f"`{name}`: a name in it is no UTF-8", hint=_DAMAGED[1])
        if isinstance(error, MemoryError):  # of a length that is damaged, as a rule
            return InputBroken(f"`{name}`: SQLite has no memory for a value", hint=_DAMAGED[1])
        words = first_line(error)
        code = sqlite3.SQLITE_AUTH if "not authorized" in words else _code(error)
        kind, hint = _ERRORS.get(code, (QueryFailed, "check the query or the view"))
        option = "--table: " if issubclass(kind, QueryInvalid | QueryFailed) else ""
        return kind(f"{option}`{name}`: SQLite says: {words}", hint=hint)


def _array(name: str, values: Sequence[Any], field: pa.Field) -> pa.Array:
    is_text = pa.types.is_string(field.type)
    try:
        found = pa.array(values, pa.binary() if is_text else field.type)
    except (pa.ArrowException, TypeError, OverflowError):
        raise _other_types(name, field.name) from None
    return found.view(pa.string()) if is_text else found


def _other_types(name: str, column: str) -> InputChanged:
    """The error for values that are other ones whenever they are asked for."""
    return InputChanged(
        f"`{name}`: column `{column}` has values of another type than at the first pass",
        hint="shuffle a copy that no one writes to, or a query without random(); or it is damaged",
    )


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _names_of(cursor: sqlite3.Cursor) -> list[str]:
    return [column[0] for column in cursor.description or ()]


def _names_of_query(connection: Connection, query: str) -> list[str]:
    """Return the names of a query's columns. Raises NotOneSelect."""
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
    raise NotOneSelect(why)


def _without_end(query: str) -> str:
    """Return one statement without the semicolon and what follows it."""
    end = query.find(";")
    while end >= 0 and not sqlite3.complete_statement(query[: end + 1]):  # within quotes, say
        end = query.find(";", end + 1)
    return query if end < 0 else query[:end]


def _declared(connection: Connection, table: TableName) -> dict[str, Any]:
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


def _types(connection: Connection, sql: str, count: int) -> tuple[list[int], int]:
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


def _mixed(name: str, connection: Connection, sql: str, names: list[str], at: int) -> DbshufError:
    """Return the error for column number `at`: which types it has, and where."""
    columns = _columns(len(names))
    misfit = filled(
        "sqlite", "table_misfit", rows=sql, columns=", ".join(columns), column=columns[at]
    )
    places = []
    for kind, _ in _TYPES.values():
        (row,) = connection.execute(misfit.text, {"type": kind}).fetchone()
        if row is not None:
            places.append((int(row), kind))
    if len(places) < 2:
        return _other_types(name, names[at])
    (_, first), (row, other) = sorted(places)[:2]
    return SchemaMismatch(
        f"`{name}`: column `{names[at]}` mixes types: {first} at first, {other} in row {row}",
        hint="rows count from 0; cast it in a query given to --table:"
        f" cast({identifier(names[at])} as text)",
    )


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    is_allowed = action in _ALLOWED or (action, first) in _ALLOWED_ON
    return sqlite3.SQLITE_OK if is_allowed and second != "load_extension" else sqlite3.SQLITE_DENY
