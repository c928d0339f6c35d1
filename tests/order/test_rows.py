"""Typed rows through the order stage: every value arrives, in key order, by every strategy."""

import contextlib
import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbshuf.base.key import row_keys, seed_words
from dbshuf.base.layout import Layout, merge_bytes, merge_threads
from dbshuf.base.row_batch import RowBatch, row_bytes
from dbshuf.errors import StrategyUnfit
from dbshuf.order.partition import PartitionOrder
from dbshuf.order.runs import Store
from dbshuf.order.spill import Spill, SpillOrder

SCHEMA = pa.schema(
    [
        ("n", pa.int64()),
        ("small", pa.int8()),
        ("text", pa.string()),
        ("blob", pa.binary()),
        ("real", pa.float64()),
        ("flag", pa.bool_()),
        ("day", pa.date32()),
        ("price", pa.decimal128(12, 3)),
        ("tags", pa.list_(pa.string())),
        ("point", pa.struct([("x", pa.int32()), ("name", pa.string())])),
        ("counts", pa.map_(pa.string(), pa.int64())),
        ("pair", pa.list_(pa.int16(), 2)),
    ]
)
words = st.text(max_size=8)
row = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "small": st.none() | st.integers(-128, 127),
        "text": st.none() | words | st.just("long " * 2000),
        "blob": st.none() | st.binary(max_size=8),
        "real": st.none() | st.floats(allow_nan=False),
        "flag": st.none() | st.booleans(),
        "day": st.none() | st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)),
        "price": st.none()
        | st.integers(-(10**9), 10**9).map(lambda n: decimal.Decimal(n).scaleb(-3)),
        "tags": st.none() | st.lists(st.none() | words, max_size=3),
        "point": st.none() | st.fixed_dictionaries({"x": st.none() | st.just(7), "name": words}),
        "counts": st.none() | st.dictionaries(words, st.none() | st.just(1), max_size=2),
        "pair": st.none() | st.lists(st.integers(0, 9), min_size=2, max_size=2),
    }
)


class Feed:
    """Rows that are there already, in batches of a few."""

    most_workers = 1

    def __init__(self, rows, size):
        table = pa.Table.from_pylist(
            [
                r | {"counts": None if r["counts"] is None else list(r["counts"].items())}
                for r in rows
            ],
            schema=SCHEMA,
        )
        self.whole = table.combine_chunks()
        self.ids = (np.arange(len(rows), dtype=np.uint64) << np.uint64(3)) + np.uint64(5)
        self._size = size

    def batches(self, buffer):
        for first in range(0, len(self.ids), self._size):
            part = self.whole.slice(first, self._size)
            for batch in part.to_batches():
                yield RowBatch(batch, self.ids[first : first + self._size])

    def expected(self):
        return self.whole.take(pa.array(np.argsort(row_keys(self.ids, "42"))))

    def check(self):
        pass

    def stop(self):
        pass


def layout(**changes):
    return Layout(
        **{
            "base_bytes": 0,
            "store_bytes": 0,
            "workers": 2,
            "buffer_bytes": 1 << 15,
            "bucket_bytes": 1 << 15,
            "piece_rows": 100,
            "long_bytes": 1 << 20,
            "ranges": 5,
            "is_split": False,
            "sort_bytes": 1 << 22,
            "ahead_bytes": 1 << 16,
        }
        | changes
    )


def joined(windows):
    batches = [window.batch for window in windows]
    return pa.Table.from_batches(batches, SCHEMA)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rows=st.lists(row, max_size=30),
    size=st.integers(1, 40),
    ranges=st.integers(1, 40),
    sort_bytes=st.sampled_from([1 << 9, 1 << 14, 1 << 22]),
    in_memory=st.booleans(),
)
def test_partition_moves_every_value_into_key_order(
    *, tmp_path_factory, rows, size, ranges, sort_bytes, in_memory
):
    """Nulls, nested values and long strings, however small the buffers and many the splits."""
    feed = Feed(rows, size)
    plan = layout(ranges=ranges, sort_bytes=sort_bytes, store_bytes=(64 << 20) if in_memory else 0)
    store = Store(plan.store_bytes, tmp_path_factory.mktemp("rows") / "rows")
    try:
        order = PartitionOrder(plan, seed_words("42"), store, SCHEMA)
        order.fill(feed)
        windows = list(order.windows())
    finally:
        store.close()
    found = joined(windows)
    assert found.to_pylist() == feed.expected().to_pylist()
    assert order.read.text_bytes == sum(window.text_bytes for window in windows)
    assert order.read.rows == len(rows)


