"""Rows on their way into a stored run and back: lines, and typed rows.

A run is [slice of range 0][slice of range 1]... A slice of lines is keys (uint64), prefixes
(uint64) where rows have them, lengths (int32), text. A slice of typed rows is keys, prefixes, and
an Arrow IPC message of the columns, each padded to 64 bytes. What is loaded keeps lying where
it was read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dbshuf.base.block_io import U8
from dbshuf.base.key import U64
from dbshuf.base.layout import INDEX_BYTES, KEY_BYTES, PREFIX_BYTES, WINDOW_BYTES, WINDOW_ROWS
from dbshuf.base.line_batch import I32
from dbshuf.base.row_batch import I64, arrow_numbers, row_bytes
from dbshuf.base.window import Window
from dbshuf.order.arranged_lines import ArrangedLines, Column
from dbshuf.order.runs import as_bytes

Index = npt.NDArray[np.integer]
OrderOf = Callable[[U64, U64 | None], Index]  # the rows of keys, and prefixes, as these ascend
_PAD = 64  # what Arrow aligns its buffers to


class Slices(Protocol):
    """A run to be stored."""

    def parts(self, number: int) -> Iterator[U8]:
        """Yield the bytes of a slice; slices in their order, each once."""


class Cargo(Slices, Protocol):
    """Rows to be stored.

    keys      uint64, shape (rows,)
    prefixes  uint64, shape (rows,), as `LineBatch.prefixes`
    """

    keys: U64
    prefixes: U64 | None

    def arrange(self, order: Index, row_ends: I64) -> I64:
        """Put the rows into slices, and return the bytes of each; once.

        row_ends  slice i is the rows that order[row_ends[i] : row_ends[i + 1]] names
        """


class LineCargo:
    """Lines to be stored.

    keys      uint64, shape (rows,)
    lengths   int32, shape (rows,)
    lines     pyarrow binary array
    elements  which element of `lines` a row is; None: they are as many, in this order
    prefixes  uint64, shape (rows,), as `LineBatch.prefixes`
    """

    def __init__(
        self,
        keys: U64,
        lengths: I32,
        lines: pa.Array,
        elements: Index | None,
        prefixes: U64 | None = None,
    ) -> None:
        self.keys, self.prefixes = keys, prefixes
        self._lengths, self._lines, self._elements = lengths, lines, elements
        self._row_ends = self._text_ends = np.empty(0, np.int64)
        self._row = 0  # the next to be gathered
        self._at = self._from = self._to = 0
        self._text: U8 = np.empty(0, np.uint8)

    def arrange(self, order: Index, row_ends: I64) -> I64:
        self.keys, self._lengths = self.keys.take(order), self._lengths.take(order)
        self._elements = order if self._elements is None else self._elements.take(order)
        self.prefixes = None if self.prefixes is None else self.prefixes.take(order)
        self._row_ends, self._text_ends = row_ends, _ends(self._lengths)
        index_bytes = INDEX_BYTES + (0 if self.prefixes is None else PREFIX_BYTES)
        sizes: I64 = np.diff(row_ends) * index_bytes + np.diff(self._text_ends[row_ends])
        return sizes

    def gathered(self) -> ArrangedLines:
        """Return the lines as they were arranged, with their text; instead of `parts`."""
        assert self._elements is not None
        text = self._lines.take(arrow_numbers(self._elements)).buffers()[2]
        columns: list[Column] = [self.keys, self._lengths]
        if self.prefixes is not None:
            columns.insert(1, self.prefixes)
        ends = self._row_ends.tolist(), self._text_ends[self._row_ends].tolist()
        return ArrangedLines(columns, np.frombuffer(text, np.uint8), *ends)

    def parts(self, number: int) -> Iterator[U8]:
        begin, end = self._row_ends[number], self._row_ends[number + 1]
        yield as_bytes(self.keys[begin:end])
        if self.prefixes is not None:
            yield as_bytes(self.prefixes[begin:end])
        yield as_bytes(self._lengths[begin:end])
        yield from self._gathered(int(self._text_ends[end]))

    def _gathered(self, end: int) -> Iterator[U8]:
        """Yield the text up to offset `end` of the whole, gathered a window at a time."""
        assert self._elements is not None
        while self._at < end:
            if self._at == self._to:
                stop = next_window(self._text_ends, self._row)
                taken = self._lines.take(arrow_numbers(self._elements[self._row : stop]))
                self._text = np.frombuffer(taken.buffers()[2], np.uint8)
                self._from, self._to = self._to, int(self._text_ends[stop])
                self._row = stop
            stop_at = min(end, self._to)
            yield self._text[self._at - self._from : stop_at - self._from]
            self._at = stop_at


class RowCargo:
    """Typed rows to be stored.

    keys      uint64, shape (rows,)
    batch     pyarrow RecordBatch, shape (rows,)
    prefixes  uint64, shape (rows,), as `LineBatch.prefixes`
    """

    def __init__(self, keys: U64, batch: pa.RecordBatch, prefixes: U64 | None = None) -> None:
        self.keys, self.prefixes, self._batch = keys, prefixes, batch
        self._slices: list[list[U8]] = []

    def arrange(self, order: Index, row_ends: I64) -> I64:
        # Slice by slice, so that what is gathered is still in a cache when it is serialized.
        ends = row_ends.tolist()
        self._slices = [
            self._parts(order[begin:end]) if begin < end else [] for begin, end in pairwise(ends)
        ]
        return np.array([sum(map(len, parts)) for parts in self._slices], np.int64)

    def _parts(self, rows: Index) -> list[U8]:
        is_whole = len(rows) == len(self._batch) == 1  # maybe a long row: a copy less
        batch = self._batch if is_whole else self._batch.take(arrow_numbers(rows))
        message = batch.serialize()
        prefixes = (
            () if self.prefixes is None else _with_padding(as_bytes(self.prefixes.take(rows)))
        )
        return [
            *_with_padding(as_bytes(self.keys.take(rows))),
            *prefixes,
            *_with_padding(np.frombuffer(message, np.uint8)),
        ]

    def parts(self, number: int) -> Iterator[U8]:
        parts, self._slices[number] = self._slices[number], []
        yield from parts


@dataclass(frozen=True)
class Slice:
    """Stored rows of one range in one run: bytes [begin, end) from the run's address.

    crc32  of these bytes, where an earlier process has written them; None: nobody asks
    """

    address: int
    begin: int
    end: int
    rows: int
    crc32: int | None = None


class Bucket(Protocol):
    """Stored rows, back in memory; they keep lying in the buffer that they were read into."""

    def cargo(self) -> Cargo:
        """Return the rows, to be stored again."""

    def windows(self, order_of: OrderOf, *, shares: bool = False) -> Iterator[Window]:
        """Yield the rows in key order.

        order_of  says of keys and prefixes how they ascend
        shares    whether a long row stays where it was read: nothing else is read to there
        """


class LineBucket:
    """Lines in memory.

    slices       each with the place of its first byte in the buffer
    is_prefixed  whether there are prefixes in them
    """

    def __init__(
        self, slices: list[tuple[Slice, int]], buffer: U8, *, is_prefixed: bool = False
    ) -> None:
        rows = sum(one.rows for one, _ in slices)
        self._keys = np.empty(rows, np.uint64)
        self._prefixes = np.empty(rows, np.uint64) if is_prefixed else None
        self._lengths = np.empty(rows, np.int32)
        # Between two slices lie index and padding. To Arrow they are one value more,
        # which nothing asks for, so the text stays where it was read.
        self._elements = _elements([one.rows for one, _ in slices])
        offsets = np.empty(rows + len(slices), np.int32)
        row = 0
        for number, (one, at) in enumerate(slices):
            count, stop = one.rows, row + one.rows
            self._keys[row:stop] = np.frombuffer(buffer, np.uint64, count, at)
            text, element = at + INDEX_BYTES * count, row + number
            if self._prefixes is not None:
                self._prefixes[row:stop] = np.frombuffer(buffer, np.uint64, count, at + 8 * count)
                text += PREFIX_BYTES * count
            self._lengths[row:stop] = np.frombuffer(buffer, np.int32, count, text - 4 * count)
            offsets[element] = text
            ends = offsets[element + 1 : element + 1 + count]
            np.cumsum(self._lengths[row:stop], out=ends, dtype=np.int32)
            ends += np.int32(text)
            row = stop
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(buffer)]
        self._lines = pa.Array.from_buffers(pa.binary(), max(len(offsets) - 1, 0), buffers)

    def cargo(self) -> LineCargo:
        return LineCargo(self._keys, self._lengths, self._lines, self._elements, self._prefixes)

    def windows(self, order_of: OrderOf, *, shares: bool = False) -> Iterator[Window]:
        order = order_of(self._keys, self._prefixes)
        keys, elements = self._keys.take(order), self._elements.take(order)
        prefixes = None if self._prefixes is None else self._prefixes.take(order)
        text_ends = _ends(self._lengths.take(order))
        row = 0
        while row < len(order):
            stop = next_window(text_ends, row)
            if shares and _is_long(text_ends, row, stop):
                lines = self._lines.slice(int(elements[row]), 1)
            else:
                lines = self._lines.take(arrow_numbers(elements[row:stop]))
            # A copy of the keys, lest a window that waits keeps those of the whole bucket.
            yield Window.of_lines(lines, keys[row:stop].copy(), _copied(prefixes, row, stop))
            del lines
            row = stop


class RowBucket:
    """Typed rows in memory; text without nulls stays where it was read, the rest is joined.

    is_prefixed  whether there are prefixes in the slices
    """

    def __init__(
        self,
        slices: list[tuple[Slice, int]],
        buffer: U8,
        schema: pa.Schema,
        *,
        is_prefixed: bool = False,
    ) -> None:
        keys, prefixes, self._batches = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)], []
        for one, at in slices:
            keys.append(np.frombuffer(buffer, np.uint64, one.rows, at))
            start = at + _padded(KEY_BYTES * one.rows)
            if is_prefixed:
                prefixes.append(np.frombuffer(buffer, np.uint64, one.rows, start))
                start += _padded(PREFIX_BYTES * one.rows)
            message = buffer[start : at + one.end - one.begin]
            self._batches.append(pa.ipc.read_record_batch(pa.py_buffer(message), schema))
        self._keys = np.concatenate(keys)
        self._prefixes = np.concatenate(prefixes) if is_prefixed else None
        self._buffer, self._schema = buffer, schema

    def cargo(self) -> RowCargo:
        return RowCargo(self._keys, joined(self._batches, self._schema), self._prefixes)

    def windows(self, order_of: OrderOf, *, shares: bool = False) -> Iterator[Window]:
        order = order_of(self._keys, self._prefixes)
        keys = self._keys.take(order)
        prefixes = None if self._prefixes is None else self._prefixes.take(order)
        sizes = [row_bytes(batch) for batch in self._batches]
        ends = _ends(np.concatenate(sizes).take(order))
        alone = self._put_aside(sizes) if shares else {}
        elements = _elements([len(batch) for batch in self._batches]).take(order)
        columns = [self._column(number) for number in range(len(self._schema))]
        row = 0
        while row < len(order):
            stop = next_window(ends, row)
            if (batch := alone.pop(int(order[row]), None)) is None:
                places = arrow_numbers(elements[row:stop]), arrow_numbers(order[row:stop])
                arrays = [values.take(places[not in_place]) for values, in_place in columns]
                batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
            bounds, prefixed = ends[row : stop + 1].copy(), _copied(prefixes, row, stop)
            yield Window(batch, keys[row:stop].copy(), bounds, prefixes=prefixed)
            del batch
            row = stop

    def _put_aside(self, sizes: list[I64]) -> dict[int, pa.RecordBatch]:
        """Return the long rows that lie in batches of their own, by number; leave nulls there."""
        numbers = _ends(np.array([len(one) for one in sizes])).tolist()
        found: dict[int, pa.RecordBatch] = {}
        for place, batch in enumerate(self._batches):
            if len(batch) == 1 and sizes[place][0] > WINDOW_BYTES:
                found[numbers[place]] = batch
                nulls = [pa.nulls(1, column.type) for column in batch.columns]
                self._batches[place] = pa.RecordBatch.from_arrays(nulls, names=batch.schema.names)
        return found

    def _column(self, number: int) -> tuple[pa.Array, bool]:
        """Return all values of a column, and whether they are in place, as of LineBucket."""
        arrays = [batch.column(number) for batch in self._batches]
        kind: Any = self._schema.field(number).type  # `types` is a list made anew
        is_text = pa.types.is_string(kind) or pa.types.is_binary(kind)
        if not is_text or any(array.null_count for array in arrays):
            return pa.concat_arrays(arrays), False
        offsets: list[I32] = []
        for array in arrays:
            _, ends, text = array.buffers()
            # where a slice has no text at all, its place is where the one before it ended
            end = int(offsets[-1][-1]) if offsets else 0
            at = text.address - self._buffer.ctypes.data if text else end
            offsets.append(np.frombuffer(ends, np.int32, len(array) + 1) + np.int32(at))
        buffers = [None, pa.py_buffer(np.concatenate(offsets)), pa.py_buffer(self._buffer)]
        return pa.Array.from_buffers(kind, sum(map(len, offsets)) - 1, buffers), True


def joined(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows of several batches as one."""
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    whole = table.to_batches()
    if not whole:
        return pa.RecordBatch.from_pylist([], schema=schema)
    assert len(whole) == 1
    return whole[0]


