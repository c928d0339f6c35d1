"""The rows of a store, by several workers at once.

A worker takes a stretch of ids and reads it with a query of its own, in its own thread.
Lines come as the text that they were, so that a run moves them like those of a file.
"""

import contextlib
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dbshuf.base.begin_anew import MergeTooSmall
from dbshuf.base.block_io import U8, aligned_buffer
from dbshuf.base.key import POSITION_BITS, U64
from dbshuf.base.layout import Layout
from dbshuf.base.line_batch import I32, Arena, LineBatch
from dbshuf.base.row_batch import RowBatch, row_bytes
from dbshuf.base.statements import filled, identifier, ordered_result, statement
from dbshuf.base.window import Window
from dbshuf.base.workers import Stopped
from dbshuf.errors import DbshufError, LineTooLong, MemoryTooSmall, StoreInvalid
from dbshuf.query.relation import place_of
from dbshuf.source.lines.long_lines import LineLimit
from dbshuf.store.opening import engine_named
from dbshuf.store.schema import (
    MADE_ANEW,
    VECTOR_ROWS,
    StoreInfo,
    attached,
    check_complete,
    restored,
)
from dbshuf.units import MIB, human

_STRETCH_BYTES = 8 * MIB  # that one query reads; a query costs a millisecond or two
_STRETCH_VECTORS = 8  # at least, since those at its ends are decoded for two stretches
_PIECE_BYTES = MIB  # that DuckDB hands over at a time
_MOST_PIECE_ROWS = 1 << 16
_ORDERED_BYTES = 2 * MIB  # that the statement which orders hands over at a time
_KEY = "dbshuf key"


class _Reader:
    """The rows of a store in stretches, each read once by one worker."""

    def __init__(self, info: StoreInfo, memory_bytes: int) -> None:
        """Open the store; no more workers read at once than `memory_bytes` allow."""
        self.info = info
        self._seen_rows = self._seen_bytes = 0
        self._lock = threading.Lock()
        self._work = stretches(info)
        readers = max(memory_bytes // info.reader_bytes(), 1)
        self._turns = threading.BoundedSemaphore(readers)
        self._is_stopped = False
        self._stack = contextlib.ExitStack()
        self._engine = engine_named(info.engine)
        reading = self._engine.reading(info, memory_bytes=memory_bytes, readers=readers)
        self._new_rows = self._stack.enter_context(reading)

    @property
    def seen_rows(self) -> int:
        """Rows given out so far."""
        return self._seen_rows

    def check_unchanged(self) -> None:
        """Raise StoreInvalid unless all rows were read that the store says it has."""
        check_complete(self.info, self._seen_rows, self._seen_bytes)

    def stop(self) -> None:
        """Turn away the workers; in any thread."""
        self._is_stopped = True

    def close(self) -> None:
        """Close the store, once no worker reads."""
        self.stop()
        self._stack.close()

    def _pieces(self, *, are_lines: bool) -> Generator[pa.RecordBatch]:
        """Yield id and line, or the columns of a row, for all stretches that this worker takes.

        Raises  Stopped after `stop`; MemoryTooSmall, StoreInvalid
        """
        try:
            with contextlib.closing(self._new_rows()) as rows:
                read = rows.lines if are_lines else rows.rows
                while (stretch := self._take()) is not None:
                    with self._turns:
                        yield from read(*stretch)
        except (Stopped, DbshufError):
            raise
        except Exception as error:
            raise self._engine.told(error, self.info.path) from error

    def _take(self) -> tuple[int, int, int] | None:
        with self._lock:
            if self._is_stopped:
                raise Stopped
            return next(self._work, None)

    def _saw(self, rows: int, size: int) -> None:
        with self._lock:
            self._seen_rows += rows
            self._seen_bytes += size
        if self._is_stopped:
            raise Stopped


def stretches(info: StoreInfo) -> Iterator[tuple[int, int, int]]:
    """Yield (first id, end of ids, rows to hand over at a time), in the order of the ids.

    A position in a text is a byte, so that a stretch of lines is bounded in bytes whatever
    their lengths; of typed rows it is a row, and they are handed over a vector at a time.
    """
    first: int | None = None
    held_bytes, held_rows = 0, 0
    most_rows = _MOST_PIECE_ROWS if info.schema is None else VECTOR_ROWS

    def piece_rows(mean_bytes: float) -> int:
        return int(max(min(_PIECE_BYTES / max(mean_bytes, 1), most_rows), 1))

    for one in info.sources:
        origin, mean_bytes = one.ordinal << POSITION_BITS, one.text_bytes / max(one.rows, 1)
        whole = max(_STRETCH_BYTES, int(_STRETCH_VECTORS * VECTOR_ROWS * mean_bytes))
        if first is not None and held_bytes + one.text_bytes > _STRETCH_BYTES:
            yield first, origin, piece_rows(held_bytes / max(held_rows, 1))
            first = None
        if one.text_bytes > whole:
            begin, size = len(info.header), one.text_bytes
            if info.schema is not None:
                begin, size, whole = 0, one.rows, max(int(whole / mean_bytes), 1)
            for at in range(begin, begin + size, whole):
                yield origin + at, origin + at + whole, piece_rows(mean_bytes)
        elif first is None:
            first, held_bytes, held_rows = origin, one.text_bytes, one.rows
        else:
            held_bytes, held_rows = held_bytes + one.text_bytes, held_rows + one.rows
    if first is not None:
        end = len(info.sources) << POSITION_BITS
        yield first, end, piece_rows(held_bytes / max(held_rows, 1))


class StoreLines(_Reader):
    """All lines of a store, as batches; see `lines.LineSource`, in whose place it stands."""

    def __init__(
        self,
        info: StoreInfo,
        *,
        layout: Layout,
        limit: LineLimit,
        memory_bytes: int,
    ) -> None:
        """Open a store of lines.

        memory_bytes  to read with; `info.reader_bytes()` for each that reads at the same time
        others        as for LineSource
        Raises        InputUnreadable, StoreInvalid
        """
        super().__init__(info, memory_bytes)
        self.text_bytes = info.text_bytes
        self._layout, self._limit = layout, limit
        self._long = threading.Lock()  # held by the one that has a line longer than its arena

    def new_arena(self, buffer: U8 | None = None) -> Arena:
        """Return what one worker needs to read, over its own buffer or a new one."""
        if buffer is None:
            buffer = aligned_buffer(self._layout.buffer_bytes)
        return Arena(buffer, self._layout.piece_rows)

    def batches(self, arena: Arena) -> Iterator[LineBatch]:
        """Yield batches until no worker has any left to take.

        Raises  LineTooLong, MemoryTooSmall, StoreInvalid; Stopped after `stop`
        """
        filling = _Filling(arena)
        for piece in self._pieces(are_lines=True):
            ids, lines = piece.column(0).to_numpy(), piece.column(1)
            ends = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset :][: len(lines) + 1]
            text = np.frombuffer(lines.buffers()[2], np.uint8)
            self._saw(len(ids), int(ends[-1]) - int(ends[0]))
            row = 0
            while row < len(ids):
                taken = filling.take(ids[row:], ends[row:], text)
                row += taken
                if not taken and filling.rows:
                    yield filling.batch()
                    filling.clear()
                elif not taken:
                    with self._long:
                        yield self._long_line(int(ids[row]), text[ends[row] : ends[row + 1]])
                    row += 1
        if filling.rows:
            yield filling.batch()

    def _long_line(self, row: int, line: U8) -> LineBatch:
        if len(line) > self._limit.longest_bytes:
            raise LineTooLong(
                f"{place_of(row, self.info.inputs)}: a line of {human(len(line))}"
                f" ({len(line)} bytes), too long for --memory",
                hint=self._limit.hint(len(line)),
            )
        return LineBatch(line, np.array([0, len(line)], np.int32), ((0, row),))


