"""The store: inputs kept in a database that any client of its engine opens.

    lines     id, source, then `line` or the columns of a row, in the order of the ids
    sources   an input a row: where it was, how large, its digest, its rows
    store     one row: what the store holds
    macro     shuffle_key(seed, id) of DuckDB, so that ORDER BY shuffle_key('42', id) is dbshuf's
              order; for SQLite it is the expression in sql/sqlite/key.sql

While it is open here, no code of this process may open and close the file beside the engine:
that would end the engine's lock on it.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from dbshuf.base.nested_types import holds_interval
from dbshuf.base.statements import filled, quoted, statement
from dbshuf.errors import (
    DbshufError,
    InputUnreadable,
    MemoryTooSmall,
    OutputSpaceShort,
    OutputUnwritable,
    SchemaMismatch,
    StoreInvalid,
    TempSpaceShort,
)
from dbshuf.source.input import Input
from dbshuf.source.survey import Survey
from dbshuf.units import MIB

FORMAT = 1  # of the tables; a store of a later one is refused
VECTOR_ROWS = 2048  # rows that DuckDB decodes at a time, whatever is asked for
NAMES = {"duckdb": "DuckDB", "sqlite": "SQLite"}

# DuckDB decodes strings of 24 kB and of 1 MB into 2.4 to 2.7 times the bytes of a vector;
# beside them it keeps the blocks that it reads from (duckdb 2.0.0, lines of one length).
_VECTOR_COPIES = 3
_READER_BYTES = 24 * MIB
_THREAD_BYTES = 16 * MIB  # DuckDB's limit for each of its threads, at least: it starts them all
BESIDE_BYTES = 8 * MIB  # of a reader, that DuckDB's limit does not cover: what it hands over

_SHORT = ("Out of Memory", "failed to pin", "failed to allocate")

# Signs in DuckDB's words for a file that cannot be opened here and now, and what to do.
_BUSY = {
    "Could not set lock": "another program has it open: close it there",
    "Unique file handle": "this program has it open: close it first",
    "already attached": "this program has it open: close it first",
    "Permission denied": "check the path and its permissions",
    "Read-only file system": "copy it to where it can be written",
}


@dataclass(frozen=True)
class SourceInfo:
    """One input of a store.

    ordinal        its place, part of the ids of its rows
    source         its name as it was given, as in `lines`
    path           absolute, without links; bytes that are no UTF-8 as \\xNN
    table_name     of a database, None otherwise
    size_bytes     of the file when it was read, and its time of change
    digest         SHA-256 of the file, hexadecimal
    rows           in `lines`
    text_bytes     of lines with their terminators, of typed rows as `row_batch.row_bytes` counts
    longest_bytes  of a line or row
    vector_bytes   of so many rows as DuckDB decodes at a time, at most
    """

    ordinal: int
    source: str
    path: str
    table_name: str | None
    size_bytes: int
    changed_ns: int
    digest: str
    rows: int
    text_bytes: int
    longest_bytes: int
    vector_bytes: int


@dataclass(frozen=True)
class StoreInfo:
    """What a store holds.

    path            of the database
    engine          that it is of
    kind            as `source.formats.kind_of_inputs` names it
    terminator      that each line of the inputs ended with
    header_lines    left out at the front of each input, and `header`, their text
    id_column       `id`, or another name where the rows have a column of that name; and
    source_column   likewise
    row_group_rows  rows that DuckDB packs at a time
    schema          columns of a row, plain types; None: the rows are lines
    written         the same columns, as an output is to have them
    json_structure  of the objects of JSON lines, as `query.infer_json_structure` gives it
    sources         the inputs, by ordinal
    """

    path: Path
    engine: str
    kind: str
    is_binary: bool
    terminator: bytes
    header_lines: int
    header: bytes
    id_column: str
    source_column: str
    row_group_rows: int
    schema: pa.Schema | None
    written: pa.Schema | None
    json_structure: str | None
    sources: tuple[SourceInfo, ...]

    @property
    def row(self) -> pa.Schema:
        """The columns of a row; of lines their one column, without terminators."""
        if self.schema is not None:
            return self.schema
        return pa.schema([("line", pa.binary() if self.is_binary else pa.string())])

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.sources)

    @property
    def text_bytes(self) -> int:
        """Bytes of all rows: of lines with their terminators."""
        return sum(one.text_bytes for one in self.sources)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs as a run names them, by ordinal; not to be opened."""
        return tuple(Input(one.ordinal, one.source, None, None, None) for one in self.sources)

    def survey(self) -> Survey:
        """Return what a plan must know of the rows; exact, without a look at them."""
        return Survey(
            mean_line_bytes=max(self.text_bytes / max(self.rows, 1), 1.0),
            longest_line_bytes=max((one.longest_bytes for one in self.sources), default=0),
            text_bytes=self.text_bytes,
            is_exact=True,
            columns=0 if self.schema is None else len(self.schema),
        )

    def reader_bytes(self) -> int:
        """Return the memory that one thread takes that reads, beside what it yields."""
        vector_bytes = max((one.vector_bytes for one in self.sources), default=0)
        return _READER_BYTES + _VECTOR_COPIES * vector_bytes


