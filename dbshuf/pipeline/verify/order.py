"""Whether outputs hold the rows of the inputs in the order of a seed.

The inputs are ordered as a shuffle of them would be, and the rows of its windows are compared,
one after the other, with those of the files of the output in the order of their names: of each
part of the output, a split or a folder of values, by itself.
"""

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dbshuf.base.block_io import aligned_buffer
from dbshuf.base.counters import Tally
from dbshuf.base.key import U64, epoch_seed, id_of
from dbshuf.base.messages import too_small
from dbshuf.base.partition_prefix import groups_of
from dbshuf.base.progress import Progress
from dbshuf.base.row_hash import Hashes
from dbshuf.base.window import Window
from dbshuf.errors import MemoryTooSmall
from dbshuf.options import Options
from dbshuf.pipeline.ordered import ordered
from dbshuf.pipeline.scan import open_scan
from dbshuf.pipeline.shuffle import planned_here
from dbshuf.pipeline.verify.forms import rows_of
from dbshuf.pipeline.verify.parts import Part, place_for
from dbshuf.pipeline.verify.sides import ComparisonProgress, Side, from_store
from dbshuf.plan.plan import Plan
from dbshuf.plan.row_plan import memory_cap
from dbshuf.source.input import Input, check_all_unchanged, check_same
from dbshuf.units import MIB

_BUFFER_BYTES = 2 * MIB  # of the outputs, read at a time
_READING_BYTES = 48 * MIB  # taken from what orders: a buffer, decoded and hashed, and its reader

_MORE_BYTES = 16 * MIB  # for each further split, whose files are open beside those of the others


@dataclass(frozen=True)
class Misplaced:
    """The first row that is not what it should be.

    of        the rows among which it is counted, for people
    row       its number there, from 0
    found     its id in the outputs; None: they end before it
    expected  the id of the row of the inputs that should stand there; None: there is none
    """

    of: str
    row: int
    found: int | None
    expected: int | None


def first_misplaced(
    options: Options, inputs: Side, outputs: Side, reporter: Progress
) -> Misplaced | None:
    """Return the first row that is out of the order of the seed; None if all are in it.

    options  those of the shuffle, its seed among them
    Raises   what a shuffle raises
    """
    assert options.seed is not None
    with contextlib.closing(_Written(outputs)) as written:
        for epoch in range(options.epochs or 1):
            seed = epoch_seed(options.seed, epoch)
            plan = order_plan(replace(options, seed=seed, epochs=None), inputs)
            found = _first_in(plan, inputs, written, reporter)
            if found is not None:
                check_all_unchanged(plan.inputs)  # they were not read to their ends
                check_all_unchanged(outputs.plan.inputs)
                return found
        return written.rest()


def order_plan(options: Options, inputs: Side) -> Plan:
    """Return how the inputs are ordered, with memory left to read the outputs beside it."""
    parts, kind = inputs.parts, inputs.plan.target.format
    reading = _READING_BYTES + _MORE_BYTES * max(len(parts.split_names) - 1, 0)
    memory = memory_cap(options) - reading
    options = replace(from_store(options), memory=memory, format=kind, partition_by=parts.columns)
    options = replace(options, number=None)  # which rows are compared without
    try:
        plan = planned_here(replace(options, output=place_for(options)), reads_only=bool(parts))
    except MemoryTooSmall as error:
        if error.least_bytes is None:
            raise
        least, needs = error.least_bytes + reading, "to check the order takes"
        raise too_small(memory + reading, least, needs, "; or --no-order") from error
    check_same(inputs.plan.inputs, plan.inputs)  # read once, for their rows
    return plan


def _first_in(
    plan: Plan, inputs: Side, written: "_Written", reporter: Progress
) -> Misplaced | None:
    """Compare the rows of one order with those that come next in every part."""
    parts, group = inputs.parts, -1
    with contextlib.closing(ordered(plan, ComparisonProgress(reporter), Tally())) as windows:
        for window in windows:
            for number, rows in _by_group(window) if parts.columns else [(group, window)]:
                if number != group:  # no row of a folder that was begun comes again
                    group, found = number, written.end()
                    if found is not None:
                        return found
                for part, own in (
                    parts.of_window(rows, plan.target.member_of) if parts else [((), rows)]
                ):
                    hashes = inputs.hashes(rows_of(own, own.keys))
                    found = written.compare(part, *hashes, plan.words)
                    if found is not None:
                        return found
            reporter.advance(window.text_bytes)
    return None


