"""Leads by the value of an expression: rows of one value have one, and values any order.

A lead is 64 bits of a hash of the seed and the value, so two of a million values share one with a
chance of 1 in 37 million, and then their rows stand together as if they were one value.
"""

import numpy as np
import pyarrow as pa

from dbshuf.base.key import U64
from dbshuf.order.leads import Place
from dbshuf.query.split_key import RowKeyEvaluator, RowKeyQuery


class ValueLeads:
    """See leads.Leads."""

    def __init__(self, query: RowKeyQuery) -> None:
        """query  the expression, with the seed of the hash"""
        self.columns = query.columns
        self._query = query

    def evaluator(self) -> "_ValueEvaluator":
        return _ValueEvaluator(self._query.evaluator())

    def cuts(self, count: int) -> U64 | None:
        """Hashes are uniform."""
        return None


class _ValueEvaluator:
    """See leads.LeadEvaluator."""

    def __init__(self, evaluator: RowKeyEvaluator) -> None:
        self._evaluator = evaluator
        self.close = evaluator.close

    def leads(self, relation: pa.RecordBatch, keys: U64, place: Place) -> U64:
        return self._evaluator.run(relation, place).astype(np.uint64)
