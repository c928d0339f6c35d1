"""Rows as CSV and TSV: RFC 4180, with LF at the end of a row.

The columns' names are at the head of a file; NULL is nothing, an empty text is `""`. So a row
whose only column is NULL is an empty line.

Arrow's writer makes the rows of a step at once where all of its texts need quotes, or none
does. It has no style for quotes where they are needed alone, and DuckDB's COPY, which has,
writes NULL and the empty text alike or quotes numbers, and goes to files: so steps of mixed
texts are joined from columns here.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from dbshuf.base.nested_types import is_string, text_bounds
from dbshuf.sink.formats.row_text import (
    TEXT,
    bytes_of,
    check_calendar,
    scalar,
    text_steps,
)

_MARKS = b'"\n\r'  # what a text is quoted for, beside the delimiter
_BOM = "\ufeff"
_ROWS_AT_ONCE = 1024  # of Arrow's writer, its own; 16 times as many are 10 % faster for short rows


def head_of(names: list[str], delimiter: str) -> bytes:
    """Return the line of the columns' names, quoted where a value would be.

    Also where a name begins with a BOM, which readers take off the head of a file.
    """
    marks = {delimiter, '"', "\n", "\r"}
    shown = [
        '"{}"'.format(name.replace('"', '""'))
        if not name or marks & set(name) or name.startswith(_BOM)
        else name
        for name in names
    ]
    return (delimiter.join(shown) + "\n").encode()


def delimited(rows: pa.RecordBatch, delimiter: str) -> memoryview:
    """Return the rows as text, quotes only where RFC 4180 asks for them.

    A text is quoted if it is empty, since NULL is nothing, or holds the delimiter, a quote, LF
    or CR; nothing else is. Moments are in UTC, with a Z: local times of one zone may mean two.
    Raises   ValueUnfit for infinities of time
    """
    columns = [_plain(column) for column in rows.columns]
    texts = {n: column for n, column in enumerate(columns) if is_string(column.type)}
    if not any(_empty(column).any() for column in texts.values()):
        text = _written(columns, delimiter, "none")
        if text is not None:
            return text
    # A cast of a slice takes as long as one of all that it is a slice of.
    texts = {n: pa.concat_arrays([column]).cast(TEXT) for n, column in texts.items()}
    quoted = {n: _to_quote(text, delimiter.encode() + _MARKS) for n, text in texts.items()}
    if all(len(text) - text.null_count == quoted[n].sum() for n, text in texts.items()):
        text = _written(columns, delimiter, "needed")  # Arrow's word for all texts
        if text is not None:
            return text
    columns = [texts[n] if n in texts else column.cast(TEXT) for n, column in enumerate(columns)]
    return _joined(columns, quoted, delimiter)


def delimited_in_pieces(row: pa.RecordBatch, delimiter: str) -> Iterator[bytes | memoryview]:
    """Yield what `delimited` returns for one row; of a column of text a piece at a time."""
    before = b""
    for column in map(_plain, row.columns):
        yield before
        before = delimiter.encode()
        if column.null_count:
            continue
        if not is_string(column.type):
            yield bytes_of(column.cast(TEXT))
            continue
        marks = delimiter.encode() + _MARKS
        pieces = list(text_steps(column))
        quote = b'"' if not pieces or any(_to_quote(one, marks)[0] for one in pieces) else b""
        yield quote
        for piece in pieces:
            yield bytes_of(_doubled(piece))
        yield quote
    yield b"\n"


def value_texts(rows: pa.RecordBatch) -> list[pa.Array]:
    """Return the values of every column as a reader of CSV has them: text, and NULL is empty.

    Raises   ValueUnfit for infinities of time
    """
    texts = []
    for column in map(_plain, rows.columns):
        text = column if is_string(column.type) else column.cast(TEXT)
        texts.append(pc.fill_null(text, "") if text.null_count else text)
    return texts


def _plain(column: pa.Array) -> pa.Array:
    """Return the values as a type that Arrow has a text for."""
    values = column.storage if isinstance(column, pa.ExtensionArray) else column
    kind = values.type
    check_calendar(values)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return values.cast(pa.timestamp(kind.unit, "UTC"))
    return values


def _written(columns: list[pa.Array], delimiter: str, style: str) -> memoryview | None:
    """Return the rows as Arrow writes them at once; None if it refuses.

    With the style "none" it refuses a text with a mark as soon as it finds one. That is 4 ns a
    row of 147 bytes, and where there is none, it all takes 45; to join the columns takes more
    than twice as much (pyarrow 26.0.1, 2 cores).
    """
    made = pa.BufferOutputStream()
    options = pa.csv.WriteOptions(
        include_header=False, delimiter=delimiter, batch_size=_ROWS_AT_ONCE, quoting_style=style
    )
    names = [str(number) for number in range(len(columns))]
    try:
        pa.csv.write_csv(pa.RecordBatch.from_arrays(columns, names=names), made, options)
    except pa.ArrowInvalid:
        return None
    return memoryview(made.getvalue())


def _joined(
    columns: list[pa.Array], quoted: dict[int, npt.NDArray[np.bool_]], delimiter: str
) -> memoryview:
    """Return the rows, each text with quotes around it where `quoted` has them.

    columns   of large_string
    quoted    for the numbers of columns of text, shape (rows,)
    """
    parts: list[pa.Array | pa.Scalar] = []
    for number, texts in enumerate(columns):
        if number:
            parts.append(scalar(delimiter))
        if number in quoted and quoted[number].any():
            marks = _marks_where(quoted[number])
            parts += [marks, _doubled(texts), marks]
        else:
            parts.append(texts)
    lines = pc.binary_join_element_wise(
        *parts, scalar("\n"), scalar(""), null_handling="replace", null_replacement=""
    )
    return bytes_of(lines)


def _to_quote(texts: pa.Array, marks: bytes) -> npt.NDArray[np.bool_]:
    """Return which texts are empty or hold one of the `marks`, shape (rows,); NULL is not."""
    quoted = _empty(texts)
    data = bytes(bytes_of(texts))
    found = [code for code in marks if code in data]
    if found:
        values = np.frombuffer(data, np.uint8)
        hits = values == found[0]
        for code in found[1:]:
            hits |= values == code
        bounds = text_bounds(texts)[1]
        filled = bounds[1:] > bounds[:-1]
        firsts = (bounds[:-1] - bounds[0])[filled]
        # twice as fast as logical_or of truth values, 18 ns of a text of 147 bytes
        quoted[filled] |= np.bitwise_or.reduceat(hits.view(np.uint8), firsts).view(np.bool_)
        if texts.null_count:  # a NULL may have bytes behind it
            quoted &= texts.is_valid().to_numpy(zero_copy_only=False)
    return quoted


def _doubled(texts: pa.Array) -> pa.Array:
    has_quotes = b'"' in bytes(bytes_of(texts))
    return pc.replace_substring(texts, '"', '""') if has_quotes else texts


def _marks_where(quoted: npt.NDArray[np.bool_]) -> pa.Array:
    """Return a quote where a text is quoted, and an empty text elsewhere."""
    bounds = np.zeros(len(quoted) + 1, np.int64)
    np.cumsum(quoted, out=bounds[1:])
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(b'"' * int(bounds[-1]))]
    return pa.Array.from_buffers(TEXT, len(quoted), buffers)


def _empty(texts: pa.Array) -> npt.NDArray[np.bool_]:
    """Return which texts are empty, shape (rows,); NULL is not."""
    bounds = text_bounds(texts)[1]
    empty: npt.NDArray[np.bool_] = bounds[1:] == bounds[:-1]
    if texts.null_count and empty.any():
        empty &= texts.is_valid().to_numpy(zero_copy_only=False)
    return empty
