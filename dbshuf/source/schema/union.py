"""The union of columns: by name, a type that holds the values of all, missing is null.

pa.unify_schemas loses values: of int64 and uint64 it makes int64, of int64 and double double
(pyarrow 26.0.1).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from dbshuf.errors import SchemaMismatch
from dbshuf.source.schema.plain import lists_of

_SIGNED = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
_UNSIGNED = (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
_FLOATS = ((pa.float16(), 11), (pa.float32(), 24), (pa.float64(), 53))  # and whole bits they hold
_UNITS = ("s", "ms", "us", "ns")
_MOST_DIGITS = 38, 76  # of a decimal of 128 and of 256 bits


def union_of(names: Sequence[str], schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return the columns of the first input, and those that others add, in that order.

    names    of the inputs
    schemas  their plain columns
    Raises   SchemaMismatch where no type holds the values of two
    """
    found: dict[str, dict[Any, str]] = {}  # each type of a column, and who has it first
    for name, schema in zip(names, schemas, strict=True):
        for field in schema:
            found.setdefault(field.name, {}).setdefault(field.type, name)
    fields = []
    for column, kinds in found.items():
        kind = common_type(kinds)
        if kind is None:
            raise _apart(column, kinds)
        fields.append((column, kind))
    return pa.schema(fields)


def _apart(column: str, kinds: dict[Any, str]) -> SchemaMismatch:
    """The error for a column of types that have none in common."""
    some = list(kinds)
    pairs = ((one, other) for at, one in enumerate(some) for other in some[:at])
    one, other = next(pair for pair in pairs if common_type(pair) is None)
    return SchemaMismatch(
        f"column `{column}` is {other} in `{kinds[other]}` and {one} in `{kinds[one]}`, and no"
        " type holds both without loss",
        hint="rewrite one, or shuffle them apart",
    )


def has_union(*schemas: pa.Schema) -> bool:
    try:
        union_of([""] * len(schemas), schemas)
    except SchemaMismatch:
        return False
    return True


def check_fits(first: str, schema: pa.Schema, other: str, found: pa.Schema) -> None:
    """Raise SchemaMismatch unless columns that are there already hold those of an input."""
    for field in found:
        place = schema.get_field_index(field.name)
        if place < 0:
            raise SchemaMismatch(
                f"`{first}` has no column `{field.name}`, and `{other}` has",
                hint="a store takes its columns from the inputs of its first call: make another",
            )
        kind = schema.field(place).type
        if common_type([kind, field.type]) != kind:
            raise SchemaMismatch(
                f"column `{field.name}` is {kind} in `{first}`, which does not hold all of"
                f" {field.type} in `{other}`",
                hint="a store takes its columns from the inputs of its first call: make another",
            )


def common_type(kinds: Iterable[Any]) -> Any:
    """Return the plain type that holds all values of some plain types, or None."""
    some = [kind for kind in dict.fromkeys(kinds) if not pa.types.is_null(kind)]
    if len(some) < 2:
        return some[0] if some else pa.null()
    types = pa.types
    for is_one, common in (
        (_is_number, _number),
        (types.is_decimal, _decimal),
        (types.is_timestamp, _timestamp),
        (types.is_duration, lambda some: pa.duration(_finest(some))),
        (types.is_time, _time),
        (types.is_struct, _struct),
        (types.is_list, _list),
        (types.is_fixed_size_list, _fixed_list),
        (types.is_map, _map),
    ):
        if all(map(is_one, some)):
            return common(some)
    return None


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _number(kinds: Sequence[Any]) -> Any:
    types = pa.types
    whole = [kind for kind in kinds if types.is_integer(kind)]
    unsigned = max((k.bit_width for k in whole if types.is_unsigned_integer(k)), default=0)
    signed = max((k.bit_width for k in whole if types.is_signed_integer(k)), default=0)
    floating = max((k.bit_width for k in kinds if types.is_floating(k)), default=0)
    if floating:
        bits = max(unsigned, signed - 1)
        fit = (kind for kind, most in _FLOATS if kind.bit_width >= floating and bits <= most)
    elif signed:
        fit = (kind for kind in _SIGNED if kind.bit_width >= signed and kind.bit_width > unsigned)
    else:
        fit = (kind for kind in _UNSIGNED if kind.bit_width >= unsigned)
    return next(fit, None)


