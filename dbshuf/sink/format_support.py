"""Whether a format can hold typed rows, known before any work from their schema."""

import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as t

from dbshuf.base.column_names import told_apart
from dbshuf.base.nested_types import is_text, types_within
from dbshuf.base.statements import identifier
from dbshuf.errors import RowUnfit, UsageError
from dbshuf.sink.output_format import NAMES

_COLUMNS_SHOWN = 20

_AS_TEXT = "cast({name} as varchar)"
_AS_BASE64 = "base64({name})"
_AS_JSON = "to_json({name})::varchar"


def _in_sql(name: str) -> str:
    """Return a name as SQL takes it; one of letters as it is."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else identifier(name)


def check_columns(schema: pa.Schema, kind: str) -> None:
    """Refuse columns that a format, without its compression, cannot hold. Raises RowUnfit."""
    if kind == "txt":
        _check_one_text(schema)
    elif kind == "parquet":
        _check_parquet(schema)
    elif kind != "arrow":
        _check_text_types(schema, kind)


def _check_one_text(schema: pa.Schema) -> None:
    if len(schema) == 1 and is_text(schema.field(0).type):
        return
    raise RowUnfit(
        "text holds one column of VARCHAR or BLOB, and the rows have"
        f" {_count(len(schema))}: {_listed(list(schema))}",
        hint="choose one with --select, or write Parquet, CSV or JSON lines (--format)",
    )


def _check_parquet(schema: pa.Schema) -> None:
    """Ask pyarrow, which knows its own gaps: intervals, unions, structs without fields, 0 bytes."""
    unfit = []
    for field in schema:
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
        except (pa.ArrowNotImplementedError, OSError):
            unfit.append(field)
    _refuse(unfit, "parquet", _AS_TEXT)


def check_bloom(names: tuple[str, ...], schema: pa.Schema | None) -> None:
    """Refuse columns that there are not, or that cannot have a Bloom filter.

    schema  of the rows; None: they are lines
    Raises  UsageError
    """
    fields = [pa.field("line", pa.binary())] if schema is None else list(schema)
    kinds = {field.name: field.type for field in fields}
    for name in names:
        if name not in kinds:
            known = list(kinds)[:_COLUMNS_SHOWN]
            raise UsageError(
                f"--bloom `{name}`: the output has no such column",
                hint=f"it has {', '.join(known)}" + " and more" * (len(kinds) > len(known)),
            )
        kind = kinds[name]
        if t.is_nested(kind) or t.is_boolean(kind.value_type if t.is_dictionary(kind) else kind):
            raise UsageError(
                f"--bloom `{name}`: {kind} has no Bloom filter",
                hint="name columns of numbers, text, times or bytes",
            )


def _check_text_types(schema: pa.Schema, kind: str) -> None:
    if kind == "jsonl":
        _check_names(schema)
    for flaw, way in ((_holds_binary, _AS_BASE64), (_is_nested, _AS_JSON), (_is_odd, _AS_TEXT)):
        if flaw is not _is_nested or kind != "jsonl":
            _refuse([field for field in schema if flaw(field.type)], kind, way)


def _check_names(schema: pa.Schema) -> None:
    names, told = schema.names, told_apart(told_apart(schema), in_sql=True).names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        alike = [new for new, name in zip(told, names, strict=True) if name == twice[0]]
        raise RowUnfit(
            f"the rows have {'two' if len(alike) == 2 else len(alike)} columns `{twice[0]}`, and an"
            " object of JSON has each name once",
            hint=f"--select '*' writes them under the names that SQL has for them:"
            f" {', '.join(alike)}",
        )


def _refuse(fields: list[pa.Field], kind: str, way: str) -> None:
    if fields:
        raise RowUnfit(
            f"{NAMES[kind]} cannot hold {_listed(fields)}",
            hint=f"--select with {way.format(name=_in_sql(fields[0].name))}, or another --format",
        )


def _listed(fields: list[pa.Field]) -> str:
    shown = ", ".join(f"`{field.name}` {field.type}" for field in fields[:_COLUMNS_SHOWN])
    more = len(fields) - _COLUMNS_SHOWN
    return shown if more <= 0 else f"{shown} and {more} more"


def _count(columns: int) -> str:
    return f"{columns} columns" if columns > 1 else "one column"


def _holds_binary(kind: Any) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return False  # what is behind a UUID is nobody's business
    is_binary = t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind)
    return bool(is_binary) or any(map(_holds_binary, types_within(kind)))


def _is_nested(kind: Any) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _is_nested(kind.storage_type)
    return bool(pa.types.is_nested(kind))


def _is_odd(kind: Any) -> bool:
    """Whether a text has no form for the type, or for one within it, that all readers share."""
    if isinstance(kind, pa.BaseExtensionType):
        return _holds_binary(kind.storage_type) or _is_odd(kind.storage_type)
    if t.is_map(kind) and any(map(types_within, [kind.key_type])):
        return True
    inner = types_within(kind)
    if inner:
        names = [kind.field(i).name for i in range(kind.num_fields)]
        has_twins = t.is_struct(kind) and len(set(names)) < len(names)
        return has_twins or t.is_union(kind) or any(map(_is_odd, inner))
    plain = (
        t.is_null, t.is_boolean, t.is_integer, t.is_floating, t.is_decimal, t.is_string,
        t.is_large_string, t.is_date, t.is_time, t.is_timestamp,
    )  # fmt: skip
    return not any(is_kind(kind) for is_kind in plain)
