"""How a run's memory is divided: what the plan decides, and every part keeps to."""

import math
from dataclasses import dataclass

from dbshuf.units import MIB

WINDOW_BYTES = 4 * MIB  # text gathered at a time; its memory is used again while it is warm
WINDOW_ROWS = 1 << 18  # so that keys and offsets of the shortest lines stay small too
INDEX_BYTES = 12  # stored beside a line: its key and its length
KEY_BYTES = 8  # stored beside a typed row, whose columns take _COLUMN_BYTES more
PREFIX_BYTES = 8  # stored beside either, where rows have a first word of the order before the key
TABLE_BYTES = 8  # where a run keeps the rows of one range: start and count
ENGINE_BYTES = 4 * MIB  # DuckDB's blocks of a worker, beside those of rows (3 MB, 2.0.1)

# A row's share of what orders a bucket: key 8, length 4, place 4 and offset 4 as loaded; its
# number 4, and DuckDB's sorted rows 36, which its allocator keeps (measured: 36 a row and
# ENGINE_BYTES, duckdb 2.0.1); its number 8, key 8, place 4, length 4 and end 8 in order.
SORT_BYTES = 92

# A row's share of what partitions a piece: offset 4, key 8, length 4, range 2, its number in
# the order of ranges 8, and key 8 and length 4 in that order. With --where 8 + 8 more, for
# which of the lines it is. To find the order takes less than what comes after: numbers
# 8 + 8 and ranges 2 + 2.
PIECE_ROW_BYTES = 56

# What a row takes more in the two where it has a prefix: as loaded 8, in order 8, DuckDB's sorted
# rows 16; and in a piece its value 8, prefix 8, and prefix 8 in the order of ranges.
PREFIX_SORT_BYTES = 32
PREFIX_PIECE_BYTES = 24

# For what the allocators keep, thread stacks, and code that is loaded later; the peaks in
# tests/bench/runs/ stay below the cap with it.
SLACK_BYTES = 40 * MIB
VECTOR_ROWS = 2048  # that DuckDB makes at once, and packs (2.0.1)
MERGE_ROWS = 122_880  # rows that DuckDB's merge pins a thread, payload and all (2.0.0)
_RUN_BYTES = 6 * MIB  # that it pins of a run beside them, times its limit over the run's size
MOST_LONG_BYTES = 1 << 30  # offsets are int32
LEAST_PIECE_ROWS = 1 << 15


@dataclass(frozen=True)
class Layout:
    """How a run uses memory.

    base_bytes    resident when the plan was made, with slack, sink and engine
    store_bytes   rows that wait in memory rather than in a temporary file
    workers       threads that read and partition, and then order buckets
    buffer_bytes  what a worker reads at a time
    bucket_bytes  the largest usual bucket; where SQL leaves little to read with, it is larger,
                  since fewer buckets make larger reads of the temporary file
    piece_rows    lines that a worker partitions at a time
    long_bytes    for a line longer than a buffer; one at a time
    ranges        buckets; equal ranges of the key
    is_split      whether buckets are partitioned once more, since the tables of enough
                  ranges would not fit
    sort_bytes    shared by the buckets that are being ordered, beside the buffers
    ahead_bytes   windows that may wait for the sink
    spare_bytes   while rows are read: for one long line, and what SQL makes of it
    run_bytes     stored lines that a worker gathers for one run; 0: each piece is a run
    """

    base_bytes: int
    store_bytes: int
    workers: int
    buffer_bytes: int
    bucket_bytes: int
    piece_rows: int
    long_bytes: int
    ranges: int
    is_split: bool
    sort_bytes: int
    ahead_bytes: int
    spare_bytes: int = 0
    run_bytes: int = 0


def probe_layout() -> Layout:
    """Return what one worker needs to look at lines before there is a plan."""
    return Layout(
        base_bytes=0,
        store_bytes=0,
        workers=1,
        buffer_bytes=4 * MIB,
        bucket_bytes=4 * MIB,
        piece_rows=LEAST_PIECE_ROWS,
        long_bytes=64 * MIB,
        ranges=1,
        is_split=False,
        sort_bytes=MIB,
        ahead_bytes=MIB,
    )


def store_page_bytes(store_bytes: int) -> int:
    """Return the size of the pages in which a store of that size takes memory."""
    return 32 * MIB if store_bytes >= 256 * MIB else 2 * MIB


def merge_bytes(row_bytes: float, size: int) -> int:
    """Return the least limit (bytes) under which DuckDB's merge orders `size` bytes on a thread.

    It pins MERGE_ROWS rows and some blocks of every run, and the less it has, the more runs
    there are. Measured with rows of 147 bytes: 32-34 MiB for 100 MB, 43-46 for 300 and 58-61
    for 735; of 1,000 bytes 124-136 for 300 MB and 124-173 for 735 (duckdb 2.0.1).
    """
    pinned = MERGE_ROWS * row_bytes * 1.2
    return int((pinned + math.sqrt(pinned * pinned + 4 * _RUN_BYTES * size)) / 2)


def merge_threads(limit: int, row_bytes: float, threads: int, size: int = 0) -> int:
    """Return how many threads DuckDB's merge has memory for within its limit (bytes).

    size  of all rows, as far as it is known
    """
    pinned = int(MERGE_ROWS * row_bytes)
    share = pinned + _RUN_BYTES * size // max(limit, 1)
    return max(1, min(threads, limit // max(2 * pinned, share, 1)))
