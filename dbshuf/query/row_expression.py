"""One row-local expression of the user's over chunks of rows: a column with its value in each."""

from typing import Any

import pyarrow as pa

from dbshuf.base.statements import filled, identifier
from dbshuf.query.binding import Binder, check_plan
from dbshuf.query.evaluator import ChunkDatabase, ChunkRunner, ChunkStep, Place, row_column
from dbshuf.query.fence import macros_for
from dbshuf.query.json_rows import JsonRows, decoded
from dbshuf.query.overloads import check_overloads
from dbshuf.query.parse import SqlText
from dbshuf.query.row_filter import EVALUATION_BYTES, PREFIX, check_complete, expressions, single
from dbshuf.query.star_columns import own_stars


class RowExpression:
    """An expression, and what is made of its value.

    columns  of `lines` that the caller makes; it may make more
    """

    def __init__(
        self,
        text: str,
        relation: pa.Schema,
        template: str,
        *,
        option: str,
        json_structure: str | None = None,
        memory_bytes: int = EVALUATION_BYTES,
        **parts: str,
    ) -> None:
        """Parse, bind and check, as RowQuery does. Raises QueryInvalid.

        template  the name of the statement that has the text as its {expression}, and one column
        parts     others of the template
        """
        self._json = None if json_structure is None else JsonRows(json_structure)
        seen = relation if self._json is None else self._json.relation
        sql, row = SqlText(option, text, seen.names), row_column(seen.names)
        macros = macros_for((text,), None)
        self._database = ChunkDatabase(memory_bytes, macros)
        with Binder(seen, option=option, macros=macros) as binder:
            tree = single(sql, expressions(binder.connection, sql))
            shape = filled("duckdb", "row_where", where=text, row=identifier(row))
            check_complete(binder.connection, sql, shape.text, "where_clause", tree)
            query = filled("duckdb", template, expression=text, **parts)
            written = sql
            sql, query = own_stars(binder, sql, query, "expression")
            bound = binder.bind(sql, query, "expression")
            check_plan(sql, bound)
            check_overloads(binder, written, query.text, tree, len(PREFIX))
            self.check(binder, sql, binder.constant(sql, query, "expression", tree))
            self._step = ChunkStep(option, query.text, bound.columns, binder.types, row)
        self._read = [name for name in seen.names if name in bound.columns]
        self.columns = bound.columns
        if self._json is not None:
            self.columns = frozenset({"line", *(bound.columns & self._json.place)})

    def check(self, binder: Binder, sql: SqlText, constant: list[Any]) -> None:
        """Look at what has been bound. Raises QueryInvalid.

        constant  the value of the statement, where it is the same in every row
        """

    def runners(self) -> "ExpressionRunner":
        """Return what evaluates this in one thread; close it after use."""
        first = None if self._json is None else self._json.step(self._read)
        runners = [ChunkRunner(self._database, step) for step in (first, self._step) if step]
        return ExpressionRunner(runners, self._read)


class ExpressionRunner:
    """A RowExpression in one thread, which does all the work itself."""

    def __init__(self, runners: list[ChunkRunner], read: list[str]) -> None:
        """Take over `runners`: the JSON step if there are two, and the expression's."""
        self._runners, self._read = runners, read

    def run(self, relation: pa.RecordBatch, place: Place) -> pa.Array:
        """Return the one column of the statement, shape (rows,).

        relation  pyarrow RecordBatch, shape (rows,), with the query's columns in any order;
                  of JSON lines each holds an object
        Raises    QueryFailed, with the place of the first row that fails
        """
        batch = relation
        if len(self._runners) > 1:
            rows, batch = decoded(self._runners[0], batch, self._read, place)
            assert len(rows) == relation.num_rows, "a line of white space has no value"
        return self._runners[-1].run(batch, place).column(0)

    def close(self) -> None:
        """Give the connections back; harmless when repeated."""
        for runner in self._runners:
            runner.close()
