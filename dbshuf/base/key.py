"""The random key of a row: order version 1, frozen.

A line's place in the output depends on its seed and its row id alone, never on
memory, threads, strategy, engine or chunk size. `sql/duckdb/key.sql` and
`sql/sqlite/key.sql` are the same function in SQL, `plain_key.py` without numpy;
`tests/base/test_key.py` and `tests/store/test_sqlite.py` hold them to the same vectors.
"""

import numpy as np
import numpy.typing as npt

from dbshuf.base import plain_key
from dbshuf.base.plain_key import seed_words

__all__ = [
    "ORDER_VERSION",
    "ORDINAL_LIMIT",
    "POSITION_BITS",
    "POSITION_LIMIT",
    "U64",
    "UNMIXED",
    "id_of",
    "id_of_first",
    "ids_of",
    "ids_of_first",
    "mix_ids",
    "range_of",
    "range_start",
    "row_keys",
    "seed_words",
]

ORDER_VERSION = 1
ORDINAL_LIMIT = 1 << 20  # inputs that one row id can tell apart
POSITION_BITS = 44  # an input may hold 2^44 bytes (17.6 TB), or rows of a table
POSITION_LIMIT = 1 << POSITION_BITS

U64 = npt.NDArray[np.uint64]

# Words that leave ids as they are, where rows are to keep the order in which they came: then a
# row's key is its id. No seed has them, but for one in 2^128.
UNMIXED = (0, 0)

_GAMMA = np.uint64(plain_key.GAMMA)
_MULTIPLIER_1 = np.uint64(plain_key.MULTIPLIER_1)
_MULTIPLIER_2 = np.uint64(plain_key.MULTIPLIER_2)

# Rows mixed at a time: ids and scratch stay in the L2 cache. 2.8 to 3.0 ns a row for 16,384
# to 65,536 rows, 3.1 for all at once, 5.3 for 4,096 (numpy 2.4.6, 457,000 keys).
_BLOCK_ROWS = 32_768


def epoch_seed(seed: str, epoch: int) -> str:
    """Return the seed of an epoch: of epoch 0 the seed itself, of 3 that of "7" is "7/epoch-3"."""
    return f"{seed}/epoch-{epoch}" if epoch else seed


def row_keys(ids: U64, seed: str) -> U64:
    """Return the sort key of every row id.

    ids      uint64, shape (rows,); unchanged
    seed     any text; "7" and "07" are two seeds
    Returns  uint64, shape (rows,); a bijection of ids, so never a tie
    Source   splitmix64 finalizer (Steele, Lea, Flood 2014, section 3)
    """
    keys = ids.copy()
    mix_ids(keys, seed_words(seed))
    return keys


def mix_ids(ids: U64, words: tuple[int, int]) -> None:
    """Turn row ids into keys in place (uint64, shape (rows,)); words from `seed_words`."""
    if words == UNMIXED:
        return
    s1, s2 = np.uint64(words[0]), np.uint64(words[1])
    scratch = np.empty(min(len(ids), _BLOCK_ROWS), np.uint64)
    for first in range(0, len(ids), _BLOCK_ROWS):
        block = ids[first : first + _BLOCK_ROWS]
        spare = scratch[: len(block)]
        np.multiply(block, _GAMMA, out=block)
        np.add(block, s1, out=block)
        mix(block, spare)
        np.bitwise_xor(block, s2, out=block)
        mix(block, spare)


def mix(block: U64, spare: U64 | None = None) -> U64:
    """The splitmix64 finalizer, in place; return the block. `spare` is scratch of its shape."""
    spare = np.empty_like(block) if spare is None else spare
    np.right_shift(block, np.uint64(30), out=spare)
    np.bitwise_xor(block, spare, out=block)
    np.multiply(block, _MULTIPLIER_1, out=block)
    np.right_shift(block, np.uint64(27), out=spare)
    np.bitwise_xor(block, spare, out=block)
    np.multiply(block, _MULTIPLIER_2, out=block)
    np.right_shift(block, np.uint64(31), out=spare)
    np.bitwise_xor(block, spare, out=block)
    return block


def range_of(keys: U64, ranges: int) -> U64:
    """Return which of `ranges` equal parts of the key space each key lies in.

    keys     uint64, shape (rows,)
    ranges   number of parts, 1 to 2^32; part i holds [i*2^64/ranges, (i+1)*2^64/ranges)
    Returns  uint64, shape (rows,): floor(key * ranges / 2^64), exact in 64-bit steps
    """
    count, half = np.uint64(ranges), np.uint64(32)
    low = keys & np.uint64(0xFFFFFFFF)
    low *= count
    low >>= half
    parts = keys >> half
    parts *= count
    parts += low
    parts >>= half
    return parts


def range_start(part: int, ranges: int, end: int = 1 << 64) -> int:
    """Return the smallest key of `part` of `ranges` equal parts below `end`: ceil(part*end/ranges).

    Keys that are all below another end than 2^64 are those of a sample.
    """
    return -(-(part * end) // ranges)


def id_of(key: int, words: tuple[int, int]) -> int:
    """Return the row id that `mix_ids` turned into `key`: the inverse of the bijection."""
    return int(ids_of(np.array([key], np.uint64), words)[0])


def ids_of(keys: U64, words: tuple[int, int]) -> U64:
    """Return the row ids of keys (uint64, shape (rows,)): the inverse of `mix_ids`."""
    ids = keys.copy()
    if words == UNMIXED:
        return ids
    _unmix(ids)
    ids ^= np.uint64(words[1])
    _unmix(ids)
    ids -= np.uint64(words[0])
    ids *= _inverse(_GAMMA)
    return ids


def ids_of_first(ids: U64, inputs: int) -> U64:
    """Return the ids of the rows that copies are of (uint64, shape (rows,)).

    Copy c of a row has the id that it would have behind the `inputs` of the run, c times.
    """
    ordinals = (ids >> np.uint64(POSITION_BITS)) % np.uint64(inputs)
    found: U64 = (ordinals << np.uint64(POSITION_BITS)) | (ids & np.uint64(POSITION_LIMIT - 1))
    return found


def id_of_first(row: int, inputs: int) -> int:
    """Return the id of the row that a copy is of."""
    return int(ids_of_first(np.array([row], np.uint64), inputs)[0])


def _unmix(values: U64) -> None:
    """The inverse of `mix`, in place."""
    for shift, multiplier in ((31, _MULTIPLIER_2), (27, _MULTIPLIER_1), (30, None)):
        part = values >> np.uint64(shift)
        while part.any():
            values ^= part
            part >>= np.uint64(shift)
        if multiplier is not None:
            values *= _inverse(multiplier)


def _inverse(multiplier: np.uint64) -> np.uint64:
    """The number that undoes a multiplication modulo 2^64."""
    return np.uint64(pow(int(multiplier), -1, 1 << 64))
