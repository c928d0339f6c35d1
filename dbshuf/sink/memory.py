"""How many threads and how much memory a sink takes: part of the promise that the plan makes."""

import os
from dataclasses import dataclass, replace

from dbshuf.sink.output_format import codec_of
from dbshuf.sink.remote_path import RemotePath
from dbshuf.sink.target import Target
from dbshuf.units import MIB

MAX_THREADS = 16
_MAX_STEPPING_THREADS = 4

# Of rows as cuts count them. There are two groups in memory, gathered and encoded; 16 MiB
# are 114,000 lines of 147 bytes, near the 122,880 rows that DuckDB reads at a time. 128 MiB
# are what most readers are made for: fewer requests, a smaller footer, more to skip at once.
ROW_GROUP_BYTES, MOST_ROW_GROUP_BYTES = 16 * MIB, 128 * MIB
_GROUPS_SHARE = 5  # of the memory, that larger groups may take
_BLOOM_BYTES = 2 * MIB  # of a column of a group, which has 2^20 rows at most
PAGE_INDEX_BYTES = MIB  # of each of its two parts that wait in memory
GROUP_COPIES = 3  # of a group that is encoded: its rows, its pages, and their bytes
_GROUPS_AT_ONCE_BYTES = 64 * MIB  # of rows, that may be encoded at the same time
_LARGE_GROUPS_AT_ONCE = 4  # likewise, however large they are; one more takes memory that is named

# In MiB: fixed, for every thread that makes text of rows; and how often a row is held that
# is longer than the buffers. Growth of the peak RSS, largest of what was seen (pyarrow
# 26.0.1, 2 cores, 1-4 threads; lines of 9 bytes to 2 MB and rows of up to 200 columns, text
# that compresses and text that does not; one row of 64 and 200 MiB): text 5 and of rows 8-20,
# CSV 21-107 (two threads), JSON lines 31-122, Arrow 71, Parquet 122 and 47 for every thread
# more; long rows 1, 3.3, 5.1, 3.2, 4.1.
# A long row of Parquet has no statistics: it would be held four times more for them.
_TEXT, _TEXT_OF_ROWS = (8, 0, 0.0), (16, 4, 2.0)
_CSV, _JSON_LINES = (56, 32, 6.0), (40, 32, 6.0)
_COPIES_IN_PIECES = 1.0  # of a long row of CSV or JSON lines, whose columns are not nested
_ARROW, _PARQUET = (80, 0, 3.5), (96, 0, 5.0)
_STRONG_LEVEL = 3  # above it zstd and brotli hold more of what they have seen
_STRONG_MIB = 64

# Of uploads. Stores take 10,000 parts of an object; 8 MiB keep a connection busy, and four at
# once sent 570 MB/s (see remote/s3_upload.py).
_PART_BYTES, _MOST_UNKNOWN_PART_BYTES = 8 * MIB, 64 * MIB
_PARTS = 9_000  # that are planned for
_PARTS_AHEAD, _AHEAD_SHARE = 4, 16
_CONNECTION_BYTES = 2 * MIB

_LONG_ROW_BYTES = 1 * MIB  # from here on a row counts beside the buffers


def sink_memory_bytes(target: Target, longest_row_bytes: int = 0) -> int:
    """Return the most memory that the sink of a target holds at once, with its code.

    longest_row_bytes   as in the input; JSON lines and CSV of rows that are full of
                        characters to be escaped, a control character in JSON six times,
                        are not provided for beyond 1 MiB
    """
    if target.sides:  # their lines of a row are no longer than the row
        fixed_bytes = [sink_memory_bytes(one) for one in target.of_sides()]
        with_row = [sink_memory_bytes(one, longest_row_bytes) for one in target.of_sides()]
        return sum(fixed_bytes) + max(map(int.__sub__, with_row, fixed_bytes))
    kind, _, packing = target.format.partition(".")
    fixed, per_thread, copies = {
        "txt": _TEXT if target.schema is None else _TEXT_OF_ROWS,
        "csv": _CSV,
        "tsv": _CSV,
        "jsonl": _JSON_LINES,
        "arrow": _ARROW,
        "parquet": _PARQUET,
    }[kind]
    if target.holds_json:  # texts of objects
        copies = _TEXT_OF_ROWS[2]
    elif kind in ("csv", "tsv", "jsonl") and not _has_nested(target):
        copies = _COPIES_IN_PIECES
    held = fixed * MIB + per_thread * stepping_threads(target) * MIB
    held += _packing_bytes(target, kind, packing)
    if (
        kind in ("arrow", "parquet")
        and (codec_of(kind, target.compression)[1] or 0) > _STRONG_LEVEL
    ):
        held += _STRONG_MIB * MIB
        copies += 2
    if isinstance(target.path, RemotePath):
        sizes = upload_sizes(target)
        held += sizes.part_bytes + sizes.ahead * (sizes.part_bytes + _CONNECTION_BYTES)
    return held + int(copies * max(longest_row_bytes - _LONG_ROW_BYTES, 0))


