"""Rows as JSON lines, made with Arrow's own functions on whole columns.

0.1-0.4 us a row of 147 bytes of text, 0.45 with four more columns; DuckDB's to_json 0.35
and 0.57, Python's json 5 and 12 (pyarrow 26.0.1, duckdb 2.0.0, one thread).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.nested_types import entries_of, is_string, list_bounds
from dbshuf.sink.formats.row_text import (
    FINITE,
    TEXT,
    ValueUnfit,
    bytes_of,
    check_calendar,
    scalar,
    text_steps,
)

_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def json_lines(rows: pa.RecordBatch, structures: Mapping[str, Any] | None = None) -> memoryview:
    """Return the rows as UTF-8 text, each an object and LF.

    structures  column -> its structure, of those that hold JSON as text: it leaves as it is
    Numbers have all their digits; moments are ISO 8601, those of a time zone in UTC;
    maps are objects, their keys as text.
    Raises   ValueUnfit for NaN and infinities, also of time
    """
    names = rows.schema.names
    kinds = [(structures or {}).get(name) for name in names]
    return bytes_of(_object(rows.columns, names, len(rows), end="}\n", kinds=kinds))


def json_line_in_pieces(
    row: pa.RecordBatch, structures: Mapping[str, Any] | None = None
) -> Iterator[bytes | memoryview]:
    """Yield what `json_lines` returns for one row; of a column of text a piece at a time."""
    before = "{"
    for name, column in zip(row.schema.names, row.columns, strict=True):
        kind = (structures or {}).get(name)
        yield f"{before}{json.dumps(name, ensure_ascii=False)}:".encode()
        before = ","
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if not is_text or column.null_count:
            yield bytes_of(json_text(column, kind))
            continue
        quote = b"" if kind == "JSON" else b'"'
        yield quote
        for piece in text_steps(column):
            yield bytes_of(_valid_text(piece, kind) if kind == "JSON" else _escaped(piece))
        yield quote
    yield b"}\n"


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
        head = scalar(f"{before}{json.dumps(name, ensure_ascii=False)}:")
        parts += [head, json_text(column, kind)]
        before = ","
    return pc.binary_join_element_wise(*parts, scalar(end), scalar(""))


def json_text(values: pa.Array, structure: Any = None) -> pa.Array:
    """Return every value as JSON, large_string; NULL is `null`. Raises ValueUnfit.

    structure  as from_json takes it, where there is JSON in the values
    """
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    texts = _valid_text(values, structure)
    return pc.if_else(values.is_null(), scalar("null"), texts) if values.null_count else texts


def _valid_text(values: pa.Array, structure: Any) -> pa.Array:
    """The texts of the values; at NULL anything."""
    kind = values.type
    if structure == "JSON":  # LF can only be between its tokens
        return pc.replace_substring(values.cast(TEXT), "\n", " ")
    if pa.types.is_nested(kind):
        return _nested_text(values, structure)
    if is_string(kind):
        return _quoted(_escaped(values.cast(TEXT)))
    if pa.types.is_floating(kind):
        return _float_text(values)
    if pa.types.is_temporal(kind):
        check_calendar(values)
        return _moment_text(values) if pa.types.is_timestamp(kind) else _quoted(values.cast(TEXT))
    return values.cast(TEXT)


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
        raise ValueUnfit("`{name}`: JSON has no NaN and no infinities", FINITE)
    texts = values.cast(TEXT)
    whole = pc.invert(pc.match_substring_regex(texts, "[.e]"))
    if not pc.any(whole).as_py():
        return texts
    return pc.if_else(whole, _joined(texts, scalar(".0")), texts)


def _moment_text(values: pa.Array) -> pa.Array:
    kind = values.type
    is_utc = kind.tz is not None
    texts = values.view(pa.int64()).view(pa.timestamp(kind.unit)).cast(TEXT)
    texts = pc.replace_substring(texts, " ", "T", max_replacements=1)
    return _joined(scalar('"'), texts, scalar('Z"' if is_utc else '"'))


def _map_text(values: pa.Array) -> pa.Array:
    entries = entries_of(values)
    keys, items = entries.flatten().flatten()
    names = json_text(keys)
    if not pc.all(pc.starts_with(names, '"')).as_py():
        names = _quoted(names)
    return _listed(entries, _joined(names, scalar(":"), json_text(items)), "{}")


def _listed(lists: pa.Array, texts: pa.Array, brackets: str) -> pa.Array:
    """Join the texts of all values, as `lists` holds them, to a text a list."""
    parts = pc.binary_join(pa.LargeListArray.from_arrays(list_bounds(lists), texts), scalar(","))
    return _joined(scalar(brackets[0]), parts, scalar(brackets[1]))


def _escaped(texts: pa.Array) -> pa.Array:
    """Escape what JSON must: a pass over the text for each such byte that there is."""
    for code in _to_escape(texts):
        char = chr(code)
        escape = f"\\{char}" if char in '\\"' else _SHORT.get(char, f"\\u{code:04x}")
        texts = pc.replace_substring(texts, char, escape)
    return texts


def _to_escape(texts: pa.Array) -> list[int]:
    """The bytes in the texts that need an escape, the backslash first."""
    data = np.frombuffer(bytes_of(texts), np.uint8)
    escaped = [code for code in (0x5C, 0x22) if np.any(data == code)]
    return [*escaped, *np.unique(data[data < 32]).tolist()]


def _quoted(texts: pa.Array) -> pa.Array:
    return _joined(scalar('"'), texts, scalar('"'))


def _joined(*parts: pa.Array | pa.Scalar) -> pa.Array:
    return pc.binary_join_element_wise(*parts, scalar(""))
