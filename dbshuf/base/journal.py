"""A journal: records appended to a file, each durable before anything relies on it.

A record is a line of JSON that ends with its own checksum. Whatever ends a process, or the
machine, tears at most the last line, since nothing is appended before the record in front of
it is on disk; what is torn is cut off when the journal is opened again. A line that is damaged
otherwise is cut off with all that follows it: what was recorded there is done again.
"""

import contextlib
import json
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_SUM = ',"crc32":"%08x"}\n'  # closes a line, in place of its brace
_SUM_CHARS = len(_SUM % 0)


class Journal:
    """One journal, open to append; safe to be called from several threads.

    is_cut  whether records were damaged and cut off; of a torn last line there is nothing to say
    """

    def __init__(self, path: Path) -> None:
        """Open or make it; Raises OSError."""
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._lock = threading.Lock()
        try:
            self._size, self.is_cut = _sound_bytes(path)
            if os.fstat(self._fd).st_size > self._size:
                os.ftruncate(self._fd, self._size)
                os.fsync(self._fd)
        except BaseException:
            self.close()
            raise

    def records(self) -> Iterator[Record]:
        """Yield all records, the oldest first."""
        return read_journal(self._path)

    def append(self, kind: str, **fields: Any) -> None:
        """Add a record and wait until it is on disk; Raises OSError, then it is not there."""
        line = encoded({"kind": kind, **fields})
        with self._lock:
            try:
                _write_all(self._fd, line)
                os.fdatasync(self._fd)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, self._size)
                raise
            self._size += len(line)

    def clear(self) -> None:
        """Remove all records; Raises OSError."""
        os.ftruncate(self._fd, 0)
        os.fsync(self._fd)
        self._size = 0

    def close(self) -> None:
        """Close the file; twice does no harm."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def encoded(record: Record) -> bytes:
    """Return a record as a line with its checksum."""
    body = json.dumps(record, separators=(",", ":"))
    return (body[:-1] + _SUM % zlib.crc32(body.encode())).encode()


def decoded(line: bytes) -> Record | None:
    """Return the record of a line; None if it is not whole."""
    body = line[:-_SUM_CHARS] + b"}"
    if line[-_SUM_CHARS:] != (_SUM % zlib.crc32(body)).encode():
        return None
    record: Record = json.loads(body)
    return record


def read_journal(path: Path) -> Iterator[Record]:
    """Yield the records of a journal up to the first that is not whole; Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(fd, "rb") as lines:
        for line in lines:
            record = decoded(line)
            if record is None:
                return
            yield record


def _sound_bytes(path: Path) -> tuple[int, bool]:
    """Return the bytes of the records that are whole, and whether more than one is not."""
    size = 0
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(fd, "rb") as lines:
        for line in lines:
            if decoded(line) is None:
                return size, line.endswith(b"\n")
            size += len(line)
    return size, False


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
