"""Which bucket a row goes to, and where the slices of each lie: by key, or by prefix and key.

The key is uniform, so buckets of it are equal ranges, which half of its bits tell. A prefix has
any distribution, and many rows may have the same: its buckets begin where they are told to, and
one that does not fit is cut between the least and the greatest prefix in it. Once these are one,
what is left is an order by the key.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from dbshuf.base.block_io import ALIGN
from dbshuf.base.key import U64
from dbshuf.base.row_batch import I64
from dbshuf.order.run_format import Cargo, Slice, Slices
from dbshuf.order.run_index import RunIndex, StoredRun
from dbshuf.order.runs import RunWriter

U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
Cuts = Callable[[int], U64 | None]  # number of buckets -> where all but the first begin
_NO_PREFIX = np.uint64(0xFFFFFFFFFFFFFFFF)


class Partition(ABC):
    """Rows of one part of the order, stored by ranges of it.

    count   buckets
    """

    def __init__(self, count: int) -> None:
        self.count = count
        # Of every run its address, and by range: the bytes before its slice, its rows, and
        # where an earlier process has written it the checksum of the slice.
        self._runs: list[tuple[int, U32, U32, U32 | None]] = []
        self._rows: I64 = np.zeros(count, np.int64)
        self._bytes: I64 = np.zeros(count, np.int64)
        self._largest: I64 = np.zeros(count, np.int64)  # slice of a run
        self._lock = threading.Lock()

    @abstractmethod
    def can_split(self, number: int) -> bool:
        """Whether a bucket of several rows can be partitioned again."""

    @abstractmethod
    def split(self, number: int, wanted: int) -> "Partition":
        """Return an empty partition for the rows of a bucket, of about so many buckets."""

    @abstractmethod
    def parts_of(self, cargo: Cargo) -> U16:
        """Return the bucket of each row."""

    @abstractmethod
    def saw(self, cargo: Cargo, order: I64, ends: I64) -> None:
        """Know rows; in `order` they are those of bucket after bucket, which end at `ends`."""

    def add(self, cargo: Cargo, writer: RunWriter, *, seal: bool = False) -> StoredRun | None:
        """Store a batch of rows in any order as one run.

        seal     let the run end with its index, and return what finds it again
        """
        rows, sizes = self.arrange(cargo)
        return self.store(cargo, rows, sizes, writer, seal=seal)

    def arrange(self, cargo: Cargo) -> tuple[I64, I64]:
        """Put rows in any order into a slice for each bucket; return the slices' rows and bytes."""
        parts = self.parts_of(cargo)
        rows = np.bincount(parts, minlength=self.count)
        row_ends = np.concatenate([[0], np.cumsum(rows)])
        order = np.argsort(parts, kind="stable")
        self.saw(cargo, order, row_ends)
        return rows, cargo.arrange(order, row_ends)

    def store(
        self, slices: Slices, rows: I64, sizes: I64, writer: RunWriter, *, seal: bool = False
    ) -> StoredRun | None:
        """Store slices of so many rows and bytes as one run; else as `add`."""
        starts = np.concatenate([[0], np.cumsum(sizes)])
        index = RunIndex.of(starts, rows) if seal else None
        address = writer.begin(int(starts[-1]) + (0 if index is None else index.size_bytes))
        for bucket in np.flatnonzero(rows).tolist():
            for part in slices.parts(bucket):
                writer.append(part)
                if index is not None:
                    index.saw(bucket, part)
        if index is not None:
            writer.append(index.encoded())
        writer.end()
        self._have(address, starts.astype(np.uint32), rows.astype(np.uint32), None)
        return None if index is None else index.stored_at(address)

    def adopt(self, address: int, index: RunIndex) -> None:
        """Have a run that is stored already."""
        self._have(address, index.starts, index.rows, index.sums)

    def _have(self, address: int, starts: U32, rows: U32, sums: U32 | None) -> None:
        at = starts.astype(np.int64)
        spans = -(-at[1:] // ALIGN) * ALIGN - at[:-1] // ALIGN * ALIGN
        with self._lock:
            self._runs.append((address, starts, rows, sums))
            self._rows += rows
            self._bytes += np.where(rows > 0, spans, 0)
            np.maximum(self._largest, np.diff(at), out=self._largest)

    def rows_of(self, bucket: int) -> int:
        return int(self._rows[bucket])

    def bytes_of(self, bucket: int) -> int:
        """Return the bytes that loading a bucket takes in its buffer."""
        return int(self._bytes[bucket])

    def longest_in(self, bucket: int) -> int:
        """Return a bound on the bytes of each of a bucket's rows."""
        return int(self._largest[bucket])

    def slices(self, bucket: int) -> Iterator[Slice]:
        """Yield every slice that holds a bucket's rows."""
        for address, starts, rows, sums in self._runs:
            if rows[bucket]:
                begin, end = int(starts[bucket]), int(starts[bucket + 1])
                crc32 = None if sums is None else int(sums[bucket])
                yield Slice(address, begin, end, int(rows[bucket]), crc32)


class KeyPartition(Partition):
    """By equal ranges of the key.

    ranges  parts of the whole key space, at most 2^32; `first` is the one that bucket 0 is
    """

    def __init__(self, ranges: int, first: int, count: int) -> None:
        super().__init__(count)
        self.ranges, self.first = ranges, first

    def bucket_of(self, keys: U64) -> U16:
        """Return the bucket of each key: of its upper half alone, which ascends as it does.

        A range of a range of half a key is one of the finer ranges, so buckets can be split.
        """
        parts = keys >> np.uint64(32)
        parts *= np.uint64(self.ranges)
        parts >>= np.uint64(32)
        parts -= np.uint64(self.first)
        return parts.astype(np.uint16)

    def parts_of(self, cargo: Cargo) -> U16:
        return self.bucket_of(cargo.keys)

    def saw(self, cargo: Cargo, order: I64, ends: I64) -> None:
        """All is told by the number of a range."""

    def can_split(self, number: int) -> bool:
        return self.ranges < 1 << 31

    def split(self, number: int, wanted: int) -> Partition:
        """By the next bits of the key."""
        parts = max(min(wanted, (1 << 32) // self.ranges), 2)
        return KeyPartition(self.ranges * parts, (self.first + number) * parts, parts)


class _Bounds:
    """The least and the greatest word of the rows of each bucket."""

    def __init__(self, count: int) -> None:
        self._least: U64 = np.full(count, _NO_PREFIX, np.uint64)
        self._greatest: U64 = np.zeros(count, np.uint64)

    def saw(self, words: U64, ends: I64) -> None:
        """Know words in the order of their buckets, which end at `ends`, from 0."""
        buckets = np.flatnonzero(np.diff(ends))
        if not len(buckets):
            return
        starts = ends[buckets]
        least, greatest = np.minimum.reduceat(words, starts), np.maximum.reduceat(words, starts)
        self._least[buckets] = np.minimum(self._least[buckets], least)
        self._greatest[buckets] = np.maximum(self._greatest[buckets], greatest)

    def of(self, number: int) -> tuple[int, int]:
        """Return both of a bucket that has rows."""
        return int(self._least[number]), int(self._greatest[number])


class PrefixPartition(Partition):
    """By ranges of the prefix, which begin where `cuts` says once the first rows are there.

    has_even_keys  whether the keys of one prefix are uniform, too
    """

    def __init__(self, count: int, cuts: Cuts, *, has_even_keys: bool = True) -> None:
        super().__init__(count)
        self._cuts, self._begins = cuts, np.empty(0, np.uint64)
        self._is_cut, self._has_even_keys = False, has_even_keys
        self._prefixes, self._keys = _Bounds(count), _Bounds(count)

    def parts_of(self, cargo: Cargo) -> U16:
        assert cargo.prefixes is not None
        with self._lock:
            if not self._is_cut:
                begins = self._cuts(self.count)
                self._begins = equal_cuts(self.count) if begins is None else begins
                self._is_cut = True
        return np.searchsorted(self._begins, cargo.prefixes, side="right").astype(np.uint16)

    def saw(self, cargo: Cargo, order: I64, ends: I64) -> None:
        assert cargo.prefixes is not None
        prefixes = cargo.prefixes.take(order)
        with self._lock:
            self._prefixes.saw(prefixes, ends)
            if not self._has_even_keys:
                self._keys.saw(cargo.keys.take(order), ends)

    def can_split(self, number: int) -> bool:
        return True

    def split(self, number: int, wanted: int) -> Partition:
        """Between the least and the greatest prefix; by the key where they are one."""
        least, greatest = self._prefixes.of(number)
        if least == greatest:
            parts = max(wanted, 2)
            if self._has_even_keys:
                return KeyPartition(parts, 0, parts)
            return PlacePartition(parts, *self._keys.of(number))
        parts = max(min(wanted, greatest - least + 1), 2)
        return PrefixPartition(
            parts,
            lambda count: equal_cuts(count, least, greatest + 1),
            has_even_keys=self._has_even_keys,
        )


class PlacePartition(Partition):
    """By equal ranges of keys from the least to the greatest: of those that are rows' own places.

    Places in a file are about even, and of several files they lie far apart, so what is split
    again is split between its own bounds.
    """

    def __init__(self, count: int, least: int, greatest: int) -> None:
        super().__init__(count)
        self._begins = equal_cuts(count, least, greatest + 1)
        self._keys = _Bounds(count)

    def parts_of(self, cargo: Cargo) -> U16:
        return np.searchsorted(self._begins, cargo.keys, side="right").astype(np.uint16)

    def saw(self, cargo: Cargo, order: I64, ends: I64) -> None:
        keys = cargo.keys.take(order)
        with self._lock:
            self._keys.saw(keys, ends)

    def can_split(self, number: int) -> bool:
        least, greatest = self._keys.of(number)
        return least < greatest

    def split(self, number: int, wanted: int) -> Partition:
        least, greatest = self._keys.of(number)
        return PlacePartition(max(min(wanted, greatest - least + 1), 2), least, greatest)


def equal_cuts(count: int, first: int = 0, end: int = 1 << 64) -> U64:
    """Return where all but the first of `count` equal ranges of [first, end) begin."""
    size = end - first
    return np.array([first + -(-part * size // count) for part in range(1, count)], np.uint64)
