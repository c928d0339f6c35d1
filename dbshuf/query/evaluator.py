"""One statement over one chunk of rows after the other, in the thread that asks for it."""

import contextlib
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from dbshuf.base.row_batch import arrow_numbers
from dbshuf.errors import DbshufError, QueryFailed
from dbshuf.query.binding import FEED, make_view
from dbshuf.query.fence import NOTHING, close_fence, connect
from dbshuf.query.parse import ENGINE_ERRORS, first_sentence
from dbshuf.units import cap_named, human

Place = Callable[[int], str]  # the name of a row's place, for messages

_LARGEST = 10**38 - 1  # that a decimal128 may hold; HUGEINT goes beyond


# What DuckDB takes to evaluate one row, by the byte of it: 4 for upper(line), 39 for an array
# of digits out of JSON (rows of 5 and 20 MB, duckdb 2.0.1).
_FAILED_HINT = "leave such rows out with --where, or use try_cast(), which makes them NULL"
_MOST_COPIES = 40
_HELD_COPIES = 4  # of a row, beside what DuckDB has: read, seen by SQL, its result, arranged


@dataclass(frozen=True)
class Spare:
    """Memory for one row that does not fit in a ChunkDatabase.

    memory_bytes   of one row and all that SQL makes of it
    cap_for        bytes that such a row needs -> the --memory (bytes) under which it has them
    """

    memory_bytes: Callable[[], int]
    cap_for: Callable[[int], int]


