"""Where rows of an output stood in the inputs: found by what is in them, in one pass.

A row of which the inputs hold several has no one place and is left out; so is one that the
output holds twice though the inputs hold it once. Neither has to do with where a row stands, so
what is left of a uniform permutation is one still.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dbshuf.base.key import U64
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import I64, RowBatch
from dbshuf.reporting.sample import HashesOf, RowCounter, Sample

_FILTER_BITS = 22  # 100,000 hashes let 1 row of 42 through, which is then looked for


@dataclass(frozen=True)
class Moved:
    """Rows of the sample whose place in the inputs is known, in the order of the output.

    inputs    int64, shape (rows,): the place of each among all rows of the inputs, from 0
    outputs   int64, shape (rows,): the same among all rows of the output
    sources   int64, shape (rows,): the input that it came from
    source_rows  int64, shape (inputs,): rows of each input
    output_rows  of the whole output
    sampled   rows of the sample
    repeated  those of them that the inputs or the output hold several times
    unknown   those that no input holds
    """

    inputs: I64
    outputs: I64
    sources: I64
    source_rows: I64
    output_rows: int
    sampled: int
    repeated: int
    unknown: int

    @property
    def rows(self) -> int:
        return len(self.inputs)

    @property
    def input_rows(self) -> int:
        return int(self.source_rows.sum())

    @cached_property
    def are_neighbours(self) -> npt.NDArray[np.bool_]:
        """Whether a row's next one here is its next one in the output: bool, shape (rows - 1,)."""
        found: npt.NDArray[np.bool_] = np.diff(self.outputs) == 1
        return found

    @cached_property
    def ranks(self) -> I64:
        """The order of these rows in the inputs: a permutation of 0 to rows - 1."""
        ranks = np.empty(self.rows, np.int64)
        ranks[np.argsort(self.inputs)] = np.arange(self.rows)
        return ranks


def find_origins(
    sample: Sample,
    output_rows: I64,
    batches: Iterable[LineBatch | RowBatch],
    hashes_of: HashesOf,
    inputs: int,
) -> Moved:
    """Read all rows of the inputs and find those of a sample among them.

    output_rows  int64, shape (files,): of each file of the output
    batches      of each input in its order
    hashes_of    some rows -> a number for what is in each of them, as for the sample
    inputs       how many there are
    """
    wanted, times = np.unique(sample.hashes, return_counts=True)
    hits = np.zeros(len(wanted), np.int64)
    sources, numbers = np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.int64)
    counter, filter_ = RowCounter(inputs), _Filter(wanted)
    for batch, batch_ordinals, batch_numbers in counter.numbered(batches):
        hashes = hashes_of(batch)
        rows = filter_.candidates(hashes)
        places = np.minimum(np.searchsorted(wanted, hashes[rows]), len(wanted) - 1)
        is_found = wanted[places] == hashes[rows]
        rows, places = rows[is_found], places[is_found]
        np.add.at(hits, places, 1)
        sources[places], numbers[places] = batch_ordinals[rows], batch_numbers[rows]
    of_row = np.searchsorted(wanted, sample.hashes)
    is_known = (hits == 1) & (times == 1)
    kept = np.flatnonzero(is_known[of_row])
    origin = of_row[kept]
    unknown = int((hits[of_row] == 0).sum())
    return Moved(
        inputs=_starts(counter.rows)[sources[origin]] + numbers[origin],
        outputs=_starts(output_rows)[sample.ordinals[kept]] + sample.numbers[kept],
        sources=sources[origin],
        source_rows=counter.rows,
        output_rows=int(output_rows.sum()),
        sampled=len(sample.hashes),
        repeated=len(sample.hashes) - len(kept) - unknown,
        unknown=unknown,
    )


def _starts(rows: I64) -> I64:
    """Return how many rows come before each input."""
    starts: I64 = np.cumsum(rows) - rows
    return starts


class _Filter:
    """Tells quickly of most rows that they are not wanted."""

    def __init__(self, wanted: U64) -> None:
        self._shift = np.uint64(64 - _FILTER_BITS)
        self._may_be = np.zeros(1 << _FILTER_BITS, np.bool_)
        self._may_be[wanted >> self._shift] = True

    def candidates(self, hashes: U64) -> I64:
        """Return which of the hashes may be wanted ones: int64, ascending."""
        if not len(hashes):
            return np.empty(0, np.int64)
        return np.flatnonzero(self._may_be[hashes >> self._shift])
