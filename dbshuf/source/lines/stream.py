"""An input that can only be read front to back: a compressed file, a pipe."""

from dataclasses import dataclass

import numpy as np

from dbshuf.base.block_io import U8
from dbshuf.base.key import POSITION_LIMIT
from dbshuf.base.line_batch import Arena
from dbshuf.errors import InputBeyondBounds, InputBroken
from dbshuf.source.byte_reader import ByteReader
from dbshuf.source.input import Input, check_unchanged, unreadable
from dbshuf.units import GIB, MIB, human

_EMPTY = np.empty(0, np.uint8)
COUNTED_BYTES = 4 * GIB  # of a line that is longer than lines may be: it may have no end


@dataclass(frozen=True)
class Filled:
    """Lines read from a stream: where they end in the buffer, and whence they came.

    position  offset in the input of the byte where they begin
    """

    end: int
    position: int


class Stream:
    """An input that can only be read front to back.

    What was read of a line whose end was not is carried to the next fill. Up to
    `carry_bytes` of it are copied aside, so that any worker can go on; that memory is in
    no account, hence little. More stays where it was read (`is_in_arena`): then whoever
    filled the arena must be the next to fill, with the same one.
    """

    def __init__(
        self, source: Input, skip_bytes: int, carry_bytes: int, known_bytes: int = 0
    ) -> None:
        """Read `source` from byte `skip_bytes` on; nothing is opened yet.

        known_bytes  of them that are lines and were read before: they count
        """
        self.input = source
        self.is_done = False
        self.is_in_arena = False
        self.text_bytes = known_bytes  # read, and a last terminator that was added
        self._skip_bytes = skip_bytes
        self._carry_bytes = carry_bytes
        self._reader: ByteReader | None = None
        self._carry = _EMPTY
        self._position = 0

    def fill(self, arena: Arena, begin: int, limit: int, terminator: bytes) -> Filled:
        """Read complete lines into arena.buffer[begin:limit], a last terminator included.

        limit    the same in every call
        Returns  where they end: `begin` if not one ends, or if the carry has no room there.
                 After that a fill from 0 gets on, unless `carried_bytes` is limit - 1: that
                 line is for `fill_long`
        Raises   InputBeyondBounds; InputUnreadable or InputBroken, which are final
        """
        self._open()
        if begin and begin + len(self._carry) >= limit - 1:
            return Filled(begin, self._position)
        end = self._unload(arena, begin)
        end = self._read_on(arena, begin, end, limit - 1, terminator)
        last = arena.last_terminator(begin, end, terminator)
        return self._hand_over(arena, begin, max(last + 1, begin), end)

    def fill_long(self, arena: Arena, limit: int, terminator: bytes) -> Filled | None:
        """Read the line that fills an arena without an end, and the little that follows it.

        arena    another one; reading stops soon after the first line end, in steps of what
                 may be carried
        Returns  None if no line ends in arena.buffer[:limit]
        Raises   as `fill`
        """
        end, last = self._unload(arena, 0), -1
        while last < 0 and end < limit - 1 and not self.is_done:
            begin, stop = end, min(end + self._carry_bytes, limit - 1)
            end = self._read_on(arena, 0, end, stop, terminator)
            last = arena.last_terminator(begin, end, terminator)
        if last < 0:
            self._carry = arena.buffer[:end]
            return None
        return self._hand_over(arena, 0, last + 1, end)

    def carry_in(self, buffer: U8) -> None:
        """Know that what was read of a line has moved to the front of a buffer."""
        self._carry = buffer[: len(self._carry)]

    def length_to_end(self, terminator: bytes) -> int:
        """Return the length of the line of which some was read, reading on to its end.

        Or to COUNTED_BYTES: it may have no end, as of `/dev/zero`.
        """
        length, view = len(self._carry), memoryview(bytearray(MIB))
        self._carry = _EMPTY
        while count := self._read(view):
            place = bytes(view[:count]).find(terminator)
            if place >= 0:
                return length + place + 1
            length += count
            if length > COUNTED_BYTES:
                return length
        return length + 1

    def lines_to_end(self, terminator: bytes) -> int:
        """Return how many lines were not handed out yet, reading on to the end.

        Or to a line that is longer than COUNTED_BYTES, as of `/dev/zero`.
        """
        self._open()
        last, count, without = bytes(self._carry[-1:]), 0, 0
        self._carry, view = _EMPTY, np.empty(MIB, np.uint8)
        while without <= COUNTED_BYTES and (size := self._read(view.data)):
            found = int(np.count_nonzero(view[:size] == terminator[0]))
            count, without = count + found, 0 if found else without + size
            last = bytes(view[size - 1 : size])
        self.is_done = True
        return count + (last not in (b"", terminator))

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    @property
    def position(self) -> int:
        """Offset of the next line to hand out."""
        return self._position

    @property
    def carried_bytes(self) -> int:
        """Bytes that were read of the next line to hand out."""
        return len(self._carry)

    def _open(self) -> None:
        if self._reader is None:
            self._reader = self.input.open_stream()
            self._skip(self._skip_bytes)

    def _unload(self, arena: Arena, begin: int) -> int:
        """Move the carry to arena.buffer[begin:], from there maybe; return where it ends."""
        end = begin + len(self._carry)
        arena.buffer.data[begin:end] = self._carry.data  # numpy would copy the whole of it aside
        self._carry, self.is_in_arena = _EMPTY, False
        return end

    def _read_on(self, arena: Arena, begin: int, end: int, stop: int, terminator: bytes) -> int:
        """Read into arena.buffer[end:stop]; return where the text that starts at `begin` ends."""
        count = self._read(arena.buffer.data[end:stop])
        self.is_done = end + count < stop
        end += count
        self.text_bytes += count
        if self.is_done and end > begin and arena.buffer[end - 1] != terminator[0]:
            arena.buffer[end] = terminator[0]
            end += 1
            self.text_bytes += 1
        return end

    def _hand_over(self, arena: Arena, begin: int, stop: int, end: int) -> Filled:
        """Give out the lines of buffer[begin:stop], and carry buffer[stop:end]."""
        rest = arena.buffer[stop:end]
        self.is_in_arena = len(rest) > self._carry_bytes
        self._carry = rest if self.is_in_arena else rest.copy()
        position = self._position
        self._position += stop - begin
        if self._position >= POSITION_LIMIT:
            raise InputBeyondBounds(
                f"`{self.input.name}` holds more than {human(POSITION_LIMIT)}",
                hint="split the input",
            )
        return Filled(stop, position)

    def _read(self, view: memoryview) -> int:
        assert self._reader is not None
        try:
            return self._reader.readinto(view)
        except OSError as error:
            raise unreadable(self.input.name, error) from error
        except InputBroken:
            check_unchanged(self.input)  # if it changed, that is what is wrong with it
            raise

    def _skip(self, size: int) -> None:
        left = size
        while left and (count := self._read(memoryview(bytearray(min(left, MIB))))):
            left -= count
        self._position = size


def told_length(length: int) -> str:
    """Return the length of a line (bytes) for messages, as far as it was counted."""
    if length > COUNTED_BYTES:
        return f"more than {human(COUNTED_BYTES)}"
    return f"{human(length)} ({length} bytes)"
