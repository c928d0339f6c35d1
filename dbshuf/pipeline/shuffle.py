"""One shuffle: source -> query -> key -> order -> sink, a call a stage."""

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dbshuf.base.counters import Tally
from dbshuf.base.key import ORDER_VERSION, id_of
from dbshuf.base.layout import merge_threads
from dbshuf.base.process_memory import peak_resident_bytes, release_unused, relieve
from dbshuf.base.progress import NO_PROGRESS, Progress
from dbshuf.base.rest_scan import RestScan
from dbshuf.base.scan import Scan
from dbshuf.base.temporary import private_folder
from dbshuf.base.too_wide import MergeTooSmall, QueryTooLarge
from dbshuf.base.window import Window
from dbshuf.errors import LineTooLong
from dbshuf.options import Options
from dbshuf.order.engine import Order
from dbshuf.order.partition import PartitionOrder
from dbshuf.order.runs import Store
from dbshuf.pipeline.run_checks import check_totals, checked
from dbshuf.pipeline.sample import as_read, chosen, sampled, spread_order
from dbshuf.pipeline.scan import led_scan, noted_scan, open_scan
from dbshuf.plan.make_plan import CountMix, make_plan, plan_of
from dbshuf.plan.memory import stored_bytes
from dbshuf.plan.plan import Plan
from dbshuf.sink import Sink, Target, open_sink
from dbshuf.sink.numbered import numbered

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


def planned_here(options: Options) -> Plan:
    """As `make_plan`, likewise."""
    return make_plan(options, count=_counting(options, NO_PROGRESS))


def _counting(options: Options, progress: Progress) -> CountMix | None:
    if not options.mix:
        return None
    from dbshuf.pipeline.mix_counts import count_mix

    return partial(count_mix, reporter=progress)


def run(plan: "Plan | SparkPlan", reporter: Progress) -> Result:
    """Do what a plan says and publish the output.

    Raises  any DbshufError; then, and on an interrupt, nothing was published
    """
    started = time.monotonic()
    written, done, mix = Tally(), [plan.strategy], None
    if isinstance(plan, Plan) and plan.work is not None:
        from dbshuf.pipeline.resume import run_kept

        run_kept(plan, reporter, written)
    elif isinstance(plan, Plan) and plan.epochs is not None:
        from dbshuf.pipeline.epochs import run_epochs

        run_epochs(plan, reporter, written, done, _to_sink)
    elif isinstance(plan, Plan):
        mix = plan.mix
        if plan.wanted is None:
            _run_here(plan, reporter, written, done)
        else:
            from dbshuf.pipeline.manifest import RunRecord

            with contextlib.closing(RunRecord(plan, plan.wanted, done)) as record:
                _run_here(record.plan, reporter, written, done, record)
    else:
        from dbshuf.pipeline.spark.run import run_on_spark

        written = run_on_spark(plan, reporter)
    epochs = plan.epochs.count if isinstance(plan, Plan) and plan.epochs is not None else None
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
    """Hand rows to a sink, noted by `record`."""
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


def ordered(
    plan: Plan,
    reporter: Progress,
    written: Tally,
    done: list[str] | None = None,
    read: Tally | None = None,
) -> Generator[Window]:
    """Yield all rows in their order, checked; closing it removes all temporary data.

    written  counts what was yielded
    done     gets the name of a strategy that took the place of the planned one
    read     counts what was read, before the first window is yielded
    Raises   CheckFailed at the end, if that is not what was read
    """
    words = plan.words
    given_id = (lambda key: id_of(key, words)) if plan.shape.has_given_ids else None
    with private_folder(plan.temp_dir) as folder:
        read, ordered_rows = Tally() if read is None else read, Tally()
        done = [] if done is None else done
        with contextlib.closing(
            _windows(plan, words, folder, read, reporter, done=done)
        ) as windows:
            for window in chosen(plan, checked(windows, ordered_rows, given_id)):
                written.add_window(window)
                yield window
                del window
                relieve(plan.memory_bytes)
        check_totals(read, ordered_rows)
        written.seen_rows = read.seen_rows or read.rows


def _windows(
    plan: Plan,
    words: tuple[int, int],
    folder: Path,
    read: Tally,
    reporter: Progress,
    *,
    done: list[str],
) -> Generator[Window]:
    """Order the rows as the plan says, or as `plan.otherwise` where DuckDB's merge cannot."""
    if plan.otherwise is None:
        yield from _with_room(plan, words, folder, read, reporter, done=done)
        return
    last = -1
    try:
        for window in _tried(plan, words, folder, read, reporter):
            last = int(window.keys[-1]) if window.rows else last
            yield window
            del window
        return
    except (QueryTooLarge, MergeTooSmall):
        if last >= 0 and not plan.has_fixed_ids:  # rows may be numbered otherwise now
            raise
    read.clear()
    if plan.notes is not None:
        plan.notes.clear()
    release_unused()
    done.append(plan.otherwise.strategy)
    again = folder / "again"
    again.mkdir()
    for window in _with_room(plan.otherwise, words, again, read, reporter, done=done):
        first = int(np.searchsorted(window.keys, np.uint64(last), "right")) if last >= 0 else 0
        if first < window.rows:
            yield window.slice(first, window.rows) if first else window


