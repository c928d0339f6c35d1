"""The rows of one --sql over all that another scan has: DuckDB reads `lines` as it needs them."""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from dbshuf.base.begin_anew import QueryTooLarge
from dbshuf.base.block_io import U8, aligned_buffer
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.scan import Scan
from dbshuf.base.spans import Spans
from dbshuf.base.window import Window
from dbshuf.base.workers import Stopped, hand_over, join_all
from dbshuf.pipeline.run_checks import check_rows
from dbshuf.units import cap_named

if TYPE_CHECKING:
    from dbshuf.query.whole_statement import WholeQuery

_Item: TypeAlias = "pa.RecordBatch | BaseException | None"  # of a queue; None: a thread is done


@dataclass(frozen=True)
class SqlMeans:
    """What a --sql may use, and what it is to do.

    memory_bytes  of DuckDB, which spills to `folder`
    buffer_bytes  of each thread that reads, as the source expects them
    is_ordered    whether the statement orders the rows too: then `windows` gives them
    gives_way     whether it is not even tried where the rows seem too wide for that
    cap_for       bytes of DuckDB -> the --memory (bytes) that gives it them, or 0
    """

    memory_bytes: int
    threads: int
    buffer_bytes: int
    folder: Path
    is_ordered: bool
    gives_way: bool
    cap_for: Callable[[int], int]


class SqlScan:
    """The rows of one --sql over all that another feed has."""

    def __init__(
        self,
        feed: Scan,
        to_relation: Callable[[Any], pa.RecordBatch],
        query: "WholeQuery",
        means: SqlMeans,
    ) -> None:
        """Run `query`; `to_relation` turns what `feed` yields into rows of the relation `lines`."""
        self.most_workers = 1 << 10
        self.is_in_pieces, self.ended = False, dict[int, int]()
        self._feed, self._to_relation = feed, to_relation
        self._buffer_bytes = means.buffer_bytes
        self._readers = min(means.threads, feed.most_workers)
        self._query, self._cap_for = query, means.cap_for
        run: Callable[..., Generator[Any]] = query.rows
        if means.is_ordered:
            run = partial(query.ordered, gives_way=means.gives_way)
        self._rows: Generator[Any] = run(
            self._relations,
            memory_bytes=means.memory_bytes,
            threads=means.threads,
            folder=means.folder,
        )
        self._told_rows = self._told()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._is_done = self._is_all_read = False
        self._fed_rows = 0

    def leave_out(self, known: Spans) -> None:
        """Nothing can be: the SELECT sees all rows."""

    def windows(self) -> Iterator[Window]:
        """Yield the rows in the order of the seed.

        Raises  CheckFailed if the query keeps all rows and there are not as many; what the
                query raises
        """
        rows = 0
        for keys, batch in self._told_rows:
            rows += len(keys)
            yield Window.of_rows(batch, keys)
        if self._query.keeps_rows:
            check_rows(rows, self._fed_rows)

    def _told(self) -> Generator[Any]:
        """Yield what the query does; where that is too large, say what would be enough."""
        try:
            yield from self._rows
        except QueryTooLarge as error:
            cap = self._cap_for(error.needed_bytes)
            if cap:
                error.hint = f"--memory {cap_named(cap)} would do, for rows such as the first"
            raise

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        while True:
            with self._lock:
                rows = None if self._is_done else next(self._told_rows, None)
                if rows is None:
                    self._is_done = True
                    return
            yield rows

    def _relations(self) -> Generator[pa.RecordBatch]:
        """The relation `lines`, read by threads of their own, a little ahead."""
        ahead: queue.Queue[_Item] = queue.Queue(self._readers)
        threads = [
            threading.Thread(target=self._read, args=[ahead], daemon=True)
            for _ in range(self._readers)
        ]
        for thread in threads:
            thread.start()
        try:
            left = len(threads)
            while left:
                try:
                    item = ahead.get(timeout=0.2)
                except queue.Empty:
                    if self._stop.is_set():
                        raise Stopped from None
                    continue
                if item is None:
                    left -= 1
                elif isinstance(item, BaseException):
                    raise item
                else:
                    self._fed_rows += item.num_rows
                    yield item
            self._is_all_read = True
        finally:
            self._stop.set()
            self._feed.stop()
            join_all(threads)

    def _read(self, ahead: "queue.Queue[_Item]") -> None:
        """Put rows of the relation into a queue, then None; or what went wrong."""
        with contextlib.suppress(Stopped):
            try:
                for batch in self._feed.batches(aligned_buffer(self._buffer_bytes)):
                    hand_over(ahead, self._to_relation(batch), self._stop)
                hand_over(ahead, None, self._stop)
            except Stopped:
                raise
            except BaseException as error:
                hand_over(ahead, error, self._stop)

    def check(self) -> None:
        if self._is_all_read:  # a LIMIT may be content with less
            self._feed.check()

    def stop(self) -> None:
        self._stop.set()
        self._feed.stop()

    def close(self) -> None:
        self.stop()
        with contextlib.suppress(ValueError):  # a worker that is stuck in it will end it
            self._told_rows.close()
        self._feed.close()
