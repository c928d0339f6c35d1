"""Records of rows that are read, stored in an order of their own while the rows are."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from dbshuf.base.block_io import U8
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.spans import Spans
from dbshuf.base.workers import Stopped, join_all
from dbshuf.order.engine import Order

_WAIT_S = 0.2  # between two looks at whether the run was stopped
_AHEAD = 2  # batches of records that wait to be stored


class SideScan:
    """Batches that others put, for the one thread that stores them."""

    most_workers, is_in_pieces = 1, False
    ended: Mapping[int, int] = MappingProxyType({})

    def leave_out(self, known: Spans) -> None:
        """Nothing is read here."""

    def __init__(self) -> None:
        self._ahead: queue.Queue[RowBatch | None] = queue.Queue(_AHEAD)
        self._stop = threading.Event()

    @contextlib.contextmanager
    def stored(self, records: Order, on_failure: Callable[[], None]) -> Iterator[None]:
        """Have a thread store in `records` what is put meanwhile, to its end.

        on_failure  ends the work that puts
        Raises      what storing raises
        """
        failed: list[BaseException] = []

        def work() -> None:
            try:
                records.fill(self)
            except BaseException as error:
                failed.append(error)
                on_failure()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
            self.put(None)
            while thread.is_alive():
                thread.join(_WAIT_S)
        except Stopped:
            if not failed:
                raise
        finally:
            if thread.is_alive():
                self.stop()
                join_all([thread])
        if failed:
            raise failed[0]

    def put(self, batch: RowBatch | None) -> None:
        """Hand over a batch, or None: there are no more. Raises Stopped."""
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._ahead.put(batch, timeout=_WAIT_S)
                return
        raise Stopped

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Empty):
                batch = self._ahead.get(timeout=_WAIT_S)
                if batch is None:
                    return
                yield batch
        raise Stopped

    def check(self) -> None:
        """Nothing is read here."""

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        """Nothing is open."""
