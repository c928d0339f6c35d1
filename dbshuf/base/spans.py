"""Which rows of the inputs were read, as ranges of their ids.

Ids of one input's rows ascend with their place in it, so a stretch of an input is a range:
for lines of their bytes, for rows of tables of their numbers.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dbshuf.base.key import POSITION_BITS, POSITION_LIMIT, U64

Span = tuple[int, int]  # ids [begin, end)


class Spans:
    """A set of ids, as ranges.

    ended  of stretches that were read to their end (an input, a row group): the id of the
           first row -> the id behind the last
    """

    def __init__(self, spans: Iterable[Span] = (), ended: Mapping[int, int] | None = None) -> None:
        pairs = np.array(sorted(spans), np.uint64).reshape(-1, 2)
        begins, ends = pairs[:, 0], pairs[:, 1]
        is_first = np.ones(len(pairs), np.bool_)
        is_first[1:] = begins[1:] != ends[:-1]
        self._begins: U64 = begins[is_first]
        self._ends: U64 = ends[np.roll(is_first, -1)] if len(pairs) else ends
        self.ended = dict(ended or {})

    @property
    def total(self) -> int:
        """How many ids there are: of lines, their bytes."""
        return int((self._ends - self._begins).sum(dtype=np.uint64))

    def end_of(self, begin: int) -> int:
        """Return where the range ends that holds `begin`; `begin` if there is none."""
        at = int(np.searchsorted(self._begins, np.uint64(begin), "right")) - 1
        return max(int(self._ends[at]), begin) if at >= 0 else begin

    def gaps(self, begin: int, end: int) -> list[Span]:
        """Return what [begin, end) has besides."""
        gaps: list[Span] = []
        at = self.end_of(begin)
        following = int(np.searchsorted(self._begins, np.uint64(begin), "right"))
        while at < end:
            is_more = following < len(self._begins)
            stop = min(int(self._begins[following]), end) if is_more else end
            if stop > at:
                gaps.append((at, stop))
            if not is_more:
                break
            at = max(int(self._ends[following]), at)
            following += 1
        return gaps

    def end_in(self, ordinal: int) -> int:
        """Return behind which position nothing of an input is; 0 if nothing is."""
        low = np.uint64(ordinal << POSITION_BITS)
        at = int(np.searchsorted(self._begins, low + np.uint64(POSITION_LIMIT - 1), "right")) - 1
        is_inside = at >= 0 and self._begins[at] >= low
        return int(self._ends[at] - low) if is_inside else 0

    def rest_of(self, ids: U64) -> Sequence[tuple[int, int]]:
        """Return the runs (first row, last + 1) of rows whose ids are not in it.

        ids  uint64, shape (rows,)
        """
        at = np.searchsorted(self._begins, ids, "right").astype(np.int64) - 1
        is_in = (at >= 0) & (ids < self._ends[np.maximum(at, 0)]) if len(self._ends) else at >= 0
        return _runs(~is_in)


def _runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.view(np.int8), [0]])))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
