"""A look at inputs of typed rows before work: how large rows are, how many there are."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from dbshuf.errors import DbshufError
from dbshuf.rows import I64, row_bytes
from dbshuf.source.columns import plain_batch
from dbshuf.source.delimited import whole_rows
from dbshuf.source.inputs import Input, Pipe
from dbshuf.source.kinds import DELIMITED, NAMES
from dbshuf.source.opening import open_all, open_one
from dbshuf.source.parts import Pace, TableInput, first_bytes, read_error
from dbshuf.source.survey import Survey, survey_inputs
from dbshuf.units import KIB

_SURVEYED_INPUTS = 32  # spread evenly over the list, as are the parts of each
_SURVEYED_PARTS = 3
_SURVEYED_BYTES = 256 * KIB  # of each part, or as many rows as come at once
_PIPED_BYTES = 64 * KIB  # of a pipe
_UNSEEN_ROW_BYTES = 100.0  # a row where none was seen
_COLUMN_BYTES = 5  # beside a value: an offset, and a bit for NULL


def survey_tables(inputs: Sequence[Input], kind: str, *, table: str | None = None) -> Survey:
    """Sample rows of the inputs; before `open_tables`, since a pipe is read only once.

    kind, table  as for `open_tables`
    Returns      text_bytes counts rows as `rows.row_bytes` does and some more for their
                 columns; estimated from file sizes for CSV and TSV, None where neither
                 their rows nor their sizes are known
    Raises       as `open_tables`
    """
    tables: list[TableInput] = []
    try:
        schema = open_all(tables, inputs, kind, table)
        chosen = tables[:: -(-len(tables) // _SURVEYED_INPUTS)]
        seen = np.concatenate([_sampled(one, schema, kind) for one in chosen])
        counts = [one.rows for one in tables]
    finally:
        for one in tables:
            one.close()
    columns = len(schema)
    beside = _COLUMN_BYTES * columns
    mean = float(seen.mean()) if len(seen) else _UNSEEN_ROW_BYTES
    known = [count for count in counts if count is not None]
    text_bytes = int(sum(known) * (mean + beside)) if len(known) == len(counts) else None
    if kind in DELIMITED:
        text = survey_inputs(inputs, b"\n").text_bytes
        ratio = (mean + beside) / (mean + columns)  # a comma or a line end behind every value
        text_bytes = None if text is None else int(text * ratio)
    return Survey(
        mean_line_bytes=mean + beside,
        longest_line_bytes=int(seen.max(initial=0)) + beside,
        text_bytes=text_bytes,
        is_exact=False,
        columns=columns,
    )


def _sampled(table: TableInput, schema: pa.Schema, kind: str) -> I64:
    """Return the bytes of some rows of an input."""
    if table.input.pipe is None:
        return np.concatenate([np.empty(0, np.int64), *_sizes(table, schema, kind)])
    found = [np.empty(0, np.int64)]
    with contextlib.suppress(DbshufError):  # what was read of a pipe ends anywhere
        found += _sizes(open_one(_head_of(table.input, kind), kind, None), schema, kind)
    return np.concatenate(found)


def _sizes(table: TableInput, schema: pa.Schema, kind: str) -> Iterator[I64]:
    """Yield the bytes of rows at the begin of some parts."""
    parts = list(table.parts(schema.names))
    for part in parts[:: max(-(-len(parts) // _SURVEYED_PARTS), 1)]:
        pace, row, seen_bytes = Pace(_SURVEYED_BYTES // 4), part.first_row, 0
        with contextlib.closing(part.read(pace)) as pieces:
            while seen_bytes < _SURVEYED_BYTES:
                try:
                    found = next(pieces, None)
                    if found is None:
                        break
                    sizes = row_bytes(plain_batch(found, schema, table.input.name, row))
                except Exception as error:
                    raise read_error(table.input, error, NAMES[kind]) from None
                yield sizes
                row += len(found)
                seen_bytes += int(sizes.sum())
                pace.saw(len(found), found.nbytes)


def _head_of(source: Input, kind: str) -> Input:
    """Return what was read of a pipe as an input of its own."""
    text, is_all = first_bytes(source, _PIPED_BYTES)
    if kind in DELIMITED and not is_all:
        text = whole_rows(text, kind)
    return replace(source, codec=None, pipe=Pipe(io.BytesIO(text), b""))
