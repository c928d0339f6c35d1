"""One row-local expression of the user's over chunks of rows: a value for each of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dbshuf.base.key import U64
from dbshuf.base.statements import filled, identifier, quoted
from dbshuf.errors import QueryFailed
from dbshuf.query.binding import Binder, check_plan
from dbshuf.query.evaluator import ChunkDatabase, ChunkRunner, ChunkStep, Place, row_column
from dbshuf.query.fence import macros_for
from dbshuf.query.overloads import check_overloads
from dbshuf.query.parse import SqlText
from dbshuf.query.row_filter import EVALUATION_BYTES, PREFIX, check_complete, expressions, single
from dbshuf.query.star_columns import own_stars

F64 = npt.NDArray[np.float64]
Values = TypeVar("Values")

_NUMBERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
    *("FLOAT", "DOUBLE", "DECIMAL"),
)
_HINT = "weights are 0 or more, and rows of weight 0 come last; leave rows out with --where"
_NULL_HINT = "say what NULL weighs, as in coalesce(WEIGHT, 0); or leave rows out with --where"


class RowExpression(ABC, Generic[Values]):
    """An expression, and what is made of its value.

    columns  of `lines` that the caller makes; it may make more
    """

    def __init__(
        self, text: str, relation: pa.Schema, template: str, *, option: str, **parts: str
    ) -> None:
        """Parse, bind and check, as RowQuery does. Raises QueryInvalid.

        template  the name of the statement that has the text as its {expression}, and one column
        parts     others of the template
        """
        self._option = option
        sql, row = SqlText(option, text, relation.names), row_column(relation.names)
        macros = macros_for((text,), None)
        self._database = ChunkDatabase(EVALUATION_BYTES, macros)
        with Binder(relation, option=option, macros=macros) as binder:
            tree = single(sql, expressions(binder.connection, sql))
            shape = filled("duckdb", "row_where", where=text, row=identifier(row))
            check_complete(binder.connection, sql, shape.text, "where_clause", tree)
            query = filled("duckdb", template, expression=text, **parts)
            written = sql
            sql, query = own_stars(binder, sql, query, "expression")
            bound = binder.bind(sql, query, "expression")
            check_plan(sql, bound)
            check_overloads(binder, written, query.text, tree, len(PREFIX))
            self._check(binder, sql, binder.constant(sql, query, "expression", tree))
            self._step = ChunkStep(option, query.text, bound.columns, binder.types, row)
        self.columns = bound.columns

    def _check(self, binder: Binder, sql: SqlText, constant: list[Any]) -> None:
        """Look at what has been bound. Raises QueryInvalid.

        constant  the value of the statement, where it is the same in every row
        """

    @abstractmethod
    def _values(self, column: pa.Array, place: Place) -> Values:
        """Return what the one column of the statement says. Raises QueryFailed."""

    def evaluator(self) -> "ExpressionEvaluator[Values]":
        """Return what evaluates this in one thread; close it after use."""
        return ExpressionEvaluator(ChunkRunner(self._database, self._step), self._values)


class ExpressionEvaluator(Generic[Values]):
    """A RowExpression in one thread, which does all the work itself."""

    def __init__(self, runner: ChunkRunner, values: Callable[[pa.Array, Place], Values]) -> None:
        self._runner, self._values = runner, values
        self.close = runner.close  # gives the connection back; harmless when repeated

    def run(self, relation: pa.RecordBatch, place: Place) -> Values:
        """Return the value of every row, shape (rows,).

        relation  pyarrow RecordBatch, shape (rows,), with the query's columns in any order
        Raises    QueryFailed, with the place of the first row that fails
        """
        return self._values(self._runner.run(relation, place).column(0), place)


class RowKeyQuery(RowExpression[U64]):
    """--split-by and the like: equal values get equal hashes on any machine.

    A hash is uint64: the first 8 bytes, little-endian, of SHA-256 over the seed, 0x1F and the
    value as VARCHAR; for NULL over the seed and 0x1E.
    """

    def __init__(
        self, text: str, relation: pa.Schema, seed: str, *, option: str = "--split-by"
    ) -> None:
        """Parse, bind and check. Raises QueryInvalid."""
        self._again = partial(RowKeyQuery, text, relation, seed, option=option)
        super().__init__(text, relation, "row_key", option=option, seed=quoted(seed))

    def __reduce__(self) -> Any:
        """What another process makes it of, as of `RowQuery`."""
        return self._again, ()

    def _values(self, column: pa.Array, place: Place) -> U64:
        hashes: U64 = np.frombuffer(column.buffers()[2] or b"", "<u8", len(column))
        return hashes


class RowWeightQuery(RowExpression[F64]):
    """--weight: a number, finite and at least 0."""

    def __init__(self, text: str, relation: pa.Schema, *, option: str = "--weight") -> None:
        """Parse, bind and check. Raises QueryInvalid, also for what is no number."""
        super().__init__(text, relation, "row_weight", option=option)

    def _check(self, binder: Binder, sql: SqlText, constant: list[Any]) -> None:
        query = filled("duckdb", "row_value", expression=sql.text)
        kind = str(binder.connection.sql(query.text).types[0])
        if not kind.startswith(_NUMBERS) or "[" in kind:  # a list of them is none
            raise sql.invalid(
                f"a weight is a number, and this is {kind}",
                hint="cast it, as in CAST(column AS DOUBLE)",
            )
        for value in constant:
            if value is None or not 0 <= value < np.inf:
                found = "NULL" if value is None else f"{value:.17g}"
                raise sql.invalid(f"{found} is no weight, and each row has it", hint=_HINT)

    def _values(self, column: pa.Array, place: Place) -> F64:
        weights: F64 = column.fill_null(np.nan).to_numpy(zero_copy_only=False)
        is_bad = ~((weights >= 0) & (weights < np.inf))
        if is_bad.any():
            row = int(np.argmax(is_bad))
            is_null = not column[row].is_valid
            found = "NULL" if is_null else f"{weights[row]:.17g}"
            raise QueryFailed(
                f"{place(row)}: {self._option}: {found} is no weight",
                hint=_NULL_HINT if is_null else _HINT,
            )
        return weights
