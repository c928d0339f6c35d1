"""Encoding on other threads while the caller goes on; what it makes comes back in order.

All writing stays on the caller's thread: errors arrive where they belong, and a pipe
that nobody reads blocks no thread that could not be interrupted.
"""

import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Encoded = bytes | memoryview
T = TypeVar("T")


class EncoderThreads(Generic[T]):
    """Calls on several threads, begun in order; on one thread, one after the other.

    threads   threads that run them
    depth     calls whose result may be outstanding after `call`: it bounds the memory
    write     takes the results, in the order of the calls, on the caller's thread
    """

    def __init__(self, threads: int, *, depth: int, write: Callable[[T], None]) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dbshuf-sink")
        self._depth = depth
        self._write = write
        self._pending: deque[Future[T]] = deque()

    def call(self, work: Callable[..., T], *arguments: object) -> None:
        """Begin one call, and write the results that are due. Raises what their calls raised."""
        self._pending.append(self._pool.submit(work, *arguments))
        self._write_due(self._depth)

    def call_alone(self, work: Callable[..., T], *arguments: object) -> None:
        """Make one call while no other runs: for a row so long that one copy more is too many."""
        self.drain()
        self.call(work, *arguments)
        self.drain()

    def call_last(self, work: Callable[..., T], *arguments: object) -> None:
        """Make the last call: here, where no other runs that it could run beside.

        A small file has one, and to begin a thread for it took longer than the call.
        """
        if self._pending:
            self.call(work, *arguments)
        else:
            self._write(work(*arguments))

    def drain(self) -> None:
        """Write the results of all calls that are left."""
        self._write_due(0)

    def finish(self) -> None:
        """Write the results of all calls that are left, and end the threads."""
        self.drain()
        self._pool.shutdown()

    def abort(self) -> None:
        """Drop what has not begun and wait for what has; results are lost. Never raises."""
        self._pending.clear()
        with contextlib.suppress(Exception):
            self._pool.shutdown(cancel_futures=True)

    def _write_due(self, depth: int) -> None:
        while self._pending and (len(self._pending) > depth or self._pending[0].done()):
            self._write(self._pending.popleft().result())


class MemoryFile:
    """A file that Arrow writes to, in memory: the pieces that it wrote, to be taken."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """What is written can still be taken."""

    def take(self) -> list[bytes]:
        """Return the pieces since the last call."""
        pieces, self._pieces = self._pieces, []
        return pieces
