"""Nested types of Arrow taken apart into their fields, and put together again."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa


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
