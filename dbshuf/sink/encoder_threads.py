"""Work on other threads while the caller goes on; what it makes comes back in order.

All writing stays on the caller's thread: errors arrive where they belong, and a pipe
that nobody reads blocks no thread that could not be interrupted.
"""

import queue
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Made = bytes | memoryview
T = TypeVar("T")


class Ahead(Generic[T]):
    """Independent calls on several threads.

    threads   threads that run them
    depth     calls whose result may be outstanding after `call`: it bounds the memory
    """

    def __init__(self, threads: int, depth: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dbshuf-sink")
        self._depth = depth
        self._pending: deque[Future[T]] = deque()

    def call(self, work: Callable[..., T], *arguments: object) -> Iterator[T]:
        """Begin one call; yield the results that are due. Raises what their calls raised."""
        self._pending.append(self._pool.submit(work, *arguments))
        return self._due(self._depth)

    def drain(self) -> Iterator[T]:
        """Yield the results of all calls that are left."""
        return self._due(0)

    def rest(self) -> Iterator[T]:
        """Yield the results of all calls that are left, and end the threads."""
        yield from self._due(0)
        self._pool.shutdown()

    def stop(self) -> None:
        """Drop what has not begun and wait for what has; results are lost."""
        self._pending.clear()
        self._pool.shutdown(cancel_futures=True)

    def _due(self, depth: int) -> Iterator[T]:
        while self._pending and (len(self._pending) > depth or self._pending[0].done()):
            yield self._pending.popleft().result()


class Beside:
    """Calls in order on one thread that write pieces to this object, as Arrow to a file.

    A piece can be taken as soon as it is written, so few of them wait in memory.

    depth     calls that may be unfinished after `call`
    """

    closed = False

    def __init__(self, depth: int) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="dbshuf-sink")
        self._depth = depth
        self._unfinished = 0
        self._made: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()

    def write(self, piece: bytes) -> int:
        self._made.put(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """What is written can be taken at once."""

    def close(self) -> None:
        """What is written can still be taken."""

    def call(self, work: Callable[..., None], *arguments: object) -> Iterator[bytes]:
        """Begin one call; yield the pieces that are there. Raises what a call raised."""
        self._unfinished += 1
        self._pool.submit(self._run, work, *arguments)
        return self._take(self._depth)

    def drain(self) -> Iterator[bytes]:
        """Yield the pieces of all calls that are left."""
        return self._take(0)

    def rest(self) -> Iterator[bytes]:
        """Yield all pieces that are left, and end the thread."""
        yield from self._take(0)
        self._pool.shutdown()

    def stop(self) -> None:
        """Drop what has not begun and wait for what has; pieces are lost."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            self._made.put(error)
        else:
            self._made.put(None)  # the end of this call

    def _take(self, depth: int) -> Iterator[bytes]:
        while True:
            try:
                made = self._made.get(block=self._unfinished > depth)
            except queue.Empty:
                return
            if isinstance(made, bytes):
                yield made
                continue
            self._unfinished -= 1
            if made is not None:
                raise made
