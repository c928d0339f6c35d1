"""Order rows larger than memory: partition them by ranges of the key, then sort each range.

Rows arrive in batches. A batch is gathered range by range and stored as one run;
the slices of one range, from all runs, are a bucket. A bucket fits in memory, its
keys are sorted there, and its lines leave in windows. Buckets are ranges of the
key, so one after the other they are the whole order.

A run is [slice of range 0][slice of range 1]...; a slice is keys (uint64), lengths
(int32), text. numpy sorts a bucket's keys: 18 ns a row against 55 for DuckDB's
ORDER BY of (key, row) on one thread (457,000 rows, numpy 2.4.6, duckdb 2.0.0), and
keys have no ties, so every sort gives one order.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dbshuf.blockio import U8, aligned_buffer
from dbshuf.key import U64, mix_ids, range_of
from dbshuf.layout import INDEX_BYTES, SORT_BYTES, WINDOW_BYTES, Layout
from dbshuf.order.ordered import Budget, Stopped, in_order, run_workers
from dbshuf.order.store import RunWriter, Store, aligned_span, as_bytes, new_stage
from dbshuf.order.tally import Tally
from dbshuf.order.window import Window
from dbshuf.source.batch import I32, Batch
from dbshuf.source.lines import LineSource

I64 = npt.NDArray[np.int64]
Put = Callable[[Window, int], None]


@dataclass(frozen=True)
class Run:
    """Where one stored run keeps the slice of each range.

    starts  int64, shape (ranges + 1,): bytes from the address
    rows    int32, shape (ranges,)
    """

    address: int
    starts: I64
    rows: I32


@dataclass
class Partition:
    """Rows of one part of the key space, stored by equal ranges of it.

    ranges  parts of the whole key space, `first` the one that bucket 0 is
    count   buckets
    """

    store: Store
    ranges: int
    first: int
    count: int
    runs: list[Run] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, keys: U64, lengths: I32, lines: pa.Array, writer: RunWriter) -> None:
        """Store a batch: lines with their keys and lengths, one each, in any order."""
        parts = (range_of(keys, self.ranges) - np.uint64(self.first)).astype(np.uint16)
        order = np.argsort(parts, kind="stable")
        rows = np.bincount(parts, minlength=self.count)
        keys, lengths = keys.take(order), lengths.take(order)
        row_ends = np.concatenate([[0], np.cumsum(rows)])
        text_ends = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=text_ends[1:])
        slice_bytes = rows * INDEX_BYTES + np.diff(text_ends[row_ends])
        starts = np.concatenate([[0], np.cumsum(slice_bytes)])
        address = writer.begin(int(starts[-1]))
        text = _Gather(lines, order, text_ends)
        for begin, end in zip(row_ends[:-1].tolist(), row_ends[1:].tolist(), strict=True):
            if begin < end:
                writer.append(as_bytes(keys[begin:end]))
                writer.append(as_bytes(lengths[begin:end]))
                for piece in text.pieces(int(text_ends[end])):
                    writer.append(piece)
        writer.end()
        with self._lock:
            self.runs.append(Run(address, starts, rows.astype(np.int32)))

    def rows_of(self, bucket: int) -> int:
        """Return the number of rows of a bucket."""
        return sum(int(run.rows[bucket]) for run in self.runs)

    def bytes_of(self, bucket: int) -> int:
        """Return the bytes that loading a bucket takes in its buffer."""
        spans = (aligned_span(int(r.starts[bucket]), int(r.starts[bucket + 1])) for r in self.runs)
        return sum(end - begin for begin, end in spans)

    def slices(self, bucket: int) -> Iterator[tuple[Run, int, int, int]]:
        """Yield (run, rows, begin, end) of every slice that holds a bucket's rows."""
        for run in self.runs:
            if run.rows[bucket]:
                yield (
                    run,
                    int(run.rows[bucket]),
                    int(run.starts[bucket]),
                    int(run.starts[bucket + 1]),
                )


