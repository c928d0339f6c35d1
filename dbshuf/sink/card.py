"""The card of a data set: a README.md that Hugging Face's `datasets` reads.

    ---
    configs       which files are which split
    dataset_info  columns, and rows and bytes of the splits
    ---
    a sentence for people

`load_dataset(directory)` takes the files of each split from `configs`, casts them to the columns,
and fails where a split does not have the rows that are said. YAML is a superset of JSON, so texts
are written as JSON has them.
"""

import json
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from dbshuf.manifest.names import CARD_HEAD
from dbshuf.sink.formats.record_batches import records_of
from dbshuf.sink.schema_cast import reader_schema
from dbshuf.sink.seal import NamedFile
from dbshuf.sink.target import Target

_ALL = "train"  # what `datasets` calls the one split of a set that has none


def dataset_card(target: Target, files: Sequence[NamedFile]) -> bytes:
    """Return the card of a directory of Parquet shards.

    Columns of a type that `datasets` has no name for (maps, intervals) leave the list of columns
    out; the files are read without it.
    """
    written = target.written
    schema = records_of(target).schema if written is None else reader_schema(written)
    by_folder: dict[str, list[NamedFile]] = {name: [] for name in target.split_names or [""]}
    for file in files:
        by_folder[posixpath.dirname(file[0])].append(file)
    lines = ["configs:", "- config_name: default", "  data_files:"]
    info = ["dataset_info:", *_features(schema), "  splits:"]
    for folder, own in by_folder.items():
        rows, size = sum(one.rows for _, one in own), sum(one.bytes for _, one in own)
        name = json.dumps(folder or _ALL)
        pattern = posixpath.join(folder, f"part-*-of-{own[0][0].rpartition('-of-')[2]}")
        lines += [f"  - split: {name}", f"    path: {json.dumps(pattern)}"]
        info += [f"  - name: {name}", f"    num_bytes: {size}", f"    num_examples: {rows}"]
    total = sum(one.bytes for _, one in files)
    info += [f"  download_size: {total}", f"  dataset_size: {total}"]
    rows = sum(one.rows for _, one in files)
    words = (
        f"{rows:,} rows in {len(files):,} Parquet files, shuffled by dbshuf with the seed"
        f" {json.dumps(target.seed)}. `_manifest.json` says of what, and `SHA256SUMS` has the"
        " checksums of the files."
    )
    text = "\n".join([*lines, *info, "---", "", words, ""])
    return CARD_HEAD + text.encode()


def _features(schema: pa.Schema) -> list[str]:
    """Return the lines of the columns; none if one of them has no name there."""
    try:
        lines = [line for field in schema for line in _field(field.name, field.type, "  ")]
    except ValueError:
        return []
    return ["  features:", *lines] if lines else []


def _field(name: str, kind: Any, indent: str) -> list[str]:
    first, *others = _type(kind, indent + "  ")
    return [f"{indent}- name: {json.dumps(name)}", f"{indent}  {first}", *others]


def _type(kind: Any, indent: str) -> list[str]:
    """Return a type as the lines of a mapping, of which the first has no indent."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _type(kind.storage_type, indent)
    if types.is_dictionary(kind):
        return _type(kind.value_type, indent)
    if types.is_struct(kind):
        return ["struct:", *_fields(kind, indent)]
    is_large = types.is_large_list(kind)
    if is_large or types.is_list(kind) or types.is_fixed_size_list(kind):
        word, of = "large_list" if is_large else "list", kind.value_type
        if types.is_struct(of):
            lines = [f"{word}:", *_fields(of, indent)]
        else:
            first, *others = _type(of, indent + "  ")
            if first.startswith("dtype: "):
                lines = [f"{word}: {first.removeprefix('dtype: ')}"]
            else:
                lines = [f"{word}:", f"{indent}  {first}", *others]
        length = types.is_fixed_size_list(kind)
        return [*lines, *([f"{indent}length: {kind.list_size}"] if length else [])]
    return [f"dtype: {json.dumps(_scalar(kind))}"]


def _fields(struct: Any, indent: str) -> Iterator[str]:
    for number in range(struct.num_fields):
        field = struct.field(number)
        yield from _field(field.name, field.type, indent)


def _scalar(kind: Any) -> str:
    """Return the name of a type; raises ValueError where `datasets` has none."""
    types = pa.types
    if types.is_floating(kind):
        return f"float{kind.bit_width}"
    if types.is_date(kind):
        return f"date{kind.bit_width}"
    if types.is_decimal(kind):
        return f"decimal{kind.bit_width}({kind.precision}, {kind.scale})"
    if types.is_nested(kind) or types.is_interval(kind):
        raise ValueError(str(kind))
    return str(kind)
