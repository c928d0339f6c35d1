"""Rows that are spread get their slots, wherever the batches end in which Spark gives them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dbshuf.base.key import row_keys
from dbshuf.errors import CheckFailed
from dbshuf.order.spread import Slots
from dbshuf.pipeline.spark.job import BY_PREFIX, BY_VALUE, MARK_OF_ROWS, Carrier, flipped
from dbshuf.pipeline.spark.ranges import Starts
from dbshuf.pipeline.spark.slot_task import slotted

ROWS = 3000
KEYS = row_keys(np.arange(ROWS, dtype=np.uint64), "7")
VALUES = row_keys((np.arange(ROWS) ** 2 % 97 * (np.arange(ROWS) % 4 > 0)).astype(np.uint64), "v")
JOB: Any = SimpleNamespace(
    slots=Slots("7"),
    starts=Starts.even(5, 1 << 64, of_prefixes=True),
    carrier=Carrier(None, BY_PREFIX),
    read_carrier=Carrier(None, BY_VALUE),
)


def sorted_rows(pieces: int) -> pa.RecordBatch:
    """Rows, and counts of pieces of them, in the order that Spark gives them."""
    nothing, carrier = np.zeros(ROWS, np.uint64), JOB.read_carrier
    lines = pa.array([b"%d\n" % number for number in range(ROWS)], pa.binary())
    made = [carrier.pack(nothing, KEYS, VALUES, [lines])]
    for piece in np.array_split(VALUES, pieces):
        values, counts = np.unique(piece, return_counts=True)
        made.append(carrier.pack_counts(np.zeros_like(values), values, counts.astype(np.uint64)))
    table = pa.Table.from_batches(made).drop_columns("bucket")
    return (
        table.sort_by([(name, "ascending") for name in BY_VALUE]).combine_chunks().to_batches()[0]
    )


def by_definition() -> dict[int, int]:
    """Return the slot of every row by its number."""
    found = {}
    for value in np.unique(VALUES):
        rows = np.flatnonzero(value == VALUES)
        rows = rows[np.argsort(KEYS[rows])]
        counts = np.full(len(rows), len(rows))
        places = JOB.slots.of(VALUES[rows], KEYS[rows], np.arange(len(rows)), counts)
        found |= dict(zip(rows.tolist(), places.tolist(), strict=True))
    return found


@pytest.mark.parametrize("pieces", [1, 40])
@pytest.mark.parametrize("size", [1, 7, 5000])
def test_every_row_has_its_slot_wherever_batches_end(pieces: int, size: int) -> None:
    """In the middle of a value, of its counts, or between them."""
    whole = sorted_rows(pieces)
    batches = [whole.slice(at, size) for at in range(0, whole.num_rows, size)]
    found = pa.Table.from_batches(list(slotted(JOB, iter(batches))))
    places = flipped(found["prefix"].to_numpy())
    numbers = [int(line) for line in found["c0"].to_pylist()]
    assert dict(zip(numbers, places.tolist(), strict=True)) == by_definition()
    assert np.array_equal(flipped(found["key"].to_numpy()), KEYS[numbers])
    assert found["bucket"].to_pylist() == JOB.starts.partition_of(KEYS, places).tolist()


def test_a_value_of_other_rows_than_were_counted_is_told() -> None:
    """One that no split has counted."""
    whole = sorted_rows(1)
    is_count = flipped(whole["mark"].to_numpy()) != MARK_OF_ROWS
    without = whole.filter(pa.array(np.arange(len(is_count)) != np.flatnonzero(is_count)[3]))
    with pytest.raises(CheckFailed):
        list(slotted(JOB, iter([without])))
