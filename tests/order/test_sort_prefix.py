"""Orders by prefix and key, whatever the prefixes are: few or many, far apart or all the same."""

from contextlib import closing

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbshuf.base.key import POSITION_BITS, UNMIXED, row_keys, seed_words
from dbshuf.base.layout import Layout
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch
from dbshuf.order.partition import PartitionOrder
from dbshuf.order.runs import Store
from dbshuf.order.sampled import KeyLimit, SampledOrder
from dbshuf.order.spill import Spill, SpillOrder
from dbshuf.order.sqlite import SqliteOrder, SqlitePlan

WORDS = seed_words("42")
SCHEMA = pa.schema([("t", pa.binary())])
LAYOUT = {
    "base_bytes": 0,
    "workers": 2,
    "buffer_bytes": 1 << 15,
    "bucket_bytes": 1 << 15,
    "piece_rows": 100,
    "long_bytes": 1 << 20,
    "is_split": False,
    "ahead_bytes": 1 << 16,
}
MANY = settings(max_examples=25, deadline=None, derandomize=True, database=None)


class Feed:
    """Lines or typed rows `x<id>` with prefixes, some at a time, from one worker."""

    most_workers, is_in_pieces, ended = 1, False, {}

    def __init__(self, prefixes, size, *, typed):
        self.prefixes = np.array(prefixes, np.uint64)
        self.ids = np.arange(len(prefixes), dtype=np.uint64)
        self._size, self._typed = size, typed

    def batches(self, buffer):
        for first in range(0, len(self.ids), self._size):
            rows = slice(first, first + self._size)
            ids, prefixes = self.ids[rows], self.prefixes[rows]
            texts = [b"x%d\n" % row * (1 + row % 7) for row in ids.tolist()]
            if self._typed:
                batch = pa.record_batch([pa.array(texts, pa.binary())], schema=SCHEMA)
                yield RowBatch(batch, ids, prefixes=prefixes)
                continue
            offsets = np.cumsum([0, *map(len, texts)]).astype(np.int32)
            kept = np.flatnonzero(ids % 5 != 4)
            text = np.frombuffer(b"".join(texts), np.uint8)
            yield LineBatch(text, offsets, (), kept, ids, prefixes.take(kept))

    def expected(self):
        """Ids of the rows that are left, by prefix and key."""
        rows = self.ids if self._typed else self.ids[self.ids % 5 != 4]
        keys = row_keys(rows, "42")
        return rows[np.lexsort([keys, self.prefixes[rows]])].tolist()

    def check(self):
        """Nothing is read."""

    stop = close = leave_out = check


def engine_of(name, folder, *, typed, ranges, sort_bytes, cuts, words=WORDS):
    schema = SCHEMA if typed else None
    if name == "spill":
        return SpillOrder(
            Spill(schema, 20.0, 0, 1 << 16, 256 << 20, 1, folder, is_prefixed=True), words, folder
        )
    if name == "sqlite":
        plan = SqlitePlan(schema, 20.0, 1 << 16, 24 * sort_bytes, ranges, 1 << 16, folder, cuts)
        return SqliteOrder(plan, words, folder)
    layout = Layout(**LAYOUT, store_bytes=0, ranges=ranges, sort_bytes=sort_bytes)
    store = Store(0, folder / "rows")
    return PartitionOrder(layout, words, store, schema, prefixes=cuts)


def taken(order, feed):
    """Fill an order; return ids, and what its windows say of prefixes and keys."""
    with closing(order):
        order.fill(feed)
        windows = list(order.windows())
    texts = [text for window in windows for text in window.batch.column(0).to_pylist()]
    ids = [int(text.split(b"\n")[0][1:]) for text in texts]
    assert [text.count(b"\n") for text in texts] == [1 + row % 7 for row in ids]
    prefixes = [prefix for window in windows for prefix in window.prefixes.tolist()]
    keys = [key for window in windows for key in window.keys.tolist()]
    assert prefixes == feed.prefixes[ids].tolist()
    assert keys == row_keys(np.array(ids, np.uint64), "42").tolist()
    return ids


