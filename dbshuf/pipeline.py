"""One shuffle: source -> key -> order -> sink, a call a stage."""

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from dbshuf.key import ORDER_VERSION, seed_words
from dbshuf.memory import peak_resident_bytes
from dbshuf.order.partition import PartitionOrder
from dbshuf.order.store import Store
from dbshuf.order.tally import Tally
from dbshuf.order.window import Window
from dbshuf.plan import Plan
from dbshuf.scratch import private_folder
from dbshuf.sink import open_sink
from dbshuf.source.lines import LineSource
from dbshuf.verify import check_read, check_totals, checked


class Reporter(Protocol):
    """Who is told how far a run has come; called from several threads."""

    def stage(self, name: str, total_bytes: int | None) -> None:
        """A stage begins; its total is None where it is unknown."""

    def advance(self, count: int) -> None:
        """That many more bytes of the stage are done."""


@dataclass(frozen=True)
class Result:
    """What a shuffle did.

    rows, text_bytes  shuffled lines and their bytes, terminators included
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


def run(plan: Plan, reporter: Reporter) -> Result:
    """Do what a plan says and publish the output.

    Raises  any DbshufError; then, and on an interrupt, nothing was published
    """
    started = time.monotonic()
    read, written = Tally(), Tally()
    with contextlib.closing(ordered(plan, reporter, read)) as windows:
        sink = None
        try:
            sink = open_sink(plan.target)
            for window in checked(windows, written):
                sink.write(window)
                reporter.advance(window.text_bytes)
            check_totals(read, written)
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
    )


def ordered(plan: Plan, reporter: Reporter, read: Tally) -> Generator[Window]:
    """Yield all rows in key order; closing the generator removes all temporary data.

    read  is filled with what was read, before the first window
    """
    source = LineSource(
        plan.inputs,
        terminator=plan.terminator,
        header_bytes=len(plan.header),
        layout=plan.layout,
        longest_bytes=plan.longest_line_bytes,
        cap_for_line=plan.cap_for_line,
    )
    with private_folder(plan.temp_dir) as folder, contextlib.closing(source):
        reporter.stage("read", plan.survey.text_bytes)
        words = seed_words(plan.seed)
        if plan.strategy == "spill":
            from dbshuf.order.duckdb import spill_order

            yield from spill_order(plan, source, words, folder, read=read, reporter=reporter)
            return
        with contextlib.closing(Store(plan.layout.store_bytes, folder / "rows")) as store:
            order = PartitionOrder(plan.layout, words, store)
            order.fill(source, reporter.advance)
            read.merge(order.read)
            source.check_unchanged()
            check_read(read, source.text_bytes)
            reporter.stage("write", read.text_bytes)
            yield from order.windows()
