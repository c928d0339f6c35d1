"""DuckDB's part in reading database files."""

import contextlib
from collections.abc import Sequence
from typing import Any, ClassVar

import duckdb
import pyarrow as pa

from dbshuf.base.messages import without_values
from dbshuf.base.statements import filled, identifier, quoted, statement
from dbshuf.errors import (
    DbshufError,
    InputBroken,
    InputUnreadable,
    QueryFailed,
    QueryInvalid,
    SchemaMismatch,
)
from dbshuf.source.tables.database import Database, NotOneSelect, Profile, TableName
from dbshuf.source.tables.interface import BatchSize, RecordBatches, first_line
from dbshuf.units import KIB, MIB, human

# DuckDB's limit: its buffers and the rows of a vector come to it. Of each column it holds a block
# of 256 KiB or two while it reads, so that 1,000 columns did not fit (2.0.1).
_MEMORY_BYTES = 128 * MIB
_COLUMN_BYTES, _COUNTED_COLUMNS = 512 * KIB, 128  # as many are within that


def memory_bytes(columns: int) -> int:
    """Return DuckDB's limit while it reads a table of so many columns."""
    return _MEMORY_BYTES + _COLUMN_BYTES * max(columns - _COUNTED_COLUMNS, 0)


_VECTOR_ROWS = 2048  # what DuckDB makes at a time

# What Arrow cannot hold, or only without a part of the value: the zone of a time, the
# length of a bit string.
_UNFIT = ("bit", "bignum", "union", "time with time zone", "variant", "geometry")
# What it holds but for some values, which DuckDB hands over as others: the SQL that looks.
_GUARDS = {"interval": "table_interval", "uhugeint": "table_uhugeint"}

# Signs in DuckDB's words for a file that cannot be opened here and now, and what to do.
_UNREADABLE = {
    "Could not set lock": "another program has it open for writing: close it there",
    "different configuration": "this program has it open in another way: close it first",
    "version number": "a newer DuckDB wrote it: install that version here",
    "bad_cast": "DuckDB takes no file name that is no UTF-8: rename it",
    "encrypt": "decrypt it first",
    "Permission denied": "check the path and its permissions",
}
_BROKEN = ("Corrupt", "IO Error", "Serialization Error", "FATAL Error", "INTERNAL Error")
_UNSOUND = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.PermissionException,
)


Connection = duckdb.DuckDBPyConnection


