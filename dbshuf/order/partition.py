"""Order rows larger than memory: partition them by ranges of the key, then order each range.

Rows arrive in batches. A batch is gathered range by range and stored as one run;
the slices of one range, from all runs, are a bucket. A bucket fits in memory, its
keys are ordered there, and its rows leave in windows. Buckets are ranges of the
key, so one after the other they are the whole order. See cargo.py for what is stored.

DuckDB orders each bucket, a connection a worker; see sorter.py. Keys have no ties, so every
ORDER BY gives one order. Rows that wait in memory lie there by ranges of the key as well, since
one ORDER BY over all of 3,000,000 keys takes 40 % more a row than one over 145,000, and others
could not begin to write (duckdb 2.0.1).
"""

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dbshuf.base.block_io import ALIGN, U8, aligned_buffer
from dbshuf.base.counters import Tally
from dbshuf.base.key import U64, mix_ids
from dbshuf.base.layout import ENGINE_BYTES, PIECE_ROW_BYTES, SORT_BYTES, WINDOW_BYTES, Layout
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import I64, RowBatch
from dbshuf.base.scan import Scan
from dbshuf.base.window import Window
from dbshuf.base.workers import Budget, Stopped, in_order, run_workers
from dbshuf.order.run_format import (
    Bucket,
    Cargo,
    LineBucket,
    LineCargo,
    OrderOf,
    RowBucket,
    RowCargo,
    Slice,
)
from dbshuf.order.run_index import RunIndex, StoredRun, check_slice
from dbshuf.order.runs import Read, RunWriter, Store, aligned_span, new_stage

if TYPE_CHECKING:
    from dbshuf.order.run_seals import RunSeals
    from dbshuf.order.sorter import Sorters

U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
Put = Callable[[Window, int], None]
_ALONE_SHARE = 16  # of what sorts: of a longer row each copy counts, those of the sink too
_INT32_BYTES = 1 << 31  # where Arrow's offsets end


