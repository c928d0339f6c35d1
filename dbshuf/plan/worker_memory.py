"""What the workers of a run read and order with: buffers, pieces, buckets, as a Layout.

`memory_division.py` says before what the sink, DuckDB and a first order have of --memory.

    cap = base + store + tables + one long line
        + workers x (reader + buffer x copies + rows of a piece + scratch)
    cap = base + store + tables + workers x (bucket + scratch) + windows ahead + sorting

The first is true while rows are read, the second while they are ordered. The base is
what is resident when the plan is made, with the sink and some slack. Everything that
is allocated for long is counted; the slack is for what is not.
"""

import math

from dbshuf.base.layout import (
    INDEX_BYTES,
    KEY_BYTES,
    LEAST_PIECE_ROWS,
    MOST_LONG_BYTES,
    PIECE_ROW_BYTES,
    PREFIX_PIECE_BYTES,
    PREFIX_SORT_BYTES,
    SORT_BYTES,
    TABLE_BYTES,
    WINDOW_BYTES,
    Layout,
    store_page_bytes,
)
from dbshuf.source.survey import Survey
from dbshuf.units import KIB, MIB

# Of a worker: windows with their index, and the stage or, later, ENGINE_BYTES.
_SCRATCH_BYTES = 5 * WINDOW_BYTES
_AHEAD_BYTES = 6 * WINDOW_BYTES
_COLUMN_BYTES = 5  # offset and validity of a value
_LEAST_BUFFER_BYTES = 2 * MIB
_COMFORTABLE_BUFFER_BYTES = 8 * MIB
_COMFORTABLE_ROWS = 400_000  # as good, of short lines
_LEAST_PIECE_BYTES = 16 * MIB
_MOST_PIECE_BYTES = 96 * MIB
_LEAST_LONG_BYTES = 4 * MIB
_SLICE_BYTES = MIB  # one read from the temporary file, at least; see base/block_io.py
# Of a slice. Of lines that are stored in less than what arranging them takes, most of this
# memory gathers a longer run instead: empty lines took a quarter less CPU (100,000,000 at 400 MB).
_LEAST_SLICE_BYTES = 64 * KIB
_PIECES_OF_A_RUN = 8
# Of what a worker orders with, at most; the rest sorts, and holds long lines.
_BUCKET_SHARE = 0.45
_FILL = 0.7  # of a bucket's room that an average bucket takes
_DENSER = 1.25  # rows of a piece, over what the sample lets expect
_UNKNOWN_RANGES = 256
_UNKNOWN_PIECE_BYTES = 48 * MIB
_MOST_RANGES = 1 << 14
# Copies of a long line while it is ordered, beside those that the sink makes: one in its bucket,
# and one that the sink may still have of the line before.
_LONG_LINE_COPIES = 2


def stored_bytes(survey: Survey) -> int:
    """Return the bytes that all rows take while they wait, values and index."""
    text = survey.text_bytes or 0
    return int(text * (1 + _index_bytes(survey) / survey.mean_line_bytes) * 1.01) + MIB


def _index_bytes(survey: Survey) -> int:
    index = KEY_BYTES + _COLUMN_BYTES * survey.columns if survey.columns else INDEX_BYTES
    return index + survey.prefix_bytes


def _stored_row_bytes(survey: Survey) -> float:
    return survey.mean_line_bytes + _index_bytes(survey)


def _sort_bytes(survey: Survey) -> int:
    """A row's share of what orders a bucket."""
    return SORT_BYTES + (PREFIX_SORT_BYTES if survey.prefix_bytes else 0)


def _piece_row_bytes(survey: Survey) -> int:
    """A row's share of what partitions a piece."""
    return PIECE_ROW_BYTES + (PREFIX_PIECE_BYTES if survey.prefix_bytes else 0)


