"""Between the stages of rows that are spread, on the workers: those of a value get their slots.

Rows come by (value, mark, key), values in equal ranges of their hashes, so all rows of a value are
in one task. What splits have counted of a value comes before its rows, marked by the count; so
however many values there are, and rows of one, a task holds a batch and the numbers of one value.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from dbshuf.base.key import U64
from dbshuf.base.row_batch import I64, arrow_numbers
from dbshuf.order.spread import Ranks, check_ranks
from dbshuf.pipeline.spark.job import MARK_OF_ROWS, Job, flipped
from dbshuf.pipeline.spark.task import job_of
from dbshuf.pipeline.spark.task_errors import told_to_driver

Batches = Iterator[pa.RecordBatch]


def slot_task(broadcast: Any) -> Callable[[Batches], Batches]:
    """Return the function that Spark maps over the rows of values."""

    def rows(batches: Batches) -> Batches:
        from pyspark import TaskContext

        from dbshuf.pipeline.spark.slot_task import slotted_partition

        context = TaskContext.get()
        assert context is not None, "in a task there is one"
        yield from slotted_partition(broadcast, context.partitionId(), batches)

    return rows


def slotted_partition(broadcast: Any, part: int, batches: Batches) -> Batches:
    """Yield the rows of a range of values by their slots; of the last part the notes, as they are.

    Raises  CheckFailed
    """
    with told_to_driver():
        job = job_of(broadcast)
        if part < job.value_ranges:
            yield from slotted(job, batches)
            return
        words = len(job.read_carrier.order_names)
        for batch in batches:
            buckets = np.full(batch.num_rows, job.partitions, np.uint64)
            nothing = np.zeros(batch.num_rows, np.uint64)
            yield job.carrier.packed(buckets, [nothing, nothing], batch.columns[words:])


def slotted(job: Job, batches: Batches) -> Batches:
    """Yield rows by their slots, out of rows and counts by (value, mark, key)."""
    assert job.slots is not None, "the order is by slots"
    counts_of, ranks_of, words = ValueSums(), Ranks(), len(job.read_carrier.order_names)
    for batch in batches:
        if not batch.num_rows:
            continue
        values, marks, keys = [flipped(one.to_numpy()) for one in batch.columns[:words]]
        counts = counts_of.of(values, marks)
        rows = np.flatnonzero(marks == MARK_OF_ROWS)
        if not len(rows):
            continue
        values, keys, counts = values.take(rows), keys.take(rows), counts.take(rows)
        ranks = ranks_of.of(values)
        check_ranks(values, ranks, counts)
        places = job.slots.of(values, keys, ranks, counts)
        buckets = job.starts.partition_of(keys, places)
        some = batch if len(rows) == batch.num_rows else batch.take(arrow_numbers(rows))
        yield job.carrier.packed(buckets, [places, keys], some.columns[words:])


class ValueSums:
    """How many rows each value has, by the marks before them."""

    def __init__(self) -> None:
        self._value, self._rows = np.uint64(0), 0  # of the value that came last

    def of(self, values: U64, marks: U64) -> I64:
        """Return what was counted of each row's value up to here: int64, shape (rows,).

        Of a row that is all; of what is no row, but a count, as yet a part.
        """
        starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        counted = np.where(marks == MARK_OF_ROWS, 0, marks).astype(np.int64)
        sums = np.add.reduceat(counted, starts)
        if values[0] == self._value:
            sums[0] += self._rows
        self._value, self._rows = values[-1], int(sums[-1])
        return np.repeat(sums, np.diff(np.concatenate([starts, [len(values)]])))
