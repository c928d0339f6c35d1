"""Numbers for values: the first that is seen has 0, the next that differs 1, and so on."""

import numpy as np

from dbshuf.base.key import U64
from dbshuf.base.row_batch import I64

VALUE_BYTES = 96  # of a value: its slots, twice while they become more, its count and its rank
_FIRST_SLOTS = 1 << 12


class TooManyValues(Exception):
    """There are more values than there is memory for."""


class ValueTable:
    """64-bit hashes with their numbers: open addressing, many hashes at a time.

    count  values so far
    """

    def __init__(self, most_values: int) -> None:
        self.count = 0
        self._most = most_values
        self._make(_FIRST_SLOTS)

    def _make(self, slots: int) -> None:
        self._hashes, self._numbers = np.zeros(slots, np.uint64), np.zeros(slots, np.int64)
        self._mask = np.uint64(slots - 1)

    def add(self, hashes: U64) -> None:
        """Number the hashes that are new. Raises TooManyValues."""
        unique = np.unique(_without_zero(hashes))
        new = unique[self.find(unique) < 0]
        if self.count + len(new) > self._most:
            raise TooManyValues
        slots = len(self._hashes)
        while 2 * (self.count + len(new)) > slots:
            slots *= 2
        if slots > len(self._hashes):
            is_used = self._hashes != 0
            old, numbers = self._hashes[is_used], self._numbers[is_used]
            self._make(slots)
            self._insert(old, numbers)
        self._insert(new, np.arange(self.count, self.count + len(new)))
        self.count += len(new)

    def _insert(self, hashes: U64, numbers: I64) -> None:
        """Give each of these, which differ and are not there, the next free slot."""
        slots = hashes & self._mask
        while len(hashes):
            is_free = self._hashes[slots] == 0
            self._hashes[slots[is_free]] = hashes[is_free]  # of several the last has it
            has_it = self._hashes[slots] == hashes
            self._numbers[slots[has_it]] = numbers[has_it]
            hashes, numbers = hashes[~has_it], numbers[~has_it]
            slots = (slots[~has_it] + np.uint64(1)) & self._mask

    def find(self, hashes: U64) -> I64:
        """Return the number of each hash (uint64, shape (rows,)), -1 of those not there."""
        hashes = _without_zero(hashes)
        found = np.full(len(hashes), -1, np.int64)
        slots, left = hashes & self._mask, np.arange(len(hashes))
        while len(left):
            there = self._hashes[slots]
            is_it = there == hashes[left]
            found[left[is_it]] = self._numbers[slots[is_it]]
            goes_on = ~is_it & (there != 0)
            left, slots = left[goes_on], (slots[goes_on] + np.uint64(1)) & self._mask
        return found


def _without_zero(hashes: U64) -> U64:
    """Free slots are 0, so that hash is taken for 1."""
    return np.maximum(hashes, np.uint64(1))
