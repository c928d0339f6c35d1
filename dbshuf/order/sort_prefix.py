"""Orders by two words: rows leave by (lead, key), where an expression gives every row its lead.

    feed -> LedScan -> engine -> windows, (lead, key) ascending

A lead is any 64-bit number and many rows may have the same, so that an order by groups, or by
weights, is the order by keys with something before it. Engines need not know what a lead says:
they store it beside the key, and order by both.

ValueLeads      --group, --spread    a hash of a value
PartitionLeads  --partition-by       a hash of columns, then the first bits of the key
WeightLeads     --weight             an exponential key
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import U8
from dbshuf.base.counters import Tally
from dbshuf.base.exponential import exponential_keys, lead_of
from dbshuf.base.key import U64, mix_ids
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.row_checksum import hashes_of_rows
from dbshuf.base.scan import Scan, ThroughScan
from dbshuf.base.value_leads import value_leads
from dbshuf.order.engine import Order
from dbshuf.order.ranges import equal_cuts
from dbshuf.query.evaluator import Place
from dbshuf.query.relation import AnyRelation
from dbshuf.query.row_expression import (
    F64,
    ExpressionEvaluator,
    RowKeyQuery,
    RowWeightQuery,
    Values,
)

_SAMPLED_LEADS = 4096  # for where buckets begin
_SAMPLED_WEIGHTS = 8192
_POINTS = 1 << 17  # of the distribution that rows of these weights have


class LeadEvaluator(Protocol):
    """What gives rows their leads, in one thread."""

    def leads(self, relation: pa.RecordBatch, keys: U64, place: Place) -> U64:
        """Return the lead of every row: uint64, shape (rows,).

        relation  pyarrow RecordBatch, shape (rows,), with the columns of `Leads.columns`
        keys      uint64, shape (rows,)
        Raises    QueryFailed, with the place of the first row that has none
        """

    def close(self) -> None:
        """Give back what it holds; harmless when repeated."""


class Leads(Protocol):
    """What gives rows the first word of their order: a function of a row and its key alone.

    columns  of the relation `lines` that it sees
    """

    columns: frozenset[str]

    def evaluator(self) -> LeadEvaluator:
        """Return what works in one thread."""

    def cuts(self, count: int) -> U64 | None:
        """Return where all but the first of `count` buckets of about equal size begin.

        It is asked once some rows have leads, and decides nothing but how soon the run is done.
        Returns  uint64, shape (count - 1,), ascending; None: leads are uniform
        """


@dataclass(frozen=True)
class LeadPlace:
    """What leads are told by, beside the rows.

    words     of the seed of the order
    relation  makes that of a batch
    place     id -> the name of the row's place
    """

    words: tuple[int, int]
    relation: AnyRelation
    place: Callable[[int], str]


class LedScan(ThroughScan):
    """What a feed has, each row with its lead."""

    def __init__(self, feed: Scan, leads: Leads, given: LeadPlace) -> None:
        super().__init__(feed, is_in_pieces=feed.is_in_pieces)
        self._leads, self._given = leads, given

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        evaluator = self._leads.evaluator()
        try:
            for batch in self._feed.batches(buffer):
                yield self._led(evaluator, batch)
                del batch
        finally:
            evaluator.close()

    def _led(self, evaluator: LeadEvaluator, batch: LineBatch | RowBatch) -> LineBatch | RowBatch:
        given = self._given
        ids, relation = given.relation.of(batch)
        if not len(ids):
            return replace(batch, leads=np.empty(0, np.uint64))
        keys = ids.copy()
        mix_ids(keys, given.words)
        leads = evaluator.leads(relation, keys, lambda row: given.place(int(ids[row])))
        return replace(batch, leads=leads)


class LedOrder:
    """An order of rows that get their leads once it is known that they are ordered.

    So a sample is that of the order by keys; see engine.Order.
    """

    def __init__(self, order: Order, led: Callable[[Scan], Scan]) -> None:
        """Have `order` order what `led` makes of a feed."""
        self.read = Tally()
        self._order, self._led = order, led
        self.windows, self.close = order.windows, order.close

    def fill(self, feed: Scan) -> None:
        self._order.fill(self._led(feed))
        self.read = self._order.read


class _ExpressionLeads(Generic[Values]):
    """What gives leads by the value of an expression, in one thread; see LeadEvaluator."""

    def __init__(
        self, evaluator: ExpressionEvaluator[Values], lead: Callable[[Values, U64], U64]
    ) -> None:
        """Have `lead` make leads of values and keys."""
        self._evaluator, self._lead = evaluator, lead
        self.close = evaluator.close

    def leads(self, relation: pa.RecordBatch, keys: U64, place: Place) -> U64:
        return self._lead(self._evaluator.run(relation, place), keys)


class ValueLeads:
    """Rows of one value have one lead, and values any order; see Leads.

    A lead is 64 bits of a hash of the seed and the value, so two of a million values share one
    with a chance of 1 in 37 million, and then their rows stand together as if they were one value.
    """

    def __init__(self, query: RowKeyQuery) -> None:
        """query  the expression, with the seed of the hash"""
        self.columns = query.columns
        self._query = query

    def evaluator(self) -> LeadEvaluator:
        return _ExpressionLeads(self._query.evaluator(), lambda hashes, _: hashes.astype(np.uint64))

    def cuts(self, count: int) -> U64 | None:
        """Hashes are uniform."""
        return None


class WeightLeads:
    """Leads that are exponential keys: a row of twice the weight tends to come earlier."""

    def __init__(self, text: str, relation: pa.Schema, *, option: str = "--weight") -> None:
        """Have the weights of an expression. Raises QueryInvalid."""
        self._query = RowWeightQuery(text, relation, option=option)
        self.columns = self._query.columns
        self._sample: F64 = np.empty(0, np.float64)
        self._lock = threading.Lock()

    def evaluator(self) -> LeadEvaluator:
        return _ExpressionLeads(self._query.evaluator(), self._leads_of)

    def _leads_of(self, weights: F64, keys: U64) -> U64:
        self.saw(weights)
        return lead_of(exponential_keys(keys, weights))

    def saw(self, weights: F64) -> None:
        """Know weights of some rows; the first ones tell what others may be."""
        if len(self._sample) >= _SAMPLED_WEIGHTS:
            return
        with self._lock:
            step = max(len(weights) // _SAMPLED_WEIGHTS, 1)
            self._sample = np.concatenate([self._sample, weights[::step]])[:_SAMPLED_WEIGHTS]

    def cuts(self, count: int) -> U64 | None:
        """As of Leads: at quantiles of a mixture of exponential distributions.

        Where weights change on the way, buckets differ in size, and large ones are cut again.
        """
        sample = self._sample[self._sample > 0]
        if not len(sample):
            return None
        each = -(-_POINTS // len(sample))
        phases = (np.arange(len(sample)) * 0.6180339887498949) % 1
        quantiles = (np.arange(each)[:, None] + phases[None, :]) / each
        with np.errstate(over="ignore", under="ignore"):
            points = np.minimum(-np.log1p(-quantiles) / sample, np.finfo(np.float64).max).ravel()
        points.sort()
        share = len(sample) / len(self._sample)  # the others are last, all of one lead
        places = np.arange(1, count) * len(points) / (count * share)
        found = np.full(count - 1, np.inf)
        within = places < len(points)
        found[within] = points[places[within].astype(np.int64)]
        return lead_of(np.ascontiguousarray(found))


class PartitionLeads:
    """Rows of a value after each other, those of a value by their keys; see Leads."""

    def __init__(self, names: Sequence[str]) -> None:
        """Have those of some columns."""
        self.columns = frozenset(names)
        self._names = list(names)
        self._sample: U64 = np.empty(0, np.uint64)
        self._lock = threading.Lock()

    def evaluator(self) -> "PartitionLeads":
        """Return itself: it keeps nothing of a thread."""
        return self

    def leads(self, relation: pa.RecordBatch, keys: U64, place: Place) -> U64:
        found = value_leads(hashes_of_rows(relation.select(self._names)), keys)
        if len(self._sample) < _SAMPLED_LEADS:
            with self._lock:
                some = found[:: max(len(found) // _SAMPLED_LEADS, 1)]
                self._sample = np.concatenate([self._sample, some])[:_SAMPLED_LEADS]
        return found

    def close(self) -> None:
        """Nothing is held."""

    def cuts(self, count: int) -> U64 | None:
        """As of Leads: half of them by rows seen, half equal ranges, for values yet to come."""
        seen = np.sort(self._sample)
        if not len(seen):
            return None
        own = count // 2
        places = np.arange(1, own + 1) * len(seen) // (own + 1)
        found = np.concatenate([seen[places], equal_cuts(count - own)])
        found.sort()
        return found