def _with_room(
    plan: Plan,
    words: tuple[int, int],
    folder: Path,
    read: Tally,
    reporter: Progress,
    *,
    done: list[str],
) -> Generator[Window]:
    """Order the rows as the plan says, or by one worker where a line is too long for more."""
    try:
        yield from _tried(plan, words, folder, read, reporter)
        return
    except LineTooLong:
        roomier = plan.roomier()
        if roomier is None or read.rows:
            raise
    read.clear()
    if plan.notes is not None:
        plan.notes.clear()
    release_unused()
    done.append(roomier.strategy)
    yield from _tried(roomier, words, folder, read, reporter)


def _tried(
    plan: Plan, words: tuple[int, int], folder: Path, read: Tally, reporter: Progress
) -> Generator[Window]:
    """Order the rows as the plan says; `read` is complete with the first window, or the last."""

    def advance(count: int) -> None:
        relieve(plan.memory_bytes)
        reporter.advance(count)

    def on_read() -> None:
        reporter.stage("write", read.text_bytes or None)

    reporter.stage("read", plan.survey.text_bytes if plan.mix is None else plan.read_bytes)
    if plan.is_one_statement:
        yield from _counted(_statement(plan, words, folder, advance), read, on_read)
        return
    with (
        contextlib.closing(_rest_of(plan, words, folder, advance)) as feed,
        contextlib.closing(_open_order(plan, words, folder)) as order,
    ):
        order.fill(feed)
        feed.check()
        read.merge(order.read)
        on_read()
        yield from order.windows()


def _rest_of(
    plan: Plan, words: tuple[int, int], folder: Path, advance: Callable[[int], None]
) -> Scan:
    """Return what reads the rows, but for those that were given out before."""
    feed = noted_scan(as_read(plan), folder, advance)
    if plan.given is not None:
        feed = RestScan(feed, plan.given, words)
    if plan.arrangement is None or plan.arrangement.takes_samples:
        return feed
    return led_scan(plan, plan.arrangement, feed, words)


def _open_order(plan: Plan, words: tuple[int, int], folder: Path) -> Order:
    """Return what orders the rows of a feed, or a sample of them."""
    order, arrangement = _open_engine(plan, words, folder), plan.arrangement
    if arrangement is not None and arrangement.takes_samples:
        from dbshuf.order.leads import LedOrder

        order = LedOrder(order, lambda feed: led_scan(plan, arrangement, feed, words))
    if arrangement is not None and arrangement.is_twice:
        return spread_order(plan, order, words, folder)
    return order if plan.sample is None else sampled(plan, order, words, folder)


def _open_engine(plan: Plan, words: tuple[int, int], folder: Path) -> Order:
    """Return what orders the rows of a feed; each loads its engine."""
    leads = None if plan.arrangement is None else plan.arrangement.leads.cuts
    if plan.strategy == "sqlite":
        from dbshuf.order.sqlite import SqliteOrder, SqlitePlan

        return SqliteOrder(
            SqlitePlan(
                schema=plan.schema,
                mean_row_bytes=plan.survey.mean_line_bytes,
                buffer_bytes=plan.layout.buffer_bytes,
                memory_bytes=plan.sqlite_bytes,
                ranges=plan.layout.ranges,
                ahead_bytes=plan.layout.ahead_bytes,
                temp_dir=plan.temp_dir,
                leads=leads,
            ),
            words,
            folder,
        )
    if plan.strategy == "spill":
        from dbshuf.order.spill import Spill, SpillOrder

        spill = Spill(
            plan.schema,
            plan.survey.mean_line_bytes,
            0 if plan.survey.text_bytes is None else stored_bytes(plan.survey),
            plan.layout.buffer_bytes,
            plan.duckdb_bytes,
            plan.threads,
            plan.temp_dir,
            is_led=leads is not None,
        )
        return SpillOrder(spill, words, folder)
    store = Store(plan.layout.store_bytes, folder / "rows")
    return PartitionOrder(plan.layout, words, store, plan.schema, leads=leads)


def _statement(
    plan: Plan, words: tuple[int, int], folder: Path, advance: Callable[[int], None]
) -> Generator[Window]:
    """Yield the rows of the one statement that makes and orders them."""
    if plan.shape.whole_query is None:
        from dbshuf.store.read import ordered_store

        assert plan.store is not None
        yield from ordered_store(
            plan.store,
            words,
            folder,
            memory_bytes=plan.duckdb_bytes,
            threads=merge_threads(
                plan.duckdb_bytes,
                plan.survey.mean_line_bytes,
                plan.threads,
                0 if plan.survey.text_bytes is None else stored_bytes(plan.survey),
            ),
        )
        return
    from dbshuf.pipeline.sql_scan import SqlScan

    with contextlib.closing(open_scan(plan, folder, advance)) as feed:
        assert isinstance(feed, SqlScan)
        yield from feed.windows()
        feed.check()


def _counted(
    windows: Iterator[Window], read: Tally, on_read: Callable[[], None]
) -> Generator[Window]:
    """Count windows as DuckDB hands them over: what went into its statement nobody saw."""
    is_first = True
    for window in windows:
        if is_first:
            on_read()
            is_first = False
        read.add_window(window)
        yield window
