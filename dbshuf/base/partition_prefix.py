"""Prefixes that keep rows of one value together: the first bits of a hash of it, then of the key.

An order by (prefix, key) is one by (hash, key) then, and prefixes spread over as many buckets as
there shall be, also where all rows have one value.
"""

import numpy as np

from dbshuf.base.key import U64

_KEY_BITS = np.uint64(24)  # of a prefix; the others are of the hash
_FREE_BITS = np.uint64(40)  # of a key that is not in the prefix


def partition_prefixes(hashes: U64, keys: U64) -> U64:
    """Return the prefix of every row; all are uint64, shape (rows,)."""
    return (hashes >> _KEY_BITS << _KEY_BITS) | (keys >> _FREE_BITS)


def groups_of(prefixes: U64) -> U64:
    """Return what of each prefix (uint64, shape (rows,)) all rows of one value have in common."""
    return prefixes >> _KEY_BITS
