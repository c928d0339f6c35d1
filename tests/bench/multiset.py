"""Compare two files as multisets of lines, in one pass each and in constant memory.

    python tests/bench/multiset.py FILE...

A line is cut into words of 8 bytes, the last one filled with zeros. Every word is added
to its place in the line times a constant and mixed, the words of a line are summed, and
the sum and the length are mixed again: 64 bits a line. The digest of a file is the sum
of these, which no order changes, with the number of lines and bytes. A file with lines
dropped, doubled, edited, or with bytes exchanged between lines passes with odds of about
2^-64. None of this is shared with the tool under test: no DuckDB, no Arrow.
"""

import argparse
import ctypes
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 1 << 18  # read at a time: the arrays made from it stay in the cache
WORD_BYTES = 8
LF = 10

Words = NDArray[np.uint64]
Places = NDArray[np.int64]

# Source: splitmix64 finalizer (Steele, Lea, Flood 2014, section 3)
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_PLACE = np.uint64(0x9E3779B97F4A7C15)
_LENGTH = np.uint64(0xD1B54A32D192ED03)
# What to keep of a line's last word (little-endian), by line length modulo 8.
_KEEP = np.array([2**64 - 1] + [2 ** (8 * n) - 1 for n in range(1, 8)], dtype=np.uint64)


@dataclass(frozen=True)
class Digest:
    """What is equal for two files that hold the same lines, each as often."""

    lines: int
    bytes: int
    line_sum: int  # sum of the line hashes modulo 2^64


def digest(path: Path, chunk_bytes: int = CHUNK_BYTES) -> Digest:
    """Return the digest of the lines of `path`.

    A last line without a terminator counts as a line and hashes as if it had one; the
    number of bytes still tells the two files apart.
    Memory  about 20 times chunk_bytes; more for a line that is longer than that
    """
    _keep_freed_memory()
    lines = line_sum = 0
    for buffer, used in _whole_lines(path, chunk_bytes):
        ends = np.flatnonzero(buffer[:used] == LF) + 1
        lines += len(ends)
        line_sum += int(_line_hashes(buffer, ends).sum(dtype=np.uint64))
    return Digest(lines, path.stat().st_size, line_sum % 2**64)


def _keep_freed_memory() -> None:
    """Let glibc keep up to 1 GiB of freed memory instead of returning it to the kernel.

    The arrays made for one chunk are then used again for the next. Without this, fresh
    pages cost more than the hashing: 100 against 210 MB/s with 9-byte lines (2 cores).
    """
    trim_threshold, mmap_threshold = -1, -3  # names of mallopt(3), from malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(trim_threshold, 1 << 30)
        mallopt(mmap_threshold, 1 << 25)


def _whole_lines(path: Path, chunk_bytes: int) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield (buffer, used): used bytes of whole lines, then at least 8 bytes of room.

    The buffer is reused. The start of a line that is not whole yet moves to its front;
    a line that fills the buffer doubles it.
    """
    buffer = np.zeros(chunk_bytes + WORD_BYTES, dtype=np.uint8)
    kept = 0
    with path.open("rb", buffering=0) as file:
        while got := file.readinto(buffer.data[kept:-WORD_BYTES]):
            filled = kept + got
            used = _after_last_terminator(buffer, kept, filled)
            if used:
                yield buffer, used
                buffer[: filled - used] = buffer[used:filled].copy()
            kept = filled - used
            if kept == len(buffer) - WORD_BYTES:
                buffer = np.concatenate([buffer, np.zeros(kept, dtype=np.uint8)])
    if kept:
        buffer[kept] = LF
        yield buffer, kept + 1


def _after_last_terminator(buffer: NDArray[np.uint8], start: int, end: int) -> int:
    """Return the offset after the last LF in buffer[start:end], or 0."""
    for low in range(end - 4096, start - 4096, -4096):
        found = np.flatnonzero(buffer[max(low, start) : low + 4096] == LF)
        if len(found):
            return max(low, start) + int(found[-1]) + 1
    return 0


def _line_hashes(buffer: NDArray[np.uint8], ends: Places) -> Words:
    """Return the hash of every line, uint64, shape (lines,).

    buffer  the lines one after another from offset 0, with 8 bytes of room behind
    ends    offset after each line's terminator, ascending, not empty
    """
    starts = np.concatenate([[0], ends[:-1]])
    lengths = ends - starts  # the terminator is hashed too, so no line has no word
    counts = (lengths + WORD_BYTES - 1) // WORD_BYTES
    after = np.cumsum(counts)
    first = after - counts
    place = np.arange(after[-1]) - np.repeat(first, counts)
    offsets = np.repeat(starts, counts) + place * WORD_BYTES
    at_any_byte = np.ndarray((len(buffer) - 7,), dtype="<u8", buffer=buffer, strides=(1,))
    words: Words = at_any_byte[offsets]
    words[after - 1] &= _KEEP[lengths % WORD_BYTES]
    words += place.view(np.uint64) * _PLACE
    hashes: Words = np.add.reduceat(_mix(words), first)
    hashes += lengths.view(np.uint64) * _LENGTH
    return _mix(hashes)


def _mix(words: Words) -> Words:
    """Return `words`, each replaced by its mix, modulo 2^64."""
    for shift, multiplier in _MIX:
        words ^= words >> np.uint64(shift)
        words *= np.uint64(multiplier)
    words ^= words >> np.uint64(31)
    return words


def main() -> int:
    """Print the digest of every file; exit 1 if two of them differ."""
    parser = argparse.ArgumentParser(description="compare files as multisets of lines")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    digests = []
    for path in parser.parse_args().files:
        begin_s = time.perf_counter()
        found = digest(path)
        rate = found.bytes / 1e6 / (time.perf_counter() - begin_s)
        print(f"{found.line_sum:016x} {found.lines} lines {found.bytes} bytes {path}")
        print(f"{rate:.0f} MB/s", file=sys.stderr)
        digests.append(found)
    return int(any(found != digests[0] for found in digests))


if __name__ == "__main__":
    sys.exit(main())
