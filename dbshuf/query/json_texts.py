"""Long texts of JSON lines, which SQL need not see to take the lines apart.

DuckDB holds a text eight times while it takes an object apart. So a long one is left out
of its line: where types are looked for, nothing remains of it but a flaw; where
values are made, a mark stands for it, and the text is put back in the mark's place. Long arrays of
numbers go the same way, see json_arrays.py.
"""

import json
import re
import secrets
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.block_io import U8
from dbshuf.base.row_batch import I64, arrow_numbers
from dbshuf.query.json_arrays import IN_JSON, is_numeric, kinds_of, mark_of, with_arrays, with_rows
from dbshuf.units import KIB, MIB

LONG_LINE_BYTES = MIB  # lines from here on are looked at
_LONG_BYTES = 64 * KIB  # texts that are left out
_STEP_BYTES = MIB
_QUOTE, _ESCAPE, _COLON, _SPACES = ord('"'), ord("\\"), ord(":"), b" \t\r\n"
_OPEN, _CLOSE = ord("["), ord("]")
_STRUCTURE = np.zeros(256, bool)  # the bytes that no array of numbers has within it
_STRUCTURE[list(b'[]{}"')] = True
_ESCAPED_BYTES = 12  # of a pair of surrogates
_MARK = "dbshuf:" + secrets.token_hex(16) + ":"  # no text of the input has it
_MARKS = f"{_MARK}[0-9]+;|{IN_JSON}"  # of texts, and of arrays

_Span = tuple[int, int]


class LeftOut:
    """Long texts and arrays that were left out, by the marks that stand for them."""

    def __init__(self) -> None:
        self._texts: dict[str, pa.Buffer] = {}
        self._arrays: list[pa.Buffer] = []

    def add(self, text: pa.Buffer) -> bytes:
        """Return the mark for a text, as it is between its quotes."""
        mark = f"{_MARK}{len(self._texts)};"
        self._texts[mark] = text
        return mark.encode()

    def add_array(self, content: pa.Buffer) -> bytes | None:
        """Return the mark for an array, as it is between its brackets; None: it stays."""
        if kinds_of(content) is None:
            return None
        self._arrays.append(content)
        return mark_of(len(self._arrays) - 1)

    def put_back(self, array: pa.Array) -> pa.Array:
        """Return values with their texts and arrays instead of marks."""
        if not (self._texts or self._arrays) or not _may_hold_text(array.type):
            return array
        if array.offset:
            array = pa.concat_arrays([array])
        if pa.types.is_struct(array.type):
            inner = [self.put_back(array.field(number)) for number in range(array.type.num_fields)]
        elif pa.types.is_list(array.type):
            if self._arrays:
                array = with_arrays(array, self._arrays)
            inner = [self.put_back(array.values)]
        else:
            return self._with_texts(array)
        buffers = array.buffers()[: 2 if pa.types.is_list(array.type) else 1]
        return pa.Array.from_buffers(array.type, len(array), buffers, children=inner)

    def _with_texts(self, values: pa.Array) -> pa.Array:
        marked = np.flatnonzero(pc.match_substring_regex(values, _MARKS).fill_null(False))

        def whole(row: int) -> pa.Array:
            value = values[row].as_py()
            # A mark alone is a text; in JSON there are quotes around it.
            text = _decoded(self._texts[value]) if value in self._texts else self._in_json(value)
            return _one(text, values.type)

        return with_rows(values, marked, whole)

    def _in_json(self, value: str) -> pa.Buffer:
        """Return a value's own JSON."""
        pieces: list[Any] = []
        end = 0
        for found in re.finditer(_MARKS, value):
            pieces.append(value[end : found.start()].encode())
            if found[1] is None:
                pieces.append(self._texts[found[0]])
            else:
                content = self._arrays[int(found[1])].to_pybytes()
                pieces += [b"[", content.translate(None, _SPACES), b"]"]  # as DuckDB has it
            end = found.end()
        return pa.py_buffer(b"".join([*pieces, value[end:].encode()]))


def without_long_texts(lines: pa.Array, left_out: LeftOut | None = None) -> pa.Array:
    """Return lines of JSON without their long texts and arrays; what is no JSON stays so.

    lines     pyarrow string, shape (rows,), no nulls
    left_out  takes what marks stand for, as parts of `lines`; None: of a text that bytes
              make none of, these are left, and of numbers some of the same kinds
    Returns   other memory than `lines` has, or `lines` where all are short
    """
    ends = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset :][: len(lines) + 1]
    long = np.flatnonzero(np.diff(ends) > LONG_LINE_BYTES)
    if not len(long):
        return lines
    data = lines.buffers()[2]

    def short(row: int) -> pa.Array:
        line = data.slice(int(ends[row]), int(ends[row + 1] - ends[row]))
        return _one(_shortened(line, left_out), lines.type)

    return with_rows(lines, long, short)


