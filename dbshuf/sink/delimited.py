"""Rows as CSV and TSV: RFC 4180, with LF at the end of a row."""

from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.sink.packed import packed
from dbshuf.sink.raw import ByteOutput
from dbshuf.sink.records import records_of
from dbshuf.sink.stepwise import Stepwise, check_calendar
from dbshuf.sink.target import Target

_TEXT = pa.large_string()  # every text here: 2 GiB are no limit
_MARKS = b'"\n\r'  # what a text is quoted for, beside the delimiter
_BOM = "\ufeff"


class DelimitedEncoder(Stepwise):
    """One file with the columns' names at its head; NULL is nothing, an empty text is `""`.

    So a row whose only column is NULL is an empty line.
    """

    def __init__(self, output: ByteOutput, target: Target) -> None:
        records = records_of(target)
        delimiter = "\t" if target.format.startswith("tsv") else ","
        encode = partial(delimited, delimiter=delimiter)
        head = head_of(records.schema.names, delimiter)
        super().__init__(packed(output, target), target, records, encode=encode, head=head)


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
    parts: list[pa.Array | pa.Scalar] = []
    between = ""
    for column in rows.columns:
        values = column.storage if isinstance(column, pa.ExtensionArray) else column
        is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        texts = values.cast(_TEXT) if is_text else _plain(values)
        quoted = _to_quote(texts, delimiter.encode() + _MARKS) if is_text else None
        if quoted is None or not quoted.any():
            parts += [_scalar(between), texts] if between else [texts]
        else:
            texts = pc.replace_substring(texts, '"', '""') if _holds_quote(texts) else texts
            before, after = _scalar(between + '"'), _scalar('"')
            if not quoted.all():
                mask = pa.array(quoted)
                before = pc.if_else(mask, before, _scalar(between))
                after = pc.if_else(mask, after, _scalar(""))
            parts += [before, texts, after]
        between = delimiter
    lines = pc.binary_join_element_wise(
        *parts, _scalar("\n"), _scalar(""), null_handling="replace", null_replacement=""
    )
    return _bytes_of(lines)


def _plain(values: pa.Array) -> pa.Array:
    """Numbers, times and truth values as Arrow has them in text: none needs quotes."""
    kind = values.type
    check_calendar(values)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        values = values.cast(pa.timestamp(kind.unit, "UTC"))
    return values.cast(_TEXT)


def _to_quote(texts: pa.Array, marks: bytes) -> npt.NDArray[np.bool_]:
    """Return which texts are empty or hold one of the `marks`, shape (rows,); NULL is not."""
    bounds = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset :][: len(texts) + 1]
    filled = bounds[1:] > bounds[:-1]
    quoted = ~filled
    data = bytes(_bytes_of(texts))
    found = [code for code in marks if code in data]
    if found:
        values = np.frombuffer(data, np.uint8)
        hits = values == found[0]
        for code in found[1:]:
            hits |= values == code
        quoted[filled] = np.logical_or.reduceat(hits, (bounds[:-1] - bounds[0])[filled])
    if texts.null_count:
        quoted &= texts.is_valid().to_numpy(zero_copy_only=False)
    return quoted


def _holds_quote(texts: pa.Array) -> bool:
    return b'"' in bytes(_bytes_of(texts))


def _bytes_of(texts: pa.Array) -> memoryview:
    """The bytes of the texts, one after the other, also what is behind nulls."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset :]
    return memoryview(data or b"")[int(bounds[0]) : int(bounds[len(texts)])]


def _scalar(text: str) -> pa.Scalar:
    return pa.scalar(text, _TEXT)