class _Gather:
    """The text of lines in a given order, gathered a window at a time as it is asked for."""

    def __init__(self, lines: pa.Array, order: npt.NDArray[np.integer], text_ends: I64) -> None:
        self._lines, self._order, self._text_ends = lines, order, text_ends
        self._row = 0
        self._at = self._from = self._to = 0
        self._text: U8 = np.empty(0, np.uint8)

    def pieces(self, end: int) -> Iterator[U8]:
        """Yield the text up to offset `end` of the whole, from where the last call stopped."""
        while self._at < end:
            if self._at == self._to:
                stop = next_window(self._text_ends, self._row)
                taken = self._lines.take(pa.array(self._order[self._row : stop]))
                self._text = np.frombuffer(taken.buffers()[2], np.uint8)
                self._from, self._to = self._to, int(self._text_ends[stop])
                self._row = stop
            stop_at = min(end, self._to)
            yield self._text[self._at - self._from : stop_at - self._from]
            self._at = stop_at


def next_window(text_ends: I64, row: int) -> int:
    """Return the row where a window from `row` ends: WINDOW_BYTES of text, one row at least."""
    limit = int(text_ends[row]) + WINDOW_BYTES
    return max(row + 1, int(np.searchsorted(text_ends, limit, side="right")) - 1)


class Bucket:
    """A bucket in memory: its lines in one buffer, and their keys."""

    def __init__(self, partition: Partition, number: int, buffer: U8) -> None:
        rows = partition.rows_of(number)
        slices = list(partition.slices(number))
        self.keys = np.empty(rows, np.uint64)
        self.lengths = np.empty(rows, np.int32)
        # Between two slices lie index and padding. To Arrow they are one value more,
        # which nothing asks for, so the text stays where it was read.
        self._elements = np.empty(rows, np.int32)
        offsets = np.empty(rows + len(slices), np.int32)
        row = place = 0
        for number_of_slice, (run, count, begin, end) in enumerate(slices):
            low, high = aligned_span(begin, end)
            partition.store.read(buffer[place : place + high - low], run.address, low)
            at = place + begin - low
            stop = row + count
            self.keys[row:stop] = np.frombuffer(buffer, np.uint64, count, at)
            self.lengths[row:stop] = np.frombuffer(buffer, np.int32, count, at + 8 * count)
            text, element = at + INDEX_BYTES * count, row + number_of_slice
            offsets[element] = text
            ends = offsets[element + 1 : element + 1 + count]
            np.cumsum(self.lengths[row:stop], out=ends, dtype=np.int32)
            ends += np.int32(text)
            self._elements[row:stop] = np.arange(element, element + count, dtype=np.int32)
            row, place = stop, place + high - low
        self._lines = pa.Array.from_buffers(
            pa.binary(),
            max(len(offsets) - 1, 0),
            [None, pa.py_buffer(offsets), pa.py_buffer(buffer)],
        )

    @property
    def lines(self) -> pa.Array:
        """The lines in the order of `keys`, a row each; only for a bucket of one slice."""
        return self._lines

    def windows(self) -> Iterator[Window]:
        """Yield the rows in key order."""
        order = np.argsort(self.keys)
        keys, elements = self.keys.take(order), self._elements.take(order)
        text_ends = np.zeros(len(order) + 1, np.int64)
        np.cumsum(self.lengths.take(order), out=text_ends[1:])
        row = 0
        while row < len(order):
            stop = next_window(text_ends, row)
            lines = self._lines.take(pa.array(elements[row:stop]))
            yield Window(lines, keys[row:stop], int(text_ends[stop] - text_ends[row]))
            row = stop


