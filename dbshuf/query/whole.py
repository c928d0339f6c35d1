"""--sql and `dbshuf query`: one SELECT over all rows, run once, out of core."""

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from dbshuf.base.key import U64, seed_words
from dbshuf.base.layout import MERGE_ROWS, VECTOR_ROWS
from dbshuf.base.row_batch import RowBatch, fixed_bytes
from dbshuf.base.statements import Filled, identifier, ordered_result, statement
from dbshuf.base.too_wide import QueryTooLarge
from dbshuf.base.workers import Stopped
from dbshuf.errors import DbshufError, QueryFailed, QueryInvalid, TempSpaceShort
from dbshuf.query.binding import FEED, SCAN, Binder, feed_names, make_view
from dbshuf.query.evaluator import check_wide, row_column
from dbshuf.query.fence import Allowed, check_tables, close_fence, connect, macros_for
from dbshuf.query.functions import check_fence
from dbshuf.query.parse import (
    Node,
    SqlText,
    details,
    first_sentence,
    parse,
    place_in,
    unterminated,
    walk,
)
from dbshuf.query.star_columns import own_stars, passed_by_query
from dbshuf.units import MIB, human

_ID = "id"
_READER_ROWS, _READER_BYTES = (16, 2048), 2 * MIB  # that DuckDB hands over at a time
_BATCH_ROWS, _BATCH_BYTES = 65_536, 8 * MIB  # of what leaves here
_ORDERED_ROWS, _ORDERED_BYTES = 8192, MIB // 2  # likewise, where what leaves is in order
_THREAD_BYTES = 32 * MIB  # DuckDB's limit for each of its threads, at least
_PATIENCE_S = 0.2
_COPY = "copied"  # the table of query_spool.sql
_KEEPING = {"PROJECTION", "STREAMING_WINDOW", "ORDER_BY", SCAN}  # operators that keep all rows
_SAMPLED = _KEEPING | {  # those that make no more rows than they are given
    *("FILTER", "WINDOW", "TOP_N", "LIMIT", "STREAMING_LIMIT", "UNGROUPED_AGGREGATE"),
    *("HASH_GROUP_BY", "PERFECT_HASH_GROUP_BY"),
}
_SAMPLE_ROWS, _SAMPLE_BYTES = 64, 4 * MIB  # of the result, to see how wide its rows are
_CHUNK_BYTES = 4 * MIB  # of the result, that DuckDB makes at once
_FADE = 0.9  # of the width of rows that came out before, a batch later
_STATE_BYTES = 64 * MIB  # what DuckDB needs at least beside its vectors

Feed = Callable[[], Iterator[pa.RecordBatch]]