def next_window(ends: I64, row: int) -> int:
    """Return the row where a window from `row` ends; it has one row at least."""
    limit = int(ends[row]) + WINDOW_BYTES
    stop = int(np.searchsorted(ends, limit, side="right")) - 1
    return max(row + 1, min(stop, row + WINDOW_ROWS))


def _is_long(ends: I64, row: int, stop: int) -> bool:
    """Whether a window is one row that is longer than windows are."""
    return stop == row + 1 and bool(ends[stop] - ends[row] > WINDOW_BYTES)


def _ends(sizes: npt.NDArray[np.integer]) -> I64:
    """Return where values of these sizes begin and end, one after the other, from 0."""
    ends = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    return ends


def _elements(counts: list[int]) -> I32:
    """Return which element a row is where slices of so many rows have one more between two."""
    gaps = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return np.arange(len(gaps), dtype=np.int32) + gaps


def _copied(prefixes: U64 | None, row: int, stop: int) -> U64 | None:
    return None if prefixes is None else prefixes[row:stop].copy()


def _padded(size: int) -> int:
    return -(-size // _PAD) * _PAD


def _with_padding(data: U8) -> Iterator[U8]:
    yield data
    if missing := _padded(len(data)) - len(data):
        yield np.zeros(missing, np.uint8)
