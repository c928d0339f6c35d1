"""Where the one order is cut: into shards, and into the row groups of Parquet.

A cut turns the rows of a window into runs (part, first row, last row + 1) with
ascending parts. It remembers the part it is in, so runs of two windows can belong
to one part, and the parts are the same however the rows come in windows. Where parts
are of whole groups, the rows of one group have one key, and a part that is full waits
for the end of its group.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from dbshuf.base.key import U64, range_start
from dbshuf.base.window import Bounds

Run = tuple[int, int, int]

# Of the size that a file shall have: the rows taken first are a 16th of it; 3/4 of what is
# left at a time until an eighth is left, then all; with 4 % left a file is closed.
_PROBE, _BULK, _NEAR, _CLOSE = 16, 0.75, 0.125, 0.04
_GROWTH = 16  # what is taken at a time, to all that was taken before
_FADE = 0.75  # what was seen counts less with every unit
_LEAST_RATIO = 1e-6


class Cut(Protocol):
    """A rule for the parts of the output."""

    @property
    def parts(self) -> int:
        """How many parts there are once all rows went through `runs`."""

    def runs(self, bounds: Bounds, keys: U64) -> Iterator[Run]:
        """Yield the runs of the next rows: (part, first, last + 1).

        The caller is done with a run when it asks for the next.
        """

    def begun(self) -> dict[str, Any]:
        """Return what `go_on` needs to begin the part anew that it is in."""

    def go_on(self, state: dict[str, Any]) -> None:
        """Be as another cut was when it gave `state`."""


class SizeCut:
    """Parts are filled in order; one is closed when the next row would not fit.

    max_bytes   text bytes of one part; a single row beyond it is a part of its own
    max_rows    rows of one part
    groups      where parts are of whole groups, their ends
    """

    def __init__(
        self, max_bytes: int | None, max_rows: int | None, *, groups: "GroupEnds | None" = None
    ) -> None:
        self._groups = groups
        self._max_bytes = max_bytes
        self._max_rows = max_rows
        self._part = 0
        self._bytes = 0
        self._rows = 0

    @property
    def parts(self) -> int:
        return self._part + 1

    def begun(self) -> dict[str, Any]:
        return {"part": self._part, "bytes": 0, "rows": 0}

    def within(self) -> dict[str, Any]:
        """Return what `go_on` needs to go on within the part."""
        return {"part": self._part, "bytes": self._bytes, "rows": self._rows}

    def go_on(self, state: dict[str, Any]) -> None:
        self._part, self._bytes, self._rows = state["part"], state["bytes"], state["rows"]

    def runs(self, bounds: Bounds, keys: U64 | None = None) -> Iterator[Run]:
        first, rows = 0, len(bounds) - 1
        while first < rows:
            last = self._last(bounds, first)
            if last == first and self._rows:
                if self._groups is not None:
                    last = self._groups.end(keys, first)
                if last == first:
                    self._part += 1
                    self._rows = self._bytes = 0
                    continue
            last = max(last, first + 1)
            self._rows += last - first
            self._bytes += int(bounds[last]) - int(bounds[first])
            yield self._part, first, last
            first = last
        if self._groups is not None:
            self._groups.saw(keys)

    def _last(self, bounds: Bounds, first: int) -> int:
        """The end of the rows from `first` on that still fit in the part."""
        last = len(bounds) - 1
        if self._max_rows is not None:
            last = min(last, first + max(self._max_rows - self._rows, 0))
        if self._max_bytes is not None:
            end = int(bounds[first]) + self._max_bytes - self._bytes
            if end < bounds[last]:
                wanted = bounds.dtype.type(max(end, 0))
                last = first + int(np.searchsorted(bounds[first : last + 1], wanted, "right")) - 1
        return max(last, first)


class GroupEnds:
    """Where the groups of rows end whose keys ascend, the same for all rows of a group."""

    def __init__(self) -> None:
        self._before: np.uint64 | None = None  # the key of the last row that was seen

    def end(self, keys: U64 | None, row: int) -> int:
        """Return the end of the rows from `row` on that are in the group of the row before it."""
        assert keys is not None
        before = keys[row - 1] if row else self._before
        if before is None:
            return row
        return row + int(np.searchsorted(keys[row:], before, "right"))

    def saw(self, keys: U64 | None) -> None:
        """Know that these rows are done with."""
        if keys is not None and len(keys):
            self._before = keys[-1]


class FileCut:
    """Parts are files of about one size, however much their format makes of the rows.

    A file takes most of the rows that should fit, is measured, takes most of those that
    should still fit, and in the end all of them. All is decided by rows, as cuts count
    them, and by what these became, so neither windows nor threads move a cut.

    file_bytes  wanted of one file; a row that should become more is a file of its own
    probe_rows  taken at most before anything is known of what rows become
    measure     part -> bytes of its file, if it ended with the rows yielded so far
    groups      as of SizeCut
    """

    def __init__(
        self,
        file_bytes: int,
        *,
        probe_rows: int,
        measure: Callable[[int], int],
        groups: GroupEnds | None = None,
    ) -> None:
        self._groups = groups
        self._waits = False  # the part is full, and its last group goes on
        self._file_bytes = file_bytes
        self._measure = measure
        self._part = 0
        self._is_resumed = False
        self._size: int | None = None  # of the part when the unit began; None: not asked yet
        self._is_last = False  # the unit is to fill the part
        self._ratio = _Ratio()
        self._text_bytes = 0  # of all rows so far
        self._unit = SizeCut(max(file_bytes // _PROBE, 1), probe_rows)
        self._unit_bytes = 0

    @property
    def parts(self) -> int:
        return self._part + 1

    def begun(self) -> dict[str, Any]:
        return {"part": self._part, "text_bytes": self._text_bytes, "sums": self._ratio.sums()}

    def go_on(self, state: dict[str, Any]) -> None:
        self._part, self._text_bytes = state["part"], state["text_bytes"]
        self._ratio = _Ratio(state["sums"])
        self._is_resumed = True

    def runs(self, bounds: Bounds, keys: U64 | None = None) -> Iterator[Run]:
        first, rows = 0, len(bounds) - 1
        while first < rows:
            if self._size is None:
                self._size = self._measure(self._part)
                if self._is_resumed:
                    self._plan_unit()
            if self._waits and self._groups is not None:
                end = self._groups.end(keys, first)
                if end == first:
                    self._end_part()
                    continue
                self._unit_bytes += int(bounds[end]) - int(bounds[first])
                yield self._part, first, end
                first = end
                continue
            unit, _, count = next(self._unit.runs(bounds[first:]))
            if unit:
                self._end_unit(int(bounds[first + 1]) - int(bounds[first]))
                continue
            self._unit_bytes += int(bounds[first + count]) - int(bounds[first])
            yield self._part, first, first + count
            first += count
        if self._groups is not None:
            self._groups.saw(keys)

    def _end_unit(self, next_row_bytes: int) -> None:
        """Measure what the unit became, and plan the next; maybe in the next part."""
        self._measure_unit()
        assert self._size is not None
        left = self._file_bytes - self._size
        row = next_row_bytes * self._ratio.of(is_last=True)
        if left < _CLOSE * self._file_bytes or row > 2 * left or row > self._file_bytes:
            self._waits = self._groups is not None
            if not self._waits:
                self._end_part()
                return
        self._plan_unit()

    def _measure_unit(self) -> None:
        """Know what the rows of the unit became."""
        assert self._size is not None
        before, self._size = self._size, self._measure(self._part)
        self._ratio.add(self._size - before, self._unit_bytes, is_last=self._is_last)
        self._text_bytes += self._unit_bytes
        self._unit_bytes = 0

    def _end_part(self) -> None:
        """Close the part, and plan the first unit of the next."""
        if self._unit_bytes:
            self._measure_unit()
        self._part += 1
        self._size, self._waits = self._measure(self._part), False
        self._plan_unit()

    def _plan_unit(self) -> None:
        """Decide how much the part takes before it is measured again."""
        assert self._size is not None
        left = self._file_bytes - self._size
        self._is_last = left < _NEAR * self._file_bytes
        wanted = (left if self._is_last else _BULK * left) / self._ratio.of(is_last=self._is_last)
        most = _GROWTH * self._text_bytes
        self._unit = SizeCut(max(int(min(wanted, most)), 1), None)


class _Ratio:
    """Bytes in the file for a byte of rows; of late units more than of early ones.

    The last, small units of a part are reckoned apart: they compress less.
    """

    def __init__(self, sums: list[list[float]] | None = None) -> None:
        usual, last = sums or [[0.0, 0.0], [0.0, 0.0]]  # file, rows
        self._sums = {False: (usual[0], usual[1]), True: (last[0], last[1])}

    def sums(self) -> list[list[float]]:
        """Return all that it knows, for another one."""
        return [list(self._sums[is_last]) for is_last in (False, True)]

    def add(self, file_bytes: int, row_bytes: int, *, is_last: bool) -> None:
        in_file, of_rows = self._sums[is_last]
        self._sums[is_last] = in_file * _FADE + file_bytes, of_rows * _FADE + row_bytes

    def of(self, *, is_last: bool) -> float:
        kinds = [False, True] if is_last else [False]
        found = [self._sums[kind] for kind in kinds if self._sums[kind][1]]
        return max([in_file / of_rows for in_file, of_rows in found] + [_LEAST_RATIO])


class KeyCut:
    """Part i holds the keys in [i*end/parts, (i+1)*end/parts); end is 2^64 for all keys.

    Where rows have prefixes these take the place of keys, so rows of one prefix share a part.
    """

    def __init__(self, parts: int, end: int = 1 << 64) -> None:
        self.parts, self._end = parts, end

    def begun(self) -> dict[str, Any]:
        return {}

    def within(self) -> dict[str, Any]:
        return {}

    def go_on(self, state: dict[str, Any]) -> None:
        """Nothing is remembered."""

    def runs(self, bounds: Bounds, keys: U64) -> Iterator[Run]:
        first = 0
        while first < len(keys):
            part = int(keys[first]) * self.parts // self._end
            last = len(keys)
            if part + 1 < self.parts:
                end = np.uint64(range_start(part + 1, self.parts, self._end))
                last = first + int(np.searchsorted(keys[first:], end))
            yield part, first, last
            first = last


class PlaceCut:
    """Part i holds the rows from i*rows/parts on, of so many rows at most."""

    def __init__(self, parts: int, rows: int) -> None:
        self.parts, self._rows = parts, max(rows, 1)
        self._seen = 0

    def begun(self) -> dict[str, Any]:
        part = max(self._seen - 1, 0) * self.parts // self._rows
        return {"seen": -(-part * self._rows // self.parts)}

    def go_on(self, state: dict[str, Any]) -> None:
        self._seen = state["seen"]

    def runs(self, bounds: Bounds, keys: U64) -> Iterator[Run]:
        first, rows = 0, len(bounds) - 1
        while first < rows:
            part = (self._seen + first) * self.parts // self._rows
            end = -(-(part + 1) * self._rows // self.parts)
            last = min(end - self._seen, rows)
            yield part, first, last
            first = last
        self._seen += rows