class WholeQuery:
    """One SELECT over `lines`; checked before any work.

    columns  of `lines` that it reads
    schema   of the result's rows, without the ids
    has_id   whether a column `id` of type UBIGINT gives the ids of the rows; without one
             they are numbered as they come, and that order may depend on memory and threads
    passed   column of the result -> the column of `lines` whose values it has as they are
    scans    how often `lines` is read; from 2 on it is copied to disk first
    is_orderable
             whether DuckDB takes it as a part of a statement that orders its rows
    texts    how many of the columns that it reads have values of no fixed width
    keeps_rows
             whether the result has as many rows as `lines`
    is_row_by_row
             whether every row of the result is made of one row of `lines`
    is_sampled
             whether some rows of `lines` show how wide those of the result are
    """

    def __init__(
        self,
        text: str,
        relation: pa.Schema,
        *,
        allow_files: Sequence[str] = (),
        id_is_data: bool = False,
        option: str = "--sql",
        seed: str | None = None,
    ) -> None:
        """Parse, bind and check.

        text         the SELECT
        relation     the columns that `lines` has
        allow_files  files and directories that it may read
        id_is_data   whether `id` in `lines` is a column of the user's, and no row id
        seed         of the run, for shuffle_key(id)
        Raises       QueryInvalid, with the place in the text; InputMissing
        """
        self._sql = SqlText(option, text.removeprefix("\ufeff"), relation.names)
        self._allowed = Allowed.of(allow_files)
        self._macros = macros_for((text,), seed)
        with Binder(relation, self._allowed, option=option, macros=self._macros) as binder:
            tree = self._checked(binder)
            self.passed = passed_by_query(tree, relation.names)
            query = Filled(unterminated(self._sql.text), {"query": 0})
            sql, query = own_stars(binder, self._sql, query, "query", carries_id=not id_is_data)
            self._text = query.text
            bound = binder.bind(sql, query, "query")
            result = binder.result(sql, self._text, tree)
            self._types = binder.types
            ids = [n for n, kind in result.types.items() if n.lower() == _ID and kind == "UBIGINT"]
            self.has_id = bool(ids) and not id_is_data
            self._id = ids[0] if self.has_id else ""
            self.schema = pa.schema([field for field in result.schema if field.name != self._id])
            self.columns, self.scans = bound.columns, bound.scans
            self.is_row_by_row = bound.operators <= _KEEPING | {"FILTER"} and bound.scans == 1
            self.is_sampled = bound.operators <= _SAMPLED and bound.scans == 1
            self._key = row_column(result.types)
            self._ordered, self.keeps_rows = "", False
            if seed is not None and len(self.schema):
                self._bind_ordered(binder, sql, seed)
        names = feed_names(relation, self.columns)
        self._feed_schema = pa.schema([relation.field(name) for name in names])
        self.texts = sum(fixed_bytes(relation.field(name).type) is None for name in names)
        self._wide = result.wide
        if not len(self.schema):
            raise self._sql.invalid("the result has no column beside `id`")

    @property
    def is_orderable(self) -> bool:
        return bool(self._ordered)

    def _bind_ordered(self, binder: Binder, sql: SqlText, seed: str) -> None:
        """Make the statement that orders the result, where DuckDB takes the SELECT within it."""
        row_id = identifier(self._id) if self.has_id else "row_number() OVER () - 1"
        words = seed_words(seed)
        text = unterminated(self._text)
        ordered = ordered_result(text, self.schema.names, row_id, words, self._key)
        try:
            bound = binder.bind(sql, ordered, "query")
        except QueryInvalid:
            return
        self._ordered = ordered.text
        self.columns |= bound.columns
        self.scans = max(self.scans, bound.scans)
        self.keeps_rows = bound.operators <= _KEEPING and bound.scans == 1

    def _checked(self, binder: Binder) -> Node:
        """Return the tree of the one SELECT. Raises QueryInvalid."""
        statements = parse(binder.connection, self._sql)
        if len(statements) != 1:
            found = f"{len(statements)} statements" if statements else "none"
            raise self._sql.invalid(f"exactly one SELECT is run, and this is {found}")
        tree: Node = statements[0]["node"]
        check_tables(self._sql, tree, self._allowed)
        check_fence(binder.connection, self._sql, tree, 0)
        for node in walk(tree):
            if node.get("class") == "PARAMETER":
                raise self._sql.invalid("parameters have no value here", place_in(node, 0))
        return tree

    def rows(
        self, feed: Feed, *, memory_bytes: int, threads: int, folder: Path
    ) -> Generator[RowBatch, None, None]:
        """Run the query and yield its rows, in DuckDB's order.

        feed          starts the one pass over `lines`; called at most once, in another
                      thread; its batches have the columns `columns` and own their bytes
        memory_bytes  DuckDB's limit; the process takes some 40 MB more
        threads       that DuckDB may use
        folder        of this run alone; rows are spilled and copied there
        Raises        QueryFailed, TempSpaceShort, and whatever `feed` raises
        """
        run = _Run(
            self, self._text, feed, memory_bytes=memory_bytes, threads=threads, folder=folder
        )
        count = 0
        try:
            run.start()
            for batch in run.batches():
                yield self._numbered(batch, count)
                count += batch.num_rows
        finally:
            run.close()

    def ordered(
        self, feed: Feed, *, memory_bytes: int, threads: int, folder: Path, gives_way: bool = False
    ) -> Generator[tuple[U64, pa.RecordBatch], None, None]:
        """Run the query and yield its rows in the order of the seed, with their keys.

        All is as for `rows`, and one statement: the order is part of it.

        gives_way  whether rows that seem too wide for DuckDB's merge are not even tried
        Raises  QueryTooLarge, which may be for the order's sake; others as `rows`
        """
        run = _Run(
            self,
            self._ordered,
            feed,
            memory_bytes=memory_bytes,
            threads=threads,
            folder=folder,
            gives_way=gives_way,
        )
        try:
            run.start()
            for batch in run.batches():
                yield self._keyed(batch)
        finally:
            run.close()

    def _keyed(self, batch: pa.RecordBatch) -> tuple[U64, pa.RecordBatch]:
        check_wide(batch, self._wide, self._sql.option, lambda row: "a row of the result")
        keys = batch.column(self._key)
        if keys.null_count:
            raise self._no_id("a row of the result")
        arrays = [batch.column(name) for name in self.schema.names]
        return keys.to_numpy(), pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _no_id(self, where: str) -> QueryFailed:
        return QueryFailed(
            f"{self._sql.option}: {where} has no id: it is NULL",
            hint="give every row an id, for example min(id) AS id, or leave `id` out",
        )

    def _numbered(self, batch: pa.RecordBatch, count: int) -> RowBatch:
        def place(row: int) -> str:
            return f"row {count + row} of the result"

        check_wide(batch, self._wide, self._sql.option, place)
        arrays = [batch.column(name) for name in self.schema.names]
        rows = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        ids: U64 = np.arange(count, count + batch.num_rows, dtype=np.uint64)
        if self.has_id:
            column = batch.column(self._id)
            if column.null_count:
                nulls = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
                raise self._no_id(place(int(nulls[0])))
            ids = column.to_numpy()
        return RowBatch(rows, ids)


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
            return self._schema.empty_table()
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


