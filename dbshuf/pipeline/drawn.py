"""Draws with replacement: rows by their rank in the order, as often as they are drawn, shuffled.

    feed -> first order -> windows, ranks 0, 1, 2, ... -> copies, the id of each its draw
                                                       -> second order -> windows

A draw is a counter, and its hash below the number of rows is the rank of the row that it draws.
All draws may be more than fit in memory, so they are made anew for every group of ranks.
"""

from collections.abc import Generator, Iterator

import numpy as np

from dbshuf.base.block_io import U8
from dbshuf.base.counters import Tally
from dbshuf.base.key import U64, mix_ids, seed_words
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import I64, RowBatch, arrow_numbers
from dbshuf.base.scan import InnerScan, Scan
from dbshuf.base.window import Window
from dbshuf.base.workers import Stopped
from dbshuf.errors import UsageError
from dbshuf.order.engine import Order
from dbshuf.order.run_format import next_window
from dbshuf.order.sampled import line_batch
from dbshuf.pipeline.run_checks import check_rows, check_totals, checked

_BLOCK_DRAWS = 1 << 18  # made at a time
_HELD_DRAWS = 1 << 20  # of a group: ranks and numbers, in order and not, are 32 MB


class Draws:
    """Draws 0, 1, ... of rows 0, 1, ..., each row equally likely each time."""

    def __init__(self, seed: str, count: int, rows: int) -> None:
        """Draw `count` times from so many rows, at least one."""
        self.count, self._rows, self._seed = count, np.uint64(rows), seed
        self._bound = np.uint64(((1 << 64) // rows * rows) - 1)  # hashes above it favour some

    def ranks(self, numbers: U64) -> U64:
        """Return the row that each draw (uint64, shape (draws,)) is of."""
        hashes, again, attempt = np.empty_like(numbers), np.arange(len(numbers)), 0
        while len(again):
            found = numbers.take(again)
            mix_ids(found, seed_words(f"draw {attempt}:{self._seed}"))
            hashes[again] = found
            again = again[found > self._bound]
            attempt += 1
        return hashes % self._rows

    def within(self, first: int, last: int) -> Iterator[tuple[I64, U64]]:
        """Yield the draws of rows [first, last): ranks that ascend, and the numbers of draws."""
        for begin in range(0, self.count, _BLOCK_DRAWS):
            numbers = np.arange(begin, min(begin + _BLOCK_DRAWS, self.count), dtype=np.uint64)
            ranks = self.ranks(numbers)
            places = np.flatnonzero((ranks >= np.uint64(first)) & (ranks < np.uint64(last)))
            if len(places):
                places = places[np.argsort(ranks.take(places), kind="stable")]
                yield ranks.take(places).astype(np.int64), numbers.take(places)


class DrawnOrder:
    """An order of rows drawn with replacement; see engine.Order."""

    def __init__(self, first: Order, second: Order, seed: str, draws: int) -> None:
        """Rank rows by the first order, and order their copies by the second."""
        self.read = Tally()
        self.windows = second.windows
        self._first, self._second = first, second
        self._seed, self._draws = seed, draws

    def fill(self, feed: Scan) -> None:
        self._first.fill(feed)
        rows = self._first.read.rows
        if not rows and self._draws:
            raise UsageError(
                f"--with-replacement {self._draws:,}: there are no rows to draw from",
                hint="look at the inputs, and at --where",
            )
        draws = Draws(self._seed, self._draws, max(rows, 1))
        self._second.fill(_Copies(self._first, draws))
        check_rows(self._second.read.rows, self._draws)
        self.read = self._second.read
        self.read.seen_rows = rows
        self._first.close()

    def close(self) -> None:
        self._first.close()
        self._second.close()


class _Copies(InnerScan):
    """The rows that were drawn, as a feed; see base.Scan."""

    def __init__(self, order: Order, draws: Draws) -> None:
        self._order, self._draws = order, draws

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        passed, windows = Tally(), self._order.windows()
        try:
            for batch in self._drawn(checked(windows, passed)):
                yield batch
                if self._is_stopped:
                    raise Stopped
        finally:
            if isinstance(windows, Generator):
                windows.close()
        check_totals(self._order.read, passed)

    def _drawn(self, windows: Iterator[Window]) -> Iterator[LineBatch | RowBatch]:
        rows, count = max(self._order.read.rows, 1), max(self._draws.count, 1)
        ranks, numbers, first, upto = np.empty(0, np.int64), np.empty(0, np.uint64), 0, 0
        for window in windows:
            last = first + window.rows
            if window.rows * count > _HELD_DRAWS * rows:  # more of this window than are held
                for some_ranks, some in self._draws.within(first, last):
                    yield from _copied(window, some_ranks - first, some)
            else:
                if last > upto:
                    upto = max(last, min(first + _HELD_DRAWS * rows // count, rows))
                    ranks, numbers = self._group(first, upto)
                begin, end = np.searchsorted(ranks, [first, last]).tolist()
                yield from _copied(window, ranks[begin:end] - first, numbers[begin:end])
            first = last

    def _group(self, first: int, last: int) -> tuple[I64, U64]:
        """Return all draws of rows [first, last), by rank."""
        found = list(self._draws.within(first, last))
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.uint64)
        ranks = np.concatenate([one for one, _ in found])
        order = np.argsort(ranks, kind="stable")
        return ranks.take(order), np.concatenate([one for _, one in found]).take(order)


def _copied(window: Window, rows: I64, numbers: U64) -> Iterator[LineBatch | RowBatch]:
    """Yield these rows of a window, each with the number of its draw as its id."""
    ends = np.concatenate([[0], np.cumsum(np.diff(window.bounds).take(rows), dtype=np.int64)])
    first = 0
    while first < len(rows):
        stop = next_window(ends, first)
        taken = window.batch.take(arrow_numbers(rows[first:stop]))
        ids = numbers[first:stop].copy()
        if window.is_lines:
            yield line_batch(taken.column(0), ids)
        else:
            yield RowBatch(taken, ids)
        first = stop
