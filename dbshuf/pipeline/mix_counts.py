"""The rows of a mix, counted before the plan of its run: what there is, and which are taken.

    sources -> ids behind the filters -> ranks -> RankSearch -> Taken

All sources are read once. Those of which some rows are taken once more than the others are read
again, to find the last of these by rank; a third time only from billions of rows on. What is
held is counts and a few ranks, however many rows there are. Parquet without a filter is not read:
its footers say how many rows there are, and so their ids.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from dbshuf.base.block_io import aligned_buffer
from dbshuf.base.key import ORDINAL_LIMIT, POSITION_BITS, U64, mix_ids, seed_words
from dbshuf.base.process_memory import relieve
from dbshuf.base.progress import Progress
from dbshuf.base.row_batch import I64
from dbshuf.base.workers import Stopped, run_workers
from dbshuf.errors import InputBeyondBounds
from dbshuf.order.mixed import RankSearch, Taken, room_for
from dbshuf.order.sampled import rows_of
from dbshuf.pipeline.mixed import rank_seed, workers_for
from dbshuf.pipeline.scan import part_scan
from dbshuf.plan.mix import BYTES, Counted, Mix, MixAsked, MixedPart, MixPart
from dbshuf.plan.mix_targets import targets
from dbshuf.plan.plan import Plan
from dbshuf.units import MIB

Take = Callable[[U64, I64], None]  # ranks and sizes (bytes) of some rows
SEARCH_BYTES = 16 * MIB  # of all searches; a worker's scratch, which only ordering needs, is more
_STEP_ROWS = 1 << 16


def count_mix(plan: Plan, asked: MixAsked, parts: Sequence[MixPart], *, reporter: Progress) -> Mix:
    """Return what is taken of the sources of a mix.

    plan    how they are read
    Raises  UsageError where one has too little; what reading raises
    """
    started = time.monotonic()
    bits, room = room_for(SEARCH_BYTES, len(parts))
    searches = [RankSearch(bits) for _ in parts]
    reporter.stage("count", plan.survey.text_bytes)
    reads = [_Reader(plan, part, asked.unit_of(part.source), reporter) for part in parts]
    for read, search in zip(reads, searches, strict=True):
        read.all_rows(search.add)
    counted = [
        Counted(search.rows, search.bytes if read.has_sizes else None)
        for read, search in zip(reads, searches, strict=True)
    ]
    takes = [
        _Take(search, has, want, asked.unit_of(part.source) == BYTES)
        for part, search, has, want in zip(
            parts, searches, counted, targets(asked, counted), strict=True
        )
    ]
    pending = [pair for pair in zip(reads, takes, strict=True) if pair[1].rest]
    for _, take in pending:
        take.narrow(room)
    while pending:
        reporter.stage("rank", sum(read.text_bytes for read, _ in pending) or None)
        for read, take in pending:
            read.all_rows(take.search.add)
        pending = [pair for pair in pending if not pair[1].finish(room)]
    mixed = [
        MixedPart(part, has, take.taken)
        for part, has, take in zip(parts, counted, takes, strict=True)
    ]
    _check_bound(mixed, len(plan.inputs))
    return Mix(asked.by, tuple(mixed), len(plan.inputs), time.monotonic() - started)


class _Take:
    """What is wanted of a source, and as it is found what that is."""

    def __init__(self, search: RankSearch, has: Counted, want: Fraction, is_bytes: bool) -> None:
        self.search, self._has, self._is_bytes = search, has, is_bytes
        there = has.bytes if is_bytes else has.rows
        assert there, "a source without rows was refused"
        self._whole = int(want // there)
        self.rest = want - self._whole * there
        self.taken = self._taken(0, 0, 0)

    def narrow(self, room: int) -> None:
        self.search.narrow(self.rest, room, is_bytes=self._is_bytes)

    def finish(self, room: int) -> bool:
        """Return whether the pass that was made was the last one."""
        if not self.search.is_at_end:
            self.narrow(room)
            return False
        self.taken = self._taken(*self.search.end(self.rest, is_bytes=self._is_bytes))
        return True

    def _taken(self, rows: int, size: int, last: int) -> Taken:
        has, whole = self._has, self._whole
        total = None if has.bytes is None else whole * has.bytes + size
        return Taken(whole * has.rows + rows, total, whole, rows, last)


class _Reader:
    """Reads one source to count it.

    has_sizes   whether the bytes of its rows become known
    text_bytes  that were read in the first pass
    """

    def __init__(self, plan: Plan, part: MixPart, unit: str, reporter: Progress) -> None:
        self._plan, self._part, self._reporter = plan, part, reporter
        self._words = seed_words(rank_seed(plan.seed))
        self.text_bytes = 0
        is_text, query = plan.shape.is_text, part.query
        is_whole = query is None or query.schema is None  # rows are not made anew
        self.has_sizes = is_text or unit == BYTES or not is_whole
        self._columns: frozenset[str] | None = None
        if not self.has_sizes:
            self._columns = frozenset() if query is None else query.columns

    def all_rows(self, take: Take) -> None:
        """Give the ranks of all rows behind the filter to `take`, in several threads."""
        if self._part.query is None and not self.has_sizes and self._by_number(take):
            return
        plan, stop = self._plan, threading.Event()
        self.text_bytes = 0
        lock = threading.Lock()

        def advance(count: int) -> None:
            relieve(plan.memory_bytes)
            self._reporter.advance(count)
            with lock:
                self.text_bytes += count

        feed = part_scan(plan, self._part, advance, columns=self._columns)

        def work(worker: int) -> None:
            for batch in feed.batches(aligned_buffer(plan.layout.buffer_bytes)):
                ids, sizes, _ = rows_of(batch)
                if len(ids):
                    ids = ids.copy()
                    mix_ids(ids, self._words)
                    take(ids, sizes)
                del batch, ids, sizes
                if stop.is_set():
                    raise Stopped

        def end() -> None:
            stop.set()
            feed.stop()

        with contextlib.closing(feed):
            run_workers(min(plan.layout.workers, workers_for(self._part)), work, end)
            feed.check()

    def _by_number(self, take: Take) -> bool:
        """Do so without reading, where the inputs say how many rows they have."""
        plan, part = self._plan, self._part
        inputs = plan.inputs[part.first : part.last]
        shape = replace(plan.shape, row_query=None, narrow=frozenset())
        with contextlib.closing(shape.open_tables(inputs, MIB)) as source:
            counts = source.rows_of_inputs
            if counts is None:
                return False
            for one, count in zip(inputs, counts, strict=True):
                for first in range(0, count, _STEP_ROWS):
                    last = min(first + _STEP_ROWS, count)
                    ids = np.arange(first, last, dtype=np.uint64)
                    ids += np.uint64(one.ordinal << POSITION_BITS)
                    mix_ids(ids, self._words)
                    take(ids, np.zeros(len(ids), np.int64))
            source.check_unchanged()
        return True


def _check_bound(mixed: Sequence[MixedPart], inputs: int) -> None:
    """Raise InputBeyondBounds where copies have no ids."""
    most = max(one.taken.whole + (one.taken.more > 0) for one in mixed)
    if most * inputs > ORDINAL_LIMIT:
        raise InputBeyondBounds(
            f"--mix: {inputs:,} inputs with rows that are taken {most:,} times are more than the"
            f" {ORDINAL_LIMIT:,} that one run tells apart",
            hint="join small files first, or let rows repeat less often",
        )
