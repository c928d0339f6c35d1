"""One object as an input: ranges of it in parallel, and its bytes front to back ahead of a reader.

Twin of `base/block_io.BlockReader` and of an open file. A request is for 4 MiB, eight of them
run at once whatever asks, and a reader front to back has up to four of them ahead of it.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from dbshuf.base.block_io import U8
from dbshuf.errors import InputChanged
from dbshuf.remote.object_store import ObjectInfo, ObjectReader, ObjectStore
from dbshuf.units import KIB, MIB

T = TypeVar("T")
R = TypeVar("R")

REQUEST_BYTES = 4 * MIB
_REQUESTS = 8  # at once
_LOOKS = 8  # inputs looked at, at once
_AHEAD = 4  # requests of a reader front to back
_FIRST_BYTES = 256 * KIB  # of its first request; each later one has four times as many

_MOST_HEAD_BYTES, _LEAST_HEAD_BYTES = 4 * KIB, 128  # kept of each object
_ALL_HEADS_BYTES = 8 * MIB

IN_FLIGHT_BYTES = _REQUESTS * REQUEST_BYTES  # held by the requests of all readers of ranges
AHEAD_BYTES = (_AHEAD + 1) * REQUEST_BYTES  # held by one reader front to back


class _Threads:
    """Threads that start when they are needed, and that no exit waits for."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._lock = threading.Lock()  # guards what follows
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._started = self._waiting = 0

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """Let a thread call it; the future has what it returns."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting += 1
            if self._started < min(self._most, self._waiting):
                self._started += 1
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
        self._jobs.put((future, call))
        return future

    def _run(self) -> None:
        while True:
            future, call = self._jobs.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
            del future, call  # neither a buffer nor an error is kept while there is nothing to do
            with self._lock:
                self._waiting -= 1


_requests = _Threads(_REQUESTS, "dbshuf-request")
_looks = _Threads(_LOOKS, "dbshuf-look")


def at_once(look: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return what `look` returns for each item, several at a time; raises the first error."""
    futures = [_looks.submit(partial(look, item)) for item in items]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()


@dataclass(frozen=True)
class RemoteObject:
    """An object that was listed, and where it is.

    name  its URL as messages show it
    head  its first bytes, all of a small one; so that a look at it is no request
    """

    store: ObjectStore
    info: ObjectInfo
    name: str
    head: bytes = b""

    @property
    def size_bytes(self) -> int:
        """Bytes of an object that has ranges."""
        assert self.info.size_bytes is not None
        return self.info.size_bytes

    def read_into(self, buffer: U8, start: int) -> None:
        """Fill `buffer` from byte `start` on, by requests that run at once.

        Raises  InputChanged, InputMissing, RemoteDenied, RemoteFailed
        """
        all_done(self.begin_read(buffer, start))

    def begin_read(self, buffer: U8, start: int) -> "list[Future[None]]":
        """As `read_into`, but return what `all_done` waits for."""
        known = self.head[start : start + len(buffer)]
        buffer[: len(known)] = np.frombuffer(known, np.uint8)
        return [
            _requests.submit(partial(self._read, buffer, start, at))
            for at in range(len(known), len(buffer), REQUEST_BYTES)
        ]

    def bytes_at(self, start: int, size: int) -> bytes:
        """Return up to `size` bytes from `start` on."""
        buffer = np.empty(max(min(size, self.size_bytes - start), 0), np.uint8)
        self.read_into(buffer, start)
        return buffer.tobytes()

    def open(self) -> "RemoteStream":
        """Return a reader of its bytes from the first one on."""
        return RemoteStream(self)

    def check_unchanged(self) -> None:
        """Raise InputChanged unless it is what it was when it was listed."""
        found = self.store.stat(self.info.key)
        if (found.size_bytes, found.version) != (self.info.size_bytes, self.info.version):
            raise InputChanged.of(self.name)

    def _read(self, buffer: U8, start: int, at: int) -> None:
        self.store.read_range(self.info, start + at, buffer[at : at + REQUEST_BYTES])


