"""Sort prefixes of --partition-by: rows of one value together, and buckets of about equal size."""

import numpy as np
import pyarrow as pa
import pytest

from dbshuf.base.key import row_keys
from dbshuf.base.partition_prefix import groups_of
from dbshuf.order.sort_prefix import PartitionPrefix


def place(row):
    return str(row)


def prefixes_of(values, prefixes=None):
    keys = row_keys(np.arange(len(values), dtype=np.uint64), "1")
    relation = pa.record_batch({"more": pa.array(keys), "v": pa.array(values)})
    return keys, (prefixes or PartitionPrefix(["v"])).prefixes(relation, keys, place)


def test_by_prefix_and_key_rows_of_a_value_follow_each_other_in_the_order_of_their_keys():
    """Null is a value; which comes first is left to the hash."""
    values = ["a", "b", None, "a", "c", "b"] * 500
    keys, prefixes = prefixes_of(values)
    order = np.lexsort((keys, prefixes))
    found = [values[row] for row in order]
    changes = [value for at, value in enumerate(found) if at == 0 or found[at - 1] != value]
    assert len(changes) == 4
    for value in changes:
        mine = [int(keys[row]) for row in order if values[row] == value]
        assert mine == sorted(mine)
    assert len(np.unique(groups_of(prefixes))) == 4


@pytest.mark.parametrize("values", [["one"], ["one", "two", "three"], list(map(str, range(5000)))])
def test_buckets_are_about_equal_whatever_the_number_of_values(values):
    """Also where all rows have one value: the key is in the prefix. None has over a tenth."""
    some = [values[i * i % len(values)] for i in range(20_000)]
    of_batches = PartitionPrefix(["v"])
    prefixes = np.concatenate(
        [prefixes_of(some[i : i + 5000], of_batches)[1] for i in (0, 5000, 10_000)]
    )
    cuts = of_batches.cuts(64)
    assert cuts is not None
    assert len(cuts) == 63
    assert (np.diff(cuts.astype(object)) >= 0).all()
    rows = np.bincount(np.searchsorted(cuts, prefixes, side="right"), minlength=64)
    assert rows.max() < len(prefixes) / 10
