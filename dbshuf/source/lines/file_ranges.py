"""Plain files as units of work, and how they are read: ranges of large ones, several small ones."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass

import numpy as np

from dbshuf.base.block_io import ALIGN, U8, BlockReader, round_up
from dbshuf.base.key import POSITION_BITS
from dbshuf.base.line_batch import Arena
from dbshuf.base.spans import Spans
from dbshuf.errors import InputChanged
from dbshuf.source.digest import PATIENCE_S
from dbshuf.source.input import Input, check_unchanged, open_raw, unreadable
from dbshuf.source.remote_object import RemoteObject, all_done
from dbshuf.units import KIB, MIB

Part = tuple[int, int]  # of an input: bytes [begin, end), and the lines that start there

TAIL_BYTES = 256 * KIB  # read past a range's end for its last line; longer ones are read on
_REMOTE_PATIENCE_S = 60.0  # for the range before, whose requests may be tried again


@dataclass(frozen=True)
class FileRange:
    """The lines of a plain file that start in [start, end).

    is_first  whether a line starts at `start`, which a look at the byte before would not tell
    is_whole  whether this is all of a file, which shares a batch with others
    """

    input: Input
    start: int
    end: int
    is_first: bool
    is_whole: bool = False


def cut(
    inputs: Iterable[Input],
    header_bytes: int,
    range_bytes: int,
    part: Part | None = None,
    known: Spans | None = None,
) -> Iterator[tuple[FileRange, ...]]:
    """Yield the units of work: a range of a large file, or several whole files.

    part    of the one input: ranges of nothing but that
    known   lines to leave out

    A unit is stored as one run, and a bucket is read with one read a run, so a file shares
    a unit unless it fills half of one.
    """
    group: list[FileRange] = []
    grouped_bytes = 0
    for source in inputs:
        size = source.size_bytes or 0
        if size <= header_bytes:
            continue
        if known is not None and known.end_in(source.ordinal):
            yield from _unknown(source, header_bytes, range_bytes, known)
            continue
        low, high = (0, size) if part is None else part
        if part is None and size <= range_bytes // 2:
            if grouped_bytes + size + 1 > range_bytes:
                yield tuple(group)
                group, grouped_bytes = [], 0
            group.append(FileRange(source, header_bytes, size, is_first=True, is_whole=True))
            grouped_bytes += size + 1  # room for a terminator
            continue
        if source.digest is not None and part is None:
            source.digest.take_turns(PATIENCE_S if source.remote is None else _REMOTE_PATIENCE_S)
        for start in range(low, high, range_bytes):
            end = min(start + range_bytes, high)
            if end > header_bytes:
                first = max(start, header_bytes)
                yield (FileRange(source, first, end, start <= header_bytes),)
    if group:
        yield tuple(group)


def _unknown(
    source: Input, header_bytes: int, range_bytes: int, known: Spans
) -> Iterator[tuple[FileRange, ...]]:
    """Yield ranges of the lines that are not in `known`; what is in it ends where a line does."""
    start = source.ordinal << POSITION_BITS
    for low, high in known.gaps(start + header_bytes, start + (source.size_bytes or 0)):
        for begin in range(low - start, high - start, range_bytes):
            end = min(begin + range_bytes, high - start)
            yield (FileRange(source, begin, end, is_first=begin == low - start),)


def read_whole(part: FileRange, buffer: U8, begin: int) -> int:
    """Read a file behind buffer[:begin]; return where it ends.

    Through the page cache: past it, both offset and place would have to be aligned, but the
    lines of a batch lie one after the other.
    Raises  InputUnreadable, InputChanged
    """
    size = part.end - part.start
    end = begin
    with open_raw(part.input.name) as file:
        try:
            while count := os.preadv(
                file.fileno(), [buffer.data[end : begin + size]], part.start + end - begin
            ):
                end += count
        except OSError as error:
            raise unreadable(part.input.name, error) from error
        check_unchanged(part.input, file.fileno(), is_whole=end - begin == size)
        hash_whole(part, buffer[begin:end])
    if part.input.sums is not None:
        part.input.sums.add(part.input.ordinal, part.start, buffer[begin:end])
    return end


def hash_whole(part: FileRange, text: U8) -> None:
    """Hash a small file, of which `text` is what follows the header."""
    digest = part.input.digest
    if digest is not None:
        if part.start:
            digest.feed(0, memoryview(part.input.bytes_at(0, part.start)))
        digest.feed(part.start, text.data)


class Fetched:
    """Objects of one unit, on their way into a buffer at once.

    Each goes where it lies if all before it get a terminator, and is moved up if they do not.
    """

    def __init__(self, parts: Sequence[FileRange], buffer: U8) -> None:
        self._buffer = buffer
        self._parts: list[tuple[int, int, Sequence[Future[None]]]] = []  # slot, size, its reads
        slot = 0
        for part in parts:
            size, remote = part.end - part.start, part.input.remote
            into = buffer[slot : slot + size]
            reads = [] if remote is None else remote.begin_read(into, part.start)
            self._parts.append((slot, size, reads))
            slot += size + 1

    def move(self, number: int, begin: int) -> int:
        """Have a part at buffer[begin:]; return where it ends. Raises as reading does."""
        slot, size, reads = self._parts[number]
        all_done(reads)
        if begin < slot:
            self._buffer[begin : begin + size] = self._buffer[slot : slot + size]
        return begin + size

    def close(self) -> None:
        """Wait for what still writes into the buffer."""
        for _, _, reads in self._parts:
            with contextlib.suppress(Exception, CancelledError):
                all_done(reads)


class RemoteBlocks:
    """An object with the calls of a `BlockReader`."""

    def __init__(self, remote: RemoteObject) -> None:
        self._remote = remote
        self.name, self.size_bytes = remote.name, remote.size_bytes

    def readinto(self, view: U8, offset: int) -> int:
        """Read from `offset` until `view` is full or the object ends; return the bytes read."""
        count = max(min(len(view), self.size_bytes - offset), 0)
        self._remote.read_into(view[:count], offset)
        return count

    read_cached = readinto


@contextlib.contextmanager
def opened_range(part: FileRange, terminator: bytes, room: int) -> Iterator["RangeReader"]:
    """Give a reader of a range, and see to it that the file stays as it was listed.

    room    bytes of a worker's buffer to read into, a multiple of ALIGN; two blocks follow
    Raises  InputUnreadable, InputChanged
    """
    if part.input.remote is not None:  # every read checks its version
        yield RangeReader(part, RemoteBlocks(part.input.remote), terminator, room)
        return
    try:
        with contextlib.closing(BlockReader(part.input.name)) as file:
            check_unchanged(part.input, file.fileno())
            yield RangeReader(part, file, terminator, room)
            check_unchanged(part.input, file.fileno())
    except OSError as error:
        raise unreadable(part.input.name, error) from error


class RangeReader:
    """The lines that start in a range of a large file.

    is_ended_here  whether the file's last line was read, and its terminator was added here
    """

    is_ended_here = False

    def __init__(
        self, part: FileRange, file: BlockReader | RemoteBlocks, terminator: bytes, room: int
    ) -> None:
        self._range, self._file = part, file
        self._terminator, self._room = terminator, room
        if part.is_first and part.start and part.input.digest is not None:
            part.input.digest.feed(0, memoryview(part.input.bytes_at(0, part.start)))

    def line_start(self, arena: Arena) -> int:
        """Return where the first line starts that starts in the range (or past its end)."""
        at = self._range.start - 1
        while at < self._range.end:
            base = at // ALIGN * ALIGN
            count = self._file.readinto(arena.buffer[: 64 * KIB], base)
            self._hash(base, arena.buffer[:count])
            place = arena.first_terminator(at - base, count, self._terminator)
            if place >= 0:
                return base + place + 1
            if base + count <= at:
                raise self._shorter()
            at = base + count
        return self._range.end

    def lines(self, position: int, arena: Arena) -> tuple[int, int] | None:
        """Read complete lines from `position` on, up to the one that crosses the range's end.

        Returns  begin and end of the lines in the buffer; None if the first one is longer
        """
        base = position // ALIGN * ALIGN
        begin = position - base
        near = min(round_up(self._range.end - base + TAIL_BYTES), self._room)
        crossing = max(self._range.end - 1 - base, begin)
        for wanted in sorted({near, self._room}):
            end = self._fill(arena, base, wanted)
            place = arena.first_terminator(crossing, end, self._terminator)
            if place < 0:
                place = arena.last_terminator(begin, end, self._terminator)
            if place >= 0:
                return self._found(position, arena.buffer[: place + 1], begin)
        return None

    def long_line(
        self, position: int, arena: Arena, sizes: Iterable[int]
    ) -> tuple[int, int] | None:
        """Read the one line at `position` into a larger arena; as `lines`.

        sizes  bytes of the arena in which to look for its end, one after the other
        """
        base = position // ALIGN * ALIGN
        begin = position - base
        if self._range.input.digest is not None:  # others may wait for the memory held here
            self._range.input.digest.leave()
        for wanted in sizes:
            end = self._fill(arena, base, wanted // ALIGN * ALIGN)
            place = arena.first_terminator(begin, end, self._terminator)
            if place >= 0:
                return self._found(position, arena.buffer[: place + 1], begin)
        return None

    def line_bytes(self, position: int) -> int:
        """Return the length of the line at `position`, its terminator included."""
        window = np.empty(MIB, np.uint8)
        at = position
        while count := self._file.read_cached(window, at):
            place = window[:count].tobytes().find(self._terminator)
            if place >= 0:
                return at + place + 1 - position
            at += count
        return at + 1 - position

    def _found(self, position: int, text: U8, begin: int) -> tuple[int, int]:
        """Return where in a buffer the lines lie that were read; `text` ends where they do."""
        source = self._range.input
        if source.sums is not None:  # the terminator that the file lacks left out
            lines = text[begin : begin + self._file.size_bytes - position]
            source.sums.add(source.ordinal, position, lines)
        return begin, len(text)

    def _fill(self, arena: Arena, base: int, wanted: int) -> int:
        """Read up to `wanted` bytes; the file's last line gets a terminator if it has none."""
        left = self._file.size_bytes - base
        count = min(self._file.readinto(arena.buffer[:wanted], base), left)
        if count < min(wanted, left):
            raise self._shorter()
        self._hash(base, arena.buffer[:count])
        if count == left and arena.buffer[count - 1] != self._terminator[0]:
            arena.buffer[count] = self._terminator[0]
            count += 1
            self.is_ended_here = True
        return count

    def _hash(self, base: int, data: U8) -> None:
        """Hash what was read of the range from byte `base` of the file on."""
        digest = self._range.input.digest
        if digest is not None and base < self._range.end:
            digest.feed(base, data[: self._range.end - base].data)

    def _shorter(self) -> InputChanged:
        return InputChanged(
            f"`{self._file.name}` became shorter while it was read",
            hint="shuffle a copy that no one writes to",
        )
