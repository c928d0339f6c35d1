"""A SELECT under way: one pass over `lines` into DuckDB, and the rows that come out of it.

How many rows DuckDB makes at once follows how wide they are: those of a result may be much wider
than the lines that they are made of.
"""

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from dbshuf.base.begin_anew import QueryTooLarge
from dbshuf.base.layout import MERGE_ROWS, VECTOR_ROWS
from dbshuf.base.statements import statement
from dbshuf.base.workers import Stopped, hand_over
from dbshuf.errors import DbshufError, QueryFailed, TempSpaceShort
from dbshuf.query.binding import FEED, make_view
from dbshuf.query.fence import Allowed, close_fence, connect
from dbshuf.query.parse import ENGINE_ERRORS, details, first_sentence
from dbshuf.units import MIB, human

_READER_ROWS, _READER_BYTES = (16, 2048), 2 * MIB  # that DuckDB hands over at a time
_BATCH_ROWS, _BATCH_BYTES = 65_536, 8 * MIB  # of what leaves here
_ORDERED_ROWS, _ORDERED_BYTES = 8192, MIB // 2  # likewise, where what leaves is in order
_THREAD_BYTES = 32 * MIB  # DuckDB's limit for each of its threads, at least
_PATIENCE_S = 0.2
_COPY = "copied"  # the table of query_spool.sql
_SAMPLE_ROWS, _SAMPLE_BYTES = 64, 4 * MIB  # of the result, to see how wide its rows are
_CHUNK_BYTES = 4 * MIB  # of the result, that DuckDB makes at once
_FADE = 0.9  # of the width of rows that came out before, a batch later
_STATE_BYTES = 64 * MIB  # what DuckDB needs at least beside its vectors

Feed = Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class BoundStatement:
    """A SELECT over `lines` that was checked and bound.

    option       that gave it, for messages
    select       the user's SELECT
    text         what is run: that, or a statement that orders its rows too
    feed_schema  the columns that `lines` is fed with
    types        column of `lines` -> its type in SQL
    columns      of `lines` that it reads
    scans        how often `lines` is read; from 2 on it is copied to disk first
    keeps_order  whether DuckDB keeps the order of `lines`
    is_ordered, is_row_by_row, is_sampled   as `WholeQuery` has them
    """

    option: str
    select: str
    text: str
    feed_schema: pa.Schema
    types: Mapping[str, str]
    columns: frozenset[str]
    scans: int
    allowed: Allowed
    macros: str
    keeps_order: bool
    is_ordered: bool
    is_row_by_row: bool
    is_sampled: bool


class _Pass:
    """The one pass over `lines`, for DuckDB to pull from any of its threads."""

    def __init__(self, feed: Feed, schema: pa.Schema) -> None:
        self.failure: BaseException | None = None
        self._feed, self._schema = feed, schema
        self._source: Iterator[pa.RecordBatch] = iter(())
        self._first: pa.RecordBatch | None = None
        self._is_taken = False
        self.most_rows = 1 << 20  # of a batch

    def mean_row_bytes(self) -> int:
        """Begin the pass, and return the mean size of the rows of its first batch."""
        self._source = self._feed()
        self._first = self._next()
        return self._first.nbytes // max(self._first.num_rows, 1) if self._first else 1

    def sample(self, count: int) -> pa.Table:
        """Return some rows out of the first batch, from all over it."""
        first = self._first
        if first is None:
            return pa.Table.from_batches([], self._schema)
        rows = np.linspace(0, first.num_rows, min(count, first.num_rows), endpoint=False)
        taken = pa.Table.from_batches([first]).select(self._schema.names)
        return taken.take(pa.array(rows.astype(np.int64)))

    def __arrow_c_schema__(self) -> object:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        if self._is_taken:
            self.failure = RuntimeError("`lines` was planned to be read once")
            raise self.failure
        self._is_taken = True
        reader = pa.RecordBatchReader.from_batches(self._schema, self._batches())
        return reader.__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        batch, self._first = self._first, None
        while batch is not None:
            columns = [batch.column(name) for name in self._schema.names]
            whole = pa.RecordBatch.from_arrays(columns, schema=self._schema)
            del batch, columns
            row = 0
            while row < whole.num_rows:
                part = whole.slice(row, self.most_rows)
                row += part.num_rows
                yield part
            del whole, part  # while the next one is made
            batch = self._next()

    def _next(self) -> pa.RecordBatch | None:
        try:
            return next(self._source, None)
        except BaseException as error:  # DuckDB would bury it in an error of its own
            self.failure = error
            raise

    def close(self) -> None:
        """End the pass; nobody may be pulling any more."""
        if isinstance(self._source, Generator):
            self._source.close()


