"""What a user asks of the output, and what every sink promises."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dbshuf.units import MIB

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from dbshuf.base.window import AnyWindow

    Members = npt.NDArray[np.int64]

MAX_THREADS = 16
_MAX_STEPPING_THREADS = 4

# Of rows as cuts count them. There are two groups in memory, gathered and encoded; 16 MiB
# are 114,000 lines of 147 bytes, near the 122,880 rows that DuckDB reads at a time.
ROW_GROUP_BYTES = 16 * MIB
GROUP_COPIES = 3  # of a group that is encoded: its rows, its pages, and their bytes
_GROUPS_AT_ONCE_BYTES = 64 * MIB  # of rows, that may be encoded at the same time


@dataclass(frozen=True)
class Target:
    """An output, as the plan has resolved it.

    path         the file, or the directory of shards; None is stdout
    format       one of `formats.FORMATS`
    header       lines (with terminators) at the head of the file or of every shard of text
    terminator   the one byte that ends a line of text
    binary       lines to Parquet, Arrow: a BLOB column, any bytes; else VARCHAR, UTF-8
    shards       number of equal ranges of the key; or cut by size, at most one of:
    shard_bytes    of the file of one shard, about, as `cuts.FileCut`
    shard_rows     rows in one shard
    force        replace the shards of a directory that is not empty
    seed         for the metadata of a Parquet or Arrow file
    locate       a row's key -> where the row came from, for messages
    threads      threads that compress; None: one for every core of this process
    memory_bytes  what the process may have; None: enough
    schema       of the rows; None: they are lines
    written      the same columns as Parquet and Arrow are to have them; None: as they are
    holds_json   whether the one column of the rows is JSON, the text of an object a row
    compression  of Parquet and Arrow, as `formats.codec_of` has it; of text, `format` says it
    row_group_bytes  of Parquet; as `cuts.counted_bounds`; None: ROW_GROUP_BYTES
    split_names  of the splits, each an output of its own; empty: there is one
    member_of    a window -> int64, shape (rows,): the number of each row's split
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
    memory_bytes: int | None = None
    schema: "pa.Schema | None" = None
    written: "pa.Schema | None" = None
    holds_json: bool = False
    compression: str | None = None
    row_group_bytes: int | None = None
    split_names: tuple[str, ...] = ()
    member_of: "Callable[[AnyWindow], Members] | None" = None

    @property
    def files(self) -> list[Path]:
        """The files that it names, where it is no directory: one, or one of each split."""
        if self.path is None:
            return []
        path = self.path
        return [split_path(path, name) for name in self.split_names] or [path]

    @property
    def in_shards(self) -> bool:
        """Whether the output is a directory of shards."""
        return (self.shards, self.shard_bytes, self.shard_rows) != (None, None, None)


def split_path(path: Path, name: str) -> Path:
    """Return the path of a split's file: `out.train.txt.gz` for `out.txt.gz`."""
    suffixes = path.suffixes[-2:] if path.suffix.lower() in {".gz", ".zst"} else path.suffixes[-1:]
    suffix = "".join(suffixes)
    stem = path.name[: len(path.name) - len(suffix)]
    return path.with_name(f"{stem}.{name}{suffix}")


class Sink(Protocol):
    """Takes windows in order, then publishes all of them or nothing.

    text_bytes, rows   what `write` has taken so far; lines with their terminators
    """

    text_bytes: int
    rows: int

    def write(self, window: "AnyWindow") -> None:
        """Take the next rows; the window is the sink's, and nothing writes to its memory."""

    def finish(self) -> None:
        """Write what is left, fsync, and put the output in place."""

    def abort(self) -> None:
        """Remove all that is hidden; never raises; after `finish` it does nothing."""


def row_group_bytes(target: Target) -> int:
    """Return the most bytes of rows in a row group, as cuts count them."""
    return ROW_GROUP_BYTES if target.row_group_bytes is None else target.row_group_bytes


def compressing_threads(target: Target) -> int:
    """Return how many threads gzip takes; one makes 42 MB/s, so 16 keep a disk busy."""
    if target.threads is not None:
        return min(target.threads, MAX_THREADS)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, MAX_THREADS)


def stepping_threads(target: Target) -> int:
    """Return how many threads make CSV or JSON of rows; one makes 200-500 MB/s."""
    return min(compressing_threads(target), _MAX_STEPPING_THREADS)


def grouping_threads(target: Target) -> int:
    """Return how many threads encode groups of Parquet; one makes 280 MB/s with zstd.

    Splits are open all at once, and large groups take much memory: these have one thread.
    More than one take an eighth of what the process may have at most.
    """
    if target.split_names:
        return 1
    group = row_group_bytes(target)
    fitting = _GROUPS_AT_ONCE_BYTES // group
    if target.memory_bytes is not None:
        fitting = min(fitting, 1 + target.memory_bytes // 8 // (GROUP_COPIES * group))
    return max(min(compressing_threads(target), fitting), 1)
