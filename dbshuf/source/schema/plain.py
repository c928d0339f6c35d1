"""Columns as they are read to columns of plain types: one schema for the rows of all inputs.

Plain are the types that can be gathered, counted by `row_batch.row_bytes`, stored and written:
dictionaries and run-end encodings are decoded, views and large strings, binaries and
lists become the usual ones. Fields may be null and carry no metadata.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.nested_types import fields_of, rebuilt
from dbshuf.errors import InputBroken, LineTooLong, NotUtf8, SchemaMismatch

_SHOWN_FIELDS = 5
_INT32_BITS = 32

# Types that pyarrow can name, but has no arrays of (26.0.1).
_WITHOUT_ARRAYS = (pa.lib.Type_INTERVAL_MONTHS, pa.lib.Type_INTERVAL_DAY_TIME)


def plain_schema(schema: pa.Schema, name: str) -> pa.Schema:
    """Return the columns of an input with plain types.

    name    of the input, for messages
    Raises  NotUtf8; SchemaMismatch for no column, a name that comes twice, or a type that rows
            cannot have
    """
    fields = []
    check_names(schema, name)
    for field in schema:
        try:
            plain = plain_type(field.type)
        except (TypeError, ValueError):
            raise SchemaMismatch(
                f"`{name}`: column `{field.name}` has type {field.type}, which is not read",
                hint="write the input with another type in its place",
            ) from None
        fields.append(pa.field(field.name, plain))
    twice, count = next(
        iter(Counter(schema.names).most_common(1)), ("", 0)
    )  # of a table in a database
    if count > 1:
        raise SchemaMismatch(
            f"`{name}` has {count} columns `{twice}`",
            hint="give every column a name of its own",
        )
    if not fields:
        raise SchemaMismatch(f"`{name}` has no columns", hint="leave it out")
    return pa.schema(fields)


def check_names(schema: pa.Schema, name: str) -> None:
    """Raise NotUtf8 if the name of a column cannot be read."""
    try:
        list(schema.names)
    except UnicodeDecodeError:
        raise NotUtf8(
            f"`{name}`: the name of a column is no UTF-8", hint="write the input again"
        ) from None


def narrowest(schema: pa.Schema) -> int:
    """Return the place of a column that is cheap to read, where only rows are needed."""
    costs = [(not _has_width(kind), leaves(kind)) for kind in schema.types]
    return costs.index(min(costs))


def _has_width(kind: Any) -> bool:
    return bool(pa.types.is_null(kind) or pa.types.is_primitive(kind))


def check_alike(first: str, schema: pa.Schema, other: str, found: pa.Schema) -> None:
    """Raise SchemaMismatch unless two inputs have the same plain columns, in any order."""
    ours, theirs = (dict(zip(s.names, s.types, strict=True)) for s in (schema, found))
    differing = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    if not differing:
        return
    shown = "; ".join(
        f"`{name}` is {_type_of(name, ours)} and {_type_of(name, theirs)}"
        for name in differing[:_SHOWN_FIELDS]
    )
    more = f"; {len(differing) - _SHOWN_FIELDS} more" if len(differing) > _SHOWN_FIELDS else ""
    raise SchemaMismatch(
        f"the columns of `{first}` and `{other}` differ: {shown}{more}",
        hint="all inputs must have the same columns; rewrite one, or shuffle them apart",
    )


def _type_of(name: str, types: dict[str, Any]) -> str:
    return str(types[name]) if name in types else "missing"


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema, name: str, row: int) -> pa.RecordBatch:
    """Return the columns of `schema` out of a batch as it was read, checked in full.

    batch   holds at least these columns, in any order; its dictionaries are sound, since a
            check here would be one for every batch
    name    of the input, and `row`, the number of the batch's first row there: for messages
    Raises  NotUtf8, LineTooLong, InputBroken
    """
    columns = []
    for field in schema:
        place = batch.schema.get_field_index(field.name)
        if place < 0:
            raise InputBroken(
                f"`{name}` at row {row}: column `{field.name}` is missing",
                hint="the file changed, or is damaged: shuffle a copy that no one writes to",
            )
        array = batch.column(place)
        try:
            if pa.types.is_dictionary(array.type):
                array = _plain_array(array, field.type)
            _check(array)
            columns.append(_plain_array(array, field.type))
        except (pa.ArrowException, IndexError) as error:
            raise _unsound(array, field.name, name, row, error) from None
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _unsound(
    array: pa.Array, column: str, name: str, row: int, error: Exception
) -> InputBroken | NotUtf8 | LineTooLong:
    """The error for a column of a batch that does not pass."""
    text = str(error).splitlines()[0]
    if "too large" in text or "overflow" in text:
        return LineTooLong(
            f"`{name}`: a value of column `{column}` near row {row} has more than 2 GiB",
            hint="no row can hold it",
        )
    if "utf8" in text.lower():
        row += first_failing(array, _check_slice)
        return NotUtf8(
            f"`{name}` at row {row}: column `{column}` is no UTF-8",
            hint="rows count from 0; convert the text to UTF-8, or write the column as binary",
        )
    return InputBroken(
        f"`{name}` near row {row}: column `{column}` is damaged: {text}",
        hint="fetch the file or write it again",
    )


def first_failing(array: pa.Array, check: Callable[[pa.Array], object]) -> int:
    """Return the number of the first row for which `check` raises what pyarrow does.

    check  fails for a slice of the array if it does for one of its rows, and for the whole
    """
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            check(array.slice(low, middle - low))
            low = middle
        except pa.ArrowException:
            high = middle
    return low


def _check_slice(array: pa.Array) -> None:
    _check(own_slice(array))


def own_slice(array: pa.Array) -> pa.Array:
    """Return a slice with values of its own only, its structure checked on the way.

    The nested values of a slice are else those of all rows, and a check looks at them all;
    but without a check, nothing may follow offsets that were read from a file.
    Raises  pa.ArrowInvalid
    """
    kind, types = array.type, pa.types
    if isinstance(array, pa.ExtensionArray):
        return pa.ExtensionArray.from_storage(kind, own_slice(array.storage))
    if types.is_struct(kind) and kind.num_fields:
        parts = [own_slice(array.field(at)) for at in range(kind.num_fields)]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=array.is_null())
    if types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind):
        return _own_lists(array)
    _check(array)
    return array


def _check(array: pa.Array) -> None:
    """Raise pa.ArrowInvalid for values that would break what reads them.

    A time beyond a day and a decimal with too many digits are what the file has, and harm
    no one: pyarrow reads them, but calls them invalid.
    """
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        bare = _bare_type(array.type)
        if bare == array.type:
            raise
        array.validate()
        array.view(bare).validate(full=True)


def _bare_type(kind: Any) -> Any:
    """Return a type of the same layout, whose values have no range."""
    types = pa.types
    if types.is_time(kind):
        return pa.int32() if kind.bit_width == _INT32_BITS else pa.int64()
    if types.is_decimal(kind):
        return pa.binary(kind.bit_width // 8)
    if types.is_struct(kind) or types.is_map(kind) or types.is_list(kind):
        fields = [one.with_type(_bare_type(one.type)) for one in fields_of(kind)]
        return rebuilt(kind, fields)
    return kind


def _own_lists(array: pa.Array) -> pa.Array:
    kind, children = array.type, array.values
    is_large = pa.types.is_large_list(kind)
    bare = pa.Array.from_buffers(
        pa.large_list(pa.null()) if is_large else pa.list_(pa.null()),
        len(array),
        array.buffers()[:2],
        offset=array.offset,
        children=[pa.nulls(len(children))],
    )
    bare.validate(full=True)
    first, last = bare.offsets[0], bare.offsets[len(array)]
    offsets = pc.subtract(bare.offsets, first)
    valid = pa.array(array.is_valid().to_numpy(zero_copy_only=False))  # its bits begin a byte
    buffers = [valid.buffers()[1], offsets.buffers()[1]]
    values = own_slice(children.slice(first.as_py(), last.as_py() - first.as_py()))
    return pa.Array.from_buffers(kind, len(array), buffers, children=[values])


def plain_type(kind: Any) -> Any:
    """Return the plain type that holds the values of `kind`; raises TypeError, ValueError."""
    types, plain = pa.types, kind
    if _has_no_arrays(kind):
        raise TypeError
    if isinstance(kind, pa.BaseExtensionType):
        storage = plain_type(kind.storage_type)
        if storage != kind.storage_type:
            plain = pa.json_(storage) if isinstance(kind, pa.JsonType) else storage
    elif types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        plain = plain_type(kind.value_type)
    elif types.is_large_string(kind) or types.is_string_view(kind):
        plain = pa.string()
    elif types.is_large_binary(kind) or types.is_binary_view(kind):
        plain = pa.binary()
    elif types.is_fixed_size_list(kind):
        plain = pa.list_(plain_type(kind.value_type), kind.list_size)
    elif types.is_map(kind):
        plain = pa.map_(plain_type(kind.key_type), plain_type(kind.item_type))
    elif _is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    elif types.is_struct(kind):
        return pa.struct([(field.name, plain_type(field.type)) for field in kind])
    elif not (types.is_string(kind) or types.is_binary(kind) or types.is_null(kind)):
        _ = kind.bit_width  # unions and the like have none
    if (types.is_fixed_size_list(kind) or types.is_map(kind)) and plain != kind:
        _check_cast(kind)
    return plain


def _has_no_arrays(kind: Any) -> bool:
    """Whether pyarrow (26.0.1) has none, or divides by their length 0, which ends the process."""
    is_empty_list = pa.types.is_fixed_size_list(kind) and not kind.list_size
    return is_empty_list or kind.id in _WITHOUT_ARRAYS


def _check_cast(kind: Any) -> None:
    if not _can_cast(kind):
        raise TypeError


def _is_list(kind: Any) -> bool:
    types = pa.types
    is_view = types.is_list_view(kind) or types.is_large_list_view(kind)
    return bool(is_view or types.is_list(kind) or types.is_large_list(kind))


def _children(kind: Any) -> Sequence[Any]:
    if isinstance(kind, pa.BaseExtensionType):
        return [kind.storage_type]
    if pa.types.is_run_end_encoded(kind) or not pa.types.is_nested(kind):
        return []
    return [field.type for field in fields_of(kind)]


def leaves(kind: Any) -> int:
    """Return how many Parquet columns hold the values of a type."""
    below = _children(kind)
    return sum(map(leaves, below)) if below or pa.types.is_struct(kind) else 1


def _plain_array(array: pa.Array, kind: Any) -> pa.Array:
    """Return an array as its plain type; raises what pyarrow does."""
    found, types = array.type, pa.types
    if found == kind:
        plain = array
    elif isinstance(array, pa.ExtensionArray):
        is_kept = isinstance(kind, pa.BaseExtensionType)
        plain = _plain_array(array.storage, kind.storage_type if is_kept else kind)
        plain = pa.ExtensionArray.from_storage(kind, plain) if is_kept else plain
    elif types.is_dictionary(found):
        plain = _plain_array(array.dictionary, kind).take(array.indices)
    elif types.is_run_end_encoded(found):
        plain = _plain_array(pc.run_end_decode(array), kind)
    elif _can_cast(found):
        plain = array.cast(kind)
    elif types.is_struct(found):
        parts = [_plain_array(array.field(i), field.type) for i, field in enumerate(kind)]
        plain = pa.StructArray.from_arrays(parts, fields=list(kind), mask=array.is_null())
    else:
        plain = lists_of(array, _plain_array(array.flatten(), kind.value_type))
    return plain


def _can_cast(kind: Any) -> bool:
    """Whether a cast finds its way; it trips over slices of list views, and lacks the rest."""
    types = pa.types
    is_hard = types.is_list_view(kind) or types.is_large_list_view(kind)
    is_hard = is_hard or types.is_run_end_encoded(kind) or isinstance(kind, pa.BaseExtensionType)
    if types.is_dictionary(kind):  # of which it decodes no views and nothing nested
        value = kind.value_type
        is_hard = types.is_nested(value) or plain_type(value) != value
    return not is_hard and all(map(_can_cast, _children(kind)))


def lists_of(array: pa.Array, values: pa.Array) -> pa.Array:
    """Return lists, which may lie in any order and overlap, with the values they flatten to."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64())
    ends = pc.cumulative_sum(lengths)
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends]).cast(pa.int32())
    return pa.ListArray.from_arrays(offsets, values, mask=array.is_null())
