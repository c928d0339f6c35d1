"""Lines that fit in a few megabytes, without numpy: its import alone takes longer."""

import io
from array import array
from itertools import accumulate

from dbshuf.base.plain_key import plain_keys

# As many lines take about as long here as numpy and Arrow take to import: 0.8 us a line, and
# 0.15 s (Python 3.11.7, numpy 2.4.6, pyarrow 26.0.1, 2 cores).
MOST_LINES = 200_000

_LF_AND_NUL = bytes.maketrans(b"\n\0", b"\0\n")


def lines_of(data: bytes, terminator: bytes) -> list[bytes]:
    """Return the lines with their terminators; a last one without gets one."""
    if data and not data.endswith(terminator):
        data += terminator
    if terminator == b"\n":
        return io.BytesIO(data).readlines()
    swapped = io.BytesIO(data.translate(_LF_AND_NUL)).readlines()
    return [line.translate(_LF_AND_NUL) for line in swapped]


def ordered(lines: list[bytes], words: tuple[int, int], count: int | None) -> list[bytes]:
    """Return the lines in the order of a seed, `count` of them at most.

    words  of the seed; a line's row id is its place in the bytes of all
    """
    starts = array("Q", accumulate(map(len, lines), initial=0))
    del starts[-1]
    keys = plain_keys(starts, words).tolist()
    order = sorted(range(len(lines)), key=keys.__getitem__)
    return [lines[row] for row in order[:count]]
