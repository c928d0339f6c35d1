"""What a run is to do: options, inputs and output, looked at and checked."""

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dbshuf.base.address_space import check_room
from dbshuf.base.layout import PREFIX_BYTES
from dbshuf.base.process_memory import usable_cores
from dbshuf.errors import UsageError
from dbshuf.options import ALIASES, Options, check_options
from dbshuf.plan.epochs import Epochs, check_epochs, epochs_of
from dbshuf.plan.manifest import Wanted, wanted_of
from dbshuf.plan.order_by import OrderBy, check_order_by, order_by_of
from dbshuf.plan.plan import WorkPlan
from dbshuf.plan.reading import ReadPlan, survey_of, what_is_read
from dbshuf.plan.row_plan import memory_cap
from dbshuf.plan.sample import Sample, sample_of
from dbshuf.plan.space import object_bytes, temp_folder, work_folder
from dbshuf.plan.strata import strata_of
from dbshuf.plan.target import target_of
from dbshuf.plan.work_dir import check_work_options, is_publishing, kept_seed, work_plan
from dbshuf.sink import Target, check_schema, check_target
from dbshuf.source.survey import Survey

if TYPE_CHECKING:
    from dbshuf.order.strata import Strata
    from dbshuf.plan.mix import Mix


@dataclass(frozen=True)
class LogicalPlan:
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
    order_by: OrderBy | None
    target: Target
    work: WorkPlan | None
    wanted: Wanted | None
    survey: Survey
    kept: Survey
    temp_dir: Path
    epochs: Epochs | None
    resident: int = 0
    mix: "Mix | None" = None


def check_combinations(options: Options) -> Sample | None:
    """Raise UsageError for options that mean nothing together; return which rows are written."""
    check_options(options)
    if options.paired:
        from dbshuf.plan.paired_options import check_paired_options

        check_paired_options(options)
    sample = sample_of(options)
    check_order_by(options)
    check_work_options(options)
    check_epochs(options)
    return sample


def logical_plan_of(options: Options) -> LogicalPlan:
    """Look at options, inputs and the output, and check them."""
    _refuse_spark(options)
    sample, given = check_combinations(options), options
    options, seed = _with_seed(options)
    threads = options.threads or usable_cores()
    cap = _cap(options, threads)
    read = what_is_read(options)
    order_by = order_by_of(options, read, seed)
    if order_by is not None:
        read = replace(read, shape=replace(read.shape, is_prefixed=True))
    strata = strata_of(options, read, sample, seed)
    target = target_of(options, read, seed, cap, strata)
    work = work_plan(options, read, target)
    if work is None or not is_publishing(options):
        check_target(target)
    check_schema(target)
    wanted = wanted_of(given, target, read.inputs)
    survey, kept = _surveys(read, sample, order_by)
    temp_dir = temp_folder(options.temp_dir, target) if work is None else work_folder(work.path)
    size = object_bytes(kept, target)
    return LogicalPlan(
        options=options,
        sample=sample,
        seed=seed,
        threads=threads,
        cap=cap,
        read=read,
        strata=strata,
        order_by=order_by,
        target=replace(target, temp_dir=temp_dir, object_bytes=size, is_noted=wanted is not None),
        work=work,
        wanted=wanted,
        survey=survey,
        kept=kept,
        temp_dir=temp_dir,
        epochs=epochs_of(options, read, seed, in_folders=target.in_shards),
    )


def _refuse_spark(options: Options) -> None:
    if options.engine == "spark":
        raise UsageError(
            "--engine spark writes files, and gives no rows to a program",
            hint="shuffle into a file, and read that",
        )


def _with_seed(options: Options) -> tuple[Options, str]:
    """Return the options with the strategy under its own name, and the seed: given or drawn."""
    options = replace(options, strategy=ALIASES.get(options.strategy, options.strategy))
    seed = options.seed if options.seed is not None else kept_seed(options)
    seed = seed if seed is not None else str(secrets.randbits(48))
    # for shuffle_key(id) in its SQL
    return (options if options.is_answer else replace(options, seed=seed)), seed


def _surveys(
    read: ReadPlan, sample: Sample | None, order_by: OrderBy | None
) -> tuple[Survey, Survey]:
    """Return what is known of the rows that are read, and of those that are ordered."""
    survey = survey_of(read)
    if order_by is not None:
        survey = replace(survey, prefix_bytes=PREFIX_BYTES)
    is_twice = order_by is not None and order_by.is_twice  # and all rows are
    return survey, survey if sample is None or is_twice else sample.kept(survey)


def _cap(options: Options, threads: int) -> int:
    """Return what the process may have (bytes); MemoryRefused where the system gives it less."""
    cap = memory_cap(options)
    check_room(cap, threads)
    return cap
