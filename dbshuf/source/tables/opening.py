"""Inputs of typed rows: each one's reader, and the columns that all of them have."""

from collections.abc import Sequence

import pyarrow as pa

from dbshuf.base.column_names import own_name, twins
from dbshuf.errors import SchemaMismatch, UsageError
from dbshuf.options import SAME
from dbshuf.source.formats import DELIMITED, one_of
from dbshuf.source.input import Input, for_each
from dbshuf.source.schema.plain import check_alike, plain_schema
from dbshuf.source.schema.union import has_union, union_of
from dbshuf.source.tables.aligned import aligned, with_keys
from dbshuf.source.tables.database import Database, DatabaseInput, table_list, tables_of
from dbshuf.source.tables.interface import TableInput


def open_all(
    tables: list[TableInput],
    inputs: Sequence[Input],
    kind: str,
    table: str | None,
    wanted: str | pa.Schema = SAME,
) -> pa.Schema:
    """Open all inputs into `tables`, and return the plain columns that they all have.

    tables  receives what is to be closed, also when this fails
    wanted  "same": all must have the same columns; "union": each gets the columns of all;
            or plain columns that hold those of all
    Raises  SchemaMismatch, InputBroken, InputUnreadable, NotUtf8, UsageError, QueryInvalid,
            QueryFailed
    """
    is_union = not (isinstance(wanted, str) and wanted == SAME)
    schemas: list[pa.Schema] = []
    opened = for_each(lambda source: open_one(source, kind, table), inputs)
    for source, one in zip(inputs, opened, strict=True):
        tables.append(one)
        found = plain_schema(one.schema, source.name)
        if is_union or not schemas:
            schemas.append(found)
        else:
            _check_same(inputs[0].name, schemas[0], source.name, found)
    assert schemas, "no inputs"
    if not is_union:
        return schemas[0]
    if isinstance(wanted, str):
        for one in tables:
            _check_union(one)
        wanted = union_of([source.name for source in inputs], schemas)
    tables[:] = [aligned(one, wanted) for one in tables]
    return wanted


def _check_same(first: str, schema: pa.Schema, other: str, found: pa.Schema) -> None:
    try:
        check_alike(first, schema, other, found)
    except SchemaMismatch as error:
        hint = "--schema union takes the columns of all, and null where one is missing"
        raise SchemaMismatch(
            error.message, hint=hint if has_union(schema, found) else error.hint
        ) from None


def _check_union(table: TableInput) -> None:
    """Raise SchemaMismatch for two columns of one name: a union finds columns by their names."""
    if found := twins(table.schema):
        name = own_name(table.schema.field(found[0]))
        raise SchemaMismatch(
            f"`{table.input.name}` has several columns `{name}`, and --schema union joins columns"
            " by their names",
            hint="leave --schema out, or give every column a name of its own",
        )


def open_one(source: Input, kind: str, table: str | None) -> TableInput:
    """Look at the columns of one input, and those that its folders give."""
    opened = _open(source, kind, table)
    try:
        return with_keys(opened)
    except BaseException:
        opened.close()
        raise


def _open(source: Input, kind: str, table: str | None) -> TableInput:
    """Open one input; a format's library is loaded when it is needed."""
    if kind == "parquet":
        from dbshuf.source.tables.parquet import ParquetInput

        return ParquetInput(source)
    if kind == "arrow":
        from dbshuf.source.tables.arrow import IpcInput

        return IpcInput(source)
    if kind in DELIMITED:
        from dbshuf.source.tables.csv import DelimitedInput

        return DelimitedInput(source, kind)
    if table is None:
        table = only_table(source, kind)
    return DatabaseInput(_database(source, kind), table)


def _database(source: Input, kind: str) -> Database:
    if kind == "duckdb":
        from dbshuf.source.tables.duckdb import DuckDatabase

        return DuckDatabase(source)
    from dbshuf.source.tables.sqlite import SqliteDatabase

    return SqliteDatabase(source)


def tables_of_inputs(inputs: Sequence[Input], kind: str) -> tuple[str, ...]:
    """Return the one table of each database, which is read where no --table is given.

    Raises  UsageError if one has none or several
    """
    return tuple(only_table(one, kind) for one in inputs)


def only_table(source: Input, kind: str) -> str:
    """Return the name of the one table or view that a database has.

    kind    "duckdb" or "sqlite"
    Raises  UsageError if there is none or several, InputBroken, InputUnreadable
    """
    tables = tables_of(_database(source, kind))
    if len(tables) == 1:
        return str(tables[0])
    raise UsageError(
        f"`{source.name}` is {one_of(kind)}, and --table names none of its tables",
        hint=table_list(tables),
    )
