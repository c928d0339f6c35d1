"""What is noted of rows on their way: how many of each input, and the checksum of all."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from dbshuf.base.block_io import U8
from dbshuf.base.key import POSITION_BITS
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.row_checksum import hashes_of_lines, hashes_of_rows, hashes_of_texts, sum_of
from dbshuf.base.scan import Scan, ThroughScan
from dbshuf.base.window import Window
from dbshuf.units import MIB

_MODULUS = 1 << 64
SCRATCH_BYTES = 6 * MIB  # of one thread that makes checksums
NOTES_BYTES = 2 * MIB  # buffers of what hashes


class RowSum:
    """How many rows there were, and the sum of their hashes; from several threads."""

    def __init__(self) -> None:
        self.rows = self.sum = 0
        self._lock = threading.Lock()

    def add(self, rows: int, row_sum: int) -> None:
        with self._lock:
            self.rows += rows
            self.sum = (self.sum + row_sum) % _MODULUS

    def clear(self) -> None:
        """Forget them."""
        self.rows = self.sum = 0

    @property
    def hex(self) -> str:
        """The sum in 16 digits."""
        return f"{self.sum:016x}"


class BatchNotes(NamedTuple):
    """What is noted of one batch: the checksum of its rows that are ordered, and (ordinal, rows)
    of each input that was read for it.
    """

    row_sum: int = 0
    read: tuple[tuple[int, int], ...] = ()


class ReadNotes:
    """What readers note: the rows of each input, and the checksum of those to be ordered.

    read     int64, shape (inputs,): rows that were read, before any SQL
    ordered  of the rows that were handed on to be ordered
    is_all   whether all that the inputs hold was read
    """

    is_all = False

    def __init__(self, inputs: int, when_read: Callable[[], None] = lambda: None) -> None:
        """Note of so many inputs; `when_read` is called once all of them is read."""
        self._when_read = when_read
        self.read = np.zeros(inputs, np.int64)
        self.ordered = RowSum()
        self._lock = threading.Lock()
        self._batch = threading.local()  # what its thread has noted of the last one

    def saw(self, batch: LineBatch | RowBatch) -> None:
        """Count the rows of a batch as it was read."""
        if isinstance(batch, LineBatch):
            firsts = [first for first, _ in batch.origins]
            counts = np.diff([*firsts, batch.rows])
            ids = batch.ids()[np.array(firsts, np.intp)[counts > 0]]
            numbers, counts = ids >> np.uint64(POSITION_BITS), counts[counts > 0]
        else:
            numbers, counts = np.unique(batch.ids >> np.uint64(POSITION_BITS), return_counts=True)
        with self._lock:
            self.read[numbers.astype(np.intp)] += counts
        self._batch.read = tuple(zip(numbers.tolist(), counts.tolist(), strict=True))

    def hand_on(self, batch: LineBatch | RowBatch) -> None:
        """Add the rows of a batch, behind any SQL, to those that are ordered."""
        rows, row_sum = _summed(batch)
        self.ordered.add(rows, row_sum)
        self._batch.row_sum = row_sum

    def of_batch(self) -> BatchNotes:
        """Return what this thread has noted of the batch that it has got last."""
        last = self._batch
        return BatchNotes(getattr(last, "row_sum", 0), getattr(last, "read", ()))

    def restore(self, rows: int, batch: BatchNotes) -> None:
        """Add what an earlier process has noted of a batch, of which `rows` were ordered."""
        self.ordered.add(rows, batch.row_sum)
        for number, count in batch.read:
            self.read[number] += count

    def end(self) -> None:
        """All that the inputs hold was read."""
        self.is_all = True
        self._when_read()

    def clear(self) -> None:
        """Forget all: it is read again."""
        self.is_all = False
        self.read[:] = 0
        self.ordered.clear()


class NotedScan(ThroughScan):
    """A feed whose rows go into a checksum on their way to what orders them."""

    def __init__(self, feed: Scan, notes: ReadNotes) -> None:
        super().__init__(feed, is_in_pieces=feed.is_in_pieces)
        self._notes = notes

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        for batch in self._feed.batches(buffer):
            self._notes.hand_on(batch)
            yield batch
            del batch


def _summed(batch: LineBatch | RowBatch) -> tuple[int, int]:
    if isinstance(batch, RowBatch):
        return len(batch.ids), sum_of(hashes_of_rows(batch.batch))
    if batch.kept is None:
        return batch.rows, sum_of(hashes_of_lines(batch.buffer, batch.offsets))
    starts = batch.offsets[batch.kept]
    sizes = batch.offsets[batch.kept + 1] - starts - 1
    return len(starts), sum_of(hashes_of_texts(batch.buffer, starts, sizes))


def window_sum(window: Window) -> int:
    """Return the checksum of the rows of a window."""
    if not window.is_lines:
        return sum_of(hashes_of_rows(window.batch))
    data = window.lines.buffers()[2]
    text = np.frombuffer(b"" if data is None else data, np.uint8)
    return sum_of(hashes_of_lines(text, window.bounds))


class WindowSum:
    """The checksum of windows, made in a thread beside what writes them if not before."""

    def __init__(self) -> None:
        self.total = RowSum()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dbshuf-sum")
        self._last: Future[None] | None = None

    def add(self, window: Window) -> None:
        """Add a window, once the one before it is done."""
        if window.row_sum is not None:
            self.total.add(window.rows, window.row_sum)
            return
        self._wait()
        self._last = self._thread.submit(self._add, window)

    def so_far(self) -> int:
        """Return the checksum of all windows up to now."""
        self._wait()
        return self.total.sum

    def finish(self) -> None:
        """Wait for the last one."""
        self._wait()
        self.close()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _wait(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def _add(self, window: Window) -> None:
        self.total.add(window.rows, window_sum(window))