def test_texts_that_are_all_empty_may_follow_others(tmp_path):
    """A slice of a bucket without any text lies nowhere in its buffer."""
    texts = pa.array(["x" * 500] * 200 + [""] * 4000)
    ids = np.arange(len(texts), dtype=np.uint64)

    class Texts:
        most_workers = 1

        def batches(self, buffer):
            for first in range(0, len(ids), 100):
                batch = pa.record_batch([texts[first : first + 100]], names=["t"])
                yield RowBatch(batch, ids[first : first + 100])

        def check(self):
            pass

        def stop(self):
            pass

    store = Store(0, tmp_path / "rows")
    try:
        schema = pa.schema([("t", pa.string())])
        order = PartitionOrder(layout(ranges=1), seed_words("42"), store, schema)
        order.fill(Texts())
        batches = [window.batch for window in order.windows()]
    finally:
        store.close()
    found = pa.Table.from_batches(batches).column("t").to_pylist()
    assert found == texts.take(pa.array(np.argsort(row_keys(ids, "42")))).to_pylist()


def spilled(feed, tmp_path, schema):
    spill = Spill(schema, 100, 0, 1 << 20, 256 << 20, 2, tmp_path)
    with contextlib.closing(SpillOrder(spill, seed_words("42"), tmp_path)) as order:
        order.fill(feed)
        return list(order.windows())


@settings(max_examples=10, deadline=None, derandomize=True)
@given(rows=st.lists(row, min_size=1, max_size=30), size=st.integers(1, 40))
def test_spill_gives_the_same_rows_and_types(*, tmp_path_factory, rows, size):
    """Through DuckDB's ORDER BY and back."""
    feed = Feed(rows, size)
    found = joined(spilled(feed, tmp_path_factory.mktemp("spill"), SCHEMA))
    assert found.to_pylist() == feed.expected().to_pylist()
    assert found.schema == SCHEMA


@pytest.mark.parametrize(
    ("width", "size", "measured_mib"),
    [(147, 100e6, 34), (147, 300e6, 46), (147, 735e6, 61), (1000, 300e6, 136)],
)
def test_what_is_said_to_be_enough_for_a_merge_grows_with_its_runs(width, size, measured_mib):
    """With 2 threads 735 MB did not get through a merge with 77 MiB, 61 are enough for one."""
    least = merge_bytes(width, int(size))
    assert measured_mib << 20 <= least <= measured_mib * 13 // 10 << 20
    assert merge_threads(least, width, 2, int(size)) == 1
    assert merge_threads(77 << 20, 147, 2, 735_000_000) == 1
    assert merge_threads(4 << 30, 147, 2, 735_000_000) == 2


def test_the_least_that_a_merge_is_said_to_need_is_enough(tmp_path):
    """150 MB of rows of 147 bytes, on as many threads as are said to be possible."""
    width, count = 147, 8192
    size = 125 * count * width
    text = pa.array([f"{n:0147d}" for n in range(count)])

    class Texts(Feed):
        def batches(self, buffer):
            for part in range(125):
                ids = np.arange(part * count, (part + 1) * count, dtype=np.uint64)
                yield RowBatch(pa.record_batch([text], names=["t"]), ids)

    schema, limit = pa.schema([("t", pa.string())]), merge_bytes(width, size)
    spill = Spill(schema, width, size, 1 << 20, limit, 2, tmp_path)
    with contextlib.closing(SpillOrder(spill, seed_words("42"), tmp_path)) as order:
        order.fill(Texts([], 1))
        assert sum(window.rows for window in order.windows()) == 125 * count


def test_spill_refuses_a_type_that_duckdb_would_change(tmp_path):
    """An exact run by another strategy is better than a silent change of type."""
    schema = pa.schema([("big", pa.large_string())])
    with pytest.raises(StrategyUnfit, match="column `big` large_string into string"):
        spilled(Feed([], 1), tmp_path, schema)


def test_the_bytes_of_a_row_do_not_depend_on_its_neighbours():
    """What cuts shards and row groups must not move with the batches."""
    rows = [
        {"t": "abc", "l": [1, 2]},
        {"t": None, "l": None},
        {"t": "", "l": []},
        {"t": "é", "l": [3]},
    ]
    batch = pa.RecordBatch.from_pylist(
        rows, pa.schema([("t", pa.string()), ("l", pa.list_(pa.int32()))])
    )
    assert row_bytes(batch).tolist() == [3 + 8, 0, 0, 2 + 4]
    assert [int(row_bytes(batch.slice(r, 1))[0]) for r in range(4)] == [11, 0, 0, 6]
    assert row_bytes(batch.slice(1, 3)).tolist() == [0, 0, 6]
