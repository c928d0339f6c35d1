"""A sample of the order: what is dropped before it is ordered, and what after that."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dbshuf.base.key import UNMIXED
from dbshuf.base.window import Window
from dbshuf.order.engine import Order
from dbshuf.plan.plan import Plan
from dbshuf.plan.sample import ALL_KEYS


def as_read(plan: Plan) -> Plan:
    """Return a plan with the memory of what reads."""
    return plan if plan.first is None else replace(plan, layout=plan.first)


def sampled(plan: Plan, order: Order, words: tuple[int, int], folder: Path) -> Order:
    """Return an order that is given as few rows more than the sample as one pass allows.

    order    the engine that the plan names
    folder   for temporary data
    """
    sample = plan.sample
    assert sample is not None
    if sample.draws is not None:
        from dbshuf.order.partition import PartitionOrder
        from dbshuf.order.runs import Store
        from dbshuf.pipeline.drawn import DrawnOrder

        assert plan.first is not None
        store = Store(plan.first.store_bytes, folder / "drawn")
        first = PartitionOrder(plan.first, words, store, plan.schema)
        return DrawnOrder(first, order, plan.seed, sample.draws)
    if plan.strata is not None:
        assert plan.strata_memory is not None
        order = plan.strata.order(order, plan.strata_memory, folder)
    if sample.end == ALL_KEYS and sample.first_rows is None:
        return order
    from dbshuf.order.sampled import KeyLimit, SampledOrder

    limit = KeyLimit(sample.end, sample.first_rows, plan.likely_end)
    return SampledOrder(order, words, limit)


def spread_order(plan: Plan, order: Order, words: tuple[int, int], folder: Path) -> Order:
    """Return an order in which rows of one value are far apart; pages are cut from it later."""
    from dbshuf.order.partition import PartitionOrder
    from dbshuf.order.runs import Store
    from dbshuf.order.spread import COUNTS, SpreadOrder

    assert plan.order_by is not None
    assert plan.first is not None
    assert plan.counts is not None
    store = Store(plan.first.store_bytes, folder / "valued")
    cuts = plan.order_by.prefixes.cuts
    first = PartitionOrder(plan.first, words, store, plan.schema, prefixes=cuts)
    counted = Store(plan.counts.store_bytes, folder / "counts")
    counts = PartitionOrder(plan.counts, UNMIXED, counted, COUNTS)
    return SpreadOrder((first, order), plan.seed, words, counts)


def chosen(plan: Plan, windows: Iterator[Window]) -> Iterator[Window]:
    """Yield what of ordered rows is in a sample; all are taken, so that they can be checked."""
    sample = plan.sample
    if sample is None:
        return windows
    if plan.strata is not None:
        if sample.per is None and sample.share is None:  # all rows go to some split
            return windows
        return plan.strata.chosen(windows)
    return page(windows, sample.skip, sample.first_rows)


def page(windows: Iterator[Window], first: int, last: int | None) -> Iterator[Window]:
    """Yield rows [first, last) of all rows; last is None: to the end."""
    row = 0
    for window in windows:
        begin, end = max(first - row, 0), window.rows if last is None else last - row
        row += window.rows
        if begin == 0 and end >= window.rows:
            yield window
        elif begin < min(end, window.rows):
            yield window.slice(begin, min(end, window.rows))
