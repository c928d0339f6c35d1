"""Numbers that may come again: uniform in [0, choices), by their place and the seed alone.

Draw i is the key of row id i, modulo `choices`; keys of the last, incomplete multiple of
`choices` below 2^64 are skipped, so that every number has the same chance.
"""

from array import array
from collections.abc import Iterator
from itertools import chain
from itertools import count as count_from

from dbshuf.base.plain_key import plain_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dbshuf.base.key import U64

    Block = list[int] | U64

_KEYS = 1 << 64
_PLAIN_DRAWS = 1 << 16  # draws before numpy pays for its import
_PLAIN_BLOCK, _BLOCK = 1024, 1 << 16


def draws(choices: int, words: tuple[int, int], count: int | None) -> "Iterator[Block]":
    """Yield numbers in [0, choices), some at a time; without end where count is None.

    choices  1 to 2^64
    words    of a seed
    """
    left = count
    blocks: Iterator[Block] = chain(_plain_draws(choices, words), _more_draws(choices, words))
    for block in blocks:
        if left is None:
            yield block
            continue
        yield block[:left]
        left -= len(block)
        if left <= 0:
            return


def _plain_draws(choices: int, words: tuple[int, int]) -> Iterator[list[int]]:
    limit = _KEYS - _KEYS % choices
    for first in range(0, _PLAIN_DRAWS, _PLAIN_BLOCK):
        keys = plain_keys(array("Q", range(first, first + _PLAIN_BLOCK)), words)
        yield [key % choices for key in keys if key < limit]


def _more_draws(choices: int, words: tuple[int, int]) -> "Iterator[U64]":
    import numpy as np

    from dbshuf.base.key import mix_ids

    limit = _KEYS - _KEYS % choices
    for first in count_from(_PLAIN_DRAWS, _BLOCK):
        keys = np.arange(first, first + _BLOCK, dtype=np.uint64)
        mix_ids(keys, words)
        if limit < _KEYS:
            keys = keys[keys < np.uint64(limit)]
        if choices < _KEYS:
            keys %= np.uint64(choices)
        yield keys