def _packing_bytes(target: Target, kind: str, packing: str) -> int:
    """Return what compression of text, or row groups with their indexes, take."""
    if packing == "gz":
        return 2 * compressing_threads(target) * MIB
    if packing == "zst":
        return 8 * MIB
    if kind != "parquet":
        return 0
    bloom_bytes = len(target.bloom) * (1 + grouping_threads(target)) * _BLOOM_BYTES
    return _groups_bytes(target) + bloom_bytes + 2 * PAGE_INDEX_BYTES


def _has_nested(target: Target) -> bool:
    """Whether a row has lists, structs or maps, which are made text at once."""
    from pyarrow import types

    return any(types.is_nested(field.type) for field in target.schema or ())


@dataclass(frozen=True)
class UploadSizes:
    """How an object goes to a store.

    part_bytes  of every part but the last
    ahead       parts that are sent while the next is filled
    """

    part_bytes: int
    ahead: int

    def parts_of(self, size_bytes: int) -> int:
        """Return how many parts an object of that size has."""
        return max(-(-size_bytes // self.part_bytes), 1)


def upload_sizes(target: Target) -> UploadSizes:
    """Return the size of parts, so that there are fewer of them than stores allow.

    All parts of an object are equal, as some stores want them: so a size that is not known
    is taken to be what parts of a 64th of the memory make, 64 MiB at most.
    """
    memory = target.memory_bytes
    if target.object_bytes is None:
        wanted = _MOST_UNKNOWN_PART_BYTES if memory is None else memory // 64
        wanted = min(wanted, _MOST_UNKNOWN_PART_BYTES)
    else:
        wanted = -(-target.object_bytes // _PARTS)
    part = max(-(-wanted // MIB) * MIB, _PART_BYTES)
    ahead = _PARTS_AHEAD if memory is None else memory // _AHEAD_SHARE // part
    if target.split_names:
        ahead = 1
    return UploadSizes(part, max(min(ahead, _PARTS_AHEAD), 1))


def row_group_bytes(target: Target) -> int:
    """Return the most bytes of rows in a row group, as cuts count them."""
    return ROW_GROUP_BYTES if target.row_group_bytes is None else target.row_group_bytes


def fitting_row_group_bytes(target: Target) -> int:
    """Return the size of row groups that a target has room for, where nobody asked for one.

    It is the largest that leaves as many threads to encode as the smallest does. Where files
    are cut by their size it is the smallest, or what a shard holds would depend on memory.
    """
    if target.shard_bytes is not None:
        return ROW_GROUP_BYTES
    size, threads = MOST_ROW_GROUP_BYTES, _grouping_threads(target, ROW_GROUP_BYTES)
    room = (target.memory_bytes or 0) // _GROUPS_SHARE // max(len(target.split_names), 1)
    while size > ROW_GROUP_BYTES:
        sized = replace(target, row_group_bytes=size)
        if grouping_threads(sized) >= threads and _groups_bytes(sized) <= room:
            break
        size //= 2
    return size


def _groups_bytes(target: Target) -> int:
    """Return what all groups that are gathered and encoded at once take at most."""
    copies = 2 + GROUP_COPIES * (grouping_threads(target) - 1)
    return copies * row_group_bytes(target)


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
    return _grouping_threads(target, row_group_bytes(target))


def _grouping_threads(target: Target, group_bytes: int) -> int:
    if target.split_names:
        return 1
    fitting = _GROUPS_AT_ONCE_BYTES // group_bytes
    if target.memory_bytes is not None:
        room = 1 + target.memory_bytes // 8 // (GROUP_COPIES * group_bytes)
        fitting = min(max(fitting, _LARGE_GROUPS_AT_ONCE), room)
    return max(min(compressing_threads(target), fitting), 1)