class PartitionOrder:
    """One shuffle: fill from a source, then give the windows in order."""

    def __init__(self, layout: Layout, words: tuple[int, int], store: Store) -> None:
        self._layout, self._words, self._store = layout, words, store
        self._partition = Partition(store, layout.ranges, 0, layout.ranges)
        self._buffers: list[U8] = []  # one a worker, first to read into, then for a bucket
        self.read = Tally()

    def fill(self, source: LineSource, advance: Callable[[int], None]) -> None:
        """Read, key and store all rows; `advance` is told the bytes of text of each batch."""
        stop, lock = threading.Event(), threading.Lock()
        count, size = self._layout.workers, self._layout.buffer_bytes
        self._buffers = [aligned_buffer(size) for _ in range(count)]

        def work(worker: int) -> None:
            arena, tally = source.new_arena(self._buffers[worker]), Tally()
            writer = RunWriter(self._store, new_stage())
            for batch in source.batches(arena):
                self._add(batch, writer, tally)
                advance(batch.text_bytes)
                if stop.is_set():
                    raise Stopped
            with lock:
                self.read.merge(tally)

        run_workers(self._layout.workers, work, stop)

    def _add(self, batch: Batch, writer: RunWriter, tally: Tally) -> None:
        keys = batch.ids()
        mix_ids(keys, self._words)
        lengths = np.diff(batch.offsets)
        tally.add(keys, batch.text_bytes)
        tally.longest_bytes = max(tally.longest_bytes, int(lengths.max()))
        self._partition.add(keys, lengths, batch.lines(), writer)

    def windows(self) -> Iterator[Window]:
        """Yield all rows in key order; close the generator to stop early."""
        layout = self._layout
        budget = Budget(layout.sort_bytes)

        def work(turn: int, put: Put, worker: int) -> None:
            grant = budget.take(turn, self._needed(self._partition, turn))
            try:
                self._emit(self._partition, turn, self._buffers[worker], put)
            finally:
                budget.give(grant)

        return in_order(layout.ranges, layout.workers, layout.ahead_bytes, work, budget.stop)

    def _needed(self, partition: Partition, number: int) -> int:
        """The memory (bytes) to order a bucket, beside the worker's buffer."""
        size, rows = partition.bytes_of(number), partition.rows_of(number)
        needed = SORT_BYTES * rows
        if size > self._layout.buffer_bytes:
            needed += size
        longest = min(self.read.longest_bytes, size)
        return needed + (3 * longest if longest > WINDOW_BYTES else 0)

    def _emit(self, partition: Partition, number: int, buffer: U8, put: Put) -> None:
        """Order a bucket and put its windows; split it first if it does not fit."""
        size, rows = partition.bytes_of(number), partition.rows_of(number)
        is_divisible = rows > 1 and partition.ranges < 1 << 31
        if is_divisible and self._needed(partition, number) > self._layout.sort_bytes:
            self._emit_parts(self._split(partition, number), buffer, put)
            return
        if size > len(buffer):
            buffer = aligned_buffer(size)
        if rows:
            for window in Bucket(partition, number, buffer).windows():
                put(window, window.text_bytes)

    def _split(self, parent: Partition, number: int) -> Partition:
        """Partition a bucket again, by the next bits of the key, and return its parts."""
        wanted = -(-2 * self._needed(parent, number) // self._layout.sort_bytes)
        parts = min(wanted, 1 << 12, (1 << 32) // parent.ranges)
        first = (parent.first + number) * parts
        child = Partition(self._store, parent.ranges * parts, first, parts)
        writer = RunWriter(self._store, new_stage())
        for run, *_ in parent.slices(number):
            one = Partition(self._store, parent.ranges, parent.first, parent.count, [run])
            bucket = Bucket(one, number, aligned_buffer(one.bytes_of(number)))
            child.add(bucket.keys, bucket.lengths, bucket.lines, writer)
        return child

    def _emit_parts(self, partition: Partition, buffer: U8, put: Put) -> None:
        for part in range(partition.count):
            self._emit(partition, part, buffer, put)
