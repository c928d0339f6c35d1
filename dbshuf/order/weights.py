"""--weight: rows by exponential keys, so that a row of twice the weight tends to come earlier."""

import threading

import numpy as np
import pyarrow as pa

from dbshuf.base.exponential import F64, exponential_keys, lead_of
from dbshuf.base.key import U64
from dbshuf.order.leads import Place
from dbshuf.query.row_weight import RowWeightEvaluator, RowWeightQuery

_SAMPLED = 8192  # weights, for where buckets begin
_POINTS = 1 << 17  # of the distribution that rows of these weights have


class WeightLeads:
    """Leads that are exponential keys; see order.leads.Leads."""

    def __init__(self, text: str, relation: pa.Schema, *, option: str = "--weight") -> None:
        """Have the weights of an expression. Raises QueryInvalid."""
        self._query = RowWeightQuery(text, relation, option=option)
        self.columns = self._query.columns
        self._sample: F64 = np.empty(0, np.float64)
        self._lock = threading.Lock()

    def evaluator(self) -> "WeightEvaluator":
        return WeightEvaluator(self._query.evaluator(), self)

    def saw(self, weights: F64) -> None:
        """Know weights of some rows; the first ones tell what others may be."""
        if len(self._sample) >= _SAMPLED:
            return
        with self._lock:
            step = max(len(weights) // _SAMPLED, 1)
            self._sample = np.concatenate([self._sample, weights[::step]])[:_SAMPLED]

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


class WeightEvaluator:
    """The leads of rows, in one thread; see order.leads.LeadEvaluator."""

    def __init__(self, evaluator: RowWeightEvaluator, leads: WeightLeads) -> None:
        self._evaluator, self._leads = evaluator, leads
        self.close = evaluator.close

    def leads(self, relation: pa.RecordBatch, keys: U64, place: Place) -> U64:
        weights = self._evaluator.run(relation, place)
        self._leads.saw(weights)
        return lead_of(exponential_keys(keys, weights))
