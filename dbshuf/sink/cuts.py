"""Where the one order is cut: into shards, and into the row groups of Parquet.

A cut turns the rows of a window into runs (part, first row, last row + 1) with
ascending parts. It remembers the part it is in, so runs of two windows can belong
to one part, and the parts are the same however the rows come in windows.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from dbshuf.key import U64, range_of, range_start
from dbshuf.order.window import AnyWindow, Bounds, Window

Run = tuple[int, int, int]


def counted_bounds(window: AnyWindow) -> Bounds:
    """Return the places of the rows as cuts count them, shape (rows + 1,).

    A line counts its terminator, and so does a typed row: one byte more than its values.
    Hence a run of lines and a run of rows with the one column `line` have the same cuts.
    """
    if isinstance(window, Window):
        return window.bounds
    return window.bounds + np.arange(window.rows + 1)


class Cut(Protocol):
    """A rule for the parts of the output."""

    @property
    def parts(self) -> int:
        """How many parts there are once all rows went through `runs`."""

    def runs(self, bounds: Bounds, keys: U64) -> Iterator[Run]:
        """Yield the runs of the next rows: (part, first, last + 1)."""


class SizeCut:
    """Parts are filled in order; one is closed when the next row would not fit.

    max_bytes   text bytes of one part; a single row beyond it is a part of its own
    max_rows    rows of one part
    """

    def __init__(self, max_bytes: int | None, max_rows: int | None) -> None:
        self._max_bytes = max_bytes
        self._max_rows = max_rows
        self._part = 0
        self._bytes = 0
        self._rows = 0

    @property
    def parts(self) -> int:
        return self._part + 1

    def runs(self, bounds: Bounds, keys: U64 | None = None) -> Iterator[Run]:
        first, rows = 0, len(bounds) - 1
        while first < rows:
            last = self._last(bounds, first)
            if last == first and self._rows:
                self._part += 1
                self._rows = self._bytes = 0
                continue
            last = max(last, first + 1)
            self._rows += last - first
            self._bytes += int(bounds[last]) - int(bounds[first])
            yield self._part, first, last
            first = last

    def _last(self, bounds: Bounds, first: int) -> int:
        """The end of the rows from `first` on that still fit in the part."""
        last = len(bounds) - 1
        if self._max_rows is not None:
            last = min(last, first + self._max_rows - self._rows)
        if self._max_bytes is not None:
            end = int(bounds[first]) + self._max_bytes - self._bytes
            if end < bounds[last]:
                wanted = bounds.dtype.type(max(end, 0))
                last = first + int(np.searchsorted(bounds[first : last + 1], wanted, "right")) - 1
        return max(last, first)


class KeyCut:
    """Part i holds the keys in [i*2^64/parts, (i+1)*2^64/parts)."""

    def __init__(self, parts: int) -> None:
        self.parts = parts

    def runs(self, bounds: Bounds, keys: U64) -> Iterator[Run]:
        first = 0
        while first < len(keys):
            part = int(range_of(keys[first : first + 1], self.parts)[0])
            last = len(keys)
            if part + 1 < self.parts:
                end = np.uint64(range_start(part + 1, self.parts))
                last = first + int(np.searchsorted(keys[first:], end))
            yield part, first, last
            first = last
