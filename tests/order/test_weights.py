"""Where buckets of a weighted order begin: about as many rows in each, so none is cut again."""

import numpy as np
import pytest

from dbshuf.base.exponential import exponential_keys, prefix_of
from dbshuf.base.key import row_keys
from dbshuf.order.sort_prefix import WeightPrefix
from dbshuf.query.relation import LINES

ROWS = 100_000
DRAWN = np.random.default_rng(1)
WEIGHTS = {
    "equal": np.full(ROWS, 1e-7),
    "uniform": DRAWN.random(ROWS),
    "log-normal": DRAWN.lognormal(3, 2, ROWS),
    "lengths": DRAWN.integers(1, 200, ROWS).astype(float),
    "far apart": DRAWN.choice([1e-200, 1.0, 1e200], ROWS),
}


@pytest.mark.parametrize("seen", [10_000, ROWS])
@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("count", [2, 24, 100])
def test_buckets_are_of_about_one_size(count, name, seen):
    """From the weights of the first rows alone; a bucket has room for 1.4 times the mean."""
    weights, prefixes = WEIGHTS[name], WeightPrefix("bytes", LINES)
    prefixes.saw(weights[:seen])
    cuts = prefixes.cuts(count)
    assert len(cuts) == count - 1
    assert bool(np.all(cuts[1:] >= cuts[:-1]))
    found = prefix_of(exponential_keys(row_keys(np.arange(ROWS, dtype=np.uint64), "7"), weights))
    sizes = np.bincount(np.searchsorted(cuts, found, side="right"), minlength=count)
    assert sizes.max() < 1.4 * ROWS / count


def test_rows_without_weight_are_behind_all_cuts():
    """Where half of all have none, half of the buckets are for them, and one of these has them."""
    prefixes = WeightPrefix("bytes", LINES)
    prefixes.saw(np.tile([0.0, 1.0], 2000))
    cuts = prefixes.cuts(20).view(np.float64)
    assert int(np.isinf(cuts).sum()) == 10
    prefixes = WeightPrefix("bytes", LINES)
    prefixes.saw(np.zeros(10))
    assert prefixes.cuts(20) is None
