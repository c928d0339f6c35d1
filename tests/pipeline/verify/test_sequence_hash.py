"""A hash of a sequence: of the same rows in another order it is another one."""

import numpy as np

from dbshuf.base.key import POSITION_BITS
from dbshuf.base.row_hash import Hashes
from dbshuf.pipeline.verify.sequence_hash import FileSequences, SequenceHash

DRAW = np.random.default_rng(1)
ROWS = 30_000  # more than are summed at a time


def some_hashes(rows=ROWS):
    high, low = DRAW.integers(0, 2**64, (2, rows), np.uint64)
    return Hashes(high, low)


def test_it_is_the_polynomial_in_the_hashes_whatever_the_cuts():
    hashes = some_hashes()
    whole = SequenceHash.of(hashes)
    total = 0
    for one in hashes.high.tolist():
        total = (total * 0x9E3779B97F4A7C1B + one) % 2**64
    assert (whole.rows, whole.high) == (ROWS, total)
    for cut in (0, 1, 8191, 8192, 8193, 20_000, ROWS):
        begin, end = hashes.take(slice(cut)), hashes.take(slice(cut, None))
        assert SequenceHash.of(begin).then(SequenceHash.of(end)) == whole


def test_rows_that_changed_places_make_another_one_in_both_words():
    hashes = some_hashes()
    whole = SequenceHash.of(hashes)
    for apart in (1, 2, 3, 64, 1 << 13, 1 << 14):
        order = np.arange(ROWS)
        order[[100, 100 + apart]] = 100 + apart, 100
        other = SequenceHash.of(hashes.take(order))
        assert other.high != whole.high
        assert other.low != whole.low


def test_rows_whose_hash_is_nothing_count():
    none = Hashes(*np.zeros((2, 5), np.uint64))
    assert SequenceHash.of(none) != SequenceHash()


def test_pieces_of_files_are_joined_in_their_order_whenever_they_were_read():
    hashes = some_hashes(600)
    files = np.repeat(np.arange(3, dtype=np.uint64) << np.uint64(POSITION_BITS), 200)
    ids = files + np.tile(np.arange(200, dtype=np.uint64), 3)
    found = FileSequences()
    # a piece that begins in the middle, one of the end of a file and two more, one of the rest
    for rows in (slice(50, 120), np.r_[120:200, 400:600], slice(0, 50), slice(200, 400)):
        found.add(hashes.take(rows), ids[rows])
    assert found.joined([]) == {0: SequenceHash.of(hashes)}
    assert found.joined([7, 8, 7]) == {
        7: SequenceHash.of(hashes.take(np.r_[0:200, 400:600])),
        8: SequenceHash.of(hashes.take(slice(200, 400))),
    }
