"""Arrow's types told apart; nested ones and their values taken apart, and put together again."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def is_string(kind: Any) -> bool:
    """Whether values are text behind offsets of 32 or 64 bits."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_text(kind: Any) -> bool:
    """Whether values are text or bytes behind offsets of 32 or 64 bits."""
    return is_string(kind) or bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def text_bounds(
    array: pa.Array,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.signedinteger[Any]]]:
    """Return the bytes behind a column of text, and where its values begin and end in them.

    Returns  uint8; int32 or int64, shape (rows + 1,): value r is text[bounds[r]:bounds[r + 1]]
    """
    _, offsets, text = array.buffers()
    is_large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    if offsets is None or not len(array):
        return np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int32)
    bounds: Any = np.frombuffer(offsets, np.int64 if is_large else np.int32)
    return np.frombuffer(text or b"", np.uint8), bounds[array.offset :][: len(array) + 1]


def rebuilt(kind: Any, fields: Sequence[pa.Field]) -> Any:
    """Return a nested type with other fields."""
    types = pa.types
    if types.is_struct(kind):
        return pa.struct(fields)
    if types.is_map(kind):
        return pa.map_(*fields, keys_sorted=kind.keys_sorted)
    if types.is_fixed_size_list(kind):
        return pa.list_(fields[0], kind.list_size)
    makers: tuple[tuple[Callable[[Any], bool], Callable[[pa.Field], Any]], ...] = (
        (types.is_large_list, pa.large_list),
        (types.is_list_view, pa.list_view),
        (types.is_large_list_view, pa.large_list_view),
        (types.is_list, pa.list_),
    )
    return next(make for is_kind, make in makers if is_kind(kind))(fields[0])


def fields_of(kind: Any) -> list[pa.Field]:
    """Return the fields of a nested type, as `rebuilt` takes them."""
    if pa.types.is_map(kind):
        return [kind.key_field, kind.item_field]
    return [kind.field(number) for number in range(kind.num_fields)]


def types_within(kind: Any) -> list[Any]:
    """Return the types that a type is made of, without extensions; of a map key and item."""
    if isinstance(kind, pa.BaseExtensionType):
        return [kind.storage_type]
    return [field.type for field in fields_of(kind)]


def holds_interval(kind: Any) -> bool:
    """Whether values are intervals, or hold some: Arrow's have nanoseconds, DuckDB's none."""
    return bool(pa.types.is_interval(kind)) or any(map(holds_interval, types_within(kind)))


def entries_of(maps: pa.Array) -> pa.Array:
    """Return every map as the list of its entries, structs of key and item."""
    return maps.cast(pa.list_(pa.struct(fields_of(maps.type))))


def struct_of(parts: Sequence[pa.Array], kind: Any, valid: pa.Array) -> pa.Array:
    """Return structs of `parts`, one for each value of `valid`, null where that is False.

    pyarrow makes none of structs without fields (26.0.1).
    """
    if parts:
        mask = None if pc.all(valid).as_py() else pc.invert(valid)
        return pa.StructArray.from_arrays(parts, fields=fields_of(kind), mask=mask)
    buffers = [valid.buffers()[1]]
    return pa.Array.from_buffers(kind, len(valid), buffers, offset=valid.offset, children=[])


def list_bounds(lists: pa.Array) -> npt.NDArray[np.int64]:
    """Return the places of lists in their flattened values, from 0; shape (rows + 1,)."""
    bounds = np.zeros(len(lists) + 1, np.int64)
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    np.cumsum(lengths.to_numpy(zero_copy_only=False), out=bounds[1:])
    return bounds
