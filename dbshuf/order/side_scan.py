"""Records of the rows of a scan, stored in an order of their own while the rows are."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator

from dbshuf.base.block_io import U8
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.scan import InnerScan, Scan, ThroughScan
from dbshuf.base.workers import Stopped, hand_over, join_all
from dbshuf.order.engine import Order

_WAIT_S = 0.2  # between two looks at whether the run was stopped
_AHEAD = 2  # batches of records that wait to be stored


class TeeScan(ThroughScan):
    """What a feed yields; batches made of it are stored beside, in an order of their own."""

    def __init__(self, feed: Scan) -> None:
        super().__init__(feed)  # not in pieces, since all rows are looked at
        self._side = _SideScan()

    def stored(self, records: Order) -> contextlib.AbstractContextManager[None]:
        """Have a thread store what is put while the rows are read. Raises what storing raises."""
        return self._side.stored(records, self.stop)

    def put(self, batch: RowBatch) -> None:
        """Have a batch stored. Raises Stopped."""
        self._side.put(batch)

    def stop(self) -> None:
        self._side.stop()
        super().stop()


class _SideScan(InnerScan):
    """Batches that others put, for the one thread that stores them."""

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
        hand_over(self._ahead, batch, self._stop)

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Empty):
                batch = self._ahead.get(timeout=_WAIT_S)
                if batch is None:
                    return
                yield batch
        raise Stopped

    def stop(self) -> None:
        self._stop.set()
