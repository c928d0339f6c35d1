"""What --memory a run would need: for a longer line, for a row of SQL, for DuckDB.

Where a line is too long for the workers of a plan, `roomier` is the same run by one worker.
"""

from dataclasses import replace

from dbshuf.base.layout import Layout
from dbshuf.errors import MemoryTooSmall, StrategyUnfit
from dbshuf.plan.memory import stored_bytes
from dbshuf.plan.plan import Plan
from dbshuf.plan.strategy import READING_SHARE, Allowance, choose_strategy, statement_share
from dbshuf.sink import Target, sink_memory_bytes
from dbshuf.sink.memory import fitting_row_group_bytes
from dbshuf.units import MIB

_VARIES_BYTES = 8 * MIB  # by which the base of one run is another's


def _may_begin_anew(plan: Plan) -> bool:
    """Whether a run may read again, by one worker, where a line is too long for more."""
    is_kept = plan.work is not None  # for a later process, which reads by the same plan
    is_piped = any(one.pipe is not None for one in plan.inputs)
    return not (plan.is_one_statement or is_kept or is_piped)


def roomier(plan: Plan) -> Plan | None:
    """Return the same run by one worker, in which longer lines fit; None where none do."""
    if not _may_begin_anew(plan):
        return None
    strategy, reason, layout = _roomiest_at(plan, plan.memory_bytes, plan.layout.base_bytes)
    found = replace(
        plan,
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
        if not _may_begin_anew(plan):
            return plan.longest_with(_layout_at(plan, cap, base))
        return plan.longest_with(_roomiest_at(plan, cap, base)[2])
    except (MemoryTooSmall, StrategyUnfit):  # row groups take more there
        return 0


def _roomiest_at(plan: Plan, cap: int, base: int) -> tuple[str, str, Layout]:
    """Return how one worker does this with some memory.

    A long row is encoded alone, so of the sink's threads there is only one beside it.
    """
    base += _growth(plan, cap, replace(_target_at(plan, cap), memory_bytes=0))
    asked = "partition" if plan.is_auto else plan.strategy
    return choose_strategy(asked, plan.survey, Allowance(cap, base, 0, plan.shape.copies))


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
    if plan.shape.whole_query is None or plan.is_one_statement:
        return more
    return more + max(cap - plan.memory_bytes - more, 0) // 2  # to DuckDB


def _layout_at(plan: Plan, cap: int, base: int | None = None) -> Layout:
    asked = "auto" if plan.is_auto and not plan.is_one_statement else plan.strategy
    base = plan.layout.base_bytes if base is None else base
    base += _growth(plan, cap, _target_at(plan, cap))
    share = (
        statement_share(is_fed=plan.shape.whole_query is not None)
        if plan.is_one_statement
        else READING_SHARE
    )
    allowed = Allowance(cap, base, plan.threads, plan.shape.copies, share)
    return choose_strategy(asked, plan.survey, allowed)[2]