prefixes = st.one_of(
    st.lists(st.sampled_from([0, 1, 2**64 - 1]), max_size=400),
    st.lists(st.integers(0, 2**64 - 1), max_size=400),
    st.integers(0, 2**64 - 1).flatmap(lambda prefix: st.lists(st.just(prefix), max_size=400)),
    st.lists(st.integers(2**40, 2**40 + 5), max_size=400),
)


@pytest.mark.parametrize("engine", ["partition", "sqlite", "spill"])
@MANY
@given(
    prefixes=prefixes,
    size=st.integers(20, 150),
    typed=st.booleans(),
    ranges=st.sampled_from([1, 3, 40]),
    sort_bytes=st.sampled_from([1 << 10, 1 << 22]),
    cut=st.sampled_from([None, 0, 1, 2**63]),
)
def test_rows_leave_by_prefix_and_then_by_key(
    *, engine, tmp_path_factory, prefixes, size, typed, ranges, sort_bytes, cut
):
    """A prefix that has more rows than fit, and cuts that put all rows into one bucket."""
    feed = Feed(prefixes, size, typed=typed)
    folder = tmp_path_factory.mktemp("prefixed")

    def cuts(count):
        return None if cut is None else np.full(count - 1, cut, np.uint64)

    order = engine_of(engine, folder, typed=typed, ranges=ranges, sort_bytes=sort_bytes, cuts=cuts)
    assert taken(order, feed) == feed.expected()


@pytest.mark.parametrize("engine", ["partition", "sqlite", "spill"])
@MANY
@given(
    prefixes=prefixes,
    size=st.integers(20, 150),
    typed=st.booleans(),
    sort_bytes=st.sampled_from([1 << 10, 1 << 22]),
    of_a_file=st.sampled_from([1, 90, 1000]),
)
def test_rows_of_one_prefix_keep_their_order_where_ids_are_keys(
    *, engine, tmp_path_factory, prefixes, size, typed, sort_bytes, of_a_file
):
    """Ids are near each other in a file, and far apart from those of the next."""
    feed = Feed(prefixes, size, typed=typed)
    number = feed.ids
    feed.ids = (number // np.uint64(of_a_file) << np.uint64(POSITION_BITS)) + number
    order = engine_of(
        engine,
        tmp_path_factory.mktemp("kept"),
        typed=typed,
        ranges=3,
        sort_bytes=sort_bytes,
        cuts=lambda count: None,
        words=UNMIXED,
    )
    with closing(order):
        order.fill(feed)
        windows = list(order.windows())
    rows = feed.ids if typed else feed.ids[feed.ids % 5 != 4]
    found = [key for window in windows for key in window.keys.tolist()]
    assert found == rows[np.lexsort([rows, feed.prefixes[np.isin(feed.ids, rows)]])].tolist()
    texts = [text for window in windows for text in window.batch.column(0).to_pylist()]
    assert [int(text.split(b"\n")[0][1:]) for text in texts] == found


@MANY
@given(prefixes=prefixes, size=st.integers(20, 150), typed=st.booleans(), rows=st.integers(0, 100))
def test_the_first_rows_by_prefix_are_kept_in_one_pass(
    tmp_path_factory, prefixes, size, typed, rows
):
    """As many as asked for, or all that there are; the limit drops what comes after."""
    feed = Feed(prefixes, size, typed=typed)
    folder = tmp_path_factory.mktemp("prefixed")
    inner = engine_of(
        "partition", folder, typed=typed, ranges=3, sort_bytes=1 << 22, cuts=lambda count: None
    )
    order = SampledOrder(inner, WORDS, KeyLimit(rows=rows))
    assert taken(order, feed)[:rows] == feed.expected()[:rows]
    assert order.read.rows >= min(rows, len(feed.expected()))
    assert order.read.seen_rows == len(feed.expected())