def _shortened(line: pa.Buffer, left_out: LeftOut | None) -> pa.Buffer:
    """Return a line with what remains of each long text that is no key, and each long array."""
    text_kept = _flaws_in if left_out is None else left_out.add
    array_kept = kinds_of if left_out is None else left_out.add_array
    pieces, end = [], 0
    for begin, stop in _long_spans(np.frombuffer(line, np.uint8)):
        is_text = line[begin - 1] == _QUOTE
        content = line.slice(begin, stop - begin)
        kept = text_kept(content) if is_text else array_kept(content)
        if kept is not None:
            pieces += [line.slice(end, begin - end), kept]
            end = stop
    return pa.py_buffer(b"".join([*pieces, line.slice(end)]))


def _long_spans(line: U8) -> list[_Span]:
    """Return where long texts, but for keys, and long arrays of numbers begin and end.

    These are their quotes and brackets, which are left out.
    """
    found: list[_Span] = []
    last, is_open = 0, False  # the quote before, and whether it opens a text
    plain = -1  # the last byte before a step that is no backslash
    edge = -1  # the last byte before a step that no array of numbers has within it
    for step in range(0, len(line), _STEP_BYTES):
        piece = line[step : step + _STEP_BYTES]
        quotes, plain = _quotes_in(piece, plain - step)
        quotes, plain = quotes + step, plain + step
        edges = np.concatenate([[edge], np.flatnonzero(_STRUCTURE[piece]) + step])
        edge = int(edges[-1])
        for number in np.flatnonzero(np.diff(edges) > _LONG_BYTES).tolist():
            begin, stop = int(edges[number]), int(edges[number + 1])
            is_within = is_open ^ bool(np.searchsorted(quotes, begin) % 2)
            is_array = begin >= 0 and line[begin] == _OPEN and line[stop] == _CLOSE
            if is_array and not is_within and is_numeric(line[begin + 1 : stop]):
                found.append((begin + 1, stop))
        if not len(quotes):
            continue
        before = np.concatenate([[last], quotes[:-1]])
        closes = (np.arange(len(quotes)) % 2 == 0) == is_open
        for number in np.flatnonzero(closes & (quotes - before > _LONG_BYTES)).tolist():
            begin, stop = int(before[number]) + 1, int(quotes[number])
            if not _is_key(line, stop + 1):
                found.append((begin, stop))
        last, is_open = int(quotes[-1]), is_open ^ bool(len(quotes) % 2)
    return sorted(found)


def _quotes_in(piece: U8, plain: int) -> tuple[I64, int]:
    """Return the places of quotes that no backslash escapes, and of the last other byte.

    plain  the last byte before the piece that is no backslash, hence below 0
    """
    quotes = np.flatnonzero(piece == _QUOTE)
    is_escape = piece == _ESCAPE
    if plain == -1 and not is_escape.any():
        return quotes, len(piece) - 1
    plains = np.where(is_escape, plain, np.arange(len(piece)))
    np.maximum.accumulate(plains, out=plains)
    before = np.where(quotes > 0, plains[quotes - 1], plain)
    return quotes[(quotes - 1 - before) % 2 == 0], int(plains[-1])


def _is_key(line: U8, at: int) -> bool:
    while at < len(line) and line[at] in _SPACES:
        at += 1
    return at < len(line) and bool(line[at] == _COLON)


def _flaws_in(text: pa.Buffer) -> bytes:
    """Return what makes this no text, as ASCII: nothing of one that is sound."""
    content = np.frombuffer(text, np.uint8)
    if not any(
        np.any((piece == _ESCAPE) | (piece < ord(" ")))
        for piece in np.split(content, range(_STEP_BYTES, len(content), _STEP_BYTES))
    ):
        return b""
    begin = 0
    try:
        while begin < len(content):
            _, begin = _decoded_step(text, begin)
    except ValueError:
        flawed = content[begin : begin + _STEP_BYTES]
        return np.where(flawed < 128, flawed, ord("x")).astype(np.uint8).tobytes()
    return b""


def _decoded(text: pa.Buffer) -> pa.Buffer:
    """Return a text without its escapes. Raises ValueError."""
    content = np.frombuffer(text, np.uint8)
    if not any(
        np.any(content[step : step + _STEP_BYTES] == _ESCAPE)
        for step in range(0, len(content), _STEP_BYTES)
    ):
        return text
    made = pa.BufferOutputStream()
    begin = 0
    while begin < len(content):
        piece, begin = _decoded_step(text, begin)
        made.write(piece)
    return made.getvalue()


def _decoded_step(text: pa.Buffer, begin: int) -> tuple[bytes, int]:
    """Return a part of a text without its escapes, and where it ends. Raises ValueError."""
    end = min(begin + _STEP_BYTES, text.size)
    for stop in range(end, max(end - _ESCAPED_BYTES, begin), -1):
        try:
            piece = json.loads(b'"%b"' % text.slice(begin, stop - begin).to_pybytes())
        except ValueError:  # it ends within an escape, or within a character
            continue
        if stop == text.size or not "\ud800" <= piece[-1:] < "\udc00":  # half of two escapes
            return piece.encode(), stop
    raise ValueError("a text that is no JSON")


def _one(text: pa.Buffer, kind: pa.DataType) -> pa.Array:
    """Return an array of one text; nothing is copied."""
    offsets = arrow_numbers(np.array([0, text.size], np.int32)).buffers()[1]
    return pa.Array.from_buffers(kind, 1, [None, offsets, text])


def _may_hold_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_string(kind))
