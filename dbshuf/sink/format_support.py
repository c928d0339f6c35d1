"""Whether the output's format can hold the rows, known before any work."""

from typing import TYPE_CHECKING, Any

from dbshuf.errors import RowUnfit, UsageError
from dbshuf.sink.target import Target

if TYPE_CHECKING:
    import pyarrow as pa

_NAMES = {
    "txt": "text",
    "csv": "CSV",
    "tsv": "TSV",
    "jsonl": "JSON lines",
    "arrow": "Arrow",
    "parquet": "Parquet",
}
_COLUMNS_SHOWN = 20

_AS_TEXT = "cast({name} as varchar)"
_AS_BASE64 = "base64({name})"
_AS_JSON = "to_json({name})::varchar"


def check_schema(target: Target) -> None:
    """Refuse columns that the format cannot hold, and options that it has no place for.

    Lines fit in every format; a run of lines loads no Arrow here.
    Raises   UsageError, RowUnfit
    """
    kind = target.format.partition(".")[0]
    if target.header and (kind != "txt" or target.schema is not None):
        what = _NAMES[kind] if kind != "txt" else "a query's rows"
        raise UsageError(
            f"--header is for lines written as text, and has no place in {what}",
            hint="leave out --header",
        )
    if target.row_group_bytes is not None and kind != "parquet":
        raise UsageError(f"--row-group-bytes is for Parquet, and the output is {_NAMES[kind]}")
    if target.schema is None:
        if target.binary and kind in ("csv", "tsv", "jsonl"):
            raise UsageError(
                f"--binary has no place in {_NAMES[kind]}: it holds UTF-8 and nothing else",
                hint="leave it out, or write text, Parquet or Arrow",
            )
        return
    if kind == "txt":
        _check_one_text(target.schema)
    elif kind == "parquet":
        _check_parquet(target.schema)
    elif kind != "arrow":
        _check_text_types(target.schema, kind)


def _check_one_text(schema: "pa.Schema") -> None:
    if len(schema) == 1 and _is_text_or_binary(schema.field(0).type):
        return
    raise RowUnfit(
        "text holds one column of VARCHAR or BLOB, and the rows have"
        f" {_count(len(schema))}: {_listed(list(schema))}",
        hint="choose one with --select, or write Parquet, CSV or JSON lines (--format)",
    )


def _check_parquet(schema: "pa.Schema") -> None:
    """Ask pyarrow, which knows its own gaps: intervals, unions, structs without fields."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    unfit = []
    for field in schema:
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
        except pa.ArrowNotImplementedError:
            unfit.append(field)
    _refuse(unfit, "parquet", _AS_TEXT)


def _check_text_types(schema: "pa.Schema", kind: str) -> None:
    if kind == "jsonl":
        _check_names(schema.names)
    for flaw, way in ((_holds_binary, _AS_BASE64), (_is_nested, _AS_JSON), (_is_odd, _AS_TEXT)):
        if flaw is not _is_nested or kind != "jsonl":
            _refuse([field for field in schema if flaw(field.type)], kind, way)


def _check_names(names: list[str], what: str = "the rows") -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RowUnfit(
            f"{what} have two columns `{twice[0]}`, and an object of JSON has each name once",
            hint="rename one with --select ... as ...",
        )


def _refuse(fields: "list[pa.Field]", kind: str, way: str) -> None:
    if fields:
        raise RowUnfit(
            f"{_NAMES[kind]} cannot hold {_listed(fields)}",
            hint=f"--select with {way.format(name=fields[0].name)}, or another --format",
        )


def _listed(fields: "list[pa.Field]") -> str:
    shown = ", ".join(f"`{field.name}` {field.type}" for field in fields[:_COLUMNS_SHOWN])
    more = len(fields) - _COLUMNS_SHOWN
    return shown if more <= 0 else f"{shown} and {more} more"


def _count(columns: int) -> str:
    return f"{columns} columns" if columns > 1 else "one column"


def _inner(kind: Any) -> list[Any]:
    """The types that a type is made of, without extensions; of a map key and item."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return [kind.storage_type]
    if pa.types.is_map(kind):
        return [kind.key_type, kind.item_type]
    return [kind.field(i).type for i in range(kind.num_fields)]


def _is_text_or_binary(kind: Any) -> bool:
    import pyarrow.types as t

    return bool(
        t.is_string(kind) or t.is_large_string(kind) or t.is_binary(kind) or t.is_large_binary(kind)
    )


def _holds_binary(kind: Any) -> bool:
    import pyarrow as pa
    import pyarrow.types as t

    if isinstance(kind, pa.BaseExtensionType):
        return False  # what is behind a UUID is nobody's business
    is_binary = t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind)
    return bool(is_binary) or any(map(_holds_binary, _inner(kind)))


def _is_nested(kind: Any) -> bool:
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return _is_nested(kind.storage_type)
    return bool(pa.types.is_nested(kind))


def _is_odd(kind: Any) -> bool:
    """Whether a text has no form for the type, or for one within it, that all readers share."""
    import pyarrow as pa
    import pyarrow.types as t

    if isinstance(kind, pa.BaseExtensionType):
        return _holds_binary(kind.storage_type) or _is_odd(kind.storage_type)
    if t.is_map(kind) and any(map(_inner, [kind.key_type])):
        return True
    inner = _inner(kind)
    if inner:
        names = [kind.field(i).name for i in range(kind.num_fields)]
        has_twins = t.is_struct(kind) and len(set(names)) < len(names)
        return has_twins or t.is_union(kind) or any(map(_is_odd, inner))
    plain = (
        t.is_null, t.is_boolean, t.is_integer, t.is_floating, t.is_decimal, t.is_string,
        t.is_large_string, t.is_date, t.is_time, t.is_timestamp,
    )  # fmt: skip
    return not any(is_kind(kind) for is_kind in plain)
