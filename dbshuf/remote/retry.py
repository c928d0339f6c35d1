"""Calls and stores of which a call is tried again while its host is busy or its answers are cut
short, within bounds of number and time."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from dbshuf.base.block_io import U8
from dbshuf.errors import DbshufError, RemoteFailed
from dbshuf.remote.names import shown
from dbshuf.remote.object_store import ObjectInfo, ObjectReader, ObjectStore, Upload

T = TypeVar("T")

MOST_ATTEMPTS = 8
MOST_S = 120.0  # of all attempts of one call; one that has begun is not cut short
_FIRST_DELAY_S, _MOST_DELAY_S = 0.1, 10.0
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Fault:
    """Why a call failed, in words without a secret.

    error   what it is to the user, where no other attempt would help; None: try again
    wait_s  how long the host asks to be left alone
    """

    reason: str
    error: DbshufError | None = None
    wait_s: float = 0.0


def busy(reason: str, retry_after: str | None) -> tuple[str, float]:
    """Return why a host is busy and how long it asks to be left alone, by its Retry-After.

    That has seconds or a date; anything else asks for nothing.
    """
    from urllib3.exceptions import HTTPError
    from urllib3.util import Retry

    try:
        wait_s = max(Retry().parse_retry_after(retry_after or "0"), 0.0)
    except HTTPError:
        wait_s = 0.0
    return (f"{reason}, and asks to wait {wait_s:.0f} s" if wait_s else reason), wait_s


def attempted(
    call: Callable[[], T],
    name: str,
    fault_of: Callable[[Exception], Fault],
    stop: threading.Event | None = None,
) -> T:
    """Return what `call` returns, tried again where a fault may pass.

    name    of the object, for messages
    stop    when it is set there is no further attempt
    Raises  the error of a fault, and RemoteFailed after the last attempt
    """
    begin_s = time.monotonic()
    for number in range(1, MOST_ATTEMPTS + 1):
        try:
            return call()
        except DbshufError:
            raise
        except Exception as error:
            fault = fault_of(error)
        if fault.error is not None:
            raise fault.error from None
        elapsed_s = time.monotonic() - begin_s
        delay_s = random.uniform(0.5, 1) * min(_FIRST_DELAY_S * 2**number, _MOST_DELAY_S)
        delay_s += fault.wait_s
        if number == MOST_ATTEMPTS or elapsed_s + delay_s > MOST_S:
            break
        if stop is None:
            time.sleep(delay_s)
        elif stop.wait(delay_s):
            break
    plural = "s" * (number > 1)
    raise RemoteFailed(
        f"`{name}`: {fault.reason}, {number} attempt{plural} in {elapsed_s:.1f} s",
        hint="try again later; nothing was published",
    )


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
