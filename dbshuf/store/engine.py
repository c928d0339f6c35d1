"""What an engine does whose database a store is; the rest of `store/` and ingest know no engine.

schema.py says what the tables are; duckdb.py and sqlite.py are the engines, opening.py finds the
one that a file is of.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from dbshuf.base.statements import statement
from dbshuf.store.schema import SourceInfo, StoreInfo


class Rows(Protocol):
    """The rows of an open store, for one thread."""

    def lines(self, first: int, end: int, piece_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield id (uint64) and line (binary or string, its terminator included) of ids in
        [first, end), in their order, at most `piece_rows` at a time."""

    def rows(self, first: int, end: int, piece_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield id and the columns of a row likewise, of types that `schema.restored` takes;
        of a store of lines the line as it lies there."""

    def close(self) -> None:
        """End the reading."""


class StoreWriter(Protocol):
    """An open store that rows are added to."""

    def info(self) -> StoreInfo:
        """Read what the store holds. Raises StoreInvalid."""

    def transaction(self) -> AbstractContextManager[None]:
        """What is done inside is done at its end, or not at all where that raises."""

    def insert(self, rows: Iterator[pa.RecordBatch], schema: pa.Schema, source: str) -> int:
        """Append the rows of one input, of `schema`, id first; return how many were."""

    def interrupt(self) -> None:
        """End an insert that runs in another thread."""

    def add_source(self, one: SourceInfo) -> None:
        """Note one input."""

    def touch(self, one: SourceInfo, changed_ns: int) -> None:
        """Note the new time of change of an input whose bytes are the same."""

    def note_columns(self, written: pa.Schema) -> None:
        """Note the columns of a row as an output is to have them."""

    def finish(self) -> None:
        """Put all that was added into the file."""


class StoreEngine(Protocol):
    """An engine.

    name            as --engine names it
    packs_vectors   whether so many rows as VECTOR_ROWS are packed at once, and must fit in memory
    log_suffixes    of the files beside a store that hold what was written last
    """

    name: str
    packs_vectors: bool
    log_suffixes: tuple[str, ...]

    def create(self, path: Path, columns: pa.Schema, values: dict[str, Any]) -> None:
        """Make an empty store under a name that is not there.

        columns  of `lines`: the id, the source, those of a row
        values   the columns of `store`
        Raises   SchemaMismatch for a column that would not come back; OutputUnwritable
        """

    def look(self, path: Path) -> StoreInfo:
        """Return what a store holds; nothing stays open. Raises InputUnreadable, StoreInvalid."""

    def reading(
        self, info: StoreInfo, *, memory_bytes: int, readers: int
    ) -> AbstractContextManager[Callable[[], Rows]]:
        """Open a store for so many threads that read at once; give what makes one's `Rows`."""

    def writing(
        self, info: StoreInfo, *, memory_bytes: int, threads: int, folder: Path, packs: bool
    ) -> AbstractContextManager[StoreWriter]:
        """Open a store to add to it.

        folder  for temporary data
        packs   whether the text of lines is packed
        Raises  OutputUnwritable, OutputSpaceShort, TempSpaceShort, StoreInvalid, MemoryTooSmall,
                also for what is done inside
        """

    def told(self, error: Exception, path: Path) -> Exception:
        """Return what to tell the user for an error of the engine while a store is read."""


class SqlWriter:
    """What a `StoreWriter` does by SQL texts that both engines have under the same names."""

    def __init__(self, engine: str, connection: Any, failure: type[Exception]) -> None:
        """Write to a store of an engine.

        engine   the folder of its SQL texts
        failure  what it raises
        """
        self._engine, self._sql, self._failure = engine, connection, failure

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self._sql.execute("BEGIN")
        try:
            yield
            self._sql.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(self._failure):  # the first error is what counts
                self._sql.execute("ROLLBACK")
            raise

    def add_source(self, one: SourceInfo) -> None:
        self._run("store_add_source", asdict(one))

    def touch(self, one: SourceInfo, changed_ns: int) -> None:
        self._run("store_touch", {"ordinal": one.ordinal, "changed_ns": changed_ns})

    def note_columns(self, written: pa.Schema) -> None:
        self._run("store_columns", {"arrow_schema": written.serialize().to_pybytes()})

    def _run(self, name: str, values: dict[str, Any]) -> None:
        self._sql.execute(statement(self._engine, name), values).fetchall()
