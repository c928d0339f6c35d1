"""Sort prefixes: rows leave by (prefix, key), where an expression gives every row its prefix.

    feed -> PrefixedScan -> engine -> windows, (prefix, key) ascending

A prefix is any 64-bit number and many rows may have the same, so that an order by groups, or by
weights, is the order by keys with something before it. Engines need not know what a prefix says:
they store it beside the key, and order by both.

ValuePrefix      --group, --spread    a hash of a value
PartitionPrefix  --partition-by       a hash of columns, then the first bits of the key
WeightPrefix     --weight             an exponential key
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Protocol

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import U8
from dbshuf.base.counters import Tally
from dbshuf.base.exponential import exponential_keys, prefix_of
from dbshuf.base.key import U64, mix_ids
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.partition_prefix import partition_prefixes
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.row_checksum import hashes_of_rows
from dbshuf.base.scan import Scan, ThroughScan
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

_SAMPLED_PREFIXES = 4096  # for where buckets begin
_SAMPLED_WEIGHTS = 8192
_POINTS = 1 << 17  # of the distribution that rows of these weights have


class PrefixEvaluator(Protocol):
    """What gives rows their prefixes, in one thread."""

    def prefixes(self, relation: pa.RecordBatch, keys: U64, place: Place) -> U64:
        """Return the prefix of every row: uint64, shape (rows,).

        relation  pyarrow RecordBatch, shape (rows,), with the columns of `SortPrefix.columns`
        keys      uint64, shape (rows,)
        Raises    QueryFailed, with the place of the first row that has none
        """

    def close(self) -> None:
        """Give back what it holds; harmless when repeated."""


class SortPrefix(Protocol):
    """What gives rows the first word of their order: a function of a row and its key alone.

    columns  of the relation `lines` that it sees
    """

    columns: frozenset[str]

    def evaluator(self) -> PrefixEvaluator:
        """Return what works in one thread."""

    def cuts(self, count: int) -> U64 | None:
        """Return where all but the first of `count` buckets of about equal size begin.

        It is asked once some rows have prefixes, and decides nothing but how soon the run is done.
        Returns  uint64, shape (count - 1,), ascending; None: prefixes are uniform
        """


@dataclass(frozen=True)
class PrefixPlace:
    """What prefixes are told by, beside the rows.

    words     of the seed of the order
    relation  makes that of a batch
    place     id -> the name of the row's place
    """

    words: tuple[int, int]
    relation: AnyRelation
    place: Callable[[int], str]


class PrefixedScan(ThroughScan):
    """What a feed has, each row with its prefix."""

    def __init__(self, feed: Scan, prefixes: SortPrefix, given: PrefixPlace) -> None:
        super().__init__(feed, is_in_pieces=feed.is_in_pieces)
        self._prefixes, self._given = prefixes, given

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        evaluator = self._prefixes.evaluator()
        try:
            for batch in self._feed.batches(buffer):
                yield self._prefixed(evaluator, batch)
                del batch
        finally:
            evaluator.close()

    def _prefixed(
        self, evaluator: PrefixEvaluator, batch: LineBatch | RowBatch
    ) -> LineBatch | RowBatch:
        given = self._given
        ids, relation = given.relation.of(batch)
        if not len(ids):
            return replace(batch, prefixes=np.empty(0, np.uint64))
        keys = ids.copy()
        mix_ids(keys, given.words)
        prefixes = evaluator.prefixes(relation, keys, lambda row: given.place(int(ids[row])))
        return replace(batch, prefixes=prefixes)


class PrefixedOrder:
    """An order of rows that get their prefixes once it is known that they are ordered.

    So a sample is that of the order by keys; see engine.Order.
    """

    def __init__(self, order: Order, prefixed: Callable[[Scan], Scan]) -> None:
        """Have `order` order what `prefixed` makes of a feed."""
        self.read = Tally()
        self._order, self._prefixed = order, prefixed
        self.windows, self.close = order.windows, order.close

    def fill(self, feed: Scan) -> None:
        self._order.fill(self._prefixed(feed))
        self.read = self._order.read


class _ExpressionPrefix(Generic[Values]):
    """What gives prefixes by the value of an expression, in one thread; see PrefixEvaluator."""

    def __init__(
        self, evaluator: ExpressionEvaluator[Values], prefix: Callable[[Values, U64], U64]
    ) -> None:
        self._evaluator, self._prefix = evaluator, prefix
        self.close = evaluator.close

    def prefixes(self, relation: pa.RecordBatch, keys: U64, place: Place) -> U64:
        return self._prefix(self._evaluator.run(relation, place), keys)


class ValuePrefix:
    """Rows of one value have one prefix, and values any order; see SortPrefix.

    A prefix is 64 bits of a hash of the seed and the value, so two of a million values share one
    with a chance of 1 in 37 million, and then their rows stand together as if they were one value.
    """

    def __init__(self, query: RowKeyQuery) -> None:
        """query  the expression, with the seed of the hash"""
        self.columns = query.columns
        self._query = query

    def evaluator(self) -> PrefixEvaluator:
        return _ExpressionPrefix(
            self._query.evaluator(), lambda hashes, _: hashes.astype(np.uint64)
        )

    def cuts(self, count: int) -> U64 | None:
        """Hashes are uniform."""
        return None


class WeightPrefix:
    """Prefixes that are exponential keys: a row of twice the weight tends to come earlier."""

    def __init__(self, text: str, relation: pa.Schema, *, option: str = "--weight") -> None:
        """Have the weights of an expression. Raises QueryInvalid."""
        self._again = partial(WeightPrefix, text, relation, option=option)
        self._query = RowWeightQuery(text, relation, option=option)
        self.columns = self._query.columns
        self._sample: F64 = np.empty(0, np.float64)
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        """What another process makes it of, as of `RowQuery`: it has seen no weights."""
        return self._again, ()

    def evaluator(self) -> PrefixEvaluator:
        return _ExpressionPrefix(self._query.evaluator(), self._prefixes_of)

    def _prefixes_of(self, weights: F64, keys: U64) -> U64:
        self.saw(weights)
        return prefix_of(exponential_keys(keys, weights))

    def saw(self, weights: F64) -> None:
        """Know weights of some rows; the first ones tell what others may be."""
        if len(self._sample) >= _SAMPLED_WEIGHTS:
            return
        with self._lock:
            step = max(len(weights) // _SAMPLED_WEIGHTS, 1)
            self._sample = np.concatenate([self._sample, weights[::step]])[:_SAMPLED_WEIGHTS]

    def cuts(self, count: int) -> U64 | None:
        """As of SortPrefix: at quantiles of a mixture of exponential distributions.

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
        share = len(sample) / len(self._sample)  # the others are last, all of one prefix
        places = np.arange(1, count) * len(points) / (count * share)
        found = np.full(count - 1, np.inf)
        within = places < len(points)
        found[within] = points[places[within].astype(np.int64)]
        return prefix_of(np.ascontiguousarray(found))


