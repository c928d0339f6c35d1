"""What is counted before rows move, on the workers: rows in bins, then the first row of each shard.

Nothing of a row but its prefix and key leaves a task. The rows themselves are read again for that.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import aligned_buffer
from dbshuf.base.key import U64, mix_ids
from dbshuf.base.row_batch import arrow_numbers
from dbshuf.order.sampled import rows_of
from dbshuf.pipeline.spark.job import Job, flipped
from dbshuf.pipeline.spark.ranges import I64, bins_of
from dbshuf.pipeline.spark.read_task import open_split, prefixed
from dbshuf.pipeline.spark.task import job_of
from dbshuf.pipeline.spark.task_errors import told_to_driver
from dbshuf.plan.spark_splits import Split

COUNTS = "bin INT, rows BIGINT"
PAIRS = "bucket INT, prefix BIGINT, key BIGINT"
PICKED = "bucket INT, place BIGINT, prefix BIGINT, key BIGINT"
_COUNTS = pa.schema([("bin", pa.int32()), ("rows", pa.int64())])
_PAIRS = pa.schema([("bucket", pa.int32()), ("prefix", pa.int64()), ("key", pa.int64())])
_PICKED = pa.schema(
    [("bucket", pa.int32()), *((name, pa.int64()) for name in ("place", "prefix", "key"))]
)

Batches = Iterator[pa.RecordBatch]


def count_task(broadcast: Any) -> Callable[[Batches], Batches]:
    """Return the function that Spark maps over the numbers of splits: rows by their bins."""

    def counts(numbers: Batches) -> Batches:
        from dbshuf.pipeline.spark.count_task import counted, words_of_splits

        yield from map(counted, words_of_splits(broadcast, numbers))

    return counts


def pair_task(broadcast: Any, bins: I64) -> Callable[[Batches], Batches]:
    """Likewise: (prefix, key) of the rows in some bins (ascending), whose buckets they are."""

    def pairs(numbers: Batches) -> Batches:
        from dbshuf.pipeline.spark.count_task import pairs_in, words_of_splits

        yield from (pairs_in(bins, *words) for words in words_of_splits(broadcast, numbers))

    return pairs


def pick_task(places: list[I64]) -> Callable[[Batches], Batches]:
    """Return the function that Spark maps over the sorted pairs of buckets: those of some places.

    places  of each bucket, ascending
    """

    def picked(batches: Batches) -> Batches:
        from pyspark import TaskContext

        from dbshuf.pipeline.spark.count_task import picked_of

        context = TaskContext.get()
        assert context is not None, "in a task there is one"
        part = context.partitionId()
        yield from picked_of(part, places[part], batches)

    return picked


def words_of_splits(broadcast: Any, numbers: Batches) -> Iterator[tuple[U64, U64]]:
    """Yield keys and prefixes of the rows of splits."""
    with told_to_driver():
        job = job_of(broadcast)
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                yield from _words_of(job, job.splits[number])


def _words_of(job: Job, split: Split) -> Iterator[tuple[U64, U64]]:
    inputs = [job.inputs[ordinal] for ordinal in split.ordinals]
    assert job.prefixes is not None, "the order is by prefixes"
    narrow = job.prefixes.columns if job.shape.row_query is None else None
    feed, source = open_split(job, split, inputs, lambda _: None, None, narrow=narrow)
    scan = prefixed(job, feed)
    try:
        for batch in scan.batches(aligned_buffer(job.buffer_bytes)):
            keys = rows_of(batch)[0].copy()
            mix_ids(keys, job.words)
            assert batch.prefixes is not None, "the order is by prefixes"
            if len(keys):
                yield keys, batch.prefixes
            del batch
        if split.part is None:
            scan.check()
        else:
            source.check_unchanged()
    finally:
        scan.close()


def counted(words: tuple[U64, U64]) -> pa.RecordBatch:
    """Return how many of some rows there are in each bin."""
    bins, rows = np.unique(bins_of(*words), return_counts=True)
    columns = [arrow_numbers(bins.astype(np.int32)), arrow_numbers(rows.astype(np.int64))]
    return pa.RecordBatch.from_arrays(columns, schema=_COUNTS)


def pairs_in(bins: I64, keys: U64, prefixes: U64) -> pa.RecordBatch:
    """Return the prefixes and keys of rows that are in one of some bins."""
    found = bins_of(keys, prefixes)
    places = np.minimum(np.searchsorted(bins, found), len(bins) - 1)
    rows = np.flatnonzero(bins[places] == found)
    columns = [places[rows].astype(np.int32), flipped(prefixes[rows]), flipped(keys[rows])]
    return pa.RecordBatch.from_arrays([arrow_numbers(one) for one in columns], schema=_PAIRS)


def picked_of(bucket: int, places: I64, batches: Batches) -> Batches:
    """Yield the pairs of a bucket that are in these places of it."""
    first = 0
    for batch in batches:
        end = first + batch.num_rows
        here = places[np.searchsorted(places, first) : np.searchsorted(places, end)]
        taken = batch.take(arrow_numbers(here - first))
        numbers = arrow_numbers(np.full(len(here), bucket, np.int32))
        columns = [numbers, arrow_numbers(here), taken["prefix"], taken["key"]]
        yield pa.RecordBatch.from_arrays(columns, schema=_PICKED)
        first = end
