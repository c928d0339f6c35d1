"""What --memory a run would need: for a longer line, for a row of SQL, for DuckDB.

Where a line is too long for the workers of a plan, `roomier` is the same run by one worker, and
`narrower` how one goes on where what was read cannot be read again.
"""

from dataclasses import replace

from dbshuf.base.layout import Layout
from dbshuf.errors import MemoryTooSmall, StrategyUnfit
from dbshuf.plan.memory_division import first_of_two, lent_bytes, windows_bytes
from dbshuf.plan.plan import Plan
from dbshuf.plan.strata import records_memory, strata_memory
from dbshuf.plan.strategy import READING_SHARE, Allowance, choose_strategy, statement_share
from dbshuf.plan.worker_memory import stored_bytes
from dbshuf.sink import Target, sink_memory_bytes
from dbshuf.sink.memory import fitting_row_group_bytes
from dbshuf.source.input import with_windows_within
from dbshuf.units import MIB

_VARIES_BYTES = 8 * MIB  # by which the base of one run is another's


def _may_begin_anew(plan: Plan) -> bool:
    """Whether a run may read again, by one worker, where a line is too long for more."""
    is_kept = plan.work is not None  # for a later process, which reads by the same plan
    return not (plan.is_one_statement or is_kept or _is_piped(plan))


def _is_piped(plan: Plan) -> bool:
    return any(one.pipe is not None for one in plan.inputs)


def _may_go_on(plan: Plan) -> bool:
    """Whether one worker may go on where a line is too long for more: lines of inputs go to one
    order, by the key, and what was read waits in its temporary file."""
    shape, work = plan.shape, (plan.sample, plan.strata, plan.order_by, plan.work)
    others = (shape.whole_query, shape.sides, plan.mix, plan.store, *work)
    is_partition = plan.strategy == "partition" and shape.is_text
    return _is_piped(plan) and is_partition and all(one is None for one in others)


def roomier(plan: Plan) -> Plan | None:
    """Return the same run by one worker, in which longer lines fit; None where none do."""
    return _by_one_worker(plan) if _may_begin_anew(plan) else None


def narrower(plan: Plan) -> Plan | None:
    """Return how one worker goes on with a run, as `roomier`, and reads as was read before."""
    found = _by_one_worker(plan) if _may_go_on(plan) else None
    if found is None or found.layout.buffer_bytes < plan.layout.buffer_bytes:
        return None
    kept = ("ranges", "is_split", "buffer_bytes", "piece_rows")
    layout = replace(found.layout, **{name: getattr(plan.layout, name) for name in kept})
    return replace(found, layout=layout)


def _by_one_worker(plan: Plan) -> Plan | None:
    first, (strategy, reason, layout) = _roomiest_at(
        plan, plan.memory_bytes, plan.layout.base_bytes
    )
    found = replace(
        plan,
        first=first,
        strategy=strategy,
        reason=reason,
        layout=layout,
        temp_bytes=None if plan.survey.text_bytes is None else stored_bytes(plan.survey),
        otherwise=None,
    )
    return found if found.longest_line_bytes > plan.longest_line_bytes else None


def cap_for_line(plan: Plan, length: int) -> int:
    """Return a --memory (bytes) under which a line of `length` bytes fits."""
    base = plan.layout.base_bytes
    low, high = plan.memory_bytes, 2 * plan.memory_bytes
    while _longest_at(plan, high, base) < length and high < 1 << 50:
        low, high = high, 2 * high
    while high - low > MIB:
        middle = (low + high) // 2
        if _longest_at(plan, middle, base) < length:
            low = middle
        else:
            high = middle
    high += _VARIES_BYTES
    while _longest_at(plan, high, base) < length and high < 1 << 50:  # row groups are larger
        high += high // 16
    return high


def cap_for_spare(plan: Plan, length: int) -> int:
    """Return a --memory (bytes) under which SQL may have `length` bytes for one row."""
    cap = plan.memory_bytes
    while _spare_at(plan, cap) < length and cap < 1 << 50:
        cap += cap // 8
    return cap + _VARIES_BYTES


