"""A look at inputs of typed rows before work: how large rows are, how many there are."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from dbshuf.base.rows import I64, row_bytes
from dbshuf.errors import DbshufError
from dbshuf.options import SAME
from dbshuf.source.formats import DELIMITED, NAMES
from dbshuf.source.head import first_bytes
from dbshuf.source.input import Input, Pipe
from dbshuf.source.schema.plain import plain_batch
from dbshuf.source.survey import Survey, survey_lines
from dbshuf.source.tables.aligned import fitted
from dbshuf.source.tables.csv import whole_rows
from dbshuf.source.tables.interface import Pace, Part, TableInput, read_error
from dbshuf.source.tables.opening import open_all, open_one
from dbshuf.units import KIB, MIB

_SURVEYED_INPUTS = 32  # spread evenly over the list, as are the parts of each
_SURVEYED_PARTS = 3
_SURVEYED_BYTES = 256 * KIB  # of each part, or as many rows as come at once
_PIPED_BYTES = 64 * KIB  # of a pipe
_UNSEEN_ROW_BYTES = 100.0  # a row where none was seen
_COLUMN_BYTES = 5  # beside a value: an offset, and a bit for NULL

# Beside what Arrow holds: pages of a mapped file, blocks and what they are parsed into, a
# page cache and Python's objects, DuckDB's memory_limit.
_READER_BYTES = {
    "arrow": 16 * MIB,
    "csv": 8 * MIB,
    "tsv": 8 * MIB,
    "sqlite": 8 * MIB,
    "duckdb": 128 * MIB,
}


def survey_tables(
    inputs: Sequence[Input],
    kind: str,
    *,
    table: str | None = None,
    schema: str | pa.Schema = SAME,
) -> Survey:
    """Sample rows of the inputs; before `open_tables`, since a pipe is read only once.

    others       as for `open_tables`
    Returns      text_bytes counts rows as `rows.row_bytes` does and some more for their
                 columns; estimated from file sizes for CSV and TSV, None where neither
                 their rows nor their sizes are known
    Raises       as `open_tables`
    """
    tables: list[TableInput] = []
    try:
        schema = open_all(tables, inputs, kind, table, schema)
        sample = _Sample(schema, kind)
        for one in tables[:: -(-len(tables) // _SURVEYED_INPUTS)]:
            sample.look_at(one)
        counts = [one.rows for one in tables]
        least_bytes = sum(one.least_bytes for one in tables)
    finally:
        for one in tables:
            one.close()
    seen, columns = np.concatenate(sample.sizes), len(schema)
    beside = _COLUMN_BYTES * columns
    mean = float(seen.mean()) if len(seen) else _UNSEEN_ROW_BYTES
    known = [count for count in counts if count is not None]
    text_bytes = None
    if len(known) == len(counts):
        # The first rows of a part may be its shortest: what is sorted by length begins so.
        mean = max(mean, least_bytes / max(sum(known), 1) - beside)
        text_bytes = int(sum(known) * (mean + beside))
    if kind in DELIMITED:
        text = survey_lines(inputs, b"\n").text_bytes
        ratio = (mean + beside) / (mean + columns)  # a comma or a line end behind every value
        text_bytes = None if text is None else int(text * ratio)
    return Survey(
        mean_line_bytes=mean + beside,
        longest_line_bytes=int(seen.max(initial=0)) + beside,
        text_bytes=text_bytes,
        is_exact=False,
        columns=columns,
        reader_bytes=sample.reader_bytes + _READER_BYTES.get(kind, 0),
    )


class _Sample:
    """Rows from the fronts of some parts, and what reading them took.

    sizes         bytes of the rows, int64 arrays
    reader_bytes  most that Arrow held to read a part
    """

    def __init__(self, schema: pa.Schema, kind: str) -> None:
        self.sizes: list[I64] = [np.empty(0, np.int64)]
        self.reader_bytes = 0
        self._schema, self._kind = schema, kind

    def look_at(self, table: TableInput) -> None:
        """Sample one input; of a pipe, what was read of it so far."""
        if table.input.pipe is None:
            self._parts_of(table)
            return
        with contextlib.suppress(DbshufError):  # it ends anywhere
            head = open_one(_head_of(table.input, self._kind), self._kind, None)
            self._parts_of(fitted(head, self._schema))

    def _parts_of(self, table: TableInput) -> None:
        parts = list(table.parts(self._schema.names))
        for part in parts[:: max(-(-len(parts) // _SURVEYED_PARTS), 1)]:
            try:
                self._rows_of(part, table.input.name)
            except Exception as error:
                raise read_error(table.input, error, NAMES[self._kind]) from None

    def _rows_of(self, part: Part, name: str) -> None:
        pace, row, seen_bytes = Pace(_SURVEYED_BYTES // 4), part.first_row, 0
        pool = pa.default_memory_pool()
        before, highest = pool.bytes_allocated(), pool.max_memory() or 0
        with contextlib.closing(part.read(pace)) as pieces:
            while seen_bytes < _SURVEYED_BYTES and (found := next(pieces, None)) is not None:
                self.sizes.append(row_bytes(plain_batch(found, self._schema, name, row)))
                peak = pool.max_memory() or 0
                held = (peak if peak > highest else pool.bytes_allocated()) - before
                self.reader_bytes = max(self.reader_bytes, held - found.nbytes)
                pace.saw(len(found), found.nbytes)
                row += len(found)
                seen_bytes += int(self.sizes[-1].sum())


def _head_of(source: Input, kind: str) -> Input:
    """Return what was read of a pipe as an input of its own."""
    text, is_all = first_bytes(source, _PIPED_BYTES)
    if kind in DELIMITED and not is_all:
        text = whole_rows(text, kind)
    return replace(source, codec=None, pipe=Pipe(io.BytesIO(text), b""))
