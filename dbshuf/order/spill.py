"""The spill strategy: one ORDER BY, and DuckDB spills what does not fit in its limit."""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import aligned_buffer
from dbshuf.base.counters import Tally
from dbshuf.base.key import U64, mix_ids
from dbshuf.base.layout import merge_threads
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.nested_types import holds_interval
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.scan import Scan
from dbshuf.base.statements import quoted, statement
from dbshuf.base.window import Window
from dbshuf.base.workers import Stopped, hand_over, join_all
from dbshuf.errors import StrategyUnfit, TempSpaceShort
from dbshuf.order.run_format import next_window
from dbshuf.query.result_types import not_taken
from dbshuf.units import MIB, human

_LINES = pa.schema([("line", pa.binary())])
_WINDOW_ROWS = 65_536
_WINDOW_BYTES = 8 * MIB
_BATCH_BYTES = 4 * MIB  # handed to DuckDB at a time; it copies them before it asks for more
_WAIT_S = 0.2  # between two looks at whether the run was stopped


@dataclass(frozen=True)
class Spill:
    """What one ORDER BY that spills is given.

    schema          of typed rows; None: they are lines
    mean_row_bytes  of the rows
    size_bytes      of all of them, 0 where that is unknown
    buffer_bytes    what the thread that reads for it takes at a time
    memory_bytes    DuckDB's limit
    temp_dir        which the user named, for messages
    is_prefixed     whether the rows have prefixes
    """

    schema: pa.Schema | None
    mean_row_bytes: float
    size_bytes: int
    buffer_bytes: int
    memory_bytes: int
    threads: int
    temp_dir: Path
    is_prefixed: bool = False


