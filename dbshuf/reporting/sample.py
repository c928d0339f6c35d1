"""What is kept of an output that was read: some of its rows, and how long all of them are.

The sample is stretches of STRETCH rows that stand together, since what a bad shuffle keeps
together is seen only between neighbours. A stretch is in the sample if its key, as `base/key.py`
has it for the seed SAMPLE_SEED, is among the smallest: that depends on the place of the rows
alone, so the sample is the same in every run and says nothing of what is in the rows.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from dbshuf.base.key import POSITION_BITS, U64, row_keys
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import I64, RowBatch, arrow_numbers
from dbshuf.pipeline.verify.forms import ids_of_rows

STRETCH = 8  # rows: 7 of 8 have their next row in the sample too
SAMPLE_SEED = "dbshuf-report"

# Lengths are counted in bins that grow by an eighth of a doubling: 9 %.
_BINS_A_DOUBLING = 8
_LENGTH_BINS = 64 * _BINS_A_DOUBLING

HashesOf = Callable[[LineBatch | RowBatch], U64]


@dataclass
class Lengths:
    """How long rows are: a histogram of bounded size over any number of them.

    counts  rows by the logarithm of their bytes, see `edges`
    """

    counts: I64 = field(default_factory=lambda: np.zeros(_LENGTH_BINS, np.int64))
    rows: int = 0
    total_bytes: int = 0
    shortest_bytes: int = 1 << 62
    longest_bytes: int = 0

    def add(self, sizes: I64) -> None:
        """Count rows of these sizes (bytes, shape (rows,))."""
        if not len(sizes):
            return
        places = (np.log2(sizes + 1.0) * _BINS_A_DOUBLING).astype(np.int64)
        self.counts += np.bincount(places, minlength=_LENGTH_BINS)
        self.rows += len(sizes)
        self.total_bytes += int(sizes.sum())
        self.shortest_bytes = min(self.shortest_bytes, int(sizes.min()))
        self.longest_bytes = max(self.longest_bytes, int(sizes.max()))

    @staticmethod
    def edges() -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """Return the bytes at which bins begin and end: float64, shape (bins + 1,)."""
        return np.exp2(np.arange(_LENGTH_BINS + 1) / _BINS_A_DOUBLING) - 1.0

    def quantile(self, share: float) -> float:
        """Return the bytes that this share of the rows does not exceed, within a bin."""
        place = int(np.searchsorted(np.cumsum(self.counts), share * self.rows))
        return min(float(self.edges()[place + 1]), float(self.longest_bytes))


@dataclass(frozen=True)
class Sample:
    """Rows of an output, in its order.

    ordinals  int64, shape (rows,): the file that each row is in
    numbers   int64, shape (rows,): its number in the file, from 0
    hashes    uint64, shape (rows,): what is in it
    """

    ordinals: I64
    numbers: I64
    hashes: U64


@dataclass(frozen=True)
class WrittenRows:
    """What was read of an output.

    file_rows, file_bytes  int64, shape (files,)
    """

    sample: Sample
    lengths: Lengths
    file_rows: I64
    file_bytes: I64


def sample_rows(
    batches: Iterable[LineBatch | RowBatch], hashes_of: HashesOf, files: int, most_rows: int
) -> WrittenRows:
    """Read all rows of an output; keep about `most_rows` of them, at least a stretch.

    batches    of each file in its order
    hashes_of  some rows -> a number for what is in each of them
    files      how many there are
    """
    lengths, file_bytes = Lengths(), np.zeros(files, np.int64)
    counter, chosen = RowCounter(files), _Smallest(max(most_rows, STRETCH))
    for batch, ordinals, numbers in counter.numbered(batches):
        sizes = sizes_of(batch)
        lengths.add(sizes)
        file_bytes += np.bincount(ordinals, sizes, files).astype(np.int64)
        stretches = (ordinals << POSITION_BITS) + numbers // STRETCH
        keys = row_keys(stretches.astype(np.uint64), SAMPLE_SEED)
        taken = np.flatnonzero(keys <= chosen.limit)
        if len(taken):
            hashes = hashes_of(_some(batch, taken))
            chosen.add(keys[taken], ordinals[taken], numbers[taken], hashes)
    return WrittenRows(chosen.sample(), lengths, counter.rows, file_bytes)


class RowCounter:
    """Numbers the rows of each input as they come: those that SQL drops have no number.

    rows  int64, shape (inputs,): how many there were so far
    """

    def __init__(self, inputs: int) -> None:
        self.rows = np.zeros(inputs, np.int64)

    def numbered(
        self, batches: Iterable[LineBatch | RowBatch]
    ) -> Iterator[tuple[LineBatch | RowBatch, I64, I64]]:
        """Yield batches with their rows' inputs and numbers: int64, shape (rows,)."""
        for batch in batches:
            ids = ids_of_rows(batch)
            if not len(ids):
                continue
            ordinals = (ids >> np.uint64(POSITION_BITS)).astype(np.int64)
            numbers = np.empty(len(ids), np.int64)
            for begin, end in _stretches_of(ordinals):
                before = int(self.rows[ordinals[begin]])
                numbers[begin:end] = np.arange(before, before + end - begin)
                self.rows[ordinals[begin]] += end - begin
            yield batch, ordinals, numbers


