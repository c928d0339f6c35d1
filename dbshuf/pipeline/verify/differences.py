"""Which rows two sets do not share: rows of some ranges of the hash, counted by their hashes.

A row of the inputs counts 1, one of the outputs -1. Rows of one hash are merged as soon as
many wait, and those that even out are forgotten, so that what is kept is what may differ.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dbshuf.base.key import U64
from dbshuf.base.row_hash import Hashes
from dbshuf.pipeline.verify.totals import BUCKETS, I64, bucket_of

_NOWHERE = np.uint64((1 << 64) - 1)
# A row that waits: two words of hash, count and id; and while it is merged, its number, the
# same again in order, and what is made of groups (measured: 150, numpy 2.4.6).
ROW_BYTES = 160


@dataclass(frozen=True)
class Entry:
    """Hashes with what they count: shape (hashes,) each.

    net  rows of the inputs less rows of the outputs
    id_  the least id of those on the side that has more
    """

    hashes: Hashes
    net: I64
    id_: U64


def passes(differing: npt.NDArray[np.bool_], rows: I64, most_rows: int) -> Iterator[slice]:
    """Yield ranges of buckets that together hold all that differ, `most_rows` of them each.

    rows  on both sides, shape (BUCKETS,); what is more than that in one bucket is equal rows
    """
    wanted = np.flatnonzero(differing)
    if not len(wanted):
        return
    ends = np.cumsum(rows[wanted])
    first = before = 0
    while first < len(wanted):
        last = max(int(np.searchsorted(ends, before + most_rows, "right")), first + 1)
        stop = int(wanted[last]) if last < len(wanted) else BUCKETS
        yield slice(int(wanted[first]), stop)
        first, before = last, int(ends[last - 1])


class Differences:
    """The rows of some buckets, counted; `add` in any thread."""

    def __init__(self, wanted: npt.NDArray[np.bool_], most_rows: int) -> None:
        """Take rows of the buckets that are `wanted`, shape (BUCKETS,)."""
        self._wanted, self._most_rows = wanted, most_rows
        self._lock = threading.Lock()
        self._waiting: list[Entry] = []
        self._rows = self._merged_rows = 0

    def add(self, hashes: Hashes, ids: U64, sign: int) -> None:
        """Count rows: 1 of the inputs, -1 of the outputs."""
        rows = np.flatnonzero(self._wanted[bucket_of(hashes).astype(np.intp)])
        if not len(rows):
            return
        taken = Entry(hashes.take(rows), np.full(len(rows), sign, np.int64), ids[rows])
        if len(rows) > self._most_rows // 8:  # of a row that comes very often one entry is left
            taken = _merged([taken])
        with self._lock:
            self._waiting.append(taken)
            self._rows += len(taken.net)
            if self._rows > max(self._most_rows, 2 * self._merged_rows):
                self._merge()

    def found(self) -> Entry:
        """Return what does not even out."""
        with self._lock:
            self._merge()
        return self._waiting[0]

    def _merge(self) -> None:
        self._waiting = [_merged(self._waiting)]
        self._rows = self._merged_rows = len(self._waiting[0].net)


def _merged(parts: list[Entry]) -> Entry:
    """Return one entry a hash, without those whose count is 0."""
    empty = np.zeros(0, np.uint64)
    if not sum(len(one.net) for one in parts):
        return Entry(Hashes(empty, empty), np.zeros(0, np.int64), empty)
    high, low, ids = (
        np.concatenate(lanes)
        for lanes in zip(*((p.hashes.high, p.hashes.low, p.id_) for p in parts), strict=True)
    )
    net = np.concatenate([one.net for one in parts])
    order = np.lexsort((low, high))
    high, low, ids, net = high[order], low[order], ids[order], net[order]
    is_new = np.concatenate([[True], (high[1:] != high[:-1]) | (low[1:] != low[:-1])])
    firsts = np.flatnonzero(is_new)
    sums = np.add.reduceat(net, firsts)
    ours = np.minimum.reduceat(np.where(net > 0, ids, _NOWHERE), firsts)
    theirs = np.minimum.reduceat(np.where(net < 0, ids, _NOWHERE), firsts)
    left = np.flatnonzero(sums)
    firsts, sums = firsts[left], sums[left]
    id_ = np.where(sums > 0, ours[left], theirs[left])
    return Entry(Hashes(high[firsts], low[firsts]), sums, id_)
