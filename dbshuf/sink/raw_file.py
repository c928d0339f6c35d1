"""Bytes to a new file or to an open descriptor; what fails is said in words."""

import contextlib
import errno
import fcntl
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from dbshuf.base.block_io import BlockWriter
from dbshuf.errors import OutputSpaceShort, OutputUnwritable
from dbshuf.units import MIB, human

_PIECE_BYTES = 8 * MIB  # of one write to a descriptor, so that Ctrl-C is soon seen
_PIPE_BYTES = 1 * MIB  # what an unprivileged process may ask for on Linux


class ByteOutput(Protocol):
    """Where an encoder's bytes go, front to back."""

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`; the caller may reuse it once this returns."""

    def flush(self) -> int:
        """Hand on what waits to be compressed; return the bytes that `finish` would add."""

    def finish(self) -> None:
        """Make everything durable and close."""

    def abort(self) -> None:
        """Close as it is; never raises."""


@contextlib.contextmanager
def in_words(shown: str, written_bytes: int | None = None) -> Iterator[None]:
    """Turn an OSError into one of ours; a closed pipe stays a BrokenPipeError.

    shown           the output, as the user knows it
    written_bytes   bytes that it had taken, when it fails for want of room
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and written_bytes is not None:
            raise OutputSpaceShort(
                f"`{shown}`: disk full after {human(written_bytes)} ({error.strerror})",
                hint="make room there, or write to another disk",
            ) from error
        raise OutputUnwritable(f"`{shown}` cannot be written: {error.strerror}") from error


class DiskFile:
    """A new file, written past the page cache where the file system allows it."""

    def __init__(self, path: Path, *, shown: str, mode: int = 0o666) -> None:
        self._shown = shown
        self.written_bytes = 0
        with in_words(shown, 0):
            self._blocks = BlockWriter(path, mode=mode)

    def write(self, data: bytes | memoryview) -> None:
        if len(data):
            with in_words(self._shown, self.written_bytes):
                self._blocks.write(data)
            self.written_bytes += len(data)

    def flush(self) -> int:
        return 0

    def finish(self) -> None:
        with in_words(self._shown, self.written_bytes):
            self._blocks.finish()

    def abort(self) -> None:
        with contextlib.suppress(Exception):
            self._blocks.abort()


class OpenFile:
    """A descriptor that is open already: stdout, a pipe, a device."""

    def __init__(self, fd: int, *, shown: str) -> None:
        self._fd = fd
        self._shown = shown
        self._written = 0
        with contextlib.suppress(OSError, AttributeError):  # no pipe, or no Linux
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        done = 0
        while done < len(view):
            with in_words(self._shown, self._written):
                count = self._write_some(view[done : done + _PIECE_BYTES])
            done += count
            self._written += count

    def _write_some(self, piece: memoryview) -> int:
        try:
            return os.write(self._fd, piece)
        except BlockingIOError:  # whoever opened it asked not to wait
            select.select([], [self._fd], [])
            return 0

    def flush(self) -> int:
        return 0

    def finish(self) -> None:
        """Close nothing: what others opened is theirs; `publish.py` closes its own."""

    def abort(self) -> None:
        """Nothing to take back."""


class WithHead:
    """An output that begins with some bytes of its own.

    They are written with the first others and no earlier, or at the end: a run that fails
    before leaves a pipe empty.
    """

    def __init__(self, output: ByteOutput, head: bytes) -> None:
        self._output = output
        self._head = head

    def write(self, data: bytes | memoryview) -> None:
        self._write_head()
        self._output.write(data)

    def flush(self) -> int:
        return self._output.flush() + len(self._head)

    def finish(self) -> None:
        self._write_head()
        self._output.finish()

    def abort(self) -> None:
        self._output.abort()

    def _write_head(self) -> None:
        if self._head:
            self._output.write(self._head)
            self._head = b""