class _Filling:
    """An arena on its way to be full."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.rows = 0
        self._origins: list[tuple[int, int]] = []
        self._arena.offsets[0] = 0

    def take(self, ids: U64, ends: I32, text: U8) -> int:
        """Copy lines from the front as far as there is room; return how many.

        ids   uint64, shape (rows,)
        ends  int32, shape (rows + 1,): line r is text[ends[r]:ends[r + 1]]
        """
        offsets, begin = self._arena.offsets, int(self._arena.offsets[self.rows])
        room = len(self._arena.buffer) - begin
        fitting = int(np.searchsorted(ends, int(ends[0]) + room, "right")) - 1
        rows = min(fitting, len(ids), len(offsets) - 1 - self.rows)
        if rows <= 0:
            return 0
        size = int(ends[rows]) - int(ends[0])
        self._arena.buffer[begin : begin + size] = text[ends[0] : ends[rows]]
        placed = offsets[self.rows : self.rows + rows + 1]
        np.add(ends[: rows + 1], begin - int(ends[0]), out=placed)
        self._note(ids[:rows] - placed[:-1].astype(np.uint64))
        self.rows += rows
        return rows

    def _note(self, origins: U64) -> None:
        """Note where lines do not go on where the one before them ends."""
        starts = np.flatnonzero(origins[1:] != origins[:-1]) + 1
        if not self._origins or self._origins[-1][1] != int(origins[0]):
            starts = np.concatenate([[0], starts])
        self._origins += [(self.rows + int(at), int(origins[at])) for at in starts]

    def batch(self) -> LineBatch:
        """Return what is there, valid until `clear`."""
        offsets = self._arena.offsets[: self.rows + 1]
        return LineBatch(self._arena.buffer, offsets, tuple(self._origins))


class StoreRows(_Reader):
    """All rows of a store, typed or lines; see `table.TableSource`, in whose place it stands.

    schema   of every batch
    written  the same columns, as an output is to have them; None: as they are
    rows     how many there are
    """

    def __init__(self, info: StoreInfo, *, batch_bytes: int, memory_bytes: int) -> None:
        """Open a store.

        batch_bytes   of rows to yield at a time
        memory_bytes  to read with; `info.reader_bytes()` for each that reads at the same time
        Raises        InputUnreadable, StoreInvalid
        """
        super().__init__(info, memory_bytes)
        self.schema = info.row
        self.written = info.written
        self.rows = info.rows
        self._batch_bytes = batch_bytes
        self._ends_bytes = 1 if info.schema is None else 0  # a terminator is counted, not given

    def batches(self) -> Iterator[RowBatch]:
        """Yield rows until none are left for this worker: about batch_bytes at a time.

        Raises  MemoryTooSmall, StoreInvalid; Stopped after `stop`
        """
        held: list[tuple[U64, pa.RecordBatch]] = []
        held_bytes = 0
        for piece in self._pieces(are_lines=False):
            ids, batch = piece.column(0).to_numpy(), self._restored(piece)
            size = int(row_bytes(batch).sum())
            self._saw(len(ids), size + self._ends_bytes * len(ids))
            if held and held_bytes + size > self._batch_bytes:
                yield from self._cut(held)
                held, held_bytes = [], 0
            held.append((ids, batch))
            held_bytes += size
        if held:
            yield from self._cut(held)

    def _restored(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        pairs = zip(piece.columns[1:], self.schema.types, strict=True)
        return pa.RecordBatch.from_arrays([restored(*pair) for pair in pairs], schema=self.schema)

    def _cut(self, held: list[tuple[U64, pa.RecordBatch]]) -> Iterator[RowBatch]:
        """Yield what is held, at most batch_bytes but at least one row at a time."""
        ids = np.concatenate([ids for ids, _ in held])
        batch = pa.concat_batches([batch for _, batch in held])
        yield from RowBatch(batch, ids).cut(self._batch_bytes)


def ordered_store(
    info: StoreInfo, words: tuple[int, int], folder: Path, *, memory_bytes: int, threads: int
) -> Generator[Window]:
    """Yield all rows of a store in the order of a seed: one statement, which spills.

    words         of the seed
    folder        where DuckDB spills
    memory_bytes  DuckDB's limit, for as many threads
    Raises        MergeTooSmall, StoreInvalid, TempSpaceShort, InputUnreadable
    """
    text, values = _ordered_text(info, words)
    mean_bytes = max(info.text_bytes / max(info.rows, 1), 1)
    piece_rows = int(max(min(_ORDERED_BYTES / mean_bytes, _MOST_PIECE_ROWS), 1))
    rows = size = 0
    try:
        with attached(
            info.path, memory_bytes=memory_bytes, threads=threads, folder=folder
        ) as connection:
            connection.execute(statement("duckdb", "store_unordered"))
            found = connection.sql(text, params=values)
            with contextlib.closing(found.to_arrow_reader(piece_rows)) as reader:
                for batch in filter(len, reader):
                    window = _window(batch, info)
                    rows, size = rows + window.rows, size + window.text_bytes
                    yield window
    except MemoryTooSmall as error:
        raise MergeTooSmall(
            f"DuckDB cannot order the rows of `{info.path}` within its {human(memory_bytes)}",
            hint="use --strategy partition, or a larger --memory",
        ) from error
    check_complete(info, rows, size)


def _ordered_text(info: StoreInfo, words: tuple[int, int]) -> tuple[str, dict[str, Any]]:
    """Return the statement that orders a store, and its parameters."""
    row_id, names = identifier(info.id_column), info.row.names
    columns = ", ".join([row_id, *map(identifier, names)])
    ends = {"first": 0, "end": len(info.sources) << POSITION_BITS}
    rows = filled("duckdb", "store_rows", columns=columns, id=row_id).text
    ordered = ordered_result(rows, names, row_id, words, _KEY).text
    if info.schema is not None:
        return ordered, ends
    end = info.terminator if info.is_binary else info.terminator.decode("ascii")
    ended = filled("duckdb", "store_ended", rows=ordered, key=identifier(_KEY)).text
    return ended, {**ends, "terminator": end}


def _window(batch: pa.RecordBatch, info: StoreInfo) -> Window:
    """Return ordered rows, and raise StoreInvalid if one of them has no id."""
    if batch.column(0).null_count:
        raise StoreInvalid(
            f"`{info.path}`: a row of `lines` has no {info.id_column}", hint=MADE_ANEW
        )
    keys = batch.column(0).to_numpy()
    if info.schema is not None:
        pairs = zip(batch.columns[1:], info.schema.types, strict=True)
        arrays = [restored(*pair) for pair in pairs]
        rows = pa.RecordBatch.from_arrays(arrays, schema=info.schema)
        return Window.of_rows(rows, keys)
    text = batch.column(1)
    lines = pa.Array.from_buffers(pa.binary(), len(text), text.buffers(), offset=text.offset)
    return Window.of_lines(lines, keys)
