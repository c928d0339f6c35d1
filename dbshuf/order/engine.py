"""What every engine does that orders rows: rows with their ids in, rows in key order out."""

from collections.abc import Iterator
from typing import Protocol

from dbshuf.base.counters import Tally
from dbshuf.base.scan import Scan
from dbshuf.base.window import Window


class Order(Protocol):
    """One order of the rows of one feed; tests/order/test_engines.py holds all to it.

    read  what came in; complete once `fill` is done
    """

    read: Tally

    def fill(self, feed: Scan) -> None:
        """Take all rows of a feed, key them and keep them.

        Raises  what the feed raises; TempSpaceShort, TempUnusable, StrategyUnfit
        """

    def windows(self) -> Iterator[Window]:
        """Yield all rows, keys ascending; close the generator to stop early."""

    def close(self) -> None:
        """Give back memory and files, also while nothing or half of it was done."""
