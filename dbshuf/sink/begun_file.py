"""A file that one process begins and another goes on with.

What an encoder was given and what its file holds are not the same: blocks and row groups wait
until they are full. So it tells its `Position`, in units of its own: a run that is cut short
gives the rows again from a place that is not behind what the file holds, and the encoder leaves
out what it has. What it needs of what lies before is in the file itself, or in `parts`.
"""

import io
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from dbshuf.sink.raw_file import ByteOutput, FileDamaged


class Position(NamedTuple):
    """How far an encoder is.

    taken    all that it was given: bytes of text, or rows
    written  how much of it is in the output, so that the encoder can go on behind it
    parts    what it needs for that and is not in the output: values for JSON, those that came
             since it was asked last
    rows     all that it was given, where they are counted
    """

    taken: int = 0
    written: int = 0
    parts: tuple[Any, ...] = ()
    rows: int = 0


class Begun(NamedTuple):
    """What there is of a file that is sealed while it grows; maybe nothing.

    bytes, crc32    of the file, and what they are
    rows            that were given before those that come now
    hash            a SHA-256 of the bytes to go on with, where one is wanted
    path            where they can be read
    taken, written  see Position; what comes now begins behind `taken`
    parts           likewise, all of them
    """

    bytes: int = 0
    crc32: int = 0
    rows: int = 0
    hash: Any = None
    path: Path = Path()
    taken: int = 0
    written: int = 0
    parts: Iterable[Any] = ()

    def content(self) -> "Content":
        """Open the bytes that there are; Raises OSError."""
        return Content(self.path, self.bytes)


class Content(io.RawIOBase):
    """The first bytes of a file, to be read."""

    def __init__(self, path: Path, size: int) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = os.readv(self._fd, [memoryview(buffer)[: self._left]])
        self._left -= count
        return count

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


class MadeAgain:
    """An output that has the first bytes already: they are made again, compared, and dropped."""

    def __init__(self, output: ByteOutput, begun: Begun) -> None:
        self._output = output
        self._left, self._wanted = begun.bytes, begun.crc32
        self._crc32 = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`. Raises FileDamaged if the first bytes are others."""
        view = memoryview(data)
        if self._left:
            had = view[: self._left]
            self._left -= len(had)
            self._crc32 = zlib.crc32(had, self._crc32)
            if not self._left and self._crc32 != self._wanted:
                raise FileDamaged
            view = view[len(had) :]
        if view:
            self._output.write(view)

    def flush(self) -> int:
        return self._output.flush()

    def finish(self) -> None:
        if self._left:
            raise FileDamaged
        self._output.finish()

    def abort(self) -> None:
        self._output.abort()