class ChunkDatabase:
    """An empty database for workers; it is open while one of them has a connection.

    memory_bytes  DuckDB's limit, of all workers together; nothing is ever spilled
    spare         for a row that needs more, one at a time
    macros        as `fence.connect` takes them
    """

    def __init__(self, memory_bytes: int, macros: str = "", spare: Spare | None = None) -> None:
        self.memory_bytes, self._macros = memory_bytes, macros
        self.spare = spare
        self._alone = threading.Lock()
        self._lock = threading.Lock()
        self._base: duckdb.DuckDBPyConnection | None = None
        self._users = 0

    def connection(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of the caller's own; work on it runs in the calling thread."""
        with self._lock:
            if self._base is None:
                self._base = connect(
                    memory_bytes=self.memory_bytes, keeps_sides=True, macros=self._macros
                )
                close_fence(self._base, NOTHING)
            self._users += 1
            return self._base.cursor()

    @contextlib.contextmanager
    def alone(self, row_bytes: int) -> Iterator[duckdb.DuckDBPyConnection]:
        """Have a database of one's own for one row, with the spare memory."""
        with self._alone:
            spare = 0 if self.spare is None else self.spare.memory_bytes()
            room = max(spare - _HELD_COPIES * row_bytes, self.memory_bytes)
            with connect(memory_bytes=room, keeps_sides=True, macros=self._macros) as connection:
                close_fence(connection, NOTHING)
                yield connection

    def give_back(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Close a connection, and with the last one the database."""
        connection.close()
        with self._lock:
            self._users -= 1
            if not self._users and self._base is not None:
                self._base.close()
                self._base = None


@dataclass(frozen=True)
class ChunkStep:
    """A statement to run over chunks.

    option   whose text it is, for messages
    query    the statement, over `lines`, or over `chunk` where types is None
    columns  that are read
    types    column -> SQL type of `lines`
    row      name of the column with the row numbers; in `lines` only if it is hidden there
    prepared  a chunk -> as the statement is to see it; None: as it is
    needs    one row -> the memory (bytes) that is enough for what DuckDB makes of it
    """

    option: str
    query: str
    columns: Collection[str]
    types: Mapping[str, str] | None
    row: str
    shows_row: bool = False
    needs: Callable[[pa.RecordBatch], int] = lambda row: _MOST_COPIES * row.nbytes
    prepared: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None


class ChunkRunner:
    """A step on a connection of its own; for one thread."""

    def __init__(self, database: ChunkDatabase, step: ChunkStep) -> None:
        self.step, self._database = step, database
        self._connection: duckdb.DuckDBPyConnection | None = database.connection()
        self._numbers = np.empty(0, np.int32)
        self._most_bytes = sys.maxsize  # of a piece of a chunk, so that its result fits
        self._is_ready = False

    def close(self) -> None:
        """Give the connection back; harmless when repeated."""
        if self._connection is not None:
            self._database.give_back(self._connection)
            self._connection = None

    def run(self, batch: pa.RecordBatch, place: Place) -> pa.RecordBatch:
        """Return what the statement gives for the rows of `batch`.

        batch   pyarrow RecordBatch with the step's columns, and perhaps others
        Raises  QueryFailed, with the place of the first row that fails
        """
        if self.step.prepared is not None:
            batch = self.step.prepared(batch)
        rows, first = batch.num_rows, 0
        if len(self._numbers) < rows:
            self._numbers = np.arange(rows, dtype=np.int32)
        found: list[pa.RecordBatch] = []
        while first < rows or not found:
            count = self._fitting(batch, first)
            try:
                found.append(self._run(batch, first, count))
            except duckdb.OutOfMemoryException:
                if count > 1:
                    self._most_bytes = batch.slice(first, count).nbytes // 2
                    continue
                found.append(self._run_alone(batch, first, place))
                first += 1
            except (*ENGINE_ERRORS, pa.ArrowException, OSError) as error:
                raise self._located(batch, error, first, count, place) from None
            else:
                first += count
        return found[0] if len(found) == 1 else pa.concat_batches(found)

    def _fitting(self, batch: pa.RecordBatch, first: int) -> int:
        """Return how many rows from `first` on to run at once."""
        count: int = batch.num_rows - first
        while count > 1 and batch.slice(first, count).nbytes > self._most_bytes:
            count = -(-count // 2)
        return count

    def _run(self, batch: pa.RecordBatch, first: int, count: int) -> pa.RecordBatch:
        """Return what the statement gives for some rows; their numbers are those of the chunk."""
        step, connection = self.step, self._connection
        assert connection is not None, "the runner is closed"
        names = [name for name in batch.schema.names if name in step.columns]
        arrays = [batch.column(name).slice(first, count) for name in names]
        arrays.append(arrow_numbers(self._numbers[first : first + count]))
        chunk = pa.RecordBatch.from_arrays(arrays, names=[*names, step.row])
        connection.register(FEED, chunk)
        try:
            if not self._is_ready and step.types is not None:
                hidden = step.row if step.shows_row else ""
                make_view(connection, step.types, step.columns, hidden=hidden)
            self._is_ready = True
            reader = connection.sql(step.query).to_arrow_reader(max(count, 1))
            schema, found = reader.schema, [piece for piece in reader if piece.num_rows]
        finally:
            connection.unregister(FEED)
        if len(found) == 1:
            return found[0]
        return pa.concat_batches(found) if found else _empty(schema)

    def _run_alone(self, batch: pa.RecordBatch, row: int, place: Place) -> pa.RecordBatch:
        """Return what the statement gives for a row that needs much memory."""
        row_bytes = batch.slice(row, 1).nbytes
        shared, is_ready = self._connection, self._is_ready
        try:
            with self._database.alone(row_bytes) as self._connection:
                self._is_ready = False
                return self._run(batch, row, 1)
        except duckdb.OutOfMemoryException:
            raise self._too_large(batch.slice(row, 1), place(row)) from None
        except (*ENGINE_ERRORS, pa.ArrowException, OSError) as error:
            text = first_sentence(error)
            raise QueryFailed(
                f"{place(row)}: {self.step.option}: {text}", hint=_FAILED_HINT
            ) from None
        finally:
            self._connection, self._is_ready = shared, is_ready

    def _too_large(self, row: pa.RecordBatch, where: str) -> DbshufError:
        hint = "make the values smaller, or run it with --sql, which may use the disk"
        if self._database.spare is not None:
            cap = self._database.spare.cap_for(self.step.needs(row) + _HELD_COPIES * row.nbytes)
            hint = f"--memory {cap_named(cap)} would do"
        message = f"the row does not fit in memory with what SQL makes of its {human(row.nbytes)}"
        return QueryFailed(f"{where}: {self.step.option}: {message}", hint=hint)

    def _located(
        self, batch: pa.RecordBatch, error: Exception, first: int, count: int, place: Place
    ) -> DbshufError:
        """Halve the rows until the first one that fails is alone."""
        while count > 1:
            half = count // 2
            found = self._error_of(batch, first, half)
            first, count = (first, half) if found else (first + half, count - half)
            error = found or error
        alone = self._error_of(batch, first, count) if count else None
        said = first_sentence(alone or error)
        return QueryFailed(f"{place(first)}: {self.step.option}: {said}", hint=_FAILED_HINT)

    def _error_of(self, batch: pa.RecordBatch, first: int, count: int) -> Exception | None:
        try:
            self._run(batch, first, count)
        except (*ENGINE_ERRORS, pa.ArrowException, OSError) as error:
            return error
        return None


def row_column(names: Collection[str]) -> str:
    """Return a name for the column of row numbers that is not among `names`."""
    taken = {name.lower() for name in names}
    name = "dbshuf_row"
    while name in taken:
        name += "_"
    return name


def check_wide(batch: pa.RecordBatch, wide: Collection[str], option: str, place: Place) -> None:
    """Raise QueryFailed for a HUGEINT of more than 38 digits."""
    for name in wide:
        column = batch.column(name)
        words = np.frombuffer(column.buffers()[1], np.int64).reshape(-1, 2)
        words = words[column.offset : column.offset + len(column)]
        near = (words[:, 1] >= _LARGEST >> 64) | (words[:, 1] <= -_LARGEST >> 64)
        for row in np.flatnonzero(near).tolist():
            low, high = words[row].tolist()
            if abs((high << 64) + low % (1 << 64)) > _LARGEST and column[row].is_valid:
                raise QueryFailed(
                    f"{place(row)}: {option}: a value of the column `{name}` has more than 38"
                    " digits, which no output can hold",
                    hint="cast the column, for example to DOUBLE or VARCHAR",
                )


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
