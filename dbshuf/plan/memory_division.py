"""How --memory is divided: among the sink, DuckDB, what readers hold, and one order or two.

What an order has is laid out for its workers by `worker_memory.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import TYPE_CHECKING

from dbshuf.base.layout import SLACK_BYTES, WINDOW_BYTES, Layout
from dbshuf.base.process_memory import release_unused, resident_bytes
from dbshuf.plan.logical_plan import LogicalPlan
from dbshuf.plan.ordering import (
    Ordering,
    as_one_statement,
    is_one_statement,
    of_sample,
    order_asked,
)
from dbshuf.plan.reading import ReadPlan
from dbshuf.plan.row_plan import ROW_QUERY_BYTES, Shape
from dbshuf.plan.strata import half_of, records_memory, strata_memory
from dbshuf.plan.strategy import DUCKDB_BYTES, Allowance, unloaded_bytes
from dbshuf.plan.worker_memory import least_cap
from dbshuf.sink import Target, sink_memory_bytes
from dbshuf.sink.memory import ROW_GROUP_BYTES, fitting_row_group_bytes
from dbshuf.source.input import Input
from dbshuf.source.remote_object import IN_FLIGHT_BYTES
from dbshuf.source.survey import Survey
from dbshuf.units import MIB

if TYPE_CHECKING:
    from dbshuf.order.strata import StrataMemory

_IDLE_SINK_BYTES = 48 * MIB  # of a sink that has written nothing yet: mostly code
_GAIN_OF_TWO = 0.4  # of each of two orders; counts of values take an eighth of all before
_GAIN_BESIDE_VALUES = 0.8  # which take a sixteenth, and their records an eighth


@dataclass(frozen=True)
class Division:
    """How memory is divided, and what orders.

    target     with what it may have
    chosen     what orders the rows
    otherwise  what does where that cannot; None: it can
    first      of an order before that one
    values     what strata may have
    counts     of the rows of each value, where rows are spread by it
    """

    target: Target
    chosen: Ordering
    otherwise: Ordering | None
    first: Layout | None
    values: "StrataMemory | None"
    counts: Layout | None


def divided(logical: LogicalPlan, *, reads_only: bool) -> Division:
    """Divide the memory, and choose what orders. Raises MemoryTooSmall, StrategyUnfit."""
    options, read, target, sample = logical.options, logical.read, logical.target, logical.sample
    shape, threads, cap = read.shape, logical.threads, logical.cap
    survey, kept = logical.survey, logical.kept
    release_unused()
    values, held = (None, 0) if logical.strata is None else strata_memory(cap)
    code = logical.resident or resident_bytes() + unloaded_bytes()
    held += code + SLACK_BYTES + _readers(read, survey, threads)
    if logical.order_by is not None and not options.partition_by:  # which asks no SQL
        held += ROW_QUERY_BYTES
    is_twice, counts = logical.order_by is not None and logical.order_by.is_twice, None
    if is_twice:
        counts, counting = records_memory(cap)
        held += counting
    if logical.wanted is not None:
        from dbshuf.base.row_notes import NOTES_BYTES, SCRATCH_BYTES

        held += NOTES_BYTES + SCRATCH_BYTES * (threads + 1) + WINDOW_BYTES
    if shape.whole_query is not None:  # what reads for it is in the base
        survey, kept = replace(survey, reader_bytes=0), replace(kept, reader_bytes=0)
    if reads_only:
        engine_bytes, base = _engine(shape, cap, held)
    else:
        target, engine_bytes, base = _with_room(target, shape, kept, cap, held)
    is_twice = is_twice or (sample is not None and sample.draws is not None)
    gain = 1 if values is None else _GAIN_BESIDE_VALUES
    allowed, first = Allowance(cap, base, threads, shape.copies, gain=gain), None
    if is_twice:
        lent = 0 if counts is None else lent_bytes(target)
        first, allowed = first_of_two(allowed, survey, lent)
    chosen = Ordering.make(order_asked(options), kept, allowed, engine_bytes)
    if sample is not None and counts is None:
        chosen = of_sample(sample, chosen, survey)
    otherwise = None
    if is_one_statement(options, read):
        allowed = replace(allowed, base=held + sink_bytes_of(target))
        chosen, otherwise = as_one_statement(options, read, chosen, allowed)
    return Division(target, chosen, otherwise, first, values, counts)


def lent_bytes(target: Target) -> int:
    """Return what the sinks of a target lend to a first order, before they write anything."""
    return max(sink_bytes_of(target) - _IDLE_SINK_BYTES, 0)


def first_of_two(
    allowed: Allowance, survey: Survey, lent: int, asked: str = "auto"
) -> tuple[Layout, Allowance]:
    """Return what a first order has of the memory, and what is left for the second.

    lent   bytes of the base that nobody takes before the first order is gone: then the second one
           may have all that is free
    asked  strategy of the first order
    """
    free = allowed.cap - allowed.base
    half = half_of(allowed.cap, allowed.base, survey, allowed.copies)
    second = min(half + lent // 2, free)
    lender = replace(allowed, cap=allowed.cap + lent - second)
    first = Ordering.make(asked, survey, lender)
    return first.layout, replace(allowed, base=allowed.cap - second, gain=_GAIN_OF_TWO)


def _with_room(
    target: Target, shape: Shape, survey: Survey, cap: int, held: int
) -> tuple[Target, int, int]:
    """Return the target, DuckDB's memory limit (bytes, 0: none), and the base of the plan.

    Where that leaves less than twice what one worker needs, row groups are small, and then
    one thread encodes them.
    """
    tries = [target, replace(target, memory_bytes=0)]
    if target.format == "parquet" and target.row_group_bytes is None:
        small = [replace(one, row_group_bytes=ROW_GROUP_BYTES) for one in tries]
        tries = [replace(target, row_group_bytes=fitting_row_group_bytes(target)), *small]
    for one in tries:
        engine_bytes, base = _engine(shape, cap, held + sink_bytes_of(one))
        if cap - base >= 2 * (least_cap(base, survey, shape.copies) - base):
            break
    return one, engine_bytes, base


def sink_bytes_of(target: Target) -> int:
    """Return the memory (bytes) of all sinks of a target."""
    return sink_memory_bytes(target) * max(len(target.split_names), 1)


def _engine(shape: Shape, cap: int, base: int) -> tuple[int, int]:
    """Return DuckDB's memory limit (bytes, 0: none), and the base with DuckDB in it."""
    if shape.whole_query is not None:
        limit = max((cap - base - DUCKDB_BYTES) // 2, ROW_QUERY_BYTES)
        return limit, base + DUCKDB_BYTES + limit
    if shape.row_query is not None:
        return 0, base + ROW_QUERY_BYTES
    return 0, base


def _readers(read: ReadPlan, survey: Survey, threads: int) -> int:
    """The memory (bytes) of what reads beside workers; a worker's part of a layout is not."""
    if read.store is not None:
        return read.store.reader_bytes() * (threads + 1)
    if read.shape.whole_query is not None and not read.shape.is_text:
        return survey.reader_bytes * threads + _in_flight(read)
    if read.shape.sides is not None:
        from dbshuf.plan.paired import reading_bytes

        return reading_bytes(read.inputs, read.shape.sides, survey) + _in_flight(read)
    return windows_bytes(read.inputs, threads) + _in_flight(read)


def windows_bytes(inputs: Sequence[Input], threads: int) -> int:
    """Return the memory (bytes) of readers of the inputs that are compressed the most widely."""
    return sum(nlargest(threads + 1, (one.window_bytes for one in inputs)))


def _in_flight(read: ReadPlan) -> int:
    """The memory (bytes) of answers that come from elsewhere."""
    return IN_FLIGHT_BYTES if any(one.remote is not None for one in read.inputs) else 0
