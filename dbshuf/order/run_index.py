"""The index of a run that is to outlive its process: stored behind its slices, with their sums."""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dbshuf.base.block_io import ALIGN, U8, aligned_buffer
from dbshuf.order.run_format import Slice
from dbshuf.order.runs import Read, Store, aligned_span

U32 = npt.NDArray[np.uint32]


class RunDamaged(Exception):
    """Runs are not what was sealed: their rows must be read and stored again."""

    def __init__(self, addresses: list[int]) -> None:
        super().__init__(addresses)
        self.addresses = addresses


@dataclass(frozen=True)
class StoredRun:
    """What finds a run again: where it is, the bytes of its slices, the checksum of its index."""

    address: int
    slice_bytes: int
    index_crc32: int


@dataclass(frozen=True)
class RunIndex:
    """What is in a run, by range.

    starts  uint32, shape (ranges + 1,): the bytes before each slice
    rows    uint32, shape (ranges,)
    sums    uint32, shape (ranges,): the CRC-32 of each slice
    """

    starts: U32
    rows: U32
    sums: U32

    @classmethod
    def of(cls, starts: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> "RunIndex":
        sums = np.zeros(len(rows), np.uint32)
        return cls(starts.astype(np.uint32), rows.astype(np.uint32), sums)

    @property
    def size_bytes(self) -> int:
        return self.starts.nbytes + self.rows.nbytes + self.sums.nbytes

    def saw(self, number: int, part: U8) -> None:
        """Count bytes into the checksum of a slice."""
        self.sums[number] = zlib.crc32(part.data, int(self.sums[number]))

    def encoded(self) -> U8:
        return np.concatenate([self.starts, self.rows, self.sums]).view(np.uint8)

    def stored_at(self, address: int) -> StoredRun:
        return StoredRun(address, int(self.starts[-1]), zlib.crc32(self.encoded().data))


def index_bytes(ranges: int) -> int:
    """Return the size of an index as it is stored."""
    return 4 * (3 * ranges + 1)


def read_index(store: Store, run: StoredRun, ranges: int) -> RunIndex:
    """Read the index of a run; Raises RunDamaged."""
    size = index_bytes(ranges)
    low, high = aligned_span(run.slice_bytes, run.slice_bytes + size)
    buffer = aligned_buffer(high - low + ALIGN)[: high - low]
    store.read([Read(buffer, run.address, low)])
    return decoded(buffer[run.slice_bytes - low :][:size].copy(), run, ranges)


def decoded(data: U8, run: StoredRun, ranges: int) -> RunIndex:
    """Return the index that these bytes are; Raises RunDamaged."""
    if zlib.crc32(data.data) != run.index_crc32:
        raise RunDamaged([run.address])
    numbers = data.view(np.uint32)
    return RunIndex(
        numbers[: ranges + 1], numbers[ranges + 1 : 2 * ranges + 1], numbers[2 * ranges + 1 :]
    )


def check_slice(one: Slice, data: U8) -> None:
    """Raise RunDamaged unless a slice is what was sealed."""
    if zlib.crc32(data.data) != one.crc32:
        raise RunDamaged([one.address])
