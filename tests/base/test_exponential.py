"""Exponential keys: their vectors, their logarithm against one of 50 digits, and what they mean."""

import itertools
import json
import math

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import EXPONENTIAL_VECTORS

from dbshuf.base.exponential import exponential_keys, minus_ln, prefix_of
from dbshuf.base.key import row_keys

VECTORS = json.loads(EXPONENTIAL_VECTORS.read_text("utf-8"))
QUIET = settings(deadline=None, derandomize=True, database=None)

any_key = st.integers(0, 2**64 - 1)
any_weight = st.floats(0, allow_infinity=False, allow_nan=False)


def test_exponential_keys_meet_the_vectors():
    """Bit by bit, on any machine: another last bit would be another order."""
    rows = VECTORS["exponentials"]
    keys = np.array([row["key"] for row in rows], np.uint64)
    found = exponential_keys(keys, np.array([row["weight"] for row in rows]))
    bits = [f"{bits:016x}" for bits in prefix_of(found).tolist()]
    assert bits == [row["exponential"] for row in rows]


@pytest.mark.parametrize("vector", VECTORS["orders"], ids=lambda vector: vector["seed"])
def test_orders_meet_the_vectors(vector):
    ids, weights = np.array(vector["ids"], np.uint64), np.array(vector["weights"])
    keys = row_keys(ids, vector["seed"])
    order = np.lexsort([keys, prefix_of(exponential_keys(keys, weights))])
    assert ids.take(order).tolist() == vector["order"]


@QUIET
@given(st.lists(st.tuples(any_key, any_weight), max_size=30))
def test_any_key_and_weight_give_what_50_digits_give(rows):
    """Also where u is next to 1, and where weights are of no usual size."""
    keys = np.array([key for key, _ in rows], np.uint64)
    weights = np.array([weight for _, weight in rows], np.float64)
    found = exponential_keys(keys, weights).tolist()
    assert found == [reference.exponential(key, weight) for key, weight in rows]


def test_the_logarithm_is_rounded_like_the_exact_one_and_never_falls():
    """At both ends, at the borders of its table, and a step of u to either side of each."""
    borders = [int(2**64 * (1 - (1 + place / 128) / 2)) for place in range(128)]
    borders += [int(2**64 * (1 - 2.0**-power)) for power in range(1, 50, 7)]
    starts = [0, 2**64 - (600 << 11), *(max(one - (4 << 11), 0) for one in borders)]
    counts = [600, 600, *([8] * len(borders))]
    for start, count in zip(starts, counts, strict=True):
        keys = np.uint64(start) + (np.arange(count, dtype=np.uint64) << np.uint64(11))
        found = minus_ln(keys)
        assert found.tolist() == [reference.exponential(key, 1.0) for key in keys.tolist()]
        assert bool(np.all(np.diff(found) >= 0))
    assert minus_ln(np.array([0, 2047], np.uint64)).view(np.uint64).tolist() == [0, 0]  # not -0.0
    assert float(minus_ln(np.array([2**64 - 1], np.uint64))[0]) == 53 * math.log(2)


@QUIET
@given(st.lists(any_key, min_size=1, max_size=50), st.floats(1e-300, 1e300))
def test_equal_weights_give_the_order_by_keys(keys, weight):
    """So --weight 1 is the order of the seed, whatever else is done to it."""
    found = np.array(sorted(set(keys)), np.uint64)
    prefixes = prefix_of(exponential_keys(found, np.full(len(found), weight)))
    assert np.lexsort([found, prefixes]).tolist() == list(range(len(found)))


def test_a_weight_of_zero_comes_after_the_smallest_that_is_none():
    keys = np.array([5, 2**64 - 1], np.uint64)
    tiny, zero = exponential_keys(keys, np.array([0.0, 5e-324]))[::-1].tolist()
    assert tiny < zero == math.inf
    assert exponential_keys(keys[:1], np.array([-0.0])).tolist() == [math.inf]


@pytest.mark.parametrize("seed", ["0", "42", "corpus-2026"])
def test_rows_come_first_as_often_as_their_weights_say(seed):
    """Chi-square of the first two rows of five, 20,000 times; 0.0005 of all seeds exceed 45.3."""
    weights, draws = np.array([1.0, 2.0, 3.0, 0.5, 8.0]), 20_000
    keys = row_keys(np.arange(draws * 5, dtype=np.uint64) * np.uint64(17), seed)
    found = exponential_keys(keys, np.tile(weights, draws)).reshape(draws, 5)
    order = np.argsort(found, axis=1)
    counts = np.bincount(order[:, 0] * 5 + order[:, 1], minlength=25)
    total, statistic = weights.sum(), 0.0
    for first, second in itertools.permutations(range(5), 2):
        chance = weights[first] / total * weights[second] / (total - weights[first])
        expected = draws * chance
        statistic += (counts[first * 5 + second] - expected) ** 2 / expected
    assert statistic < 45.3  # 19 degrees of freedom
