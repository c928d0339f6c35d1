"""A sample of the order: what is dropped before it is ordered, and what after that."""

from collections.abc import Iterator

from dbshuf.base.window import Window
from dbshuf.order.engine import Order
from dbshuf.order.sampled import KeyLimit, SampledOrder
from dbshuf.plan.sample import ALL_KEYS, Sample


def sampled(sample: Sample, order: Order, words: tuple[int, int]) -> Order:
    """Return an order that is given as few rows more than the sample as one pass allows."""
    if sample.end == ALL_KEYS and sample.first_rows is None:
        return order
    return SampledOrder(order, words, KeyLimit(sample.end, sample.first_rows))


def chosen(sample: Sample | None, windows: Iterator[Window]) -> Iterator[Window]:
    """Yield what of ordered rows is in a sample; all are taken, so that they can be checked."""
    if sample is None:
        return windows
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
