"""The types that a result of SQL may have: those that every output holds, with all values.

ENUM, BIT, INTERVAL and the like are refused with the type to cast them to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from dbshuf.query.parse import SqlText

_UNFIT = {  # types that Arrow or Parquet does not have, or not with all values
    "time with time zone": "VARCHAR", "bit": "VARCHAR", "bignum": "VARCHAR", "union": "VARCHAR",
    "interval": "VARCHAR", "variant": "JSON", "geometry": "VARCHAR", "enum": "VARCHAR",
    "uhugeint": "DECIMAL(38, 0)",
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """The columns of a result.

    schema  plain Arrow types, the same for every batch
    wide    columns of type HUGEINT: Arrow has no type that holds all its values
    types   column -> SQL type
    """

    schema: pa.Schema
    wide: tuple[str, ...]
    types: Mapping[str, str]


def not_taken(connection: duckdb.DuckDBPyConnection, columns: pa.Schema) -> str:
    """Name the first column that DuckDB does not take, after it refused them together."""
    for column in columns:
        try:
            connection.from_arrow(pa.Table.from_batches([], pa.schema([column])))
        except (duckdb.Error, pa.ArrowException):
            return f"column `{column.name}` of type {column.type}"
    return f"these {len(columns)} columns together"


def check_type(sql: SqlText, name: str, kind: Any, whole: Any) -> None:
    """Raise QueryInvalid for a type, or one inside it, that the outputs do not have."""
    text = str(kind).lower()
    unfit = _UNFIT.get(kind.id) or _UNFIT.get(text)
    if kind.id == "hugeint" and kind is not whole:
        unfit = "DECIMAL(38, 0)"
    if unfit:
        raise sql.invalid(
            f"the column `{name}` of the result is {whole}, which no output can hold",
            hint=f"cast it, for example to {unfit}",
        )
    children = [] if kind.id in ("decimal", "enum") else _children(kind)
    for child in children:
        check_type(sql, name, child, whole)


def _children(kind: Any) -> list[Any]:
    try:
        found = kind.children
    except duckdb.Error:
        return []
    return [child for _, child in found if not isinstance(child, int | str | list)]
