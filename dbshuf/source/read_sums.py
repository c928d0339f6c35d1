"""Checksums of the bytes of inputs as they lie there, of stretches of them, beside the reading.

lines of a plain file    the bytes of the lines that a worker has read at once
front to back            a compressed file, CSV: from its first byte as far as it was read
Parquet                  the columns of a row group, just before they are read; and the footer
plain Arrow files        record batches, likewise, where all columns are read

Other inputs have none: databases, Arrow files of which some columns are read, objects (which have
a version). What is made of these is made anew where a file may have been written to.
A checksum is a CRC-32: 0.27 ns a byte, 4 % of the CPU time of a run (zlib 1.2.13, EPYC, two busy
cores, November 2026).
"""

import os
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dbshuf.base.block_io import U8
from dbshuf.source.byte_reader import RawInput, SeenInput
from dbshuf.units import MIB

I64 = npt.NDArray[np.int64]


class Stretch(NamedTuple):
    """Bytes [begin, end) of an input, and their CRC-32."""

    ordinal: int
    begin: int
    end: int
    crc32: int


def crc32_of(path: str, place: Stretch, seen: Callable[[int], None] = lambda count: None) -> int:
    """Return the CRC-32 of a stretch as it is in a file now.

    seen    is told how many bytes were read
    Raises  OSError
    """
    buffer, at = np.empty(MIB, np.uint8), place.begin
    crc32 = 0
    with open(path, "rb", buffering=0) as file:
        while count := os.preadv(file.fileno(), [buffer[: place.end - at].data], at):
            crc32 = zlib.crc32(buffer[:count].data, crc32)
            at += count
            seen(count)
    return crc32


class ReadSums:
    """Takes the sums of what one process reads; from several threads.

    A sum is made before the rows of its bytes are handed on.
    """

    def __init__(self) -> None:
        self._new: list[Stretch] = []
        self._open: set[_SummedInput] = set()
        self._lock = threading.Lock()

    def add(self, ordinal: int, begin: int, data: U8) -> None:
        """Sum data[...], the bytes of an input from `begin` on."""
        if len(data):
            self._have(Stretch(ordinal, begin, begin + len(data), zlib.crc32(data.data)))

    def add_read(self, ordinal: int, path: str, places: Iterable[tuple[int, int]]) -> None:
        """Read and sum bytes [begin, end) of a file, those that lie side by side in one.

        Raises  OSError
        """
        joined: list[list[int]] = []
        for begin, end in sorted(places):
            if joined and joined[-1][1] == begin:
                joined[-1][1] = end
            else:
                joined.append([begin, end])
        for begin, end in joined:
            stretch = Stretch(ordinal, begin, end, 0)
            self._have(stretch._replace(crc32=crc32_of(path, stretch)))

    def stream(self, ordinal: int, raw: RawInput) -> RawInput:
        """Return `raw`, an input from its first byte on, with what is read of it summed."""
        summed = _SummedInput(ordinal, raw, self._ended)
        with self._lock:
            self._open.add(summed)
        return summed

    def take(self) -> list[Stretch]:
        """Return what is new since the last call; of what goes on front to back, all of it."""
        with self._lock:
            taken, self._new = self._new, []
            return taken + [stretch for one in self._open if (stretch := one.grown()) is not None]

    def _have(self, stretch: Stretch) -> None:
        with self._lock:
            self._new.append(stretch)

    def _ended(self, summed: "_SummedInput") -> None:
        with self._lock:
            if summed in self._open:
                self._open.remove(summed)
                stretch = summed.grown()
                self._new += [] if stretch is None else [stretch]


class _SummedInput(SeenInput):
    """An input of which all that is read is summed."""

    def __init__(
        self, ordinal: int, raw: RawInput, on_close: "Callable[[_SummedInput], None]"
    ) -> None:
        super().__init__(raw, self._add)
        self._ordinal, self._on_close = ordinal, on_close
        self._read = 0, 0  # how far, and the CRC-32 up to there
        self._told_end = 0
        self.close = self._close

    def grown(self) -> Stretch | None:
        """Return all that was read, if there is more of it than at the last call."""
        end, crc32 = self._read
        if end == self._told_end:
            return None
        self._told_end = end
        return Stretch(self._ordinal, 0, end, crc32)

    def _close(self) -> None:
        self._on_close(self)
        self._raw.close()

    def _add(self, data: bytes | memoryview) -> None:
        end, crc32 = self._read
        self._read = end + len(data), zlib.crc32(data, crc32)


class SealedSums:
    """What earlier processes have taken."""

    def __init__(self) -> None:
        self._parts: list[I64] = []

    def add(self, stretches: Sequence[Sequence[int]]) -> None:
        """Take in what a `ReadSums.take` has returned."""
        if stretches:
            self._parts.append(np.array(stretches, np.int64))

    def drop(self, ordinals: Iterable[int]) -> None:
        """Forget those of some inputs."""
        gone = np.array(list(ordinals), np.int64)
        self._parts = [part[~np.isin(part[:, 0], gone)] for part in self._parts]

    def of(self, ordinals: Iterable[int]) -> I64:
        """Return the stretches of some inputs, in their order: int64, shape (stretches, 4).

        A row has what a `Stretch` has. Of those that begin at one place there is the longest.
        """
        wanted = np.array(list(ordinals), np.int64)
        parts = [part[np.isin(part[:, 0], wanted)] for part in self._parts]
        found = np.concatenate([np.empty((0, len(Stretch._fields)), np.int64), *parts])
        found = found[np.lexsort((found[:, 2], found[:, 1], found[:, 0]))]
        is_longest = np.ones(len(found), np.bool_)
        is_longest[:-1] = np.any(found[1:, :2] != found[:-1, :2], axis=1)
        longest: I64 = found[is_longest]
        return longest