class DuckDatabase(Database):
    """One DuckDB file."""

    # Those of an Arrow reader come as OSError.
    errors: ClassVar = (duckdb.Error, OSError, RuntimeError, UnicodeError)

    def connect(self) -> Connection:
        return duckdb.connect(
            self.source.file,
            read_only=True,
            config={
                "memory_limit": f"{_MEMORY_BYTES}B",
                "threads": 1,
                "temp_directory": "",
                "preserve_insertion_order": True,
                "python_enable_replacements": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )

    def fence(self, connection: Connection) -> None:
        connection.execute(statement("duckdb", "table_settings"))

    def tables(self, connection: Connection) -> list[TableName]:
        rows = connection.sql(statement("duckdb", "table_names")).fetchall()
        return [TableName(*row) for row in rows]

    def look(self, connection: Connection, asked: str, found: TableName | None) -> Profile:
        sql = _one_select(connection, asked) if found is None else _filled("table_rows", found)
        relation = connection.sql(sql)
        _check_types(relation, self.source.name)
        sql = _guarded(sql, relation)
        with contextlib.closing(relation.limit(0).to_arrow_reader(1)) as reader:
            # A limit renames what comes twice, so the names are those of the query.
            schema = pa.schema(zip(relation.columns, reader.schema.types, strict=True))
        rows = None
        if found is not None:
            rows = int(connection.sql(_filled("table_count", found)).fetchall()[0][0])
        return Profile(sql, schema, rows)

    def batches(
        self, connection: Connection, profile: Profile, names: Sequence[str], batch_size: BatchSize
    ) -> RecordBatches:
        limit = memory_bytes(len(profile.schema))
        connection.execute(filled("duckdb", "table_memory", limit=quoted(f"{limit}B")).text)
        with contextlib.closing(connection.sql(profile.sql).to_arrow_reader(_VECTOR_ROWS)) as rows:
            yield from rows

    def is_interrupt(self, error: Exception) -> bool:
        return "Interrupted" in first_line(error)

    def told(self, error: Exception) -> DbshufError:
        words = first_line(error)
        what = f"`{self.source.name}`: DuckDB says: {words}"
        unreadable = [hint for sign, hint in _UNREADABLE.items() if sign in words]
        if unreadable:
            return InputUnreadable(what, hint=unreadable[0])
        if any(sign in words for sign in _BROKEN):
            return InputBroken(what, hint="the database is damaged or cut short: fetch it again")
        return _query_error(what, error)


def _filled(name: str, table: TableName) -> str:
    return filled("duckdb", name, table=table.quoted).text


def _one_select(connection: Connection, query: str) -> str:
    """Return a query without what follows it. Raises NotOneSelect."""
    try:
        statements = connection.extract_statements(query)
    except duckdb.ParserException as error:
        raise NotOneSelect(first_line(error)) from None
    if len(statements) != 1:
        raise NotOneSelect(f"{len(statements)} statements")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise NotOneSelect(f"one {str(statements[0].type).rpartition('.')[2]}")
    return _without_end(query)


def _without_end(query: str) -> str:
    """Return a statement without the semicolons and comments behind it."""
    text = query.encode()
    for start, kind in reversed(duckdb.tokenize(query)):
        if kind != duckdb.token_type.comment and text[start:].strip() != b";":
            break
        text = text[:start]
    return text.decode()


def _check_types(relation: duckdb.DuckDBPyRelation, name: str) -> None:
    """Raise SchemaMismatch for a column whose values Arrow cannot hold."""
    for column, kind in zip(relation.columns, relation.types, strict=True):
        if _is_unfit(kind):
            raise SchemaMismatch(
                f"`{name}`: column `{column}` has type {kind}, which is not read",
                hint=f"cast it in a query given to --table: cast({identifier(column)} as varchar)",
            )


def _is_unfit(kind: Any) -> bool:
    return _holds(kind, *_UNFIT) or (kind.id not in _GUARDS and _holds(kind, *_GUARDS))


def _holds(kind: Any, *wanted: str) -> bool:
    """Whether a type is one of some, or has one of them inside."""
    if kind.id in wanted:
        return True
    if kind.id in ("list", "array", "struct", "map"):
        children = [child for _, child in kind.children if not isinstance(child, int)]
        return any(_holds(child, *wanted) for child in children)
    return False


def _guarded(sql: str, relation: duckdb.DuckDBPyRelation) -> str:
    """Return a SELECT that fails for a value which Arrow does not hold."""
    pairs = zip(relation.columns, relation.types, strict=True)
    guards = {identifier(name): _GUARDS[kind.id] for name, kind in pairs if kind.id in _GUARDS}
    if not guards:
        return sql
    columns = [filled("duckdb", guards[name], column=name).text for name in sorted(guards)]
    return filled("duckdb", "table_guarded", rows=sql, columns=", ".join(columns)).text


def _query_error(what: str, error: Exception) -> DbshufError:
    hint = "check the query or the view"
    if isinstance(error, duckdb.PermissionException):
        hint = "it reads the tables of its database and nothing else"
    elif isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in what:
        hint = f"it has {human(_MEMORY_BYTES)}: let it filter only, and sort nothing"
    if isinstance(error, _UNSOUND):
        return QueryInvalid(f"--table: {what}", hint=hint)
    return QueryFailed(f"--table: {without_values(what)}", hint=hint)
