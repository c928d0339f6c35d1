"""Options to a plan: every decision and every check that needs no work yet."""

import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dbshuf.base.process_memory import release_unused, resident_bytes
from dbshuf.errors import UsageError
from dbshuf.options import Options
from dbshuf.plan.logical_plan import LogicalPlan, check_combinations, logical_plan_of
from dbshuf.plan.manifest import wanted_of
from dbshuf.plan.memory_division import Division, divided
from dbshuf.plan.order_by import order_by_of
from dbshuf.plan.ordering import Ordering, order_asked
from dbshuf.plan.plan import Plan
from dbshuf.plan.reading import survey_of, what_is_read
from dbshuf.plan.row_plan import memory_cap
from dbshuf.plan.space import check_space, free_near, object_bytes, output_bytes
from dbshuf.plan.strategy import unloaded_bytes
from dbshuf.plan.target import target_of
from dbshuf.plan.worker_memory import stored_bytes
from dbshuf.sink import RemotePath, check_schema, check_target

if TYPE_CHECKING:
    from dbshuf.plan.mix import Mix, MixAsked, MixPart
    from dbshuf.plan.spark_plan import SparkPlan


# What counts the sources of a mix, by a plan that says how they are read.
CountMix = Callable[[Plan, "MixAsked", Sequence["MixPart"]], "Mix"]


def plan_of(options: Options, count: CountMix | None = None) -> "Plan | SparkPlan":
    """Decide how to do what the options ask for, on the engine that they name."""
    return spark_plan(options) if options.engine == "spark" else make_plan(options, count=count)


def spark_plan(options: Options) -> "SparkPlan":
    """As `make_plan`, for a run on Spark; it is not started for that."""
    from dbshuf.plan.spark_plan import make_spark_plan

    sample = check_combinations(options)
    seed = options.seed if options.seed is not None else str(secrets.randbits(48))
    given, options = options, replace(options, seed=seed)
    read = what_is_read(options)
    order_by = order_by_of(options, read, seed)
    cap = memory_cap(options)
    target = target_of(options, read, seed, cap)
    check_target(target)
    check_schema(target)
    wanted = wanted_of(given, target, read.inputs)
    target = replace(target, is_noted=wanted is not None)
    plan = make_spark_plan(options, read, target, survey_of(read), sample)
    return replace(plan, wanted=wanted, order_by=order_by)


def make_plan(options: Options, *, reads_only: bool = False, count: CountMix | None = None) -> Plan:
    """Decide how to do what the options ask for; raise what can be known to fail.

    reads_only  whether rows are read alone, so that no room is needed for what is written
    count       counts the sources of --mix, which are read for that
    Raises  any DbshufError that needs no work: inputs, memory, space, output, options, SQL
    """
    logical = logical_plan_of(options)
    if logical.read.mix is not None:
        logical = _mixed(logical, logical.read.mix, count, reads_only=reads_only)
    division = divided(logical, reads_only=reads_only)
    plan = _plan(logical, division)
    if division.otherwise is not None:
        plan = replace(plan, otherwise=_otherwise(plan, division.otherwise))
    is_filtered = plan.shape.row_query is not None and logical.mix is None
    is_known = logical.kept.is_exact and not is_filtered  # nothing is refused on a guess
    if is_known and not reads_only:
        _check_space(plan)
    return plan


def _mixed(
    logical: LogicalPlan, asked: "MixAsked", count: CountMix | None, *, reads_only: bool
) -> LogicalPlan:
    """Return a logical plan whose mix is counted. Raises UsageError where it cannot be."""
    if count is None:
        raise UsageError(
            "--mix is for shuffle, plan and stream", hint="name inputs, or shuffle the mix first"
        )
    release_unused()
    resident = resident_bytes() + unloaded_bytes()
    reading = replace(
        logical, options=replace(logical.options, strategy="partition", engine="duckdb")
    )
    plan = _plan(reading, divided(reading, reads_only=reads_only))
    mix = count(plan, asked, logical.read.parts)
    size = mix.bytes
    is_exact = size is not None and not logical.survey.columns
    size = int(mix.rows * logical.survey.mean_line_bytes) if size is None else size
    kept = replace(logical.survey, text_bytes=size, is_exact=is_exact)
    target = replace(logical.target, object_bytes=object_bytes(kept, logical.target))
    return replace(logical, mix=mix, kept=kept, target=target, resident=resident)


