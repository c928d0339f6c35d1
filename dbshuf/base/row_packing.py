"""Typed rows as one string of bytes each, and back: for engines that have no such types.

A row is the bytes of its columns, one after the other, each taken apart into streams:

    any type      a byte for every value, 1 where it is there; not for the type null
    fixed width   the values, as Arrow has them; a boolean is a byte
    text, binary  the lengths (uint32), then the bytes
    list, map     the lengths (uint32), then the streams of the elements
    struct        the streams of its fields

Every value comes back with the same bits, whatever its type. Nothing is done row by row: a
stream is an Arrow binary array with one element a row.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.nested_types import entries_of, fields_of, is_text, text_bounds
from dbshuf.base.row_batch import arrow_numbers

_I64 = npt.NDArray[np.int64]
_U8 = npt.NDArray[np.uint8]
_BOUND_OFFSETS = 1 << 31  # where offsets of 32 bits end


def packed(batch: pa.RecordBatch) -> pa.Array:
    """Return every row as bytes: a binary or large_binary array, shape (rows,)."""
    rows = batch.num_rows
    streams: list[pa.Array] = []
    for column in batch.columns:
        streams += _streams(column, np.arange(rows + 1, dtype=np.int64))
    if not streams:
        return pa.array([b""] * rows, pa.binary())
    if sum(one.nbytes for one in streams) >= _BOUND_OFFSETS:
        streams = [one.cast(pa.large_binary()) for one in streams]
    if len(streams) == 1:
        return streams[0]
    end = pa.scalar(b"", streams[0].type)
    return pc.binary_join_element_wise(*streams, end)


def unpacked(rows: pa.Array, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows that `packed` made strings of (binary or large_binary, without nulls)."""
    reading = _Reading(rows)
    once = np.ones(len(rows), np.int64)
    columns = [reading.array(field.type, once) for field in schema]
    if not columns:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * len(rows), pa.struct([])))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


# --- apart -----------------------------------------------------------------------------


def _streams(array: pa.Array, bounds: _I64) -> Iterator[pa.Array]:
    """Yield the streams of an array.

    bounds  int64, shape (rows + 1,): row r has the elements bounds[r] to bounds[r + 1]
    """
    kind: Any = array.type
    if isinstance(array, pa.ExtensionArray):
        yield from _streams(array.storage, bounds)
        return
    if pa.types.is_null(kind):
        return
    yield _stream(_bytes_of(array.is_valid()), bounds)
    if pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            yield from _streams(array.field(number), bounds)
    elif pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        values = array.values.slice(array.offset * size, len(array) * size)
        yield from _streams(values, bounds * size)
    elif _is_list(kind):
        lists = entries_of(array) if pa.types.is_map(kind) else array
        ends = lists.offsets.to_numpy().astype(np.int64)
        yield _stream(np.diff(ends).astype(np.uint32).view(np.uint8), bounds * 4)
        values = lists.values.slice(int(ends[0]), int(ends[-1] - ends[0]))
        yield from _streams(values, (ends - ends[0])[bounds])
    elif is_text(kind):
        data, places = text_bounds(array)
        ends = places.astype(np.int64)
        yield _stream(np.diff(ends).astype(np.uint32).view(np.uint8), bounds * 4)
        yield _stream(data, ends[bounds])
    elif pa.types.is_boolean(kind):
        yield _stream(_bytes_of(pc.fill_null(array, False)), bounds)
    else:
        width = kind.bit_width // 8
        data = np.frombuffer(array.buffers()[1] or b"", np.uint8)
        yield _stream(data[array.offset * width :][: len(array) * width], bounds * width)


def _bytes_of(booleans: pa.Array) -> _U8:
    found: _U8 = booleans.cast(pa.uint8()).to_numpy(zero_copy_only=False)
    return found


def _stream(data: _U8, bounds: _I64) -> pa.Array:
    """Return the slices of `data` that `bounds` cut out, as a binary array."""
    is_long = bool(bounds[-1] >= _BOUND_OFFSETS)
    ends = bounds if is_long else bounds.astype(np.int32)
    kind = pa.large_binary() if is_long else pa.binary()
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(kind, len(bounds) - 1, buffers)


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind))


# --- together --------------------------------------------------------------------------


class _Reading:
    """Rows, each read up to some place of it."""

    def __init__(self, rows: pa.Array) -> None:
        ends = text_bounds(rows)[1].astype(np.int64)
        self._at = ends[:-1].copy()
        self._data = rows.buffers()[2] or pa.py_buffer(b"")

    def array(self, kind: Any, counts: _I64) -> pa.Array:
        """Return the next elements of every row, `counts` of them (int64, shape (rows,))."""
        if isinstance(kind, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(kind, self.array(kind.storage_type, counts))
        length = int(counts.sum())
        if pa.types.is_null(kind):
            return pa.nulls(length)
        valid = self._validity(counts)
        children: list[pa.Array] = []
        buffers = [valid]
        if pa.types.is_struct(kind):
            children = [self.array(field.type, counts) for field in fields_of(kind)]
        elif pa.types.is_fixed_size_list(kind):
            children = [self.array(kind.value_type, counts * kind.list_size)]
        elif _is_list(kind):
            ends, inner = self._ends(counts)
            buffers.append(_offsets(ends, is_large=pa.types.is_large_list(kind)))
            value = pa.struct(fields_of(kind)) if pa.types.is_map(kind) else kind.value_type
            children = [self.array(value, inner)]
        elif is_text(kind):
            ends, inner = self._ends(counts)
            is_large = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
            buffers += [_offsets(ends, is_large=is_large), self._take(inner)]
        elif pa.types.is_boolean(kind):
            buffers.append(_bits(self._take(counts)))
        else:
            buffers.append(self._take(counts * (kind.bit_width // 8)))
        return pa.Array.from_buffers(kind, length, buffers, children=children)

    def _validity(self, counts: _I64) -> pa.Buffer | None:
        flags = self._take(counts)
        return None if np.frombuffer(flags, np.uint8).all() else _bits(flags)

    def _ends(self, counts: _I64) -> tuple[_I64, _I64]:
        """Return where elements end (shape (elements + 1,), from 0), and what each row has."""
        lengths = np.frombuffer(self._take(counts * 4), np.uint32)
        ends = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=ends[1:])
        bounds = np.concatenate([[0], np.cumsum(counts)])
        return ends, np.diff(ends[bounds])

    def _take(self, sizes: _I64) -> pa.Buffer:
        """Return the next bytes of every row, joined."""
        begins, rows = self._at, len(sizes)
        self._at = begins + sizes
        if not int(sizes.sum()):
            return pa.py_buffer(b"")
        # Between two values lies what belongs to others: to Arrow it is one value more.
        ends = np.empty(2 * rows, np.int64)
        ends[0::2], ends[1::2] = begins, self._at
        buffers = [None, pa.py_buffer(ends), self._data]
        array = pa.Array.from_buffers(pa.large_binary(), 2 * rows - 1, buffers)
        taken = array.take(arrow_numbers(np.arange(0, 2 * rows, 2, dtype=np.int64)))
        return taken.buffers()[2]


def _offsets(ends: _I64, *, is_large: bool) -> pa.Buffer:
    return pa.py_buffer(ends if is_large else ends.astype(np.int32))


def _bits(flags: pa.Buffer) -> pa.Buffer:
    return pa.py_buffer(np.packbits(np.frombuffer(flags, np.uint8), bitorder="little"))
