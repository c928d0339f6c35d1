"""What has been written is on the disk: one file, one folder, or many at once."""

import contextlib
import ctypes
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dbshuf.base.work_dir import sync_directory

_MANY_FILES = 100
_BEGUN_BYTES = 32 << 20  # that a file has grown by when they are begun to be written


def sync_all(top: Path, files: Sequence[str], folders: Sequence[str], system_fd: int) -> None:
    """Make a directory durable, with files in it that are closed, and folders; Raises OSError.

    system_fd  of their file system, opened before the first of them was written, so that it tells
               what failed since then; below 0: there is none

    Many are made durable by one call. Each alone waits for the disk two or three times: of 3,000
    files of a few bytes the fsyncs took 12 s (ext4, a busy disk).
    """
    if len(files) >= _MANY_FILES and _SYNCFS is not None and system_fd >= 0:
        if _SYNCFS(system_fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return
    for name in files:
        _sync_file(top / name)
    for folder in ("", *folders):
        sync_directory(top / folder)


def _sync_file(path: Path) -> None:
    try:
        fd = os.open(path, os.O_RDONLY)
    except PermissionError:  # by the umask nobody may read it
        os.sync()
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _syncfs() -> Callable[[int], int] | None:
    """Return the system's call; None: it has none, or one that does not tell what failed."""
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if sys.platform != "linux" or release is None or (int(release[1]), int(release[2])) < (5, 8):
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


_SYNCFS = _syncfs()


class EarlyWriteback:
    """Has the kernel write a file while it grows, so that the last sync has less to wait for.

    It never raises: where it cannot, the last sync waits, and whoever writes tells what is wrong.
    """

    def __init__(self, path: Path) -> None:
        self._fd, self._begun = -1, 0
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._begun = os.fstat(self._fd).st_size

    def look(self) -> None:
        """Begin to write what the file has grown by, where that is much; waits for nothing."""
        if self._fd < 0 or not hasattr(os, "posix_fadvise"):
            return
        with contextlib.suppress(OSError):
            size = os.fstat(self._fd).st_size
            if size - self._begun >= _BEGUN_BYTES:
                os.posix_fadvise(self._fd, self._begun, size - self._begun, os.POSIX_FADV_DONTNEED)
                self._begun = size

    def close(self) -> None:
        """Close; only when nobody else in this process holds a lock on the file, which ends it."""
        if self._fd >= 0:
            os.close(self._fd)
