"""Options to a plan: every decision and every check that needs no work yet."""

import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dbshuf.base.address_space import check_room
from dbshuf.base.layout import LEAD_BYTES, SLACK_BYTES, WINDOW_BYTES, Layout
from dbshuf.base.process_memory import release_unused, resident_bytes, usable_cores
from dbshuf.errors import UsageError
from dbshuf.options import ALIASES, Options, check_options
from dbshuf.plan.arrangement import Arrangement, arrangement_of, check_arrangement
from dbshuf.plan.epochs import Epochs, check_epochs, epochs_of
from dbshuf.plan.manifest import Wanted, wanted_of
from dbshuf.plan.memory import least_cap, stored_bytes
from dbshuf.plan.ordering import (
    Ordering,
    as_one_statement,
    is_one_statement,
    of_sample,
    order_asked,
)
from dbshuf.plan.plan import Plan, WorkPlan
from dbshuf.plan.reading import ReadPlan, survey_of, what_is_read
from dbshuf.plan.row_plan import (
    ROW_QUERY_BYTES,
    Shape,
    memory_cap,
)
from dbshuf.plan.sample import Sample, sample_of
from dbshuf.plan.space import (
    check_space,
    free_near,
    object_bytes,
    output_bytes,
    temp_folder,
    work_folder,
)
from dbshuf.plan.strata import half_of, records_memory, strata_memory, strata_of
from dbshuf.plan.strategy import (
    DUCKDB_BYTES,
    unloaded_bytes,
)
from dbshuf.plan.target import target_of
from dbshuf.plan.work import check_work_options, is_publishing, kept_seed, work_plan
from dbshuf.sink import Target, check_schema, check_target, sink_memory_bytes
from dbshuf.sink.memory import ROW_GROUP_BYTES, fitting_row_group_bytes
from dbshuf.source.remote_object import IN_FLIGHT_BYTES
from dbshuf.source.survey import Survey

if TYPE_CHECKING:
    from dbshuf.order.strata import Strata, StrataMemory
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

    check_options(options)
    _check_paired(options)
    sample = sample_of(options)
    check_arrangement(options)
    check_work_options(options)
    check_epochs(options)
    seed = options.seed if options.seed is not None else str(secrets.randbits(48))
    given, options = options, replace(options, seed=seed)
    read = what_is_read(options)
    cap = memory_cap(options)
    target = target_of(options, read, seed, cap)
    check_target(target)
    check_schema(target)
    wanted = wanted_of(given, target)
    target = replace(target, is_noted=wanted is not None)
    plan = make_spark_plan(options, read, target, survey_of(read), sample)
    return replace(plan, wanted=wanted)


@dataclass(frozen=True)
class _Task:
    """What is to be done, before memory is divided; see Plan for what stands there too.

    options  with the seed, and the strategy under its own name
    cap      what the process may have (bytes)
    survey   of what is read
    kept     of what is ordered
    resident bytes of the process before it counted a mix, with code that is loaded later; 0: it
             did not, and they are what there is now. What counting leaves is used again
    """

    options: Options
    sample: Sample | None
    seed: str
    threads: int
    cap: int
    read: ReadPlan
    strata: "Strata | None"
    arrangement: Arrangement | None
    target: Target
    work: WorkPlan | None
    wanted: Wanted | None
    survey: Survey
    kept: Survey
    temp_dir: Path
    epochs: Epochs | None
    resident: int = 0
    mix: "Mix | None" = None


@dataclass(frozen=True)
class _Division:
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


def make_plan(options: Options, *, reads_only: bool = False, count: CountMix | None = None) -> Plan:
    """Decide how to do what the options ask for; raise what can be known to fail.

    reads_only  whether rows are read alone, so that no room is needed for what is written
    count       counts the sources of --mix, which are read for that
    Raises  any DbshufError that needs no work: inputs, memory, space, output, options, SQL
    """
    task = _task(options)
    if task.read.mix is not None:
        task = _mixed(task, task.read.mix, count, reads_only=reads_only)
    division = _divided(task, reads_only=reads_only)
    plan = _plan(task, division)
    if division.otherwise is not None:
        plan = replace(plan, otherwise=_otherwise(plan, division.otherwise))
    is_filtered = plan.shape.row_query is not None and task.mix is None
    is_known = task.kept.is_exact and not is_filtered  # nothing is refused on a guess
    if is_known and not reads_only:
        _check_space(plan)
    return plan