def sizes_of(batch: LineBatch | RowBatch) -> I64:
    """Return the bytes of every row that is kept: of a line with its terminator."""
    if isinstance(batch, RowBatch):
        return batch.sizes
    sizes = np.diff(batch.offsets).astype(np.int64)
    return sizes if batch.kept is None else sizes[batch.kept]


def _some(batch: LineBatch | RowBatch, rows: I64) -> LineBatch | RowBatch:
    if isinstance(batch, RowBatch):
        return RowBatch(batch.batch.take(arrow_numbers(rows)), batch.ids[rows])
    kept = rows if batch.kept is None else batch.kept[rows]
    return LineBatch(batch.buffer, batch.offsets, batch.origins, kept)


def _stretches_of(ordinals: I64) -> Iterator[tuple[int, int]]:
    """Yield where rows of one input begin and end."""
    begin = 0
    for end in [*(np.flatnonzero(np.diff(ordinals)) + 1).tolist(), len(ordinals)]:
        yield begin, end
        begin = end


class _Smallest:
    """The rows with the smallest keys, about `most_rows`, of all that were added.

    limit  a row with a larger key is none of them
    """

    def __init__(self, most_rows: int) -> None:
        self.limit = np.uint64(2**64 - 1)
        self._most_rows, self._rows = most_rows, 0
        self._parts: list[tuple[U64, I64, I64, U64]] = []

    def add(self, keys: U64, ordinals: I64, numbers: I64, hashes: U64) -> None:
        self._parts.append((keys, ordinals, numbers, hashes))
        self._rows += len(keys)
        if self._rows > 2 * self._most_rows:
            self._drop()

    def _drop(self) -> None:
        """Keep the smallest; rows of one stretch have one key, and stay together."""
        keys, ordinals, numbers, hashes = self._joined()
        if len(keys) > self._most_rows:
            self.limit = np.partition(keys, self._most_rows - 1)[self._most_rows - 1]
            kept = keys <= self.limit
            keys, ordinals, numbers, hashes = (
                keys[kept],
                ordinals[kept],
                numbers[kept],
                hashes[kept],
            )
        self._parts, self._rows = [(keys, ordinals, numbers, hashes)], len(keys)

    def _joined(self) -> tuple[U64, I64, I64, U64]:
        if not self._parts:
            nothing = np.empty(0, np.int64)
            return np.empty(0, np.uint64), nothing, nothing, np.empty(0, np.uint64)
        keys, ordinals, numbers, hashes = (
            np.concatenate(part) for part in zip(*self._parts, strict=True)
        )
        return keys, ordinals, numbers, hashes

    def sample(self) -> Sample:
        """Return the rows in the order of the output."""
        self._drop()
        _, ordinals, numbers, hashes = self._joined()
        order = np.lexsort((numbers, ordinals))
        return Sample(ordinals[order], numbers[order], hashes[order])
