"""What a run is to do: options, inputs and output, looked at and checked."""

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dbshuf.base.address_space import check_room
from dbshuf.base.layout import LEAD_BYTES
from dbshuf.base.process_memory import usable_cores
from dbshuf.errors import UsageError
from dbshuf.options import ALIASES, Options, check_options
from dbshuf.plan.arrangement import Arrangement, arrangement_of, check_arrangement
from dbshuf.plan.epochs import Epochs, check_epochs, epochs_of
from dbshuf.plan.manifest import Wanted, wanted_of
from dbshuf.plan.plan import WorkPlan
from dbshuf.plan.reading import ReadPlan, survey_of, what_is_read
from dbshuf.plan.row_plan import memory_cap
from dbshuf.plan.sample import Sample, sample_of
from dbshuf.plan.space import object_bytes, temp_folder, work_folder
from dbshuf.plan.strata import strata_of
from dbshuf.plan.target import target_of
from dbshuf.plan.work import check_work_options, is_publishing, kept_seed, work_plan
from dbshuf.sink import Target, check_schema, check_target
from dbshuf.source.survey import Survey

if TYPE_CHECKING:
    from dbshuf.order.strata import Strata
    from dbshuf.plan.mix import Mix


@dataclass(frozen=True)
class Task:
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


def check_combinations(options: Options) -> Sample | None:
    """Raise UsageError for options that mean nothing together; return which rows are written."""
    check_options(options)
    if options.paired:
        from dbshuf.plan.paired_options import check_paired_options

        check_paired_options(options)
    sample = sample_of(options)
    check_arrangement(options)
    check_work_options(options)
    check_epochs(options)
    return sample


def task_of(options: Options) -> Task:
    """Look at options, inputs and the output, and check them."""
    if options.engine == "spark":
        raise UsageError(
            "--engine spark writes files, and gives no rows to a program",
            hint="shuffle into a file, and read that",
        )
    sample, given = check_combinations(options), options
    options = replace(options, strategy=ALIASES.get(options.strategy, options.strategy))
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
    return Task(
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


def _cap(options: Options, threads: int) -> int:
    """Return what the process may have (bytes); MemoryRefused where the system gives it less."""
    cap = memory_cap(options)
    check_room(cap, threads)
    return cap
