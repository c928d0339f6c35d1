"""The rows of a plan in their order, checked: source -> query -> key -> order, a call a stage."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dbshuf.base.begin_anew import MergeTooSmall, QueryTooLarge, SampleShort
from dbshuf.base.counters import Tally
from dbshuf.base.key import id_of
from dbshuf.base.layout import merge_threads
from dbshuf.base.process_memory import release_unused, relieve
from dbshuf.base.progress import Progress
from dbshuf.base.rest_scan import RestScan
from dbshuf.base.scan import Scan
from dbshuf.base.temporary import private_folder
from dbshuf.base.window import Window
from dbshuf.errors import LineTooLong
from dbshuf.order.engine import Order
from dbshuf.order.partition import PartitionOrder
from dbshuf.order.runs import Store
from dbshuf.pipeline.run_checks import check_totals, checked
from dbshuf.pipeline.sample import as_read, chosen, sampled, spread_order
from dbshuf.pipeline.scan import noted_scan, open_scan, prefixed_scan
from dbshuf.plan.memory_needed import narrower, roomier
from dbshuf.plan.plan import Plan
from dbshuf.plan.worker_memory import stored_bytes
from dbshuf.source.lines.reader import Pause


@dataclass(frozen=True)
class _Ordering:
    """What all tries to order the rows have in common.

    words   of the seed
    folder  for temporary data
    read    counts what was read
    done    the strategies that took the place of the planned one
    """

    words: tuple[int, int]
    folder: Path
    read: Tally
    reporter: Progress
    done: list[str]


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
    words, read, ordered_rows = plan.words, Tally() if read is None else read, Tally()
    given_id = (lambda key: id_of(key, words)) if plan.shape.has_given_ids else None
    with private_folder(plan.temp_dir) as folder:
        common = _Ordering(words, folder, read, reporter, [] if done is None else done)
        with contextlib.closing(_windows(plan, common)) as windows:
            for window in chosen(plan, checked(windows, ordered_rows, given_id)):
                written.add_window(window)
                yield window
                del window
                relieve(plan.memory_bytes)
        check_totals(read, ordered_rows)
        written.seen_rows = read.seen_rows or read.rows


def _windows(plan: Plan, common: _Ordering) -> Generator[Window]:
    """Order the rows as the plan says, or as `plan.otherwise` where DuckDB's merge cannot."""
    if plan.otherwise is None:
        yield from _with_room(plan, common)
        return
    last = -1
    try:
        for window in _tried(plan, common):
            last = int(window.keys[-1]) if window.rows else last
            yield window
            del window
        return
    except (QueryTooLarge, MergeTooSmall):
        if last >= 0 and not plan.has_fixed_ids:  # rows may be numbered otherwise now
            raise
    _forget(plan, common.read)
    common.done.append(plan.otherwise.strategy)
    again = common.folder / "again"
    again.mkdir()
    for window in _with_room(plan.otherwise, replace(common, folder=again)):
        first = int(np.searchsorted(window.keys, np.uint64(last), "right")) if last >= 0 else 0
        if first < window.rows:
            yield window.slice(first, window.rows) if first else window


def _with_room(plan: Plan, common: _Ordering) -> Generator[Window]:
    """Order the rows as the plan says.

    They are read again by one worker where a line is too long for more, and where the guess
    how far the first rows of a sample reach was too low.
    """
    while True:
        try:
            yield from _tried(plan, common)
            return
        except SampleShort:
            again = replace(plan, likely_end=None)
        except LineTooLong:
            other = roomier(plan)
            if other is None or common.read.rows:
                raise
            again = other
        _forget(plan, common.read)
        common.done.append(again.strategy)
        plan = again


def _forget(plan: Plan, read: Tally) -> None:
    """Have nothing read, since all is read again."""
    read.clear()
    if plan.notes is not None:
        plan.notes.clear()
    release_unused()


def _tried(plan: Plan, common: _Ordering) -> Generator[Window]:
    """Order the rows as the plan says; `read` is complete with the first window, or the last.

    Where a line of a pipe is too long, one worker goes on.
    """
    words, folder, read, reporter = common.words, common.folder, common.read, common.reporter
    rest = narrower(plan)
    if rest is not None:
        room = Pause(rest.longest_line_bytes, rest.layout.spare_bytes)
        plan = replace(plan, pause=room)

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
        if plan.pause is not None and plan.pause.source is not None:
            assert rest is not None
            assert isinstance(order, PartitionOrder)
            order.narrow(rest.layout)
            release_unused()
            plan.pause.source.go_on()
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
    if plan.order_by is not None and not plan.order_by.takes_samples:
        feed = prefixed_scan(plan, plan.order_by, feed, words)
    return feed if plan.ordered_as is None else plan.ordered_as(feed)


def _open_order(plan: Plan, words: tuple[int, int], folder: Path) -> Order:
    """Return what orders the rows of a feed, or a sample of them."""
    order, order_by = _open_engine(plan, words, folder), plan.order_by
    if order_by is not None and order_by.takes_samples:
        from dbshuf.order.sort_prefix import PrefixedOrder

        order = PrefixedOrder(order, lambda feed: prefixed_scan(plan, order_by, feed, words))
    if order_by is not None and order_by.is_twice:
        return spread_order(plan, order, words, folder)
    return order if plan.sample is None else sampled(plan, order, words, folder)


def _open_engine(plan: Plan, words: tuple[int, int], folder: Path) -> Order:
    """Return what orders the rows of a feed; each loads its engine."""
    prefixes = None if plan.order_by is None else plan.order_by.prefixes.cuts
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
                prefixes=prefixes,
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
            is_prefixed=prefixes is not None,
        )
        return SpillOrder(spill, words, folder)
    store = Store(plan.layout.store_bytes, folder / "rows")
    return PartitionOrder(
        plan.layout, words, store, plan.ordered_schema, prefixes=prefixes, sums_rows=sums_rows(plan)
    )


def sums_rows(plan: Plan) -> bool:
    """Whether the rows that are written, in a checksum, are those of the windows of the order."""
    is_twice = plan.order_by is not None and plan.order_by.is_twice
    is_same = plan.sample is None and plan.target.number is None and not is_twice
    return plan.notes is not None and is_same


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
