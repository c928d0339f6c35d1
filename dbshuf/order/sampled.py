"""Samples by the key: rows that cannot be in one are dropped before an engine sees them.

    feed -> SampledScan -> engine -> SampledOrder -> windows
            keys < end               keys < end, exactly

Of --sample the end is known. Of --take it falls while rows are read: once enough rows have keys
below one, no row above it can be among the first, so little more than the sample is ordered. It
begins where the plan guesses that enough rows are below it, or at the end of all keys.
Where rows have prefixes, these are what is below the end.
"""

import threading
from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from dbshuf.base.begin_anew import SampleShort
from dbshuf.base.block_io import U8
from dbshuf.base.counters import Tally
from dbshuf.base.key import U64, mix_ids
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import I64, RowBatch, arrow_numbers
from dbshuf.base.scan import Scan, ThroughScan
from dbshuf.base.window import Window
from dbshuf.order.engine import Order
from dbshuf.units import MIB

ALL_KEYS = 1 << 64

# Ranges of the key that rows are counted in. The end falls from one to the next, so of a billion
# rows up to 15,000 are ordered in vain, and counts take 1.5 MB.
_RANGE_BITS = 16
_SHIFT = np.uint64(64 - _RANGE_BITS)
_GROWTH = 1.25  # of the rows below the end, before it is looked for anew

# Rows that are copied together: what is left of a batch may be a few bytes, and a run of
# its own for each would cost more than the rows.
_HELD_BYTES = 1 * MIB
_HELD_ROWS = 1 << 16


class KeyLimit:
    """The key, or prefix, below which rows are kept, for several workers at once.

    end    exclusive; it only falls
    """

    def __init__(
        self, end: int = ALL_KEYS, rows: int | None = None, likely_end: int | None = None
    ) -> None:
        """Keep rows with words below `end`, and of them no more than it takes for the first `rows`.

        rows        None: all
        likely_end  below which there are likely to be so many; None: nothing tells
        """
        self._is_guessed = likely_end is not None and rows is not None and likely_end < end
        self.end = 0 if rows == 0 else min(end, ALL_KEYS if likely_end is None else likely_end)
        self._wanted, self._next_look = rows, rows
        self._lock = threading.Lock()
        ranges = 0 if rows is None else 1 << _RANGE_BITS
        self._rows, self._bytes = np.zeros(ranges, np.int64), np.zeros(ranges, np.int64)
        self._key_sums = np.zeros(ranges, np.uint64)
        self._below = 0

    @property
    def is_known(self) -> bool:
        """Whether the end never falls, so that what was let through is all below it."""
        return self._wanted is None

    def kept(self, words: U64) -> I64:
        """Return which of these rows may be in the sample, by their keys, or prefixes."""
        if self.end >= ALL_KEYS:
            return np.arange(len(words))
        return np.flatnonzero(words < np.uint64(self.end))

    def counted(self, keys: U64, sizes: I64, words: U64) -> I64:
        """Know rows, for which the end may fall; return which of them may be in the sample.

        words  what lets rows through: their keys, or prefixes
        """
        kept = self.kept(words)
        if self._wanted is None or not len(kept):
            return kept
        some = words.take(kept)
        self._count(keys.take(kept), sizes.take(kept), (some >> _SHIFT).astype(np.int64))
        return kept if self.end >= ALL_KEYS else kept[some < np.uint64(self.end)]

    def _count(self, keys: U64, sizes: I64, ranges: I64) -> None:
        with self._lock:
            np.add.at(self._rows, ranges, 1)
            np.add.at(self._bytes, ranges, sizes)
            np.add.at(self._key_sums, ranges, keys)
            self._below += len(keys)
            assert self._wanted is not None
            assert self._next_look is not None
            if self._below >= self._next_look:
                self._fall(self._wanted)

    def _fall(self, wanted: int) -> None:
        sums = np.cumsum(self._rows)
        last = int(np.searchsorted(sums, wanted))
        if last < len(sums):
            self.end = min(self.end, (last + 1) << int(_SHIFT))
            self._below = int(sums[last])
        self._next_look = int(max(self._below, wanted) * _GROWTH) + 1

    def tally(self, passed: Tally) -> Tally:
        """Return what there is of rows below the end, exactly; complete once all are read.

        passed  of all rows that were let through
        Raises  SampleShort where the end was a guess, and too low
        """
        if self._wanted is None or self.end == 0:
            return replace(passed)
        if self._is_guessed and self._below < self._wanted:
            raise SampleShort(f"{self._below:,} rows are below the end, not {self._wanted:,}")
        if self._below >= self._wanted:
            self._fall(self._wanted)
        ranges = -(-self.end >> int(_SHIFT))
        return Tally(
            int(self._rows[:ranges].sum()),
            int(self._bytes[:ranges].sum()),
            int(np.add.reduce(self._key_sums[:ranges])),
            passed.longest_bytes,
        )


