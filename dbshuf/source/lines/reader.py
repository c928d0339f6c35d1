"""Inputs to batches of lines, by several workers at once.

A plain file is cut into ranges and a range owns the lines that start in it, so
ranges are read in any order, by any worker. A compressed file or a pipe is read
front to back: one worker at a time fills its buffer from it and hands it on.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dbshuf.base.block_io import ALIGN, U8, aligned_buffer, round_up
from dbshuf.base.key import POSITION_BITS
from dbshuf.base.layout import MOST_LONG_BYTES, Layout
from dbshuf.base.line_batch import Arena, LineBatch, origin_of
from dbshuf.base.spans import Spans
from dbshuf.base.workers import Stopped
from dbshuf.errors import LineTooLong
from dbshuf.source.input import Input, check_all_unchanged
from dbshuf.source.lines.file_ranges import (
    TAIL_BYTES,
    Fetched,
    FileRange,
    Part,
    cut,
    hash_whole,
    opened_range,
    read_whole,
)
from dbshuf.source.lines.long_lines import LineLimit, LongArena
from dbshuf.source.lines.stream import Stream, told_length
from dbshuf.units import KIB, MIB

_MOST_LINE_BYTES = MOST_LONG_BYTES - 128 * KIB  # what `layout.longest_line` grants at most
_CARRY_BYTES = MIB  # copied of a line that is half read; one a worker, within the slack


@dataclass
class Pause:
    """How a run gets on where a line of a pipe is too long for it: all workers leave, and one goes
    on, which has more room.

    longest_bytes  of a line that fits then
    spare_bytes    then; see Layout
    source         whose workers have left; None: no line was too long
    """

    longest_bytes: int
    spare_bytes: int
    source: "LineSource | None" = None


class LineSource:
    """All lines of all inputs, as batches; `batches` runs in several threads at once."""

    def __init__(
        self,
        inputs: Sequence[Input],
        *,
        terminator: bytes,
        header_bytes: int,
        layout: Layout,
        limit: LineLimit,
        part: Part | None = None,
        pause: Pause | None = None,
    ) -> None:
        """Prepare to read; memory is in use already, so nothing is made for each input.

        inputs         all of the run, in their order
        header_bytes   left out at the front of each
        part           of the one input, which is a plain file; None: all of all
        pause          taken rather than LineTooLong, where it gives more room
        """
        self._inputs = inputs
        self._terminator = terminator
        self._layout = layout
        self._room = layout.buffer_bytes // ALIGN * ALIGN - 2 * ALIGN
        self._long_room = max(round_up(limit.longest_bytes), self._room)
        self._long = LongArena(self._long_room + 2 * ALIGN, layout.piece_rows)
        self._limit = limit
        self._plain_bytes = sum(
            max((i.size_bytes or 0) - header_bytes, 0) for i in inputs if i.is_plain_file
        )
        self._unterminated: set[int] = set()  # files whose last line was ended here
        self._changed = threading.Condition()  # guards what follows
        carry_bytes = min(_CARRY_BYTES, self._room // 4)
        self._unopened = (
            Stream(i, header_bytes, carry_bytes) for i in inputs if not i.is_plain_file
        )
        self._open: set[Stream] = set()
        self._idle: deque[Stream] = deque()  # of the open ones, those that no worker reads
        self._streamed_bytes = 0  # text of the streams that are done
        range_bytes = _range_bytes(self._room)
        self._work = cut((i for i in inputs if i.is_plain_file), header_bytes, range_bytes, part)
        self._is_stopped = False
        self._pause = pause
        self._waiting: Stream | None = None  # whose line is in the arena for long ones, for `go_on`
        self._known: Spans | None = None
        self._sizes = header_bytes, range_bytes, carry_bytes
        self.ended: dict[int, int] = {}  # of streams: the id of the first line, and behind the last

    def leave_out(self, known: Spans) -> None:
        """Give out no line that is in `known`, and read what can be left out not at all.

        A stream is read again from its beginning as far as it is not known to its end. To be
        called before `batches`; `text_bytes` counts those lines nevertheless.
        """
        header_bytes, range_bytes, carry_bytes = self._sizes
        self._known = known
        plain = [one for one in self._inputs if one.is_plain_file]
        self._unterminated = {
            one.ordinal for one in plain if known.end_in(one.ordinal) > (one.size_bytes or 0)
        }
        self._work = cut(plain, header_bytes, range_bytes, None, known)
        streams = []
        for one in self._inputs:
            if one.is_plain_file:
                continue
            first = (one.ordinal << POSITION_BITS) + header_bytes
            begin = known.end_of(first)
            if known.ended.get(first) == begin:
                self._streamed_bytes += begin - first
            else:
                streams.append((one, header_bytes, begin - first))
        self._unopened = (
            Stream(one, skipped + size, carry_bytes, known_bytes=size)
            for one, skipped, size in streams
        )

    def new_arena(self, buffer: U8 | None = None) -> Arena:
        """Return what one worker needs to read, over its own buffer or a new one."""
        if buffer is None:
            buffer = aligned_buffer(self._layout.buffer_bytes)
        return Arena(buffer, self._layout.piece_rows)

    def batches(self, arena: Arena) -> Iterator[LineBatch]:
        """Yield batches until no worker has any left to take.

        Raises  LineTooLong, InputUnreadable, InputBroken, InputChanged, InputBeyondBounds;
                Stopped after `stop`
        """
        while (work := self._take()) is not None:
            if isinstance(work, Stream):
                yield from self._fresh(self._stream_batches(work, arena))
            else:
                yield from self._file_batches(work, arena)

    def _fresh(self, batches: Iterator[LineBatch]) -> Iterator[LineBatch]:
        """Yield what is not known of the lines of streams."""
        for batch in batches:
            if self._known is None:
                yield batch
            else:
                for first, last in self._known.rest_of(batch.ids()):
                    yield batch.slice(first, last)

    def stop(self) -> None:
        """End `batches` in every thread: now if it waits for another, else after its batch.

        A thread that waits for a silent pipe stays until something comes.
        """
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._long.stop()

    @property
    def text_bytes(self) -> int:
        """Bytes that all batches together must have had, counted without looking at lines."""
        with self._changed:
            streamed = self._streamed_bytes + sum(stream.text_bytes for stream in self._open)
        return self._plain_bytes + len(self._unterminated) + streamed

    @property
    def ended_files(self) -> int:
        """Plain files whose last line had no terminator and was given one."""
        return len(self._unterminated)

    def check_unchanged(self) -> None:
        """Raise InputChanged if a file is no longer what it was when it was listed."""
        check_all_unchanged(self._inputs)

    def close(self) -> None:
        """Stop, and close what is open."""
        self.stop()
        with self._changed:
            streams = list(self._open)
        for stream in streams:
            stream.close()
        for source in self._inputs:
            if source.pipe is not None:
                source.pipe.raw.close()

    def _take(self) -> Stream | tuple[FileRange, ...] | None:
        """Return a worker's next work, None when there is none and none can come."""
        with self._changed:
            while True:
                if self._is_stopped:
                    raise Stopped
                if self._waiting is not None:
                    return None
                work = self._take_stream() or next(self._work, None)
                if work is not None or not self._open:
                    return work
                self._changed.wait()  # for a stream that another worker reads from

    def _take_stream(self) -> Stream | None:
        """Return a stream that is this worker's until `_give_back`, or None; in the lock.

        Those begun come first, so that no more are open than there are workers.
        """
        if self._waiting is not None:
            return None
        stream = self._idle.popleft() if self._idle else next(self._unopened, None)
        if stream is not None:
            self._open.add(stream)
        return stream

    def _give_back(self, stream: Stream) -> None:
        if stream.is_done:
            stream.close()
        with self._changed:
            if stream.is_done:
                self._open.discard(stream)
                self._streamed_bytes += stream.text_bytes
                start = stream.input.ordinal << POSITION_BITS
                self.ended[start + self._sizes[0]] = start + stream.position
            else:
                self._idle.appendleft(stream)
            self._changed.notify_all()

    def _stream_batches(self, stream: Stream, arena: Arena) -> Iterator[LineBatch]:
        """One buffer of lines from one stream, or from several that end within it.

        A stream that goes on in this very buffer stays here, for as many buffers as it does.
        """
        held: Stream | None = stream
        end = 0
        regions: list[tuple[int, int]] = []
        try:
            while held is not None:
                if held.carried_bytes >= self._room - 1:  # then nothing else is in the buffer
                    yield from self._long_stream_line(held)
                else:
                    begin, filled = end, held.fill(arena, end, self._room, self._terminator)
                    end = filled.end
                    if end > begin:
                        origin = origin_of(held.input.ordinal, filled.position, begin)
                        regions.append((begin, origin))
                if held.is_in_arena:
                    yield from self._split(arena, regions, end)
                    end, regions = 0, []
                    continue
                given, held = held, None
                self._give_back(given)
                if given.is_done and end < self._room // 2:
                    with self._changed:
                        held = self._take_stream()
        finally:
            if held is not None:
                self._give_back(held)
        yield from self._split(arena, regions, end)

    def _long_stream_line(self, stream: Stream) -> Iterator[LineBatch]:
        """Lines of a stream whose first one is longer than a worker's arena."""
        with self._long.taken() as larger:
            filled = None
            if self._waiting is None:  # else another's line is there
                filled = stream.fill_long(larger, self._long_room + ALIGN, self._terminator)
            if filled is None and self._takes_pause(stream):
                return
            if filled is None:
                length = stream.length_to_end(self._terminator)
                raise self._too_long(stream.input, stream.position, length)
            region = [(0, origin_of(stream.input.ordinal, filled.position, 0))]
            yield from self._split(larger, region, filled.end)

    def _takes_pause(self, stream: Stream) -> bool:
        """Have all workers leave, if that gives a line more room than it has here."""
        with self._changed:
            more = self._pause
            if more is None or self._waiting or round_up(more.longest_bytes) <= self._long_room:
                return False
            self._waiting, more.source = stream, self
            self._long.keep(stream.carried_bytes)
            self._changed.notify_all()
        return True

    def go_on(self) -> None:
        """Let one worker read on with the room that a pause gives."""
        assert self._pause is not None
        assert self._waiting is not None
        self._long_room = round_up(self._pause.longest_bytes)
        self._waiting.carry_in(self._long.grow(self._long_room + 2 * ALIGN))
        with self._changed:
            self._idle.remove(self._waiting)
            self._idle.appendleft(self._waiting)  # the arena is for others after it
            self._waiting = None

    def _long_sizes(self) -> list[int]:
        """Sizes in which to look for the end of a long line: doubling up to the most."""
        sizes = [2 * self._room]
        while sizes[-1] < self._long_room:
            sizes.append(2 * sizes[-1])
        return [min(size, self._long_room + ALIGN) for size in sizes]

    def _split(self, arena: Arena, regions: list[tuple[int, int]], end: int) -> Iterator[LineBatch]:
        """Cut buffer[first region:end] into batches of as many rows as the arena holds."""
        begin = regions[0][0] if regions else end
        while begin < end:
            offsets, stop = arena.split(begin, end, self._terminator[0])
            inside = [(max(at, begin), origin) for at, origin in regions if at < stop]
            origins = tuple(
                (int(np.searchsorted(offsets, at)), origin)
                for at, origin in _last_per_place(inside)
            )
            yield LineBatch(arena.buffer, offsets, origins)
            begin = stop

    def _file_batches(self, ranges: Sequence[FileRange], arena: Arena) -> Iterator[LineBatch]:
        if not ranges[0].is_whole:
            yield from self._range_batches(ranges[0], arena)
            return
        end, regions = 0, []
        with contextlib.closing(Fetched(ranges, arena.buffer)) as fetched:
            for number, part in enumerate(ranges):
                begin, is_remote = end, part.input.remote is not None
                if is_remote:
                    end = fetched.move(number, begin)
                    hash_whole(part, arena.buffer[begin:end])
                else:
                    end = read_whole(part, arena.buffer, begin)
                regions.append((begin, origin_of(part.input.ordinal, part.start, begin)))
                if arena.buffer[end - 1] != self._terminator[0]:
                    arena.buffer[end] = self._terminator[0]
                    end += 1
                    self._unterminated.add(part.input.ordinal)
        yield from self._split(arena, regions, end)

    def _range_batches(self, part: FileRange, arena: Arena) -> Iterator[LineBatch]:
        """The lines that start in one range of a large file."""
        with opened_range(part, self._terminator, self._room) as reader:
            position = part.start if part.is_first else reader.line_start(arena)
            while position < part.end:
                found = reader.lines(position, arena)
                if found is not None:
                    begin, end = found
                    region = [(begin, origin_of(part.input.ordinal, position, begin))]
                    yield from self._split(arena, region, end)
                else:
                    with self._long.taken() as larger:
                        found = reader.long_line(position, larger, self._long_sizes())
                        if found is None:
                            length = reader.line_bytes(position)
                            raise self._too_long(part.input, position, length)
                        begin, end = found
                        region = [(begin, origin_of(part.input.ordinal, position, begin))]
                        yield from self._split(larger, region, end)
                if reader.is_ended_here:
                    self._unterminated.add(part.input.ordinal)
                position += end - begin

    def _too_long(self, source: Input, position: int, length: int) -> LineTooLong:
        line = f"`{source.name}`: the line at byte {position} has {told_length(length)}"
        if length > _MOST_LINE_BYTES:
            hint = "check that its lines end with line feeds; pass -z if they end with NUL"
            if self._terminator == b"\0":
                hint = "check that its lines end with NUL; leave out -z if line feeds end them"
            return LineTooLong(
                f"{line}, but a line may have at most 1 GiB whatever --memory is", hint=hint
            )
        return LineTooLong(
            f"{line}, too long for --memory",
            hint=self._limit.hint(length),
        )


def _range_bytes(room: int) -> int:
    """Return the bytes of a range of a file, which is to fit into a buffer with its last line."""
    whole = (room - TAIL_BYTES) // MIB * MIB
    return whole if whole > 0 else room // 2 // ALIGN * ALIGN


def _last_per_place(regions: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of regions that begin at one place, the last: the ones before it hold no rows."""
    return list(dict(regions).items())
