"""A hash of a sequence of rows: of two sequences that hold the same rows, whether in one order.

It is a polynomial in the hashes of the rows, modulo 2^64, in two words, as the hash of a row is:
of rows h[0] to h[n - 1] the sum of h[i] * r^(n - 1 - i). So that of two sequences one after the
other follows from theirs, and parts of an output can be read in any order, and by many threads.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from dbshuf.base.key import POSITION_BITS, U64
from dbshuf.base.row_hash import Hashes

# Odd, and 3 modulo 8: r^k - 1 has two factors 2 more than k at most, so that rows k apart that
# changed places are missed in one of 2^62 / k cases, in each of the words.
_BASES = (0x9E3779B97F4A7C1B, 0xD1B54A32D192ED03)
_STEP_ROWS = 1 << 13
_MODULUS = 1 << 64


@dataclass(frozen=True)
class SequenceHash:
    """Of rows one after the other.

    rows       how many
    high, low  the two words
    """

    rows: int = 0
    high: int = 0
    low: int = 0

    def then(self, other: "SequenceHash") -> "SequenceHash":
        """Return that of these rows and those of another sequence behind them."""
        high, low = (
            (mine * pow(base, other.rows, _MODULUS) + theirs) % _MODULUS
            for mine, theirs, base in zip(
                (self.high, self.low), (other.high, other.low), _BASES, strict=True
            )
        )
        return SequenceHash(self.rows + other.rows, high, low)

    @classmethod
    def of(cls, hashes: Hashes) -> "SequenceHash":
        """Return that of rows by their hashes, in their order."""
        found, rows = cls(), len(hashes.high)
        for first in range(0, rows, _STEP_ROWS):
            lanes = [lane[first : first + _STEP_ROWS] for lane in hashes]
            words = [
                int(np.add.reduce(lane * powers[len(powers) - len(lane) :]))
                for lane, powers in zip(lanes, _powers(), strict=True)
            ]
            found = found.then(cls(len(lanes[0]), *words))
        return found


@cache
def _powers() -> tuple[U64, U64]:
    """Return r^(_STEP_ROWS - 1), ..., r, 1 of each base, shape (_STEP_ROWS,)."""
    high, low = (
        np.array([pow(base, n, _MODULUS) for n in reversed(range(_STEP_ROWS))], np.uint64)
        for base in _BASES
    )
    return high, low


class FileSequences:
    """Sequence hashes of the rows of files, of which several threads read pieces."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, SequenceHash]] = []  # with the id of the first row
        self._lock = threading.Lock()

    def add(self, hashes: Hashes, ids: U64) -> None:
        """Add rows that lie side by side in their files; ids ascend, shape (rows,)."""
        ordinals = ids >> np.uint64(POSITION_BITS)
        bounds = [0, *(np.flatnonzero(np.diff(ordinals)) + 1).tolist(), len(ids)]
        found = [
            (int(ids[first]), SequenceHash.of(hashes.take(slice(first, last))))
            for first, last in pairwise(bounds)
            if first < last
        ]
        with self._lock:
            self._pieces += found

    def joined(self, part_of: Sequence[int]) -> dict[int, SequenceHash]:
        """Return the sequence hash of each part: of its files, one after the other.

        part_of  the number of the part of every file, by its ordinal; empty: all are part 0
        """
        found: dict[int, SequenceHash] = {}
        for first, piece in sorted(self._pieces, key=lambda one: one[0]):
            part = part_of[first >> POSITION_BITS] if part_of else 0
            found[part] = found.get(part, SequenceHash()).then(piece)
        return found
