"""Long arrays of numbers in JSON lines, which SQL need not see to take the lines apart.

DuckDB takes 78 bytes a number while it takes an object apart (2.0.1), Arrow 8 for the value that
it becomes. So a long array is left out of its line, as a long text is: where types are looked for,
a few numbers of the same kinds remain; where values are made, two numbers that mark its place.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.block_io import U8
from dbshuf.base.row_batch import I64, arrow_numbers
from dbshuf.units import MIB

_STEP_BYTES = MIB
_COMMA = ord(",")
_NUMERIC = np.zeros(256, bool)  # the bytes that numbers and what is between them are made of
_NUMERIC[list(b"0123456789+-.eE, \t\r\n")] = True
# The first of the two numbers; no array of the input begins with it. Exact as a double.
_MAGIC = (1 << 52) + secrets.randbits(51)
IN_JSON = rf"\[{_MAGIC},([0-9]+)\]"  # as DuckDB writes the two where a column is JSON


def is_numeric(content: U8) -> bool:
    """Whether what is between two brackets may be numbers and nothing else."""
    return all(_NUMERIC[content[at : at + _STEP_BYTES]].all() for at in _steps(content))


def _steps(content: U8) -> range:
    return range(0, len(content), _STEP_BYTES)


def kinds_of(content: pa.Buffer) -> bytes | None:
    """Return a few numbers of the kinds that are in an array; None if it is no sound JSON.

    Of integers the least and the greatest decide which type holds them all.
    """
    integers: list[int] = []
    others: set[str] = set()
    try:
        for values in _values(content):
            whole = [value for value in values if isinstance(value, int)]
            integers = [min(whole + integers), max(whole + integers)] if whole else integers
            if len(whole) < len(values):
                floats = (value for value in values if isinstance(value, float))
                others |= {"1e999" if abs(value) == np.inf else "0.5" for value in floats}
    except ValueError:
        return None
    return ",".join([*map(str, integers), *sorted(others)]).encode()


def _values(content: pa.Buffer) -> Iterator[list[Any]]:
    """Yield the numbers of an array in parts. Raises ValueError where it is no sound JSON."""
    text = np.frombuffer(content, np.uint8)
    begin = 0
    while begin <= len(text):
        end = min(begin + _STEP_BYTES, len(text))
        if end < len(text):
            commas = np.flatnonzero(text[begin:end] == _COMMA)
            if not len(commas):
                raise ValueError("a number of a megabyte")
            end = begin + int(commas[-1])
        found = json.loads(b"[%b]" % text[begin:end].tobytes())
        if not found:
            raise ValueError("a comma without a number")
        yield found
        begin = end + 1


def mark_of(number: int) -> bytes:
    """Return what stands between its brackets for the array that was left out as `number`."""
    return b"%d,%d" % (_MAGIC, number)


def with_arrays(lists: pa.Array, left_out: list[pa.Buffer]) -> pa.Array:
    """Return lists of numbers, or of their texts, with the arrays that marks stand for."""

    def whole(row: int) -> pa.Array:
        return _one(left_out[int(lists[row].values[1].as_py())], lists.type)

    return with_rows(lists, _marked(lists), whole)


def with_rows(values: pa.Array, rows: I64, other: Callable[[int], pa.Array]) -> pa.Array:
    """Return values with others in some rows, arrays of one value each; the rest is not copied.

    rows  int64, ascending
    """
    parts, first = [], 0
    for row in rows.tolist():
        parts += [values.slice(first, row - first), other(row)]
        first = row + 1
    parts = [part for part in (*parts, values.slice(first)) if len(part)]
    return parts[0] if len(parts) == 1 else pa.concat_arrays(parts) if parts else values


def _marked(lists: pa.Array) -> I64:
    kind = lists.type.value_type
    if not (pa.types.is_string(kind) or pa.types.is_decimal(kind) or pa.types.is_primitive(kind)):
        return np.empty(0, np.int64)
    pairs = np.flatnonzero(pc.equal(pc.list_value_length(lists), 2).fill_null(False))
    if not len(pairs) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind):
        return np.empty(0, np.int64)
    begins = lists.offsets.take(arrow_numbers(pairs))
    firsts = lists.values.take(begins)
    magic = pa.scalar(str(_MAGIC)) if pa.types.is_string(kind) else pa.scalar(_MAGIC).cast(kind)
    return pairs[np.flatnonzero(pc.equal(firsts, magic).fill_null(False))]


def _one(content: pa.Buffer, kind: Any) -> pa.Array:
    """Return an array of one list: the numbers of an array."""
    if pa.types.is_string(kind.value_type):  # each is the text that it has
        texts = pc.split_pattern(pa.array([content.to_pybytes().decode()]), ",").values
        values = pc.ascii_trim_whitespace(texts)
    else:
        values = pa.concat_arrays([_typed(part, kind.value_type) for part in _values(content)])
    offsets = arrow_numbers(np.array([0, len(values)], np.int32)).buffers()[1]
    return pa.Array.from_buffers(kind, 1, [None, offsets], children=[values])


def _typed(values: list[Any], kind: Any) -> pa.Array:
    if pa.types.is_floating(kind):
        values = [float(value) for value in values]
    return pa.array(values, kind)