def _decimal(kinds: Sequence[Any]) -> Any:
    scale = max(kind.scale for kind in kinds)
    digits = max(kind.precision - kind.scale for kind in kinds) + scale
    least, most = _MOST_DIGITS
    if digits > most:
        return None
    is_large = digits > least or any(pa.types.is_decimal256(kind) for kind in kinds)
    return pa.decimal256(digits, scale) if is_large else pa.decimal128(digits, scale)


def _finest(kinds: Sequence[Any]) -> str:
    return _UNITS[max(_UNITS.index(kind.unit) for kind in kinds)]


def _timestamp(kinds: Sequence[Any]) -> Any:
    zones = {kind.tz for kind in kinds}
    return pa.timestamp(_finest(kinds), zones.pop()) if len(zones) == 1 else None


def _time(kinds: Sequence[Any]) -> Any:
    unit = _finest(kinds)
    return pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)


def _struct(kinds: Sequence[Any]) -> Any:
    found: dict[str, list[Any]] = {}
    for kind in kinds:
        if len({field.name for field in kind}) < kind.num_fields:
            return None
        for field in kind:
            found.setdefault(field.name, []).append(field.type)
    fields = [(name, common_type(some)) for name, some in found.items()]
    return None if any(kind is None for _, kind in fields) else pa.struct(fields)


def _list(kinds: Sequence[Any]) -> Any:
    value = common_type([kind.value_type for kind in kinds])
    return None if value is None else pa.list_(value)


def _fixed_list(kinds: Sequence[Any]) -> Any:
    value, sizes = common_type([kind.value_type for kind in kinds]), {k.list_size for k in kinds}
    return None if value is None or len(sizes) > 1 else pa.list_(value, sizes.pop())


def _map(kinds: Sequence[Any]) -> Any:
    keys, item = {kind.key_type for kind in kinds}, common_type([kind.item_type for kind in kinds])
    return None if item is None or len(keys) > 1 else pa.map_(keys.pop(), item)


def widened(array: pa.Array, kind: Any) -> pa.Array:
    """Return a sound plain array as `kind`, a common type of its own and others.

    What lies below a null is left out, since it need not fit.
    Raises  pa.ArrowInvalid for a moment that the finer unit does not reach
    """
    found, types = array.type, pa.types
    if found == kind:
        wide = array
    elif types.is_null(found):
        wide = pa.nulls(len(array), kind)
    elif types.is_struct(found):
        wide = _widened_struct(array, kind)
    elif types.is_list(found):
        wide = lists_of(array, widened(array.flatten(), kind.value_type))
    elif types.is_map(found):
        wide = _widened_map(array, kind)
    elif types.is_fixed_size_list(found):
        values = widened(array.values, kind.value_type)
        valid = [array.buffers()[0]]
        wide = pa.Array.from_buffers(
            kind, len(array), valid, offset=array.offset, children=[values]
        )
    else:
        wide = array.cast(kind)
    return wide


def _widened_struct(array: pa.Array, kind: Any) -> pa.Array:
    parts = dict(zip([field.name for field in array.type], array.flatten(), strict=True))
    fields = [
        widened(parts[field.name], field.type)
        if field.name in parts
        else pa.nulls(len(array), field.type)
        for field in kind
    ]
    if not fields:
        return pa.Array.from_buffers(kind, len(array), [array.buffers()[0]], offset=array.offset)
    return pa.StructArray.from_arrays(fields, fields=list(kind), mask=array.is_null())


def _widened_map(array: pa.Array, kind: Any) -> pa.Array:
    """Return a map whose items are widened, by way of a list of its entries."""
    entries = array.values
    pairs = pa.list_(pa.field("entries", entries.type, nullable=False))
    lists = pa.Array.from_buffers(
        pairs, len(array), array.buffers()[:2], offset=array.offset, children=[entries]
    )
    keys, items = lists.flatten().flatten()
    items = widened(items, kind.item_type)
    shape = kind.key_field, kind.item_field
    lists = lists_of(lists, pa.StructArray.from_arrays([keys, items], fields=list(shape)))
    return pa.Array.from_buffers(kind, len(lists), lists.buffers()[:2], children=[lists.values])
