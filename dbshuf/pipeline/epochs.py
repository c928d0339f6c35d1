"""--epochs: the same rows in several orders, each read and ordered anew, published together."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from dbshuf.base.counters import Tally
from dbshuf.base.process_memory import release_unused
from dbshuf.base.progress import Progress, tell
from dbshuf.base.row_notes import RowSum
from dbshuf.errors import InputChanged
from dbshuf.manifest.document import InputEntry
from dbshuf.pipeline.manifest import ManifestSeal, RunRecord
from dbshuf.plan.epoch_plan import plan_of_epoch
from dbshuf.plan.plan import Plan
from dbshuf.sink import Sink, Target
from dbshuf.sink.epochs import EpochSink, open_epoch_sink

if TYPE_CHECKING:
    from dbshuf.plan.spark_plan import SparkPlan


class ToSink(Protocol):
    """Orders the rows of a plan, and hands them to the sink that `begin` gives for its target."""

    def __call__(
        self,
        plan: Plan,
        begin: Callable[[Target], Sink],
        reporter: Progress,
        written: Tally,
        *,
        done: list[str],
        record: RunRecord | None,
    ) -> None: ...


def run_epochs(
    plan: Plan, reporter: Progress, written: Tally, done: list[str], to_sink: ToSink
) -> None:
    """Write all epochs of a plan, and publish them.

    written  counts the rows of all of them
    done     as `pipeline.shuffle.ordered`
    Raises   InputChanged if an epoch has other rows than the first; what a run of one raises
    """
    epochs = plan.epochs
    assert epochs is not None
    with contextlib.closing(EpochsRecord(plan)) as record:
        sink: EpochSink | None = None
        try:
            sink = open_epoch_sink(plan.target)
            for epoch in range(epochs.count):
                release_unused()
                plan = plan_of_epoch(plan, epoch)
                counted, told = Tally(), EpochProgress(reporter, epoch, epochs.count)
                with contextlib.closing(_begun(record, plan, done)) as own:
                    of_epoch = plan if own.record is None else own.record.plan
                    to_sink(of_epoch, sink.begin, told, counted, done=done, record=own.record)
                    sink.end(own.record)
                    if own.record is not None:
                        record.end(own.record.settle())
                record.check_same(plan, epoch, counted)
                written.merge(counted)
            reporter.stage("publish", None)
            sink.finish(record.of_all)
        except BaseException:
            if sink is not None:
                sink.abort()
            raise


class _Own:
    """The record of one epoch, if it has one, to be closed."""

    def __init__(self, record: RunRecord | None) -> None:
        self.record = record

    def close(self) -> None:
        if self.record is not None:
            self.record.close()


def _begun(record: "EpochsRecord", plan: Plan, done: list[str]) -> _Own:
    """Begin what is noted of the next epoch."""
    if record.alone is None:
        return _Own(None)
    return _Own(RunRecord(plan, record.alone, done, hashed=record.hashed))


class EpochsRecord:
    """What is noted of all epochs.

    of_all   the manifest of all of them, where --manifest asks for it
    alone    what is wanted about the output of one of them; None: nothing
    hashed   entries of the inputs, of the epoch that ended last
    """

    def __init__(self, plan: "Plan | SparkPlan") -> None:
        """Begin the file of --manifest, hidden. Raises OutputUnwritable."""
        assert plan.epochs is not None
        self.alone = None if plan.wanted is None else replace(plan.wanted, path=None)
        self.hashed: Sequence[InputEntry] | None = None
        self._first: tuple[int, int, int | None] | None = None
        self._row_sum: int | None = None  # of the epoch that ended last
        self.of_all: ManifestSeal | None = None
        if plan.wanted is not None and plan.wanted.path is not None:
            unit = "line" if plan.schema is None else "row"
            self.of_all = ManifestSeal(plan.wanted, plan.target, unit=unit)
            self.of_all.epoch_seeds = plan.epochs.seeds
            self.of_all.rows_in, self.of_all.rows_out = RowSum(), RowSum()

    def end(self, seal: ManifestSeal) -> None:
        """Take over what was noted of the epoch that ends."""
        self.hashed = seal.inputs
        self._row_sum = seal.rows_out.sum
        if self.of_all is None:
            return
        self.of_all.strategy, self.of_all.inputs = seal.strategy, seal.inputs
        for total, own in (
            (self.of_all.rows_in, seal.rows_in),
            (self.of_all.rows_out, seal.rows_out),
        ):
            if total is not None and own is not None:
                total.add(own.rows, own.sum)
        if seal.rows_in is None:
            self.of_all.rows_in = None

    def check_same(self, plan: "Plan | SparkPlan", epoch: int, counted: Tally) -> None:
        """Raise InputChanged if an epoch of all rows has others than the first.

        A sample is another one in each epoch, and SQL may ask for the seed. Checksums of rows are
        compared where a manifest has them made, and no place is among the rows.
        """
        shape = plan.shape
        is_sql = shape.row_query is not None or shape.whole_query is not None
        if plan.sample is not None or is_sql:
            return
        row_sum = None if plan.target.number is not None else self._row_sum
        found = counted.rows, counted.text_bytes, row_sum
        if self._first is None:
            self._first = found
        if found != self._first:
            rows, size, _ = self._first
            raise InputChanged(
                f"the inputs had {rows:,} rows of {size:,} bytes in epoch 0, and others in epoch"
                f" {epoch}: {counted.rows:,} of {counted.text_bytes:,} bytes",
                hint="shuffle a copy that no one writes to",
            )

    def close(self) -> None:
        """Remove what was not published; never raises."""
        if self.of_all is not None:
            self.of_all.close()


class EpochProgress:
    """A progress whose stages say which epoch they are of."""

    def __init__(self, inner: Progress, epoch: int, count: int) -> None:
        self._inner, self._name = inner, f"epoch {epoch} of {count:,}"
        self.advance, self.close = inner.advance, inner.close

    def stage(self, name: str, total_bytes: int | None) -> None:
        self._inner.stage(f"{self._name}, {name}", total_bytes)

    def tell(self, text: str) -> None:
        """Say something in a line of its own."""
        tell(self._inner, text)
