"""Exponential keys, version 1, frozen: what weighted orders sort by.

    u = (2^53 - floor(key / 2^11)) / 2^53      uniform in (0, 1], by the key of a row
    E = -ln(u) / w                             weight w > 0: exponential, of rate w
    E = +infinity                              weight 0

Rows in ascending order of E, ties by the key, are a weighted sample without replacement however
many of them are taken (Efraimidis and Spirakis 2006, algorithm A-Res; there u^(1/w) descends).
As u falls where the key rises, equal weights give the order by keys.

The logarithms of libm and of numpy differ in their last bit from one machine to another, so this
one has its own: additions and multiplications of binary64 alone, each rounded once, with about
106 bits of the sum kept. -ln(u) is off by no more than 0.5001 units in the last place, and never
falls where the key rises.
"""

from decimal import Context, Decimal
from functools import cache

import numpy as np
import numpy.typing as npt

from dbshuf.base.key import U64

F64 = npt.NDArray[np.float64]

_BLOCK_ROWS = 8192  # what is made of them stays in the L2 cache
_UNIT_BITS = 53
_TABLE_BITS = 7  # of the significand, which choose the factor that brings it near 1
_SPLIT = float((1 << 27) + 1)  # Dekker's: halves of a significand
_HIGH_MASK = np.uint64(0xFFFFFFFFFC000000)  # leaves 27 bits of a significand
_CONTEXT = Context(prec=60)
# Coefficients of ln(1 + r) from r^3 on; r^13 / 13 is below 2^-87 for r up to 2^-7.
_SERIES = [(-1.0) ** (power + 1) / power for power in range(3, 13)]
_LARGEST = np.finfo(np.float64).max


def exponential_keys(keys: U64, weights: F64) -> F64:
    """Return E of every row, as above.

    keys     uint64, shape (rows,)
    weights  float64, shape (rows,), finite and at least 0
    Returns  float64, shape (rows,), at least 0; finite unless the weight is 0
    """
    found = np.empty(len(keys), np.float64)
    for first in range(0, len(keys), _BLOCK_ROWS):
        block = slice(first, first + _BLOCK_ROWS)
        found[block] = _divided(minus_ln(keys[block]), weights[block])
    return found


def prefix_of(exponentials: F64) -> U64:
    """Return numbers that ascend as these do: the bits of what is not negative."""
    return exponentials.view(np.uint64)


def _divided(exponentials: F64, weights: F64) -> F64:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        found: F64 = exponentials / weights
    np.minimum(found, _LARGEST, out=found)  # a tiny weight is not yet 0
    found[weights == 0] = np.inf
    return found


def minus_ln(keys: U64) -> F64:
    """Return -ln(u) of the u of each key: float64, shape (rows,), from 0 to 53 ln 2."""
    whole = (np.uint64(1 << _UNIT_BITS) - (keys >> np.uint64(11))).astype(np.float64)  # exact
    bits = whole.view(np.uint64)
    exponents = (bits >> np.uint64(52)).astype(np.float64) - (1023.0 + _UNIT_BITS)
    places = (bits >> np.uint64(52 - _TABLE_BITS)) & np.uint64((1 << _TABLE_BITS) - 1)
    places = places.astype(np.int64)  # as numpy 2.0 wants it of what it takes by
    fractions = (bits & np.uint64((1 << 52) - 1)) | np.uint64(1023 << 52)
    numbers: F64 = fractions.view(np.float64)  # 1 up to 2
    table = _table()
    factors, halved = table.factors.take(places), table.halved.take(places)
    numbers = numbers * (1.0 - 0.5 * halved)  # about 0.7 up to 1.4, so that u near 1 is near 1
    exponents = exponents + halved
    # r = numbers * factors - 1, exactly, as the sum of two
    upper = (numbers.view(np.uint64) & _HIGH_MASK).view(np.float64)
    lower = numbers - upper
    rest, rest_low = _two_sum(upper * factors - 1.0, lower * factors)
    series, series_low = _ln_1p(rest, rest_low)
    total, low_1 = _two_sum(exponents * table.ln_2, table.ln_high.take(places))
    total, low_2 = _two_sum(total, series)
    low = low_1 + low_2 + (exponents * table.ln_2_low + table.ln_low.take(places) + series_low)
    found: F64 = 0.0 - (total + low)  # not -0.0
    return found


def _ln_1p(rest: F64, low: F64) -> tuple[F64, F64]:
    """Return ln(1 + rest + low) as the sum of two."""
    powers = np.full(len(rest), _SERIES[-1])
    for factor in reversed(_SERIES[:-1]):
        powers = powers * rest + factor
    square, square_low = _squared(rest)
    square_low = square_low + 2.0 * rest * low
    series, error = _two_sum(rest, -0.5 * square)
    tail = powers * (square * rest)
    return series, error + (low - 0.5 * square_low + tail)


def _two_sum(one: F64, other: F64) -> tuple[F64, F64]:
    """Return a sum as it is rounded, and what was lost (Knuth)."""
    total = one + other
    part = total - one
    return total, (one - (total - part)) + (other - part)


def _squared(one: F64) -> tuple[F64, F64]:
    """Return a square as it is rounded, and what was lost (Dekker)."""
    square = one * one
    scaled = one * _SPLIT
    upper = scaled - (scaled - one)
    lower = one - upper
    return square, ((upper * upper - square) + 2.0 * upper * lower) + lower * lower


class _Table:
    """What a significand f in [1, 2) is multiplied by, by its leading bits, and logarithms.

    factors  of about 1/f, or 2/f where f is halved: 8 bits; 1 where f is next to 1 or 2
    halved   1.0 where f is halved
    ln_high, ln_low  minus the logarithm of each factor
    ln_2, ln_2_low   of which the first has so few bits that its multiples are exact
    """

    def __init__(self) -> None:
        size = 1 << _TABLE_BITS
        middles = [1 + (place + 0.5) / size for place in range(size)]
        is_halved = [middle > 1.41 for middle in middles]
        near = [middle / (1 + over) for middle, over in zip(middles, is_halved, strict=True)]
        factors = [round(256 / one) / 256 for one in near]
        factors[0] = factors[-1] = 1.0
        logarithms = [-_CONTEXT.ln(Decimal(factor)) for factor in factors]
        self.factors, self.halved = np.array(factors), np.array(is_halved, np.float64)
        self.ln_high = np.array([float(one) for one in logarithms])
        self.ln_low = np.array(
            [float(_CONTEXT.subtract(one, Decimal(float(one)))) for one in logarithms]
        )
        ln_2 = _CONTEXT.ln(Decimal(2))
        self.ln_2 = float(int(_CONTEXT.multiply(ln_2, 1 << 42))) / (1 << 42)
        self.ln_2_low = float(_CONTEXT.subtract(ln_2, Decimal(self.ln_2)))


@cache
def _table() -> _Table:
    return _Table()
