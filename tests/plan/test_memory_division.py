"""How memory is divided where rows are ordered twice."""

import pytest

from dbshuf.plan.memory_division import first_of_two
from dbshuf.plan.strategy import Allowance
from dbshuf.source.survey import Survey
from dbshuf.units import GIB, MIB


@pytest.mark.parametrize("lent", [0, 30 * MIB, 2 * GIB])
def test_what_the_sink_takes_later_serves_both_orders_and_never_twice(lent):
    """Near the least --memory rows went through 371 buckets, and each read got a few of them."""
    rows = Survey(150.0, 4000, GIB, is_exact=False, columns=6)
    allowed = Allowance(600 * MIB, 400 * MIB, 2, 3)
    first, second = first_of_two(allowed, rows, lent)
    of_second = second.cap - second.base
    plain = first_of_two(allowed, rows, 0)[1]
    assert plain.cap - plain.base <= of_second <= 200 * MIB  # of what is free with the sink
    assert first.base_bytes == allowed.base
    of_first = (
        first.workers * (first.bucket_bytes + 20 * MIB) + first.sort_bytes + first.ahead_bytes
    )
    assert of_first + first.store_bytes + of_second <= 200 * MIB + lent
