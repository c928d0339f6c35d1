"""Lines longer than a worker's buffer: how long they may be, and one arena for one at a time."""

import contextlib
import mmap
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dbshuf.base.block_io import U8
from dbshuf.base.line_batch import Arena
from dbshuf.base.workers import Stopped
from dbshuf.units import MIB, cap_named

_MOVED_BYTES = 16 * MIB  # of a line that moves to a larger arena; there twice for a moment


@dataclass(frozen=True)
class LineLimit:
    """How long a line, or a row of paired lines, may be.

    longest_bytes  of one that fits, terminators included
    cap_for        a --memory (bytes) under which one of some length fits
    """

    longest_bytes: int
    cap_for: Callable[[int], int]

    def hint(self, length: int, what: str = "line") -> str:
        """Return what to do about one that is too long."""
        return f"this {what} needs --memory {cap_named(self.cap_for(length))}"


class LongArena:
    """The one arena for long lines; the memory split counts it once.

    What is held when: nothing before the first long line; then, while a worker has the
    arena, the pages that its line touched; afterwards none of them. The mapping itself is
    made once and stays, because a batch that was handed out is still referred to by its
    receiver's loop variable, or by the traceback of an error, when the next long line
    comes: had each line an arena of its own, two would be alive then.
    """

    def __init__(self, size: int, rows: int) -> None:
        """Promise `size` bytes and offsets of `rows` lines; nothing is allocated yet."""
        self._size, self._rows = size, rows
        self._pages: mmap.mmap | None = None
        self._arena: Arena | None = None
        self._changed = threading.Condition()
        self._is_taken = self._is_stopped = False
        self._kept_bytes = 0

    @contextlib.contextmanager
    def taken(self) -> Iterator[Arena]:
        """Give the arena to one worker, when no other has it; Raises Stopped after `stop`."""
        with self._changed:
            while self._is_taken and not self._is_stopped:
                self._changed.wait()
            if self._is_stopped:
                raise Stopped
            self._is_taken = True
        try:
            yield self._mapped()
        finally:
            if not self._kept_bytes:
                self._empty()
            with self._changed:
                self._is_taken = False
                self._changed.notify_all()

    def keep(self, size: int) -> None:
        """Leave the first `size` bytes where they are, until `grow`; for who has the arena."""
        self._kept_bytes = size

    def grow(self, size: int) -> U8:
        """Promise `size` bytes from now on, and return those that begin with what was kept."""
        old, kept = self._pages, self._kept_bytes
        self._size, self._pages, self._arena, self._kept_bytes = size, None, None, 0
        buffer = self._mapped().buffer
        for begin in range(0, kept, _MOVED_BYTES):
            assert old is not None
            end = min(begin + _MOVED_BYTES, kept)
            buffer.data[begin:end] = memoryview(old)[begin:end]
            if hasattr(mmap, "MADV_DONTNEED"):
                old.madvise(mmap.MADV_DONTNEED, begin, end - begin)
        return buffer

    def stop(self) -> None:
        """Turn away everyone who waits, or comes later."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def _mapped(self) -> Arena:
        if self._arena is None:
            self._pages = mmap.mmap(-1, self._size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self._arena = Arena(np.frombuffer(self._pages, np.uint8), self._rows)
        return self._arena

    def _empty(self) -> None:
        """Give the pages back to the system; the next line finds fresh ones."""
        if self._pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)
