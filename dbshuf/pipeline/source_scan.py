"""What the inputs hold, through --where and --select if there is a query, by several workers.

LineScan    lines                          LineBatch
TableScan   rows of tables                 RowBatch
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pyarrow as pa

from dbshuf.base.block_io import U8
from dbshuf.base.key import U64
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch, arrow_numbers
from dbshuf.base.spans import Spans
from dbshuf.pipeline.run_checks import check_read, check_rows
from dbshuf.query.relation import LineRelation, RowRelation, place_of
from dbshuf.source.input import Input
from dbshuf.source.lines.reader import LineSource

if TYPE_CHECKING:
    from dbshuf.base.row_notes import ReadNotes
    from dbshuf.query.row_filter import RowEvaluator, RowQuery
    from dbshuf.source.tables.reader import TableSource
    from dbshuf.store.read import StoreLines, StoreRows

Advance = Callable[[int], None]
ANY_WORKERS = 1 << 10
B = TypeVar("B", LineBatch, RowBatch)


class SourceScan(ABC, Generic[B]):
    """The batches of a source; see `base.scan.Scan`."""

    is_in_pieces = False
    most_workers = ANY_WORKERS

    def __init__(
        self,
        source: Any,
        inputs: Sequence[Input],
        advance: Advance,
        query: "RowQuery | None",
        notes: "ReadNotes | None",
    ) -> None:
        """Scan from `source`; `advance` is told the bytes that were read."""
        self._source, self._inputs, self._advance = source, inputs, advance
        self._query, self._notes = query, notes
        self._seen_bytes = 0
        self._lock = threading.Lock()

    @property
    def ended(self) -> Mapping[int, int]:
        return {}

    def leave_out(self, known: Spans) -> None:
        """Nothing can be."""

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        seen_bytes = 0
        evaluator = None if self._query is None else self._query.evaluator()
        try:
            for batch in self._read(buffer):
                size = _size(batch)
                seen_bytes += size
                self._note(batch)
                yield batch if evaluator is None else self._filtered(batch, evaluator)
                del batch
                self._advance(size)
        finally:
            if evaluator is not None:
                evaluator.close()
        with self._lock:
            self._seen_bytes += seen_bytes

    def check(self) -> None:
        self._source.check_unchanged()
        self._check_read()
        if self._notes is not None:
            self._notes.end()

    def _check_read(self) -> None:
        """Raise CheckFailed unless all that the source has was seen."""
        check_read(self._seen_bytes, self._source.text_bytes)

    def stop(self) -> None:
        self._source.stop()

    def close(self) -> None:
        self._source.close()

    @abstractmethod
    def _read(self, buffer: U8) -> Iterator[B]:
        """Yield what the source has for one worker, which it may read into `buffer`."""

    @abstractmethod
    def _filtered(self, batch: B, evaluator: "RowEvaluator") -> LineBatch | RowBatch:
        """Return what the query leaves of a batch."""

    def _note(self, batch: B) -> None:
        """Note a batch as it was read, where a manifest wants it."""
        if self._notes is not None:
            self._notes.saw(batch)

    def _place(self, ids: U64, unit: str) -> Callable[[int], str]:
        """Return what names the place of a row of a batch, for messages."""
        return lambda row: place_of(int(ids[row]), self._inputs, unit)


def _size(batch: LineBatch | RowBatch) -> int:
    return batch.text_bytes if isinstance(batch, LineBatch) else int(batch.sizes.sum())


class LineScan(SourceScan[LineBatch]):
    """Lines, through --where and --select if there is a query."""

    _source: "LineSource | StoreLines"

    def __init__(
        self,
        source: "LineSource | StoreLines",
        inputs: Sequence[Input],
        advance: Advance,
        *,
        query: "RowQuery | None" = None,
        relation: LineRelation | None = None,
        notes: "ReadNotes | None" = None,
    ) -> None:
        """Scan from `source`; `relation` makes what the query sees of lines."""
        super().__init__(source, inputs, advance, query, notes)
        self._relation = relation
        if relation is not None and relation.counts_lines:
            self.most_workers = 1
        self.is_in_pieces = isinstance(source, LineSource) and self.most_workers > 1

    @property
    def ended(self) -> Mapping[int, int]:
        return self._source.ended if isinstance(self._source, LineSource) else {}

    def leave_out(self, known: Spans) -> None:
        assert isinstance(self._source, LineSource)
        self._source.leave_out(known)
        self._seen_bytes = known.total

    def _read(self, buffer: U8) -> Iterator[LineBatch]:
        return self._source.batches(self._source.new_arena(buffer))

    def _filtered(self, batch: LineBatch, evaluator: "RowEvaluator") -> LineBatch | RowBatch:
        assert self._relation is not None
        ids = batch.ids()
        kept, columns = evaluator.run(self._relation.of(batch), self._place(ids, "byte"))
        if columns is not None:
            return RowBatch(columns, ids.take(kept), batch.spans)
        return batch if len(kept) == len(ids) else replace(batch, kept=kept)


class TableScan(SourceScan[RowBatch]):
    """Typed rows, through --where and --select if there is a query."""

    _source: "TableSource | StoreRows"

    def __init__(
        self,
        source: "TableSource | StoreRows",
        inputs: Sequence[Input],
        advance: Advance,
        *,
        query: "RowQuery | None" = None,
        relation: RowRelation | None = None,
        notes: "ReadNotes | None" = None,
    ) -> None:
        """Scan from `source`; `relation` makes what the query sees of rows."""
        super().__init__(source, inputs, advance, query, notes)
        self._relation = relation
        self.is_in_pieces = getattr(source, "is_steady", False)  # a store reads one statement

    @property
    def ended(self) -> Mapping[int, int]:
        return getattr(self._source, "ended", {})

    def leave_out(self, known: Spans) -> None:
        assert self.is_in_pieces
        self._source.leave_out(known)  # type: ignore[union-attr]

    @property
    def written(self) -> "pa.Schema | None":
        """The columns of the source, as an output is to have them."""
        return self._source.written

    def _read(self, buffer: U8) -> Iterator[RowBatch]:
        return self._source.batches()

    def _filtered(self, batch: RowBatch, evaluator: "RowEvaluator") -> RowBatch:
        assert self._relation is not None
        place = self._place(batch.ids, "row")
        kept, columns = evaluator.run(self._relation.of(batch), place)
        taken = batch.batch.take(arrow_numbers(kept)) if columns is None else columns
        return RowBatch(taken, batch.ids.take(kept), batch.spans)

    def _check_read(self) -> None:
        if self._source.rows is not None:
            check_rows(self._source.seen_rows, self._source.rows)
