"""Rows chosen by the value of an expression: so many of each value, or the same share of each.

Of every value the rows are ranked by a key of their own, which is independent of the key that
orders the output: else the rows that are chosen of a rare value would stand further back than
those of a common one, and the output would be no uniform order. The rows of a part are those of
the first ranks, so a row is in it if its rank key is below an end that its value has.

    feed -> tee -> engine                  all rows, by their key
             |
             counts of the values, and (rank key, value) -> an order of their own
                                            -> of every value the ends of its parts
    engine -> windows -> part_of            which rows are written, or to which split
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import U8
from dbshuf.base.counters import Tally
from dbshuf.base.key import U64, ids_of, mix_ids, seed_words
from dbshuf.base.layout import Layout
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import I64, RowBatch, arrow_numbers
from dbshuf.base.scan import Scan
from dbshuf.base.window import Window
from dbshuf.errors import CheckFailed, MemoryTooSmall
from dbshuf.order.engine import Order
from dbshuf.order.partition import PartitionOrder
from dbshuf.order.runs import Store
from dbshuf.order.side_scan import TeeScan
from dbshuf.order.value_table import TooManyValues, ValueTable
from dbshuf.query.relation import AnyRelation, place_of
from dbshuf.query.row_expression import ExpressionEvaluator, RowKeyQuery
from dbshuf.source.input import Input
from dbshuf.units import cap_named, human

RECORDS = pa.schema([("value", pa.uint64())])


@dataclass(frozen=True)
class StrataPlan:
    """What rows are chosen by.

    query      the expression
    words      of the seed of the order, which turn a key back into its id
    cuts       the rows of each value (int64, shape (values,)) -> of them the first so many are
               in the first part, the first so many in the first two, ... : as many arrays
    rank_seed  of the keys that rank rows
    option     whose text the expression is, for messages
    """

    query: RowKeyQuery
    inputs: Sequence[Input]
    words: tuple[int, int]
    cuts: Callable[[I64], list[I64]]
    rank_seed: str
    option: str


@dataclass(frozen=True)
class StrataMemory:
    """What of the memory is for strata.

    layout       of the order of the records
    most_values  that there is room for
    cap_bytes    of the process, for messages
    """

    layout: Layout
    most_values: int
    cap_bytes: int


class Strata:
    """The part of every row; told by a first look at all of them."""

    def __init__(self, plan: StrataPlan) -> None:
        self.plan = plan
        self._words = seed_words(plan.rank_seed)
        self._relation = AnyRelation(plan.inputs, plan.query.columns)
        self._evaluator: ExpressionEvaluator[U64] | None = None
        self._table = ValueTable(0)
        self._ends: list[U64] = []

    def order(self, order: Order, memory: StrataMemory, folder: Path) -> "StrataOrder":
        """Return an order of the same rows which looks at them; then `part_of` can be asked."""
        return StrataOrder(self, order, memory, folder)

    def chosen(self, windows: Iterator[Window]) -> Iterator[Window]:
        """Yield the rows of windows that are in a part."""
        for window in windows:
            rows = np.flatnonzero(self.part_of(window) < len(self._ends))
            if len(rows) == window.rows:
                yield window
            elif len(rows):
                yield window.take(rows)

    def part_of(self, window: Window) -> I64:
        """Return the part of each row of a window; as many as there are parts: of none.

        Raises  QueryFailed
        """
        if self._evaluator is None:
            self._evaluator = self.plan.query.evaluator()
        ids = ids_of(window.keys, self.plan.words)
        relation = self._relation.of_window(window, ids)
        numbers = self._table.find(self._hashes(self._evaluator, relation, ids))
        if len(numbers) and int(numbers.min()) < 0:
            raise CheckFailed(
                f"{self.plan.option}: a row has another value than it had when it was read",
            )
        ranks = ids.copy()
        mix_ids(ranks, self._words)
        parts = np.zeros(len(ids), np.int64)
        for ends in self._ends:
            parts += ranks >= ends.take(numbers)
        return parts

    def _hashes(
        self, evaluator: ExpressionEvaluator[U64], relation: pa.RecordBatch, ids: U64
    ) -> U64:
        return evaluator.run(
            relation, lambda row: place_of(int(ids[row]), self.plan.inputs, "position")
        )

    def values_of(
        self, evaluator: ExpressionEvaluator[U64], batch: LineBatch | RowBatch
    ) -> RowBatch:
        """Return the value of every row that is left of a batch. Raises QueryFailed."""
        ids, relation = self._relation.of(batch)
        values = self._hashes(evaluator, relation, ids).astype(np.uint64)
        return RowBatch(pa.RecordBatch.from_arrays([arrow_numbers(values)], schema=RECORDS), ids)

    def settle(self, table: ValueTable, counts: I64, records: Iterator[Window]) -> None:
        """Find the ends of the parts of every value.

        counts   rows of each value
        records  the values of all rows, by their rank keys
        """
        cuts = self.plan.cuts(counts)
        ends = [np.zeros(len(counts), np.uint64) for _ in cuts]
        seen = np.zeros(len(counts), np.int64)
        for window in records:
            numbers = table.find(window.batch.column(0).to_numpy())
            order = np.argsort(numbers, kind="stable")
            numbers, keys = numbers.take(order), window.keys.take(order)
            starts = np.searchsorted(numbers, numbers)  # where the rows of the same value begin
            rows = seen.take(numbers) + np.arange(1, len(numbers) + 1) - starts
            np.add.at(seen, numbers, 1)
            for cut, end in zip(cuts, ends, strict=True):
                is_last = rows == cut.take(numbers)
                end[numbers[is_last]] = keys[is_last] + np.uint64(1)
        if not np.array_equal(seen, counts):
            raise CheckFailed(
                f"{self.plan.option}: {int(counts.sum()):,} rows were counted, and"
                f" {int(seen.sum()):,} ranked; nothing was published",
            )
        self._table, self._ends = table, ends


class StrataOrder:
    """An order whose rows are counted by value on their way in; see engine.Order."""

    def __init__(self, strata: Strata, order: Order, memory: StrataMemory, folder: Path) -> None:
        self.read = Tally()
        self.windows = order.windows
        self._strata, self._order, self._memory = strata, order, memory
        store = Store(memory.layout.store_bytes, folder / "ranks")
        self._records = PartitionOrder(
            memory.layout, seed_words(strata.plan.rank_seed), store, RECORDS
        )

    def fill(self, feed: Scan) -> None:
        scan = _CountingScan(feed, self._strata, self._memory)
        with scan.stored(self._records):
            self._order.fill(scan)
        self.read = self._order.read
        records, counts = self._records.windows(), scan.counts[: scan.table.count]
        try:
            self._strata.settle(scan.table, counts, records)
        finally:
            if isinstance(records, Generator):
                records.close()
            self._records.close()

    def close(self) -> None:
        self._records.close()
        self._order.close()


class _CountingScan(TeeScan):
    """What a feed has, whose values are counted and stored beside."""

    def __init__(self, feed: Scan, strata: Strata, memory: StrataMemory) -> None:
        super().__init__(feed)
        self.table = ValueTable(memory.most_values)
        self.counts: I64 = np.zeros(0, np.int64)
        self._strata, self._memory = strata, memory
        self._lock = threading.Lock()

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        evaluator = self._strata.plan.query.evaluator()
        try:
            for batch in self._feed.batches(buffer):
                values = self._strata.values_of(evaluator, batch)
                if len(values.ids):
                    self._count(values.batch.column(0).to_numpy())
                    self.put(values)
                yield batch
                del batch, values
        finally:
            evaluator.close()

    def _count(self, hashes: U64) -> None:
        with self._lock:
            try:
                self.table.add(hashes)
            except TooManyValues:
                cap, most = self._memory.cap_bytes, self._memory.most_values
                raise MemoryTooSmall(
                    f"{self._strata.plan.option}: there are more than {most:,} values, and no more"
                    f" can be counted in --memory {human(cap)}",
                    hint=f"pass --memory {cap_named(2 * cap)}, or an expression of fewer values",
                ) from None
            if self.table.count > len(self.counts):
                grown = np.zeros(max(self.table.count, 2 * len(self.counts)), np.int64)
                grown[: len(self.counts)] = self.counts
                self.counts = grown
            np.add.at(self.counts, self.table.find(hashes), 1)


def first_rows(most: int, counts: I64) -> list[I64]:
    """Return the end of the one part that has the first rows of each value, `most` at most."""
    return [np.minimum(counts, most)]


def shares_of(ends: Sequence[tuple[int, int]], counts: I64) -> list[I64]:
    """Return the ends of parts that have the same share of each value, to the nearest row.

    ends     of every part, as a share of all rows: numerator, denominator; a half goes up
    counts   rows of each value
    """
    unique, numbers = np.unique(counts, return_inverse=True)
    found = []
    for over, under in ends:
        exact = [(2 * count * over + under) // (2 * under) for count in unique.tolist()]
        found.append(np.array(exact, np.int64).take(numbers))
    return found
