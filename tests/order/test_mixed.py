"""The last rank of so many rows, found in any number of passes."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dbshuf.order.mixed import RankSearch, room_for


def found(ranks, sizes, wanted, *, bits, room, is_bytes):
    """Search as a run does: pass after pass over the same rows."""
    search = RankSearch(bits)
    search.add(ranks, sizes)
    assert (search.rows, search.bytes) == (len(ranks), sizes.sum())
    search.narrow(wanted, room, is_bytes=is_bytes)
    for _ in range(80):
        search.add(ranks[::2], sizes[::2])
        search.add(ranks[1::2], sizes[1::2])
        if search.is_at_end:
            return search.end(wanted, is_bytes=is_bytes)
        search.narrow(wanted, room, is_bytes=is_bytes)
    raise AssertionError("it never ends")


NEAR = st.one_of(st.integers(0, 2**64 - 1), st.integers(2**63, 2**63 + 300))
ROWS = st.dictionaries(NEAR, st.integers(0, 50), min_size=1, max_size=60)


@given(ROWS, st.data(), st.integers(1, 6), st.integers(1, 9))
def test_the_last_of_so_many_rows_is_found_however_few_are_looked_at(rows, data, bits, room):
    """Also where ranks lie close together, so that many passes are needed."""
    ranks, sizes = np.array(list(rows), np.uint64), np.array(list(rows.values()), np.int64)
    wanted = data.draw(st.integers(1, len(rows)))
    taken = sorted(rows)[:wanted]
    assert found(ranks, sizes, Fraction(wanted), bits=bits, room=room, is_bytes=False) == (
        wanted,
        sum(rows[rank] for rank in taken),
        taken[-1],
    )


@given(ROWS, st.data(), st.integers(1, 6), st.integers(1, 9))
def test_of_bytes_the_rows_are_taken_that_come_nearest(rows, data, bits, room):
    """No other number of the first rows by rank comes nearer to what is wanted."""
    ranks, sizes = np.array(list(rows), np.uint64), np.array(list(rows.values()), np.int64)
    if not sizes.sum():
        return
    wanted = Fraction(data.draw(st.integers(1, 3 * int(sizes.sum()))), 3)
    count, size, last = found(ranks, sizes, wanted, bits=bits, room=room, is_bytes=True)
    ordered = sorted(rows)
    sums = [sum(rows[rank] for rank in ordered[:end]) for end in range(len(rows) + 1)]
    assert size == sums[count]
    assert abs(size - wanted) == min(abs(one - wanted) for one in sums)
    assert [rank for rank in ordered if rank <= last][: len(rows)] == ordered[:count] or not count


def test_the_memory_of_all_searches_stays_below_what_they_may_have():
    """Counts and bytes of 2^bits ranges each, or so many rows."""
    for sources in (1, 3, 100, 3000):
        bits, room = room_for(16 << 20, sources)
        assert bits >= 8
        assert sources * (16 << bits) <= 16 << 20
        assert room * sources * 32 <= 16 << 20 or room == 64
