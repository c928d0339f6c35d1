"""Order rows larger than memory: partition them by ranges of the key, then order each range.

Rows arrive in batches. A batch is gathered range by range and stored as one run;
the slices of one range, from all runs, are a bucket. A bucket fits in memory, its
keys are ordered there, and its rows leave in windows. Buckets are ranges of the
key, so one after the other they are the whole order; where rows have prefixes, of these, and of
the key within one prefix. See ranges.py, and run_format.py for what is stored.

DuckDB orders each bucket, a connection a worker; see sorter.py. Keys have no ties, so every
ORDER BY gives one order. Rows that wait in memory lie there by ranges of the key as well, since
one ORDER BY over all of 3,000,000 keys takes 40 % more a row than one over 145,000, and others
could not begin to write (duckdb 2.0.1).
"""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import U8, aligned_buffer
from dbshuf.base.counters import Tally
from dbshuf.base.key import UNMIXED, mix_ids
from dbshuf.base.layout import (
    ENGINE_BYTES,
    PIECE_ROW_BYTES,
    PREFIX_PIECE_BYTES,
    PREFIX_SORT_BYTES,
    SORT_BYTES,
    WINDOW_BYTES,
    Layout,
)
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.scan import Scan
from dbshuf.base.window import Window
from dbshuf.base.workers import Budget, Stopped, in_order, run_workers
from dbshuf.order.arranged_lines import ArrangedLines, JoinedLines
from dbshuf.order.ranges import Cuts, KeyPartition, Partition, PrefixPartition
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
from dbshuf.order.run_index import check_slice
from dbshuf.order.runs import Read, RunWriter, Store, aligned_span, new_stage

if TYPE_CHECKING:
    from dbshuf.order.run_seals import RunSeals
    from dbshuf.order.sorter import Sorters