class StatementRun:
    """A query under way, in a thread of its own, so that its caller can be interrupted."""

    def __init__(
        self,
        statement: BoundStatement,
        feed: Feed,
        *,
        memory_bytes: int,
        threads: int,
        folder: Path,
        gives_way: bool = False,
    ) -> None:
        """See `WholeQuery.rows` and `WholeQuery.ordered`."""
        self._gives_way, self._width = gives_way, 0
        self._statement, self._folder = statement, folder
        self._memory_bytes = memory_bytes
        self._pass = _Pass(feed, statement.feed_schema)
        self._ahead: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(maxsize=1)
        self._stop = threading.Event()
        self._threads = max(1, min(threads, memory_bytes // _THREAD_BYTES))
        self._database = folder / "lines.duckdb" if statement.scans > 1 else None
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begin; from now on, `close` must be called."""
        self._connection = connect(
            memory_bytes=self._memory_bytes,
            threads=self._threads,
            folder=self._folder,
            database=self._database,
            is_ordered=self._statement.keeps_order,
            macros=self._statement.macros,
        )
        self._thread.start()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the result. Raises what the query or its feed raised."""
        while (item := self._next()) is not None:
            if isinstance(item, BaseException):
                raise self._pass.failure or self._explained(item) from item
            yield item

    def _next(self) -> pa.RecordBatch | BaseException | None:
        while True:
            try:  # with a timeout: a signal just before a wait without end would go unseen
                return self._ahead.get(timeout=_PATIENCE_S)
            except queue.Empty:
                continue

    def close(self) -> None:
        """End the query, its threads and the pass over `lines`; what it spilled is left."""
        self._stop.set()
        while self._thread.is_alive():
            if self._connection is not None:
                self._connection.interrupt()
            self._thread.join(0.05)
        if self._connection is not None:
            self._connection.close()
        if self._database is not None:
            self._database.unlink(missing_ok=True)
        self._pass.close()

    def _work(self) -> None:
        connection = self._connection
        assert connection is not None
        try:
            width = self._pass.mean_row_bytes() if self._statement.scans else 1
            self._make_relation(connection)
            if self._statement.is_sampled:
                width = max(self._look_ahead(connection), width)
            least, most = _READER_ROWS
            if self._statement.is_ordered:
                most, joined_bytes = _ORDERED_ROWS, _ORDERED_BYTES
            else:
                joined_bytes = _BATCH_BYTES
            rows = min(max(_READER_BYTES // max(width, 1), least), most)
            reader = connection.sql(self._statement.text).to_arrow_reader(rows)
            found: Iterable[pa.RecordBatch] = reader
            if self._statement.is_row_by_row and not self._statement.is_ordered:
                found = self._watched(found)
            for batch in _joined(found, joined_bytes):
                self._hand_over(batch)
            self._hand_over(None)
        except Stopped:
            pass
        except BaseException as error:
            with contextlib.suppress(Stopped):
                self._hand_over(error)

    def _make_relation(self, connection: duckdb.DuckDBPyConnection) -> None:
        ours, feed = self._statement, FEED if self._statement.scans else "(SELECT 1)"
        if ours.scans:
            connection.register(FEED, self._pass)
        if ours.scans > 1:
            connection.execute(statement("duckdb", "query_spool"))
            feed = _COPY
        make_view(connection, ours.types, ours.columns, feed=feed)
        close_fence(connection, ours.allowed)

    def _look_ahead(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Return the mean size of the result's rows (0: unknown), from a sample of `lines`.

        DuckDB makes what a SELECT has of 2,048 rows at once, or of a batch that has fewer:
        where rows come out wide, it is given few at a time.

        Raises  QueryTooLarge if its merge has no room for such rows and it may give way
        """
        rows, size_bytes = self._made_of(connection, self._pass.sample(1))
        if (count := min(_SAMPLE_BYTES // max(size_bytes, 1), _SAMPLE_ROWS)) > 1:
            rows, size_bytes = self._made_of(connection, self._pass.sample(count))
        connection.register(FEED, self._pass)
        self._width = size_bytes // max(rows, 1)
        if self._statement.is_row_by_row and rows:
            self._pass.most_rows = max(_CHUNK_BYTES // max(self._width, 1), 1)
        elif self._statement.is_row_by_row and not self._statement.is_ordered:
            self._pass.most_rows = _SAMPLE_ROWS  # until one is seen
        if self._gives_way and MERGE_ROWS * self._width > self._memory_bytes:
            raise self._too_large()
        return self._width

    def _watched(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """Have the batches of `lines` follow the width of the rows that come out."""
        width = 0.0
        for batch in reader:
            yield batch
            width = max(batch.nbytes / max(batch.num_rows, 1), width * _FADE, 1.0)
            self._pass.most_rows = max(int(_CHUNK_BYTES / width), 1)

    def _made_of(self, connection: duckdb.DuckDBPyConnection, sample: pa.Table) -> tuple[int, int]:
        """Return the rows and bytes that the query makes of some rows, if it does."""
        connection.register(FEED, sample)
        rows = size_bytes = 0
        try:
            with connection.sql(self._statement.select).to_arrow_reader(_READER_ROWS[0]) as reader:
                for batch in itertools.islice(reader, _SAMPLE_ROWS // _READER_ROWS[0]):
                    rows, size_bytes = rows + batch.num_rows, size_bytes + batch.nbytes
        except (*ENGINE_ERRORS, pa.ArrowException):  # the run itself will say it
            return 0, 0
        return rows, size_bytes

    def _hand_over(self, item: pa.RecordBatch | BaseException | None) -> None:
        hand_over(self._ahead, item, self._stop)

    def _explained(self, error: BaseException) -> BaseException:
        """Tell a full disk from a full memory, and both from SQL that fails on a row."""
        if isinstance(error, DbshufError) or not isinstance(
            error, (*ENGINE_ERRORS, pa.ArrowException, OSError)
        ):
            return error
        text, option = details(error).message, self._statement.option
        if "No space left" in text or "max_temp_directory_size" in text:
            return TempSpaceShort(
                f"temporary directory `{self._folder.parent}` is full",
                hint="free space there or pass --temp-dir DIR; no output was published",
            )
        if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in str(error):
            return self._too_large()
        return QueryFailed(
            f"{option}: {first_sentence(error)}",
            hint="some value is at fault; TRY_CAST gives NULL instead; nothing was written",
        )

    def _too_large(self) -> QueryTooLarge:
        error = QueryTooLarge(
            f"{self._statement.option}: DuckDB cannot run this within its"
            f" {human(self._memory_bytes)}",
            hint="pass a larger --memory, or let fewer or smaller values be kept at once",
        )
        error.needed_bytes = self._threads * 2 * VECTOR_ROWS * self._width + _STATE_BYTES
        return error


def _joined(reader: Iterable[pa.RecordBatch], most_bytes: int) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a reader, small ones together and large ones in parts."""
    waiting: list[pa.RecordBatch] = []
    rows = size_bytes = 0
    for batch in reader:
        waiting.append(batch)
        rows, size_bytes = rows + batch.num_rows, size_bytes + batch.nbytes
        if rows >= _BATCH_ROWS or size_bytes >= most_bytes:
            whole = waiting[0] if len(waiting) == 1 else pa.concat_batches(waiting)
            yield from _parts(whole, size_bytes)
            waiting, rows, size_bytes = [], 0, 0
    if rows:
        yield from _parts(pa.concat_batches(waiting), size_bytes)


def _parts(batch: pa.RecordBatch, size_bytes: int) -> Iterator[pa.RecordBatch]:
    if size_bytes <= _BATCH_BYTES:
        yield batch
        return
    rows = max(batch.num_rows * _BATCH_BYTES // max(size_bytes, 1), 1)
    for first in range(0, batch.num_rows, rows):
        yield batch.slice(first, rows)
