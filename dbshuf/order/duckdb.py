"""The spill strategy: one ORDER BY, and DuckDB spills what does not fit in its limit."""

import queue
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from dbshuf.errors import StrategyUnfit, TempSpaceShort
from dbshuf.key import mix_ids
from dbshuf.order.ordered import Stopped
from dbshuf.order.tally import Tally
from dbshuf.order.window import Window
from dbshuf.source.batch import Batch
from dbshuf.source.lines import LineSource
from dbshuf.statements import quoted, statement
from dbshuf.strategy import MERGE_ROWS
from dbshuf.units import MIB, human
from dbshuf.verify import check_read

if TYPE_CHECKING:
    from dbshuf.pipeline import Reporter
    from dbshuf.plan import Plan

_SCHEMA = pa.schema([("key", pa.uint64()), ("line", pa.binary())])
_WINDOW_ROWS = 65_536
_WINDOW_BYTES = 8 * MIB
_BATCH_BYTES = 4 * MIB  # handed to DuckDB at a time; it copies them before it asks for more


def spill_order(
    plan: "Plan",
    source: LineSource,
    words: tuple[int, int],
    folder: Path,
    *,
    read: Tally,
    reporter: "Reporter",
) -> Iterator[Window]:
    """Yield all rows in key order; `read` is complete once the first window comes.

    Raises  TempSpaceShort if the disk fills, StrategyUnfit if DuckDB's limit is too low
    """
    connection = _connect(plan, folder)
    failures: list[BaseException] = []  # DuckDB would bury them in an error of its own
    rows = _record_batches(source, words, read, reporter, failures)
    try:
        connection.register("rows", pa.RecordBatchReader.from_batches(_SCHEMA, rows))
        width = max(plan.survey.mean_line_bytes, 1)
        window_rows = int(min(_WINDOW_ROWS, max(_WINDOW_BYTES // width, 64)))
        ordered = connection.sql(statement("duckdb", "order")).to_arrow_reader(window_rows)
        is_first = True
        for batch in ordered:
            if is_first:
                reporter.stage("write", read.text_bytes)
                is_first = False
            lines = batch.column("line")
            if len(lines):
                yield Window(lines, batch.column("key").to_numpy(), _text_bytes(lines))
    except (duckdb.Error, OSError) as error:
        raise failures[0] if failures else _explained(error, plan) from error
    finally:
        rows.close()
        connection.close()


def _connect(plan: "Plan", folder: Path) -> duckdb.DuckDBPyConnection:
    """A private in-memory database that spills to the run's folder and loads nothing."""
    limit = plan.duckdb_bytes
    pinned = int(MERGE_ROWS * plan.survey.mean_line_bytes)
    threads = max(1, min(plan.threads, limit // max(2 * pinned, 1)))
    connection = duckdb.connect()
    for setting, value in (
        ("memory_limit", quoted(f"{max(limit, 32 * MIB)}B")),
        ("threads", str(threads)),
        ("temp_directory", quoted(str(folder))),
        ("preserve_insertion_order", "false"),
        ("autoinstall_known_extensions", "false"),
        ("autoload_known_extensions", "false"),
    ):
        connection.execute(f"SET {setting} = {value}")
    return connection


def _record_batches(
    source: LineSource,
    words: tuple[int, int],
    read: Tally,
    reporter: "Reporter",
    failures: list[BaseException],
) -> Generator[pa.RecordBatch]:
    """Keys and lines in small batches that own their bytes, read on a thread ahead."""
    ahead: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(maxsize=2)
    stop = threading.Event()

    def hand_over(item: pa.RecordBatch | BaseException | None) -> None:
        while not stop.is_set():
            try:
                ahead.put(item, timeout=0.2)
                return
            except queue.Full:
                continue
        raise Stopped

    def work() -> None:
        try:
            for batch in source.batches(source.new_arena()):
                for piece in _pieces(batch, words, read):
                    hand_over(piece)
                reporter.advance(batch.text_bytes)
            source.check_unchanged()
            check_read(read, source.text_bytes)
            hand_over(None)
        except Stopped:
            pass
        except BaseException as error:
            hand_over(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := ahead.get()) is not None:
            if isinstance(item, BaseException):
                failures.append(item)
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def _pieces(batch: Batch, words: tuple[int, int], read: Tally) -> Iterator[pa.RecordBatch]:
    keys = batch.ids()
    mix_ids(keys, words)
    read.add(keys, batch.text_bytes)
    row, ends = 0, batch.offsets
    while row < batch.rows:
        stop = max(int(np.searchsorted(ends, int(ends[row]) + _BATCH_BYTES)) - 1, row + 1)
        text = batch.buffer[ends[row] : ends[stop]].copy()
        offsets = ends[row : stop + 1] - ends[row]
        lines = pa.Array.from_buffers(
            pa.binary(), stop - row, [None, pa.py_buffer(offsets), pa.py_buffer(text)]
        )
        yield pa.RecordBatch.from_arrays([pa.array(keys[row:stop]), lines], schema=_SCHEMA)
        row = stop


def _explained(error: Exception, plan: "Plan") -> Exception:
    """Tell a full disk from a full memory: DuckDB reports both as out of memory."""
    text = str(error)
    if "temp" in text.lower() and ("disk" in text.lower() or "No space" in text):
        return TempSpaceShort(
            f"temporary directory `{plan.temp_dir}` is full",
            hint="free space there or pass --temp-dir DIR; no output was written",
        )
    if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in text:
        return StrategyUnfit(
            f"DuckDB cannot order these lines within its {human(plan.duckdb_bytes)}",
            hint="use --strategy partition, or a larger --memory",
        )
    return error


def _text_bytes(lines: pa.Array) -> int:
    """Return the bytes of a binary array's values."""
    offsets = np.frombuffer(lines.buffers()[1], np.int32)
    return int(offsets[lines.offset + len(lines)]) - int(offsets[lines.offset])
