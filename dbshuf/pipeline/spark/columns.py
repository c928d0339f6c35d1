"""Typed rows as columns that Spark carries without looking into them, and back.

Spark has no unsigned numbers, no times of day and no decimals of 256 bits; it would normalize a
NaN, and a text that is no UTF-8. So every value goes by its bits: numbers, times and floats as
integers of their width, wider ones and texts as BINARY, lists and maps as arrays, structs as
structs. What comes back is what went in, bit for bit, but for what lies below nulls.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.nested_types import entries_of, fields_of, list_bounds
from dbshuf.base.row_batch import arrow_numbers

_INTEGERS = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_SQL_NAMES = {8: "TINYINT", 16: "SMALLINT", 32: "INT", 64: "BIGINT"}


def carried_type(kind: Any) -> Any:
    """Return the type as which Spark carries a plain type."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        to = carried_type(kind.storage_type)
    elif types.is_boolean(kind):
        to = kind
    elif types.is_null(kind) or (types.is_struct(kind) and not kind.num_fields):
        to = pa.int8()
    elif types.is_struct(kind):
        parts = enumerate(fields_of(kind))
        to = pa.struct([(f"f{number}", carried_type(one.type)) for number, one in parts])
    elif types.is_map(kind):
        entry = [("f0", carried_type(kind.key_type)), ("f1", carried_type(kind.item_type))]
        to = pa.list_(pa.struct(entry))
    elif types.is_list(kind) or types.is_fixed_size_list(kind):
        to = pa.list_(carried_type(kind.value_type))
    elif types.is_string(kind) or types.is_binary(kind) or types.is_fixed_size_binary(kind):
        to = pa.binary()
    else:
        to = _INTEGERS.get(kind.bit_width, pa.binary())
    return to


def sql_type(carried: Any) -> str:
    """Return the name that Spark's SQL has for a type of `carried_type`."""
    types = pa.types
    if types.is_struct(carried):
        return f"STRUCT<{', '.join(f'{one.name}: {sql_type(one.type)}' for one in carried)}>"
    if types.is_list(carried):
        return f"ARRAY<{sql_type(carried.value_type)}>"
    if types.is_boolean(carried):
        return "BOOLEAN"
    return "BINARY" if types.is_binary(carried) else _SQL_NAMES[carried.bit_width]


def carried(array: pa.Array) -> pa.Array:
    """Return an array of a plain type as one of `carried_type`."""
    kind, types = array.type, pa.types
    if isinstance(array, pa.ExtensionArray):
        made = carried(array.storage)
    elif types.is_boolean(kind):
        made = array
    elif types.is_null(kind):
        made = pa.nulls(len(array), pa.int8())
    elif types.is_struct(kind) and not kind.num_fields:
        made = pa.array(np.zeros(len(array), np.int8), mask=_nulls(array))
    elif types.is_struct(kind):
        parts = [carried(array.field(number)) for number in range(kind.num_fields)]
        fields = list(carried_type(kind))
        made = pa.StructArray.from_arrays(parts, fields=fields, mask=array.is_null())
    elif types.is_map(kind) or types.is_list(kind) or types.is_fixed_size_list(kind):
        lists = entries_of(array) if types.is_map(kind) else array
        offsets = arrow_numbers(list_bounds(lists).astype(np.int32))
        made = pa.ListArray.from_arrays(
            offsets, carried(lists.flatten()), type=carried_type(kind), mask=array.is_null()
        )
    else:
        made = _bits(array, carried_type(kind))
    return made


def _bits(array: pa.Array, to: Any) -> pa.Array:
    """Return the values of a type of fixed width, or of text, as an integer or BINARY."""
    if pa.types.is_binary(to) and (width := _wide(array.type)) is not None:
        return array.view(pa.binary(width)).cast(to)
    return array if array.type == to else array.view(to)


def _wide(kind: Any) -> int | None:
    """Return the bytes of the values of a type that goes as BINARY; None where they differ."""
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return None
    return int(kind.bit_width) // 8


def restored(array: pa.Array, kind: Any) -> pa.Array:
    """Return what `carried` made of an array of the plain type `kind` as that array."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        made = pa.ExtensionArray.from_storage(kind, restored(array, kind.storage_type))
    elif types.is_boolean(kind):
        made = array
    elif types.is_null(kind):
        made = pa.nulls(len(array))
    elif types.is_struct(kind):
        made = _struct(array, kind)
    elif types.is_fixed_size_list(kind):
        made = _fixed_lists(array, kind)
    elif types.is_map(kind) or types.is_list(kind):
        made = _lists(array, kind)
    else:
        if types.is_binary(array.type) and (width := _wide(kind)) is not None:
            array = array.cast(pa.binary(width))
        made = array if array.type == kind else array.view(kind)
    return made


def _struct(array: pa.Array, kind: Any) -> pa.Array:
    if not kind.num_fields:
        return pa.Array.from_buffers(kind, len(array), [_validity(array)], children=[])
    fields = fields_of(kind)
    parts = [restored(array.field(number), one.type) for number, one in enumerate(fields)]
    return pa.StructArray.from_arrays(parts, fields=list(kind), mask=array.is_null())


def _lists(array: pa.Array, kind: Any) -> pa.Array:
    values = array.flatten()
    if pa.types.is_map(kind):
        sides = [
            restored(values.field(0), kind.key_type),
            restored(values.field(1), kind.item_type),
        ]
        entry = pa.struct([kind.key_field, kind.item_field])
        child = pa.Array.from_buffers(entry, len(values), [None], children=sides)
    else:
        child = restored(values, kind.value_type)
    offsets = list_bounds(array).astype(np.int32)
    buffers = [_validity(array), pa.py_buffer(offsets)]
    return pa.Array.from_buffers(kind, len(array), buffers, children=[child])


def _fixed_lists(array: pa.Array, kind: Any) -> pa.Array:
    """Lists of one length: below a null lie as many values, which are null."""
    size, bounds = kind.list_size, list_bounds(array)
    places = bounds[:-1, None] + np.arange(size)
    missing = np.repeat(_nulls(array), size)
    taken = restored(array.flatten(), kind.value_type).take(
        pa.array(places.reshape(-1), pa.int64(), mask=missing)
    )
    return pa.Array.from_buffers(kind, len(array), [_validity(array)], children=[taken])


def _nulls(array: pa.Array) -> Any:
    return array.is_null().to_numpy(zero_copy_only=False)


def _validity(array: pa.Array) -> pa.Buffer | None:
    """Return which values are there, as bits from the first one on."""
    if not array.null_count:
        return None
    valid = pc.is_valid(array)
    return pa.array(valid.to_numpy(zero_copy_only=False)).buffers()[1]
