"""The column of --number in an output: no part of its rows, and looked at by itself.

Places count up from the first one. Where each is there as often as there are epochs, and those of
a part go down no more often than a next epoch begins, they stand as they were written.
"""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.key import POSITION_BITS, U64, mix
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import I64, RowBatch
from dbshuf.base.row_hash import Hashes, Lines, lines_of
from dbshuf.errors import VerifyFailed
from dbshuf.options import Options
from dbshuf.pipeline.verify.forms import Hashed, Rows, ids_of_rows

AsLines = Callable[[Any], Iterator[Lines]]  # rows -> the lines that they are in text

_DIGITS = 18  # of a place; more would not fit in 64 bits, and there are no such places
_NONE = -1  # of a row that has no place
_PLACE_TEXT = rf"^(0|[1-9][0-9]{{0,{_DIGITS - 1}}})$"
_SALT = np.uint64(0x9E3779B97F4A7C15)  # the mix of 0 is 0, which a sum would not show
_SUMMED_ROWS = 1 << 16


@dataclass(frozen=True)
class _Run:
    """Rows of a file that were looked at together: the first of their ids, and their places.

    descents  rows whose place is not above that of the row before: id, place, place before
    gap       the first row whose place is not the next one, likewise; None: there is none
    """

    id: int
    first: int
    last: int
    descents: tuple[tuple[int, int, int], ...]
    gap: tuple[int, int, int] | None


class Places:
    """What --number wrote; `look` in any thread.

    name    of the column
    first   the place of the first row
    epochs  how often each place is there
    """

    def __init__(self, options: Options) -> None:
        assert options.number is not None
        self.name, self._first = options.number, options.skip
        self._epochs = options.epochs or 1
        self._head = f",{json.dumps(self.name, ensure_ascii=False)}:".encode("utf-8", "replace")
        self._runs: list[_Run] = []
        self._rows, self._sum = 0, 0
        self._lock = threading.Lock()

    def schema_without(self, schema: pa.Schema) -> pa.Schema:
        """Return the columns before that of places. Raises VerifyFailed if it is not the last."""
        last = schema.field(len(schema) - 1) if len(schema) else None
        if last is None or last.name != self.name:
            raise VerifyFailed(
                f"the last column of the outputs is not `{self.name}`, as --number says",
                hint="pass the --number of the shuffle",
            )
        if not (pa.types.is_integer(last.type) or pa.types.is_string(last.type)):
            raise VerifyFailed(
                f"`{self.name}` is {last.type} in the outputs, and places are int64",
                hint="pass the --number of the shuffle",
            )
        return schema.remove(len(schema) - 1)

    def unseen_by(self, hash_: Hashed) -> Hashed:
        """Return what hashes typed rows of the outputs without their places."""

        def hashed(batch: Rows) -> tuple[Hashes, U64]:
            assert isinstance(batch, RowBatch)
            names = batch.batch.schema.names[:-1]
            return hash_(RowBatch(batch.batch.select(names), batch.ids))

        return hashed

    def lines_without(self, batch: Rows) -> Iterator[Lines]:
        """Return JSON lines of the outputs up to their places, as `before_end` has the inputs."""
        assert isinstance(batch, LineBatch)
        lines = lines_of(batch)
        _, lengths = places_in(lines, self._head)
        yield Lines(lines.data, lines.begins, lengths)

    def look(self, batch: Rows) -> I64:
        """Keep what is to be known of the places of some rows; return them, shape (rows,)."""
        if isinstance(batch, LineBatch):
            places, _ = places_in(lines_of(batch), self._head)
        else:
            places = _places_of(batch.batch.column(batch.batch.num_columns - 1))
        ids = ids_of_rows(batch)
        if not len(ids):
            return places
        files = np.flatnonzero(np.diff(ids >> np.uint64(POSITION_BITS))) + 1  # that begin in them
        pairs = zip(np.split(ids, files), np.split(places, files), strict=True)
        runs, added = [_run(*pair) for pair in pairs], _sum(places)
        with self._lock:
            self._runs += runs
            self._rows += len(ids)
            self._sum = (self._sum + added) % 2**64
        return places

    def wrong(self, outputs: Any) -> str:
        """Return "same", or what is wrong first, for people.

        outputs  the `Side` that was looked at
        """
        split_of = [part[:1] for part in outputs.parts.of_files] if outputs.parts else []
        by_split: dict[Any, list[_Run]] = {}
        for run in sorted(self._runs, key=lambda one: one.id):
            split = split_of[run.id >> POSITION_BITS] if split_of else ()
            by_split.setdefault(split, []).append(run)
        is_strict = self._epochs == 1 and len(by_split) < 2
        for runs in by_split.values():
            bad = self._gap(runs) if is_strict else self._descent(runs)
            if bad is not None:
                row, place, before = bad
                is_none = "no place" if place < 0 else f"{place:,}"
                after = f", and should be {before + 1:,}" if is_strict else f", after {before:,}"
                return f"`{self.name}` of {outputs.place(row)} is {is_none}{after}"
        count = self._rows // self._epochs
        if self._rows == count * self._epochs and self._sum == self._expected(count):
            return "same"
        times = "once" if self._epochs == 1 else f"{self._epochs:,} times"
        return (
            f"`{self.name}` does not have each of {self._first:,} to"
            f" {self._first + count - 1:,} {times}"
        )

    def _gap(self, runs: list[_Run]) -> tuple[int, int, int] | None:
        before = self._first - 1
        for run in runs:
            if run.first != before + 1:
                return run.id, run.first, before
            if run.gap is not None:
                return run.gap
            before = run.last
        return None

    def _descent(self, runs: list[_Run]) -> tuple[int, int, int] | None:
        """Return the first row whose place goes down more often than epochs begin."""
        found: list[tuple[int, int, int]] = []
        before = _NONE
        for run in runs:
            if run.first <= before or run.first < 0:
                found.append((run.id, run.first, before))
            found += run.descents
            before = run.last
        return found[self._epochs - 1] if len(found) >= self._epochs else None

    def _expected(self, count: int) -> int:
        found = 0
        for at in range(0, count, _SUMMED_ROWS):
            first = self._first + at
            found += _sum(np.arange(first, first + min(_SUMMED_ROWS, count - at)))
        return found * self._epochs % 2**64


