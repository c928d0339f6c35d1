"""A feed without the rows that an earlier run has given out: those up to a key."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dbshuf.base.block_io import U8
from dbshuf.base.key import mix_ids
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch, arrow_numbers
from dbshuf.base.scan import Scan, ThroughScan
from dbshuf.errors import RunDiffers


@dataclass(frozen=True)
class Given:
    """Rows that were given out: all whose key is at most `key`, and how many these are."""

    key: int
    rows: int


class RestScan(ThroughScan):
    """Drops the rows that were given out as they are read, before anything is kept of them."""

    def __init__(self, feed: Scan, given: Given, words: tuple[int, int]) -> None:
        """Drop of the rows of `feed`; words are those of the seed, see `key.seed_words`."""
        super().__init__(feed)  # not in pieces, since one lacks rows here
        self._given, self._words = given, words
        self._dropped_rows = 0
        self._lock = threading.Lock()

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        last = np.uint64(self._given.key)
        for batch in self._feed.batches(buffer):
            keys = batch.ids() if isinstance(batch, LineBatch) else batch.ids.copy()
            mix_ids(keys, self._words)
            is_left = keys > last
            del keys
            if isinstance(batch, RowBatch):
                left, before = np.flatnonzero(is_left), len(batch.ids)
                rest = batch.batch.take(arrow_numbers(left))
                batch = RowBatch(rest, batch.ids.take(left))  # noqa: PLW2901
            else:
                before = batch.rows if batch.kept is None else len(batch.kept)
                left = np.flatnonzero(is_left) if batch.kept is None else batch.kept
                left = left if batch.kept is None else left[is_left[left]]
                batch = replace(batch, kept=left)  # noqa: PLW2901
            del is_left
            with self._lock:
                self._dropped_rows += before - len(left)
            yield batch
            del batch

    def check(self) -> None:
        """As the feed's. Raises RunDiffers unless as many rows were dropped as were given out."""
        super().check()
        if self._dropped_rows != self._given.rows:
            raise RunDiffers(
                f"the state says that {self._given.rows:,} rows of these inputs were given out,"
                f" but {self._dropped_rows:,} come before its place in the order",
                hint="the inputs have changed since: begin anew, without the state",
            )
