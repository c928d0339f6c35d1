"""Rows are dropped by their keys while they are read, and never one that belongs to the sample."""

from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbshuf.base.begin_anew import SampleShort
from dbshuf.base.counters import Tally
from dbshuf.base.key import row_keys, seed_words
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch
from dbshuf.order import sampled
from dbshuf.order.sampled import ALL_KEYS, KeyLimit, SampledScan, rows_of

WORDS = seed_words("7")
FEW = settings(max_examples=60, deadline=None, derandomize=True, database=None)


class Feed:
    """Batches, as a feed of one worker gives them."""

    most_workers = 3

    def __init__(self, batches):
        self._batches = batches

    def batches(self, buffer):
        yield from self._batches

    def check(self):
        """Nothing is read."""

    stop = close = leave_out = check


def line_batches(sizes):
    """Batches of so many lines `x<id>`; ids are places, and every third line is not kept."""
    at = 0
    for size in sizes:
        lines = [b"x%d\n" % (at + row) for row in range(size)]
        offsets = np.cumsum([0, *map(len, lines)]).astype(np.int32)
        kept = np.flatnonzero(np.arange(size) % 3 != 2)
        ids = np.arange(at, at + size, dtype=np.uint64)
        yield LineBatch(np.frombuffer(b"".join(lines), np.uint8), offsets, (), kept, ids)
        at += size


def lines_in(batches):
    """The id and the text of every row that is left."""
    found = []
    for batch in batches:
        if isinstance(batch, RowBatch):
            found += zip(batch.ids.tolist(), batch.batch.column(0).to_pylist(), strict=True)
            continue
        ids, sizes, elements = rows_of(batch)
        lines = batch.lines() if elements is None else batch.lines().take(pa.array(elements))
        assert sizes.tolist() == [len(line) for line in lines.to_pylist()]
        found += zip(ids.tolist(), lines.to_pylist(), strict=True)
    return found


@FEW
@given(
    st.lists(st.integers(0, 400), max_size=12),
    st.integers(0, 600),
    st.tuples(
        st.sampled_from([ALL_KEYS, ALL_KEYS // 3, 1 << 60, 12345]),
        st.sampled_from([None, None, ALL_KEYS // 2, ALL_KEYS // 5 + 7]),
    ),
    st.booleans(),
    st.sampled_from([0, 300, 1 << 20]),
)
def test_the_first_rows_pass_and_the_tally_is_that_of_what_is_below_the_end(
    sizes, rows, ends, typed, held_bytes
):
    """Whatever batches they come in; a limit says exactly what there is below its end.

    A guess of it that leaves too few rows is told.
    """
    end, likely_end = ends
    batches = list(line_batches(sizes))
    if typed:
        batches = [RowBatch(pa.record_batch({"n": batch.ids()}), batch.ids()) for batch in batches]
    whole = lines_in(batches)
    limit = KeyLimit(end, rows, likely_end)
    scan = SampledScan(Feed(batches), WORDS, limit)
    with mock.patch.object(sampled, "_HELD_BYTES", held_bytes):
        passed = lines_in(scan.batches(np.empty(0, np.uint8)))
    assert scan.seen_rows == len(whole)
    assert set(passed) <= set(whole)
    ids = np.array([row for row, _ in whole], np.uint64)
    keys = dict(zip(whole, row_keys(ids, "7").tolist(), strict=True))
    first = sorted((row for row in whole if keys[row] < end), key=keys.__getitem__)[:rows]
    below_guess = sum(key < (likely_end or 0) for key in keys.values())
    if likely_end is not None and likely_end < end and below_guess < rows:
        with pytest.raises(SampleShort):
            limit.tally(Tally(rows=len(passed)))
        return
    assert set(first) <= set(passed)
    tally = limit.tally(Tally(rows=len(passed)))
    below = [row for row in passed if keys[row] < limit.end]
    if rows:
        assert tally.rows == len(below)
        assert tally.key_sum == sum(keys[row] for row in below) % ALL_KEYS
        assert len(below) >= len(first)


def test_what_is_kept_of_many_rows_is_little_more_than_the_sample():
    """100 of a million rows: those that came while the end fell, N(1 + ln(T/N)) or so."""
    limit, kept = KeyLimit(rows=100), 0
    for first in range(0, 1_000_000, 10_000):
        keys = row_keys(np.arange(first, first + 10_000, dtype=np.uint64), "7")
        kept += len(limit.counted(keys, np.ones(len(keys), np.int64), keys))
    assert 100 <= limit.tally(Tally()).rows < 200
    assert kept < 3_000  # few of the first batch, too