class SpillOrder:
    """One order by one statement of DuckDB, which spills; see engine.Order."""

    def __init__(self, spill: Spill, words: tuple[int, int], folder: Path) -> None:
        """Order within DuckDB's limit; `folder` is where it spills.

        Raises  StrategyUnfit if DuckDB would change a type of the rows
        """
        self.read = Tally()
        self._spill, self._words = spill, words
        self._columns = _LINES if spill.schema is None else spill.schema
        self._rows: _Rows | None = None
        self._ordered: Iterator[pa.RecordBatch] = iter(())
        self._first: pa.RecordBatch | None = None
        self._connection = _connect(spill, folder)
        _check_types(self._connection, self._columns)

    def fill(self, feed: Scan) -> None:
        """Have DuckDB read all rows, which it has once it hands over the first.

        Raises  also StrategyUnfit if DuckDB's limit is too low
        """
        self._rows = rows = _Rows(self._spill, feed, self._words, self._columns, self.read)
        reader = pa.RecordBatchReader.from_batches(rows.schema, rows.rows)
        width = max(self._spill.mean_row_bytes, 1)
        window_rows = int(min(_WINDOW_ROWS, max(_WINDOW_BYTES // width, 64)))
        with self._told():
            self._connection.register("rows", reader)
            found = self._connection.sql(
                statement("duckdb", "order_prefixed" if self._spill.is_prefixed else "order")
            )
            self._ordered = found.to_arrow_reader(window_rows)
            self._first = next(self._ordered, None)

    def windows(self) -> Iterator[Window]:
        batch, self._first = self._first, None
        while batch is not None:
            yield from _windows(batch, self._spill)
            with self._told():
                batch = next(self._ordered, None)

    def close(self) -> None:
        if self._rows is not None:
            self._rows.stop()
        self._connection.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn errors of DuckDB, and those that it buries, into those for users."""
        try:
            yield
        except (duckdb.Error, OSError) as error:
            failure = None if self._rows is None else self._rows.failure
            raise failure or _explained(error, self._spill) from error


def _connect(spill: Spill, folder: Path) -> duckdb.DuckDBPyConnection:
    """A private in-memory database that spills to the run's folder and loads nothing."""
    limit = spill.memory_bytes
    threads = merge_threads(limit, spill.mean_row_bytes, spill.threads, spill.size_bytes)
    connection = duckdb.connect()
    for setting, value in (
        ("memory_limit", quoted(f"{limit}B")),
        ("threads", str(threads)),
        ("temp_directory", quoted(str(folder))),
        ("preserve_insertion_order", "false"),
        ("enable_progress_bar", "false"),  # it would go to standard output
        ("TimeZone", "'UTC'"),  # not the machine's: columns come back in it
        ("autoinstall_known_extensions", "false"),
        ("autoload_known_extensions", "false"),
    ):
        connection.execute(f"SET {setting} = {value}")
    return connection


def _check_types(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> None:
    """Raise StrategyUnfit for columns that DuckDB would hand back as another type."""
    empty = pa.Table.from_batches([], schema)
    try:
        back = connection.from_arrow(empty).to_arrow_table().schema
    except duckdb.Error as error:
        raise _unfit(f"DuckDB cannot hold {not_taken(connection, schema)}") from error
    for given, found in zip(schema, back, strict=True):
        if holds_interval(given.type):
            raise _unfit(f"DuckDB would cut nanoseconds off column `{given.name}` {given.type}")
        if given.type != found.type:
            raise _unfit(f"DuckDB would turn column `{given.name}` {given.type} into {found.type}")


def _unfit(message: str) -> StrategyUnfit:
    return StrategyUnfit(f"--strategy spill: {message}", hint="use --strategy partition")


class _Rows:
    """Keys and columns in small batches that own their bytes, read on a thread ahead.

    failure  what went wrong on the way; DuckDB would bury it in an error of its own
    """

    def __init__(
        self, spill: Spill, feed: Scan, words: tuple[int, int], columns: pa.Schema, read: Tally
    ) -> None:
        own = ["dbshuf key", "dbshuf prefix"] if spill.is_prefixed else ["dbshuf key"]
        self.schema = pa.schema([*((name, pa.uint64()) for name in own), *columns])
        self.rows = self._rows()
        self.failure: BaseException | None = None
        self._spill, self._feed, self._words, self._read = spill, feed, words, read
        self._ahead: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(maxsize=2)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def stop(self) -> None:
        """End the thread that reads."""
        self._stop.set()
        self._feed.stop()
        join_all([self._thread])

    def _rows(self) -> Generator[pa.RecordBatch]:
        self._thread.start()
        while True:
            try:
                item = self._ahead.get(timeout=_WAIT_S)
            except queue.Empty:
                if self._stop.is_set():
                    return
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                self.failure = item
                raise item
            yield item

    def _put(self, item: pa.RecordBatch | BaseException | None) -> None:
        hand_over(self._ahead, item, self._stop)

    def _work(self) -> None:
        try:
            try:
                for batch in self._feed.batches(aligned_buffer(self._spill.buffer_bytes)):
                    for piece in self._pieces(batch):
                        self._put(piece)
                self._feed.check()
                self._put(None)
            except Stopped:
                raise
            except BaseException as error:
                self._put(error)
        except Stopped:
            pass

    def _pieces(self, batch: LineBatch | RowBatch) -> Iterator[pa.RecordBatch]:
        if isinstance(batch, RowBatch):
            ids, sizes = batch.ids, batch.sizes
            arrays = batch.batch.columns
        else:
            ids, sizes, line = batch.ids(), np.diff(batch.offsets), batch.lines()
            if batch.kept is not None:
                ids, sizes = ids.take(batch.kept), sizes.take(batch.kept)
                line = line.take(pa.array(batch.kept))
            arrays = [line]
        keys: U64 = ids.copy()
        mix_ids(keys, self._words)
        self._read.add(keys, sizes)
        ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        row = 0
        while row < len(keys):
            stop = next_window(ends, row)
            rows = pa.array(np.arange(row, stop))
            parts: list[Any] = [array.take(rows) for array in arrays]
            own = [keys] if batch.prefixes is None else [keys, batch.prefixes]
            parts = [*(pa.array(one[row:stop]) for one in own), *parts]
            yield pa.RecordBatch.from_arrays(parts, schema=self.schema)
            row = stop


def _windows(batch: pa.RecordBatch, spill: Spill) -> Iterator[Window]:
    if not batch.num_rows:
        return
    keys, *columns = batch.columns
    prefixes = columns.pop(0).to_numpy() if spill.is_prefixed else None
    if spill.schema is None:
        yield Window.of_lines(columns[0], keys.to_numpy(), prefixes)
        return
    rows = pa.RecordBatch.from_arrays(columns, schema=spill.schema)
    yield Window.of_rows(rows, keys.to_numpy(), prefixes)


def _explained(error: Exception, spill: Spill) -> Exception:
    """Tell a full disk from a full memory: DuckDB reports both as out of memory."""
    text = str(error)
    if "temp" in text.lower() and ("disk" in text.lower() or "No space" in text):
        return TempSpaceShort(
            f"temporary directory `{spill.temp_dir}` is full",
            hint="free space there or pass --temp-dir DIR; no output was published",
        )
    if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in text:
        return StrategyUnfit(
            f"DuckDB cannot order these rows within its {human(spill.memory_bytes)}",
            hint="use --strategy partition, or a larger --memory",
        )
    return error
