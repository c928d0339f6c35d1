"""What a user asks of the output, and what every sink promises."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dbshuf.errors import UsageError
from dbshuf.units import MIB

if TYPE_CHECKING:
    from dbshuf.order.window import Window

FORMATS = ("txt", "txt.gz", "txt.zst", "parquet")

MAX_THREADS = 16

_FORMAT_OF_SUFFIX = {".gz": "txt.gz", ".zst": "txt.zst", ".parquet": "parquet"}


@dataclass(frozen=True)
class Target:
    """An output, as the plan has resolved it.

    path         the file, or the directory of shards; None is stdout
    format       one of FORMATS
    header       lines (with terminators) at the head of the file or of every shard
    terminator   the one byte that ends a line
    binary       Parquet: a BLOB column, any bytes; else VARCHAR, UTF-8 checked
    shards       number of equal ranges of the key; or cut by size, at most one of:
    shard_bytes    text bytes (with terminators, without the header) in one shard
    shard_rows     rows in one shard
    force        replace the shards of a directory that is not empty
    seed         for the metadata of a Parquet file
    locate       a row's key -> where the row came from, for messages
    threads      threads that compress; None: one for every core of this process
    """

    path: Path | None
    format: str
    header: bytes
    terminator: bytes
    binary: bool
    shards: int | None
    shard_bytes: int | None
    shard_rows: int | None
    force: bool
    seed: str
    locate: Callable[[int], str]
    threads: int | None = None

    @property
    def in_shards(self) -> bool:
        """Whether the output is a directory of shards."""
        return (self.shards, self.shard_bytes, self.shard_rows) != (None, None, None)


class Sink(Protocol):
    """Takes windows in order, then publishes all of them or nothing.

    text_bytes, rows   what `write` has taken so far; lines with their terminators
    """

    text_bytes: int
    rows: int

    def write(self, window: "Window") -> None:
        """Take the next rows; the window's buffers may be reused once this returns."""

    def finish(self) -> None:
        """Write what is left, fsync, and put the output in place."""

    def abort(self) -> None:
        """Remove all that is hidden; never raises; after `finish` it does nothing."""


def format_of(path: Path | None, given: str | None) -> str:
    """Return the format of an output: the one `given`, else by the end of its name.

    path     None for stdout; `.gz`, `.zst`, `.parquet` in any case, all else is text
    Raises   UsageError when `given` is none of FORMATS
    """
    if given is not None:
        if given not in FORMATS:
            raise UsageError(f"unknown format `{given}`", hint=f"one of {', '.join(FORMATS)}")
        return given
    suffix = "" if path is None else os.path.splitext(path.name)[1]
    return _FORMAT_OF_SUFFIX.get(suffix.lower(), "txt")


def sink_memory_bytes(target: Target, longest_line_bytes: int = 0) -> int:
    """Return the most memory that the sink of a target holds at once, with its code.

    Measured as growth of the peak RSS (pyarrow 26.0.1, 2 cores, lines of 9 bytes to 2 MB,
    text that compresses and text that does not): plain 5 MiB, gzip 11, zstd 14, Parquet
    76-117; and one line of 32, 128, 512 MiB in Parquet 152, 555, 2168.
    """
    if target.format == "txt.gz":
        return (8 + 2 * compressing_threads(target)) * MIB
    if target.format == "parquet":
        return 128 * MIB + max(longest_line_bytes - 16 * MIB, 0) * 17 // 4
    return 16 * MIB if target.format == "txt.zst" else 8 * MIB


def compressing_threads(target: Target) -> int:
    """Return how many threads gzip takes; one makes 42 MB/s, so 16 keep a disk busy."""
    if target.threads is not None:
        return min(target.threads, MAX_THREADS)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, MAX_THREADS)
