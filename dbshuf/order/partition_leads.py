"""--partition-by: all rows of one value after each other, those of a value by their keys."""

import threading
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from dbshuf.base.key import U64
from dbshuf.base.row_checksum import hashes_of_rows
from dbshuf.base.value_leads import value_leads
from dbshuf.order.leads import Place
from dbshuf.order.ranges import equal_cuts

_SAMPLED = 4096  # leads, for where buckets begin


class PartitionLeads:
    """Leads that keep the rows of a value together; see order.leads.Leads."""

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
        if len(self._sample) < _SAMPLED:
            with self._lock:
                some = found[:: max(len(found) // _SAMPLED, 1)]
                self._sample = np.concatenate([self._sample, some])[:_SAMPLED]
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
