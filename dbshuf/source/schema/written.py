"""The columns of the inputs as they are to be written: what plain types leave out.

Rows move as plain types, see plain.py. Beside them goes a schema that says what the
output is to have instead: nullability, metadata of fields and of the file, large types,
views and dictionaries. Of several inputs it says what holds for all of them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from dbshuf.base.column_names import called_as
from dbshuf.base.nested_types import fields_of, rebuilt
from dbshuf.source.schema.plain import plain_type

Metadata = Mapping[bytes, bytes]

# Keys that describe columns, though their values need not quote a name.
_OF_COLUMNS = (
    b"pandas", b"huggingface", b"geo", b"ARROW:schema", b"iceberg.schema", b"avro.schema",
    b"parquet.avro.schema", b"parquet.proto.descriptor", b"thrift.descriptor",
    b"org.apache.spark.sql.parquet.row.metadata",
)  # fmt: skip

_OF_WRITERS = (b"ARROW:schema", b"content_defined_chunking")  # how a file was written


# Of a dictionary column of an Arrow file: its values are kept to tell which of them come again,
# and they are in the memory of whoever reads the file, too. Beyond that values are plain.
DICTIONARY_VALUES = 1 << 20
DICTIONARY_BYTES = 16 << 20


def merged(found: Sequence[pa.Schema], plain: pa.Schema) -> pa.Schema:
    """Return the columns `plain` of inputs as they are to be written."""
    fields = [_field(field, [_named(schema, field.name) for schema in found]) for field in plain]
    return pa.schema(fields, metadata=_common([_tidy(one.metadata or {}) for one in found]))


def narrowed(written: pa.Schema | None, queried: pa.Schema) -> pa.Schema | None:
    """Return what is written of the rows of a query over rows of `written`.

    What a key of the file says of columns may be false of them, so that it is dropped.
    """
    if written is None or not written.metadata:
        return None
    quoted = [json.dumps(name, ensure_ascii=False).encode() for name in written.names]
    quoted += [json.dumps(name).encode() for name in written.names]
    kept = {
        key: value
        for key, value in written.metadata.items()
        if key not in _OF_COLUMNS and not any(name in value for name in quoted)
    }
    return queried.with_metadata(kept) if kept else None


def filtered(written: pa.Schema | None) -> pa.Schema | None:
    """Return what is written of some of the rows."""
    if written is None or not written.metadata:
        return written
    metadata = dict(written.metadata)
    if b"geo" in metadata:
        metadata[b"geo"] = _without_bounds(metadata[b"geo"])
    return written.with_metadata(metadata)


def _named(schema: pa.Schema, name: str) -> pa.Field | None:
    place = schema.get_field_index(name)
    return schema.field(place) if place >= 0 else None


def _field(plain: pa.Field, found: Sequence[pa.Field | None]) -> pa.Field:
    fields = [one for one in found if one is not None and plain_type(one.type) == plain.type]
    if len(fields) < len(found):
        return plain
    kind = fields[0].type
    for one in fields[1:]:
        kind = _looser(kind, one.type)
    if kind is not None and pa.types.is_dictionary(kind) and kind.ordered:
        kind = pa.dictionary(kind.index_type, kind.value_type)  # values come in another order
    is_kept = kind is not None and not _is_decoded(kind)
    made = pa.field(
        plain.name,
        kind if is_kept else plain.type,
        nullable=any(one.nullable for one in fields),
        metadata=_common([one.metadata or {} for one in fields]) if is_kept else None,
    )
    return called_as(made, fields[0])


def _looser(one: Any, other: Any) -> Any:
    """Return a type for the values of two that are the same plain type; None: that type."""
    if one is None or one == other or one.id != other.id:
        return one if one == other else None
    if not pa.types.is_nested(one) or one.num_fields != other.num_fields:
        return None
    fields = []
    for number in range(one.num_fields):
        ours, theirs = one.field(number), other.field(number)
        kind = _looser(ours.type, theirs.type)
        if kind is None:
            return None
        is_null = ours.nullable or theirs.nullable
        fields.append(pa.field(ours.name, kind, nullable=is_null))
    return rebuilt(one, fields)


def _is_decoded(kind: Any) -> bool:
    """Whether a type has a part that is written with plain values.

    Those are runs of equal values, and dictionaries of nested ones, which pyarrow does not number.
    """
    if isinstance(kind, pa.BaseExtensionType):
        return _is_decoded(kind.storage_type)
    if pa.types.is_run_end_encoded(kind):
        return True
    if pa.types.is_dictionary(kind):
        return pa.types.is_nested(kind.value_type) or _is_decoded(kind.value_type)
    return pa.types.is_nested(kind) and any(_is_decoded(one.type) for one in fields_of(kind))


def _common(found: Sequence[Metadata]) -> dict[bytes, bytes] | None:
    """Return what all inputs say."""
    if len(found) > 1:
        found = [
            {**one, b"geo": _without_bounds(one[b"geo"])} if b"geo" in one else one for one in found
        ]
    first, *others = found
    kept = {
        key: value for key, value in first.items() if all(one.get(key) == value for one in others)
    }
    return kept or None


def _tidy(metadata: Metadata) -> dict[bytes, bytes]:
    """Return the metadata of a file without what a shuffled one is not."""
    kept = {key: value for key, value in metadata.items() if key not in _OF_WRITERS}
    if b"pandas" in kept:
        kept[b"pandas"] = _changed(kept[b"pandas"], _without_range)
    if b"huggingface" in kept:
        kept[b"huggingface"] = _changed(kept[b"huggingface"], _without_fingerprint)
    return kept


def _changed(text: bytes, change: Callable[[Any], bool]) -> bytes:
    """Return JSON after a change, as it was where there is none or it is something else."""
    try:
        value = json.loads(text)
        return json.dumps(value).encode() if change(value) else text
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return text


def _without_range(pandas: Any) -> bool:
    """Take out an index that numbers rows, since they now stand elsewhere."""
    kept = [one for one in pandas["index_columns"] if not isinstance(one, dict)]
    is_changed = len(kept) < len(pandas["index_columns"])
    pandas["index_columns"] = kept
    return is_changed


def _without_fingerprint(dataset: Any) -> bool:
    """Take out what names the rows and their order."""
    return dataset.pop("fingerprint", None) is not None


def _without_bounds(geo: bytes) -> bytes:
    """Return GeoParquet's metadata without the bounds of all geometries of a file."""
    return _changed(
        geo, lambda value: [one.pop("bbox", None) for one in value["columns"].values()] != []
    )
