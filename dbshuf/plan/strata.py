"""Rows by the value of an expression: --take N --per, --stratify; and the memory for it."""

from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from dbshuf.base.key import seed_words
from dbshuf.base.layout import ENGINE_BYTES, Layout
from dbshuf.base.messages import too_small
from dbshuf.options import Options
from dbshuf.plan.reading import ReadPlan
from dbshuf.plan.row_plan import ROW_QUERY_BYTES
from dbshuf.plan.sample import Sample
from dbshuf.plan.splits import Splits, parse_splits
from dbshuf.plan.worker_memory import lay_out, least_cap
from dbshuf.source.survey import Survey
from dbshuf.units import MIB

if TYPE_CHECKING:
    from dbshuf.order.strata import Strata, StrataMemory

_TABLE_SHARE = 16  # of the memory is for values
_RECORD_BYTES = 8.0  # of a row: its value; the key that ranks it is beside it
_RECORDS_SHARE = 8  # of the memory is for them, or the least that orders them


def strata_of(
    options: Options, read: ReadPlan, sample: Sample | None, seed: str
) -> "Strata | None":
    """Return what chooses rows by their values; None: nothing does.

    Raises   QueryInvalid; UsageError for line_number
    """
    if sample is None or not sample.is_stratified:
        return None
    from dbshuf.order.strata import Strata, StrataPlan, first_rows, shares_of
    from dbshuf.query.relation import check_uncounted, columns_of
    from dbshuf.query.row_expression import RowKeyQuery

    splits = None if options.split is None else parse_splits(options.split, options.split_seed)
    option = "--per" if sample.per is not None else "--stratify"
    schema = read.shape.schema
    text = sample.per or sample.stratify or ""
    query = RowKeyQuery(text, columns_of(schema), "strata", option=option)
    check_uncounted(option, query.columns, schema, "values are told apart")
    if sample.per is not None:
        assert sample.take is not None
        cuts, rank_seed = partial(first_rows, sample.take), f"per:{seed}"
    else:
        cuts = partial(shares_of, _ends(sample, splits))
        rank_seed = f"stratify:{seed}" if splits is None else f"split:{splits.seed}"
    plan = StrataPlan(query, read.inputs, seed_words(seed), cuts, rank_seed, option)
    return Strata(plan)


def _ends(sample: Sample, splits: Splits | None) -> list[tuple[int, int]]:
    """Return where parts end, as shares of all rows; that of the last split is not needed."""
    from fractions import Fraction

    whole = sample.share or Fraction(1)
    if splits is None:
        ends = [whole]
    else:
        shares = [Fraction(str(share)) for share in splits.shares]
        ends = [end * whole for end in accumulate(shares)]
        ends[-1] = whole  # the shares may sum to something near 1
        if sample.share is None:
            ends.pop()
    return [end.as_integer_ratio() for end in ends]


def strata_memory(cap: int) -> tuple["StrataMemory", int]:
    """Return the memory for strata, and how much of --memory that is (bytes)."""
    from dbshuf.order.strata import StrataMemory
    from dbshuf.order.value_table import VALUE_BYTES

    layout, size = records_memory(cap)
    table_bytes = cap // _TABLE_SHARE
    memory = StrataMemory(layout, table_bytes // VALUE_BYTES, cap)
    return memory, size + table_bytes + ROW_QUERY_BYTES


def records_memory(cap: int) -> tuple[Layout, int]:
    """Return the memory for an order of one number a row, and how much that is (bytes)."""
    records = Survey(_RECORD_BYTES, int(_RECORD_BYTES), None, is_exact=False, columns=1)
    least = least_cap(0, records)
    size = max(cap // _RECORDS_SHARE, least + least // 8)
    store_bytes = max(size - least - least // 8, 0) // 2 // MIB * MIB
    layout = lay_out(size, 0, records, threads=1, store_bytes=store_bytes)
    return layout, size + layout.workers * ENGINE_BYTES


def half_of(cap: int, base: int, survey: Survey, copies: float) -> int:
    """Return the half of what is free (bytes), where rows are ordered twice at a time.

    Raises  MemoryTooSmall
    """
    least = least_cap(base, survey, copies) - base
    if cap < base + 2 * least:
        needs = "rows are ordered twice here, which needs"
        raise too_small(cap, base + 2 * least + 8 * MIB, needs)
    return (cap - base) // 2
