"""Source and query in one: what the order stage is fed with, by several workers at once.

LineScan    lines                          LineBatch, see source_scan.py
TableScan   rows of tables                 RowBatch, see source_scan.py
SqlScan     the rows of one --sql          RowBatch, see sql_scan.py
PairedScan  lines of --paired files        RowBatch, see paired.py
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dbshuf.base.key import id_of_first
from dbshuf.base.layout import Layout, merge_threads
from dbshuf.base.scan import Scan
from dbshuf.options import SAME
from dbshuf.pipeline.source_scan import Advance, LineScan, TableScan
from dbshuf.plan.memory_needed import cap_for_line, cap_for_query, cap_for_spare
from dbshuf.query.relation import AnyRelation, LineRelation, RowRelation, place_of
from dbshuf.source.input import Input
from dbshuf.source.lines.long_lines import LineLimit
from dbshuf.source.lines.reader import LineSource
from dbshuf.units import MIB

if TYPE_CHECKING:
    from dbshuf.pipeline.sql_scan import SqlScan
    from dbshuf.plan.mix import MixPart
    from dbshuf.plan.order_by import OrderBy
    from dbshuf.plan.plan import Plan
    from dbshuf.source.tables.reader import TableSource
    from dbshuf.store.read import StoreLines, StoreRows

_SQL_BUFFER_BYTES = 4 * MIB  # read at a time for --sql, by each of the threads that read


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

        inner.has_spare(Spare(lambda: plan.spare_bytes, partial(cap_for_spare, plan)))
    if shape.is_text:
        lines = LineRelation(inputs, columns, strict=shape.is_strict)
        feed = LineScan(
            _line_source(plan, layout),
            inputs,
            advance,
            query=inner,
            relation=lines,
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
        cap_for=partial(cap_for_query, plan),
    )
    return SqlScan(feed, to_relation, query, means)


def prefixed_scan(plan: "Plan", order_by: "OrderBy", feed: Scan, words: tuple[int, int]) -> Scan:
    """Return a feed whose rows have prefixes; words are those of the seed."""
    from dbshuf.order.sort_prefix import PrefixedScan, PrefixPlace

    inputs, columns = plan.inputs, order_by.prefixes.columns
    unit = "byte" if plan.shape.is_text else "row"

    def place(row: int) -> str:
        if plan.shape.whole_query is not None:
            return f"the row of --sql with the id {row}"
        if plan.mix is not None:
            row = id_of_first(row, len(inputs))
        return place_of(row, inputs, unit)

    given = PrefixPlace(words, AnyRelation(inputs, columns), place)
    return PrefixedScan(feed, order_by.prefixes, given)


def _line_source(plan: "Plan", layout: Layout) -> "LineSource | StoreLines":
    limit = LineLimit(plan.longest_line_bytes, partial(cap_for_line, plan))
    if plan.store is not None:
        from dbshuf.store.read import StoreLines

        return StoreLines(
            plan.store,
            layout=layout,
            limit=limit,
            memory_bytes=plan.store.reader_bytes() * (plan.threads + 1),
        )
    return LineSource(
        plan.inputs,
        terminator=plan.terminator,
        header_bytes=len(plan.header),
        layout=layout,
        limit=limit,
        pause=plan.pause,
    )


def _row_source(plan: "Plan", layout: Layout) -> "TableSource | StoreRows":
    if plan.store is not None:
        from dbshuf.store.read import StoreRows

        memory_bytes = plan.store.reader_bytes() * (plan.threads + 1)
        return StoreRows(plan.store, batch_bytes=layout.buffer_bytes, memory_bytes=memory_bytes)
    return plan.shape.open_tables(plan.inputs, layout.buffer_bytes)
