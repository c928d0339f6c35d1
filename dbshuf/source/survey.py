"""A look at the inputs before work: how long lines or rows are, how many there are."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np
import pyarrow as pa

from dbshuf.base.bounds import Comparison
from dbshuf.base.process_memory import release_unused
from dbshuf.base.row_batch import I64, row_bytes
from dbshuf.errors import DbshufError
from dbshuf.options import SAME
from dbshuf.source.formats import DELIMITED, NAMES, TEXT_KINDS
from dbshuf.source.head import first_bytes, read_start, unpack_head
from dbshuf.source.input import Input, Pipe, for_each
from dbshuf.source.schema.plain import plain_batch
from dbshuf.source.tables.aligned import aligned
from dbshuf.source.tables.interface import BatchSize, RowRange, TableInput, read_error
from dbshuf.source.tables.opening import open_all, open_one
from dbshuf.units import KIB, MIB

T = TypeVar("T")

_SAMPLED_INPUTS = 32  # inputs looked into, spread evenly over the list
_SAMPLED_BYTES = 64 * KIB  # of lines: at the front, the middle and the end of each input
_SAMPLED_PARTS = 3  # of a table, spread evenly too
_PART_BYTES = 256 * KIB  # of each part, or as many rows as come at once
# Columns that are looked at together may hold so much, and more where one alone does: of a row
# group of 1,000 columns all pages at once were 1.2 GB (DuckDB writes some of 24 MB and more).
_LOOK_BYTES = 32 * MIB
_PIPED_BYTES = 64 * KIB  # of a pipe that holds a table

# A line or a row where none was seen: of an empty input, or a pipe whose first block is not
# complete in what was read of it. Too long a guess costs some more batches, too short a one
# memory for rows that never come, and so a needless refusal.
_UNSEEN_BYTES = 100.0
_COLUMN_BYTES = 5  # beside a value: an offset, and a bit for NULL

# Beside what Arrow holds: pages of a mapped file, blocks and what they are parsed into, a
# page cache and Python's objects.
_READER_BYTES = {
    "arrow": 16 * MIB,
    "csv": 8 * MIB,
    "tsv": 8 * MIB,
    "sqlite": 8 * MIB,
}

# Of each column of Parquet, beside what its first pages hold: objects, and a page that follows. A
# comparison of 1,000 columns of 320 kB had 46 MB more at its peak than was counted (pyarrow 26).
_COLUMN_READER_BYTES = 64 * KIB


@dataclass(frozen=True)
class Survey:
    """What the inputs look like.

    mean_line_bytes     of the sampled lines, terminators included; a guess if none was seen
    longest_line_bytes  of the sampled lines; a line cut by a sample counts what was seen
    text_bytes          after decompression; None if a pipe is among the inputs
    is_exact            whether text_bytes is known rather than estimated
    columns             of typed rows; 0 for lines
    reader_bytes        memory that one worker's reader of a table holds beside its batches,
                        estimated: pages as they were written, and an engine's own limit
    prefix_bytes          of the first word of the order that rows have before their keys; 0: none
    """

    mean_line_bytes: float
    longest_line_bytes: int
    text_bytes: int | None
    is_exact: bool
    columns: int = 0
    reader_bytes: int = 0
    prefix_bytes: int = 0


def survey_inputs(
    inputs: Sequence[Input],
    kind: str,
    *,
    terminator: bytes = b"\n",
    table: str | None = None,
    schema: str | pa.Schema = SAME,
    comparisons: Sequence[Comparison] = (),
) -> Survey:
    """Sample the inputs; before they are opened, since a pipe is read only once.

    kind           as `formats.kind_of_inputs` returns it
    terminator     of lines
    table, schema, comparisons  of rows, as `tables.reader.open_tables` takes them; parts that
                   are left out count all the same, but are not looked into
    Raises         what opening and reading them raises
    """
    if kind in TEXT_KINDS:
        return _of_lines(inputs, terminator)
    return _of_rows(inputs, kind, table, schema, comparisons)


def _spread(items: Sequence[T], most: int) -> Sequence[T]:
    """Return at most so many of the items, spread evenly."""
    return items[:: max(1, -(-len(items) // most))]


def _of_lines(inputs: Sequence[Input], terminator: bytes) -> Survey:
    longest = 0
    ratios: list[tuple[int, int]] = []
    seen: list[tuple[Input, int, int]] = []  # with the bytes of its samples, and their lines
    sampled = _spread(inputs, _SAMPLED_INPUTS)
    for source, samples in zip(sampled, for_each(_samples, sampled), strict=True):
        seen_bytes = lines = 0
        for sample, ratio in samples:
            pieces = sample.split(terminator)
            seen_bytes += len(sample)
            lines += len(pieces) - 1
            longest = max(longest, *(len(piece) + 1 for piece in pieces))
            ratios.append(ratio)
        if seen_bytes:
            seen.append((source, seen_bytes, max(lines, 1)))
    packed = sum(on_disk for on_disk, _ in ratios)
    expansion = max(sum(text for _, text in ratios) / packed, 1.0) if packed else 1.0
    sizes = [_text_bytes(source, expansion) for source in inputs]
    known = [size for size in sizes if size is not None]
    return Survey(
        mean_line_bytes=_mean_of(seen, expansion),
        longest_line_bytes=longest,
        text_bytes=int(sum(known)) if len(known) == len(sizes) else None,
        is_exact=all(source.is_plain_file for source in inputs),
    )


def _text_bytes(source: Input, expansion: float) -> float | None:
    if source.size_bytes is None:
        return None
    return source.size_bytes * (expansion if source.codec else 1.0)


def _mean_of(seen: Sequence[tuple[Input, int, int]], expansion: float) -> float:
    """Return the mean length of lines, each input's by its size: a small one has few of them."""
    total_bytes = total_lines = 0.0
    for source, seen_bytes, lines in seen:
        size = max(_text_bytes(source, expansion) or 0.0, seen_bytes)
        total_bytes += size
        total_lines += size * lines / seen_bytes
    return max(total_bytes / total_lines, 1.0) if seen else _UNSEEN_BYTES


