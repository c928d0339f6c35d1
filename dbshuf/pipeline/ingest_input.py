"""One input on its way into a store: read, given its ids, checked, handed to the engine."""

import contextlib
import hashlib
import sys
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import aligned_buffer
from dbshuf.base.key import POSITION_BITS
from dbshuf.base.layout import MOST_LONG_BYTES, probe_layout
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.messages import too_small
from dbshuf.base.process_memory import release_unused, resident_bytes
from dbshuf.base.row_batch import I64, RowBatch, row_bytes
from dbshuf.base.scan import Scan
from dbshuf.errors import CheckFailed, HeaderMismatch, MemoryTooSmall, NotUtf8
from dbshuf.options import SAME
from dbshuf.pipeline.source_scan import Advance, LineScan, TableScan
from dbshuf.query.relation import LineRelation
from dbshuf.source.digest import InputDigest
from dbshuf.source.head import common_header
from dbshuf.source.input import Input, open_raw, unreadable
from dbshuf.source.lines.long_lines import LineLimit
from dbshuf.source.lines.reader import LineSource
from dbshuf.source.remote_object import AHEAD_BYTES, IN_FLIGHT_BYTES
from dbshuf.source.schema.written import merged
from dbshuf.store.engine import StoreWriter
from dbshuf.store.intervals import check_intervals
from dbshuf.store.schema import VECTOR_ROWS, StoreInfo
from dbshuf.units import MIB, cap_named, human

if TYPE_CHECKING:
    from dbshuf.query.row_filter import RowQuery
    from dbshuf.source.tables.reader import TableSource

_BUFFER_BYTES = 4 * MIB  # read at a time
_BUFFER_ROWS = 1 << 17
_COPIES = 4  # of a buffer: what was read, without its terminators, in DuckDB's hands
_TYPED_BYTES = 64 * MIB  # for what decodes typed rows

# DuckDB packs a vector of rows at once: its limit must hold one, and when an input is less
# than a row group, the commit takes two copies of it that are in no account. Peaks beyond
# the limit and 118 MB before: 75 MB for 205 MB in a vector, but 570 for 300 MB in an input
# of one vector (lines of 100 kB and of 1 MB, 300 MB; duckdb 2.0.0).
_VECTOR_SHARE = 5  # of what is free, one part for a vector; two copies, and two for the limit
_LONG_SHARE = 7  # and one in so many for a line, which is held twice beside DuckDB
_GROUP_GAIN = 1.6  # a vector of an input of several row groups may be larger by so much
_CODE_BYTES = 64 * MIB  # that is loaded later, and what the limit does not cover
_LEAST_BYTES = 128 * MIB

_STUCK_S = 10.0  # after an interrupt, how long DuckDB is waited for; it takes less than one


@dataclass(frozen=True)
class Room:
    """How an ingest uses memory.

    base_bytes     resident when it was planned, with DuckDB's code and what reads
    longest_bytes  of a line that fits
    vector_bytes   of a vector of rows that fits
    engine_bytes   the engine's limit
    memory_bytes   the cap
    """

    base_bytes: int
    longest_bytes: int
    vector_bytes: int
    engine_bytes: int
    memory_bytes: int

    def spare_bytes(self) -> int:
        """Return what one row may take now to be made of its JSON: half of what is left."""
        return (self.memory_bytes - resident_bytes() - _CODE_BYTES) // 2

    def cap_for_spare(self, size: int) -> int:
        """Return a --memory (bytes) under which one row may take `size` bytes."""
        return self.base_bytes + _CODE_BYTES + 2 * size + self.engine_bytes

    def cap_for_line(self, length: int) -> int:
        """Return a --memory (bytes) under which a line of `length` bytes fits."""
        return self.base_bytes + max(_LONG_SHARE * length, _LEAST_BYTES) + 8 * MIB

    def cap_for_vector(self, size: int) -> int:
        """Return a --memory (bytes) under which a vector of `size` bytes fits."""
        return self.base_bytes + max(_VECTOR_SHARE * size, _LEAST_BYTES) + 8 * MIB


