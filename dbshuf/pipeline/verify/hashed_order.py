"""Inputs in the order of a seed, as the hashes of their rows: they tell whether outputs are in it.

Rows are hashed before they are ordered, so that 16 bytes of each are stored and sorted, however
long it is, and one pass over the inputs says both which rows they are and how they follow each
other. Which row is the first out of place, that cannot say; see order.py.
"""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from dbshuf.base.block_io import U8
from dbshuf.base.counters import Tally
from dbshuf.base.key import U64, epoch_seed
from dbshuf.base.layout import INDEX_BYTES, PIECE_ROW_BYTES, SORT_BYTES, Layout
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.progress import Progress
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.row_hash import Hashes
from dbshuf.base.scan import Scan, ThroughScan
from dbshuf.base.window import Window
from dbshuf.options import Options
from dbshuf.pipeline.ordered import ordered
from dbshuf.pipeline.verify.forms import Rows, ids_of_rows, pieces, window_of
from dbshuf.pipeline.verify.order import order_plan
from dbshuf.pipeline.verify.places import PlacedRows
from dbshuf.pipeline.verify.samples import is_sampled
from dbshuf.pipeline.verify.sequence_hash import FileSequences, SequenceHash
from dbshuf.pipeline.verify.sides import ComparisonProgress, Side
from dbshuf.pipeline.verify.totals import Totals
from dbshuf.plan.plan import Plan
from dbshuf.source.survey import Survey

_WORD_BYTES = 8
_HASH_WORDS = 2  # of a row; in splits the number of its split follows
_STEP_ROWS = 1 << 16
_NO_SPLIT = -1  # of a file that no split has


class OrderByHashes:
    """The order of the inputs by a seed, and that of the outputs, part by part.

    written  gets all rows of the outputs
    placed   gets them with their places, where splits have some; None: their order says enough
    """

    def __init__(self, plans: Sequence[Plan], side: Side, placed: PlacedRows | None = None) -> None:
        """Order a side by plans; a sample needs none, since its rows are read in their order."""
        self._plans, self._side, self.placed = plans, side, placed
        self._asked: dict[int, SequenceHash] = {}
        self.written = FileSequences()

    @classmethod
    def of(cls, options: Options, inputs: Side) -> "OrderByHashes | None":
        """Return it for the orders that options ask for; None where hashes do not tell them.

        Raises  what planning a shuffle raises
        """
        assert options.seed is not None
        parts, members = inputs.parts, inputs.members
        if parts.columns or (parts.split_names and (members is None or is_sampled(options))):
            return None
        if is_sampled(options):
            return cls((), inputs)
        seeds = [epoch_seed(options.seed, epoch) for epoch in range(options.epochs or 1)]
        own = replace(options, epochs=None, strategy="partition", engine="duckdb")
        plans = [order_plan(replace(own, seed=seed), inputs) for seed in seeds]
        has_places = options.number is not None and bool(parts.split_names)
        placed = PlacedRows(options.skip) if has_places else None
        return cls(plans, inputs, placed) if all(map(_is_by_row, plans)) else None

    def read_inputs(self, totals: Totals, reporter: Progress) -> None:
        """Order the inputs; `totals` gets the rows of the first order, or those of all samples.

        Raises  what a shuffle raises
        """
        if not self._plans:
            self._side.scan(partial(self._look, totals), reporter)
        for number, plan in enumerate(self._plans):
            place = 0 if self.placed is None else self.placed.first
            with contextlib.closing(_ordered_hashes(plan, self._side, reporter)) as hashed:
                for hashes, splits in hashed:
                    if self.placed is not None:
                        self.placed.add(hashes, place + np.arange(len(hashes.high)), 1)
                        place += len(hashes.high)
                    if number == 0:
                        totals.add(hashes, hashes.high)
                    self._add(hashes, splits)

    def _look(self, totals: Totals, rows: Rows) -> None:
        hashes, ids = self._side.hash_(rows)
        totals.add(hashes, ids)
        self._add(hashes, None)

    def _add(self, hashes: Hashes, splits: U64 | None) -> None:
        for part in [0] if splits is None else np.unique(splits).tolist():
            own = hashes if splits is None else hashes.take(splits == part)
            before = self._asked.get(part, SequenceHash())
            self._asked[part] = before.then(SequenceHash.of(own))

    @property
    def is_same(self) -> bool:
        """Whether the outputs are in the order of the inputs, once both are read."""
        parts = self._side.parts
        numbers = {name: number for number, name in enumerate(parts.split_names)}
        part_of = [numbers.get(part[0] or "", _NO_SPLIT) if part else 0 for part in parts.of_files]
        return self.written.joined(part_of) == self._asked


