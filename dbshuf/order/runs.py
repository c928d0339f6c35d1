"""Where partitioned rows wait for their turn: memory, a temporary file, or one then the other."""

import contextlib
import errno
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dbshuf.base.block_io import ALIGN, STAGE_BYTES, U8, BlockFile, aligned_buffer, round_up
from dbshuf.base.layout import store_page_bytes
from dbshuf.errors import TempSpaceShort, TempUnusable
from dbshuf.units import human

# Reads of the file at once, and of them for one caller. Slices of 250 kB came in three quarters
# of the time that one after the other took with three workers (1 GB with --where at 512 MB).
_READERS = 8
_SIDE_BY_SIDE = 4


class Read(NamedTuple):
    """Bytes to read: into `view` (aligned), from `offset` (a multiple of ALIGN) of an address."""

    view: U8
    address: int
    offset: int


class Store:
    """Bytes at addresses that only grow: the first `memory_bytes` in memory, the rest in a file.

    An address is a multiple of ALIGN, or the complement of one in the file. Several threads may
    write and read at once.
    """

    _hint = "pass --temp-dir DIR; no output was published"

    def __init__(self, memory_bytes: int, temp_file: Path) -> None:
        self._page_bytes = store_page_bytes(memory_bytes)
        self._memory_limit = memory_bytes // self._page_bytes * self._page_bytes
        self._pages: list[U8] = []
        self._path = temp_file
        self._shown = temp_file.parent.parent
        self._file: BlockFile | None = None
        self._lock = threading.Lock()
        self._memory_used = 0
        self._file_used = 0
        self._moved_to = 0  # where in the file what waited in memory is, once there are no pages
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="dbshuf-temp")

    def reserve(self, size: int) -> int:
        """Return the address of `size` new bytes, negative if they lie in the file."""
        size = round_up(size)
        with self._lock:
            if not self._file_used and self._memory_used + size <= self._memory_limit:
                address = self._memory_used
                self._memory_used += size
                while len(self._pages) * self._page_bytes < self._memory_used:
                    self._pages.append(aligned_buffer(self._page_bytes))
                return address
            return ~self._reserve_in_file(size)

    def _reserve_in_file(self, size: int) -> int:
        if self._file is None:
            with self._in_words():
                self._file = BlockFile(self._path)
        offset = self._file_used
        self._file_used += size
        return offset

    def leave_memory(self) -> None:
        """Move what waits in memory to the file, where all goes from now on; nobody writes."""
        self._memory_limit = 0
        if not self._pages:
            return
        self._moved_to = self._reserve_in_file(len(self._pages) * self._page_bytes)
        assert self._file is not None
        with self._in_words():
            for number, page in enumerate(self._pages):
                self._file.write_at(page, self._moved_to + number * self._page_bytes)
        self._pages.clear()

    def write(self, block: U8, address: int, offset: int) -> None:
        """Write at `offset` of an address; what goes to the file in whole aligned blocks."""
        if address >= 0:
            self._each_page(block, address + offset, into_page=True)
            return
        assert self._file is not None
        with self._in_words():
            self._file.write_at(block, ~address + offset)

    def read(self, reads: Sequence[Read]) -> None:
        """Fill all views; those from the file side by side, since a disk is faster so."""
        in_file = []
        for one in reads:
            if one.address < 0:
                in_file.append(one)
            elif not self._pages:
                in_file.append(Read(one.view, ~(self._moved_to + one.address), one.offset))
            else:
                self._each_page(one.view, one.address + one.offset, into_page=False)
        groups = [in_file[first::_SIDE_BY_SIDE] for first in range(_SIDE_BY_SIDE)]
        begun = [self._readers.submit(self._read_file, group) for group in groups if group]
        wait(begun)  # all of them: an error must not leave one that still fills its view
        for future in begun:
            future.result()

    def _read_file(self, reads: Sequence[Read]) -> None:
        assert self._file is not None
        with self._in_words():
            for view, address, offset in reads:
                if self._file.read_at(view, ~address + offset) < len(view):
                    raise OSError(errno.EIO, "the temporary file is shorter than what was written")

    def _each_page(self, block: U8, start: int, *, into_page: bool) -> None:
        done = 0
        while done < len(block):
            page, inside = divmod(start + done, self._page_bytes)
            count = min(len(block) - done, self._page_bytes - inside)
            stored, given = self._pages[page][inside : inside + count], block[done : done + count]
            if into_page:
                stored[:] = given
            else:
                given[:] = stored
            done += count

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """Say what the system refused the temporary file."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise TempSpaceShort(
                    f"temporary directory `{self._shown}` is full after {human(self._file_used)}",
                    hint=f"free space there or {self._hint}",
                ) from error
            raise TempUnusable(
                f"temporary directory `{self._shown}`: {error.strerror or error}",
                hint=self._hint,
            ) from error

    def release(self) -> None:
        """Begin to give back memory and space, beside what the caller does: nothing is read again.

        To remove a file of 0.7 GB took 0.24 s (ext4).
        """
        self._readers.submit(self._remove)

    def close(self) -> None:
        """Give back the memory and the file's space, if `release` has not."""
        self._readers.shutdown(cancel_futures=True)
        self._remove()

    def _remove(self) -> None:
        self._pages.clear()
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)


class RunWriter:
    """One run: bytes appended through an aligned stage to a reserved address."""

    def __init__(self, store: Store, stage: U8) -> None:
        self._store, self._stage = store, stage
        self._address = self._written = self._staged = 0

    def begin(self, size: int) -> int:
        """Reserve a new run of `size` bytes and return its address."""
        self._address, self._written, self._staged = self._store.reserve(size), 0, 0
        return self._address

    def append(self, data: U8) -> None:
        """Append bytes to the run."""
        if self._address >= 0:  # in memory: no stage is needed
            self._store.write(data, self._address, self._written)
            self._written += len(data)
            return
        done = 0
        while done < len(data):
            count = min(len(data) - done, len(self._stage) - self._staged)
            self._stage[self._staged : self._staged + count] = data[done : done + count]
            self._staged += count
            done += count
            if self._staged == len(self._stage):
                self._flush(self._staged)

    def end(self) -> None:
        """Write what is left of the run."""
        tail = round_up(self._staged)
        self._stage[self._staged : tail] = 0
        self._flush(tail)

    def _flush(self, size: int) -> None:
        if size:
            self._store.write(self._stage[:size], self._address, self._written)
        self._written += size
        self._staged = 0


def new_stage() -> U8:
    """Return the stage of one writer."""
    return aligned_buffer(STAGE_BYTES)


def aligned_span(begin: int, end: int) -> tuple[int, int]:
    """Return [begin, end) widened to whole aligned blocks."""
    return begin // ALIGN * ALIGN, round_up(end)


def as_bytes(array: npt.NDArray[np.generic]) -> U8:
    """Return the bytes of a contiguous array as uint8, without a copy."""
    return array.view(np.uint8)
