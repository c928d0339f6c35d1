"""The sample of an output: the same rows however they come, from all over it."""

import numpy as np
import pyarrow as pa
import pytest

from dbshuf.base.row_batch import RowBatch
from dbshuf.reporting.sample import STRETCH, Lengths, sample_rows

FILES, ROWS = 3, 4000  # of each


def batches(size):
    """Rows of three files, so many at a time; each holds its own number."""
    for file in range(FILES):
        for begin in range(0, ROWS, size):
            numbers = np.arange(begin, min(begin + size, ROWS))
            rows = pa.RecordBatch.from_pydict({"n": pa.array(file * ROWS + numbers)})
            yield RowBatch(rows, (file << 44) + numbers.astype(np.uint64))


def hashes_of(rows):
    return rows.batch.column(0).to_numpy().astype(np.uint64)


@pytest.mark.parametrize("most_rows", [STRETCH, 500, 100_000])
def test_a_sample_does_not_depend_on_how_rows_come(most_rows):
    found = [sample_rows(batches(size), hashes_of, FILES, most_rows) for size in (7, 500, ROWS)]
    sample = found[0].sample
    assert len(sample.hashes) == min(-(-most_rows // STRETCH) * STRETCH, FILES * ROWS)
    assert np.array_equal(sample.hashes, sample.ordinals * ROWS + sample.numbers)
    assert (np.diff(sample.hashes.astype(np.int64)) > 0).all()  # in the order of the output
    for other in found:
        assert np.array_equal(other.sample.hashes, sample.hashes)
        assert other.file_rows.tolist() == [ROWS] * FILES
        assert other.file_bytes.tolist() == [8 * ROWS] * FILES


def test_a_sample_is_of_whole_stretches_from_everywhere():
    """Neighbours stay together, and every tenth of the output has its share."""
    sample = sample_rows(batches(100), hashes_of, FILES, 2400).sample
    stretches, counts = np.unique(sample.hashes // STRETCH, return_counts=True)
    assert set(counts.tolist()) == {STRETCH}
    tenths = np.bincount((stretches * 10 * STRETCH // (FILES * ROWS)).astype(np.int64))
    assert tenths.min() > 15  # of 30; fewer once in 500 choices, and this one is fixed


def test_lengths_are_counted_exactly_at_their_ends():
    lengths = Lengths()
    lengths.add(np.array([0, 1, 5, 100, 100, 3_000_000_000]))
    lengths.add(np.array([], np.int64))
    assert (lengths.rows, lengths.shortest_bytes, lengths.longest_bytes) == (6, 0, 3_000_000_000)
    assert lengths.total_bytes == 3_000_000_206
    assert lengths.counts.sum() == 6
    assert lengths.quantile(0.5) == pytest.approx(5, rel=0.1)
    assert lengths.quantile(1) == 3_000_000_000
