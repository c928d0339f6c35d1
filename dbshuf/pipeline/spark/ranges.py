"""Where the partitions of an order begin, and the bins that rows are counted in to find that out.

Of keys alone partitions are equal ranges, known beforehand; of groups, whose prefixes are hashes,
equal ranges of these, so that a group is never in two. Exponential keys are as the weights
are, so their rows are counted in bins first. A bin is the first 24 bits of the prefix: the binary
exponent and 12 bits after it, so equal weights have 1 row in 10,000 in it at most. Rows of weight 0
share one prefix, the infinite one, behind which no other number is: their bins are by the key.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dbshuf.base.exponential import prefix_of
from dbshuf.base.key import U64, range_start

I64 = npt.NDArray[np.int64]

_PREFIX_SHIFT = np.uint64(40)
_KEY_SHIFT = np.uint64(52)  # the 12 bits between the bin of the infinite prefix and 2^23
_INFINITE = prefix_of(np.array([np.inf]))[0]
_FIRST_INFINITE = int(_INFINITE >> _PREFIX_SHIFT)
_LAST = (1 << 64) - 1


@dataclass(frozen=True)
class Starts:
    """The first row of each partition but the first, which is to be there or not.

    keys      uint64, shape (partitions - 1,)
    prefixes  likewise; None: the order is by keys alone. (prefix, key) ascends, with ties
    """

    keys: U64
    prefixes: U64 | None = None

    @classmethod
    def even(cls, partitions: int, end: int, *, of_prefixes: bool = False) -> "Starts":
        """Cut the keys, or prefixes, below an end into equal ranges."""
        ranges = range(1, partitions)
        words = np.array([range_start(i, partitions, end) for i in ranges], np.uint64)
        return cls(np.zeros_like(words), words) if of_prefixes else cls(words)

    @classmethod
    def of_bins(cls, bins: I64) -> "Starts":
        """Begin partitions with the first row that each bin may hold; -1: behind all rows."""
        prefixes = np.minimum(np.maximum(bins, 0), _FIRST_INFINITE).astype(np.uint64)
        prefixes <<= _PREFIX_SHIFT
        prefixes[bins < 0] = _LAST
        over = np.maximum(bins - _FIRST_INFINITE, 0).astype(np.uint64)
        return cls(over << _KEY_SHIFT, prefixes)

    def partition_of(self, keys: U64, prefixes: U64 | None = None) -> U64:
        """Return the partition of each row: uint64, shape (rows,)."""
        if self.prefixes is None or prefixes is None:
            return np.searchsorted(self.keys, keys, "right").astype(np.uint64)
        found = np.searchsorted(self.prefixes, prefixes, "left").astype(np.uint64)
        ends = np.searchsorted(self.prefixes, prefixes, "right").astype(np.uint64)
        tied = np.flatnonzero(found < ends)
        for prefix in np.unique(prefixes[tied]):  # no more of them than there are partitions
            rows = tied[prefixes[tied] == prefix]
            first, end = int(found[rows[0]]), int(ends[rows[0]])
            within = np.searchsorted(self.keys[first:end], keys[rows], "right")
            found[rows] += within.astype(np.uint64)
        return found


def bins_of(keys: U64, prefixes: U64) -> I64:
    """Return the bin of each row, which ascends with (prefix, key): int64, shape (rows,)."""
    bins = (prefixes >> _PREFIX_SHIFT).astype(np.int64)
    is_last = prefixes == _INFINITE
    bins[is_last] += (keys[is_last] >> _KEY_SHIFT).astype(np.int64)
    return bins


def equal_places(parts: int, rows: int) -> list[int]:
    """Return the places where all but the first of `parts` parts begin, as `PlaceCut` has them."""
    return [-(-part * rows // parts) for part in range(1, parts)]


@dataclass(frozen=True)
class Histogram:
    """How many rows there are in each bin that has any.

    bins  int64, ascending
    rows  int64, of each bin
    """

    bins: I64
    rows: I64

    @property
    def total(self) -> int:
        return int(self.rows.sum())

    def at(self, places: list[int]) -> tuple[I64, I64]:
        """Return the bin that the row of each place lies in, and its place there; -1: no such row.

        places  from 0 on, in the order of all rows
        """
        ends = np.cumsum(self.rows)
        asked = np.array(places, np.int64)
        numbers = np.searchsorted(ends, asked, "right")
        is_there = numbers < len(self.bins)
        bins, within = np.full(len(asked), -1), np.full(len(asked), -1)
        some = numbers[is_there]
        bins[is_there] = self.bins[some]
        within[is_there] = asked[is_there] - (ends[some] - self.rows[some])
        return bins, within
