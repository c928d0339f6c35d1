"""A file that goes to an object store in equal parts, sent by other threads while it grows."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from io import FileIO

from dbshuf.errors import OutputUnwritable
from dbshuf.remote.object_store import Upload
from dbshuf.units import human

_CALLS_AT_ONCE = 16  # that complete, abort or delete


def in_parallel(works: Sequence[Callable[[], None]], *, raises: bool = False) -> None:
    """Make calls that wait for a host, several at once; all are made, whatever one raises.

    raises   whether what one of them raises is raised in the end
    """
    failed: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    if len(works) == 1:
        guarded(works[0])
    elif works:
        try:
            with ThreadPoolExecutor(min(len(works), _CALLS_AT_ONCE)) as pool:
                list(pool.map(guarded, works))
        except RuntimeError:  # the interpreter ends and starts no thread
            for work in works:
                guarded(work)
    if raises and failed:
        raise failed[0]


class PartSender:
    """Threads that send parts of uploads, and the memory that parts wait in.

    part_bytes  of every part but the last of an upload
    buffers     parts that are in memory at once, those that are being filled too: more than
                there are files open
    threads     parts that are sent at once
    """

    def __init__(self, *, part_bytes: int, buffers: int, threads: int) -> None:
        self.part_bytes = part_bytes
        self._free = threading.Semaphore(buffers)
        self._kept: list[bytearray] = []  # and used again
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dbshuf-upload")
        self._pending: set[Future[None]] = set()
        self._error: BaseException | None = None

    def buffer(self) -> bytearray:
        """Return `part_bytes` to be filled, once there is room. Raises what a thread did."""
        self._free.acquire()
        self._check()
        return self._kept.pop() if self._kept else bytearray(self.part_bytes)

    def send(self, work: Callable[[bytearray], None], part: bytearray) -> None:
        """Let a thread do `work` with a part that `buffer` gave; cut short, it is the last."""
        self._submit(lambda: self._work_with(work, part))

    def call(self, work: Callable[[], None]) -> None:
        """Let a thread do what holds no part."""
        self._submit(work)

    def give_back(self, part: bytearray) -> None:
        """Take back a part that is not needed any more."""
        if len(part) == self.part_bytes:
            self._kept.append(part)
        self._free.release()

    def drain(self) -> None:
        """Wait for all that was begun. Raises what a thread did."""
        while self._pending:
            with contextlib.suppress(KeyError):
                self._pending.pop().exception()
        self._check()

    def stop(self) -> None:
        """Drop what has not begun, and wait for nothing."""
        self._error = self._error or RuntimeError("stopped")
        self._pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Drop what has not begun and wait for the rest; never raises."""
        self._kept.clear()
        with contextlib.suppress(Exception):
            self._pool.shutdown(cancel_futures=True)

    def _submit(self, work: Callable[[], None]) -> None:
        self._check()
        future = self._pool.submit(self._guarded, work)
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)

    def _guarded(self, work: Callable[[], None]) -> None:
        if self._error is None:
            try:
                work()
            except BaseException as error:
                self._error = self._error or error

    def _work_with(self, work: Callable[[bytearray], None], part: bytearray) -> None:
        try:
            work(part)
        finally:
            self.give_back(part)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


class RemoteFile:
    """An output whose bytes become the parts of one upload, begun with the first of them.

    begin    starts the upload; called once, by a thread
    shown    its name, for messages
    is_alone  whether `finish` waits for the parts; else who made it does
    """

    def __init__(
        self,
        sender: PartSender,
        begin: Callable[[], Upload],
        *,
        shown: str,
        most_parts: int,
        is_alone: bool,
    ) -> None:
        self._sender, self._begin = sender, begin
        self._shown, self._most_parts = shown, most_parts
        self._is_alone = is_alone
        self._lock = threading.Lock()
        self._part: bytearray | None = None
        self._filled = 0
        self._parts = 0  # that were sent
        self.written_bytes = 0
        self.upload: Upload | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`; it is copied. Raises also for what an earlier call gave."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            if self._part is None:
                self._part = self._sender.buffer()
            count = min(len(view) - done, len(self._part) - self._filled)
            self._part[self._filled : self._filled + count] = view[done : done + count]
            self._filled += count
            done += count
            if self._filled == len(self._part):
                self._send()
        self.written_bytes += len(view)

    def flush(self) -> int:
        return 0

    def finish(self) -> None:
        """Send what is left; an upload without a part is begun all the same."""
        if self._part is not None and self._filled:
            del self._part[self._filled :]
            self._send()
        else:
            self.abort()
        if not self._parts:
            self._sender.call(self.begin_now)
        if self._is_alone:
            self._sender.drain()

    def abort(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            self._sender.give_back(part)

    def begin_now(self) -> None:
        """Begin the upload, if it is not."""
        self.started()

    def write_all(self, source: FileIO) -> None:
        """Append what is left of an unbuffered file, read into the memory of the parts."""
        while True:
            if self._part is None:
                self._part = self._sender.buffer()
            with memoryview(self._part)[self._filled :] as room:
                count = source.readinto(room)
            if not count:
                return
            self._filled += count
            self.written_bytes += count
            if self._filled == len(self._part):
                self._send()

    def started(self) -> Upload:
        """Return the upload, begun now if it is not; others that ask wait."""
        with self._lock:
            if self.upload is None:
                self.upload = self._begin()
            return self.upload

    def _send(self) -> None:
        part, number = self._part, self._parts
        assert part is not None
        if number == self._most_parts:
            raise OutputUnwritable(
                f"`{self._shown}`: more than {human(self.written_bytes)}, which is"
                f" {self._most_parts:,} parts of {human(self._sender.part_bytes)}",
                hint="cut it into several objects: --shards N",
            )
        self._part, self._filled, self._parts = None, 0, number + 1
        self._sender.send(lambda data: self.started().put_part(number, data), part)
