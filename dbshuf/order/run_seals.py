"""Runs that outlive their process: first they are on disk, then the journal says so.

    workers -> RunSeals.add -> every _SEAL_BYTES or _SEAL_S: sync the file, append a `runs` record

A `runs` record has of each run where it is, its checksum, what it counts, what a manifest will say
of it, and which rows of the inputs it was made of; and checksums of all bytes of inputs that were
read for them (source/read_sums.py). So a later process reads no row of those again,
and what a death costs of reading is what was not sealed yet.
"""

import os
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dbshuf.base.block_io import BlockFile, round_up
from dbshuf.base.counters import Tally
from dbshuf.base.journal import Record
from dbshuf.base.key import POSITION_BITS
from dbshuf.base.row_notes import BatchNotes, ReadNotes
from dbshuf.base.scan import Scan
from dbshuf.base.spans import Span, Spans
from dbshuf.base.work_dir import WorkDir, in_words
from dbshuf.order.run_index import (
    RunDamaged,
    RunIndex,
    StoredRun,
    decoded,
    index_bytes,
    read_index,
)
from dbshuf.order.runs import Store
from dbshuf.source.read_sums import ReadSums
from dbshuf.units import MIB

_SEAL_BYTES = 256 * MIB  # of stored rows that may not be sealed yet; a sync took 3-20 ms
_SEAL_S = 5.0


class KeptRows(Store):
    """The file of partitioned rows in a work directory; see runs.Store."""

    _hint = "name another --work-dir; or run the same command again, which goes on"

    def __init__(self, path: Path, used_bytes: int) -> None:
        """Open it, and forget what is behind `used_bytes`; Raises WorkDirUnfit."""
        super().__init__(0, path)
        self._shown = path.parent
        with in_words(path.parent):
            if path.exists():
                self._file = BlockFile(path, is_new=False)
            elif used_bytes:
                self._file = BlockFile(path)
            if self._file is not None:  # what is missing is read as zeros, of another checksum
                os.ftruncate(self._file.fd, used_bytes)
        self._file_used = used_bytes

    def sync(self) -> None:
        """Wait until all that was written is on disk."""
        if self._file is not None:
            with self._in_words():
                os.fsync(self._file.fd)

    def release(self) -> None:
        """Keep the file: until the output is published, it may be needed again."""

    def _remove(self) -> None:
        if self._file is not None:
            self._file.close()


@dataclass
class Sealed:
    """What earlier processes have sealed, as the journal has it.

    runs      address -> the run, the spans of ids it was made of, what it counts
    notes     address -> what is noted of it
    empty     spans of rows of which SQL has left none, and what is noted of them
    ended     as Spans.ended
    is_whole  whether all rows are stored
    is_all    whether these are all that the inputs hold
    used_bytes  of the file, the runs that were dropped included
    """

    runs: dict[int, tuple[StoredRun, list[Span], Tally]] = field(default_factory=dict)
    notes: dict[int, BatchNotes] = field(default_factory=dict)
    empty: list[tuple[list[Span], BatchNotes]] = field(default_factory=list)
    ended: dict[int, int] = field(default_factory=dict)
    is_whole: bool = False
    is_all: bool = False
    used_bytes: int = 0

    def add(self, record: Record, ranges: int) -> None:
        """Take in a `runs` record."""
        for at, size, crc32, counts, (row_sum, read), spans in record["runs"]:
            pairs = [(begin, end) for begin, end in spans]
            notes = BatchNotes(row_sum, tuple((number, rows) for number, rows in read))
            if at is None:
                self.empty.append((pairs, notes))
                continue
            run = StoredRun(~at, size, crc32)
            self.runs[~at], self.notes[~at] = (run, pairs, Tally(*counts)), notes
            self.used_bytes = max(self.used_bytes, at + round_up(size + index_bytes(ranges)))
        self.ended |= dict(record["ended"])
        self.is_whole = self.is_whole or record["is_whole"]
        self.is_all = self.is_all or record["is_all"]

    def drop(self, addresses: list[int] | None) -> None:
        """Forget runs, or with None all of them."""
        self.is_whole = self.is_all = False
        if addresses is None:
            self.runs.clear()
            self.empty.clear()
        for address in addresses or ():
            self.runs.pop(address, None)

    def drop_inputs(self, ordinals: set[int]) -> bool:
        """Forget all that was made of rows of some inputs; return whether there was any."""

        def is_theirs(spans: list[Span]) -> bool:
            return any(begin >> POSITION_BITS in ordinals for begin, _ in spans)

        # Rows without spans may be of any input.
        is_known = all(spans for _, spans, _ in self.runs.values())
        dropped = [at for at, (_, spans, _) in self.runs.items() if is_theirs(spans)]
        empty = [one for one in self.empty if not is_theirs(one[0])]
        is_any = bool(dropped) or len(empty) < len(self.empty) or not is_known
        if is_any:
            self.drop(dropped if is_known else None)
            self.empty = empty if is_known else []
        self.ended = {
            begin: end
            for begin, end in self.ended.items()
            if is_known and begin >> POSITION_BITS not in ordinals
        }
        return is_any

    @property
    def spans(self) -> Spans:
        """The rows of the inputs that need not be read again."""
        of_runs = (span for _, spans, _ in self.runs.values() for span in spans)
        of_empty = (span for spans, _ in self.empty for span in spans)
        return Spans([*of_runs, *of_empty], self.ended)

    def restore(self, notes: ReadNotes) -> None:
        """Add what is noted of all of it."""
        for address, (_, _, counts) in self.runs.items():
            notes.restore(counts.rows, self.notes[address])
        for _, of_empty in self.empty:
            notes.restore(0, of_empty)