def cap_for_query(plan: Plan, size: int) -> int:
    """Return a --memory (bytes) that gives --sql `size` bytes of DuckDB; 0: it has them."""
    lacking = size - plan.duckdb_bytes
    return plan.memory_bytes + 2 * lacking + 8 * MIB if lacking > 0 else 0


def _spare_at(plan: Plan, cap: int) -> int:
    try:
        return _layout_at(plan, cap).spare_bytes
    except (MemoryTooSmall, StrategyUnfit):
        return 0


def _longest_at(plan: Plan, cap: int, base: int) -> int:
    try:
        if not (_may_begin_anew(plan) or _may_go_on(plan)):
            return plan.longest_with(_layout_at(plan, cap, base))
        first, (_, _, layout) = _roomiest_at(plan, cap, base)
        return plan.longest_with(first or layout)
    except (MemoryTooSmall, StrategyUnfit):  # row groups take more there
        return 0


def _roomiest_at(plan: Plan, cap: int, base: int) -> tuple[Layout | None, tuple[str, str, Layout]]:
    """Return how one worker does this with some memory, after a first order if there is one.

    A long row is encoded alone, so of the sink's threads there is only one beside it.
    """
    target = replace(_target_at(plan, cap), memory_bytes=0)
    first, allowed = None, Allowance(cap, base + _growth(plan, cap, target), 0, plan.shape.copies)
    asked = "partition" if plan.is_auto else plan.strategy
    if plan.first is not None:
        first, allowed = _two_at(plan, replace(allowed, base=0), target, "partition")
    return first, choose_strategy(asked, plan.survey, allowed)


def _two_at(plan: Plan, allowed: Allowance, target: Target, asked: str) -> tuple[Layout, Allowance]:
    """Return a first order with some memory, and what is left for the last; its base is ours."""
    assert plan.first is not None
    base = plan.first.base_bytes + _growth(plan, allowed.cap, target)
    lent = 0 if plan.counts is None else lent_bytes(target)
    return first_of_two(replace(allowed, base=base), plan.survey, lent, asked)


def _target_at(plan: Plan, cap: int) -> Target:
    """Return the target under another --memory: row groups grow with it, and the threads."""
    if cap == plan.memory_bytes or plan.target.memory_bytes is None:
        return plan.target
    found = replace(plan.target, memory_bytes=cap)
    if found.row_group_bytes is None:
        return found
    size = max(fitting_row_group_bytes(found), found.row_group_bytes)
    return replace(found, row_group_bytes=size)


def _growth(plan: Plan, cap: int, target: Target) -> int:
    """Return what the base is larger (bytes) under another --memory, with another target."""
    more = sink_memory_bytes(target) - sink_memory_bytes(plan.target)
    more *= max(len(plan.target.split_names), 1)
    inputs = with_windows_within(plan.inputs, cap, plan.threads + 1)
    more += windows_bytes(inputs, plan.threads) - windows_bytes(plan.inputs, plan.threads)
    if plan.counts is not None:
        more += records_memory(cap)[1] - records_memory(plan.memory_bytes)[1]
    if plan.strata is not None:
        more += strata_memory(cap)[1] - strata_memory(plan.memory_bytes)[1]
    if plan.shape.whole_query is None or plan.is_one_statement:
        return more
    return more + max(cap - plan.memory_bytes - more, 0) // 2  # to DuckDB


def _layout_at(plan: Plan, cap: int, base: int | None = None) -> Layout:
    """Return the layout that reads, with some memory."""
    asked = "auto" if plan.is_auto and not plan.is_one_statement else plan.strategy
    base = plan.layout.base_bytes if base is None else base
    target = _target_at(plan, cap)
    base += _growth(plan, cap, target)
    share = (
        statement_share(is_fed=plan.shape.whole_query is not None)
        if plan.is_one_statement
        else READING_SHARE
    )
    allowed = Allowance(cap, base, plan.threads, plan.shape.copies, share)
    if plan.first is not None:
        return _two_at(plan, allowed, target, "auto")[0]
    return choose_strategy(asked, plan.survey, allowed)[2]
