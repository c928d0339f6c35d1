"""--split-by: a stable hash of the value that an expression has in each row."""

import numpy as np
import pyarrow as pa

from dbshuf.base.key import U64
from dbshuf.base.statements import quoted
from dbshuf.query.evaluator import Place
from dbshuf.query.row_expression import ExpressionRunner, RowExpression
from dbshuf.query.row_filter import EVALUATION_BYTES


class RowKeyQuery(RowExpression):
    """One row-local expression, whose equal values get equal hashes on any machine."""

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
        """Parse, bind and check. Raises QueryInvalid."""
        super().__init__(
            text,
            relation,
            "row_key",
            option=option,
            json_structure=json_structure,
            memory_bytes=memory_bytes,
            seed=quoted(seed),
        )

    def evaluator(self) -> "RowKeyEvaluator":
        """Return what evaluates this in one thread; close it after use."""
        return RowKeyEvaluator(self.runners())


class RowKeyEvaluator:
    """A RowKeyQuery in one thread."""

    def __init__(self, runner: ExpressionRunner) -> None:
        self._runner, self.close = runner, runner.close

    def run(self, relation: pa.RecordBatch, place: Place) -> U64:
        """Return the hash of every row.

        relation  as `ExpressionRunner.run` takes it
        Returns   uint64, shape (rows,): the first 8 bytes, little-endian, of SHA-256 over
                  the seed, 0x1F and the value as VARCHAR; for NULL over the seed and 0x1E
        Raises    QueryFailed, with the place of the first row that fails
        """
        column = self._runner.run(relation, place)
        hashes: U64 = np.frombuffer(column.buffers()[2] or b"", "<u8", len(column))
        return hashes