def _mixed(task: _Task, asked: "MixAsked", count: CountMix | None, *, reads_only: bool) -> _Task:
    """Return a task whose mix is counted. Raises UsageError where it cannot be."""
    if count is None:
        raise UsageError("--mix is for shuffle, plan and stream")
    release_unused()
    resident = resident_bytes() + unloaded_bytes()
    reading = replace(task, options=replace(task.options, strategy="partition", engine="duckdb"))
    plan = _plan(reading, _divided(reading, reads_only=reads_only))
    mix = count(plan, asked, task.read.parts)
    size = mix.bytes
    is_exact = size is not None and not task.survey.columns
    size = int(mix.rows * task.survey.mean_line_bytes) if size is None else size
    kept = replace(task.survey, text_bytes=size, is_exact=is_exact)
    target = replace(task.target, object_bytes=object_bytes(kept, task.target))
    return replace(task, mix=mix, kept=kept, target=target, resident=resident)


def _task(options: Options) -> _Task:
    """Look at options, inputs and the output, and check them."""
    check_options(options)
    if options.engine == "spark":
        raise UsageError(
            "--engine spark writes files, and gives no rows to a program",
            hint="shuffle into a file, and read that",
        )
    _check_paired(options)
    sample = sample_of(options)
    check_arrangement(options)
    check_work_options(options)
    check_epochs(options)
    given, options = options, replace(options, strategy=_strategy(options))
    seed = options.seed if options.seed is not None else kept_seed(options)
    seed = seed if seed is not None else str(secrets.randbits(48))
    if not options.is_answer:
        options = replace(options, seed=seed)  # for shuffle_key(id) in its SQL
    threads = options.threads or usable_cores()
    cap = _cap(options, threads)
    read = what_is_read(options)
    arrangement = arrangement_of(options, read, seed)
    if arrangement is not None:
        read = replace(read, shape=replace(read.shape, is_led=True))
    strata = strata_of(options, read, sample, seed)
    target = target_of(options, read, seed, cap, strata)
    work = work_plan(options, read, target)
    if work is None or not is_publishing(options):
        check_target(target)
    check_schema(target)
    wanted = wanted_of(given, target)
    survey = survey_of(read)
    if arrangement is not None:
        survey = replace(survey, lead_bytes=LEAD_BYTES)
    is_twice = arrangement is not None and arrangement.is_twice  # and all rows are
    kept = survey if sample is None or is_twice else sample.kept(survey)
    temp_dir = temp_folder(options.temp_dir, target) if work is None else work_folder(work.path)
    target = replace(
        target,
        temp_dir=temp_dir,
        object_bytes=object_bytes(kept, target),
        is_noted=wanted is not None,
    )
    return _Task(
        options,
        sample,
        seed,
        threads,
        cap,
        read,
        strata,
        arrangement,
        target,
        work,
        wanted,
        survey,
        kept,
        temp_dir,
        epochs_of(options, read, seed, in_folders=target.in_shards),
    )


def _divided(task: _Task, *, reads_only: bool) -> _Division:
    """Divide the memory, and choose what orders. Raises MemoryTooSmall, StrategyUnfit."""
    options, read, target, sample = task.options, task.read, task.target, task.sample
    shape, survey, kept, threads, cap = read.shape, task.survey, task.kept, task.threads, task.cap
    release_unused()
    values, held = (None, 0) if task.strata is None else strata_memory(cap)
    code = task.resident or resident_bytes() + unloaded_bytes()
    held += code + SLACK_BYTES + _readers(read, survey, threads)
    if task.arrangement is not None and not options.partition_by:  # which asks no SQL
        held += ROW_QUERY_BYTES
    is_twice, counts = task.arrangement is not None and task.arrangement.is_twice, None
    if is_twice:
        counts, counting = records_memory(cap)
        held += counting
    if task.wanted is not None:
        from dbshuf.base.row_notes import NOTES_BYTES, SCRATCH_BYTES

        held += NOTES_BYTES + SCRATCH_BYTES * (threads + 1) + WINDOW_BYTES
    if shape.whole_query is not None:  # what reads for it is in the base
        survey, kept = replace(survey, reader_bytes=0), replace(kept, reader_bytes=0)
    if reads_only:
        engine_bytes, base = _engine(shape, cap, held)
    else:
        target, engine_bytes, base = _with_room(target, shape, kept, cap, held)
    is_twice = is_twice or (sample is not None and sample.draws is not None)
    first = None
    if is_twice:
        first, base = _first_of_two(cap, base, survey, threads, copies=shape.copies)
    chosen = Ordering.make(
        order_asked(options), cap, base, kept, threads, copies=shape.copies, limit=engine_bytes
    )
    if sample is not None and counts is None:
        chosen = of_sample(sample, chosen, survey)
    otherwise = None
    if is_one_statement(options, read):
        base = held + sink_bytes_of(target)
        chosen, otherwise = as_one_statement(
            options, read, chosen, cap=cap, base=base, threads=threads
        )
    return _Division(target, chosen, otherwise, first, values, counts)


