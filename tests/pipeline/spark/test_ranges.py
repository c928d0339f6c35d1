"""Where partitions begin: by (prefix, key), whatever weights there are, and equal in counts."""

import numpy as np
import pytest

from dbshuf.base.exponential import exponential_keys, prefix_of
from dbshuf.base.key import row_keys
from dbshuf.pipeline.spark.ranges import Histogram, Starts, bins_of, equal_places
from dbshuf.sink.cut_points import KeyCut, PlaceCut

ROWS = 5000
KEYS = row_keys(np.arange(ROWS, dtype=np.uint64), "7")
WEIGHTS = {
    "equal": np.ones(ROWS),
    "zero": np.zeros(ROWS),
    "some zero": np.arange(ROWS) % 3.0,
    "of all sizes": 10.0 ** (np.arange(ROWS) % 600 - 300),
    "tiny, so that many are the largest": np.full(ROWS, 5e-324),
}


def words_of(weights):
    """Return prefixes and keys in their order, as Spark sorts them."""
    prefixes = prefix_of(exponential_keys(KEYS, weights))
    order = np.lexsort([KEYS, prefixes])
    return prefixes[order], KEYS[order]


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("parts", [2, 7, 6000])
def test_partitions_begin_with_any_rows_that_are_named(weights, parts):
    """Ties in the prefix are told apart by the key: each shard has its very rows."""
    prefixes, keys = words_of(weights)
    places = np.minimum(equal_places(parts, ROWS), ROWS - 1)
    starts = Starts(keys[places], prefixes[places])
    want = np.searchsorted(places, np.arange(ROWS), "right")
    assert starts.partition_of(keys, prefixes).tolist() == want.tolist()
    mixed = np.random.default_rng(1).permutation(ROWS)
    assert starts.partition_of(keys[mixed], prefixes[mixed]).tolist() == want[mixed].tolist()


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_bins_ascend_with_the_order_and_tell_where_a_place_is(weights):
    prefixes, keys = words_of(weights)
    bins = bins_of(keys, prefixes)
    assert np.all(bins[1:] >= bins[:-1])
    histogram = Histogram(*np.unique(bins, return_counts=True))
    places = [0, 1, ROWS // 2, ROWS - 1, ROWS, ROWS + 9]
    found, within = histogram.at(places)
    assert found.tolist() == [*bins[places[:4]].tolist(), -1, -1]
    firsts = np.searchsorted(bins, found[:4])
    assert within.tolist() == [*(np.array(places[:4]) - firsts).tolist(), -1, -1]
    parts = Starts.of_bins(np.sort(found[:4])).partition_of(keys, prefixes)
    assert np.all(parts[1:] >= parts[:-1])
    assert parts.tolist() == np.searchsorted(np.sort(found[:4]), bins, "right").tolist()
    behind = Starts.of_bins(np.array([-1, -1])).partition_of(keys, prefixes)
    assert not behind.any()


def test_bins_of_usual_weights_hold_few_rows_each():
    """So that partitions which begin with bins are about equal, also where most weights are 0."""
    count = 200_000
    keys = row_keys(np.arange(count, dtype=np.uint64), "7")
    for weights in (np.ones(count), np.zeros(count), np.arange(count) % 5.0):
        _, rows = np.unique(
            bins_of(keys, prefix_of(exponential_keys(keys, weights))), return_counts=True
        )
        assert rows.max() < count / 2000


@pytest.mark.parametrize(("parts", "rows"), [(3, 4000), (7, 5), (4, 0), (1, 9)])
def test_shards_begin_where_they_do_without_spark(parts, rows):
    cut = PlaceCut(parts, rows)
    found = [0] * parts
    for part, first, last in cut.runs(np.zeros(rows + 1, np.int64), np.zeros(rows, np.uint64)):
        found[part] += last - first
    assert found == np.diff([0, *equal_places(parts, rows), rows]).tolist()


@pytest.mark.parametrize("parts", [1, 2, 7, 6000])
def test_groups_are_in_the_shards_that_they_are_in_without_spark(parts):
    """Also the groups whose prefix is the very first of a shard, or the last before it."""
    even = Starts.even(parts, 1 << 64, of_prefixes=True)
    ends = [] if even.prefixes is None else [even.prefixes, even.prefixes - np.uint64(1)]
    prefixes = np.sort(np.concatenate([KEYS, *ends]))
    keys = np.resize(np.array([0, 2**64 - 1, 5], np.uint64), len(prefixes))
    want = np.full(len(prefixes), -1)
    for part, first, last in KeyCut(parts).runs(np.zeros(len(prefixes) + 1, np.int64), prefixes):
        want[first:last] = part
    assert even.partition_of(keys, prefixes).tolist() == want.tolist()
