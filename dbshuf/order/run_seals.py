"""Runs that outlive their process: first they are on disk, then the journal says so.

    workers -> RunSeals.add -> every _SEAL_BYTES or _SEAL_S: sync the file, append a `runs` record

A `runs` record has of each run where it is, its checksum, what it counts, and which rows of the
inputs it was made of. So a later process reads no row of those again, and what a death costs of
reading is what was not sealed yet.
"""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbshuf.base.block_io import BlockFile, round_up
from dbshuf.base.counters import Tally
from dbshuf.base.journal import Record
from dbshuf.base.scan import Scan
from dbshuf.base.spans import Span, Spans
from dbshuf.base.work_dir import WorkDir, in_words
from dbshuf.order.run_index import RunDamaged, RunIndex, StoredRun, read_index
from dbshuf.order.runs import Store
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
    empty     spans of rows of which SQL has left none
    ended     as Spans.ended
    is_whole  whether all rows are stored
    used_bytes  of the file, the runs that were dropped included
    """

    runs: dict[int, tuple[StoredRun, list[Span], Tally]] = field(default_factory=dict)
    empty: list[Span] = field(default_factory=list)
    ended: dict[int, int] = field(default_factory=dict)
    is_whole: bool = False
    used_bytes: int = 0

    def add(self, record: Record, ranges: int) -> None:
        """Take in a `runs` record."""
        for at, size, crc32, counts, spans in record["runs"]:
            pairs = [(begin, end) for begin, end in spans]
            if at is None:
                self.empty += pairs
                continue
            run = StoredRun(~at, size, crc32)
            self.runs[~at] = run, pairs, Tally(*counts)
            self.used_bytes = max(self.used_bytes, at + round_up(size + 4 * (3 * ranges + 1)))
        self.ended |= dict(record["ended"])
        self.is_whole = self.is_whole or record["is_whole"]

    def drop(self, addresses: list[int] | None) -> None:
        """Forget runs, or with None all of them."""
        self.is_whole = False
        if addresses is None:
            self.runs.clear()
            self.empty.clear()
        for address in addresses or ():
            self.runs.pop(address, None)

    @property
    def spans(self) -> Spans:
        """The rows of the inputs that need not be read again."""
        of_runs = (span for _, spans, _ in self.runs.values() for span in spans)
        return Spans([*of_runs, *self.empty], self.ended)


class RunSeals:
    """Seals the runs of one order; see the head of the file.

    tally  what the runs of earlier processes count
    """

    def __init__(self, work: WorkDir, store: KeptRows, sealed: Sealed, *, ranges: int) -> None:
        """Seal in the journal of `work` what lies in `store`, and know what is `sealed`."""
        self._work, self._store, self._sealed = work, store, sealed
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
        with self._lock:
            self._waiting.append([*where, numbers, spans or ()])
            self._waiting_bytes += 0 if run is None else run.slice_bytes
            is_much = self._waiting_bytes >= _SEAL_BYTES
            is_late = time.monotonic() - self._last_s >= _SEAL_S
            is_due = self._feed is not None and self._feed.is_in_pieces and (is_much or is_late)
        if is_due and self._sealing.acquire(blocking=False):
            try:
                self._seal(is_whole=False)
            finally:
                self._sealing.release()

    def finish(self) -> None:
        """Seal all that is left, and that it is all."""
        with self._sealing:
            self._seal(is_whole=True)

    def _seal(self, *, is_whole: bool) -> None:
        with self._lock:
            runs, self._waiting, self._waiting_bytes = self._waiting, [], 0
            self._last_s = time.monotonic()
        ends = {} if self._feed is None else dict(self._feed.ended)
        ended = [[begin, end] for begin, end in ends.items() if begin not in self._told_ends]
        self._told_ends.update(begin for begin, _ in ended)
        self._store.sync()
        self._work.note("runs", runs=runs, ended=ended, is_whole=is_whole)
