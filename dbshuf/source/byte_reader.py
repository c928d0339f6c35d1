"""Bytes of inputs front to back: files, pipes, descriptors that do not block."""

import contextlib
import select
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class RawInput(Protocol):
    """What is read from: an unbuffered file or a pipe; reads may be short."""

    def read(self, size: int, /) -> bytes | None: ...
    def readinto(self, view: memoryview, /) -> int | None: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class ByteReader(Protocol):
    """Bytes front to back, decompressed if need be."""

    @property
    def read_bytes(self) -> int:
        """Bytes of the input as it lies on disk, so far."""

    def readinto(self, view: memoryview) -> int:
        """Fill `view`; less only at the end."""

    def close(self) -> None:
        """Close what is below."""


class SeenInput:
    """An input of which `seen` is told each piece that is read; no bytes are its end."""

    def __init__(self, raw: RawInput, seen: Callable[[bytes | memoryview], None]) -> None:
        self._raw, self._seen = raw, seen
        self.fileno, self.close = raw.fileno, raw.close

    def read(self, size: int) -> bytes | None:
        data = self._raw.read(size)
        if data is not None and size:
            self._seen(data)
        return data

    def readinto(self, view: memoryview) -> int | None:
        count = self._raw.readinto(view)
        if count is not None and len(view):
            self._seen(view[:count])
        return count


class PlainReader:
    """Bytes already read of a stream, then the stream."""

    def __init__(self, raw: RawInput, head: bytes) -> None:
        self._raw, self._head = raw, head
        self._read_bytes = 0

    @property
    def read_bytes(self) -> int:
        return self._read_bytes

    def readinto(self, view: memoryview) -> int:
        done = min(len(self._head), len(view))
        view[:done] = self._head[:done]
        self._head = self._head[done:]
        while done < len(view):
            count = self._some(view[done:])
            if not count:
                break
            done += count
        self._read_bytes += done
        return done

    def _some(self, view: memoryview) -> int:
        return when_ready(self._raw, lambda: self._raw.readinto(view))

    def close(self) -> None:
        self._raw.close()


def when_ready(raw: RawInput, attempt: Callable[[], T | None]) -> T:
    """Return what a read of `raw` gives, waiting for it if need be.

    attempt  the read; it gives None where a descriptor that does not block has nothing yet,
             which is not the end
    Raises   whatever the read raises
    """
    while (got := attempt()) is None:
        waiting = select.poll()  # unlike select(), also above descriptor 1023
        waiting.register(raw.fileno(), select.POLLIN)
        waiting.poll()
    return got


@contextlib.contextmanager
def closed_on_error(raw: RawInput) -> Iterator[None]:
    """Close `raw` if what is inside raises."""
    try:
        yield
    except BaseException:
        raw.close()
        raise
