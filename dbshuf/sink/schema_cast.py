"""Typed rows in the form that a file is to have: from plain types to those of the inputs.

Parquet itself knows nothing of large types, views and dictionaries: a file says which an
Arrow reader is to make, and is written with plain ones. Arrow holds them as they are.

`Array.cast` does what it can here. Written by hand is what it cannot (pyarrow 26.0.1): views of
lists, one extension into another, fields that are not nullable below a null, and dictionaries
that grow from one batch to the next.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.nested_types import fields_of, rebuilt, struct_of
from dbshuf.base.parquet_types import NOTES_KEY
from dbshuf.errors import RowUnfit
from dbshuf.source.schema.written import DICTIONARY_BYTES, DICTIONARY_VALUES

_OWN_KEYS = b"dbshuf."


def notes_in(written: pa.Schema | None) -> list[bytes]:
    """Return what is known of each column of Parquet; nothing of some."""
    return [(one.metadata or {}).get(NOTES_KEY, b"") for one in written or ()]


def reader_schema(written: pa.Schema) -> pa.Schema:
    """Return a schema as a reader is to see it, without what is said for dbshuf alone."""
    fields = [one.with_metadata(_without_own(one.metadata or {})) for one in written]
    return pa.schema(fields, metadata=_without_own(written.metadata or {}))


def _without_own(metadata: Mapping[bytes, bytes]) -> dict[bytes, bytes] | None:
    return {k: v for k, v in metadata.items() if not k.startswith(_OWN_KEYS)} or None


def stored_in_parquet(seen: pa.Schema) -> pa.Schema:
    """Return what pyarrow is to write so that readers see `seen`."""
    return pa.schema([one.with_type(_decoded(one.type, is_all=True)) for one in seen])


def stored_in_arrow(seen: pa.Schema) -> pa.Schema:
    """Return `seen`, with dictionaries where a file can add to them: not within others."""
    fields = []
    for one in seen:
        inner = _decoded(one.type, is_all=False)
        if pa.types.is_dictionary(one.type):
            value = _decoded(one.type.value_type, is_all=False)
            inner = pa.dictionary(one.type.index_type, value)
        fields.append(one.with_type(inner))
    return pa.schema(fields, metadata=seen.metadata)


def _decoded(kind: Any, *, is_all: bool) -> Any:
    """Return a type without dictionaries, and with `is_all` without all that Parquet has no
    words for."""
    types, plain = pa.types, kind
    if isinstance(kind, pa.BaseExtensionType):
        storage = _decoded(kind.storage_type, is_all=is_all)
        if storage != kind.storage_type:
            plain = pa.json_(storage) if isinstance(kind, pa.JsonType) else storage
    elif types.is_dictionary(kind):
        plain = _decoded(kind.value_type, is_all=is_all)
    elif types.is_nested(kind):
        fields = [one.with_type(_decoded(one.type, is_all=is_all)) for one in fields_of(kind)]
        is_odd = is_all and not any(is_kind(kind) for is_kind in _KNOWN_NESTED)
        plain = pa.list_(fields[0]) if is_odd else rebuilt(kind, fields)
    elif is_all and (types.is_large_string(kind) or types.is_string_view(kind)):
        plain = pa.string()
    elif is_all and (types.is_large_binary(kind) or types.is_binary_view(kind)):
        plain = pa.binary()
    return plain


_KNOWN_NESTED = (
    pa.types.is_struct,
    pa.types.is_map,
    pa.types.is_list,
    pa.types.is_fixed_size_list,
)


class SchemaCast:
    """Makes batches of plain types into batches of `schema`; by one thread at a time where
    `schema` has dictionaries, which grow."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._dictionaries = [
            _GrowingDictionary(one) if pa.types.is_dictionary(one.type) else None for one in schema
        ]

    def cast(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch of this schema. Raises RowUnfit."""
        columns = []
        triples = zip(batch.columns, self.schema.types, self._dictionaries, strict=True)
        for column, kind, dictionary in triples:
            if dictionary is None:
                columns.append(as_type(column, kind))
            else:
                columns.append(dictionary.encode(column))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def as_written(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch of plain types as one of `schema`, its dictionaries those of its own."""
    pairs = zip(batch.columns, schema.types, strict=True)
    return pa.RecordBatch.from_arrays([as_type(*pair) for pair in pairs], schema=schema)


class _GrowingDictionary:
    """The dictionary of a column, which later batches add to."""

    def __init__(self, field: pa.Field) -> None:
        self._name, self._type = field.name, field.type
        self._known: pa.Array | None = None  # values in the order of their numbers
        self._written: pa.Array | None = None  # the same, of the type that they are to have

    def encode(self, column: pa.Array) -> pa.Array:
        kind = self._type
        found = _numbered(column).dictionary_encode()
        values, known = found.dictionary, self._known
        known = values[:0] if known is None else known
        places = pc.index_in(values, known)
        if places.null_count:
            known = pa.concat_arrays([known, values.filter(places.is_null())])
            if len(known) > DICTIONARY_VALUES or known.nbytes > DICTIONARY_BYTES:
                raise self._unfit(f"more than {DICTIONARY_VALUES:,} values or 16 MiB of them")
            places = pc.index_in(values, known)
        if self._written is None or known is not self._known:
            self._known = known
            self._written = as_type(_from_numbered(known, column.type), kind.value_type)
        try:
            indices = places.take(found.indices).cast(kind.index_type)
        except pa.ArrowInvalid:
            raise self._unfit(f"more values than {kind.index_type} can number") from None
        return pa.DictionaryArray.from_arrays(indices, self._written, ordered=kind.ordered)

    def _unfit(self, what: str) -> RowUnfit:
        return RowUnfit(
            f"column `{self._name}` is a dictionary, and has {what}",
            hint="--select writes it as plain values",
        )


def _numbered(array: pa.Array) -> pa.Array:
    """Return values as their bits where pyarrow has no way to number equal ones (26.0.1)."""
    if isinstance(array, pa.ExtensionArray):
        return _numbered(array.storage)
    if pa.types.is_float16(array.type) or pa.types.is_decimal(array.type):
        return array.view(pa.binary(array.type.bit_width // 8))
    return array


def _from_numbered(array: pa.Array, kind: Any) -> pa.Array:
    """Return as `kind` what `_numbered` made of it."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _from_numbered(array, kind.storage_type))
    return array if array.type == kind else array.view(kind)


def as_type(array: pa.Array, kind: Any) -> pa.Array:
    """Return an array of a plain type as another type that holds the same values."""
    types, found = pa.types, array.type
    if found.equals(kind, check_metadata=True):
        return array
    if isinstance(kind, pa.BaseExtensionType):
        storage = array.storage if isinstance(array, pa.ExtensionArray) else array
        return pa.ExtensionArray.from_storage(kind, as_type(storage, kind.storage_type))
    if isinstance(array, pa.ExtensionArray):
        return as_type(array.storage, kind)
    if types.is_dictionary(kind):
        encoded = _numbered(array).dictionary_encode()
        values, indices = _from_numbered(encoded.dictionary, found), encoded.indices
        values = as_type(values, kind.value_type)
        return pa.DictionaryArray.from_arrays(
            indices.cast(kind.index_type), values, ordered=kind.ordered
        )
    return _as_nested(array, kind) if types.is_nested(kind) else array.cast(kind)


def _as_nested(array: pa.Array, kind: Any) -> pa.Array:
    """Return nested values with as_type done to what they are made of."""
    types = pa.types
    if types.is_struct(kind):
        parts = [as_type(array.field(at), kind.field(at).type) for at in range(kind.num_fields)]
        mask = array.is_null() if array.null_count else None
        if mask is not None:
            parts = [
                part if field.nullable else _without_nulls_below(part, mask)
                for part, field in zip(parts, kind, strict=True)
            ]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=mask)
    if types.is_map(kind):
        keys = as_type(array.keys, kind.key_type)
        items = as_type(array.items, kind.item_type)
        fields = [kind.key_field, kind.item_field]
        entries = pa.StructArray.from_arrays([keys, items], fields=fields)
        return _with_child(array, kind, entries, buffers=2)
    if types.is_fixed_size_list(kind):
        return _with_child(array, kind, as_type(array.values, kind.value_type), buffers=1)
    values = as_type(array.values, kind.value_type)
    if types.is_list(kind):
        return _with_child(array, kind, values, buffers=2)
    mask = array.is_null() if array.null_count else None
    if types.is_large_list(kind):
        wide = array.cast(pa.large_list(array.type.value_field))
        return _with_child(wide, kind, as_type(wide.values, kind.value_type), buffers=2)
    is_large = types.is_large_list_view(kind)
    offsets = array.offsets.cast(pa.int64() if is_large else pa.int32())
    begins, ends = offsets[:-1], offsets[1:]
    sizes = pc.subtract(ends, begins)
    maker = pa.LargeListViewArray if is_large else pa.ListViewArray
    begins = pa.concat_arrays([begins])
    return maker.from_arrays(begins, sizes, values, type=kind, mask=mask)


def _without_nulls_below(array: pa.Array, mask: pa.Array) -> pa.Array:
    """Return values that are null only where what they are part of is (`mask`), as not null."""
    if not array.null_count or pc.any(pc.and_not(array.is_null(), mask)).as_py():
        return array
    kind, types = array.type, pa.types
    if isinstance(array, pa.ExtensionArray):
        return pa.ExtensionArray.from_storage(kind, _without_nulls_below(array.storage, mask))
    if types.is_struct(kind):
        parts = [array.field(at) for at in range(kind.num_fields)]
        return struct_of(parts, kind, pa.repeat(True, len(array)))
    own, children = array.buffers()[1:], None
    if types.is_map(kind):
        fields = [kind.key_field, kind.item_field]
        children = [pa.StructArray.from_arrays([array.keys, array.items], fields=fields)]
    elif types.is_nested(kind):
        children = [array.values]
    if children is not None:
        views = types.is_list_view(kind) or types.is_large_list_view(kind)
        own = own[: 0 if types.is_fixed_size_list(kind) else 2 if views else 1]
    return pa.Array.from_buffers(
        kind, len(array), [None, *own], null_count=0, offset=array.offset, children=children
    )


def _with_child(array: pa.Array, kind: Any, child: pa.Array, *, buffers: int) -> pa.Array:
    return pa.Array.from_buffers(
        kind,
        len(array),
        array.buffers()[:buffers],
        null_count=array.null_count,
        offset=array.offset,
        children=[child],
    )