class SampledScan(ThroughScan):
    """What a feed has of rows below a limit."""

    def __init__(self, feed: Scan, words: tuple[int, int], limit: KeyLimit) -> None:
        """Drop rows of `feed`; words are those of the seed."""
        super().__init__(feed)  # not in pieces, since rows are missing on purpose
        self.seen_rows = 0
        self._words, self._limit = words, limit
        self._lock = threading.Lock()

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        held = Held()
        seen_rows = 0
        for batch in self._feed.batches(buffer):
            ids, sizes, elements = rows_of(batch)
            seen_rows += len(ids)
            keys = ids.copy()
            mix_ids(keys, self._words)
            words = keys if batch.prefixes is None else batch.prefixes
            kept = self._limit.counted(keys, sizes, words)
            if len(kept) == len(keys):
                yield batch
            elif len(kept):
                size = int(sizes.take(kept).sum())
                yield from held.add(batch, kept, elements, ids, size)
            del batch
        yield from held.rest()
        with self._lock:
            self.seen_rows += seen_rows


def rows_of(batch: LineBatch | RowBatch) -> tuple[U64, I64, I64 | None]:
    """Return ids and sizes (bytes) of the rows that are left of a batch, and which lines they are.

    The last is None where they are all, in their order.
    """
    if isinstance(batch, RowBatch):
        return batch.ids, batch.sizes, None
    ids, sizes = batch.ids(), np.diff(batch.offsets).astype(np.int64)
    if batch.kept is None:
        return ids, sizes, None
    return ids.take(batch.kept), sizes.take(batch.kept), batch.kept


class Held:
    """Few rows of many batches, which leave as one."""

    def __init__(self) -> None:
        self._lines: list[pa.Array] = []
        self._rows: list[pa.RecordBatch] = []
        self._ids: list[U64] = []
        self._prefixes: list[U64] = []
        self._size = self._count = 0

    def add(
        self, batch: LineBatch | RowBatch, kept: I64, elements: I64 | None, ids: U64, size: int
    ) -> Iterator[LineBatch | RowBatch]:
        """Take the rows `kept` of a batch, of `size` bytes; yield what has come to be enough."""
        is_small = size <= _HELD_BYTES
        prefixes = None if batch.prefixes is None else batch.prefixes.take(kept)
        if isinstance(batch, LineBatch):
            places = kept if elements is None else elements.take(kept)
            if not is_small:
                yield replace(batch, kept=places, prefixes=prefixes)
                return
            self._lines.append(batch.lines().take(arrow_numbers(places)))
        else:
            taken = batch.batch.take(arrow_numbers(kept))
            if not is_small:
                yield RowBatch(taken, ids.take(kept), prefixes=prefixes)
                return
            self._rows.append(taken)
        if prefixes is not None:
            self._prefixes.append(prefixes)
        self._ids.append(ids.take(kept))
        self._size, self._count = self._size + size, self._count + len(kept)
        if self._size >= _HELD_BYTES or self._count >= _HELD_ROWS:
            yield from self.rest()

    def rest(self) -> Iterator[LineBatch | RowBatch]:
        if not self._ids:
            return
        ids = np.concatenate(self._ids)
        if self._lines:
            whole: LineBatch | RowBatch = line_batch(pa.concat_arrays(self._lines), ids)
        else:
            whole = RowBatch(pa.concat_batches(self._rows), ids)
        if self._prefixes:
            whole = replace(whole, prefixes=np.concatenate(self._prefixes))
        self._lines, self._rows, self._ids, self._prefixes = [], [], [], []
        self._size = self._count = 0
        yield whole


def line_batch(lines: pa.Array, ids: U64) -> LineBatch:
    """Return lines with terminators, a binary array, as a batch over the same memory."""
    _, offsets, data = lines.buffers()
    ends = np.frombuffer(offsets, np.int32)[lines.offset :][: len(lines) + 1]
    return LineBatch(np.frombuffer(data, np.uint8), ends, (), given=ids)


class SampledOrder:
    """An order of the rows below a limit alone; see engine.Order."""

    def __init__(self, order: Order, words: tuple[int, int], limit: KeyLimit) -> None:
        self.read = Tally()
        self.close = order.close
        self._order, self._words, self._limit = order, words, limit

    def fill(self, feed: Scan) -> None:
        scan = SampledScan(feed, self._words, self._limit)
        self._order.fill(scan)
        self.read = self._limit.tally(self._order.read)
        self.read.seen_rows = scan.seen_rows

    def windows(self) -> Generator[Window]:
        if self._limit.is_known:
            yield from self._order.windows()
            return
        end = self._limit.end
        for window in self._order.windows():
            words = window.first_words
            if window.rows and int(words[-1]) >= end:
                yield window.slice(0, int(np.searchsorted(words, np.uint64(end))))
                return
            yield window
