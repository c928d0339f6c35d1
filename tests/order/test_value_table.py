"""Values are told apart, however they collide, and no more of them than there is memory for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbshuf.order.value_table import TooManyValues, ValueTable

# Hashes that fall into few slots, at the end of the table too, and the one that means free.
hashes = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 9).map(lambda n: (n << 40) + 4095))


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(st.lists(st.lists(hashes.filter(lambda n: n != 1), max_size=60), max_size=6))
def test_every_value_has_one_number(groups):
    """Those of a dictionary."""
    table, seen = ValueTable(1000), {}
    for group in groups:
        values = np.array(group, np.uint64)
        table.add(values)
        for value, number in zip(group, table.find(values).tolist(), strict=True):
            assert seen.setdefault(value, number) == number
    assert sorted(seen.values()) == list(range(table.count))
    assert (table.find(np.array([77, 78], np.uint64)) == -1).all() or {77, 78} & set(seen)


def test_a_table_grows_to_what_it_may_have_and_no_further():
    rng = np.random.default_rng(1)
    values = rng.integers(1, 2**63, 50_000, np.uint64)
    table = ValueTable(50_000)
    for part in np.array_split(values, 7):
        table.add(part)
    assert table.count == 50_000
    assert sorted(table.find(values).tolist()) == list(range(50_000))
    with pytest.raises(TooManyValues):
        table.add(np.array([5], np.uint64))