Put = Callable[[Window, int], None]
_ALONE_SHARE = 16  # of what sorts: of a longer row each copy counts, those of the sink too
_INT32_BYTES = 1 << 31  # where Arrow's offsets end


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
        prefixes: Cuts | None = None,
        sums_rows: bool = False,
    ) -> None:
        """Order lines, or with a schema typed rows.

        seals      seals runs for a later process, and has those of an earlier one
        prefixes   where buckets of rows begin (`SortPrefix.cuts`); None: they have no prefixes
        sums_rows  whether windows come with their row_sum, made while they are warm
        """
        self._layout, self._words, self._store, self._schema = layout, words, store, schema
        self._is_prefixed, self._sums_rows = prefixes is not None, sums_rows
        self._partition: Partition = (
            KeyPartition(layout.ranges, 0, layout.ranges)
            if prefixes is None
            else PrefixPartition(layout.ranges, prefixes, has_even_keys=words != UNMIXED)
        )
        self._sort_bytes = SORT_BYTES + PREFIX_SORT_BYTES * self._is_prefixed
        self._piece_row_bytes = PIECE_ROW_BYTES + PREFIX_PIECE_BYTES * self._is_prefixed
        self._seals = seals
        self._buffers: list[U8] = []  # one a worker, first to read into, then for a bucket
        self.read = Tally()
        self._sorters = self._new_sorters()

    def _new_sorters(self) -> "Future[Sorters]":
        """Open them in a thread: DuckDB takes 0.1 s to load, while rows are read."""
        loader = ThreadPoolExecutor(1, thread_name_prefix="dbshuf-duckdb")
        sorters = loader.submit(_open_sorters, self._layout, is_prefixed=self._is_prefixed)
        loader.shutdown(wait=False)
        return sorters

    def fill(self, feed: Scan) -> None:
        """Key and store all rows of a feed."""
        stop, lock = threading.Event(), threading.Lock()
        count, size = self._layout.workers, self._layout.bucket_bytes
        self._buffers = [aligned_buffer(size) for _ in range(count)]

        def work(worker: int) -> None:
            tally, writer = Tally(), RunWriter(self._store, new_stage())
            waiting = LineGroup(self._partition, writer, self._layout.run_bytes)
            for batch in feed.batches(self._buffers[worker][: self._layout.buffer_bytes]):
                if self._seals is None:
                    cargo = keyed(batch, self._words, tally)
                    if len(cargo.keys) and isinstance(cargo, LineCargo):
                        waiting.add(cargo)
                    elif len(cargo.keys):
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
            waiting.store()
            with lock:
                self.read.merge(tally)

        def end() -> None:
            stop.set()
            feed.stop()

        run_workers(min(self._layout.workers, feed.most_workers), work, end)

    def narrow(self, layout: Layout) -> None:
        """Take the rest, and order all, with a layout of other workers and the same ranges.

        What waits in memory goes to the file; between a `fill` and another.
        """
        assert layout.ranges == self._layout.ranges
        self._layout, self._buffers = layout, []
        self._store.leave_memory()
        self._sorters.result().close()
        self._sorters = self._new_sorters()

    def take_stored(self) -> None:
        """Have what an earlier process has stored; Raises RunDamaged."""
        assert self._seals is not None
        for address, index in self._seals.stored():
            self._partition.adopt(address, index)
        self.read.merge(self._seals.tally)

    def bucket_of(self, key: int) -> int:
        """Return the bucket that a key lies in, of rows without prefixes."""
        assert isinstance(self._partition, KeyPartition)
        return int(self._partition.bucket_of(np.array([key], np.uint64))[0])

    def windows(self, first_bucket: int = 0) -> Generator[Window]:
        """Yield all rows in their order, of a bucket and those after it; close it to stop early."""
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
        self._buffers = []

    def _needed(self, partition: Partition, number: int) -> int:
        """The memory (bytes) to order a bucket, beside the worker's buffer."""
        size, rows = partition.bytes_of(number), partition.rows_of(number)
        needed = self._sort_bytes * rows + (size if self._schema is not None else 0)
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
        if is_large and rows > 1 and partition.can_split(number):
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
        windows = bucket.windows(worker.order, shares=is_alone)
        for window in map(_with_sum, windows) if self._sums_rows else windows:
            size = window.text_bytes + window.keys.nbytes + 4 * window.rows
            size += 0 if window.prefixes is None else window.prefixes.nbytes
            put(window, size)
            del window

    def _split(self, parent: Partition, number: int, buffer: U8) -> Partition:
        """Partition a bucket again, by what follows in the order."""
        size = max(self._needed(parent, number), 2 * parent.bytes_of(number) // 3)
        wanted = -(-2 * size // min(self._layout.sort_bytes, _INT32_BYTES))
        child = parent.split(number, min(wanted, 1 << 12))
        writer = RunWriter(self._store, new_stage())
        most_rows = max(self._layout.sort_bytes // self._piece_row_bytes, 1)
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
            return LineBucket(placed, buffer, is_prefixed=self._is_prefixed)
        return RowBucket(placed, buffer, self._schema, is_prefixed=self._is_prefixed)


def _with_sum(window: Window) -> Window:
    from dbshuf.base.row_notes import window_sum

    return replace(window, row_sum=window_sum(window))


def _open_sorters(layout: Layout, *, is_prefixed: bool) -> "Sorters":
    from dbshuf.order.sorter import Sorters

    memory_bytes = layout.sort_bytes + layout.workers * ENGINE_BYTES
    return Sorters(layout.workers, memory_bytes, is_prefixed=is_prefixed)


def keyed(batch: LineBatch | RowBatch, words: tuple[int, int], tally: Tally) -> Cargo:
    """Give every row of a batch its key, and count the rows."""
    if isinstance(batch, RowBatch):
        keys, sizes = batch.ids.copy(), batch.sizes
        mix_ids(keys, words)
        tally.add(keys, sizes)
        return RowCargo(keys, batch.batch, batch.prefixes)
    keys, lengths = batch.ids(), np.diff(batch.offsets)
    if batch.kept is not None:
        keys, lengths = keys.take(batch.kept), lengths.take(batch.kept)
    mix_ids(keys, words)
    tally.add(keys, lengths)
    return LineCargo(keys, lengths, batch.lines(), batch.kept, batch.prefixes)


class LineGroup:
    """What one worker has partitioned and not yet stored: several pieces are one run, since a read
    of few rows is a read too."""

    def __init__(self, partition: Partition, writer: RunWriter, limit_bytes: int) -> None:
        """Gather up to `limit_bytes`, as stored; of 0 every piece is a run."""
        self._partition, self._writer, self._limit = partition, writer, limit_bytes
        self._pieces: list[ArrangedLines] = []
        self._rows = self._sizes = np.zeros(partition.count, np.int64)

    def add(self, cargo: LineCargo) -> None:
        """Take lines, and store those before them if there is no room for both."""
        rows, sizes = self._partition.arrange(cargo)
        size = int(sizes.sum())
        if int(self._sizes.sum()) + size > self._limit:
            self.store()
        if size > min(self._limit, WINDOW_BYTES):
            self._partition.store(cargo, rows, sizes, self._writer)
            return
        self._pieces.append(cargo.gathered())
        self._rows, self._sizes = self._rows + rows, self._sizes + sizes

    def store(self) -> None:
        """Store what there is as one run."""
        if self._pieces:
            run = JoinedLines(self._pieces)
            self._partition.store(run, self._rows, self._sizes, self._writer)
            self._pieces.clear()
            self._rows = self._sizes = np.zeros(self._partition.count, np.int64)