class PartitionPrefix:
    """Rows of a value after each other, those of a value by their keys; see SortPrefix."""

    def __init__(self, names: Sequence[str]) -> None:
        self.columns = frozenset(names)
        self._names = list(names)
        self._sample: U64 = np.empty(0, np.uint64)
        self._lock = threading.Lock()

    def evaluator(self) -> "PartitionPrefix":
        """Return itself: it keeps nothing of a thread."""
        return self

    def prefixes(self, relation: pa.RecordBatch, keys: U64, place: Place) -> U64:
        found = partition_prefixes(hashes_of_rows(relation.select(self._names)), keys)
        if len(self._sample) < _SAMPLED_PREFIXES:
            with self._lock:
                some = found[:: max(len(found) // _SAMPLED_PREFIXES, 1)]
                self._sample = np.concatenate([self._sample, some])[:_SAMPLED_PREFIXES]
        return found

    def close(self) -> None:
        """Nothing is held."""

    def cuts(self, count: int) -> U64 | None:
        """As of SortPrefix: half by rows seen, half equal ranges, for values yet to come."""
        seen = np.sort(self._sample)
        if not len(seen):
            return None
        own = count // 2
        places = np.arange(1, own + 1) * len(seen) // (own + 1)
        found = np.concatenate([seen[places], equal_cuts(count - own)])
        found.sort()
        return found
