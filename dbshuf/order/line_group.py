"""Lines of several pieces that are stored as one run, since a read of few rows is a read too."""

import numpy as np

from dbshuf.base.layout import WINDOW_BYTES
from dbshuf.order.arranged_lines import ArrangedLines, JoinedLines
from dbshuf.order.ranges import Partition
from dbshuf.order.run_format import LineCargo
from dbshuf.order.runs import RunWriter


class LineGroup:
    """What one worker has partitioned and not yet stored."""

    def __init__(self, partition: Partition, writer: RunWriter, limit_bytes: int) -> None:
        """Gather up to `limit_bytes`, as stored; of 0 every piece is a run."""
        self._partition, self._writer, self._limit = partition, writer, limit_bytes
        self._pieces: list[ArrangedLines] = []
        self._rows = self._sizes = np.zeros(partition.count, np.int64)

    def add(self, cargo: LineCargo) -> None:
        """Take lines, and store those before them if there is no room for both."""
        rows, sizes = self._partition.arrange(cargo)
        size = int(sizes.sum())
        if int(self._sizes.sum()) + size > self._limit:
            self.store()
        if size > min(self._limit, WINDOW_BYTES):
            self._partition.store(cargo, rows, sizes, self._writer)
            return
        self._pieces.append(cargo.gathered())
        self._rows, self._sizes = self._rows + rows, self._sizes + sizes

    def store(self) -> None:
        """Store what there is as one run."""
        if self._pieces:
            run = JoinedLines(self._pieces)
            self._partition.store(run, self._rows, self._sizes, self._writer)
            self._pieces.clear()
            self._rows = self._sizes = np.zeros(self._partition.count, np.int64)
