"""An order in which rows of one value are far apart: rows by value, then rows by their slots.

    feed -> tee -> first order -> windows, value by value -> rank, count -> slot -> second order
             |                                                  ^
             rows of each value in a batch -> counts, by value -+

What comes by its value comes by its key within that value, so the rank of a row is a count. How
many rows the value has must be known with the first of them: these counts are an order of their
own, so any number of values and any number of rows of one value take no more memory.

Each row has a slot of its own, of as many as its value has rows. Of a value with n rows the one
of rank k by its key stands at (k + offset + jitter / 2) / n of the whole order, which begins anew
where it ends. The offset is of the value, the jitter of the row, both are uniform in [0, 1). So
two rows of a value that follow each other are between a half and one and a half times 1/n apart,
a row is as likely at one place as at any other, and which row of a value has which slot is as
random as its keys are.
"""

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import U8
from dbshuf.base.counters import Tally
from dbshuf.base.key import U64, ids_of, mix_ids, seed_words
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.process_memory import release_unused
from dbshuf.base.row_batch import I64, RowBatch, arrow_numbers
from dbshuf.base.scan import InnerScan, Scan
from dbshuf.base.window import Window
from dbshuf.base.workers import Stopped
from dbshuf.errors import CheckFailed
from dbshuf.order.engine import Order
from dbshuf.order.partition import PartitionOrder
from dbshuf.order.sampled import line_batch
from dbshuf.order.side_scan import TeeScan

COUNTS = pa.schema([("rows", pa.int64())])
_WHOLE = np.uint64((1 << 64) - 1)


class Slots:
    """The place of every row in the whole order, as a number below 2^64."""

    def __init__(self, seed: str) -> None:
        self._offsets, self._jitters = seed_words(f"offset:{seed}"), seed_words(f"jitter:{seed}")

    def of(self, values: U64, keys: U64, ranks: I64, counts: I64) -> U64:
        """Return the places of rows (uint64, shape (rows,)), all arguments of that shape.

        values  a hash of each row's value
        ranks   of the rows of its value this is the one, from 0, by the key
        counts  rows of its value
        """
        offsets, jitters, rows = values.copy(), keys.copy(), counts.astype(np.uint64)
        mix_ids(offsets, self._offsets)
        mix_ids(jitters, self._jitters)
        places: U64 = _WHOLE // rows
        places *= ranks.astype(np.uint64)
        places += offsets // rows
        places += jitters // (rows * np.uint64(2))
        return places


class ValueCounts:
    """How many rows each value has, out of records of parts of them, told as values ascend."""

    def __init__(self, records: Iterator[Window]) -> None:
        """records  keys are values, ascending, some several times; column 0 is rows (int64)"""
        self._records = records
        self._values, self._rows = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._is_read = False

    def of(self, values: U64) -> I64:
        """Return the rows of each value; what ascends, also from one call to the next."""
        self._read_beyond(values[-1])
        first = int(np.searchsorted(self._values, values[0]))
        self._values, self._rows = self._values[first:], self._rows[first:]
        places = np.searchsorted(self._values, values)
        if not len(self._values) or not np.array_equal(self._values.take(places), values):
            raise CheckFailed("a row has a value that was not counted")
        return self._rows.take(places)

    def _read_beyond(self, value: np.uint64) -> None:
        """Read records until all of a value must have come."""
        values, rows = [self._values], [self._rows]
        while not self._is_read and not (len(values[-1]) and values[-1][-1] > value):
            window = next(self._records, None)
            self._is_read = window is None
            if window is not None and window.rows:
                values.append(window.keys)
                rows.append(window.batch.column(0).to_numpy())
        if len(values) > 1:
            every, counts = np.concatenate(values), np.concatenate(rows)
            firsts = np.flatnonzero(np.concatenate([[True], every[1:] != every[:-1]]))
            self._values, self._rows = every.take(firsts), np.add.reduceat(counts, firsts)


class Ranks:
    """The rank of every row among those of its value, where they come one value after the other."""

    def __init__(self) -> None:
        self._value, self._rows = np.uint64(0), 0  # of the value that came last

    def of(self, values: U64) -> I64:
        """Return the rank of each row (int64, shape (rows,)), from 0; values come in runs."""
        starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        lengths = np.diff(np.concatenate([starts, [len(values)]]))
        ranks = np.arange(len(values)) - np.repeat(starts, lengths)
        if values[0] == self._value:
            ranks[: lengths[0]] += self._rows
        self._value, self._rows = values[-1], int(ranks[-1]) + 1
        return ranks