def _plan(task: _Task, division: _Division) -> Plan:
    """Return the plan for a task, its memory divided."""
    target, chosen = division.target, division.chosen
    return Plan(
        inputs=task.read.inputs,
        store=task.read.store,
        shape=task.read.shape,
        survey=chosen.survey,
        target=target,
        seed=task.seed,
        terminator=task.read.terminator,
        header=task.read.header,
        strategy=chosen.strategy,
        reason=chosen.reason,
        is_auto=order_asked(task.options) == "auto",
        threads=task.threads,
        memory_bytes=task.cap,
        layout=chosen.layout,
        duckdb_bytes=chosen.duckdb_bytes,
        sqlite_bytes=chosen.sqlite_bytes,
        temp_dir=task.temp_dir,
        temp_bytes=_with_first(
            _temp_bytes(task.kept, target, chosen.strategy, chosen.layout), task, division
        ),
        output_bytes=output_bytes(task.kept, target),
        temp_free_bytes=shutil.disk_usage(task.temp_dir).free,
        output_free_bytes=None if target.path is None else free_near(target.path),
        tables=task.read.tables,
        is_one_statement=chosen.is_one_statement,
        sample=task.sample,
        arrangement=task.arrangement,
        strata=task.strata,
        strata_memory=division.values,
        first=division.first,
        counts=division.counts,
        work=task.work,
        wanted=task.wanted,
        mix=task.mix,
        read_bytes=task.survey.text_bytes,
        epochs=task.epochs,
    )


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


def _first_of_two(
    cap: int, base: int, survey: Survey, threads: int, *, copies: float
) -> tuple[Layout, int]:
    """Return what a first order has of the memory, and the base with it in it."""
    half = half_of(cap, base, survey, copies)
    first = Ordering.make("auto", base + half, base, survey, threads, copies=copies)
    return first.layout, base + half


def _check_paired(options: Options) -> None:
    """Raise UsageError for what --paired cannot be combined with."""
    if options.paired:
        from dbshuf.plan.paired_options import check_paired_options

        check_paired_options(options)


def _strategy(options: Options) -> str:
    return ALIASES.get(options.strategy, options.strategy)


def _cap(options: Options, threads: int) -> int:
    """Return what the process may have (bytes); MemoryRefused where the system gives it less."""
    cap = memory_cap(options)
    check_room(cap, threads)
    return cap


def _otherwise(plan: Plan, chosen: Ordering) -> Plan:
    """Return a plan with this order instead of its own."""
    return replace(
        plan,
        strategy=chosen.strategy,
        reason=chosen.reason,
        layout=chosen.layout,
        survey=chosen.survey,
        duckdb_bytes=chosen.duckdb_bytes,
        is_one_statement=False,
    )


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


def _temp_bytes(survey: Survey, target: Target, strategy: str, layout: Layout) -> int | None:
    """Return what a run writes to its temporary directory, as far as one can tell."""
    waiting = output_bytes(survey, target) if target.waits_in_temp else 0
    if strategy == "memory":
        return waiting
    if survey.text_bytes is None or waiting is None:
        return None
    passes = 2 if layout.is_split and strategy != "sqlite" else 1
    return max(stored_bytes(survey) * passes - layout.store_bytes, 0) + waiting


def _with_first(temp_bytes: int | None, task: _Task, division: _Division) -> int | None:
    """Return it with what a first order of all rows keeps there while the second is filled."""
    if temp_bytes is None or division.counts is None or division.first is None:
        return temp_bytes
    return temp_bytes + max(stored_bytes(task.survey) - division.first.store_bytes, 0)


def _readers(read: ReadPlan, survey: Survey, threads: int) -> int:
    """The memory (bytes) of what reads beside workers; a worker's part of a layout is not."""
    if read.store is not None:
        return read.store.reader_bytes() * (threads + 1)
    if read.shape.whole_query is not None and not read.shape.is_text:
        return survey.reader_bytes * threads + _in_flight(read)
    if read.shape.sides is not None:
        from dbshuf.plan.paired import reading_bytes

        return reading_bytes(read.inputs, read.shape.sides, survey) + _in_flight(read)
    windows = sorted((one.window_bytes for one in read.inputs), reverse=True)
    return sum(windows[: threads + 1]) + _in_flight(read)


def _in_flight(read: ReadPlan) -> int:
    """The memory (bytes) of answers that come from elsewhere."""
    return IN_FLIGHT_BYTES if any(one.remote is not None for one in read.inputs) else 0
