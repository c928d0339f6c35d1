"""Which rows two sets do not share: rows of some ranges of the hash, counted by their hashes.

A row of the inputs counts 1, one of the outputs -1. They wait in memory; where they are too many,
those of one hash are merged, and what does not even out is appended to a temporary file, by
partitions of the hash that fit into memory one by one.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dbshuf.base.key import U64
from dbshuf.base.row_hash import Hashes
from dbshuf.errors import TempSpaceShort, TempUnusable
from dbshuf.pipeline.verify.totals import I64, bucket_of

_NOWHERE = np.uint64((1 << 64) - 1)
# A row that waits has two words of hash, a count and an id; while it is merged also its number,
# the same in order, and what is made of groups.
_ROW_BYTES = 160
_STORED_BYTES = 32
_MOST_PARTITIONS = 4096
_FILL = 0.5  # of the room that an average partition takes


@dataclass(frozen=True)
class Entry:
    """Hashes with what they count: shape (hashes,) each.

    net  rows of the inputs less rows of the outputs
    id_  the least id of those on the side that has more
    """

    hashes: Hashes
    net: I64
    id_: U64


class Differences:
    """The rows of some buckets, counted; `add` in any thread."""

    def __init__(
        self, wanted: npt.NDArray[np.bool_], rows: int, room_bytes: int, folder: Path
    ) -> None:
        """Take rows of the buckets that are `wanted`, shape (totals.BUCKETS,).

        rows        about how many will come, of both sides
        room_bytes  of memory
        folder      for what does not fit
        """
        self._wanted, self._folder = wanted, folder
        self._most_rows = max(room_bytes // _ROW_BYTES, 2)
        self._step = self._most_rows // 2  # what is left by a settling is no more than that
        partitions = int(rows / (self._most_rows * _FILL)) + 1
        self._partitions = min(partitions, _MOST_PARTITIONS)
        self._lock = threading.Lock()
        self._waiting: list[Entry] = []
        self._rows = 0
        self._spilled: _Spilled | None = None
        # All is merged by one thread: of what a thread frees, the C library keeps up to 32 MiB
        # for that thread alone, which of every reader would be as much as the room itself.
        self._merger = ThreadPoolExecutor(1)

    def add(self, hashes: Hashes, ids: U64, sign: int) -> None:
        """Count rows: 1 of the inputs, -1 of the outputs. Raises TempSpaceShort, TempUnusable."""
        rows = np.flatnonzero(self._wanted[bucket_of(hashes).astype(np.intp)])
        if not len(rows):
            return
        for first in range(0, len(rows), self._step):
            part = rows[first : first + self._step]
            taken = Entry(hashes.take(part), np.full(len(part), sign, np.int64), ids[part])
            with self._lock:
                if self._rows + len(part) > self._most_rows:
                    self._merger.submit(self._settle, self._most_rows - self._step).result()
                self._waiting.append(taken)
                self._rows += len(part)

    def found(self) -> Iterator[Entry]:
        """Yield what does not even out, a partition at a time."""
        if self._spilled is None:
            yield self._merger.submit(_merged, self._waiting).result()
            return
        if self._waiting:
            self._merger.submit(self._settle, 0).result()
        for partition in range(self._partitions):
            yield self._merger.submit(self._merged_partition, partition).result()

    def close(self) -> None:
        """Give the disk back."""
        self._merger.shutdown()
        if self._spilled is not None:
            self._spilled.close()

    def _merged_partition(self, partition: int) -> Entry:
        assert self._spilled is not None
        return _merged([self._spilled.read(partition)])

    def _settle(self, most_rows: int) -> None:
        """Merge what waits, and spill it if more than so many rows are left."""
        merged = _merged(self._waiting)
        self._waiting, self._rows = [merged], len(merged.net)
        if self._rows > most_rows:
            if self._spilled is None:
                self._spilled = _Spilled(self._folder / "differences", self._partitions)
            self._spilled.append(merged)
            self._waiting, self._rows = [], 0


class _Spilled:
    """Entries in a temporary file, (high, low, net, id) each, by partitions of the hash."""

    def __init__(self, path: Path, partitions: int) -> None:
        self._path, self._partitions = path, partitions
        self._extents: list[list[tuple[int, int]]] = [[] for _ in range(partitions)]
        self._end = 0
        with self._faults_told():
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)

    def append(self, entry: Entry) -> None:
        """Write entries, which ascend by their hashes."""
        table = np.empty((len(entry.net), 4), np.uint64)
        table[:, 0], table[:, 1] = entry.hashes
        table[:, 2], table[:, 3] = entry.net.view(np.uint64), entry.id_
        parts = ((table[:, 0] >> np.uint64(32)) * np.uint64(self._partitions)) >> np.uint64(32)
        bounds = np.searchsorted(parts, np.arange(self._partitions + 1, dtype=np.uint64))
        for partition in np.flatnonzero(np.diff(bounds)).tolist():
            first, last = int(bounds[partition]), int(bounds[partition + 1])
            place = self._end + first * _STORED_BYTES
            self._extents[partition].append((place, (last - first) * _STORED_BYTES))
        with self._faults_told():
            left = table.data.cast("B")
            while left:
                count = os.pwrite(self._file, left, self._end)
                self._end += count
                left = left[count:]

    def read(self, partition: int) -> Entry:
        """Return the entries of a partition, in any order."""
        with self._faults_told():
            data = b"".join(
                os.pread(self._file, size, place) for place, size in self._extents[partition]
            )
        if len(data) != sum(size for _, size in self._extents[partition]):
            raise TempUnusable(f"`{self._path}` is cut short", hint="pass another --temp-dir")
        table = np.frombuffer(data, np.uint64).reshape(-1, 4)
        return Entry(
            Hashes(table[:, 0], table[:, 1]), table[:, 2].copy().view(np.int64), table[:, 3]
        )

    def close(self) -> None:
        os.close(self._file)

    @contextlib.contextmanager
    def _faults_told(self) -> Iterator[None]:
        """Turn errors of the system into those of the temporary directory."""
        try:
            yield
        except OSError as error:
            where = f"temporary directory `{self._path.parent.parent}`: {error.strerror}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                hint = "free space there or pass --temp-dir DIR; a row that differs takes 32 bytes"
                raise TempSpaceShort(where, hint=hint) from error
            raise TempUnusable(where, hint="pass another --temp-dir") from error


def _merged(parts: list[Entry]) -> Entry:
    """Return one entry a hash, ascending, without those whose count is 0."""
    empty = np.zeros(0, np.uint64)
    if not sum(len(one.net) for one in parts):
        return Entry(Hashes(empty, empty), np.zeros(0, np.int64), empty)
    high, low, ids = (
        np.concatenate(lanes)
        for lanes in zip(*((p.hashes.high, p.hashes.low, p.id_) for p in parts), strict=True)
    )
    net = np.concatenate([one.net for one in parts])
    order = np.lexsort((low, high))
    high, low, ids, net = high[order], low[order], ids[order], net[order]
    is_new = np.concatenate([[True], (high[1:] != high[:-1]) | (low[1:] != low[:-1])])
    firsts = np.flatnonzero(is_new)
    sums = np.add.reduceat(net, firsts)
    ours = np.minimum.reduceat(np.where(net > 0, ids, _NOWHERE), firsts)
    theirs = np.minimum.reduceat(np.where(net < 0, ids, _NOWHERE), firsts)
    left = np.flatnonzero(sums)
    firsts, sums = firsts[left], sums[left]
    id_ = np.where(sums > 0, ours[left], theirs[left])
    return Entry(Hashes(high[firsts], low[firsts]), sums, id_)