class PlacedRows:
    """Whether the rows of two sides have the same places, in whatever order each is seen.

    first  the place of the first row of an order
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self._sum = 0  # of the rows of one side, less those of the other
        self._lock = threading.Lock()

    def add(self, hashes: Hashes, places: I64, sign: int) -> None:
        """Add rows of the one side (1), or of the other (-1); in any thread."""
        placed = mix(hashes.high ^ mix(places.astype(np.uint64) + _SALT))
        with self._lock:
            self._sum = (self._sum + sign * int(np.add.reduce(placed))) % 2**64

    @property
    def are_same(self) -> bool:
        return self._sum == 0


def before_end(encode: AsLines) -> AsLines:
    """Return what makes JSON objects without the brace that ends each: places stand before it."""

    def cut(batch: Rows) -> Iterator[Lines]:
        for lines in encode(batch):
            yield Lines(lines.data, lines.begins, lines.lengths - 1)

    return cut


def places_in(lines: Lines, head: bytes) -> tuple[I64, I64]:
    """Return the places at the end of JSON objects, and the lengths (bytes) of what is before.

    head     what is in front of each place: its name
    Returns  int64, shape (rows,), twice; -1 and the whole length where there is no place
    """
    data, begins, lengths = lines
    places, digits = np.zeros(len(begins), np.int64), np.zeros(len(begins), np.int64)
    if not len(begins):
        return places, lengths
    last = begins + lengths - 2  # the last digit
    is_one = (last > begins) & (data[np.maximum(last + 1, 0)] == ord("}"))
    is_digit = is_one.copy()
    for power in range(_DIGITS):
        digit = data[np.maximum(last - power, 0)].astype(np.int64) - ord("0")
        is_digit &= (last - power > begins) & (digit >= 0) & (digit <= 9)
        if not is_digit.any():
            break
        places += np.where(is_digit, digit * 10**power, 0)
        digits += is_digit
    begin = last - digits - len(head) + 1
    is_one &= (digits > 0) & (begin >= begins)
    is_one &= (digits == 1) | (data[np.maximum(last - digits + 1, 0)] != ord("0"))
    for at, byte in enumerate(head):
        is_one &= data[np.clip(begin + at, 0, len(data) - 1)] == byte
    return np.where(is_one, places, _NONE), np.where(is_one, begin - begins, lengths)


def _places_of(column: pa.Array) -> I64:
    """Return the values of a column as places, -1 for what is none, shape (rows,)."""
    if pa.types.is_string(column.type):
        is_one = pc.match_substring_regex(column, _PLACE_TEXT)
        column = pc.if_else(is_one, column, str(_NONE))
    places = pc.fill_null(column.cast(pa.int64(), safe=False), _NONE)
    found: I64 = np.maximum(places.to_numpy(zero_copy_only=False), _NONE)
    return found


def _run(ids: U64, places: I64) -> _Run:
    """Return what is to be known of rows, one behind the other."""
    steps = np.diff(places)
    down, gaps = np.flatnonzero(steps <= 0) + 1, np.flatnonzero(steps != 1) + 1

    def row(at: int) -> tuple[int, int, int]:
        return int(ids[at]), int(places[at]), int(places[at - 1])

    return _Run(
        int(ids[0]),
        int(places[0]),
        int(places[-1]),
        tuple(row(at) for at in down.tolist()),
        row(int(gaps[0])) if len(gaps) else None,
    )


def _sum(places: Any) -> int:
    """Return the sum of the mixed places, modulo 2^64."""
    return int(np.add.reduce(mix(places.astype(np.uint64) + _SALT)))
