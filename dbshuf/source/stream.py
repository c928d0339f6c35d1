"""An input that can only be read front to back: a compressed file, a pipe."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dbshuf.errors import InputBeyondBounds
from dbshuf.key import POSITION_LIMIT
from dbshuf.source.batch import Arena
from dbshuf.source.inputs import ByteReader, Input, unreadable
from dbshuf.units import MIB, human

_EMPTY = np.empty(0, np.uint8)


class NoLineEnd(Exception):
    """No line ends in a full buffer."""


@dataclass(frozen=True)
class Filled:
    """Lines read from a stream: where they end in the buffer, and whence they came."""

    end: int
    position: int


class Stream:
    """An input that can only be read front to back."""

    def __init__(self, source: Input, skip_bytes: int) -> None:
        self.input = source
        self.is_done = False
        self._skip_bytes = skip_bytes
        self._reader: ByteReader | None = None
        self._carry = _EMPTY
        self._position = 0
        self.text_bytes = 0  # read, and a last terminator that was added

    def fill(self, arena: Arena, begin: int, limits: Sequence[int], terminator: bytes) -> Filled:
        """Read complete lines into arena.buffer[begin:], up to the first limit that has one.

        Raises  NoLineEnd if begin is 0 and no line ends before the last limit; the bytes
                stay with the stream for a larger arena; InputBeyondBounds
        """
        if self._reader is None:
            self._reader = self.input.open_stream()
            self._skip(self._skip_bytes)
        position, end = self._position, begin + len(self._carry)
        arena.buffer[begin:end] = self._carry
        last = -1
        for limit in limits:
            count = self._read(arena.buffer.data[end : limit - 1])
            self.is_done = end + count < limit - 1
            end += count
            self.text_bytes += count
            if self.is_done and end > begin and arena.buffer[end - 1] != terminator[0]:
                arena.buffer[end] = terminator[0]
                end += 1
                self.text_bytes += 1
            last = arena.last_terminator(begin, end, terminator)
            if last >= 0 or self.is_done:
                break
        stop = max(last + 1, begin)
        if stop == 0 and not self.is_done:
            self._carry = arena.buffer[:end]  # a copy would hold the line twice
            raise NoLineEnd
        self._carry = arena.buffer[stop:end].copy()
        self._position = position + stop - begin
        if self._position >= POSITION_LIMIT:
            raise InputBeyondBounds(
                f"`{self.input.name}` holds more than {human(POSITION_LIMIT)}",
                hint="split the input",
            )
        return Filled(stop, position)

    def length_to_end(self, terminator: bytes) -> int:
        """Return the length of the line of which some was read, reading on to its end."""
        length, view = len(self._carry), memoryview(bytearray(MIB))
        while count := self._read(view):
            place = bytes(view[:count]).find(terminator)
            if place >= 0:
                return length + place + 1
            length += count
        return length + 1

    def close(self) -> None:
        """Close the stream."""
        if self._reader is not None:
            self._reader.close()

    @property
    def position(self) -> int:
        """Offset of the next line to hand out."""
        return self._position

    def _read(self, view: memoryview) -> int:
        assert self._reader is not None
        try:
            return self._reader.readinto(view)
        except OSError as error:
            raise unreadable(self.input.name, error) from error

    def _skip(self, size: int) -> None:
        left = size
        while left and (count := self._read(memoryview(bytearray(min(left, MIB))))):
            left -= count
        self._position = size
