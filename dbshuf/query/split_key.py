"""--split-by: a stable hash of the value that an expression has in each row."""

import numpy as np
import pyarrow as pa

from dbshuf.base.key import U64
from dbshuf.base.statements import filled, identifier, quoted
from dbshuf.query.binding import Binder, check_plan
from dbshuf.query.evaluator import ChunkDatabase, ChunkRunner, ChunkStep, Place, row_column
from dbshuf.query.fence import macros_for
from dbshuf.query.json_rows import JsonRows, decoded
from dbshuf.query.overloads import check_overloads
from dbshuf.query.parse import SqlText
from dbshuf.query.row_filter import EVALUATION_BYTES, PREFIX, check_complete, expressions, single
from dbshuf.query.star_columns import own_stars


class RowKeyQuery:
    """One row-local expression, whose equal values get equal hashes on any machine.

    columns  of `lines` that the caller makes; it may make more
    """

    def __init__(
        self,
        text: str,
        relation: pa.Schema,
        seed: str,
        *,
        json_structure: str | None = None,
        memory_bytes: int = EVALUATION_BYTES,
        option: str = "--split-by",
    ) -> None:
        """Parse, bind and check, as RowQuery does. Raises QueryInvalid."""
        self._json = None if json_structure is None else JsonRows(json_structure)
        seen = relation if self._json is None else self._json.relation
        sql, row = SqlText(option, text, seen.names), row_column(seen.names)
        macros = macros_for((text,), None)
        self._database = ChunkDatabase(memory_bytes, macros)
        with Binder(seen, option=option, macros=macros) as binder:
            tree = single(sql, expressions(binder.connection, sql))
            shape = filled("duckdb", "row_where", where=text, row=identifier(row))
            check_complete(binder.connection, sql, shape.text, "where_clause", tree)
            query = filled("duckdb", "row_key", expression=text, seed=quoted(seed))
            written = sql
            sql, query = own_stars(binder, sql, query, "expression")
            bound = binder.bind(sql, query, "expression")
            check_plan(sql, bound)
            check_overloads(binder, written, query.text, tree, len(PREFIX))
            self._step = ChunkStep(option, query.text, bound.columns, binder.types, row)
        self._read = [name for name in seen.names if name in bound.columns]
        self.columns = bound.columns
        if self._json is not None:
            self.columns = frozenset({"line", *(bound.columns & self._json.place)})

    def evaluator(self) -> "RowKeyEvaluator":
        """Return what evaluates this in one thread; close it after use."""
        first = None if self._json is None else self._json.step(self._read)
        runners = [ChunkRunner(self._database, step) for step in (first, self._step) if step]
        return RowKeyEvaluator(runners, self._read)


class RowKeyEvaluator:
    """A RowKeyQuery in one thread, which does all the work itself."""

    def __init__(self, runners: list[ChunkRunner], read: list[str]) -> None:
        """Take over `runners`: the JSON step if there are two, and the expression's."""
        self._runners, self._read = runners, read

    def run(self, relation: pa.RecordBatch, place: Place) -> U64:
        """Return the hash of every row.

        relation  pyarrow RecordBatch, shape (rows,), with the query's columns in any order;
                  of JSON lines each holds an object
        Returns   uint64, shape (rows,): the first 8 bytes, little-endian, of SHA-256 over
                  the seed, 0x1F and the value as VARCHAR; for NULL over the seed and 0x1E
        Raises    QueryFailed, with the place of the first row that fails
        """
        batch = relation
        if len(self._runners) > 1:
            rows, batch = decoded(self._runners[0], batch, self._read, place)
            assert len(rows) == relation.num_rows, "a line of white space has no key"
        column = self._runners[-1].run(batch, place).column(0)
        hashes: U64 = np.frombuffer(column.buffers()[2] or b"", "<u8", len(column))
        return hashes

    def close(self) -> None:
        """Give the connections back; harmless when repeated."""
        for runner in self._runners:
            runner.close()