@contextlib.contextmanager
def attached(
    path: Path,
    *,
    memory_bytes: int,
    threads: int,
    folder: Path | None = None,
    row_group_rows: int = 0,
    storage_version: str | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file as the database `dbshuf` of a private connection, and close it at the end.

    folder           where DuckDB may spill; None for nowhere
    row_group_rows   that DuckDB packs at a time; 0: the file is only read
    storage_version  of a new file; None: the latest. One that is there keeps its own
    Raises           as `explained`, also for what is done inside
    """
    name = _sql_name(path)
    connection = _connected(memory_bytes, threads, folder)
    mode = f"ROW_GROUP_SIZE {row_group_rows}" if row_group_rows else "READ_ONLY"
    if storage_version is not None:
        mode += f", STORAGE_VERSION {quoted(storage_version)}"
    try:
        connection.execute(statement("duckdb", "store_quiet"))
        connection.execute(filled("duckdb", "store_attach", path=name, mode=mode).text)
        if not row_group_rows:
            connection.execute(statement("duckdb", "store_fence"))
        yield connection
    except (duckdb.Error, OSError, RuntimeError) as error:
        raise explained(error, path, is_written=row_group_rows > 0) from error
    finally:
        with contextlib.suppress(duckdb.Error):  # after an interrupt it may still be at work
            connection.close()


def _sql_name(path: Path) -> str:
    """Return the whole path of a file as a text of SQL. Raises StoreInvalid."""
    try:
        name = os.fspath(path.absolute())
        name.encode()
    except UnicodeEncodeError:
        raise StoreInvalid(
            f"DuckDB takes no file name that is no UTF-8: `{path}`", hint="choose another name"
        ) from None
    return quoted(name)


def _connected(memory_bytes: int, threads: int, folder: Path | None) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_bytes}B",
            "threads": max(1, min(threads, memory_bytes // _THREAD_BYTES)),
            "temp_directory": "" if folder is None else str(folder),
            "preserve_insertion_order": True,
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )


MADE_ANEW = "something else than dbshuf changed it: make a new store"


def check_complete(info: StoreInfo, rows: int, text_bytes: int) -> None:
    """Raise StoreInvalid unless what was read of `lines` is what `sources` says of it."""
    if (rows, text_bytes) != (info.rows, info.text_bytes):
        raise StoreInvalid(
            f"`{info.path}`: `lines` holds {rows:,} rows of {text_bytes:,} bytes, but `sources`"
            f" says {info.rows:,} of {info.text_bytes:,}",
            hint=MADE_ANEW,
        )


def no_store(path: Path, engine: str) -> StoreInvalid:
    return StoreInvalid(
        f"`{path}` is a {NAMES[engine]} database, but no store of dbshuf",
        hint="name a store, or a new file; to read a table of it, use --table",
    )


def explained(error: Exception, path: Path, *, is_written: bool) -> DbshufError:
    """Return what to tell the user for an error of DuckDB that opens, reads or writes a store."""
    words = re.sub(r"\s*See also https?://\S+", "", str(error).strip().splitlines()[0])[:300]
    if "offload" in words:
        return TempSpaceShort(
            f"the temporary directory for `{path}` is full: {words}",
            hint="free space there or pass --temp-dir DIR; what was added before is whole",
        )
    if _is_full(words):
        return OutputSpaceShort(
            f"`{path}`: the disk is full: {words}",
            hint="free space there, and run this again; what was added before is whole",
        )
    if isinstance(error, duckdb.OutOfMemoryException) or any(sign in words for sign in _SHORT):
        return MemoryTooSmall(
            f"`{path}`: --memory leaves DuckDB too little, which packs {VECTOR_ROWS:,} rows"
            f" at a time: {words}",
            hint="pass a larger --memory",
        )
    for sign, hint in _BUSY.items():
        if sign in words:
            kind = OutputUnwritable if is_written else InputUnreadable
            return kind(f"cannot open `{path}`: {words}", hint=hint)
    if is_written and isinstance(error, duckdb.IOException) and "valid DuckDB" not in words:
        return OutputUnwritable(f"cannot write `{path}`: {words}", hint="check its folder and disk")
    is_newer = "version number" in words
    hint = "use the version of DuckDB that made it" if is_newer else "make a new store"
    return StoreInvalid(f"`{path}`: DuckDB says: {words}", hint=hint)


def _is_full(words: str) -> bool:
    return "No space left" in words or "disk quota" in words.lower()


def restored(column: pa.Array, kind: Any) -> pa.Array:
    """Return a column as DuckDB gives it with the type that it had when it was stored."""
    if column.type == kind:
        return column
    return pa.nulls(len(column), kind) if pa.types.is_null(kind) else column.cast(kind)


UNSTORED_HINT = (
    "a store of SQLite keeps it (a name that ends in .sqlite); or write the input with another type"
    " in its place"
)


def check_storable(given: pa.Schema, found: pa.Schema) -> None:
    """Raise SchemaMismatch for a column that would not come back as it is.

    given, found  the columns of rows, and what DuckDB makes of them
    """
    for field, back in zip(given, found, strict=True):
        try:
            is_kept = _keeps(field.type, back.type)
            restored(pa.array([], back.type), field.type)
        except pa.ArrowException:
            is_kept = False
        is_cut = holds_interval(field.type) and not pa.types.is_interval(field.type)
        if not is_kept or is_cut:  # of intervals that lie in nothing else each is looked at
            loss = f"make it {back.type}" if not is_kept else "cut nanoseconds off"
            raise SchemaMismatch(
                f"column `{field.name}` is {field.type}, and a DuckDB database would {loss}",
                hint=UNSTORED_HINT,
            )


_UNITS = ("s", "ms", "us", "ns")


def _keeps(given: Any, found: Any) -> bool:
    """Whether every value of a type comes back from another one unchanged."""
    kinds = pa.types
    if given == found or kinds.is_null(given):
        return True
    if kinds.is_timestamp(given) and kinds.is_timestamp(found):
        return (given.tz is None) == (found.tz is None) and _is_as_fine(given, found)
    if kinds.is_time(given) and kinds.is_time(found):
        return _is_as_fine(given, found)
    if kinds.is_decimal(given) and kinds.is_decimal(found):
        return bool((given.precision, given.scale) == (found.precision, found.scale))
    if kinds.is_fixed_size_binary(given):
        return bool(kinds.is_binary(found))
    return _keeps_children(given, found)


def _is_as_fine(given: Any, found: Any) -> bool:
    return _UNITS.index(found.unit) >= _UNITS.index(given.unit)


def _keeps_children(given: Any, found: Any) -> bool:
    if not given.num_fields or given.num_fields != found.num_fields or given.id != found.id:
        return False
    pairs = [(given.field(i), found.field(i)) for i in range(given.num_fields)]
    return all(
        ours.name == theirs.name and _keeps(ours.type, theirs.type) for ours, theirs in pairs
    )