def _plan(logical: LogicalPlan, division: Division) -> Plan:
    """Return the plan for a logical one, its memory divided."""
    target, chosen = division.target, division.chosen
    return Plan(
        inputs=logical.read.inputs,
        store=logical.read.store,
        shape=logical.read.shape,
        survey=chosen.survey,
        target=target,
        seed=logical.seed,
        terminator=logical.read.terminator,
        header=logical.read.header,
        strategy=chosen.strategy,
        reason=chosen.reason,
        is_auto=order_asked(logical.options) == "auto",
        threads=logical.threads,
        memory_bytes=logical.cap,
        layout=chosen.layout,
        duckdb_bytes=chosen.duckdb_bytes,
        sqlite_bytes=chosen.sqlite_bytes,
        temp_dir=logical.temp_dir,
        temp_bytes=_temp_bytes(logical, division),
        output_bytes=output_bytes(logical.kept, target),
        temp_free_bytes=shutil.disk_usage(logical.temp_dir).free,
        output_free_bytes=None if target.path is None else free_near(target.path),
        tables=logical.read.tables,
        is_one_statement=chosen.is_one_statement,
        sample=logical.sample,
        likely_end=_likely_end(logical, division),
        order_by=logical.order_by,
        strata=logical.strata,
        strata_memory=division.values,
        first=division.first,
        counts=division.counts,
        work=logical.work,
        wanted=logical.wanted,
        mix=logical.mix,
        read_bytes=logical.survey.text_bytes,
        epochs=logical.epochs,
    )


def _likely_end(logical: LogicalPlan, division: Division) -> int | None:
    """Return `Sample.likely_end` where all lines that are read count, in the order of their keys.

    A size that is exact is that of files, which can be read again.
    """
    is_filtered = logical.read.shape.row_query is not None or logical.mix is not None
    is_other = logical.order_by is not None or division.otherwise is not None
    if logical.sample is None or is_filtered or is_other:
        return None
    return logical.sample.likely_end(logical.survey)


def _check_space(plan: Plan) -> None:
    """Raise TempSpaceShort or OutputSpaceShort for a plan whose sizes are known."""
    if plan.work is not None and plan.work.is_begun:  # some of the space is taken by it
        return
    check_space(
        plan.target,
        plan.temp_dir,
        temp_bytes=plan.temp_bytes or 0,
        output_bytes=plan.output_bytes or 0,
        option="--temp-dir" if plan.work is None else "another --work-dir",
    )


def _otherwise(plan: Plan, chosen: Ordering) -> Plan:
    return replace(
        plan,
        strategy=chosen.strategy,
        reason=chosen.reason,
        layout=chosen.layout,
        survey=chosen.survey,
        duckdb_bytes=chosen.duckdb_bytes,
        is_one_statement=False,
    )


def _temp_bytes(logical: LogicalPlan, division: Division) -> int | None:
    """Return what a run writes to its temporary directory, as far as one can tell."""
    found = _last_temp_bytes(logical, division)
    if found is None or division.counts is None or division.first is None:
        return found
    # what a first order of all rows keeps there while the second is filled
    return found + max(stored_bytes(logical.survey) - division.first.store_bytes, 0)


def _last_temp_bytes(logical: LogicalPlan, division: Division) -> int | None:
    """Return what the order of the rows that are written keeps there."""
    survey, target, chosen = logical.kept, division.target, division.chosen
    is_made_there = logical.work is not None and isinstance(target.path, RemotePath)
    waiting = output_bytes(survey, target) if target.waits_in_temp or is_made_there else 0
    if chosen.strategy == "memory":
        return waiting
    if survey.text_bytes is None or waiting is None:
        return None
    passes = 2 if chosen.layout.is_split and chosen.strategy != "sqlite" else 1
    return max(stored_bytes(survey) * passes - chosen.layout.store_bytes, 0) + waiting
