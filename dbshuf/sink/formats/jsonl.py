"""Rows as JSON lines, made with Arrow's own functions on whole columns.

0.1-0.4 us a row of 147 bytes of text, 0.45 with four more columns; DuckDB's to_json 0.35
and 0.57, Python's json 5 and 12 (pyarrow 26.0.1, duckdb 2.0.0, one thread).
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.json_values import structures_in
from dbshuf.sink.formats.compression import packed
from dbshuf.sink.formats.record_batches import records_of
from dbshuf.sink.formats.row_text import FINITE, Stepwise, ValueUnfit, check_calendar
from dbshuf.sink.raw_file import ByteOutput
from dbshuf.sink.target import Target

_TEXT = pa.large_string()  # every text here: 2 GiB are no limit
_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


class JsonLinesEncoder(Stepwise):
    """One object a row, one row a line."""

    def __init__(self, output: ByteOutput, target: Target) -> None:
        records = records_of(target)
        structures = structures_in(target.written)
        encode = partial(json_lines, structures=structures) if structures else json_lines
        super().__init__(packed(output, target), target, records, encode=encode)


def json_lines(rows: pa.RecordBatch, structures: Mapping[str, Any] | None = None) -> memoryview:
    """Return the rows as UTF-8 text, each an object and LF.

    structures  column -> its structure, of those that hold JSON as text: it leaves as it is
    Numbers have all their digits; moments are ISO 8601, those of a time zone in UTC;
    maps are objects, their keys as text.
    Raises   ValueUnfit for NaN and infinities, also of time
    """
    names = rows.schema.names
    kinds = [(structures or {}).get(name) for name in names]
    lines = _object(rows.columns, names, len(rows), end="}\n", kinds=kinds)
    offsets = np.frombuffer(lines.buffers()[1], np.int64)
    return memoryview(lines.buffers()[2])[int(offsets[0]) : int(offsets[len(rows)])]


def _object(
    columns: list[pa.Array],
    names: list[str],
    rows: int,
    end: str = "}",
    kinds: Sequence[Any] | None = None,
) -> pa.Array:
    """Join texts of columns to objects, none of them NULL; `kinds` are their structures."""
    parts: list[pa.Array | pa.Scalar] = []
    before = "{"
    for name, column, kind in zip(names, columns, kinds or [None] * len(names), strict=True):
        head = _scalar(f"{before}{json.dumps(name, ensure_ascii=False)}:")
        parts += [head, json_text(column, kind)]
        before = ","
    return pc.binary_join_element_wise(*parts, _scalar(end), _scalar(""))


def json_text(values: pa.Array, structure: Any = None) -> pa.Array:
    """Return every value as JSON, large_string; NULL is `null`. Raises ValueUnfit.

    structure  as from_json takes it, where there is JSON in the values
    """
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    texts = _valid_text(values, structure)
    return pc.if_else(values.is_null(), _scalar("null"), texts) if values.null_count else texts


def _valid_text(values: pa.Array, structure: Any) -> pa.Array:
    """The texts of the values; at NULL anything."""
    kind = values.type
    if structure == "JSON":  # LF can only be between its tokens
        return pc.replace_substring(values.cast(_TEXT), "\n", " ")
    if pa.types.is_nested(kind):
        return _nested_text(values, structure)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _quoted(_escaped(values.cast(_TEXT)))
    if pa.types.is_floating(kind):
        return _float_text(values)
    if pa.types.is_temporal(kind):
        check_calendar(values)
        return _moment_text(values) if pa.types.is_timestamp(kind) else _quoted(values.cast(_TEXT))
    return values.cast(_TEXT)


def _nested_text(values: pa.Array, structure: Any) -> pa.Array:
    kind = values.type
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        kinds = [(structure or {}).get(name) for name in names]
        return _object(values.flatten(), names, len(values), kinds=kinds)
    if pa.types.is_map(kind):
        return _map_text(values)
    items = structure[0] if structure else None
    return _listed(values, json_text(values.flatten(), items), "[]")


def _float_text(values: pa.Array) -> pa.Array:
    """The shortest text that reads back as the same number; 1.0 is `1.0`, no integer."""
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float32())
    if not pc.all(pc.is_finite(values), min_count=0).as_py():
        raise ValueUnfit("JSON has no NaN and no infinities", FINITE)
    texts = values.cast(_TEXT)
    whole = pc.invert(pc.match_substring_regex(texts, "[.e]"))
    if not pc.any(whole).as_py():
        return texts
    return pc.if_else(whole, _joined(texts, _scalar(".0")), texts)


def _moment_text(values: pa.Array) -> pa.Array:
    kind = values.type
    is_utc = kind.tz is not None
    texts = values.view(pa.int64()).view(pa.timestamp(kind.unit)).cast(_TEXT)
    texts = pc.replace_substring(texts, " ", "T", max_replacements=1)
    return _joined(_scalar('"'), texts, _scalar('Z"' if is_utc else '"'))


def _map_text(values: pa.Array) -> pa.Array:
    kind = values.type
    entries = values.cast(pa.list_(pa.struct([kind.key_field, kind.item_field])))
    keys, items = entries.flatten().flatten()
    names = json_text(keys)
    if not pc.all(pc.starts_with(names, '"')).as_py():
        names = _quoted(names)
    return _listed(entries, _joined(names, _scalar(":"), json_text(items)), "{}")


def _listed(lists: pa.Array, texts: pa.Array, brackets: str) -> pa.Array:
    """Join the texts of all values, as `lists` holds them, to a text a list."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    parts = pc.binary_join(pa.LargeListArray.from_arrays(bounds, texts), _scalar(","))
    return _joined(_scalar(brackets[0]), parts, _scalar(brackets[1]))


def _escaped(texts: pa.Array) -> pa.Array:
    """Escape what JSON must: a pass over the text for each such byte that there is."""
    for code in _to_escape(texts):
        char = chr(code)
        escape = f"\\{char}" if char in '\\"' else _SHORT.get(char, f"\\u{code:04x}")
        texts = pc.replace_substring(texts, char, escape)
    return texts


def _to_escape(texts: pa.Array) -> list[int]:
    """The bytes in the texts that need an escape, the backslash first."""
    bounds = np.frombuffer(texts.buffers()[1], np.int64)
    first, last = int(bounds[texts.offset]), int(bounds[texts.offset + len(texts)])
    if first == last:
        return []
    data = np.frombuffer(texts.buffers()[2], np.uint8)[first:last]
    escaped = [code for code in (0x5C, 0x22) if np.any(data == code)]
    return [*escaped, *np.unique(data[data < 32]).tolist()]


def _quoted(texts: pa.Array) -> pa.Array:
    return _joined(_scalar('"'), texts, _scalar('"'))


def _joined(*parts: pa.Array | pa.Scalar) -> pa.Array:
    return pc.binary_join_element_wise(*parts, _scalar(""))


def _scalar(text: str) -> pa.Scalar:
    return pa.scalar(text, _TEXT)
