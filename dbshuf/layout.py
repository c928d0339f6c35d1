"""How a run splits the memory that the user named.

    cap = resident now + slack + sink + (store +) workers x arena     while reading
    cap = resident now + slack + sink + (store +) buckets + windows   while ordering

Everything that is allocated for long is counted here; the slack is for what is not.
"""

import math
from dataclasses import dataclass

from dbshuf.source.survey import Survey
from dbshuf.units import KIB, MIB

WINDOW_BYTES = 4 * MIB  # text gathered at a time; its memory is used again while it is warm
INDEX_BYTES = 12  # stored beside a line: its key and its length
SORT_BYTES = 56  # a row's share of the arrays that order a bucket
GATHER_BYTES = 64  # a row's share of the arrays that partition a batch

# What the allocators keep, thread stacks, code pages that are touched later. Measured as
# peak RSS minus the rest of the sum: 14 to 31 MB over the rows of the benchmark.
SLACK_BYTES = 40 * MIB
_WORKER_BYTES = 6 * WINDOW_BYTES  # stage, gathered windows and scratch beside an arena
_ARENA_ROW_BYTES = 4 + GATHER_BYTES
_AHEAD_BYTES = 6 * WINDOW_BYTES  # a whole bucket need not be ahead: windows are fast to make
_LEAST_ARENA_BYTES = 2 * MIB
_COMFORTABLE_ARENA_BYTES = 12 * MIB
_MOST_ARENA_BYTES = 1 << 30  # offsets are int32
_LEAST_PIECE_BYTES = 16 * MIB
_MOST_PIECE_BYTES = 96 * MIB
_SLICE_BYTES = 512 * KIB  # one read from the temporary file, at least; see blockio.py
_FILL = 0.7  # of a bucket's room that an average bucket takes
_UNKNOWN_RANGES = 256
_UNKNOWN_PIECE_BYTES = 48 * MIB
_MOST_RANGES = 1 << 14
_PAGE_BYTES = 32 * MIB


@dataclass(frozen=True)
class Layout:
    """How the partition uses memory.

    ranges        buckets; equal ranges of the key
    workers       threads that read and partition, and then that order buckets
    bucket_bytes  stored bytes above which a bucket is split again
    sort_bytes    memory that all buckets in work share
    ahead_bytes   windows that may wait for the sink
    """

    ranges: int
    workers: int
    bucket_bytes: int
    sort_bytes: int
    ahead_bytes: int


@dataclass(frozen=True)
class MemorySplit:
    """Where the bytes of --memory go.

    base_bytes   resident when the plan was made, with slack and sink
    store_bytes  rows kept in memory rather than in a temporary file
    arena_bytes  text that one worker holds while it reads; no line may be longer
    arena_rows   lines that it holds
    piece_bytes  text that it reads at once
    layout       of the partition
    """

    base_bytes: int
    store_bytes: int
    arena_bytes: int
    arena_rows: int
    piece_bytes: int
    layout: Layout


def stored_bytes(survey: Survey) -> int:
    """Return the bytes that all rows take while they wait, text and index."""
    text = survey.text_bytes or 0
    return int(text * (1 + INDEX_BYTES / survey.mean_line_bytes) * 1.01) + MIB


def split_memory(
    cap_bytes: int, base_bytes: int, survey: Survey, *, threads: int, store_bytes: int
) -> MemorySplit:
    """Divide a cap; the arenas come out under `_LEAST_ARENA_BYTES` if it is too small."""
    budget = cap_bytes - base_bytes - store_bytes
    workers = threads + (1 if store_bytes == 0 else 0)
    while workers > 1 and _arena_bytes(budget, workers, survey) < _COMFORTABLE_ARENA_BYTES:
        workers -= 1
    arena_bytes = min(_arena_bytes(budget, workers, survey), _MOST_ARENA_BYTES)
    piece_bytes = min(arena_bytes, _piece_bytes(survey))
    sort_bytes = max(budget - (_AHEAD_BYTES + workers * 2 * WINDOW_BYTES), MIB)
    per_row = survey.mean_line_bytes + INDEX_BYTES
    bucket_bytes = int(sort_bytes / workers / (1 + SORT_BYTES / per_row))
    bucket_bytes = max(min(bucket_bytes, int(_piece_bytes(survey) / _FILL)), 256 * KIB)
    return MemorySplit(
        base_bytes=base_bytes,
        store_bytes=store_bytes,
        arena_bytes=arena_bytes,
        arena_rows=int(piece_bytes / survey.mean_line_bytes * 1.25) + 1024,
        piece_bytes=piece_bytes,
        layout=Layout(
            ranges=_ranges(survey, bucket_bytes),
            workers=workers,
            bucket_bytes=bucket_bytes,
            sort_bytes=sort_bytes,
            ahead_bytes=_AHEAD_BYTES,
        ),
    )


def _piece_bytes(survey: Survey) -> int:
    """The bytes of a piece, and of an average bucket.

    Small ones stay in caches and touch less memory (a fresh page costs more than its
    copy), but total / piece slices of piece^2 / total bytes must be worth a read each.
    """
    if survey.text_bytes is None:
        return _UNKNOWN_PIECE_BYTES
    fitting = math.isqrt(stored_bytes(survey) * _SLICE_BYTES)
    return max(min(fitting, _MOST_PIECE_BYTES), _LEAST_PIECE_BYTES)


def _arena_bytes(budget: int, workers: int, survey: Survey) -> int:
    """The text that an arena holds if `workers` of them share the budget."""
    share = budget // workers - _WORKER_BYTES
    row_bytes = _ARENA_ROW_BYTES * 1.25 / survey.mean_line_bytes
    # Arrays a row are made for a piece at a time, whatever the arena holds beyond it.
    whole = share / (1 + row_bytes)
    return int(max(whole, share - _piece_bytes(survey) * row_bytes))


def _ranges(survey: Survey, bucket_bytes: int) -> int:
    if survey.text_bytes is None:
        return _UNKNOWN_RANGES
    stored = stored_bytes(survey)
    return min(-(-stored // int(bucket_bytes * _FILL)), _MOST_RANGES)


def cap_for_line(length: int, split: MemorySplit, survey: Survey) -> int:
    """Return a cap (bytes) under which a line of `length` bytes fits, all else the same."""
    workers = split.layout.workers + 1
    row_bytes = _ARENA_ROW_BYTES * 1.25 / survey.mean_line_bytes
    arena = int((length + MIB) * (1 + row_bytes)) + _WORKER_BYTES
    sort = 5 * length + (_AHEAD_BYTES + workers * 2 * WINDOW_BYTES)
    return split.base_bytes + split.store_bytes + max(workers * arena, sort) + MIB


def longest_line(split: MemorySplit) -> int:
    """Return the longest line (bytes) that both reading and ordering can hold."""
    return min(split.arena_bytes - 128 * KIB, split.layout.sort_bytes // 4)


def least_cap(base_bytes: int, survey: Survey) -> int:
    """Return the smallest --memory (bytes) under which one worker can run."""
    row_bytes = _ARENA_ROW_BYTES * 1.25 / survey.mean_line_bytes
    arena = int(_LEAST_ARENA_BYTES * (1 + row_bytes)) + _WORKER_BYTES
    sort = _AHEAD_BYTES + 2 * WINDOW_BYTES + 8 * MIB
    return base_bytes + max(arena, sort) + MIB


def memory_store(survey: Survey) -> int:
    """Return the bytes of memory pages that hold all rows."""
    return -(-stored_bytes(survey) // _PAGE_BYTES) * _PAGE_BYTES + _PAGE_BYTES
