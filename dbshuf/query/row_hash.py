"""What is in a row as one number, by which the row is found again elsewhere within one run.

A line, and the one column that it is in Parquet or CSV, have the same number; so have values
whose text is the same, as a 7 in Parquet and in CSV.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as t

from dbshuf.base.key import U64
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch, arrow_numbers
from dbshuf.base.statements import row_hash
from dbshuf.query.evaluator import ChunkDatabase, ChunkRunner, ChunkStep, row_column
from dbshuf.units import MIB

HASHING_BYTES = 64 * MIB  # DuckDB's limit; rows are read where they are
_LINE = pa.schema([("line", pa.binary())])


class RowHasher:
    """Hashes of rows of some columns, in the thread that asks for them."""

    def __init__(self, schema: pa.Schema | None) -> None:
        """Prepare for rows of `schema`; None: they are lines."""
        self._schema = _LINE if schema is None else schema
        names = [f"column{number}" for number in range(len(self._schema))]
        kinds = zip(names, self._schema.types, strict=True)
        self._names = names
        step = ChunkStep(
            option="the hash of rows",
            query=row_hash({name: _is_bytes(kind) for name, kind in kinds}),
            columns=names,
            types=None,
            row=row_column(names),
        )
        self._runner = ChunkRunner(ChunkDatabase(HASHING_BYTES), step)

    def hashes(self, rows: LineBatch | RowBatch) -> U64:
        """Return a number for each row that is kept: uint64, shape (rows,)."""
        if isinstance(rows, LineBatch):
            lines = rows.lines()
            if rows.kept is not None:
                lines = lines.take(arrow_numbers(rows.kept))
            columns = [pc.binary_slice(lines, 0, -1)]
            if not len(lines):
                return np.empty(0, np.uint64)
        else:
            columns = rows.batch.columns
            if not rows.batch.num_rows:
                return np.empty(0, np.uint64)
        batch = pa.RecordBatch.from_arrays(columns, names=self._names)
        found = self._runner.run(batch, lambda row: f"row {row}").column(0)
        hashes: U64 = found.to_numpy()
        return hashes

    def close(self) -> None:
        """Close the database."""
        self._runner.close()


def _is_bytes(kind: Any) -> bool:
    return bool(t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind))
