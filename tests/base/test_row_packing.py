"""Rows as bytes and back: the same bits, whatever the types, however an array is cut."""

import numpy as np
import pyarrow as pa
import typed_rows
from hypothesis import given
from hypothesis import strategies as st

from dbshuf.base.row_packing import packed, unpacked


@given(typed_rows.batches(typed_rows.SCHEMA), st.data())
def test_every_value_comes_back(batch, data):
    first = data.draw(st.integers(0, batch.num_rows))
    part = batch.slice(first, data.draw(st.integers(0, batch.num_rows)))
    for rows in (batch, part):
        found = unpacked(packed(rows), rows.schema)
        found.validate(full=True)
        assert found.equals(rows)


@given(typed_rows.batches(typed_rows.SCHEMA), st.randoms())
def test_rows_may_be_put_into_another_order(batch, random):
    """Each is whole by itself."""
    order = list(range(batch.num_rows))
    random.shuffle(order)
    rows = packed(batch).take(pa.array(order, pa.int64()))
    assert unpacked(rows, batch.schema).equals(batch.take(pa.array(order, pa.int64())))


def test_types_that_are_made_of_others_come_back():
    batch = pa.record_batch(
        {
            "long": pa.array(["é", None, ""], pa.large_string()),
            "halves": pa.array([[1.5, None], None, []], pa.large_list(pa.float16())),
            "id": pa.array([b"x" * 16, None, b"y" * 16], pa.uuid()),
            "odd": np.array([0x7FF8000000000001, 1 << 63, 0], np.uint64).view(np.float64),
        }
    )
    found = unpacked(packed(batch), batch.schema)
    assert found.drop_columns("odd").equals(batch.drop_columns("odd"))
    assert found["odd"].to_numpy().tobytes() == batch["odd"].to_numpy().tobytes()


def test_many_rows_come_back():
    batch = typed_rows.many_rows(20_000)
    assert unpacked(packed(batch), batch.schema).equals(batch)
