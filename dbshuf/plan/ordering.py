"""How the rows are ordered: by which strategy, in one statement or not, with what memory."""

from dataclasses import dataclass, replace

from dbshuf.base.layout import MERGE_ROWS, Layout
from dbshuf.base.row_batch import fixed_bytes
from dbshuf.options import Options
from dbshuf.plan.order_by import option_of
from dbshuf.plan.reading import ReadPlan
from dbshuf.plan.sample import Sample, sample_of
from dbshuf.plan.strategy import (
    Allowance,
    choose_strategy,
    duckdb_bytes,
    merge_fits,
    sqlite_bytes,
    statement_share,
)
from dbshuf.source.survey import Survey
from dbshuf.units import MIB, human

_WIDE_BYTES = 4 * MIB  # of a row of a store, for which the sink has room in any plan


@dataclass(frozen=True)
class Ordering:
    """How rows are ordered, and with what memory; the fields are those of a plan."""

    strategy: str
    reason: str
    layout: Layout
    survey: Survey
    duckdb_bytes: int
    sqlite_bytes: int = 0
    is_one_statement: bool = False

    @classmethod
    def make(
        cls,
        asked: str,
        survey: Survey,
        allowed: Allowance,
        limit: int = 0,
    ) -> "Ordering":
        """Choose how rows are ordered; `limit` is DuckDB's where that is known (bytes)."""
        strategy, reason, layout = choose_strategy(asked, survey, allowed)
        cap, base = allowed.cap, allowed.base
        limit = limit or duckdb_bytes(cap, base, survey, allowed.reading_share)
        sqlite = sqlite_bytes(cap, base, survey) if strategy == "sqlite" else 0
        return cls(strategy, reason, layout, survey, limit, sqlite)


def of_sample(sample: Sample, chosen: Ordering, survey: Survey) -> Ordering:
    """Return how the rows of a sample are ordered, which were chosen for what is left of them."""
    layout = sample.spread(chosen.layout, chosen.strategy, survey, chosen.survey)
    reason = chosen.reason
    if chosen.survey != survey and reason.startswith("about "):
        left = human(chosen.survey.text_bytes or 0)
        reason = f"about {left} are ordered; rows wait in memory first, then on disk"
    return replace(chosen, layout=layout, survey=survey, reason=reason)


def order_asked(options: Options) -> str:
    """Return the strategy that was asked for; another engine than DuckDB has one of its own."""
    if options.work_dir is not None:
        return "partition"  # the one whose rows outlive their process
    return options.strategy if options.engine == "duckdb" else options.engine


def is_one_statement(options: Options, read: ReadPlan) -> bool:
    """Whether DuckDB may order the rows in the statement that makes them."""
    if option_of(options) is not None:  # rows get their prefixes before they are ordered
        return False
    if sample_of(options) is not None:  # rows are dropped before they are ordered
        return False
    if order_asked(options) not in ("auto", "spill") or options.is_answer:
        return False
    if read.shape.whole_query is not None:
        return read.shape.whole_query.is_orderable
    is_of_duckdb = read.store is not None and read.store.engine == "duckdb"
    return is_of_duckdb and read.shape.row_query is None


def as_one_statement(
    options: Options, read: ReadPlan, chosen: Ordering, allowed: Allowance
) -> tuple[Ordering, Ordering | None]:
    """Return how the rows are ordered by one statement, or why not, and how where that fails."""
    survey = chosen.survey if read.shape.whole_query is None else _of_result(read, chosen.survey)
    is_auto = options.strategy == "auto"
    width = f"{survey.mean_line_bytes:.0f} bytes"
    if is_auto and not merge_fits(allowed.cap, allowed.base, survey):
        reason = f"rows of about {width} are too wide for DuckDB's merge of {MERGE_ROWS:,} rows"
        return replace(chosen, reason=reason), None
    if is_auto and read.shape.whole_query is None and survey.longest_line_bytes > _WIDE_BYTES:
        reason = f"a row of {human(survey.longest_line_bytes)} is too wide for DuckDB's merge"
        return replace(chosen, reason=reason), None
    if is_auto and any(one.pipe is not None for one in read.inputs):
        reason = "a pipe cannot be read again, should its rows be too wide for DuckDB's merge"
        return replace(chosen, reason=reason), None
    share = statement_share(is_fed=read.shape.whole_query is not None)
    one = Ordering.make("spill", survey, replace(allowed, reading_share=share))
    reason = f"one DuckDB statement makes and orders rows of about {width}"
    one = replace(one, reason=reason if is_auto else one.reason, is_one_statement=True)
    return one, chosen if is_auto else None


def _of_result(read: ReadPlan, survey: Survey) -> Survey:
    """Return a survey whose rows are as wide as those of --sql, as far as one can tell.

    A text of the result is taken to be as long as what a row of the input has for each of its.
    """
    shape = read.shape
    if shape.schema is None or shape.whole_query is None:
        return survey
    texts = max(shape.whole_query.texts, 1)
    widths = [fixed_bytes(field.type) for field in shape.schema]
    width = sum(survey.mean_line_bytes / texts if one is None else one for one in widths)
    return replace(survey, mean_line_bytes=max(width, 1.0))
