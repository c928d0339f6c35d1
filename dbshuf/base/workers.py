"""Several workers, one order: results leave in the order of their turns.

Worker threads take turns 0, 1, 2, ... and each puts any number of items for its
turn; the consumer sees all items of turn 0, then of turn 1, and so on. Together the
workers may be `ahead_bytes` of items ahead of the consumer, memory for a turn is
granted in the order of turns, and the first error stops everything. The threads are
daemons so that a program can end with a stream half-read; see library.stream.
"""

import contextlib
import os
import queue
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")

_SIGNAL_S = 0.5  # a signal just before a wait without an end would go unseen until its end
_PATIENCE_S = 0.2  # between two looks at whether a run was stopped
_STUCK_S = 2.0  # after an interrupt, how long a worker that reads is waited for
_GONE_S, _LOOK_S = 0.5, 0.0005  # for the system to end a thread, and between two looks


class Stopped(Exception):
    """The run is over; a worker that sees this just leaves."""


def hand_over(ahead: queue.Queue[T], item: T, stop: threading.Event) -> None:
    """Put an item in a queue as soon as there is room. Raises Stopped after `stop`."""
    while not stop.is_set():
        with contextlib.suppress(queue.Full):
            ahead.put(item, timeout=_PATIENCE_S)
            return
    raise Stopped


class Budget:
    """Bytes that the workers share; granted in the order of turns."""

    def __init__(self, total_bytes: int) -> None:
        self._free = total_bytes
        self._total = total_bytes
        self._next_turn = 0
        self.changed = threading.Condition()
        self.is_stopped = False

    def take(self, turn: int, size: int) -> int:
        """Wait for this turn's grant of `size` bytes (the whole budget at most); return it."""
        size = min(size, self._total)
        with self.changed:
            while not self.is_stopped and (turn != self._next_turn or self._free < size):
                self.changed.wait()
            if self.is_stopped:
                raise Stopped
            self._next_turn += 1
            self._free -= size
            self.changed.notify_all()
        return size

    def give(self, size: int) -> None:
        """Return a grant."""
        with self.changed:
            self._free += size
            self.changed.notify_all()

    def stop(self) -> None:
        """Wake and turn away everyone who waits."""
        with self.changed:
            self.is_stopped = True
            self.changed.notify_all()


class Exchange(Generic[T]):
    """Items on their way from the workers to the consumer, `ahead_bytes` at most.

    The turn that the consumer is at may always have one item waiting, so that it
    gets on even while later turns fill the room. A worker whose item is larger than all of
    the room waits until the consumer asks for the next one: only then its memory is free.
    """

    def __init__(self, turns: int, ahead_bytes: int) -> None:
        self._turns = turns
        self._items: defaultdict[int, deque[tuple[T, int] | None]] = defaultdict(deque)
        self._ahead_bytes = ahead_bytes
        self._waiting_bytes = 0
        self._current = 0
        self._put = self._done = 0  # large items, handed over and consumed
        self._changed = threading.Condition()
        self.is_stopped = False
        self.error: BaseException | None = None

    def put(self, turn: int, item: T, size: int) -> None:
        """Hand over an item of a turn; wait until there is room."""
        with self._changed:
            while not self.is_stopped and not self._has_room(turn, size):
                self._changed.wait()
            if self.is_stopped:
                raise Stopped
            self._items[turn].append((item, size))
            self._waiting_bytes += size
            self._changed.notify_all()
            del item
            if size <= self._ahead_bytes:
                return
            self._put += 1
            mine = self._put  # the one turn that the consumer is at hands large items over
            while not self.is_stopped and self._done < mine:
                self._changed.wait()
            if self.is_stopped:
                raise Stopped

    def _has_room(self, turn: int, size: int) -> bool:
        is_next = turn == self._current and not self._items[turn]
        return is_next or self._waiting_bytes + size <= self._ahead_bytes

    def end(self, turn: int) -> None:
        """Say that no item of a turn follows."""
        with self._changed:
            self._items[turn].append(None)
            self._changed.notify_all()

    def stop(self, error: BaseException | None = None) -> None:
        """End everything; the consumer sees the first error."""
        with self._changed:
            self.is_stopped = True
            self.error = self.error or error
            self._changed.notify_all()

    def items(self) -> Iterator[T]:
        """Yield all items, turn by turn; Raises what `stop` was told."""
        while self._current < self._turns:
            with self._changed:
                while not self.is_stopped and not self._items[self._current]:
                    self._changed.wait(_SIGNAL_S)
                if self.is_stopped:
                    raise self.error or Stopped
                entry = self._items[self._current].popleft()
                if entry is None:
                    del self._items[self._current]
                    self._current += 1
                else:
                    self._waiting_bytes -= entry[1]
                self._changed.notify_all()
            if entry is not None:
                yield entry[0]
                is_large = entry[1] > self._ahead_bytes
                del entry
                if is_large:
                    with self._changed:
                        self._done += 1
                        self._changed.notify_all()