def make_room(
    cap_bytes: int, inputs: Sequence[Input], kind: str, *, packs_vectors: bool = True
) -> Room:
    """Divide a cap; `packs_vectors` is of the engine. Raises MemoryTooSmall."""
    release_unused()
    reading = _COPIES * _BUFFER_BYTES + max((one.window_bytes for one in inputs), default=0)
    if any(one.remote is not None for one in inputs):
        reading += IN_FLIGHT_BYTES + AHEAD_BYTES
    base = resident_bytes() + _CODE_BYTES + reading + (0 if kind == "lines" else _TYPED_BYTES)
    free = cap_bytes - base
    if free < _LEAST_BYTES:
        raise too_small(cap_bytes, base + _LEAST_BYTES, "this ingest needs")
    longest = min(free // _LONG_SHARE, MOST_LONG_BYTES - MIB)
    if not packs_vectors:
        return Room(base, longest, sys.maxsize, free - 2 * longest, cap_bytes)
    vector = free // _VECTOR_SHARE
    return Room(base, longest, vector, free - 2 * longest - 2 * vector, cap_bytes)


class Digest:
    """The SHA-256 of an input: of a file computed on a thread of its own.

    An object is hashed as its rows are read, and read again only where they do not come front
    to back, since its bytes may cost time and money.
    """

    def __init__(self, one: Input) -> None:
        self._one, self._is_stopped = one, False
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._result: Future[str] | None = None
        if one.remote is None:
            self._result = self._thread.submit(self._compute)

    def result(self) -> str:
        """Return it, in hexadecimal digits. Raises InputUnreadable, or what reads an object."""
        if self._one.digest is not None and self._one.digest.sha256 is not None:
            return self._one.digest.sha256
        return (self._result or self._thread.submit(self._compute)).result()

    def close(self) -> None:
        """End the thread."""
        self._is_stopped = True
        self._thread.shutdown()

    def _compute(self) -> str:
        one, digest, buffer = self._one, hashlib.sha256(), memoryview(bytearray(MIB))
        with contextlib.closing(
            one.remote.open() if one.remote else open_raw(str(one.path))
        ) as raw:
            try:
                while (count := raw.readinto(buffer)) and not self._is_stopped:
                    digest.update(buffer[:count])
            except OSError as error:
                raise unreadable(one.name, error) from error
        return digest.hexdigest()


def digest_of(one: Input) -> str:
    """Return the SHA-256 of an input, in hexadecimal digits. Raises what Digest does."""
    with contextlib.closing(Digest(one)) as digest:
        return digest.result()


def hashed_beside(one: Input) -> Input:
    """Return an object that is hashed as it is read; a file as it is."""
    if one.remote is None:
        return one
    return replace(one, digest=InputDigest(one.size_bytes if one.is_plain_file else None))


class Intake:
    """The rows of one input with the ids that they have in the store.

    rows, text_bytes, longest_bytes, vector_bytes
             of what was handed out so far, as SourceInfo has them
    failure  what went wrong; DuckDB would bury it in an error of its own
    """

    def __init__(self, info: StoreInfo, one: Input, ordinal: int, feed: Scan, room: Room) -> None:
        """Read `one` from `feed`, which takes it for its first input."""
        self.rows = self.text_bytes = self.longest_bytes = self.vector_bytes = 0
        self._begun_bytes = 0  # of a vector that is not full
        self._room = room
        self.failure: BaseException | None = None
        self._info, self._one, self._feed = info, one, feed
        self._origin = np.uint64(ordinal << POSITION_BITS)
        column = "raw" if info.is_binary else "line"
        self._lines = LineRelation([one], frozenset([column]), strict=True)
        self._schema = pa.schema([(info.id_column, pa.uint64()), *info.row])

    def append(self, writer: StoreWriter, source: str) -> None:
        """Insert all rows. Raises whatever reading raises; CheckFailed; what the engine raises."""
        inserted = self._insert(writer, source)
        failure, self.failure = self.failure, None
        if failure is None and isinstance(inserted, BaseException):
            failure = inserted
        if failure is not None:
            try:
                raise failure
            finally:
                del failure, inserted  # see _insert
        self._feed.check()
        if self.rows < self._info.row_group_rows and self.vector_bytes > self._room.vector_bytes:
            raise self._too_wide(self.vector_bytes)
        if inserted != self.rows:
            raise CheckFailed(
                f"`{self._one.name}` has {self.rows:,} rows, but {inserted:,} were stored",
            )

    def _insert(self, writer: StoreWriter, source: str) -> int | BaseException:
        """Insert all rows, on a thread, so that this one can be interrupted.

        Returns  how many, or the error
        """
        done: list[int | BaseException] = []
        finished = threading.Event()  # a join that is interrupted takes its thread for ended

        def work() -> None:
            batches = self._batches()
            try:
                done.append(writer.insert(batches, self._schema, source))
            except BaseException as error:
                done.append(error)
            finally:
                with contextlib.suppress(ValueError):
                    batches.close()
                finished.set()

        threading.Thread(target=work, daemon=True).start()
        try:
            finished.wait()
            return done.pop()
        except BaseException:
            self._feed.stop()
            writer.interrupt()
            finished.wait(_STUCK_S)
            self.failure = None
            raise
        finally:
            done.clear()  # errors hold frames, and these the connection: a cycle outlives DuckDB

    def _batches(self) -> Generator[pa.RecordBatch]:
        try:
            for item in self._feed.batches(aligned_buffer(_BUFFER_BYTES)):
                assert isinstance(item, LineBatch | RowBatch)
                ids = item.ids if isinstance(item, RowBatch) else item.ids()
                columns, sizes = self._columns(item)
                self._count(sizes)
                arrays = [pa.array(ids + self._origin), *columns]
                yield pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        except GeneratorExit:  # the engine wants no more, and says why
            raise
        except BaseException as error:
            self.failure = error
            raise

    def _count(self, sizes: I64) -> None:
        """Count rows; MemoryTooSmall if they are too wide."""
        if not len(sizes):
            return
        begun = self.rows % VECTOR_ROWS
        vectors = np.add.reduceat(sizes, np.arange(-begun, len(sizes), VECTOR_ROWS).clip(0))
        vectors[0] += self._begun_bytes if begun else 0
        self._begun_bytes = int(vectors[-1])
        self.rows += len(sizes)
        self.text_bytes += int(sizes.sum())
        self.longest_bytes = max(self.longest_bytes, int(sizes.max()))
        self.vector_bytes = max(self.vector_bytes, int(vectors.max()))
        if self.vector_bytes > self._room.vector_bytes * _GROUP_GAIN:
            seen_rows = (self.rows - 1) % VECTOR_ROWS + 1 if vectors[-1] == vectors.max() else 0
            expected = self.vector_bytes * VECTOR_ROWS // (seen_rows or VECTOR_ROWS)
            if self._one.is_plain_file:
                expected = min(expected, self._one.size_bytes or expected)
            raise self._too_wide(max(expected, self.vector_bytes))

    def _too_wide(self, size: int) -> MemoryTooSmall:
        # What is resident at the start differs from run to run, and the peak with it.
        least = cap_named(self._room.cap_for_vector(size) + 32 * MIB)
        return MemoryTooSmall(
            f"`{self._one.name}`: {VECTOR_ROWS:,} rows in a row have {human(size)}, and DuckDB"
            f" packs so many at once: this ingest needs at least {least}",
            hint=f"pass --memory {least} or more",
        )

    def _columns(self, item: LineBatch | RowBatch) -> tuple[list[pa.Array], I64]:
        """Return the columns of a batch, without its memory, and the bytes of each row."""
        if isinstance(item, RowBatch):
            batch = item.batch.select(self._schema.names[1:])
            if self._info.engine == "duckdb":
                check_intervals(batch, self._one.name, self.rows)
            return batch.columns, row_bytes(batch)
        try:
            return self._lines.of(item).columns, np.diff(item.offsets).astype(np.int64)
        except NotUtf8 as error:
            raise NotUtf8(
                error.message, hint="convert it to UTF-8, or make a store with --binary"
            ) from None


def open_scan(
    info: StoreInfo,
    one: Input,
    room: Room,
    advance: Advance,
    *,
    query: "RowQuery | None",
    table: str | None,
    schema: str,
) -> Scan:
    """Return what reads one input, as the first of a run.

    query   of JSON lines
    table   of a database
    schema  "same": its columns must be those of the store; "union": the store must hold them
    Raises  SchemaMismatch, HeaderMismatch if its columns or first lines are not those of the
            store; what opening raises
    """
    first = replace(one, ordinal=0)
    if info.kind not in ("lines", "json"):
        return _table_feed(info, first, advance, table=table, schema=schema)
    if info.kind == "lines":
        _check_header(info, one)
    layout = replace(probe_layout(), buffer_bytes=_BUFFER_BYTES, piece_rows=_BUFFER_ROWS)
    source = LineSource(
        [first],
        terminator=info.terminator,
        header_bytes=len(info.header),
        layout=layout,
        limit=LineLimit(room.longest_bytes, room.cap_for_line),
    )
    if query is None:
        return LineScan(source, [first], advance)
    relation = LineRelation([first], query.columns, strict=True)
    return LineScan(source, [first], advance, query=query, relation=relation)


def _check_header(info: StoreInfo, one: Input) -> None:
    """Raise HeaderMismatch unless the first lines of an input are those of the store."""
    header = common_header([one], info.header_lines, info.terminator)
    if header != info.header:
        raise HeaderMismatch(
            f"the first {info.header_lines} line(s) of `{one.name}` are not those of"
            f" `{info.path}`: {header[:60]!r} and {info.header[:60]!r}",
            hint="all inputs must have one header; make another store for this one",
        )


def _table_feed(
    info: StoreInfo, one: Input, advance: Advance, *, table: str | None, schema: str
) -> Scan:
    from dbshuf.source.schema.plain import check_alike
    from dbshuf.source.schema.union import check_fits
    from dbshuf.source.tables.aligned import with_kinds_of
    from dbshuf.source.tables.reader import open_tables

    kept = info.schema
    assert kept is not None
    one = with_kinds_of(one, kept)

    def opened(wanted: str | pa.Schema) -> "TableSource":
        return open_tables([one], info.kind, batch_bytes=_BUFFER_BYTES, table=table, schema=wanted)

    source = opened(SAME)
    try:
        if schema == SAME:
            check_alike(str(info.path), kept, one.name, source.schema)
        else:
            source.check_joined()
            check_fits(str(info.path), kept, one.name, source.schema)
    except BaseException:
        source.close()
        raise
    return TableScan(source if schema == SAME else opened(kept), [one], advance)


def note_columns(info: StoreInfo, found: pa.Schema | None, writer: StoreWriter) -> StoreInfo:
    """Have a store say of its columns what holds for one more input too.

    found   the columns of the input, as an output is to have them
    """
    if info.written is None or info.schema is None or found is None:
        return info
    common = merged([info.written, found], info.schema)
    if common.equals(info.written, check_metadata=True):
        return info
    writer.note_columns(common)
    return replace(info, written=common)
