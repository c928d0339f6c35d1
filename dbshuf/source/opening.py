"""Inputs of typed rows: each one's reader, and the columns that all of them have."""

from collections.abc import Sequence

import pyarrow as pa

from dbshuf.source.columns import check_alike, plain_schema
from dbshuf.source.inputs import Input
from dbshuf.source.kinds import DELIMITED
from dbshuf.source.parts import TableInput


def open_all(
    tables: list[TableInput], inputs: Sequence[Input], kind: str, table: str | None
) -> pa.Schema:
    """Open all inputs into `tables`, and return the plain columns that they all have.

    tables  receives what is to be closed, also when this fails
    Raises  SchemaMismatch, InputBroken, InputUnreadable, NotUtf8, UsageError, QueryInvalid,
            QueryFailed
    """
    schema = None
    for source in inputs:
        one = open_one(source, kind, table)
        tables.append(one)
        found = plain_schema(one.schema, source.name)
        if schema is None:
            schema = found
        else:
            check_alike(inputs[0].name, schema, source.name, found)
    assert schema is not None, "no inputs"
    return schema


def open_one(source: Input, kind: str, table: str | None) -> TableInput:
    """Look at the columns of one input; a format's library is loaded when it is needed."""
    if kind == "parquet":
        from dbshuf.source.parquet import ParquetInput

        return ParquetInput(source)
    if kind == "arrow":
        from dbshuf.source.ipc import IpcInput

        return IpcInput(source)
    if kind in DELIMITED:
        from dbshuf.source.delimited import DelimitedInput

        return DelimitedInput(source, kind)
    if table is None:
        from dbshuf.source.database import only_table

        table = only_table(source, kind)
    if kind == "duckdb":
        from dbshuf.source.duckfile import DuckInput

        return DuckInput(source, table)
    from dbshuf.source.sqlite import SqliteInput

    return SqliteInput(source, table)
