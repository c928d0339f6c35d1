"""Long texts of JSON lines, which SQL need not see to take the lines apart.

DuckDB holds a text eight times while it takes an object apart. So a long one is left out
of its line: where types are looked for, nothing remains of it but a flaw; where
values are made, a mark stands for it, and the text is put back in the mark's place.
"""

import json
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.block_io import U8
from dbshuf.base.row_batch import I64, arrow_numbers
from dbshuf.units import KIB, MIB

LONG_LINE_BYTES = MIB  # lines from here on are looked at
_LONG_BYTES = 64 * KIB  # texts that are left out
_STEP_BYTES = MIB
_QUOTE, _ESCAPE, _COLON, _SPACES = ord('"'), ord("\\"), ord(":"), b" \t\r\n"
_ESCAPED_BYTES = 12  # of a pair of surrogates
_MARK = "dbshuf:" + secrets.token_hex(16) + ":"  # no text of the input has it

_Span = tuple[int, int]


class LeftOut:
    """Long texts that were left out, by the marks that stand for them."""

    def __init__(self) -> None:
        self._texts: dict[str, pa.Buffer] = {}

    def add(self, text: pa.Buffer) -> bytes:
        """Return the mark for a text, as it is between its quotes."""
        mark = f"{_MARK}{len(self._texts)};"
        self._texts[mark] = text
        return mark.encode()

    def put_back(self, array: pa.Array) -> pa.Array:
        """Return values with their texts instead of marks."""
        if not self._texts or not _may_hold_text(array.type):
            return array
        if array.offset:
            array = pa.concat_arrays([array])
        if pa.types.is_struct(array.type):
            inner = [self.put_back(array.field(number)) for number in range(array.type.num_fields)]
        elif pa.types.is_list(array.type):
            inner = [self.put_back(array.values)]
        else:
            return self._with_texts(array)
        buffers = array.buffers()[: 2 if pa.types.is_list(array.type) else 1]
        return pa.Array.from_buffers(array.type, len(array), buffers, children=inner)

    def _with_texts(self, values: pa.Array) -> pa.Array:
        marked = np.flatnonzero(pc.match_substring(values, _MARK).fill_null(False))
        if not len(marked):
            return values
        parts, first = [], 0
        for row in marked.tolist():
            value = values[row].as_py()
            # A mark alone is a text; in JSON there are quotes around it.
            text = _decoded(self._texts[value]) if value in self._texts else self._in_json(value)
            parts += [values.slice(first, row - first), _one(text, values.type)]
            first = row + 1
        parts = [part for part in (*parts, values.slice(first)) if len(part)]
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)

    def _in_json(self, value: str) -> pa.Buffer:
        """Return a value's own JSON."""
        pieces: list[Any] = []
        for number, piece in enumerate(value.split(_MARK)):
            head, end, rest = piece.partition(";") if number else ("", "", piece)
            if number:
                pieces.append(self._texts[_MARK + head + end])
            pieces.append(rest.encode())
        return pa.py_buffer(b"".join(pieces))


def without_long_texts(lines: pa.Array, left_out: LeftOut | None = None) -> pa.Array:
    """Return lines of JSON without their long texts; what is no JSON stays so.

    lines     pyarrow string, shape (rows,), no nulls
    left_out  takes the texts that marks stand for, as parts of `lines`; None: of a text
              that bytes make none of, these are left
    Returns   other memory than `lines` has, or `lines` where all are short
    """
    ends = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset :][: len(lines) + 1]
    long = np.flatnonzero(np.diff(ends) > LONG_LINE_BYTES)
    if not len(long):
        return lines
    data = lines.buffers()[2]
    parts, first = [], 0
    for row in long.tolist():
        line = data.slice(int(ends[row]), int(ends[row + 1] - ends[row]))
        kept = left_out.add if left_out is not None else _flaws_in
        parts += [lines.slice(first, row - first), _one(_shortened(line, kept), lines.type)]
        first = row + 1
    return pa.concat_arrays([*parts, lines.slice(first)])


def _shortened(line: pa.Buffer, kept: Callable[[pa.Buffer], bytes]) -> pa.Buffer:
    """Return a line with what is `kept` of each long text that is no key."""
    pieces, end = [], 0
    for begin, stop in _long_texts(np.frombuffer(line, np.uint8)):
        pieces += [line.slice(end, begin - end), kept(line.slice(begin, stop - begin))]
        end = stop
    return pa.py_buffer(b"".join([*pieces, line.slice(end)]))


def _long_texts(line: U8) -> list[_Span]:
    """Return where long texts begin and end between their quotes, but for keys."""
    found: list[_Span] = []
    last, is_open = 0, False  # the quote before, and whether it opens a text
    plain = -1  # the last byte before a step that is no backslash
    for step in range(0, len(line), _STEP_BYTES):
        piece = line[step : step + _STEP_BYTES]
        quotes, plain = _quotes_in(piece, plain - step)
        quotes, plain = quotes + step, plain + step
        if not len(quotes):
            continue
        before = np.concatenate([[last], quotes[:-1]])
        closes = (np.arange(len(quotes)) % 2 == 0) == is_open
        for number in np.flatnonzero(closes & (quotes - before > _LONG_BYTES)).tolist():
            begin, stop = int(before[number]) + 1, int(quotes[number])
            if not _is_key(line, stop + 1):
                found.append((begin, stop))
        last, is_open = int(quotes[-1]), is_open ^ bool(len(quotes) % 2)
    return found


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
