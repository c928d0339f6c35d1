"""One shuffle: source -> query -> key -> order -> sink, a call a stage."""

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from dbshuf.feed import Feed, SqlFeed, open_feed
from dbshuf.key import ORDER_VERSION, id_of, seed_words
from dbshuf.memory import peak_resident_bytes, relieve
from dbshuf.order.partition import PartitionOrder
from dbshuf.order.store import Store
from dbshuf.order.tally import Tally
from dbshuf.order.window import AnyWindow
from dbshuf.plan import Plan
from dbshuf.scratch import private_folder
from dbshuf.sink import open_sink
from dbshuf.verify import check_totals, checked


class Reporter(Protocol):
    """Who is told how far a run has come; called from several threads."""

    def stage(self, name: str, total_bytes: int | None) -> None:
        """A stage begins; its total is None where it is unknown."""

    def advance(self, count: int) -> None:
        """That many more bytes of the stage are done."""


@dataclass(frozen=True)
class Result:
    """What a shuffle did.

    rows, text_bytes  written rows and their bytes: of lines with their terminators, of
                      typed rows those of their values
    elapsed_s         wall time
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


def run(plan: Plan, reporter: Reporter) -> Result:
    """Do what a plan says and publish the output.

    Raises  any DbshufError; then, and on an interrupt, nothing was published
    """
    started = time.monotonic()
    written = Tally()
    with contextlib.closing(ordered(plan, reporter, written)) as windows:
        sink = None
        try:
            sink = open_sink(plan.target)
            for window in windows:
                sink.write(window)
                reporter.advance(window.text_bytes)
            reporter.stage("publish", None)
            sink.finish()
        except BaseException:
            if sink is not None:
                sink.abort()
            raise
    return Result(
        rows=written.rows,
        text_bytes=written.text_bytes,
        seed=plan.seed,
        strategy=plan.strategy,
        elapsed_s=time.monotonic() - started,
        peak_rss_bytes=peak_resident_bytes(),
        output=None if plan.target.path is None else str(plan.target.path),
        unit="line" if plan.schema is None else "row",
        tables=plan.tables,
    )


def ordered(plan: Plan, reporter: Reporter, written: Tally) -> Generator[AnyWindow]:
    """Yield all rows in key order, checked; closing it removes all temporary data.

    written  counts what was yielded
    Raises   CheckFailed at the end, if that is not what was read
    """
    words = seed_words(plan.seed)
    with private_folder(plan.temp_dir) as folder:
        reporter.stage("read", plan.survey.text_bytes)
        read = Tally()

        def advance(count: int) -> None:
            relieve(plan.memory_bytes)
            reporter.advance(count)

        with contextlib.closing(open_feed(plan, folder, advance)) as feed:
            windows = _windows(plan, feed, words, folder, read=read, reporter=reporter)
            given_id = (lambda key: id_of(key, words)) if plan.shape.has_given_ids else None
            with contextlib.closing(windows):
                for window in checked(windows, written, given_id):
                    yield window
                    relieve(plan.memory_bytes)
            check_totals(read, written)


def _windows(
    plan: Plan,
    feed: Feed,
    words: tuple[int, int],
    folder: Path,
    *,
    read: Tally,
    reporter: Reporter,
) -> Generator[AnyWindow]:
    """Order the rows of a feed as the plan says; `read` is complete with the first window."""

    def on_read() -> None:
        reporter.stage("write", read.text_bytes)

    if isinstance(feed, SqlFeed) and plan.strategy == "spill":
        is_first = True
        for window in feed.windows():
            if is_first:
                reporter.stage("write", None)
                is_first = False
            read.add(window.keys, np.diff(window.bounds))
            yield window
        feed.check()
        return
    if plan.strategy == "spill":
        from dbshuf.order.duckdb import spill_order

        yield from spill_order(plan, feed, words, folder, read=read, on_read=on_read)
        return
    with contextlib.closing(Store(plan.layout.store_bytes, folder / "rows")) as store:
        order = PartitionOrder(plan.layout, words, store, plan.schema)
        order.fill(feed)
        feed.check()
        read.merge(order.read)
        on_read()
        yield from order.windows()
