"""Rows of a source, so many of them: which, and the copies of those that are taken again.

The rows of a source are ranked by a key of their own, which is independent of the key that orders
the output. Of k rows out of n each is taken k // n times, and the first k % n by rank once more.
Copy c of a row has the id that the row would have were all inputs named c times before: so the
order of all copies is as uniform as that of as many rows.

    ranks -> RankSearch, pass after pass -> the last rank that is taken once more
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from dbshuf.base.key import POSITION_BITS, U64, mix_ids
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import I64, RowBatch
from dbshuf.errors import InputChanged
from dbshuf.order.sampled import Held, rows_of

_ALL_BITS = 64
_ENTRY_BYTES = 64  # of a row that is looked at by itself: rank and size, joined and in order


@dataclass(frozen=True)
class Taken:
    """What is taken of a source.

    rows, bytes  copies of a row count as often; bytes are None where they are not known
    whole        how often each row is taken
    more         rows that are taken once more
    last         the rank (uint64) of the last of those
    """

    rows: int
    bytes: int | None
    whole: int
    more: int
    last: int = 0


class RankSearch:
    """Finds the rank up to which rows are so many, or have so many bytes.

    Rows are counted in equal ranges of the rank; the range in which the last of them stands is
    looked at again, until its rows are few enough to be looked at one by one.
    """

    def __init__(self, bits: int) -> None:
        """Begin with 2^bits ranges of all ranks."""
        self._bits = bits
        self._low, self._span_bits = 0, _ALL_BITS
        self._before_rows = self._before_bytes = 0
        self._lock = threading.Lock()
        self._found: list[tuple[U64, I64]] | None = None  # the rows of the range, once few
        self._begin()

    def _begin(self) -> None:
        self._shift = max(self._span_bits - self._bits, 0)
        ranges = 1 << (self._span_bits - self._shift)
        self._rows, self._bytes = np.zeros(ranges, np.int64), np.zeros(ranges, np.int64)

    @property
    def rows(self) -> int:
        """Rows that were counted in this pass."""
        return int(self._rows.sum())

    @property
    def bytes(self) -> int:
        return int(self._bytes.sum())

    def add(self, ranks: U64, sizes: I64) -> None:
        """Count rows in this pass; from several threads."""
        if self._span_bits < _ALL_BITS:
            kept = np.flatnonzero((ranks - np.uint64(self._low)) >> np.uint64(self._span_bits) == 0)
            ranks, sizes = ranks.take(kept), sizes.take(kept)
        with self._lock:
            if self._found is not None:
                self._found.append((ranks, sizes))
                return
            places = ((ranks - np.uint64(self._low)) >> np.uint64(self._shift)).astype(np.int64)
            np.add.at(self._rows, places, 1)
            np.add.at(self._bytes, places, sizes)

    def narrow(self, wanted: Fraction, room: int, *, is_bytes: bool) -> None:
        """Look at the range in which the last of `wanted` rows, or bytes, stands, in a next pass.

        room  rows that may be looked at one by one
        """
        counts, before = self._rows, self._before_rows
        if is_bytes:
            counts, before = self._bytes, self._before_bytes
        least = -(-wanted.numerator // wanted.denominator) - before
        place = int(np.searchsorted(np.cumsum(counts), max(least, 1)))
        if place == len(counts):
            raise InputChanged("a source has other rows than when it was counted")
        self._before_rows += int(self._rows[:place].sum())
        self._before_bytes += int(self._bytes[:place].sum())
        self._low += place << self._shift
        self._span_bits = self._shift
        if int(self._rows[place]) <= room or not self._span_bits:
            self._found = []
        self._begin()

    @property
    def is_at_end(self) -> bool:
        """Whether the rows of this pass are looked at one by one."""
        return self._found is not None

    def end(self, wanted: Fraction, *, is_bytes: bool) -> tuple[int, int, int]:
        """Return how many rows are taken, their bytes, and the rank of the last.

        Of bytes they are as many as come nearest to what is wanted.
        """
        assert self._found is not None
        ranks = np.concatenate([one for one, _ in self._found])
        sizes = np.concatenate([one for _, one in self._found])
        order = np.argsort(ranks)
        sums = self._before_bytes + np.cumsum(sizes.take(order))
        if is_bytes:
            count = int(np.searchsorted(sums, int(wanted), "right"))  # that are not too many
            under = int(sums[count - 1]) if count else self._before_bytes
            if count < len(sums) and int(sums[count]) - wanted < wanted - under:
                count += 1
        else:
            count = int(wanted) - self._before_rows
        if not count:  # those of the ranges before
            return self._before_rows, self._before_bytes, max(self._low - 1, 0)
        last = int(ranks[order[count - 1]])
        return self._before_rows + count, int(sums[count - 1]), last


def room_for(memory_bytes: int, sources: int) -> tuple[int, int]:
    """Return the bits of ranges, and the rows, that there is memory for in a search of each."""
    most = max(memory_bytes // max(sources, 1) // 16, 1 << 8)
    return min(most.bit_length() - 1, 16), max(memory_bytes // _ENTRY_BYTES // max(sources, 1), 64)


class Copies:
    """The rows of one source that are taken, as often as they are; for several threads."""

    def __init__(self, taken: Taken, words: tuple[int, int], inputs: int) -> None:
        """Take rows by their ranks under the words of a seed; `inputs` are those of the run."""
        self._taken, self._words, self._inputs = taken, words, inputs
        self._lock = threading.Lock()
        self.seen_rows = self.rows = 0

    def of(self, batch: LineBatch | RowBatch, held: Held) -> Iterator[LineBatch | RowBatch]:
        """Yield what is taken of a batch; few rows of many batches wait in `held`."""
        ids, sizes, elements = rows_of(batch)
        rows, more = len(ids) * self._taken.whole, None
        if self._taken.more:
            ranks = ids.copy()
            mix_ids(ranks, self._words)
            more = np.flatnonzero(ranks <= np.uint64(self._taken.last))
            rows += len(more)
            del ranks
        with self._lock:
            self.seen_rows += len(ids)
            self.rows += rows
        if not len(ids):
            return
        for copy in range(self._taken.whole):
            yield self._copy(batch, copy)
        if more is None or not len(more):
            return
        last = self._copy(batch, self._taken.whole)
        size = int(sizes.take(more).sum())
        yield from held.add(last, more, elements, ids + self._shift(self._taken.whole), size)

    def _shift(self, copy: int) -> np.uint64:
        """Return what the id of a copy is above that of its row."""
        return np.uint64(copy * self._inputs << POSITION_BITS)

    def _copy(self, batch: LineBatch | RowBatch, copy: int) -> LineBatch | RowBatch:
        """Return the same rows under the ids of a copy."""
        shift = self._shift(copy)
        if isinstance(batch, RowBatch):
            return RowBatch(batch.batch, batch.ids + shift if copy else batch.ids)
        origins = tuple((row, origin + int(shift)) for row, origin in batch.origins)
        given = None if batch.given is None else batch.given + shift
        return replace(batch, origins=origins, given=given)
