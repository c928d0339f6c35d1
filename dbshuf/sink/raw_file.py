"""Bytes to a new file or to an open descriptor; what fails is said in words."""

import contextlib
import errno
import fcntl
import os
import select
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from dbshuf.base.block_io import STAGE_BYTES, U8, BlockFile, aligned_buffer, round_up
from dbshuf.base.temporary import system_hint
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


class MeasuredOutput(ByteOutput, Protocol):
    """One that knows how much it has taken."""

    written_bytes: int


@contextlib.contextmanager
def in_words(shown: str, written_bytes: int | None = None) -> Iterator[None]:
    """Turn an OSError into one of ours; a closed pipe stays a BrokenPipeError.

    shown           the output, as the user knows it
    written_bytes   bytes that it had taken, where it takes any
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            after = "" if written_bytes is None else f" after {human(written_bytes)}"
            raise OutputSpaceShort(
                f"`{shown}`: disk full{after} ({error.strerror})",
                hint="make room there, or write to another disk",
            ) from error
        hint = system_hint(error, "name another place for it")
        raise OutputUnwritable(
            f"`{shown}` cannot be written: {error.strerror}", hint=hint
        ) from error


class FileDamaged(Exception):
    """What there is of a file is not what was sealed."""


class SealedBytes(NamedTuple):
    """The first bytes of a file, on disk: how many, and their CRC-32."""

    size: int
    crc32: int


class DiskFile:
    """A new file, written front to back in large aligned blocks, one block behind the caller.

    A block is summed and hashed while the disk writes it, which takes longer.
    """

    def __init__(
        self,
        path: Path,
        *,
        shown: str,
        mode: int = 0o666,
        with_sum: bool = False,
        is_synced_later: bool = False,
        had: "SealedBytes | None" = None,
    ) -> None:
        """Make a file, or go on with one.

        with_sum  keep a checksum of what is written
        is_synced_later  by the caller, with others, if the file is a small one
        had       what there is of it, which is to stay
        """
        self._shown = shown
        self.written_bytes = 0
        self._with_sum, self._block_sum = with_sum, 0
        self._is_synced_later = is_synced_later
        self._digest: Any = None
        self._hashed = 0  # bytes
        with in_words(shown, 0):
            self._file = BlockFile(path, mode=mode, is_new=had is None)
        self._stage = aligned_buffer(STAGE_BYTES)
        self._spare: U8 | None = None  # a small file has one block
        self._staged = 0
        self._offset = 0
        self._threads = ThreadPoolExecutor(max_workers=2)
        self._working: list[Future[None]] = []  # on the block before this one
        if had is not None:
            with in_words(shown, 0):
                self._go_on(had)

    def hash_with(self, digest: Any) -> None:
        """Have `digest` take in all that is written from here on, up to `finish`."""
        self._digest, self._hashed = digest, self.written_bytes

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`; it is copied. Raises also for what an earlier call gave."""
        source = np.frombuffer(data, np.uint8) if len(data) else np.empty(0, np.uint8)
        done = 0
        with in_words(self._shown, self.written_bytes):
            while done < len(source):
                count = min(len(source) - done, STAGE_BYTES - self._staged)
                self._stage[self._staged : self._staged + count] = source[done : done + count]
                self._staged += count
                done += count
                if self._staged == STAGE_BYTES:
                    self._begin_block()
        self.written_bytes += len(source)

    def _begin_block(self) -> None:
        self._wait()
        if self._with_sum or self._digest is not None:
            self._working.append(self._threads.submit(self._sum_block, self._stage, self._offset))
        self._working.append(self._threads.submit(self._file.write_at, self._stage, self._offset))
        if self._spare is None:
            self._spare = aligned_buffer(STAGE_BYTES)
        self._stage, self._spare = self._spare, self._stage
        self._offset += STAGE_BYTES
        self._staged = 0

    def _sum_block(self, block: U8, offset: int) -> None:
        if self._with_sum:
            self._block_sum = zlib.crc32(block.data, self._block_sum)
        self._hash(block, offset)

    def _hash(self, block: U8, offset: int) -> None:
        if self._digest is not None:
            self._digest.update(block[self._hashed - offset :])
            self._hashed = offset + len(block)

    def _go_on(self, had: SealedBytes) -> None:
        """Read what there is, to know its sum. Raises FileDamaged if it is not what it was."""
        while had.size - self._offset >= STAGE_BYTES:
            self._file.read_at(self._stage, self._offset)
            self._block_sum = zlib.crc32(self._stage.data, self._block_sum)
            self._offset += STAGE_BYTES
        self._staged = had.size - self._offset
        found = self._file.read_at(self._stage[: round_up(self._staged)], self._offset)
        if found < self._staged or self.sum() != had.crc32:
            self._file.close()
            raise FileDamaged
        self.written_bytes = had.size

    def sum(self) -> int:
        """Return the CRC-32 of all bytes so far, if it was asked for."""
        self._wait()
        return zlib.crc32(self._stage[: self._staged].data, self._block_sum)

    def seal(self) -> SealedBytes:
        """Wait until all bytes so far are on disk, and say what they are."""
        with in_words(self._shown, self.written_bytes):
            sealed = SealedBytes(self.written_bytes, self.sum())
            self._write_tail()
            os.fsync(self._file.fd)
        return sealed

    def _write_tail(self) -> None:
        tail = round_up(self._staged)
        self._stage[self._staged : tail] = 0
        if tail:
            self._file.write_at(self._stage[:tail], self._offset)

    def _wait(self) -> None:
        working, self._working = self._working, []
        for one in working:
            one.result()

    def flush(self) -> int:
        return 0

    def finish(self) -> None:
        """Write what is left, cut the file at its last byte, fsync, close.

        A small one of many waits for none of that: see `base.durable`.
        """
        with in_words(self._shown, self.written_bytes):
            self._wait()
            self._hash(self._stage[: self._staged], self._offset)
            if self._is_synced_later and not self._offset:
                self._file.write_cached(self._stage[: self._staged], 0)
            else:
                self._write_tail()
                os.ftruncate(self._file.fd, self._offset + self._staged)
                os.fsync(self._file.fd)
            self._close()

    def abort(self) -> None:
        for end in (self._wait, self._close):
            with contextlib.suppress(Exception):
                end()

    def _close(self) -> None:
        self._threads.shutdown()
        self._file.close()


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
