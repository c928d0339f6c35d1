"""Order version 1 in plain Python, written from its definition alone, and corpora to judge by.

Nothing here imports dbshuf: what the tests compare with must not share its mistakes.
"""

import decimal
import functools
import hashlib
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

MASK = (1 << 64) - 1
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
BLOCK_BYTES = 8_000_000
FEWEST_KEPT_BYTES, MOST_KEPT_BYTES = 20_000_000, 250_000_000


def mix(z: int) -> int:
    """Return the splitmix64 finalizer of a 64-bit integer."""
    z = (z ^ z >> 30) * FIRST & MASK
    z = (z ^ z >> 27) * SECOND & MASK
    return z ^ z >> 31


@functools.cache
def seed_words(seed: str) -> tuple[int, int]:
    """Return s1 and s2, the first two little-endian words of the seed's SHA-256."""
    digest = hashlib.sha256(f"dbshuf-order-1:{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def key(row_id: int, seed: str) -> int:
    """Return the sort key of one row id."""
    s1, s2 = seed_words(seed)
    return mix(mix((row_id * GOLDEN + s1) & MASK) ^ s2)


def keyed(
    inputs: Sequence[bytes], seed: str, terminator: bytes = b"\n", header: int = 0
) -> list[tuple[int, bytes]]:
    """Return (key, line with its terminator) of every row, in output order."""
    ids, rows = [], []
    for ordinal, data in enumerate(inputs):
        position, lines = 0, data.split(terminator)
        for number, line in enumerate(lines if lines[-1] else lines[:-1]):
            if number >= header:
                ids.append(ordinal << 44 | position)
                rows.append(line + terminator)
            position += len(line) + 1
    keys = keys_of(np.array(ids, np.uint64), seed).tolist()
    return sorted(zip(keys, rows, strict=True))


def exponential(row_key: int, weight: float) -> float:
    """Return -ln(u)/w of a row, each operation rounded once; infinity for a weight of 0."""
    if weight == 0:
        return math.inf
    context = decimal.Context(prec=50)
    uniform = context.divide(2**53 - (row_key >> 11), 2**53)
    logarithm = float(context.abs(context.ln(uniform)))
    try:
        return min(logarithm / weight, sys.float_info.max)
    except OverflowError:
        return sys.float_info.max


def weighted(inputs: Sequence[bytes], seed: str, weight: Callable[[bytes], float]) -> list[bytes]:
    """Return the lines, with their terminators, by exponential keys."""
    rows = keyed(inputs, seed)
    return [line for _, line in sorted(rows, key=lambda row: exponential(row[0], weight(row[1])))]


def shuffled(
    inputs: Sequence[bytes], seed: str, terminator: bytes = b"\n", header: int = 0
) -> bytes:
    """Return the whole output; the caller puts a header in front."""
    return b"".join(line for _, line in keyed(inputs, seed, terminator, header))


def keys_of(ids: np.ndarray, seed: str) -> np.ndarray:
    """Return the keys of many row ids; ids and result are uint64 of one shape."""
    s1, s2 = (np.uint64(word) for word in seed_words(seed))

    def mixed(z: np.ndarray) -> np.ndarray:
        z = (z ^ z >> np.uint64(30)) * np.uint64(FIRST)
        z = (z ^ z >> np.uint64(27)) * np.uint64(SECOND)
        return z ^ z >> np.uint64(31)

    with np.errstate(over="ignore"):
        return mixed(mixed(ids.astype(np.uint64) * np.uint64(GOLDEN) + s1) ^ s2)


def _payload(width: int) -> np.ndarray:
    """Return a block of lines of one width: row number still blank, letters, LF."""
    rows = max(1, BLOCK_BYTES // width)
    block = np.random.default_rng(width).integers(97, 123, (rows, width), dtype=np.uint8)
    block[:, -1] = 10
    return block


def write_numbered(path: Path, rows: int, width: int) -> Path:
    """Write lines of one width (LF included) that begin with their own number.

    The number has up to 10 digits, so every line is unique and tells its id.
    """
    with path.open("wb") as file:
        if FEWEST_KEPT_BYTES < rows * width < MOST_KEPT_BYTES:
            _copy_kept(rows, width, file)
        else:
            _write_lines(file, rows, width)
    return path


_kept: dict[tuple[int, int], int] = {}  # the last shape that was asked for: an unnamed file


def _copy_kept(rows: int, width: int, file: BinaryIO) -> None:
    """Write the same lines as `_write_lines`; to make them takes six times as long."""
    if (rows, width) not in _kept:
        while _kept:
            os.close(_kept.popitem()[1])
        with tempfile.TemporaryFile() as made:
            _write_lines(made, rows, width)
            made.flush()
            _kept[rows, width] = os.dup(made.fileno())
    offset = 0
    while sent := os.sendfile(file.fileno(), _kept[rows, width], offset, BLOCK_BYTES):
        offset += sent


def _write_lines(file: BinaryIO, rows: int, width: int) -> None:
    block, digits = _payload(width), min(10, width - 1)
    for start in range(0, rows, len(block)):
        numbers = np.arange(start, min(rows, start + len(block)), dtype=np.int64)
        for place in range(digits):
            block[: len(numbers), digits - 1 - place] = numbers // 10**place % 10 + 48
        file.write(block[: len(numbers)])


def check_numbered(path: Path, rows: int, width: int, seed: str) -> None:
    """Assert that a file holds the lines of write_numbered, all, whole, and in key order.

    Keys that ascend strictly have no repeat, so the right count of them is a permutation.
    """
    assert path.stat().st_size == rows * width
    block, digits = _payload(width), min(10, width - 1)
    out = np.memmap(path, dtype=np.uint8, mode="r").reshape(rows, width)
    last = -1
    for start in range(0, rows, len(block)):
        part = np.asarray(out[start : start + len(block)])
        figures = part[:, :digits].astype(np.int64) - 48
        numbers = figures @ 10 ** np.arange(digits - 1, -1, -1)
        assert numbers.min() >= 0
        assert numbers.max() < rows
        keys = keys_of(numbers * width, seed)
        assert last < int(keys[0])
        assert (keys[1:] > keys[:-1]).all()
        assert np.array_equal(part[:, digits:], block[numbers % len(block), digits:])
        last = int(keys[-1])
