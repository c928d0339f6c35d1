"""A store whose calls are tried again while its host is busy or its answers are cut short."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from dbshuf.base.block_io import U8
from dbshuf.remote.attempts import Fault, attempted
from dbshuf.remote.names import shown
from dbshuf.remote.object_store import ObjectInfo, ObjectReader, ObjectStore, Upload

T = TypeVar("T")


class FleetingFault(Exception):
    """What a store below `RetryingStore` raises where another attempt may do; in safe words.

    wait_s  how long the host asks to be left alone
    """

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class RetryingStore:
    """A store with the patience that the one below lacks; see `ObjectStore`.

    scheme, root  of the store: by them another process opens the same one
    """

    def __init__(self, below: ObjectStore, scheme: str, root: str) -> None:
        self._below, self._root = below, root
        self.place = (scheme, root)
        self.least_part_bytes, self.most_parts = below.least_part_bytes, below.most_parts

    def stat(self, key: str) -> ObjectInfo:
        return self._tried(key, lambda: self._below.stat(key))

    def read_range(self, info: ObjectInfo, start: int, buffer: U8) -> None:
        self._tried(info.key, lambda: self._below.read_range(info, start, buffer))

    def open(self, info: ObjectInfo) -> ObjectReader:
        if info.has_ranges and info.size_bytes is not None:
            return RangeReader(self, info)
        return _StreamReader(lambda: self._below.open(info), info, self._tried)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        # All at once: a listing that fails midway starts again.
        yield from self._tried(prefix, lambda: list(self._below.list(prefix)))

    def put(self, key: str, data: bytes | memoryview) -> None:
        self._tried(key, lambda: self._below.put(key, data))

    def prepare_uploads(self) -> None:
        self._below.prepare_uploads()

    def start_upload(self, key: str, owner: str = "") -> Upload:
        return self._below.start_upload(key, owner)  # which has its own attempts

    def resume_upload(self, key: str, token: str) -> Upload:
        return self._below.resume_upload(key, token)

    def delete(self, key: str) -> None:
        self._tried(key, lambda: self._below.delete(key))

    def close(self) -> None:
        self._below.close()

    def _tried(self, key: str, call: Callable[[], T]) -> T:
        return attempted(call, shown(f"{self._root}/{key}"), _fault_of)


def _fault_of(error: Exception) -> Fault:
    if isinstance(error, FleetingFault):
        return Fault(str(error), wait_s=error.wait_s)
    raise error  # a bug here, to be seen as one


class RangeReader:
    """An object front to back, each piece of it a request of its own."""

    def __init__(self, store: ObjectStore, info: ObjectInfo) -> None:
        assert info.size_bytes is not None
        self._store, self._info, self._size_bytes = store, info, info.size_bytes
        self._at = 0

    def readinto(self, view: memoryview) -> int:
        count = min(len(view), self._size_bytes - self._at)
        if count:
            self._store.read_range(self._info, self._at, np.frombuffer(view[:count], np.uint8))
        self._at += count
        return count

    def close(self) -> None:
        """Do nothing: nothing stays open."""


class _StreamReader:
    """An object whose host sends it from its front only: after a fault, once more from there."""

    def __init__(
        self,
        begin: Callable[[], ObjectReader],
        info: ObjectInfo,
        tried: Callable[[str, Callable[[], int]], int],
    ) -> None:
        self._begin, self._info, self._tried = begin, info, tried
        self._reader: ObjectReader | None = None
        self._at = 0

    def readinto(self, view: memoryview) -> int:
        return self._tried(self._info.key, lambda: self._attempt(view))

    def _attempt(self, view: memoryview) -> int:
        try:
            if self._reader is None:
                self._reader = self._begin()
                self._skip(self._at)
            count = self._reader.readinto(view)
        except BaseException:
            self.close()
            raise
        self._at += count
        return count

    def _skip(self, size: int) -> None:
        assert self._reader is not None
        scratch = memoryview(bytearray(min(size, 1 << 20)))
        while size:
            count = self._reader.readinto(scratch[: min(size, len(scratch))])
            if not count:
                raise FleetingFault("a short body")
            size -= count

    def close(self) -> None:
        """Close the connection; the next read opens another one."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