def _by_group(window: Window) -> Iterator[tuple[int, Window]]:
    """Yield rows that have one prefix, which are those of one folder, or of few."""
    assert window.prefixes is not None
    groups = groups_of(window.prefixes)
    starts = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1).tolist()]
    for first, last in zip(starts, [*starts[1:], window.rows], strict=True):
        if first < last:
            yield int(groups[first]), window.slice(first, last)


class _Written:
    """The rows of the outputs, part by part."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._files: dict[Part, list[Input]] = {}
        for one in side.plan.inputs:
            part = side.parts.of_files[one.ordinal] if side.parts else ()
            self._files.setdefault(part, []).append(one)
        self._open: dict[Part, _Rows] = {}

    def compare(
        self, part: Part, ours: Hashes, keys: U64, words: tuple[int, int]
    ) -> Misplaced | None:
        """Return the first of the next rows of a part that is not as expected."""
        if part not in self._open:
            named = self._side.parts.shown(part)
            self._open[part] = _Rows(self._side, self._files.pop(part, []), named)
        return self._open[part].compare(ours, keys, words)

    def end(self) -> Misplaced | None:
        """Return the first row that is left of the parts that were begun; they are done."""
        left = [one.rest() for one in self._open.values()]
        self.close()
        return next((one for one in left if one is not None), None)

    def rest(self) -> Misplaced | None:
        """Return the first row that is left of all."""
        found = self.end()
        while found is None and self._files:
            part = next(iter(self._files))
            rows = _Rows(self._side, self._files.pop(part), self._side.parts.shown(part))
            with contextlib.closing(rows):
                found = rows.rest()
        return found

    def close(self) -> None:
        for one in self._open.values():
            one.close()
        self._open.clear()


class _Rows:
    """The rows of one part as they stand in its files."""

    def __init__(self, side: Side, files: Sequence[Input], named: str) -> None:
        self._rows = _in_file_order(side, files)
        self._named, self._row = named, 0
        self._hashes, self._ids = Hashes(*[np.zeros(0, np.uint64)] * 2), np.zeros(0, np.uint64)

    def compare(self, ours: Hashes, keys: U64, words: tuple[int, int]) -> Misplaced | None:
        """Return the first of the next rows that is not as expected."""
        first = 0
        while first < len(keys):
            if not self._more():
                expected = id_of(int(keys[first]), words)
                return Misplaced(self._named, self._row, None, expected)
            theirs, count = self._hashes, min(len(self._ids), len(keys) - first)
            bad = np.flatnonzero(
                (ours.high[first : first + count] != theirs.high[:count])
                | (ours.low[first : first + count] != theirs.low[:count])
            )
            if len(bad):
                at = int(bad[0])
                expected = id_of(int(keys[first + at]), words)
                return Misplaced(self._named, self._row + at, int(self._ids[at]), expected)
            self._hashes, self._ids = theirs.take(slice(count, None)), self._ids[count:]
            first, self._row = first + count, self._row + count
        return None

    def rest(self) -> Misplaced | None:
        """Return the next row, where none is expected."""
        return Misplaced(self._named, self._row, int(self._ids[0]), None) if self._more() else None

    def _more(self) -> bool:
        if not len(self._ids):
            self._hashes, self._ids = next(self._rows, (self._hashes, self._ids))
        return len(self._ids) > 0

    def close(self) -> None:
        self._rows.close()


def _in_file_order(side: Side, files: Sequence[Input]) -> Generator[tuple[Hashes, U64]]:
    """Yield the rows of a side as they stand in some of its files, one file after the other."""
    plan = side.plan
    layout = replace(plan.layout, buffer_bytes=min(plan.layout.buffer_bytes, _BUFFER_BYTES))
    buffer = aligned_buffer(layout.buffer_bytes)
    for one in files:
        alone = replace(plan, inputs=(one,), layout=layout)
        with contextlib.closing(open_scan(alone, plan.temp_dir, lambda size: None)) as feed:
            for batch in feed.batches(buffer):
                hashes, ids = side.hashes(batch)
                if len(ids):
                    yield hashes, ids
            feed.check()