def check_ranks(values: U64, ranks: I64, counts: I64) -> None:
    """Raise CheckFailed where a value ends, or does not, before all rows that were counted."""
    is_last = values[1:] != values[:-1]
    if int((ranks - counts).max()) >= 0 or np.any((ranks + 1 != counts)[:-1][is_last]):
        raise CheckFailed("a value has other rows than were counted")


class SpreadOrder:
    """Two orders of the same rows, whose prefixes are hashes of their values; see engine.Order."""

    def __init__(
        self, orders: tuple[Order, Order], seed: str, words: tuple[int, int], counts: PartitionOrder
    ) -> None:
        """Order rows twice.

        orders  by (value, key), and by (slot, key)
        words   of the seed of the keys
        counts  of rows that have COUNTS, by their ids as they are
        """
        self.read = Tally()
        self._first, self._second = orders
        self.windows = self._second.windows
        self._slots, self._words, self._counts = Slots(seed), words, counts

    def fill(self, feed: Scan) -> None:
        scan = _CountingScan(feed)
        with scan.stored(self._counts):
            self._first.fill(scan)
        with contextlib.closing(self._counts.windows()) as records:
            slotted = _SlottedScan(self._first, self._slots, self._words, ValueCounts(records))
            self._second.fill(slotted)
        self._counts.close()
        self._first.close()
        release_unused()
        self.read = self._second.read
        before = self._first.read
        if (before.rows, before.key_sum) != (self.read.rows, self.read.key_sum):
            raise CheckFailed(
                f"{before.rows:,} rows were read, and {self.read.rows:,} ordered a second time;"
                " nothing was published",
            )

    def close(self) -> None:
        self._counts.close()
        self._first.close()
        self._second.close()


class _CountingScan(TeeScan):
    """What a feed has, whose prefixes are counted beside."""

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        for batch in self._feed.batches(buffer):
            assert batch.prefixes is not None
            if len(batch.prefixes):
                values, counts = np.unique(batch.prefixes, return_counts=True)
                rows = pa.RecordBatch.from_arrays(
                    [arrow_numbers(counts.astype(np.int64))], schema=COUNTS
                )
                self.put(RowBatch(rows, values))
            yield batch
            del batch


class _SlottedScan(InnerScan):
    """The rows of the first order, each with its slot as its prefix; see base.Scan."""

    def __init__(
        self, order: Order, slots: Slots, words: tuple[int, int], counts: ValueCounts
    ) -> None:
        self._order, self._slots, self._words, self._counts = order, slots, words, counts

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        with contextlib.closing(self._slotted()) as slotted:
            yield from _runs(slotted, len(buffer))

    def _slotted(self) -> Generator[tuple[LineBatch | RowBatch, int]]:
        """Yield each window of rows with their slots, and its bytes."""
        windows, ranks_of = self._order.windows(), Ranks()
        try:
            for window in windows:
                values = window.prefixes
                assert values is not None
                if not len(values):
                    continue
                ranks, counts = ranks_of.of(values), self._counts.of(values)
                check_ranks(values, ranks, counts)
                prefixes = self._slots.of(values, window.keys, ranks, counts)
                ids, size = ids_of(window.keys, self._words), window.text_bytes
                batch: LineBatch | RowBatch
                if window.is_lines:
                    batch = replace(line_batch(window.lines, ids), prefixes=prefixes)
                else:
                    batch = RowBatch(window.batch, ids, prefixes=prefixes)
                del window
                yield batch, size
                del batch
                if self._is_stopped:
                    raise Stopped
        finally:
            if isinstance(windows, Generator):
                windows.close()


def _runs(
    batches: Iterator[tuple[LineBatch | RowBatch, int]], most_bytes: int
) -> Iterator[LineBatch | RowBatch]:
    """Yield typed rows, so many bytes at once; lines are gathered for a run by what stores them."""
    rows: list[RowBatch] = []
    held = 0
    for batch, size in batches:
        if isinstance(batch, LineBatch):
            yield batch
        else:
            if rows and held + size > most_bytes:
                yield _joined(rows)
                held = 0
            rows.append(batch)
            held += size
        del batch
        if held >= most_bytes:  # maybe one long row, which nothing is read beside
            yield _joined(rows)
            held = 0
    if rows:
        yield _joined(rows)


def _joined(rows: list[RowBatch]) -> RowBatch:
    """Return rows that come one after the other as one batch, and empty the list.

    A batch is one run: the more rows it has, the longer are its slices, and each costs a read.
    """
    if len(rows) == 1:
        return rows.pop()
    batch = pa.concat_batches([one.batch for one in rows])
    ids = np.concatenate([one.ids for one in rows])
    prefixes = np.concatenate([one.prefixes for one in rows if one.prefixes is not None])
    rows.clear()
    return RowBatch(batch, ids, prefixes=prefixes)