def _samples(source: Input) -> list[tuple[bytes, tuple[int, int]]]:
    """Samples of one input, each with (bytes on disk, bytes of text) if it is compressed."""
    if source.pipe is not None:
        return [(_seen_of_pipe(source, source.pipe.head), (0, 0))]
    if source.codec is not None:
        return [_unpacked_sample(source)]
    if not source.is_plain_file:
        return [(read_start(source, _SAMPLED_BYTES)[0], (0, 0))]
    size = source.size_bytes or 0
    places = {0, max(size // 2, 0), max(size - _SAMPLED_BYTES, 0)} if size > MIB else {0}
    return [(source.bytes_at(place, _SAMPLED_BYTES), (0, 0)) for place in sorted(places)]


def _seen_of_pipe(source: Input, head: bytes) -> bytes:
    """The text of what was read of a pipe; none of a compressed block that goes on behind it."""
    if source.codec is None:
        return head
    return unpack_head(source, head, 4 * _SAMPLED_BYTES, is_all=False)[0]


def _unpacked_sample(source: Input) -> tuple[bytes, tuple[int, int]]:
    text, on_disk = read_start(source, 4 * MIB)
    return text[: 4 * _SAMPLED_BYTES], (min(on_disk, source.size_bytes or 0), len(text))


def _of_rows(
    inputs: Sequence[Input],
    kind: str,
    table: str | None,
    schema: str | pa.Schema,
    comparisons: Sequence[Comparison],
) -> Survey:
    """Sample typed rows.

    Returns  text_bytes counts rows as `row_batch.row_bytes` does and some more for their columns;
             estimated from file sizes for CSV and TSV, None where neither their rows nor
             their sizes are known
    """
    tables: list[TableInput] = []
    try:
        schema = open_all(tables, inputs, kind, table, schema)
        sample = _RowSample(schema, kind, comparisons)
        for one in _spread(tables, _SAMPLED_INPUTS):
            sample.look_at(one)
        counts = [one.rows for one in tables]
        least_bytes = sum(one.least_bytes for one in tables)
    finally:
        for one in tables:
            one.close()
    seen, columns = np.concatenate(sample.sizes), len(schema)
    beside = _COLUMN_BYTES * columns
    mean = float(seen.mean()) if len(seen) else _UNSEEN_BYTES
    known = [count for count in counts if count is not None]
    text_bytes = None
    if len(known) == len(counts):
        # The first rows of a part may be its shortest: what is sorted by length begins so.
        mean = max(mean, least_bytes / max(sum(known), 1) - beside)
        text_bytes = int(sum(known) * (mean + beside))
    if kind in DELIMITED and (text := _of_lines(inputs, b"\n").text_bytes) is not None:
        # a comma or a line end behind every value
        text_bytes = int(text * (mean + beside) / (mean + columns))
    return Survey(
        mean_line_bytes=mean + beside,
        longest_line_bytes=int(seen.max(initial=0)) + beside,
        text_bytes=text_bytes,
        is_exact=False,
        columns=columns,
        reader_bytes=sample.reader_bytes + _beside_pages(kind, columns),
    )


def _beside_pages(kind: str, columns: int) -> int:
    """Return what a reader holds that is not Arrow's, or not of the first rows."""
    if kind == "parquet":
        return _COLUMN_READER_BYTES * columns
    if kind == "duckdb":
        from dbshuf.source.tables.duckdb import memory_bytes

        return memory_bytes(columns)
    return _READER_BYTES[kind]


class _RowSample:
    """Rows from the fronts of some parts, and what reading them took.

    sizes         bytes of the rows, int64 arrays
    reader_bytes  most that Arrow held to read a part
    """

    def __init__(self, schema: pa.Schema, kind: str, comparisons: Sequence[Comparison]) -> None:
        self.sizes: list[I64] = [np.empty(0, np.int64)]
        self.reader_bytes = 0
        self._schema, self._kind, self._comparisons = schema, kind, comparisons

    def look_at(self, table: TableInput) -> None:
        """Sample one input; of a pipe, what was read of it so far."""
        if table.input.pipe is None:
            self._parts_of(table)
            return
        with contextlib.suppress(DbshufError):  # it ends anywhere
            head = open_one(_head_of(table.input, self._kind), self._kind, None)
            self._parts_of(aligned(head, self._schema))

    def _parts_of(self, table: TableInput) -> None:
        parts = list(enumerate(table.row_ranges(self._schema.names)))
        try:
            parts = [one for one in parts if one[1].may_be_wanted(self._comparisons)]
            for place, part in _spread(parts, _SAMPLED_PARTS):
                self._rows_of(table, place, part)
        except Exception as error:
            raise read_error(table.input, error, NAMES[self._kind]) from None

    def _rows_of(self, table: TableInput, place: int, part: RowRange) -> None:
        """Look at the first rows of a part, some columns after the others."""
        groups = _columns_at_once(self._schema.names, part.holds())
        most_bytes, held = _PART_BYTES // len(groups), 0
        seen: list[list[I64]] = []
        try:
            for names in groups:
                seen.append([])
                schema = pa.schema([self._schema.field(name) for name in names])
                one = part if len(groups) == 1 else _part_at(table, names, place)
                held += _first_rows(one, schema, table.input.name, most_bytes, seen[-1])
                if len(groups) > 1:
                    release_unused()
        finally:  # of a pipe that was cut anywhere, what came before counts
            self.sizes.append(_sum_of_rows(seen))
        self.reader_bytes = max(self.reader_bytes, held)


def _columns_at_once(names: Sequence[str], holds: Mapping[str, int]) -> list[list[str]]:
    """Return columns in groups that hold little together."""
    groups: list[list[str]] = [[]]
    size = 0
    for name in names:
        size += holds.get(name, 0)
        if size > _LOOK_BYTES and groups[-1]:
            groups.append([])
            size = holds.get(name, 0)
        groups[-1].append(name)
    return groups


def _part_at(table: TableInput, names: Sequence[str], place: int) -> RowRange:
    return next(islice(table.row_ranges(names), place, None))


def _sum_of_rows(seen: Sequence[Sequence[I64]]) -> I64:
    """Return what rows have in all columns; as many as were seen of each."""
    groups = [np.concatenate([np.empty(0, np.int64), *sizes]) for sizes in seen]
    rows = min(map(len, groups), default=0)
    total: I64 = np.sum([sizes[:rows] for sizes in groups], axis=0, dtype=np.int64)
    return total


def _first_rows(
    part: RowRange, schema: pa.Schema, name: str, most_bytes: int, sizes: list[I64]
) -> int:
    """Add the bytes of the first rows of a part to `sizes`; return what Arrow held beside them."""
    batch_size, row, held = BatchSize(most_bytes // 4, is_look=True), part.first_row, 0
    seen_bytes = 0
    pool = pa.default_memory_pool()
    before, highest = pool.bytes_allocated(), pool.max_memory() or 0
    with contextlib.closing(part.read(batch_size)) as pieces:
        while seen_bytes < most_bytes and (found := next(pieces, None)) is not None:
            sizes.append(row_bytes(plain_batch(found, schema, name, row)))
            peak = pool.max_memory() or 0
            at_most = (peak if peak > highest else pool.bytes_allocated()) - before
            held = max(held, at_most - found.nbytes)
            batch_size.saw(len(found), found.nbytes)
            row += len(found)
            seen_bytes += int(sizes[-1].sum())
    return held


def _head_of(source: Input, kind: str) -> Input:
    """Return what was read of a pipe as an input of its own."""
    from dbshuf.source.tables.csv import whole_rows

    text, is_all = first_bytes(source, _PIPED_BYTES)
    if kind in DELIMITED and not is_all:
        text = whole_rows(text, kind)
    return replace(source, codec=None, pipe=Pipe(io.BytesIO(text), b""))
