"""Orders by two words: rows leave by (lead, key), where an expression gives every row its lead.

    feed -> LedScan -> engine -> windows, (lead, key) ascending

A lead is any 64-bit number and many rows may have the same, so that an order by groups, or by
weights, is the order by keys with something before it. Engines need not know what a lead says:
they store it beside the key, and order by both.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import U8
from dbshuf.base.counters import Tally
from dbshuf.base.key import U64, mix_ids
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.scan import Scan, ThroughScan
from dbshuf.order.engine import Order
from dbshuf.query.relation import AnyRelation

Place = Callable[[int], str]  # the name of the place of a row of a batch, for messages


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
