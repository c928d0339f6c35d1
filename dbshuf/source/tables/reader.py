"""Typed rows from Parquet, CSV, TSV, Arrow IPC and databases, by several workers at once.

    inputs -> kind -> TableInput, one an input -> parts -> batches as read -> RowBatch

A worker takes a part, reads about a batch of rows from it and puts it back, so that the
others can go on with it. Which worker reads what is left to chance; a row's id is not.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pyarrow as pa

from dbshuf.base.bounds import Comparison
from dbshuf.base.column_names import told_apart
from dbshuf.base.key import POSITION_BITS, POSITION_LIMIT
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.spans import Spans
from dbshuf.base.workers import Stopped
from dbshuf.errors import InputBeyondBounds, SchemaMismatch
from dbshuf.options import SAME
from dbshuf.source.formats import NAMES
from dbshuf.source.input import Input, check_all_unchanged
from dbshuf.source.schema.plain import narrowest, plain_batch
from dbshuf.source.schema.written import merged
from dbshuf.source.tables.interface import BatchSize, RowRange, TableInput, read_error
from dbshuf.source.tables.opening import open_all

_PIECES = 8  # of these small batches a batch is made


@dataclass(frozen=True)
class Selection:
    """What is read of tables.

    columns      as SQL calls them, others are ignored; at least one is read. None: all
    parts        of each table, the first and the last + 1; None: all
    comparisons  parts in which no row meets all of them are left out
    """

    columns: frozenset[str] | None = None
    parts: tuple[int, int] | None = None
    comparisons: Sequence[Comparison] = ()


ALL = Selection()


class TableSource:
    """All rows of all inputs; `batches` runs in several threads at once.

    schema      of every batch: plain types, no metadata, names that SQL tells apart
    written     the same columns, as an output is to have them
    named       the same columns, plain, as `tables` name them
    rows        how many there are; None where only reading tells
    rows_of_inputs  the same of each input, where all of them say it
    is_steady   whether the rows of all of them come in one order each time
    seen_rows   given out so far, or in parts that are left out
    seen_bytes  given out so far, as `row_batch.row_bytes` counts them
    """

    def __init__(
        self,
        tables: Sequence[TableInput],
        named: pa.Schema,
        kind: str,
        batch_bytes: int,
        selection: Selection = ALL,
    ) -> None:
        """Prepare to read `named`, the plain columns or some of them, out of `tables`."""
        written = told_apart(merged([table.schema for table in tables], named), in_sql=True)
        chosen = _chosen(named, written.names, selection.columns)
        self.named = pa.schema([named.field(place) for place in chosen])
        fields = [written.field(place) for place in chosen]
        self.written = pa.schema(fields, metadata=written.metadata)
        pairs = zip(self.written.names, self.named.types, strict=True)
        self.schema = pa.schema(list(pairs))
        counts = [table.rows for table in tables]
        known = [count for count in counts if count is not None]
        self.rows_of_inputs = known if len(known) == len(counts) else None
        self.rows = (
            sum(known) if self.rows_of_inputs is not None and selection.parts is None else None
        )
        self.is_steady = all(table.is_steady for table in tables)
        self.seen_rows = self.seen_bytes = 0
        self._tables, self._what = tables, NAMES[kind]
        self._batch_bytes = batch_bytes
        self._changed = threading.Condition()  # guards what follows
        names = dict(zip(self.schema.names, self.named.names, strict=True))
        self._comparisons = [
            replace(one, column=names.get(one.column, one.column)) for one in selection.comparisons
        ]
        self._unread = self._parts(selection.parts)
        self._idle: deque[_Reading] = deque()  # begun, and no worker reads them
        self._busy: set[_Reading] = set()
        self._is_stopped = False
        self._known = Spans()
        self.ended: dict[int, int] = {}  # of parts: the id of the first row, and behind the last

    def leave_out(self, known: Spans) -> None:
        """Read nothing that is in `known`, as far as parts can be left out; before `batches`."""
        self._known, self.seen_rows = known, known.total
        self._unread = (reading for reading in self._unread if not self._is_known(reading))

    def _is_known(self, reading: "_Reading") -> bool:
        begin = reading.first_id
        end = self._known.ended.get(begin)
        return end is not None and self._known.end_of(begin) >= end

    def _parts(self, wanted: tuple[int, int] | None) -> "Iterator[_Reading]":
        """Yield the parts that are to be read; in the lock."""
        for table in self._tables:
            for part in islice(table.row_ranges(self.named.names), *(wanted or (None,))):
                if part.rows is None or self._may_be_wanted(table, part):
                    yield _Reading(table, part, max(self._batch_bytes // _PIECES, 1))
                else:
                    self.seen_rows += part.rows

    def _may_be_wanted(self, table: TableInput, part: RowRange) -> bool:
        try:
            return part.may_be_wanted(self._comparisons)
        except Exception as error:
            raise read_error(table.input, error, self._what) from None

    def batches(self) -> Iterator[RowBatch]:
        """Yield rows until none are left for this worker: about batch_bytes at a time.

        Raises  InputBroken, InputUnreadable, InputChanged, InputBeyondBounds, NotUtf8,
                LineTooLong, QueryFailed; Stopped after `stop`
        """
        while (reading := self._take()) is not None:
            try:
                first_row, pieces = self._gather(reading)
            finally:
                self._give_back(reading)
            if pieces:
                batch = pa.concat_batches(pieces) if len(pieces) > 1 else pieces[0]
                del pieces
                yield from self._cut(batch, reading.table.input, first_row)
                del batch

    def check_joined(self) -> None:
        """Raise SchemaMismatch where SQL has another name for a column than its input."""
        for new, name in zip(self.schema.names, self.named.names, strict=True):
            if new != name:
                raise SchemaMismatch(
                    f"SQL takes the column `{name}` and another one of"
                    f" `{self._tables[0].input.name}` for one, and --schema union joins columns by"
                    " their names",
                    hint="leave --schema out, or give every column a name of its own",
                )

    def check_unchanged(self) -> None:
        """Raise InputChanged if a file is no longer what it was when it was listed."""
        check_all_unchanged([table.input for table in self._tables])

    def stop(self) -> None:
        """Wake workers that wait, and end reads that can take long; in any thread."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
            while self._idle:
                self._idle.popleft().pieces.close()
        for table in self._tables:
            table.stop()

    def close(self) -> None:
        """Close what is open, but for parts that a worker still reads; it closes them."""
        self.stop()
        for table in self._tables:
            table.close()

    def _take(self) -> "_Reading | None":
        """Return a part that is this worker's until `_give_back`; None if all are read."""
        with self._changed:
            while True:
                if self._is_stopped:
                    raise Stopped
                reading = self._idle.popleft() if self._idle else next(self._unread, None)
                if reading is not None:
                    self._busy.add(reading)
                    return reading
                if not self._busy:
                    return None
                self._changed.wait()

    def _give_back(self, reading: "_Reading") -> None:
        with self._changed:
            self._busy.discard(reading)
            if reading.is_done:
                start = reading.table.input.ordinal << POSITION_BITS
                self.ended[reading.first_id] = start + reading.next_row
            is_left = not reading.is_done and not self._is_stopped
            if is_left:
                self._idle.appendleft(reading)
            self._changed.notify_all()
        if not is_left:
            reading.pieces.close()

    def _gather(self, reading: "_Reading") -> tuple[int, list[pa.RecordBatch]]:
        """Read batches up to about batch_bytes; return their first row's number and them."""
        source, first_row = reading.table.input, reading.next_row
        pieces: list[pa.RecordBatch] = []
        size = last = 0
        try:
            while not self._is_stopped and (not pieces or size + last <= self._batch_bytes):
                found = next(reading.pieces, None)
                if found is None:
                    reading.is_done = True
                    break
                piece = plain_batch(found, self.named, source.name, reading.next_row)
                last = piece.nbytes
                reading.batch_size.saw(len(found), last)
                size += last
                reading.next_row += len(found)
                pieces.append(pa.RecordBatch.from_arrays(piece.columns, schema=self.schema))
        except BaseException as error:
            reading.is_done = True
            if self._is_stopped:
                raise Stopped from None
            if isinstance(error, Stopped) or not isinstance(error, Exception):
                raise
            raise read_error(source, error, self._what) from None
        if reading.next_row > POSITION_LIMIT:
            raise InputBeyondBounds(
                f"`{source.name}` has more than {POSITION_LIMIT:,} rows, as many as a row id names",
                hint="split the input",
            )
        return first_row, pieces

    def _cut(self, batch: pa.RecordBatch, source: Input, first_row: int) -> Iterator[RowBatch]:
        """Yield rows of a batch, at most batch_bytes but at least one row at a time."""
        start = (source.ordinal << POSITION_BITS) + first_row
        ids = np.arange(start, start + len(batch), dtype=np.uint64)
        rows = RowBatch(batch, ids, ((start, start + len(batch)),))
        if self._known.end_in(source.ordinal):
            for first, last in self._known.rest_of(ids):
                yield from self._counted(rows.slice(first, last))
            return
        yield from self._counted(rows)

    def _counted(self, rows: RowBatch) -> Iterator[RowBatch]:
        size = int(rows.sizes.sum())
        with self._changed:
            self.seen_rows += len(rows.ids)
            self.seen_bytes += size
        yield from rows.cut(self._batch_bytes)