class RunSeals:
    """Seals the runs of one order; see the head of the file.

    tally  what the runs of earlier processes count
    """

    def __init__(
        self,
        work: WorkDir,
        store: KeptRows,
        sealed: Sealed,
        *,
        ranges: int,
        sums: ReadSums,
        notes: ReadNotes | None = None,
    ) -> None:
        """Seal in the journal of `work` what lies in `store`, and know what is `sealed`.

        sums   of the bytes that this process reads
        notes  for a manifest, those of earlier processes included
        """
        self._work, self._store, self._sealed, self._notes = work, store, sealed, notes
        self._sums = sums
        self._untold = None if notes is None else -notes.read  # rows of inputs, but for `_notes`
        self._ranges, self._feed = ranges, None
        self._waiting: list[list[Any]] = []
        self._waiting_bytes = 0
        self._told_ends: set[int] = set(sealed.ended)
        self._last_s = time.monotonic()
        self._lock, self._sealing = threading.Lock(), threading.Lock()
        self.tally = Tally()
        for _, _, counts in sealed.runs.values():
            self.tally.merge(counts)

    _feed: Scan | None

    def begin(self, feed: Scan) -> None:
        """Be told where the rows will come from."""
        self._feed = feed

    def stored(self) -> Iterator[tuple[int, RunIndex]]:
        """Yield the address and the index of every run of earlier processes.

        Raises  RunDamaged at the end, of all that are damaged
        """
        damaged: list[int] = []
        for run, _, _ in self._sealed.runs.values():
            try:
                yield run.address, read_index(self._store, run, self._ranges)
            except RunDamaged as damage:
                damaged += damage.addresses
        if damaged:
            raise RunDamaged(damaged)

    def add(self, spans: tuple[Span, ...] | None, run: StoredRun | None, counts: Tally) -> None:
        """Have a run sealed, soon; in any thread.

        spans  of the ids that it was made of
        run    None if nothing was left of them
        """
        numbers = [counts.rows, counts.text_bytes, counts.key_sum, counts.longest_bytes]
        where = [None, 0, 0] if run is None else [~run.address, run.slice_bytes, run.index_crc32]
        noted = BatchNotes() if self._notes is None else self._notes.of_batch()
        is_in_pieces = self._feed is not None and self._feed.is_in_pieces
        with self._lock:
            if self._untold is not None:
                for number, rows in noted.read:
                    self._untold[number] -= rows
            # no spans: what is damaged then has all of it begun anew
            self._waiting.append([*where, numbers, noted, (spans or ()) if is_in_pieces else ()])
            self._waiting_bytes += 0 if run is None else run.slice_bytes
            is_much = self._waiting_bytes >= _SEAL_BYTES
            is_late = time.monotonic() - self._last_s >= _SEAL_S
            is_due = is_in_pieces and (is_much or is_late)
        if is_due and self._sealing.acquire(blocking=False):
            try:
                self._seal(is_whole=False)
            finally:
                self._sealing.release()

    def finish(self) -> None:
        """Seal all that is left, and that it is all."""
        notes = self._notes
        if notes is not None and self._untold is not None:
            self._untold += notes.read  # what threads have read that hand no batches on
            rest = [(int(at), int(self._untold[at])) for at in self._untold.nonzero()[0]]
            self._waiting.append([None, 0, 0, [0, 0, 0, 0], BatchNotes(0, tuple(rest)), ()])
        with self._sealing:
            self._seal(is_whole=True, is_all=notes is not None and notes.is_all)

    def _seal(self, *, is_whole: bool, is_all: bool = False) -> None:
        with self._lock:
            runs, self._waiting, self._waiting_bytes = self._waiting, [], 0
            self._last_s = time.monotonic()
        ends = {} if self._feed is None else dict(self._feed.ended)
        ended = [[begin, end] for begin, end in ends.items() if begin not in self._told_ends]
        self._told_ends.update(begin for begin, _ in ended)
        self._store.sync()
        facts = {"is_whole": is_whole, "is_all": is_all}
        self._work.note("runs", runs=runs, ended=ended, sums=self._sums.take(), **facts)


def damaged_runs(path: Path, sealed: Sealed, ranges: int) -> list[int]:
    """Return the addresses of all runs in a file that are not what was sealed.

    Of those that a run comes upon there may be more: one reading finds them all.
    """
    found = []
    with open(path, "rb", buffering=0) as file:
        for run, _, _ in sealed.runs.values():
            try:
                _check_run(file.fileno(), run, ranges)
            except (RunDamaged, OSError):
                found.append(run.address)
    return found


def _check_run(fd: int, run: StoredRun, ranges: int) -> None:
    """Raise RunDamaged unless a run is what was sealed; OSError where it cannot be read."""
    start = ~run.address
    stored = os.pread(fd, index_bytes(ranges), start + run.slice_bytes)
    index = decoded(np.frombuffer(stored, np.uint8), run, ranges)
    for number, wanted in enumerate(index.sums.tolist()):
        at, end, crc32 = int(index.starts[number]), int(index.starts[number + 1]), 0
        while at < end and (part := os.pread(fd, min(end - at, MIB), start + at)):
            at, crc32 = at + len(part), zlib.crc32(part, crc32)
        if at < end or crc32 != wanted:
            raise RunDamaged([run.address])
