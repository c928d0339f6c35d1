"""Inputs to batches of lines, by several workers at once.

A plain file is cut into pieces and a piece owns the lines that start in it, so
pieces are read in any order, by any worker. A compressed file or a pipe is read
front to back: one worker at a time fills its buffer from it and hands it on.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dbshuf.blockio import ALIGN, U8, BlockReader, aligned_buffer, round_up
from dbshuf.errors import InputChanged, LineTooLong
from dbshuf.layout import Layout
from dbshuf.source.batch import Arena, Batch, origin_of
from dbshuf.source.inputs import Input, open_raw, unreadable
from dbshuf.source.stream import NoLineEnd, Stream
from dbshuf.units import KIB, MIB, human

_TAIL_BYTES = 256 * KIB  # read past a piece's end for its last line; longer ones are read on
_SMALL_FILE_BYTES = MIB  # whole files up to this size share a batch


@dataclass(frozen=True)
class Piece:
    """The lines of a plain file that start in [start, end).

    is_first  whether a line starts at `start`, which a look at the byte before would not tell
    is_small  whether this is all of a small file, which shares a batch with others
    """

    input: Input
    start: int
    end: int
    is_first: bool
    is_small: bool = False


class LineSource:
    """All lines of all inputs, as batches; `batches` runs in several threads at once."""

    def __init__(
        self,
        inputs: Sequence[Input],
        *,
        terminator: bytes,
        header_bytes: int,
        layout: Layout,
        longest_bytes: int,
        cap_for_line: Callable[[int], int],
    ) -> None:
        self._terminator = terminator
        self._layout = layout
        self._room = layout.buffer_bytes // ALIGN * ALIGN - 2 * ALIGN
        self._long_room = max(round_up(longest_bytes), self._room)
        self._long_lock = threading.Lock()  # one long line at a time is in the memory split
        self._cap_for_line = cap_for_line
        self._changed = threading.Condition()  # guards the two queues and the count below
        self._plain_bytes = sum(
            max((i.size_bytes or 0) - header_bytes, 0) for i in inputs if i.is_plain_file
        )
        self._unterminated: set[int] = set()  # ordinals of files whose last line was ended here
        self._streams = [Stream(i, header_bytes) for i in inputs if not i.is_plain_file]
        self._idle = deque(self._streams)  # those begun first, so that few are open at once
        self._busy = 0
        self._plain = [i for i in inputs if i.is_plain_file]
        whole = (self._room - _TAIL_BYTES) // MIB * MIB
        self._piece_bytes = whole if whole > 0 else self._room // 2 // ALIGN * ALIGN
        self._work = deque(_cut(self._plain, header_bytes, self._piece_bytes))

    def new_arena(self, buffer: U8 | None = None) -> Arena:
        """Return what one worker needs to read, over its own buffer or a new one."""
        if buffer is None:
            buffer = aligned_buffer(self._layout.buffer_bytes)
        return Arena(buffer, self._layout.piece_rows)

    def batches(self, arena: Arena) -> Iterator[Batch]:
        """Yield batches until no worker has any left to take.

        Raises  LineTooLong, InputUnreadable, InputBroken, InputChanged, InputBeyondBounds
        """
        while True:
            with self._changed:
                while not self._idle and not self._work and self._busy:
                    self._changed.wait()  # for a stream that another worker reads from
                stream = self._take_stream()
                pieces = self._work.popleft() if stream is None and self._work else None
            if stream is not None:
                yield from self._stream_batches(stream, arena)
            elif pieces is not None:
                yield from self._piece_batches(pieces, arena)
            else:
                return

    @property
    def text_bytes(self) -> int:
        """Bytes that all batches together must have had, counted without looking at lines."""
        streamed = sum(stream.text_bytes for stream in self._streams)
        return self._plain_bytes + len(self._unterminated) + streamed

    def check_unchanged(self) -> None:
        """Raise InputChanged if a plain file is no longer what it was when it was listed."""
        for source in self._plain:
            with open_raw(source.name) as file:
                _check_unchanged(source, file.fileno(), is_whole=True)

    def close(self) -> None:
        """Close what is open."""
        for stream in self._streams:
            stream.close()

    def _take_stream(self) -> Stream | None:
        """Return a stream that is this worker's until `_give_back`, or None; in the lock."""
        if not self._idle:
            return None
        self._busy += 1
        return self._idle.popleft()

    def _give_back(self, stream: Stream) -> None:
        if stream.is_done:
            stream.close()
        with self._changed:
            self._busy -= 1
            if not stream.is_done:
                self._idle.appendleft(stream)
            self._changed.notify_all()

    def _stream_batches(self, stream: Stream | None, arena: Arena) -> Iterator[Batch]:
        """One buffer of lines from one stream, or from several that end within it."""
        end = 0
        regions: list[tuple[int, int]] = []
        while stream is not None:
            try:
                begin, filled = end, stream.fill(arena, end, [self._room], self._terminator)
                end = filled.end
            except NoLineEnd:
                yield from self._long_stream_line(stream)
            else:
                if end > begin:
                    origin = origin_of(stream.input.ordinal, filled.position, begin)
                    regions.append((begin, origin))
            finally:
                self._give_back(stream)
            goes_on = stream.is_done and end < self._room // 2
            with self._changed:
                stream = self._take_stream() if goes_on else None
        yield from self._split(arena, regions, end)

    def _long_stream_line(self, stream: Stream) -> Iterator[Batch]:
        """Lines of a stream whose first one is longer than the arena."""
        with self._long_lock:
            larger = Arena(aligned_buffer(self._long_room + 2 * ALIGN), self._layout.piece_rows)
            try:
                filled = stream.fill(larger, 0, self._long_sizes(), self._terminator)
            except NoLineEnd:
                length = stream.length_to_end(self._terminator)
                raise self._too_long(stream.input, stream.position, length) from None
            region = [(0, origin_of(stream.input.ordinal, filled.position, 0))]
            yield from self._split(larger, region, filled.end)

    def _long_sizes(self) -> list[int]:
        """Sizes in which to look for the end of a long line: doubling up to the most."""
        sizes = [2 * self._room]
        while sizes[-1] < self._long_room:
            sizes.append(2 * sizes[-1])
        return [min(size, self._long_room + ALIGN) for size in sizes]

    def _split(self, arena: Arena, regions: list[tuple[int, int]], end: int) -> Iterator[Batch]:
        """Cut buffer[first region:end] into batches of as many rows as the arena holds."""
        begin = regions[0][0] if regions else end
        while begin < end:
            offsets, stop = arena.split(begin, end, self._terminator[0])
            inside = [(max(at, begin), origin) for at, origin in regions if at < stop]
            origins = tuple(
                (int(np.searchsorted(offsets, at)), origin)
                for at, origin in _last_per_place(inside)
            )
            yield Batch(arena.buffer, offsets, origins)
            begin = stop

    def _piece_batches(self, pieces: Sequence[Piece], arena: Arena) -> Iterator[Batch]:
        if not pieces[0].is_small:
            yield from self._long_piece(pieces[0], arena)
            return
        end, regions = 0, []
        for piece in pieces:
            begin, end = end, self._read_small(piece, arena, end)
            regions.append((begin, origin_of(piece.input.ordinal, piece.start, begin)))
        yield from self._split(arena, regions, end)

    def _read_small(self, piece: Piece, arena: Arena, begin: int) -> int:
        """Read a small file behind buffer[:begin]; return where its lines end."""
        size = piece.end - piece.start
        with open_raw(piece.input.name) as file:
            try:
                file.seek(piece.start)
                count = os.readv(file.fileno(), [arena.buffer.data[begin : begin + size]])
            except OSError as error:
                raise unreadable(piece.input.name, error) from error
            _check_unchanged(piece.input, file.fileno(), is_whole=count == size)
        end = begin + size
        if arena.buffer[end - 1] != self._terminator[0]:
            arena.buffer[end] = self._terminator[0]
            end += 1
            self._unterminated.add(piece.input.ordinal)
        return end

    def _long_piece(self, piece: Piece, arena: Arena) -> Iterator[Batch]:
        """The lines that start in one piece of a large file."""
        try:
            reader = BlockReader(piece.input.name)
        except OSError as error:
            raise unreadable(piece.input.name, error) from error
        try:
            _check_unchanged(piece.input, reader.fileno(), is_whole=True)
            position = piece.start if piece.is_first else self._line_start(reader, piece, arena)
            while position < piece.end:
                try:
                    begin, end = self._read_lines(reader, piece, position, arena)
                except NoLineEnd:
                    with self._long_lock:
                        size = self._long_room + 2 * ALIGN
                        larger = Arena(aligned_buffer(size), self._layout.piece_rows)
                        begin, end = self._read_long_line(reader, piece, position, larger)
                        region = [(begin, origin_of(piece.input.ordinal, position, begin))]
                        yield from self._split(larger, region, end)
                else:
                    region = [(begin, origin_of(piece.input.ordinal, position, begin))]
                    yield from self._split(arena, region, end)
                position += end - begin
            _check_unchanged(piece.input, reader.fileno(), is_whole=True)
        except OSError as error:
            raise unreadable(piece.input.name, error) from error
        finally:
            reader.close()

    def _line_start(self, reader: BlockReader, piece: Piece, arena: Arena) -> int:
        """Return where the first line starts that starts in the piece (or past its end)."""
        at = piece.start - 1
        while at < piece.end:
            base = at // ALIGN * ALIGN
            count = reader.readinto(arena.buffer[: 64 * KIB], base)
            place = arena.first_terminator(at - base, count, self._terminator)
            if place >= 0:
                return base + place + 1
            if count == 0:
                break
            at = base + count
        return piece.end

    def _read_lines(
        self, reader: BlockReader, piece: Piece, position: int, arena: Arena
    ) -> tuple[int, int]:
        """Read complete lines from `position` on, up to the line that crosses the piece's end.

        Returns  begin and end of the lines in the buffer
        Raises   NoLineEnd if the first one is longer than the arena
        """
        base = position // ALIGN * ALIGN
        begin = position - base
        for wanted in (min(round_up(piece.end - base + _TAIL_BYTES), self._room), self._room):
            end = self._fill(reader, arena, base, wanted, piece.input.ordinal)
            place = arena.first_terminator(max(piece.end - 1 - base, begin), end, self._terminator)
            if place < 0:
                place = arena.last_terminator(begin, end, self._terminator)
            if place >= 0:
                return begin, place + 1
        raise NoLineEnd

    def _read_long_line(
        self, reader: BlockReader, piece: Piece, position: int, arena: Arena
    ) -> tuple[int, int]:
        """Read the one line at `position` into an arena made for it; as `_read_lines`."""
        base = position // ALIGN * ALIGN
        begin = position - base
        for wanted in self._long_sizes():
            end = self._fill(reader, arena, base, wanted // ALIGN * ALIGN, piece.input.ordinal)
            place = arena.first_terminator(begin, end, self._terminator)
            if place >= 0:
                return begin, place + 1
        raise self._too_long(piece.input, position, self._measure(reader, position))

    def _fill(self, reader: BlockReader, arena: Arena, base: int, wanted: int, ordinal: int) -> int:
        """Read up to `wanted` bytes; the file's last line gets a terminator if it has none."""
        left = reader.size_bytes - base
        count = min(reader.readinto(arena.buffer[:wanted], base), left)
        if count < min(wanted, left):
            raise InputChanged(f"`{reader.name}` became shorter while it was read")
        if count == left and arena.buffer[count - 1] != self._terminator[0]:
            arena.buffer[count] = self._terminator[0]
            count += 1
            self._unterminated.add(ordinal)
        return count

    def _measure(self, reader: BlockReader, position: int) -> int:
        """Return the length of the line at `position`, its terminator included."""
        window = np.empty(MIB, np.uint8)
        at = position
        while count := reader.read_cached(window, at):
            place = window[:count].tobytes().find(self._terminator)
            if place >= 0:
                return at + place + 1 - position
            at += count
        return at + 1 - position

    def _too_long(self, source: Input, position: int, length: int) -> LineTooLong:
        return LineTooLong(
            f"`{source.name}`: the line at byte {position} has {human(length)} ({length} bytes),"
            " too long for --memory",
            hint=f"this line needs --memory {-(-self._cap_for_line(length) // MIB)}MiB",
        )


def _last_per_place(regions: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of regions that begin at one place, the last: the ones before it hold no rows."""
    return list(dict(regions).items())


def _cut(
    inputs: Sequence[Input], header_bytes: int, piece_bytes: int
) -> Iterator[tuple[Piece, ...]]:
    """Yield the units of work: a piece of a large file, or several small files."""
    group: list[Piece] = []
    grouped_bytes = 0
    for source in inputs:
        size = source.size_bytes or 0
        if size <= header_bytes:
            continue
        if size <= min(_SMALL_FILE_BYTES, piece_bytes // 2):
            if grouped_bytes + size + 1 > piece_bytes:
                yield tuple(group)
                group, grouped_bytes = [], 0
            group.append(Piece(source, header_bytes, size, is_first=True, is_small=True))
            grouped_bytes += size + 1
            continue
        for start in range(0, size, piece_bytes):
            end = min(start + piece_bytes, size)
            if end > header_bytes:
                first = max(start, header_bytes)
                yield (Piece(source, first, end, start <= header_bytes),)
    if group:
        yield tuple(group)


def _check_unchanged(source: Input, fd: int, *, is_whole: bool) -> None:
    """Raise InputChanged if a file is no longer what it was when it was listed."""
    status = os.fstat(fd)
    if not is_whole or (status.st_size, status.st_mtime_ns) != (
        source.size_bytes,
        source.changed_ns,
    ):
        raise InputChanged(
            f"`{source.name}` changed while it was read",
            hint="shuffle a copy that no one writes to",
        )
