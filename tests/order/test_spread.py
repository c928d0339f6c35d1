"""What goes from the first order of --spread to the second."""

import numpy as np
import pyarrow as pa

from dbshuf.base.key import UNMIXED
from dbshuf.base.window import Window
from dbshuf.order.spread import COUNTS, Slots, ValueCounts, _SlottedScan


class FirstOrder:
    """Windows of one value, of so many rows of 8 bytes each."""

    def __init__(self, counts):
        self.ends = np.cumsum([0, *counts])

    def windows(self):
        for first, last in zip(self.ends[:-1], self.ends[1:], strict=True):
            batch = pa.record_batch({"n": pa.array(np.arange(first, last))})
            yield Window.of_rows(
                batch, np.arange(first, last, dtype=np.uint64), np.full(last - first, 7, np.uint64)
            )


def test_small_windows_are_stored_together_as_far_as_the_buffer_has_room():
    """Each run is cut into a slice for every bucket: of short runs a read gets a few rows."""
    counts = [10, 20, 30, 100, 5, 45, 50, 1]
    record = pa.record_batch([pa.array([sum(counts)])], schema=COUNTS)
    records = Window.of_rows(record, np.array([7], np.uint64))
    scan = _SlottedScan(FirstOrder(counts), Slots("1"), UNMIXED, ValueCounts(iter([records])))
    batches = list(scan.batches(np.empty(800, np.uint8)))
    assert [len(batch.ids) for batch in batches] == [60, 100, 100, 1]
    assert np.concatenate([batch.ids for batch in batches]).tolist() == list(range(sum(counts)))
    assert all(len(batch.prefixes) == len(batch.batch) == len(batch.ids) for batch in batches)
