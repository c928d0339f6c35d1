"""Rows of one value far apart: each row a slot of its own, of as many as its value has rows.

Of a value with n rows the one of rank k by its key stands at (k + offset + jitter / 2) / n of the
whole order, which begins anew where it ends. The offset is of the value, the jitter of the row,
both are uniform in [0, 1). So two rows of a value that follow each other are between a half and
one and a half times 1/n apart, a row is as likely at one place as at any other, and which row of
a value has which slot is as random as its keys are.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from dbshuf.base.key import U64, mix_ids, seed_words
from dbshuf.base.row_batch import I64
from dbshuf.base.window import Window
from dbshuf.errors import CheckFailed

COUNTS = pa.schema([("rows", pa.int64())])
_WHOLE = np.uint64((1 << 64) - 1)


class Slots:
    """The place of every row in the whole order, as a number below 2^64."""

    def __init__(self, seed: str) -> None:
        self._offsets, self._jitters = seed_words(f"offset:{seed}"), seed_words(f"jitter:{seed}")

    def of(self, values: U64, keys: U64, ranks: I64, counts: I64) -> U64:
        """Return the places of rows (uint64, shape (rows,)), all arguments of that shape.

        values  a hash of each row's value
        ranks   of the rows of its value this is the one, from 0, by the key
        counts  rows of its value
        """
        offsets, jitters, rows = values.copy(), keys.copy(), counts.astype(np.uint64)
        mix_ids(offsets, self._offsets)
        mix_ids(jitters, self._jitters)
        places: U64 = _WHOLE // rows
        places *= ranks.astype(np.uint64)
        places += offsets // rows
        places += jitters // (rows * np.uint64(2))
        return places


class ValueCounts:
    """How many rows each value has, out of records of parts of them, told as values ascend."""

    def __init__(self, records: Iterator[Window]) -> None:
        """records  keys are values, ascending, some several times; column 0 is rows (int64)"""
        self._records = records
        self._values, self._rows = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._is_read = False

    def of(self, values: U64) -> I64:
        """Return the rows of each value; what ascends, also from one call to the next."""
        self._read_beyond(values[-1])
        first = int(np.searchsorted(self._values, values[0]))
        self._values, self._rows = self._values[first:], self._rows[first:]
        places = np.searchsorted(self._values, values)
        if not len(self._values) or not np.array_equal(self._values.take(places), values):
            raise CheckFailed("a row has a value that was not counted")
        return self._rows.take(places)

    def _read_beyond(self, value: np.uint64) -> None:
        """Read records until all of a value must have come."""
        values, rows = [self._values], [self._rows]
        while not self._is_read and not (len(values[-1]) and values[-1][-1] > value):
            window = next(self._records, None)
            self._is_read = window is None
            if window is not None and window.rows:
                values.append(window.keys)
                rows.append(window.batch.column(0).to_numpy())
        if len(values) > 1:
            every, counts = np.concatenate(values), np.concatenate(rows)
            firsts = np.flatnonzero(np.concatenate([[True], every[1:] != every[:-1]]))
            self._values, self._rows = every.take(firsts), np.add.reduceat(counts, firsts)


class Ranks:
    """The rank of every row among those of its value, where they come one value after the other."""

    def __init__(self) -> None:
        self._value, self._rows = np.uint64(0), 0  # of the value that came last

    def of(self, values: U64) -> I64:
        """Return the rank of each row (int64, shape (rows,)), from 0; values come in runs."""
        starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        lengths = np.diff(np.concatenate([starts, [len(values)]]))
        ranks = np.arange(len(values)) - np.repeat(starts, lengths)
        if values[0] == self._value:
            ranks[: lengths[0]] += self._rows
        self._value, self._rows = values[-1], int(ranks[-1]) + 1
        return ranks


def check_ranks(values: U64, ranks: I64, counts: I64) -> None:
    """Raise CheckFailed where a value ends, or does not, before all rows that were counted."""
    is_last = values[1:] != values[:-1]
    if int((ranks - counts).max()) >= 0 or np.any((ranks + 1 != counts)[:-1][is_last]):
        raise CheckFailed("a value has other rows than were counted")
