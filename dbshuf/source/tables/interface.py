"""What every reader of typed rows gives: an input in parts, and a part in batches.

A part is a stretch of consecutive rows that one worker at a time reads front to back:
a row group of a Parquet file, or all of any other input.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from dbshuf.base.bounds import Bounds, BoundsOf, Comparison, may_hold_all
from dbshuf.errors import DbshufError, InputBroken, InputUnreadable
from dbshuf.source.input import Input, check_unchanged, unreadable

_FIRST_ROWS = 64
# A thousand rows and more cost next to nothing to ask for one batch at a time (100 columns
# of doubles from Parquet: 0.77 s in batches of 256 rows, 0.19 of 1024 and of 4096; pyarrow
# 26.0.1, 200,000 rows), and fewer of them are less memory when rows grow all of a sudden.
_MOST_ROWS = 2048
_GROWTH = 8


class BatchSize:
    """How many rows to read next, so that they come to about `piece_bytes`."""

    def __init__(self, piece_bytes: int, *, is_look: bool = False) -> None:
        """Aim at batches of some size; `is_look` if no more than the first few are wanted."""
        self._piece_bytes, self.is_look = piece_bytes, is_look
        self._left_rows = self._left_bytes = 0
        self.rows = _FIRST_ROWS

    def expect(self, rows: int, size: int) -> None:
        """Be told how many rows come in all, and about how many bytes they have in memory."""
        self._left_rows, self._left_bytes = rows, size
        self.rows = max(min(self.rows, self._fitting(0.0)), 1)

    def saw(self, rows: int, size: int) -> None:
        """Learn from what was read: its rows, and their bytes in memory."""
        if rows:
            self._left_rows -= rows
            self._left_bytes -= size
            most = min(_GROWTH * self.rows, _MOST_ROWS)
            self.rows = max(min(self._fitting(size / rows), most), 1)

    def _fitting(self, row_bytes: float) -> int:
        """Return how many rows are a piece, where the last ones had so many bytes."""
        if self._left_rows > 0:  # rows that are short so far, while much is left, will grow
            row_bytes = max(row_bytes, self._left_bytes / self._left_rows)
        return int(self._piece_bytes / max(row_bytes, 1))


RecordBatches = Generator[pa.RecordBatch, None, None]


def _unknown(column: str) -> Bounds | None:
    return None


@dataclass(frozen=True)
class RowRange:
    """Consecutive rows of an input.

    first_row  number of the first one in the input, from 0
    read       opens what it needs when its first batch is asked for, and closes it at the
               end; gives batches in the order of the rows, of about as many as it is told
    rows       how many there are; None where only reading tells
    bounds_of  what is known of the values of a column
    holds      about what reading each column holds (bytes) beside its rows, at most; empty where
               columns are not read apart, or that is nothing
    """

    first_row: int
    read: Callable[[BatchSize], RecordBatches]
    rows: int | None = None
    bounds_of: BoundsOf = _unknown
    holds: Callable[[], Mapping[str, int]] = dict

    def may_be_wanted(self, comparisons: Sequence[Comparison]) -> bool:
        """Whether there can be a row in it that meets all of them."""
        return may_hold_all(comparisons, self.bounds_of)


class TableInput(Protocol):
    """One input that holds typed rows.

    input        where it is
    schema       its columns, with the types that it has
    rows         how many there are; None where only reading tells
    least_bytes  that all values have in memory, as far as the input says; else 0
    is_steady    whether all who read it, as long as it does not change, get its rows in one order
    """

    input: Input
    schema: pa.Schema
    rows: int | None
    least_bytes: int
    is_steady: bool

    def row_ranges(self, names: Sequence[str]) -> Iterator[RowRange]:
        """Yield all parts in order; their batches hold at least the columns `names`."""

    def stop(self) -> None:
        """Wake whoever reads, if that can take long; may be called from any thread."""

    def close(self) -> None:
        """Close what is open for longer than a part."""


def read_error(source: Input, error: Exception, what: str) -> DbshufError:
    """Return what to tell the user when a library fails to read an input.

    what    the input holds, such as "Parquet file"
    """
    if isinstance(error, DbshufError) and not isinstance(error, InputBroken):
        return error
    try:
        check_unchanged(source)
    except DbshufError as change:
        return change
    if isinstance(error, InputBroken):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        return unreadable(source.name, error)
    words = first_line(error)
    if isinstance(error, pa.ArrowNotImplementedError):
        return InputUnreadable(
            f"`{source.name}` holds what pyarrow does not read: {words}",
            hint="write it again without that, if it is not damaged",
        )
    return InputBroken(
        f"`{source.name}` is no sound {what}: {words}",
        hint="it is damaged, cut short, or something else: fetch it or write it again",
    )


def first_line(error: Exception) -> str:
    """Return the first line of a library's message, as part of one's own."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".")[:300]
