"""Source and query in one: what the order stage is fed with, by several workers at once.

LineScan    lines                          LineBatch
TableScan   rows of tables                 RowBatch
SqlScan     the rows of one --sql          RowBatch, see sql_scan.py
PairedScan  lines of --paired files        RowBatch, see paired.py
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dbshuf.base.block_io import U8
from dbshuf.base.key import U64, id_of_first
from dbshuf.base.layout import Layout, merge_threads
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch, arrow_numbers
from dbshuf.base.scan import Scan
from dbshuf.base.spans import Spans
from dbshuf.options import SAME
from dbshuf.pipeline.run_checks import check_read, check_rows
from dbshuf.query.relation import LineRelation, RowRelation, place_of
from dbshuf.source.input import Input
from dbshuf.source.lines.reader import LineSource
from dbshuf.units import MIB

if TYPE_CHECKING:
    from dbshuf.base.row_notes import ReadNotes
    from dbshuf.pipeline.sql_scan import SqlScan
    from dbshuf.plan.arrangement import Arrangement
    from dbshuf.plan.mix import MixPart
    from dbshuf.plan.plan import Plan
    from dbshuf.query.row_filter import RowQuery
    from dbshuf.source.tables.reader import TableSource
    from dbshuf.store.read import StoreLines, StoreRows

Advance = Callable[[int], None]
_SQL_BUFFER_BYTES = 4 * MIB  # read at a time for --sql, by each of the threads that read


class LineScan:
    """Lines, through --where and --select if there is a query."""

    def __init__(
        self,
        source: "LineSource | StoreLines",
        inputs: Sequence[Input],
        advance: Advance,
        *,
        query: "RowQuery | None" = None,
        relation: LineRelation | None = None,
        most_workers: int = 1 << 10,
        notes: "ReadNotes | None" = None,
    ) -> None:
        """Scan from `source`; `relation` makes what the query sees of lines."""
        self.most_workers, self._notes = most_workers, notes
        self._source, self._inputs, self._advance = source, inputs, advance
        self._query, self._relation = query, relation
        self._seen_bytes = 0
        self._lock = threading.Lock()
        # numbers of lines are counted from the first one on
        self.is_in_pieces = isinstance(source, LineSource) and most_workers > 1

    @property
    def ended(self) -> Mapping[int, int]:
        return self._source.ended if isinstance(self._source, LineSource) else {}

    def leave_out(self, known: Spans) -> None:
        assert isinstance(self._source, LineSource)
        self._source.leave_out(known)
        self._seen_bytes = known.total

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        seen_bytes = 0
        evaluator = None if self._query is None else self._query.evaluator()
        try:
            for batch in self._source.batches(self._source.new_arena(buffer)):
                seen_bytes += batch.text_bytes
                if self._notes is not None:
                    self._notes.saw(batch)
                if evaluator is None:
                    yield batch
                else:
                    assert self._relation is not None
                    ids = batch.ids()
                    place = _placer(ids, self._inputs, "byte")
                    kept, columns = evaluator.run(self._relation.of(batch), place)
                    if columns is not None:
                        yield RowBatch(columns, ids.take(kept), batch.spans)
                    else:
                        yield batch if len(kept) == len(ids) else replace(batch, kept=kept)
                self._advance(batch.text_bytes)
                del batch
        finally:
            if evaluator is not None:
                evaluator.close()
        with self._lock:
            self._seen_bytes += seen_bytes

    def check(self) -> None:
        self._source.check_unchanged()
        check_read(self._seen_bytes, self._source.text_bytes)
        if self._notes is not None:
            self._notes.end()

    def stop(self) -> None:
        self._source.stop()

    def close(self) -> None:
        self._source.close()


class TableScan:
    """Typed rows, through --where and --select if there is a query."""

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
        self.most_workers, self._notes = 1 << 10, notes
        self._source, self._inputs, self._advance = source, inputs, advance
        self._query, self._relation = query, relation
        self.is_in_pieces = hasattr(source, "leave_out")  # a store has none

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

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        evaluator = None if self._query is None else self._query.evaluator()
        try:
            for rows in self._source.batches():
                size = int(rows.sizes.sum())
                if self._notes is not None:
                    self._notes.saw(rows)
                if evaluator is None:
                    yield rows
                else:
                    assert self._relation is not None
                    place = _placer(rows.ids, self._inputs, "row")
                    kept, columns = evaluator.run(self._relation.of(rows), place)
                    taken = rows.batch.take(arrow_numbers(kept)) if columns is None else columns
                    yield RowBatch(taken, rows.ids.take(kept), rows.spans)
                    del taken, columns
                del rows
                self._advance(size)
        finally:
            if evaluator is not None:
                evaluator.close()

    def check(self) -> None:
        self._source.check_unchanged()
        if self._source.rows is not None:
            check_rows(self._source.seen_rows, self._source.rows)
        if self._notes is not None:
            self._notes.end()

    def stop(self) -> None:
        self._source.stop()

    def close(self) -> None:
        self._source.close()


def open_scan(plan: "Plan", folder: Path, advance: Advance) -> Scan:
    """Return what reads the inputs of a plan; `advance` is told the bytes that were read.

    folder  for what --sql spills
    """
    if plan.mix is not None:
        from dbshuf.pipeline.mixed import MixScan

        return MixScan(plan.mix, plan.seed, lambda part: part_scan(plan, part, advance))
    if plan.shape.sides is not None:
        from dbshuf.pipeline.paired import open_paired

        return open_paired(plan, advance)
    return _open_scan(plan, plan.inputs, folder, advance)


def part_scan(
    plan: "Plan", part: "MixPart", advance: Advance, *, columns: frozenset[str] | None = None
) -> Scan:
    """Return what reads one source of a mix.

    columns  of typed rows that are read, for who wants to know of no others; None: as in the run
    """
    shape, query = plan.shape, part.query
    asked = shape.asked if shape.own is None or shape.asked == SAME else shape.own
    shape = replace(shape, row_query=query, asked=asked, parts=(), narrow=columns)
    some = replace(plan, inputs=plan.inputs[part.first : part.last], shape=shape, mix=None)
    return _open_scan(some, plan.inputs, Path(), advance)


def _open_scan(
    plan: "Plan", inputs: Sequence[Input], folder: Path, advance: Advance
) -> "LineScan | TableScan | SqlScan":
    """Return what reads the inputs of a plan, some of `inputs`, which ids count."""
    shape = plan.shape
    outer, inner = shape.whole_query, shape.row_query
    named = outer.columns if outer is not None and inner is None else None
    columns = named if named is not None else inner.columns if inner else frozenset()
    layout = plan.layout
    if outer is not None:
        layout = replace(layout, buffer_bytes=min(layout.buffer_bytes, _SQL_BUFFER_BYTES))
    feed: LineScan | TableScan
    to_relation: Callable[[Any], pa.RecordBatch]
    if inner is not None:
        from dbshuf.query.evaluator import Spare

        inner.has_spare(Spare(lambda: plan.spare_bytes, plan.cap_for_spare))
    if shape.is_text:
        lines = LineRelation(inputs, columns, strict=shape.is_strict)
        feed = LineScan(
            _line_source(plan, layout),
            inputs,
            advance,
            query=inner,
            relation=lines,
            most_workers=1 if "line_number" in columns else 1 << 10,
            notes=plan.notes,
        )
        to_relation = lines.of
    else:
        rows = RowRelation(inputs, columns)
        source = _row_source(plan, layout)
        feed = TableScan(source, inputs, advance, query=inner, relation=rows, notes=plan.notes)
        to_relation = rows.of
    if outer is None:
        return feed
    if inner is not None:  # typed rows out of JSON lines
        to_relation = RowRelation(inputs, outer.columns).of
    return _sql_scan(plan, feed, to_relation, layout.buffer_bytes, folder)


def noted_scan(plan: "Plan", folder: Path, advance: Advance) -> Scan:
    """As `open_scan`; the checksum of what it yields is made where a manifest wants it."""
    feed = open_scan(plan, folder, advance)
    if plan.notes is None or plan.sample is not None:  # then other rows leave than come
        return feed
    from dbshuf.base.row_notes import NotedScan

    return NotedScan(feed, plan.notes)


def _sql_scan(
    plan: "Plan",
    feed: Scan,
    to_relation: Callable[[Any], pa.RecordBatch],
    buffer_bytes: int,
    folder: Path,
) -> "SqlScan":
    """Return the --sql of a plan over all rows of a feed; see SqlScan."""
    from dbshuf.pipeline.sql_scan import SqlMeans, SqlScan

    query, threads = plan.shape.whole_query, plan.threads
    assert query is not None
    if plan.is_one_statement:
        threads = merge_threads(plan.duckdb_bytes, plan.survey.mean_line_bytes, threads)
    means = SqlMeans(
        memory_bytes=plan.duckdb_bytes,
        threads=threads,
        buffer_bytes=buffer_bytes,
        folder=folder,
        is_ordered=plan.is_one_statement,
        gives_way=plan.otherwise is not None,
        cap_for=plan.cap_for_query,
    )
    return SqlScan(feed, to_relation, query, means)


def led_scan(plan: "Plan", arrangement: "Arrangement", feed: Scan, words: tuple[int, int]) -> Scan:
    """Return a feed whose rows have leads; words are those of the seed."""
    from dbshuf.order.leads import LeadPlace, LedScan

    inputs, columns = plan.inputs, arrangement.leads.columns
    unit = "byte" if plan.shape.is_text else "row"

    def place(row: int) -> str:
        if plan.shape.whole_query is not None:
            return f"the row of --sql with the id {row}"
        if plan.mix is not None:
            row = id_of_first(row, len(inputs))
        return place_of(row, inputs, unit)

    lines = LineRelation(inputs, columns, strict=False)
    given = LeadPlace(words, lines, RowRelation(inputs, columns), place)
    return LedScan(feed, arrangement.leads, given)


def _line_source(plan: "Plan", layout: Layout) -> "LineSource | StoreLines":
    if plan.store is not None:
        from dbshuf.store.read import StoreLines

        return StoreLines(
            plan.store,
            layout=layout,
            longest_bytes=plan.longest_line_bytes,
            cap_for_line=plan.cap_for_line,
            memory_bytes=plan.store.reader_bytes() * (plan.threads + 1),
        )
    return LineSource(
        plan.inputs,
        terminator=plan.terminator,
        header_bytes=len(plan.header),
        layout=layout,
        longest_bytes=plan.longest_line_bytes,
        cap_for_line=plan.cap_for_line,
        pause=plan.pause,
    )


def _row_source(plan: "Plan", layout: Layout) -> "TableSource | StoreRows":
    if plan.store is not None:
        from dbshuf.store.read import StoreRows

        memory_bytes = plan.store.reader_bytes() * (plan.threads + 1)
        return StoreRows(plan.store, batch_bytes=layout.buffer_bytes, memory_bytes=memory_bytes)
    return plan.shape.open_tables(plan.inputs, layout.buffer_bytes, plan.threads)


def _placer(ids: U64, inputs: Sequence[Input], unit: str) -> Callable[[int], str]:
    """Return what names the place of a row of a batch, for messages."""
    return lambda row: place_of(int(ids[row]), inputs, unit)
