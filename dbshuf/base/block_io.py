"""Large aligned reads and writes that go past the page cache where they can.

A shuffle touches every byte once, so the page cache only costs it: the copy, the
fresh pages (up to 3 CPU seconds a GB on a virtual machine, measured on Linux 6.18:
`dd` into new pages 0.36 GB/s, O_DIRECT in 1 MiB blocks 2.5 GB/s) and the files of
other programs that it pushes out. Where the file system or the platform has no
O_DIRECT, the same calls use the cache.
"""

import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dbshuf.units import MIB

U8 = npt.NDArray[np.uint8]

ALIGN = 4096  # bytes; a multiple of the logical block of every disk in use
STAGE_BYTES = 4 * MIB  # one write; from 1 MiB up they run at the disk's speed
_PIECE_BYTES = 4 * MIB  # a read asks for each piece this long whether it is cached
_DIRECT: int = getattr(os, "O_DIRECT", 0)
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)


def round_up(size: int) -> int:
    """Return `size` rounded up to a whole number of aligned blocks."""
    return -(-size // ALIGN) * ALIGN


def aligned_buffer(size: int) -> U8:
    """Return uint8, shape (round_up(size),), aligned for direct I/O.

    Its pages count as resident memory only once they are touched. They are small pages
    on purpose: asked for huge ones, a virtual machine hands out memory that its host has
    taken back, and a run of 1 GB in memory took 3.6-3.8 s instead of 2.3-2.5 (Linux 6.18).
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # what is shared would be a file in memory
    return np.frombuffer(mmap.mmap(-1, max(round_up(size), ALIGN), flags), np.uint8)


class BlockReader:
    """A regular file, read at aligned offsets into aligned buffers."""

    def __init__(self, path: Path | str) -> None:
        self._cached = os.open(path, os.O_RDONLY)
        self._direct = -1
        if _DIRECT:
            with contextlib.suppress(OSError):
                self._direct = os.open(path, os.O_RDONLY | _DIRECT)
        self.name = os.fspath(path)
        self.size_bytes = os.fstat(self._cached).st_size

    def fileno(self) -> int:
        """Return a descriptor of the file, for fstat."""
        return self._cached

    def read_cached(self, view: U8, offset: int) -> int:
        """Read any range through the page cache; return the bytes read."""
        return os.preadv(self._cached, [view.data], offset)

    def readinto(self, view: U8, offset: int) -> int:
        """Read from `offset` until `view` is full or the file ends; return the bytes read.

        view     uint8 of an `aligned_buffer`; its start and `offset` are multiples of ALIGN
        """
        done = 0
        while done < len(view):
            piece = view[done : done + _PIECE_BYTES]
            count = self._read_piece(piece, offset + done)
            done += count
            if count < len(piece):
                break
        return done

    def _read_piece(self, piece: U8, offset: int) -> int:
        direct = (
            self._direct >= 0 and len(piece) % ALIGN == 0 and not self._is_cached(offset, piece)
        )
        done = 0
        while done < len(piece):
            if direct and done % ALIGN:
                direct = False  # the last block of the file was short
            fd = self._direct if direct else self._cached
            try:
                count = os.preadv(fd, [piece.data[done:]], offset + done)
            except OSError as error:
                if not direct or error.errno != errno.EINVAL:
                    raise
                direct = False
                continue
            if count == 0:
                break
            done += count
        return done

    def _is_cached(self, offset: int, piece: U8) -> bool:
        """Whether the first and last page of a piece are in the page cache."""
        last = min(offset + len(piece), self.size_bytes) - 1
        try:
            return all(
                os.preadv(self._cached, [piece.data[:1]], at, _NOWAIT) > 0 for at in (offset, last)
            )
        except OSError:  # EAGAIN: not cached; EOPNOTSUPP: the file system cannot say
            return False

    def close(self) -> None:
        """Close the file; once is enough, twice does no harm."""
        for fd in (self._cached, self._direct):
            if fd >= 0:
                os.close(fd)
        self._cached = self._direct = -1


class BlockFile:
    """A file that is written, and read back, at aligned offsets."""

    def __init__(self, path: Path | str, *, mode: int = 0o600, is_new: bool = True) -> None:
        """Make a new file, or open one that is there and no link."""
        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if is_new else os.O_NOFOLLOW)
        self._flags = _DIRECT
        try:
            self.fd = os.open(path, flags | _DIRECT, mode)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            if is_new:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)  # some file systems create it before they refuse
            self._flags = 0
            self.fd = os.open(path, flags, mode)

    def write_cached(self, data: U8, offset: int) -> None:
        """Write any bytes at any offset, through the page cache."""
        self._use_cache()
        done = 0
        while done < len(data):
            done += os.pwrite(self.fd, data.data[done:], offset + done)

    def write_at(self, block: U8, offset: int) -> None:
        """Write a whole number of aligned blocks from an aligned buffer at `offset`."""
        done = 0
        while done < len(block):
            try:
                done += os.pwrite(self.fd, block.data[done:], offset + done)
            except OSError as error:
                if error.errno != errno.EINVAL or not self._flags:
                    raise
                self._use_cache()
            if done % ALIGN:
                self._use_cache()

    def read_at(self, view: U8, offset: int) -> int:
        """Fill `view` (aligned) from `offset` (aligned); return the bytes before the end."""
        done = 0
        while done < len(view):
            try:
                count = os.preadv(self.fd, [view.data[done:]], offset + done)
            except OSError as error:
                if error.errno != errno.EINVAL or not self._flags:
                    raise
                self._use_cache()
                continue
            if count == 0:
                break
            done += count
            if done % ALIGN:  # the end of the file, or a read that direct I/O cannot go on with
                self._use_cache()
        return done

    def _use_cache(self) -> None:
        self._flags = 0
        fcntl.fcntl(self.fd, fcntl.F_SETFL, fcntl.fcntl(self.fd, fcntl.F_GETFL) & ~_DIRECT)

    def close(self) -> None:
        """Close the file; twice does no harm."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def write_file(path: Path, pieces: Iterable[bytes], *, mode: int = 0o666) -> None:
    """Write a small file anew, durably; Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, mode)
    try:
        waiting = bytearray()
        for piece in pieces:
            waiting += piece
            if len(waiting) >= STAGE_BYTES:
                _write_all(fd, waiting)
                waiting.clear()
        _write_all(fd, waiting)
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytearray) -> None:
    done = 0
    while done < len(data):
        done += os.write(fd, data[done:])