def requested(remote: RemoteObject, start: int, size: int) -> "Future[U8]":
    """Ask for a range, at most REQUEST_BYTES; the future has its bytes."""

    def read() -> U8:
        buffer = np.empty(size, np.uint8)
        remote.store.read_range(remote.info, start, buffer)
        return buffer

    return _requests.submit(read)


def with_heads(found: Sequence[RemoteObject]) -> list[RemoteObject]:
    """Return objects with their first bytes, several read at a time."""
    share = _ALL_HEADS_BYTES // max(len(found), 1)
    size = max(min(share, _MOST_HEAD_BYTES), _LEAST_HEAD_BYTES)
    heads = at_once(lambda one: _head(one, size), found)
    return [replace(one, head=head) for one, head in zip(found, heads, strict=True)]


def _head(remote: RemoteObject, size: int) -> bytes:
    if remote.info.has_ranges:
        return remote.bytes_at(0, size)
    reader, buffer = remote.store.open(remote.info), memoryview(bytearray(size))
    try:
        return bytes(buffer[: reader.readinto(buffer)])
    finally:
        reader.close()


def all_done(futures: "Sequence[Future[None]]") -> None:
    """Wait for all, since they write into one buffer; raise the first error."""
    failure: BaseException | None = None
    for future in futures:
        if failure is not None:
            future.cancel()
        try:
            error = future.exception()
        except BaseException as other:  # cancelled; or a signal, and then we wait no longer
            error = other
        failure = failure or error
    if failure is not None:
        raise failure


class RemoteStream:
    """The bytes of an object front to back; in the shape of an unbuffered file."""

    def __init__(self, remote: RemoteObject) -> None:
        self._remote = remote
        self._left = memoryview(remote.head)  # of what was received, what was not read yet
        self._next = len(remote.head)  # byte that the next request begins at
        self._step = _FIRST_BYTES
        self._ahead: deque[Future[U8]] = deque()
        self._plain: ObjectReader | None = None  # of a host that sends no ranges

    def read(self, size: int) -> bytes:
        """Return some of the next bytes, none at the end."""
        if not self._left:
            self._receive()
        piece, self._left = self._left[:size], self._left[size:]
        return bytes(piece)

    def readinto(self, view: memoryview) -> int:
        """Put some of the next bytes into `view`; 0 at the end."""
        if not self._left:
            self._receive()
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def fileno(self) -> int:
        """There is none; nothing asks, since a read never comes back without an answer."""
        raise OSError("no descriptor")

    def close(self) -> None:
        """Let go of what is ahead."""
        while self._ahead:
            self._ahead.popleft().cancel()
        if self._plain is not None:
            self._plain.close()
        self._left = memoryview(b"")

    def _receive(self) -> None:
        """Wait for the next bytes, and ask for those behind them."""
        if not self._remote.info.has_ranges:
            self._left = self._streamed()
            return
        size = self._remote.size_bytes
        most = 1 if self._step == _FIRST_BYTES else _AHEAD  # a look at the front reads no more
        while self._next < size and len(self._ahead) < most:
            length = min(self._step, size - self._next)
            self._ahead.append(requested(self._remote, self._next, length))
            self._next += length
            self._step = min(4 * self._step, REQUEST_BYTES)
        if self._ahead:
            self._left = self._ahead.popleft().result().data

    def _streamed(self) -> memoryview:
        if self._plain is None:
            self._plain = self._remote.store.open(self._remote.info)
            self._skip(len(self._remote.head))
        buffer = memoryview(bytearray(_FIRST_BYTES))
        return buffer[: self._plain.readinto(buffer)]

    def _skip(self, size: int) -> None:
        assert self._plain is not None
        scratch = memoryview(bytearray(size))
        while size and (count := self._plain.readinto(scratch[:size])):
            size -= count
