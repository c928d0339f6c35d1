"""Row n of several files at once: lines that belong together, read in lockstep.

Which row a line is, is known only when all lines before it were read: so each side is read front
to back, ahead of those who ask, and one worker at a time takes the next rows of all sides. What
it makes of them runs beside the others.

    sides -> chunks of lines -> pieces: the rows that all head chunks have -> a batch of columns
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import ALIGN, round_up
from dbshuf.base.layout import MOST_LONG_BYTES, Layout
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.workers import Stopped
from dbshuf.errors import LineTooLong, PairsUnequal
from dbshuf.source.input import Input, check_all_unchanged
from dbshuf.source.lines.long_lines import LineLimit, LongArena
from dbshuf.source.lines.sides import Chunk, Side, chunk_bytes
from dbshuf.source.lines.stream import told_length
from dbshuf.units import KIB, human

_MOST_ROW_BYTES = MOST_LONG_BYTES - 128 * KIB  # as a line of its own may have
_ID_BYTES, _OFFSET_BYTES = 8, 4

Slice = tuple[Chunk, int, int]  # lines [first, last) of a chunk


@dataclass(frozen=True)
class Sides:
    """Files whose rows belong together: row n of all of them goes to one place.

    names    of the sides, as the user has them; the first decides the order
    counts   how many inputs each has; those of a run are the first's, the second's, ...
    headers  the lines at the head of each that stay there
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    headers: tuple[bytes, ...]

    def of(self, inputs: Sequence[Input]) -> list[Sequence[Input]]:
        ends = [0, *accumulate(self.counts)]
        return [inputs[first:last] for first, last in pairwise(ends)]

    @property
    def schema(self) -> pa.Schema:
        """A column for each side: its lines, terminators included."""
        names = ["line", *(f"paired_{number}" for number in range(1, len(self.counts)))]
        return pa.schema([(name, pa.binary()) for name in names])


