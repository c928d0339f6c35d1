"""The words of a seed, and the key of order version 1 without numpy.

numpy takes 0.07 s to import, and ten thousand lines 0.01 s to shuffle, so a few rows get their
keys from Python's own whole numbers: one number holds a block of ids, 128 bits apart, so that
one multiplication multiplies them all and no product reaches the next. `base/key.py` is the
same function for many rows; `tests/base/test_key.py` holds both to the same vectors.
"""

import importlib
from array import array

GAMMA = 0x9E3779B97F4A7C15
MULTIPLIER_1 = 0xBF58476D1CE4E5B9
MULTIPLIER_2 = 0x94D049BB133111EB

_U64 = (1 << 64) - 1

# Ids of one number. 0.16 us a row for 512 to 4,096, 0.19 for 100,000 (Python 3.11.7, 2 cores).
_BLOCK_ROWS = 1024


def seed_words(seed: str) -> tuple[int, int]:
    """Return (s1, s2), the two 64-bit words that a seed stands for."""
    digest = _sha256(f"dbshuf-order-1:{seed}".encode())
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def _sha256(data: bytes) -> bytes:
    """Return a digest by Python's own code where it is there: hashlib loads OpenSSL.

    `dbshuf shuf -e a b c` has 11.5 MiB resident with it, and 14.3 without (Python 3.11.7).
    """
    for module in ("_sha2", "_sha256"):  # from Python 3.12 on, and before
        try:
            found: bytes = importlib.import_module(module).sha256(data).digest()
        except ImportError:
            continue
        return found
    import hashlib

    return hashlib.sha256(data).digest()


def plain_key(row_id: int, words: tuple[int, int]) -> int:
    """Return the key of one row id, both below 2^64; words from `seed_words`."""
    return _mix(_mix((row_id * GAMMA + words[0]) & _U64, _U64) ^ words[1], _U64)


def plain_keys(ids: "array[int]", words: tuple[int, int]) -> "array[int]":
    """Return the key of every row id: arrays of type Q and one length; words from `seed_words`."""
    keys = array("Q")
    for first in range(0, len(ids), _BLOCK_ROWS):
        keys += _block_keys(ids[first : first + _BLOCK_ROWS], words)
    return keys


def _block_keys(ids: "array[int]", words: tuple[int, int]) -> "array[int]":
    rows = len(ids)
    lanes = array("Q", bytes(16 * rows))
    lanes[::2] = ids
    ones = int.from_bytes((b"\1" + bytes(15)) * rows, "little")
    low_halves = ones * _U64
    wide = int.from_bytes(lanes.tobytes(), "little")
    wide = _mix((wide * GAMMA + ones * words[0]) & low_halves, low_halves)
    wide = _mix(wide ^ ones * words[1], low_halves)
    return array("Q", wide.to_bytes(16 * rows, "little"))[::2]


def _mix(value: int, mask: int) -> int:
    """The splitmix64 finalizer of one number, or of as many as `mask` has low halves."""
    value = (value ^ value >> 30) & mask
    value = value * MULTIPLIER_1 & mask
    value = (value ^ value >> 27) & mask
    value = value * MULTIPLIER_2 & mask
    return (value ^ value >> 31) & mask
