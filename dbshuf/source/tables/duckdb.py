"""A table, a view or a query of a DuckDB file, opened read-only and fenced.

One thread reads, so that the rows of a query come in the same order every time.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from dbshuf.base.statements import filled, identifier, statement
from dbshuf.base.workers import Stopped
from dbshuf.errors import (
    DbshufError,
    InputBroken,
    InputUnreadable,
    QueryFailed,
    QueryInvalid,
    SchemaMismatch,
)
from dbshuf.source.input import Input
from dbshuf.source.tables.databases import Running, TableName, find_table, no_table
from dbshuf.source.tables.interface import Part, Pieces, check_unchanged, first_line
from dbshuf.units import MIB, human

MEMORY_BYTES = 128 * MIB  # DuckDB's limit; its buffers and the rows of a vector come to it
_VECTOR_ROWS = 2048  # what DuckDB makes at a time

# What Arrow cannot hold, or only without a part of the value: the zone of a time, the
# length of a bit string.
_UNFIT = ("bit", "bignum", "union", "time with time zone", "variant", "geometry")

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


class DuckInput:
    """Rows of one DuckDB file; see parts.TableInput."""

    def __init__(self, source: Input, table: str) -> None:
        """Look at the columns of `table`, a name or a query.

        Raises  UsageError, QueryInvalid, QueryFailed, SchemaMismatch, InputBroken,
                InputUnreadable
        """
        self.input = source
        self.rows: int | None = None
        self.least_bytes = 0
        self._running = Running()
        with _reported(source), _connected(source) as connection:
            found = find_table(_tables(connection), table)
            if found is None:
                _check_query(connection, source, table)
                self._sql = _without_end(table)
            else:
                self._sql = _filled("table_rows", found)
            relation = connection.sql(self._sql)
            _check_types(relation, source)
            with contextlib.closing(relation.limit(0).to_arrow_reader(1)) as reader:
                # A limit renames what comes twice, so the names are those of the query.
                self.schema = pa.schema(zip(relation.columns, reader.schema.types, strict=True))
            if found is not None:
                counts = connection.sql(_filled("table_count", found)).fetchall()
                self.rows = int(counts[0][0])

    def parts(self, names: Sequence[str]) -> Iterator[Part]:
        yield Part(0, lambda pace: self._read())

    def _read(self) -> Pieces:
        with (
            _reported(self.input),
            _connected(self.input) as connection,
            self._running.of(connection),
            contextlib.closing(connection.sql(self._sql).to_arrow_reader(_VECTOR_ROWS)) as reader,
        ):
            yield from reader

    def stop(self) -> None:
        """End a query that runs."""
        self._running.stop()

    def close(self) -> None:
        """Do nothing: nothing stays open."""


def tables_of(source: Input) -> list[TableName]:
    """Return the tables and views of a file. Raises InputBroken, InputUnreadable."""
    with _reported(source), _connected(source) as connection:
        return _tables(connection)


def _tables(connection: duckdb.DuckDBPyConnection) -> list[TableName]:
    rows = connection.sql(statement("duckdb", "table_names")).fetchall()
    return [TableName(schema, name) for schema, name in rows]


def _filled(name: str, table: TableName) -> str:
    return filled("duckdb", name, table=table.quoted).text


def _check_query(connection: duckdb.DuckDBPyConnection, source: Input, query: str) -> None:
    """Raise UsageError unless the text is one SELECT."""
    try:
        statements = connection.extract_statements(query)
    except duckdb.ParserException as error:
        raise no_table(source, query, _tables(connection), first_line(error)) from None
    if len(statements) != 1:
        raise no_table(source, query, _tables(connection), f"{len(statements)} statements")
    if statements[0].type != duckdb.StatementType.SELECT:
        found = str(statements[0].type).rpartition(".")[2]
        raise no_table(source, query, _tables(connection), f"one {found}")


def _without_end(query: str) -> str:
    """Return a statement without the semicolons and comments behind it."""
    text = query.encode()
    for start, kind in reversed(duckdb.tokenize(query)):
        if kind != duckdb.token_type.comment and text[start:].strip() != b";":
            break
        text = text[:start]
    return text.decode()


def _check_types(relation: duckdb.DuckDBPyRelation, source: Input) -> None:
    """Raise SchemaMismatch for a column whose values Arrow cannot hold."""
    for name, kind in zip(relation.columns, relation.types, strict=True):
        if _is_unfit(kind):
            raise SchemaMismatch(
                f"`{source.name}`: column `{name}` has type {kind}, which is not read",
                hint=f"cast it in a query given to --table: cast({identifier(name)} as varchar)",
            )


def _is_unfit(kind: Any) -> bool:
    if kind.id in _UNFIT:
        return True
    if kind.id in ("list", "array", "struct", "map"):
        return any(_is_unfit(child) for _, child in kind.children if not isinstance(child, int))
    return False


@contextlib.contextmanager
def _connected(source: Input) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file read-only, fenced, and close it at the end.

    Results must be closed before: a file that is left half-closed is waited for without an
    end by whoever opens it next.
    """
    connection = duckdb.connect(
        source.name,
        read_only=True,
        config={
            "memory_limit": f"{MEMORY_BYTES}B",
            "threads": 1,
            "temp_directory": "",
            "preserve_insertion_order": True,
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    try:
        connection.execute(statement("duckdb", "table_settings"))
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def _reported(source: Input) -> Iterator[None]:
    """Turn DuckDB's errors into our own; those of an Arrow reader come as OSError."""
    try:
        yield
    except (duckdb.Error, OSError, RuntimeError, UnicodeError) as error:
        raise _error(source, error) from None


def _error(source: Input, error: Exception) -> Exception:
    try:
        check_unchanged(source)
    except DbshufError as change:
        return change
    words = first_line(error)
    what = f"`{source.name}`: DuckDB says: {words}"
    unreadable = [hint for sign, hint in _UNREADABLE.items() if sign in words]
    if "Interrupted" in words:
        return Stopped()
    if unreadable:
        return InputUnreadable(what, hint=unreadable[0])
    if any(sign in words for sign in _BROKEN):
        return InputBroken(what, hint="the database is damaged or cut short: fetch it again")
    return _query_error(what, error)


def _query_error(what: str, error: Exception) -> DbshufError:
    hint = "check the query or the view"
    if isinstance(error, duckdb.PermissionException):
        hint = "it reads the tables of its database and nothing else"
    elif isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in what:
        hint = f"it has {human(MEMORY_BYTES)}: let it filter only, and sort nothing"
    kind = QueryInvalid if isinstance(error, _UNSOUND) else QueryFailed
    return kind(f"--table: {what}", hint=hint)