def _is_by_row(plan: Plan) -> bool:
    """Whether a plan orders all rows by what is known of each when it is read."""
    order_by = plan.order_by
    is_late = order_by is not None and (order_by.takes_samples or order_by.is_twice)
    return plan.strata is None and not is_late


def _ordered_hashes(
    plan: Plan, side: Side, reporter: Progress
) -> Generator[tuple[Hashes, U64 | None]]:
    """Yield the hashes of ordered rows, and the numbers of their splits if they have some."""
    words = _words_of_rows(side)
    layout = _layout(plan.layout, plan.survey, words)
    plan = replace(plan, layout=layout, ordered_as=lambda feed: HashedScan(feed, side))
    with contextlib.closing(ordered(plan, ComparisonProgress(reporter), Tally())) as windows:
        for window in windows:
            yield from _hashes_in(window, words)
            reporter.advance(window.text_bytes)


def _layout(layout: Layout, survey: Survey, words: int) -> Layout:
    """Return a layout for rows of so many words in place of those that a survey describes."""
    row_bytes = words * _WORD_BYTES
    piece_bytes = PIECE_ROW_BYTES + row_bytes + _WORD_BYTES  # with its id
    piece_rows = max(layout.piece_rows * PIECE_ROW_BYTES // piece_bytes, 1)
    if survey.text_bytes is None:
        return replace(layout, piece_rows=piece_rows)
    rows = survey.text_bytes / survey.mean_line_bytes
    sorted_at_once = layout.sort_bytes * 3 // 4 // layout.workers // SORT_BYTES
    bucket_rows = min(sorted_at_once, layout.bucket_bytes // 2 // (row_bytes + INDEX_BYTES))
    ranges = min(max(int(rows / max(bucket_rows, 1)) + 1, layout.workers), layout.ranges)
    return replace(layout, piece_rows=piece_rows, ranges=ranges)


class HashedScan(ThroughScan):
    """What a feed has, each row as a line of words: those of its hash, and maybe its split."""

    def __init__(self, feed: Scan, side: Side) -> None:
        super().__init__(feed)
        self._side = side

    def batches(self, buffer: U8) -> Generator[LineBatch | RowBatch]:
        for batch in self._feed.batches(buffer):
            yield self._hashed(batch)
            del batch

    def _hashed(self, batch: Rows) -> LineBatch:
        """Return the hashes of rows, or of those of them that are looked at, as lines."""
        members, count = self._side.members, _words_of_rows(self._side)
        every, row = ids_of_rows(batch), 0
        words, ids = np.empty((len(every), count), np.uint64), np.empty(len(every), np.uint64)
        for piece in pieces(batch):
            hashes, some = self._side.hash_(piece)
            stop = row + len(some)
            words[row:stop, 0], words[row:stop, 1], ids[row:stop] = *hashes, some
            if members is not None:
                splits = members(window_of(piece, self._side.plan.words))
                words[row:stop, 2] = _looked_at(splits.astype(np.uint64), ids_of_rows(piece), some)
            row = stop
        prefixes = None if batch.prefixes is None else _looked_at(batch.prefixes, every, ids[:row])
        size = count * _WORD_BYTES
        offsets = np.arange(row + 1, dtype=np.int32) * np.int32(size)
        data = words[:row].reshape(-1).view(np.uint8)
        return LineBatch(data, offsets, (), given=ids[:row], prefixes=prefixes)


def _words_of_rows(side: Side) -> int:
    return _HASH_WORDS + (side.members is not None)


def _looked_at(values: U64, every: U64, ids: U64) -> U64:
    """Return the values of rows, one for each of `every` id, that have some of the ids."""
    return values if len(ids) == len(every) else values[np.isin(every, ids)]


def _hashes_in(window: Window, words: int) -> Generator[tuple[Hashes, U64 | None]]:
    """Yield what the lines of a window say, _STEP_ROWS at most at a time."""
    data = window.lines.buffers()[2] or b""
    first, last = int(window.bounds[0]), int(window.bounds[-1])
    found = np.frombuffer(data, np.uint64, (last - first) // _WORD_BYTES, first)
    found = found.reshape(-1, words)
    for row in range(0, len(found), _STEP_ROWS):
        lanes = found[row : row + _STEP_ROWS].T
        yield Hashes(lanes[0].copy(), lanes[1].copy()), lanes[2] if words > _HASH_WORDS else None
