"""--weight: the number that an expression has in each row."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dbshuf.base.statements import filled
from dbshuf.errors import QueryFailed
from dbshuf.query.binding import Binder
from dbshuf.query.evaluator import Place
from dbshuf.query.parse import SqlText
from dbshuf.query.row_expression import ExpressionRunner, RowExpression

F64 = npt.NDArray[np.float64]
_HINT = "weights are 0 or more, and rows of weight 0 come last; leave rows out with --where"
_NULL_HINT = "say what NULL weighs, as in coalesce(WEIGHT, 0); or leave rows out with --where"


class RowWeightQuery(RowExpression):
    """One row-local expression of a numeric type."""

    def __init__(self, text: str, relation: pa.Schema, *, option: str = "--weight") -> None:
        """Parse, bind and check. Raises QueryInvalid, also for what is no number."""
        self._text, self._option = text, option
        super().__init__(text, relation, "row_weight", option=option)

    def check(self, binder: Binder, sql: SqlText, constant: list[Any]) -> None:
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

    def evaluator(self) -> "RowWeightEvaluator":
        """Return what evaluates this in one thread; close it after use."""
        return RowWeightEvaluator(self.runners(), self._option)


_NUMBERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
    *("FLOAT", "DOUBLE", "DECIMAL"),
)


class RowWeightEvaluator:
    """A RowWeightQuery in one thread."""

    def __init__(self, runner: ExpressionRunner, option: str) -> None:
        self._runner, self.close, self._option = runner, runner.close, option

    def run(self, relation: pa.RecordBatch, place: Place) -> F64:
        """Return the weight of every row: float64, shape (rows,), finite and at least 0.

        relation  as `ExpressionRunner.run` takes it
        Raises    QueryFailed, with the place of the first row that has another
        """
        column = self._runner.run(relation, place)
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