def run_workers(count: int, work: Callable[[int], None], on_stop: Callable[[], None]) -> None:
    """Run work(0) ... work(count - 1) in threads to the end; raise the first error.

    on_stop  called on an error, or an interrupt of the calling thread: it wakes and turns
             away whoever waits; then all are joined
    """
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except Stopped:
            pass
        except BaseException as error:
            errors.append(error)

    threads = _threads(guarded, count)
    is_done = False
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive() and not errors:
                thread.join(0.2)
        is_done = not errors
    finally:
        if not is_done:
            on_stop()
            join_all(threads)
    if errors:
        raise errors[0]
    _wait_until_gone(threads)


def _threads(target: Callable[[int], None], count: int) -> list[threading.Thread]:
    return [threading.Thread(target=target, args=(one,), daemon=True) for one in range(count)]


def _wait_until_gone(threads: list[threading.Thread]) -> None:
    """Wait until the system has ended threads that were joined, which is a moment later.

    What a thread has freed and the C library has kept, up to 32 MiB, goes to the next thread to
    begin, but only then: on a busy machine the next workers came too soon, and took as much anew.
    """
    deadline = time.monotonic() + _GONE_S
    for thread in threads:
        place = f"/proc/self/task/{thread.native_id}"
        while os.path.exists(place) and time.monotonic() < deadline:
            time.sleep(_LOOK_S)


def join_all(threads: list[threading.Thread]) -> None:
    """Wait for threads that were told to stop: at once, unless one reads a silent pipe."""
    deadline = time.monotonic() + _STUCK_S
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(deadline - time.monotonic(), 0))


def in_order(
    turns: int,
    workers: int,
    ahead_bytes: int,
    work: Callable[[int, Callable[[T, int], None], int], None],
    on_stop: Callable[[], None],
) -> Iterator[T]:
    """Yield all items of all turns in order, produced by `workers` threads.

    work(turn, put, worker)  calls put(item, bytes) for each item of the turn; turns are
                             given out in ascending order
    on_stop                  wakes workers that wait for something of their own
    """
    exchange = Exchange[T](turns, ahead_bytes)
    pending, lock = iter(range(turns)), threading.Lock()

    def loop(worker: int) -> None:
        try:
            while not exchange.is_stopped:
                with lock:
                    turn = next(pending, None)
                if turn is None:
                    return
                work(turn, partial(exchange.put, turn), worker)
                exchange.end(turn)
        except Stopped:
            pass
        except BaseException as error:
            exchange.stop(error)
            on_stop()

    threads = _threads(loop, workers)
    try:
        for thread in threads:
            thread.start()
        yield from exchange.items()
    finally:
        exchange.stop()
        on_stop()
        _join_others(threads)


def _join_others(threads: list[threading.Thread]) -> None:
    """Wait for the end of all threads but this one, which may be one that collects a stream."""
    here = threading.current_thread()
    for thread in threads:
        if thread.ident is not None and thread is not here:
            thread.join()
    if here not in threads:
        _wait_until_gone(threads)