def _chosen(
    schema: pa.Schema, names: Sequence[str], columns: frozenset[str] | None
) -> Sequence[int]:
    """Return the places of the columns to read, at least one; `names` are what SQL calls them."""
    places = range(len(names))
    if columns is None:
        return places
    return [place for place in places if names[place] in columns] or [narrowest(schema)]


class _Reading:
    """A part that was begun, and the row that comes next."""

    def __init__(self, table: TableInput, part: RowRange, piece_bytes: int) -> None:
        self.table = table
        self.next_row = part.first_row
        self.first_id = (table.input.ordinal << POSITION_BITS) + part.first_row
        self.batch_size = BatchSize(piece_bytes)
        self.pieces = part.read(self.batch_size)
        self.is_done = False


def open_tables(
    inputs: Sequence[Input],
    kind: str,
    *,
    batch_bytes: int,
    table: str | None = None,
    schema: str | pa.Schema = SAME,
    selection: Selection = ALL,
) -> TableSource:
    """Return the rows of all inputs. Nothing is taken from a pipe before they are asked for.

    kind         as `kind_of_inputs` returns it, but for lines and json
    batch_bytes  of rows at a time
    table        name of a table or a view of a database, or a query
    schema       "same" or "union", as the user asked; or plain columns that hold all others
    Raises       SchemaMismatch, InputBroken, InputUnreadable, NotUtf8, UsageError,
                 QueryInvalid, QueryFailed
    """
    tables: list[TableInput] = []
    try:
        named = open_all(tables, inputs, kind, table, schema)
    except BaseException:
        for one in tables:
            one.close()
        raise
    return TableSource(tables, named, kind, batch_bytes, selection)