def lay_out(
    cap_bytes: int,
    base_bytes: int,
    survey: Survey,
    *,
    threads: int,
    store_bytes: int,
    copies: float = 1,
) -> Layout:
    """Divide a cap of at least `least_cap` and the store.

    copies  how often a worker holds what it reads: once as it is, and what SQL makes of it
    """
    budget = cap_bytes - base_bytes - store_bytes
    workers, buffer_bytes = _workers(budget, survey, threads, copies)
    wanted = _ranges(survey, buffer_bytes // 4)  # sorting may ask for smaller buckets
    table_bytes = min(budget // 16, _table_bytes(survey, workers, buffer_bytes) * wanted)
    budget -= table_bytes
    workers, buffer_bytes = _workers(budget, survey, threads, copies)
    bucket_bytes, sort_bytes = _ordering(budget, survey, workers, buffer_bytes)
    wanted = _ranges(survey, _bucket_bytes(survey, bucket_bytes, sort_bytes // workers))
    ranges = max(min(wanted, table_bytes // _table_bytes(survey, workers, buffer_bytes)), 1)
    most_rows = _piece_rows(budget, survey, workers, buffer_bytes, copies)
    piece_rows = _shared_run_rows(survey, most_rows, ranges)
    arranging = most_rows * _piece_row_bytes(survey)
    reading = int(buffer_bytes * copies) + arranging + _SCRATCH_BYTES
    long_bytes = budget - workers * (reading + survey.reader_bytes)
    return Layout(
        base_bytes=base_bytes,
        store_bytes=store_bytes,
        workers=workers,
        buffer_bytes=buffer_bytes,
        bucket_bytes=bucket_bytes,
        piece_rows=piece_rows,
        long_bytes=min(max(long_bytes, buffer_bytes), MOST_LONG_BYTES),
        ranges=ranges,
        is_split=ranges < wanted,
        sort_bytes=sort_bytes,
        ahead_bytes=_AHEAD_BYTES,
        spare_bytes=max(long_bytes, 0),
        run_bytes=arranging - piece_rows * _piece_row_bytes(survey),
    )


def _ordering(budget: int, survey: Survey, workers: int, buffer_bytes: int) -> tuple[int, int]:
    """Return the room of a worker's bucket, and what all together order with (bytes)."""
    room = (budget - _AHEAD_BYTES) // workers - _SCRATCH_BYTES
    bucket_bytes = max(buffer_bytes, min(_piece_bytes(survey), int(room * _bucket_share(survey))))
    sort_bytes = budget - _AHEAD_BYTES - workers * (bucket_bytes + _SCRATCH_BYTES)
    return bucket_bytes, max(sort_bytes, MIB)


def _piece_rows(budget: int, survey: Survey, workers: int, buffer_bytes: int, copies: float) -> int:
    """Return the rows of a piece: of a full buffer, as far as there is room to partition them."""
    share = _reading_share(budget, survey, workers)
    dense = int(buffer_bytes / survey.mean_line_bytes * _DENSER) + 1024
    fitting = int(share - buffer_bytes * copies) // _piece_row_bytes(survey)
    return max(min(dense, fitting), LEAST_PIECE_ROWS)


def _shared_run_rows(survey: Survey, rows: int, ranges: int) -> int:
    """Return the rows of a piece where several of them are one run, and else as many as there are.

    ranges  slices of a run
    """
    stored = int(rows * _stored_row_bytes(survey))
    arranging = rows * _piece_row_bytes(survey)
    if survey.columns or stored >= min(ranges * _LEAST_SLICE_BYTES, arranging // 2):
        return rows
    return max(rows // _PIECES_OF_A_RUN, LEAST_PIECE_ROWS)


def _table_bytes(survey: Survey, workers: int, buffer_bytes: int) -> int:
    """Return what one more range costs in the tables of all runs."""
    return TABLE_BYTES * (stored_bytes(survey) // buffer_bytes + workers)


def _workers(budget: int, survey: Survey, threads: int, copies: float) -> tuple[int, int]:
    """Return how many workers there is memory for, and the bytes of their buffers."""
    row_share = _piece_row_bytes(survey) * _DENSER / survey.mean_line_bytes  # per byte of a piece
    wanted = _piece_bytes(survey)
    enough = min(_COMFORTABLE_BUFFER_BYTES, wanted, int(_COMFORTABLE_ROWS * survey.mean_line_bytes))
    most = max(budget // _SCRATCH_BYTES, 1)  # more would have nothing to read with
    workers = min(threads + 1, most)  # one waits for the disk
    while True:
        share = _reading_share(budget, survey, workers)
        ordering = (budget - _AHEAD_BYTES) // workers - _SCRATCH_BYTES
        buffer_bytes = min(wanted, int(share / (copies + row_share)), ordering * 2 // 3)
        if workers == 1 or buffer_bytes >= enough:
            return workers, max(buffer_bytes, _LEAST_BUFFER_BYTES)
        workers -= 1


def _reading_share(budget: int, survey: Survey, workers: int) -> int:
    """Return what a worker reads with, beside its reader; a quarter stays for a long line."""
    return (budget - workers * survey.reader_bytes) * 3 // 4 // workers - _SCRATCH_BYTES


def _bucket_bytes(survey: Survey, room_bytes: int, sort_bytes: int) -> int:
    """Return what of stored rows a worker can order in its room and its share to sort."""
    stored_row = _stored_row_bytes(survey)
    row = _sort_bytes(survey) + (stored_row if survey.columns else 0)  # typed rows are copied once
    return int(min(room_bytes, sort_bytes * 0.8 * stored_row / row))


def _bucket_share(survey: Survey) -> float:
    """Short rows need more to be ordered than they take in their bucket."""
    stored_row = _stored_row_bytes(survey)
    return min(_BUCKET_SHARE, stored_row / (stored_row + _sort_bytes(survey)))


def _piece_bytes(survey: Survey) -> int:
    """The bytes of a piece and of the room of a bucket, if memory allows.

    Small ones stay in caches and touch less memory (a fresh page costs more than its
    copy), but total / piece slices of piece^2 / total bytes must be worth a read each.
    """
    if survey.text_bytes is None:
        return _UNKNOWN_PIECE_BYTES
    fitting = math.isqrt(stored_bytes(survey) * _SLICE_BYTES)
    return max(min(fitting, _MOST_PIECE_BYTES), _LEAST_PIECE_BYTES)


def _ranges(survey: Survey, bucket_bytes: int) -> int:
    if survey.text_bytes is None:
        return _UNKNOWN_RANGES
    return min(-(-stored_bytes(survey) // max(int(bucket_bytes * _FILL), 1)), _MOST_RANGES)


def longest_line(layout: Layout, sink_copies: float, read_copies: float = 1) -> int:
    """Return the longest line (bytes) that reading, ordering and the sink can hold.

    sink_copies  how often the sink holds a line that is longer than its buffers
    read_copies  how often reading does, with what SQL makes of it
    """
    ordering = int(layout.sort_bytes / (_LONG_LINE_COPIES + sink_copies))
    room = max(layout.spare_bytes, layout.long_bytes)  # of which one line has its most alone
    reading = min(int((room - 128 * KIB) / read_copies), layout.long_bytes - 128 * KIB)
    return max(min(reading, ordering), layout.buffer_bytes // 2)


def least_cap(base_bytes: int, survey: Survey, copies: float = 1) -> int:
    """Return the smallest --memory (bytes) under which one worker can run."""
    buffers, rows = int(_LEAST_BUFFER_BYTES * copies), LEAST_PIECE_ROWS * _piece_row_bytes(survey)
    reading = (buffers + rows + _SCRATCH_BYTES) * 4 // 3 + survey.reader_bytes
    ordering = _AHEAD_BYTES + _LEAST_BUFFER_BYTES + _SCRATCH_BYTES + _LEAST_LONG_BYTES
    return base_bytes + max(reading, ordering) * 16 // 15 + _LEAST_LONG_BYTES


def memory_store(survey: Survey) -> int:
    """Return the bytes of memory that hold all rows, in pages of the store."""
    stored = stored_bytes(survey)
    page = store_page_bytes(stored)
    return -(-stored // page) * page + page
