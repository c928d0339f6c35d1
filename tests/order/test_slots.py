"""Slots: rows of one value are evenly spaced, and each row is as likely anywhere as elsewhere."""

import collections
import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbshuf.base.window import Window
from dbshuf.errors import CheckFailed
from dbshuf.order.spread import COUNTS, Ranks, Slots, ValueCounts, check_ranks

WHOLE = 1 << 64


def slots_of(counts, seed="1"):
    """Places and values of so many rows of each value, keys drawn at random."""
    sizes = np.array(counts)
    values = np.repeat(np.arange(len(counts), dtype=np.uint64), sizes)
    keys = np.random.default_rng(len(values)).integers(0, WHOLE, len(values), np.uint64)
    ranks = Ranks().of(values)
    return Slots(seed).of(values, keys, ranks, np.repeat(sizes, sizes)), values


@pytest.mark.parametrize("counts", [[1], [2], [3, 1, 1], [1000, 7, 64, 1], [65537]])
def test_neighbours_of_one_value_are_half_to_one_and_a_half_mean_distances_apart(counts):
    """Around the whole, which begins anew where it ends."""
    places, values = slots_of(counts)
    for value, count in enumerate(counts):
        own = sorted(places[values == value].tolist())
        gaps = [after - before for before, after in itertools.pairwise(own)]
        gaps.append(own[0] + WHOLE - own[-1])
        assert count == 1 or min(gaps) >= 0.499999 * WHOLE / count
        assert max(gaps) <= 1.500001 * WHOLE / count


@pytest.mark.parametrize(("count", "rank"), [(1, 0), (2, 0), (2, 1), (7, 3), (7, 6)])
def test_a_row_stands_anywhere_with_the_same_chance(count, rank):
    """Chi-square over 20,000 values and 20 parts of the whole, 19 degrees of freedom."""
    values = np.arange(20_000, dtype=np.uint64)
    keys = np.random.default_rng(5).integers(0, WHOLE, 20_000, np.uint64)
    ranks = np.full(20_000, rank)
    if count > 1:  # which row of a value has which rank is as random as its key
        ranks = np.random.default_rng(6).permutation(np.arange(20_000) % count)
    places = Slots("3").of(values, keys, ranks, np.full(20_000, count))
    seen = np.bincount((places >> np.uint64(32)).astype(np.int64) * 20 >> 32, minlength=20)
    assert ((seen - 1000) ** 2 / 1000).sum() < 43.8


ascending = st.lists(st.integers(0, WHOLE - 1), min_size=1, max_size=60).map(
    lambda values: sorted([*values, *values[: len(values) // 2], *values[:3]])
)


def pieces(values, cuts):
    """Some values as arrays, cut at these places."""
    ends = sorted({min(cut, len(values)) for cut in cuts} - {0} | {len(values)})
    return np.split(np.array(values, np.uint64), ends[:-1])


@given(ascending, st.lists(st.integers(1, 60)), st.lists(st.integers(1, 60)))
def test_ranks_and_counts_are_the_same_however_rows_and_records_come(values, cuts, records):
    """Records may count a value in parts, and windows may end within one."""
    counts = collections.Counter(values)

    def windows():
        for piece in pieces(values, records):
            keys, rows = np.unique(piece, return_counts=True)
            yield Window.of_rows(pa_rows(rows), keys)

    ranks_of, counts_of, seen = Ranks(), ValueCounts(windows()), collections.Counter()
    for piece in pieces(values, cuts):
        ranks, found = ranks_of.of(piece), counts_of.of(piece)
        check_ranks(piece, ranks, found)
        for value, rank, count in zip(piece.tolist(), ranks, found, strict=True):
            assert (rank, count) == (seen[value], counts[value])
            seen[value] += 1


def pa_rows(rows):
    return pa.record_batch([rows.astype(np.int64)], schema=COUNTS)


def test_a_value_that_was_not_counted_or_ends_too_soon_is_found():
    """Nothing is published then."""
    counts = ValueCounts(iter([Window.of_rows(pa_rows(np.array([2])), np.array([5], np.uint64))]))
    with pytest.raises(CheckFailed, match="was not counted"):
        counts.of(np.array([4], np.uint64))
    values = np.array([5, 6], np.uint64)
    with pytest.raises(CheckFailed, match="other rows than were counted"):
        check_ranks(values, np.array([0, 0]), np.array([2, 1]))
    with pytest.raises(CheckFailed, match="other rows than were counted"):
        check_ranks(values[:1], np.array([2]), np.array([2]))