class Partition:
    """Rows of one part of the key space, stored by equal ranges of it.

    ranges  parts of the whole key space, at most 2^32; `first` is the one that bucket 0 is
    count   buckets
    """

    def __init__(self, ranges: int, first: int, count: int) -> None:
        self.ranges, self.first, self.count = ranges, first, count
        # Of every run its address, and by range: the bytes before its slice, its rows, and
        # where an earlier process has written it the checksum of the slice.
        self._runs: list[tuple[int, U32, U32, U32 | None]] = []
        self._rows: I64 = np.zeros(count, np.int64)
        self._bytes: I64 = np.zeros(count, np.int64)
        self._largest: I64 = np.zeros(count, np.int64)  # slice of a run
        self._lock = threading.Lock()

    def add(self, cargo: Cargo, writer: RunWriter, *, seal: bool = False) -> StoredRun | None:
        """Store a batch of rows in any order as one run.

        seal     let the run end with its index, and return what finds it again
        """
        parts = self.bucket_of(cargo.keys)
        rows = np.bincount(parts, minlength=self.count)
        row_ends = np.concatenate([[0], np.cumsum(rows)])
        sizes = cargo.arrange(np.argsort(parts, kind="stable"), row_ends)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        index = RunIndex.of(starts, rows) if seal else None
        address = writer.begin(int(starts[-1]) + (0 if index is None else index.size_bytes))
        for bucket in np.flatnonzero(rows).tolist():
            for part in cargo.parts(bucket):
                writer.append(part)
                if index is not None:
                    index.saw(bucket, part)
        if index is not None:
            writer.append(index.encoded())
        writer.end()
        self._have(address, starts.astype(np.uint32), rows.astype(np.uint32), None)
        return None if index is None else index.stored_at(address)

    def adopt(self, address: int, index: RunIndex) -> None:
        """Have a run that is stored already."""
        self._have(address, index.starts, index.rows, index.sums)

    def _have(self, address: int, starts: U32, rows: U32, sums: U32 | None) -> None:
        at = starts.astype(np.int64)
        spans = -(-at[1:] // ALIGN) * ALIGN - at[:-1] // ALIGN * ALIGN
        with self._lock:
            self._runs.append((address, starts, rows, sums))
            self._rows += rows
            self._bytes += np.where(rows > 0, spans, 0)
            np.maximum(self._largest, np.diff(at), out=self._largest)

    def bucket_of(self, keys: U64) -> U16:
        """Return the bucket of each key: of its upper half alone, which ascends as it does.

        A range of a range of half a key is one of the finer ranges, so buckets can be split.
        """
        parts = keys >> np.uint64(32)
        parts *= np.uint64(self.ranges)
        parts >>= np.uint64(32)
        parts -= np.uint64(self.first)
        return parts.astype(np.uint16)

    def rows_of(self, bucket: int) -> int:
        """Return the number of rows of a bucket."""
        return int(self._rows[bucket])

    def bytes_of(self, bucket: int) -> int:
        """Return the bytes that loading a bucket takes in its buffer."""
        return int(self._bytes[bucket])

    def longest_in(self, bucket: int) -> int:
        """Return a bound on the bytes of each of a bucket's rows."""
        return int(self._largest[bucket])

    def slices(self, bucket: int) -> Iterator[Slice]:
        """Yield every slice that holds a bucket's rows."""
        for address, starts, rows, sums in self._runs:
            if rows[bucket]:
                begin, end = int(starts[bucket]), int(starts[bucket + 1])
                crc32 = None if sums is None else int(sums[bucket])
                yield Slice(address, begin, end, int(rows[bucket]), crc32)


@dataclass(frozen=True)
class _Worker:
    """What a thread orders buckets with."""

    buffer: U8
    order: OrderOf


class PartitionOrder:
    """One order by ranges of the key; see engine.Order."""

    def __init__(
        self,
        layout: Layout,
        words: tuple[int, int],
        store: Store,
        schema: pa.Schema | None = None,
        *,
        seals: "RunSeals | None" = None,
    ) -> None:
        """Order lines, or with a schema typed rows.

        seals  seals runs for a later process, and has those of an earlier one
        """
        self._layout, self._words, self._store, self._schema = layout, words, store, schema
        self._partition = Partition(layout.ranges, 0, layout.ranges)
        self._seals = seals
        self._buffers: list[U8] = []  # one a worker, first to read into, then for a bucket
        self.read = Tally()
        # DuckDB takes 0.1 s to load, which is waited for only once all rows are read.
        loader = ThreadPoolExecutor(1, thread_name_prefix="dbshuf-duckdb")
        self._sorters: Future[Sorters] = loader.submit(_open_sorters, layout)
        loader.shutdown(wait=False)

    def fill(self, feed: Scan) -> None:
        """Key and store all rows of a feed."""
        stop, lock = threading.Event(), threading.Lock()
        count, size = self._layout.workers, self._layout.bucket_bytes
        self._buffers = [aligned_buffer(size) for _ in range(count)]

        def work(worker: int) -> None:
            tally, writer = Tally(), RunWriter(self._store, new_stage())
            for batch in feed.batches(self._buffers[worker][: self._layout.buffer_bytes]):
                if self._seals is None:
                    cargo = keyed(batch, self._words, tally)
                    if len(cargo.keys):
                        self._partition.add(cargo, writer)
                else:
                    counted, spans = Tally(), batch.spans
                    cargo, run = keyed(batch, self._words, counted), None
                    if len(cargo.keys):
                        run = self._partition.add(cargo, writer, seal=True)
                    self._seals.add(spans, run, counted)
                    tally.merge(counted)
                del batch, cargo
                if stop.is_set():
                    raise Stopped
            with lock:
                self.read.merge(tally)

        def end() -> None:
            stop.set()
            feed.stop()

        run_workers(min(self._layout.workers, feed.most_workers), work, end)

    def take_stored(self) -> None:
        """Have what an earlier process has stored; Raises RunDamaged."""
        assert self._seals is not None
        for address, index in self._seals.stored():
            self._partition.adopt(address, index)
        self.read.merge(self._seals.tally)

    def bucket_of(self, key: int) -> int:
        """Return the bucket that a key lies in."""
        return int(self._partition.bucket_of(np.array([key], np.uint64))[0])

    def windows(self, first_bucket: int = 0) -> Generator[Window]:
        """Yield all rows in key order, of a bucket and those after it; close it to stop early."""
        layout = self._layout
        budget = Budget(layout.sort_bytes)
        left, lock = layout.ranges - first_bucket, threading.Lock()
        if not self._buffers:
            self._buffers = [aligned_buffer(layout.bucket_bytes) for _ in range(layout.workers)]
        sorters = self._sorters.result()

        def on_loaded() -> None:
            nonlocal left
            with lock:
                left -= 1
                if not left:
                    self._store.release()

        def work(turn: int, put: Put, number: int) -> None:
            worker = _Worker(self._buffers[number], sorters.each[number].order)
            bucket = first_bucket + turn
            is_alone = self._is_alone(self._partition, bucket)
            needed = layout.sort_bytes if is_alone else self._needed(self._partition, bucket)
            grant = budget.take(turn, needed)
            try:
                self._emit(self._partition, bucket, worker, put, on_loaded)
            finally:
                budget.give(grant)

        try:
            yield from in_order(
                layout.ranges - first_bucket,
                layout.workers,
                layout.ahead_bytes,
                work,
                budget.stop,
            )
        finally:
            sorters.close()

    def close(self) -> None:
        """Give back what the rows wait in."""
        self._store.close()

    def _needed(self, partition: Partition, number: int) -> int:
        """The memory (bytes) to order a bucket, beside the worker's buffer."""
        size, rows = partition.bytes_of(number), partition.rows_of(number)
        needed = SORT_BYTES * rows + (size if self._schema is not None else 0)
        if size > self._layout.bucket_bytes:
            needed += size
        longest = min(self.read.longest_bytes, partition.longest_in(number))
        if self._is_alone(partition, number):
            return needed + longest
        return needed + (3 * longest if longest > WINDOW_BYTES else 0)

    def _is_alone(self, partition: Partition, number: int) -> bool:
        """Whether a bucket has a row so long that no other is ordered beside it."""
        longest = min(self.read.longest_bytes, partition.longest_in(number))
        return longest > max(self._layout.sort_bytes // _ALONE_SHARE, WINDOW_BYTES)

    def _emit(
        self,
        partition: Partition,
        number: int,
        worker: _Worker,
        put: Put,
        on_loaded: Callable[[], None],
    ) -> None:
        """Order a bucket and put its windows; split it first if it does not fit.

        on_loaded  is called once, when nothing of the bucket is left to be read
        """
        size, rows = partition.bytes_of(number), partition.rows_of(number)
        is_alone = self._is_alone(partition, number)
        is_large = size >= _INT32_BYTES or self._needed(partition, number) > self._layout.sort_bytes
        if is_alone:  # beside the row there may be what a usual bucket has
            is_large = is_large or size > partition.longest_in(number) + self._layout.bucket_bytes
        if is_large and rows > 1 and partition.ranges < 1 << 31:
            child = self._split(partition, number, worker.buffer)
            for part in range(child.count - 1):
                self._emit(child, part, worker, put, lambda: None)
            self._emit(child, child.count - 1, worker, put, on_loaded)
            return
        if not rows:
            on_loaded()
            return
        bucket = self._load(
            list(partition.slices(number)), worker.buffer[:0] if is_alone else worker.buffer
        )
        on_loaded()
        for window in bucket.windows(worker.order, shares=is_alone):
            size = window.text_bytes + window.keys.nbytes + 4 * window.rows
            put(window, size)
            del window

    def _split(self, parent: Partition, number: int, buffer: U8) -> Partition:
        """Partition a bucket again, by the next bits of the key."""
        size = max(self._needed(parent, number), 2 * parent.bytes_of(number) // 3)
        wanted = -(-2 * size // min(self._layout.sort_bytes, _INT32_BYTES))
        parts = max(min(wanted, 1 << 12, (1 << 32) // parent.ranges), 2)
        child = Partition(parent.ranges * parts, (parent.first + number) * parts, parts)
        writer = RunWriter(self._store, new_stage())
        most_rows = max(self._layout.sort_bytes // PIECE_ROW_BYTES, 1)
        group: list[Slice] = []
        group_bytes = group_rows = 0
        for one in parent.slices(number):
            low, high = aligned_span(one.begin, one.end)
            is_full = group_bytes + high - low > len(buffer) or group_rows + one.rows > most_rows
            if group and is_full:
                child.add(self._load(group, buffer).cargo(), writer)
                group, group_bytes, group_rows = [], 0, 0
            group.append(one)
            group_bytes += high - low
            group_rows += one.rows
        child.add(self._load(group, buffer).cargo(), writer)
        return child

    def _load(self, slices: list[Slice], buffer: U8) -> Bucket:
        """Read slices into a buffer, or into a larger one if they do not fit."""
        spans = [aligned_span(one.begin, one.end) for one in slices]
        size = sum(high - low for low, high in spans)
        if size > len(buffer):
            buffer = aligned_buffer(size)
        placed, reads, place = [], [], 0
        for one, (low, high) in zip(slices, spans, strict=True):
            reads.append(Read(buffer[place : place + high - low], one.address, low))
            placed.append((one, place + one.begin - low))
            place += high - low
        self._store.read(reads)
        for one, place in placed:
            if one.crc32 is not None:
                check_slice(one, buffer[place : place + one.end - one.begin])
        if self._schema is None:
            return LineBucket(placed, buffer)
        return RowBucket(placed, buffer, self._schema)


def _open_sorters(layout: Layout) -> "Sorters":
    from dbshuf.order.sorter import Sorters

    return Sorters(layout.workers, layout.sort_bytes + layout.workers * ENGINE_BYTES)


def keyed(batch: LineBatch | RowBatch, words: tuple[int, int], tally: Tally) -> Cargo:
    """Give every row of a batch its key, and count the rows."""
    if isinstance(batch, RowBatch):
        keys, sizes = batch.ids.copy(), batch.sizes
        mix_ids(keys, words)
        tally.add(keys, sizes)
        return RowCargo(keys, batch.batch)
    keys, lengths = batch.ids(), np.diff(batch.offsets)
    if batch.kept is not None:
        keys, lengths = keys.take(batch.kept), lengths.take(batch.kept)
    mix_ids(keys, words)
    tally.add(keys, lengths)
    return LineCargo(keys, lengths, batch.lines(), batch.kept)