class PairedSource:
    """All rows of all sides; `batches` runs in several threads at once."""

    def __init__(
        self,
        inputs: Sequence[Input],
        sides: Sides,
        *,
        terminator: bytes,
        layout: Layout,
        limit: LineLimit,
    ) -> None:
        """Prepare to read.

        layout  of the run: bytes and rows of a batch
        limit   of a row, all its lines with their terminators
        """
        self.schema = sides.schema
        self._inputs, self._names, self._terminator = inputs, sides.names, terminator
        size = chunk_bytes(len(sides.counts))
        self._sides = [
            Side(one, len(header), terminator, size)
            for one, header in zip(sides.of(inputs), sides.headers, strict=True)
        ]
        self._room, self._room_rows = layout.buffer_bytes, layout.piece_rows
        self._limit = limit
        self._long = LongArena(round_up(limit.longest_bytes) + ALIGN, 0)
        self._lock = threading.Lock()  # of who takes the next rows
        self._is_stopped = False

    @property
    def text_bytes(self) -> int:
        """Bytes that all rows together have, once all were read."""
        return sum(side.text_bytes for side in self._sides)

    @property
    def rows(self) -> dict[int, int]:
        """Ordinal of an input -> how many of its rows were given out."""
        return {ordinal: rows for side in self._sides for ordinal, rows in side.rows.items()}

    def batches(self) -> Iterator[RowBatch]:
        """Yield rows until none are left: a binary column a side, ids of the first side's lines.

        Raises  PairsUnequal, LineTooLong, InputUnreadable, InputBroken, InputChanged,
                InputBeyondBounds; Stopped after `stop`
        """
        while True:
            with contextlib.ExitStack() as held:
                with self._lock:
                    if self._is_stopped:
                        raise Stopped
                    pieces = self._gather(held)
                if not pieces:
                    return
                batch = self._batch(pieces)
                del pieces
                yield batch
                del batch

    def check_unchanged(self) -> None:
        """Raise InputChanged if a file is no longer what it was when it was listed."""
        check_all_unchanged(self._inputs)

    def stop(self) -> None:
        """End `batches` in every thread."""
        self._is_stopped = True
        for side in self._sides:
            side.stop()
        self._long.stop()

    def close(self) -> None:
        """Stop, and close what is open."""
        self.stop()
        for side in self._sides:
            side.close()
        for source in self._inputs:
            if source.pipe is not None:
                source.pipe.raw.close()

    def _gather(self, held: contextlib.ExitStack) -> list[list[Slice]]:
        """Return the next rows: pieces, each the slices of all sides; empty at the end.

        held  is given the memory of a long row, which is a batch of its own
        """
        pieces: list[list[Slice]] = []
        size = rows = 0
        while size < self._room and rows < self._room_rows:
            for side in self._sides:
                side.look()
            if any(side.is_ended for side in self._sides):
                if not all(side.is_ended for side in self._sides):
                    raise self._unequal()
                break
            if any(side.is_long for side in self._sides):
                if not pieces:
                    self._read_long(held)
                    pieces.append([side.take(1) for side in self._sides])
                break
            count, taken = self._fitting(self._room - size, self._room_rows - rows)
            if pieces and not count:
                break
            pieces.append([side.take(max(count, 1)) for side in self._sides])
            size += taken
            rows += count
        return pieces

    def _fitting(self, room: int, most_rows: int) -> tuple[int, int]:
        """Return how many rows of the head chunks fit into `room`, and their bytes; 0: not one."""
        count = min(most_rows, *(side.left for side in self._sides))
        ends = [side.head.offsets[side.row : side.row + count + 1] for side in self._sides]
        beside = _ID_BYTES + _OFFSET_BYTES * len(ends)
        size = sum(int(one[-1]) - int(one[0]) for one in ends) + count * beside
        if size <= room:
            return count, size
        sums = np.arange(count + 1, dtype=np.int64) * beside
        for one in ends:
            sums += one - one[0]
        count = int(np.searchsorted(sums, room, "right")) - 1
        return count, int(sums[count]) if count else room

    def _read_long(self, held: contextlib.ExitStack) -> None:
        """Read the lines of the next row that are longer than chunks. Raises LineTooLong."""
        arena = held.enter_context(self._long.taken())
        known = [side for side in self._sides if not side.is_long]
        used = sum(int(np.diff(side.head.offsets[side.row :][:2])[0]) for side in known)
        begin = 0
        for side in self._sides:
            if side.is_long:
                room = arena.buffer[begin : max(self._limit.longest_bytes - used, 0) + begin]
                length = side.read_long(room)
                if not length:
                    raise self._too_long(side, used)
                begin += length
                used += length

    def _batch(self, pieces: list[list[Slice]]) -> RowBatch:
        """Return pieces as one batch; what lies in several chunks is copied."""
        columns = []
        for number in range(len(self._sides)):
            slices = [piece[number] for piece in pieces]
            arrays = [chunk.lines.slice(first, last - first) for chunk, first, last in slices]
            columns.append(arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays))
        ids = [chunk.ids(first, last) for chunk, first, last in (piece[0] for piece in pieces)]
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        return RowBatch(batch, ids[0] if len(ids) == 1 else np.concatenate(ids))

    def _unequal(self) -> PairsUnequal:
        """The error for sides of which one ends before the others."""
        counts = [side.count() for side in self._sides]
        other = next(number for number, count in enumerate(counts) if count != counts[0])
        return PairsUnequal(
            f"`{self._names[0]}` has {counts[0]:,} row{'s' * (counts[0] != 1)}, and"
            f" `{self._names[other]}` has {counts[other]:,}; nothing was published",
            hint="row n of each belongs to row n of the others: find out where one is missing",
        )

    def _too_long(self, side: Side, beside: int) -> LineTooLong:
        """The error for a line that does not fit beside the other lines of its row."""
        source, position, length = side.refuse()
        line = f"`{source.name}`: the line at byte {position} has {told_length(length)}"
        row = f", and its row {human(length + beside)}" if beside else ""
        if length + beside > _MOST_ROW_BYTES:
            return LineTooLong(
                f"{line}{row}, but all lines of a row may have at most 1 GiB whatever --memory is",
                hint="check that lines end with line feeds, or with NUL where -z is given",
            )
        return LineTooLong(
            f"{line}{row}, too long for --memory",
            hint=self._limit.hint(length + beside, "row"),
        )
