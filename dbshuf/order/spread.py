"""An order in which rows of one value are far apart: rows by value, then rows by their slots.

    feed -> tee -> first order -> windows, value by value -> rank, count -> slot -> second order
             |                                                  ^
             rows of each value in a batch -> counts, by value -+

What comes by its value comes by its key within that value, so the rank of a row is a count. How
many rows the value has must be known with the first of them: these counts are an order of their
own, so any number of values and any number of rows of one value take no more memory.
"""

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import U8
from dbshuf.base.counters import Tally
from dbshuf.base.key import UNMIXED, ids_of
from dbshuf.base.layout import Layout
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.process_memory import release_unused
from dbshuf.base.row_batch import RowBatch, arrow_numbers
from dbshuf.base.scan import InnerScan, Scan
from dbshuf.base.window import Window
from dbshuf.base.workers import Stopped
from dbshuf.errors import CheckFailed
from dbshuf.order.engine import Order
from dbshuf.order.partition import PartitionOrder
from dbshuf.order.runs import Store
from dbshuf.order.sampled import line_batch
from dbshuf.order.side_scan import TeeScan
from dbshuf.order.slots import COUNTS, Ranks, Slots, ValueCounts, check_ranks


class SpreadOrder:
    """Two orders of the same rows, whose leads are hashes of their values; see engine.Order."""

    def __init__(
        self, orders: tuple[Order, Order], seed: str, words: tuple[int, int], counts: "CountStore"
    ) -> None:
        """Order rows twice.

        orders  by (value, key), and by (slot, key)
        words   of the seed of the keys
        """
        self.read = Tally()
        self._first, self._second = orders
        self.windows = self._second.windows
        self._slots, self._words, self._counts = Slots(seed), words, counts

    def fill(self, feed: Scan) -> None:
        scan = _CountingScan(feed)
        with scan.stored(self._counts.order):
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


class CountStore:
    """Where the counts of values wait: an order by the values themselves."""

    def __init__(self, layout: Layout, folder: Path) -> None:
        store = Store(layout.store_bytes, folder / "counts")
        self.order = PartitionOrder(layout, UNMIXED, store, COUNTS)

    def windows(self) -> Generator[Window]:
        """Yield the counts by their values, which may come several times."""
        return self.order.windows()

    def close(self) -> None:
        """Give back memory and file."""
        self.order.close()


class _CountingScan(TeeScan):
    """What a feed has, whose leads are counted beside."""

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        for batch in self._feed.batches(buffer):
            assert batch.leads is not None
            if len(batch.leads):
                values, counts = np.unique(batch.leads, return_counts=True)
                rows = pa.RecordBatch.from_arrays(
                    [arrow_numbers(counts.astype(np.int64))], schema=COUNTS
                )
                self.put(RowBatch(rows, values))
            yield batch
            del batch


class _SlottedScan(InnerScan):
    """The rows of the first order, each with its slot as its lead; see base.Scan."""

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
                values = window.leads
                assert values is not None
                if not len(values):
                    continue
                ranks, counts = ranks_of.of(values), self._counts.of(values)
                check_ranks(values, ranks, counts)
                leads = self._slots.of(values, window.keys, ranks, counts)
                ids, size = ids_of(window.keys, self._words), window.text_bytes
                batch: LineBatch | RowBatch
                if window.is_lines:
                    batch = replace(line_batch(window.lines, ids), leads=leads)
                else:
                    batch = RowBatch(window.batch, ids, leads=leads)
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
    leads = np.concatenate([one.leads for one in rows if one.leads is not None])
    rows.clear()
    return RowBatch(batch, ids, leads=leads)
