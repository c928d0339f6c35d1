"""One shuffle: what is asked to a plan, its rows in their order to a sink."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dbshuf.base.counters import Tally
from dbshuf.base.key import ORDER_VERSION
from dbshuf.base.process_memory import peak_resident_bytes
from dbshuf.base.progress import NO_PROGRESS, Progress
from dbshuf.base.window import Window
from dbshuf.options import Options
from dbshuf.pipeline.ordered import ordered
from dbshuf.plan.make_plan import CountMix, make_plan, plan_of
from dbshuf.plan.plan import Plan
from dbshuf.sink import Sink, Target, open_sink
from dbshuf.sink.numbered import numbered
from dbshuf.source.local_copy import copies_removed

if TYPE_CHECKING:
    from dbshuf.pipeline.manifest import RunRecord
    from dbshuf.plan.spark_plan import SparkPlan


@dataclass(frozen=True)
class Result:
    """What a shuffle did.

    rows, text_bytes  written rows and their bytes: of lines with their terminators, of
                      typed rows those of their values
    elapsed_s         wall time, with that of counting a mix
    peak_rss_bytes    of the whole process, up to the end of the run
    """

    rows: int
    text_bytes: int
    seed: str
    strategy: str
    elapsed_s: float
    peak_rss_bytes: int
    output: str | None
    order_version: int = ORDER_VERSION
    unit: str = "line"  # or "row", what was shuffled
    tables: tuple[str, ...] = ()  # of databases, where no --table said which
    seen_rows: int | None = None  # that there were, where a sample of them was written
    asked_rows: int | None = None  # of the sample, where that was said
    epochs: int | None = None  # orders that rows were written in, where that was said
    mix: dict[str, Any] | None = None  # what each source has given, as `dbshuf plan --json` says it


def planned(options: Options, progress: Progress = NO_PROGRESS) -> "Plan | SparkPlan":
    """As `plan_of`; the sources of a mix are counted, which is told to `progress`."""
    return plan_of(options, _counting(options, progress))


def planned_here(options: Options, *, reads_only: bool = False) -> Plan:
    """As `make_plan`, likewise."""
    return make_plan(options, reads_only=reads_only, count=_counting(options, NO_PROGRESS))


def _counting(options: Options, progress: Progress) -> CountMix | None:
    if not options.mix:
        return None
    from dbshuf.pipeline.mix_counts import count_mix

    return partial(count_mix, reporter=progress)


def run(plan: "Plan | SparkPlan", reporter: Progress) -> Result:
    """Do what a plan says and publish the output.

    Raises  any DbshufError; then, and on an interrupt, nothing was published
    """
    with copies_removed(plan.inputs):
        return _run(plan, reporter)


def _run(plan: "Plan | SparkPlan", reporter: Progress) -> Result:
    started = time.monotonic()
    written, done = Tally(), [plan.strategy]
    mix = None
    epochs = None if plan.epochs is None else plan.epochs.count
    if isinstance(plan, Plan):
        mix = plan.mix if plan.work is None and epochs is None else None
        _run_plan(plan, reporter, written, done)
    else:
        from dbshuf.pipeline.spark.run import run_on_spark

        written = run_on_spark(plan, reporter)
    asked_rows = None if plan.sample is None else plan.sample.asked_rows
    return Result(
        rows=written.rows,
        text_bytes=written.text_bytes,
        seed=plan.seed,
        strategy=done[-1],
        elapsed_s=time.monotonic() - started + (0 if mix is None else mix.counted_s),
        peak_rss_bytes=peak_resident_bytes(),
        output=None if plan.target.path is None else str(plan.target.path),
        unit="line" if plan.schema is None else "row",
        tables=plan.tables,
        seen_rows=None if plan.sample is None else written.seen_rows,
        mix=None if mix is None else mix.to_json(),
        asked_rows=None if asked_rows is None else asked_rows * (epochs or 1),
        epochs=epochs,
    )


def _run_plan(plan: Plan, reporter: Progress, written: Tally, done: list[str]) -> None:
    """Do what a plan for this machine says; `done` gets the strategies that it came to."""
    if plan.work is not None:
        from dbshuf.pipeline.resume import run_kept

        run_kept(plan, reporter, written)
    elif plan.epochs is not None:
        from dbshuf.pipeline.epochs import run_epochs

        run_epochs(plan, reporter, written, done, _to_sink)
    elif plan.wanted is None:
        _run_here(plan, reporter, written, done)
    else:
        from dbshuf.pipeline.manifest import RunRecord

        with contextlib.closing(RunRecord(plan, plan.wanted, done)) as record:
            _run_here(record.plan, reporter, written, done, record)


def _run_here(
    plan: Plan,
    reporter: Progress,
    written: Tally,
    done: list[str],
    record: "RunRecord | None" = None,
) -> None:
    """Order the rows in this process, and publish them, with what `record` has to say."""
    read = Tally()
    with contextlib.closing(ordered(plan, reporter, written, done, read)) as windows:
        sink = None
        try:
            target, rows = _as_target(plan, windows, read)
            sink = open_sink(target)
            _write(rows, sink, reporter, record)
            reporter.stage("publish", None)
            sink.finish(record)
        except BaseException:
            if sink is not None:
                sink.abort()
            raise


def _to_sink(
    plan: Plan,
    begin: Callable[[Target], Sink],
    reporter: Progress,
    written: Tally,
    *,
    done: list[str],
    record: "RunRecord | None",
) -> None:
    """Order the rows in this process, and hand them to a sink that is not yet to be published."""
    read = Tally()
    with contextlib.closing(ordered(plan, reporter, written, done, read)) as windows:
        target, rows = _as_target(plan, windows, read)
        _write(rows, begin(target), reporter, record)


def _write(
    rows: Iterator[Window], sink: Sink, reporter: Progress, record: "RunRecord | None"
) -> None:
    for window in rows if record is None else record.windows(rows):
        sink.write(window)
        reporter.advance(window.text_bytes)
        del window  # a long row is not held while the next is waited for


def _as_target(
    plan: Plan, windows: Iterator[Window], read: Tally
) -> tuple[Target, Iterator[Window]]:
    """Return the target and the rows as it has them; where it counts them, they are all read."""
    target, rows = plan.target, numbered(windows, plan.target)
    if target.counts_rows:
        first = next(rows, None)
        target, rows = _counted_target(plan, read), _begun([first] if first else [], rows)
    return target, rows


def _counted_target(plan: Plan, read: Tally) -> Target:
    """Return the target, which is told how many rows there are to write, all of them read."""
    sample, rows = plan.sample, read.rows
    if sample is not None and sample.first_rows is not None:
        rows = min(rows, sample.first_rows)
    return replace(plan.target, all_rows=max(rows - (sample.skip if sample else 0), 0))


def _begun(first: list[Window], rest: Iterator[Window]) -> Iterator[Window]:
    """Yield a window that was taken already, which is not held after that, and the others."""
    while first:
        yield first.pop()
    yield from rest