class _Run:
    """A query under way, in a thread of its own, so that its caller can be interrupted."""

    def __init__(
        self,
        query: WholeQuery,
        text: str,
        feed: Feed,
        *,
        memory_bytes: int,
        threads: int,
        folder: Path,
        gives_way: bool = False,
    ) -> None:
        self._gives_way, self._width = gives_way, 0
        self._query, self._text, self._folder = query, text, folder
        self._is_ordered = text == query._ordered
        # Where DuckDB keeps the order, it does not join the few rows that a filter leaves of a
        # batch to 2,048 of them, which may be wide (2.0.1).
        self._keeps_order = not query.has_id or (query.is_row_by_row and not self._is_ordered)
        self._memory_bytes = memory_bytes
        self._pass = _Pass(feed, query._feed_schema)
        self._ahead: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(maxsize=1)
        self._stop = threading.Event()
        self._threads = max(1, min(threads, memory_bytes // _THREAD_BYTES))
        self._database = folder / "lines.duckdb" if query.scans > 1 else None
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Begin; from now on, `close` must be called."""
        self._connection = connect(
            memory_bytes=self._memory_bytes,
            threads=self._threads,
            folder=self._folder,
            database=self._database,
            is_ordered=self._keeps_order,
            macros=self._query._macros,
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
            width = self._pass.mean_row_bytes() if self._query.scans else 1
            self._make_relation(connection)
            if self._query.is_sampled:
                width = max(self._look_ahead(connection), width)
            least, most = _READER_ROWS
            if self._is_ordered:
                most, joined_bytes = _ORDERED_ROWS, _ORDERED_BYTES
            else:
                joined_bytes = _BATCH_BYTES
            rows = min(max(_READER_BYTES // max(width, 1), least), most)
            found: Iterable[pa.RecordBatch] = connection.sql(self._text).to_arrow_reader(rows)
            if self._query.is_row_by_row and not self._is_ordered:
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
        query, feed = self._query, FEED if self._query.scans else "(SELECT 1)"
        if query.scans:
            connection.register(FEED, self._pass)
        if query.scans > 1:
            connection.execute(statement("duckdb", "query_spool"))
            feed = _COPY
        make_view(connection, query._types, query.columns, feed=feed)
        close_fence(connection, query._allowed)

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
        if self._query.is_row_by_row and rows:
            self._pass.most_rows = max(_CHUNK_BYTES // max(self._width, 1), 1)
        elif self._query.is_row_by_row and not self._is_ordered:
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
            with connection.sql(self._query._text).to_arrow_reader(_READER_ROWS[0]) as reader:
                for batch in itertools.islice(reader, _SAMPLE_ROWS // _READER_ROWS[0]):
                    rows, size_bytes = rows + batch.num_rows, size_bytes + batch.nbytes
        except (duckdb.Error, pa.ArrowException):  # the run itself will say it
            return 0, 0
        return rows, size_bytes

    def _hand_over(self, item: pa.RecordBatch | BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                self._ahead.put(item, timeout=_PATIENCE_S)
                return
            except queue.Full:
                continue
        raise Stopped

    def _explained(self, error: BaseException) -> BaseException:
        """Tell a full disk from a full memory, and both from SQL that fails on a row."""
        if isinstance(error, DbshufError) or not isinstance(
            error, duckdb.Error | pa.ArrowException | OSError
        ):
            return error
        text, sql = details(error).message, self._query._sql
        if "No space left" in text or "max_temp_directory_size" in text:
            return TempSpaceShort(
                f"temporary directory `{self._folder.parent}` is full",
                hint="free space there or pass --temp-dir DIR; no output was written",
            )
        if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in str(error):
            return self._too_large()
        return QueryFailed(
            f"{sql.option}: {first_sentence(error)}",
            hint="some value is at fault; TRY_CAST gives NULL instead; nothing was written",
        )

    def _too_large(self) -> QueryTooLarge:
        error = QueryTooLarge(
            f"{self._query._sql.option}: DuckDB cannot run this within its"
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
