"""Draws are the same however few are held at a time, and every row is as likely as any other."""

import math

import numpy as np
import pytest

from dbshuf.base.key import seed_words
from dbshuf.base.layout import probe_layout
from dbshuf.base.line_batch import LineBatch
from dbshuf.order.partition import PartitionOrder
from dbshuf.order.runs import Store
from dbshuf.pipeline import drawn
from dbshuf.pipeline.drawn import DrawnOrder, Draws

WORDS = seed_words("3")


class Feed:
    """A hundred lines."""

    most_workers = 1

    def batches(self, buffer):
        lines = [b"%d\n" % n for n in range(100)]
        offsets = np.cumsum([0, *map(len, lines)]).astype(np.int32)
        yield LineBatch(np.frombuffer(b"".join(lines), np.uint8), offsets, ((0, 0),))

    def check(self):
        """Nothing is read."""

    stop = close = leave_out = check


@pytest.mark.parametrize("rows", [1, 2, 3, 40, 1_000_003, 2**63 + 5])
def test_ranks_are_below_the_rows_and_uniform(rows):
    """Chi-square of forty equal parts, where there are as many rows."""
    ranks = Draws("1", 200_000, rows).ranks(np.arange(200_000, dtype=np.uint64))
    assert int(ranks.max()) < rows
    parts = min(rows, 40)
    counts = np.bincount([int(rank) * parts // rows for rank in ranks[:20_000].tolist()])
    assert len(counts) == parts
    expected = 20_000 / parts
    chi = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi - (parts - 1)) < 3.5 * math.sqrt(2 * parts)


def test_groups_of_draws_of_any_size_give_one_output(monkeypatch, tmp_path):
    """Memory decides how many draws are held, and not which rows are drawn."""
    outputs = []
    for held, block in ((1 << 20, 1 << 18), (50, 64), (2_000, 999)):
        monkeypatch.setattr(drawn, "_HELD_DRAWS", held)
        monkeypatch.setattr(drawn, "_BLOCK_DRAWS", block)
        monkeypatch.setattr("dbshuf.order.run_format.WINDOW_ROWS", max(held // 100, 3))
        stores = [Store(1 << 24, tmp_path / name) for name in ("first", "second")]
        orders = [PartitionOrder(probe_layout(), WORDS, store) for store in stores]
        order = DrawnOrder(*orders, "3", 5_000)
        order.fill(Feed())
        outputs.append([line for one in order.windows() for line in one.lines.to_pylist()])
        order.close()
    assert len(outputs[0]) == 5_000
    assert outputs[0] == outputs[1] == outputs[2]
