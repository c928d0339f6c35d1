"""Stage 1, on the workers: a split to rows with their bucket and key, by the usual readers."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import aligned_buffer
from dbshuf.base.counters import Tally
from dbshuf.base.key import U64, mix_ids
from dbshuf.base.layout import Layout
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch, arrow_numbers
from dbshuf.base.row_notes import NotedScan, ReadNotes
from dbshuf.base.scan import Scan
from dbshuf.order.sampled import KeyLimit, SampledScan
from dbshuf.order.sort_prefix import PrefixedScan, PrefixPlace
from dbshuf.pipeline.manifest import why_not_hashed
from dbshuf.pipeline.source_scan import LineScan, TableScan
from dbshuf.pipeline.spark.job import Job
from dbshuf.pipeline.spark.task import job_of
from dbshuf.pipeline.spark.task_errors import told_to_driver
from dbshuf.plan.spark_splits import Split
from dbshuf.query.evaluator import Spare
from dbshuf.query.relation import AnyRelation, LineRelation, RowRelation, place_of
from dbshuf.source.hashing import with_digests
from dbshuf.source.input import Input
from dbshuf.source.lines.long_lines import LineLimit
from dbshuf.source.lines.reader import LineSource
from dbshuf.source.tables.reader import Selection, TableSource, open_tables
from dbshuf.units import MIB

_MOST_ROWS = 1 << 17  # of a batch
_LINE_CAP_FACTOR = 8  # from a line's bytes to a --memory under which it fits, roughly


def read_task(broadcast: Any) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the function that Spark maps over the numbers of splits."""

    def rows(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from dbshuf.pipeline.spark.read_task import keyed_splits

        yield from keyed_splits(broadcast, numbers)

    return rows


def keyed_splits(broadcast: Any, numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of splits, and after each what was read of it."""
    with told_to_driver():
        job = job_of(broadcast)
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                yield from keyed_split(job, job.splits[number])


def keyed_split(job: Job, split: Split) -> Iterator[pa.RecordBatch]:
    """Yield the rows of one split; the last batch is a note of what they were.

    Raises  any DbshufError of reading and of SQL
    """
    read_bytes = 0

    def advance(count: int) -> None:
        nonlocal read_bytes
        read_bytes += count

    notes = ReadNotes(len(job.inputs)) if job.target.is_noted else None
    inputs = _inputs(job, split)
    feed, source = open_split(job, split, inputs, advance, notes)
    sampled = SampledScan(feed, job.words, KeyLimit(job.key_end))
    scan = prefixed(job, sampled if notes is None else NotedScan(sampled, notes))
    tally = Tally()
    try:
        yield from _rows(job, scan, tally)
        if split.part is None:
            scan.check()
        else:
            source.check_unchanged()
        note: dict[str, Any] = {
            "rows": tally.rows,
            "bytes": tally.text_bytes,
            "key_sum": tally.key_sum,
            "seen_rows": sampled.seen_rows,
        }
        if notes is not None:
            note |= _noted(notes, inputs)
        if isinstance(source, TableSource):
            note |= {"read_rows": source.seen_rows}
        elif split.part is not None:  # the driver adds up what is read of an input
            note |= {"input": split.ordinals[0], "read": read_bytes, "ended": source.ended_files}
        yield job.read_carrier.pack_note(job.read_partitions, json.dumps(note).encode())
    finally:
        scan.close()


def _rows(job: Job, scan: Scan, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield rows as Spark takes them, and what is counted beside them."""
    for batch in scan.batches(aligned_buffer(job.buffer_bytes)):
        keys, columns = _keyed(job, batch, tally)
        if len(keys):
            buckets = job.read_starts.partition_of(keys, batch.prefixes)
            yield job.read_carrier.pack(buckets, keys, batch.prefixes, columns)
            if job.slots is not None:
                yield _counts(job, batch)
        del batch, columns


def _noted(notes: ReadNotes, inputs: Sequence[Input]) -> dict[str, Any]:
    """Return what a manifest wants to know of the inputs of a split."""
    sums = [[one.ordinal, one.digest.sha256] for one in inputs if one.digest is not None]
    return {
        "row_sum": notes.ordered.sum,
        "input_rows": [[one.ordinal, int(notes.read[one.ordinal])] for one in inputs],
        "sha256": [pair for pair in sums if pair[1] is not None],
    }


def _keyed(job: Job, batch: LineBatch | RowBatch, tally: Tally) -> tuple[U64, list[pa.Array]]:
    """Return keys and columns of the rows that are left of a batch, and count them."""
    if isinstance(batch, RowBatch):
        keys = batch.ids.copy()
        mix_ids(keys, job.words)
        tally.add(keys, batch.sizes)
        return keys, batch.batch.columns
    keys, lengths, lines = batch.ids(), np.diff(batch.offsets), batch.lines()
    if batch.kept is not None:
        keys, lengths = keys.take(batch.kept), lengths.take(batch.kept)
        lines = lines.take(arrow_numbers(batch.kept))
    mix_ids(keys, job.words)
    tally.add(keys, lengths)
    return keys, [lines]


def _counts(job: Job, batch: LineBatch | RowBatch) -> pa.RecordBatch:
    """Return how many rows of each value a batch has, each where the rows of its value are."""
    assert batch.prefixes is not None, "they are by value"
    values, counts = np.unique(batch.prefixes, return_counts=True)
    buckets = job.read_starts.partition_of(values, values)
    return job.read_carrier.pack_counts(buckets, values, counts.astype(np.uint64))


def prefixed(job: Job, feed: Scan) -> Scan:
    """Return a feed whose rows have prefixes where the order of a job is by these."""
    if job.prefixes is None:
        return feed
    unit = "byte" if job.shape.is_text else "row"
    relation = AnyRelation(job.inputs, job.prefixes.columns)
    place = PrefixPlace(job.words, relation, lambda row: place_of(row, job.inputs, unit))
    return PrefixedScan(feed, job.prefixes, place)


def open_split(
    job: Job,
    split: Split,
    inputs: Sequence[Input],
    advance: Callable[[int], None],
    notes: ReadNotes | None,
    *,
    narrow: frozenset[str] | None = None,
) -> tuple[Scan, LineSource | TableSource]:
    """Return what reads a split through SQL, and the reader in it.

    narrow  the columns of tables that are read; None: all
    """
    query = job.shape.row_query
    columns = query.columns if query is not None else frozenset[str]()
    if query is not None:
        query.has_spare(Spare(lambda: job.memory_bytes // 2, lambda size: _LINE_CAP_FACTOR * size))
    if job.shape.is_text:
        lines = LineSource(
            inputs,
            terminator=job.terminator,
            header_bytes=job.header_bytes,
            layout=_layout(job),
            limit=LineLimit(job.longest_bytes, lambda length: _LINE_CAP_FACTOR * length * 2),
            part=split.part,
        )
        relation = LineRelation(job.inputs, columns, strict=job.shape.is_strict)
        scan: Scan = LineScan(
            lines, job.inputs, advance, query=query, relation=relation, notes=notes
        )
        return scan, lines
    tables = open_tables(
        inputs,
        job.shape.kind,
        batch_bytes=job.buffer_bytes,
        schema=job.columns,
        selection=Selection(narrow, split.part, () if query is None else query.comparisons),
    )
    rows = RowRelation(job.inputs, columns)
    scan = TableScan(tables, job.inputs, advance, query=query, relation=rows, notes=notes)
    return scan, tables


def _inputs(job: Job, split: Split) -> Sequence[Input]:
    """Return the inputs of a split, hashed where all of each is read front to back here."""
    inputs = [job.inputs[ordinal] for ordinal in split.ordinals]
    is_hashed = job.target.is_noted and split.part is None
    if not is_hashed or why_not_hashed(job.shape) is not None:
        return inputs
    return with_digests(inputs, in_columns=None)


def _layout(job: Job) -> Layout:
    """Return what one reader of lines needs to know of memory."""
    return Layout(
        base_bytes=0,
        store_bytes=0,
        workers=1,
        buffer_bytes=job.buffer_bytes,
        bucket_bytes=job.buffer_bytes,
        piece_rows=_MOST_ROWS,
        long_bytes=job.longest_bytes,
        ranges=1,
        is_split=False,
        sort_bytes=MIB,
        ahead_bytes=MIB,
    )
