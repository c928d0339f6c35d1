"""Rows as hashes: of the lines that they are in text, or of their values.

text, JSON lines   a row is the line that is written
CSV, TSV           a row is the texts of its values; NULL is the empty text there
Parquet, Arrow     a row is its values
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from dbshuf.base.key import U64, mix_ids
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch, arrow_numbers
from dbshuf.base.row_hash import (
    Hashes,
    Lines,
    chosen_lines,
    chosen_rows,
    hash_lines,
    hash_rows,
    lines_in,
    lines_of,
)
from dbshuf.base.window import Window
from dbshuf.errors import RowUnfit
from dbshuf.plan.plan import Plan
from dbshuf.sink.cut_points import SizeCut
from dbshuf.sink.formats.record_batches import records_of
from dbshuf.sink.formats.row_text import ValueUnfit
from dbshuf.sink.single_file import row_text
from dbshuf.units import MIB

# Hashed at a time, whatever is read at a time: rows, and of typed ones their text, or their values
# as another type. A row takes up to 100 bytes meanwhile: hashes, ids, places, and spare lanes.
_STEP_BYTES, _STEP_ROWS = 2 * MIB, 1 << 16
HASHING_BYTES = 100 * _STEP_ROWS + 2 * _STEP_BYTES + MIB

Rows = LineBatch | RowBatch
Hashed = Callable[[Rows], tuple[Hashes, U64]]  # rows, or some of them -> their hashes and ids


def pieces(batch: Rows) -> Iterator[Rows]:
    """Yield rows again, few enough that they are hashed in HASHING_BYTES, but at least one.

    A batch holds as many as its bytes are, and of short ones that is a million.
    """
    if isinstance(batch, LineBatch):
        for first in range(0, batch.rows, _STEP_ROWS):
            yield batch.slice(first, min(first + _STEP_ROWS, batch.rows))
        return
    for part in batch.cut(_STEP_BYTES):
        for first in range(0, len(part.ids), _STEP_ROWS):
            yield part.slice(first, min(first + _STEP_ROWS, len(part.ids)))


def as_lines(
    batch: Rows, *, lines: Callable[[Any], Iterable[Lines]], share: float | None
) -> tuple[Hashes, U64]:
    """Hash rows as the lines that they are in text; see `Side.hash_`."""
    ids = ids_of_rows(batch)
    parts: list[tuple[Hashes, U64]] = []
    first = 0
    for found in lines(batch):
        last = first + len(found.begins)
        if share is None:
            parts.append((hash_lines(found), ids[first:last]))
        else:
            chosen = chosen_lines(found, share)
            parts.append((hash_lines(found.take(chosen)), ids[first:last][chosen]))
        first = last
    return joined(parts)


def joined(parts: list[tuple[Hashes, U64]]) -> tuple[Hashes, U64]:
    if len(parts) == 1:
        return parts[0]
    empty = np.zeros(0, np.uint64)
    high, low, ids = (
        (
            np.concatenate([empty, *lanes])
            for lanes in zip(*((h.high, h.low, i) for h, i in parts), strict=True)
        )
        if parts
        else (empty, empty, empty)
    )
    return Hashes(high, low), ids


def as_read(batch: LineBatch) -> Iterator[Lines]:
    yield lines_of(batch)


def encoder(plan: Plan) -> Callable[[Rows], Iterator[Lines]]:
    """Return what makes the lines of inputs as a plan would write them, text or JSON lines."""
    target = plan.target
    is_text = target.format == "txt"
    end = target.terminator if is_text else b"\n"
    encode, _ = row_text(target)
    records = records_of(target)

    def encoded(rows: pa.RecordBatch) -> Lines:
        try:
            return lines_in(encode(rows), end)
        except ValueUnfit as unfit:
            raise RowUnfit(
                unfit.message.format(name=rows.schema.names[0]),
                hint="a shuffle would fail on it too; so this output is of other rows",
            ) from unfit

    def lines(batch: Rows) -> Iterator[Lines]:
        if isinstance(batch, RowBatch):
            yield encoded(batch.batch)
        elif is_text:
            yield lines_of(batch)
        else:
            window = window_of(batch, plan.words)
            for _, first, last in SizeCut(_STEP_BYTES, _STEP_ROWS).runs(window.bounds):
                yield encoded(records.batch(window.slice(first, last)))

    return lines


def as_columns(
    batch: Rows, *, plain: Callable[[pa.RecordBatch], list[pa.Array]], share: float | None
) -> tuple[Hashes, U64]:
    """Hash rows as the values that they are; see `Side.hash_`."""
    if isinstance(batch, LineBatch):  # of which readers see the one column `line`
        return as_lines(batch, lines=as_read, share=share)
    names = batch.batch.schema.names
    rows, ids = pa.RecordBatch.from_arrays(plain(batch.batch), names), batch.ids
    if share is not None:
        chosen = chosen_rows(rows, share)
        rows, ids = rows.take(arrow_numbers(chosen)), ids[chosen]
    return hash_rows(rows), ids


def as_types(rows: pa.RecordBatch, schema: pa.Schema) -> list[pa.Array]:
    """Return the columns with the types that the outputs have."""
    kinds = [schema.field(name).type for name in rows.schema.names]
    return [
        column if column.type.equals(kind) else column.cast(kind)
        for column, kind in zip(rows.columns, kinds, strict=True)
    ]


def ids_of_rows(batch: Rows) -> U64:
    """Return the ids of the rows that are kept, shape (rows,)."""
    if isinstance(batch, RowBatch):
        return batch.ids
    return batch.ids() if batch.kept is None else batch.ids()[batch.kept]


def rows_of(window: Window, ids: U64) -> Rows:
    """Return the rows of a window with ids (uint64, shape (rows,)) in place of their keys."""
    if not window.is_lines:
        return RowBatch(window.batch, ids)
    data = window.lines.buffers()[2] or b""
    offsets = window.bounds.astype(np.int32)
    return LineBatch(np.frombuffer(data, np.uint8), offsets, (), given=ids)


def window_of(batch: Rows, words: tuple[int, int]) -> Window:
    """Return rows as a window, whose keys do not ascend; `words` turn ids into keys."""
    keys = ids_of_rows(batch).copy()
    mix_ids(keys, words)
    if isinstance(batch, RowBatch):
        return Window.of_rows(batch.batch, keys)
    lines = batch.lines()
    if batch.kept is not None:
        lines = lines.take(arrow_numbers(batch.kept))
    return Window.of_lines(lines, keys)
