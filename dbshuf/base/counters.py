"""What went by: to check that what comes out is what went in."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dbshuf.base.key import U64
from dbshuf.base.window import Window


@dataclass
class Tally:
    """Counts of rows; the sum of keys is modulo 2^64, the longest line is of what was read.

    seen_rows  that there were before a sample was taken of them; 0: no sample was
    """

    rows: int = 0
    text_bytes: int = 0
    key_sum: int = 0
    longest_bytes: int = 0
    seen_rows: int = 0

    def add(self, keys: U64, sizes: npt.NDArray[np.integer]) -> None:
        """Count rows by their keys and the bytes of each."""
        self.rows += len(keys)
        self.text_bytes += int(sizes.sum(dtype=np.int64))
        self.key_sum = (self.key_sum + int(np.add.reduce(keys))) % (1 << 64)
        self.longest_bytes = max(self.longest_bytes, int(sizes.max(initial=0)))

    def add_window(self, window: Window) -> None:
        """Count the rows of a window."""
        self.rows += window.rows
        self.text_bytes += window.text_bytes
        self.key_sum = (self.key_sum + int(np.add.reduce(window.keys))) % (1 << 64)

    def clear(self) -> None:
        """Forget what was counted."""
        self.rows = self.text_bytes = self.key_sum = self.longest_bytes = self.seen_rows = 0

    def merge(self, other: "Tally") -> None:
        """Count what another one has counted."""
        self.rows += other.rows
        self.text_bytes += other.text_bytes
        self.seen_rows += other.seen_rows
        self.key_sum = (self.key_sum + other.key_sum) % (1 << 64)
        self.longest_bytes = max(self.longest_bytes, other.longest_bytes)
