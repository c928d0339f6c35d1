"""The rows of a mix, as a feed: source by source, each row as often as it is taken.

    part -> feed -> Copies -> batches

Workers go from one source to the next together, so that the memory is that of one.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from dbshuf.base.block_io import U8
from dbshuf.base.key import seed_words
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.scan import Scan
from dbshuf.base.spans import Spans
from dbshuf.base.workers import Stopped
from dbshuf.errors import InputChanged
from dbshuf.order.mixed import Copies
from dbshuf.order.sampled import Held
from dbshuf.plan.mix import Mix, MixPart


class MixScan:
    """What a mix takes of its sources; see base.Scan."""

    is_in_pieces = False
    ended: Mapping[int, int] = MappingProxyType({})

    def __init__(self, mix: Mix, seed: str, open_part: Callable[[MixPart], Scan]) -> None:
        """Read the sources with what `open_part` returns."""
        self._mix, self._open = mix, open_part
        self._feeds: list[Scan] = []
        words = seed_words(rank_seed(seed))
        self._copies = [Copies(one.taken, words, mix.inputs) for one in mix.parts]
        self._changed = threading.Condition()  # guards what follows
        self._inside = 0  # workers that read the last of the feeds
        self._is_stopped = False
        self.most_workers = min(workers_for(one.part) for one in mix.parts)

    def leave_out(self, known: Spans) -> None:
        """Nothing can be: a row may have been taken several times."""

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        held = Held()
        number = 0
        while (number := self._enter(number)) < len(self._copies):
            try:
                for batch in self._feeds[number].batches(buffer):
                    yield from self._copies[number].of(batch, held)
                    del batch
            finally:
                self._leave()
            number += 1
        yield from held.rest()

    def _enter(self, number: int) -> int:
        """Begin with a source, or the one that others are at; wait for those before it."""
        with self._changed:
            while not self._is_stopped and number >= len(self._feeds) and self._inside:
                self._changed.wait()
            if self._is_stopped:
                raise Stopped
            number = max(number, len(self._feeds) - 1)
            if number < len(self._copies):
                if number == len(self._feeds):
                    self._feeds.append(self._open(self._mix.parts[number].part))
                self._inside += 1
            return number

    def _leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def check(self) -> None:
        """Raise InputChanged unless each source had, and gave, the rows that were counted."""
        for feed in self._feeds:
            feed.check()
        for one, copies in zip(self._mix.parts, self._copies, strict=True):
            counted, taken = one.has.rows, one.taken.rows
            if (copies.seen_rows, copies.rows) != (counted, taken):
                raise InputChanged(
                    f"`{one.part.source.shown}`: {counted:,} rows were counted, and"
                    f" {copies.seen_rows:,} read; {taken:,} were to be taken, and"
                    f" {copies.rows:,} were",
                    hint="mix copies that no one writes to",
                )

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            feeds = list(self._feeds)
            self._changed.notify_all()
        for feed in feeds:
            feed.stop()

    def close(self) -> None:
        self.stop()
        for feed in self._feeds:
            feed.close()


def rank_seed(seed: str) -> str:
    """Return the seed of the keys that rank the rows of a source."""
    return f"mix:{seed}"


def workers_for(part: MixPart) -> int:
    """Return how many workers may read a source: numbers of lines are counted by one."""
    names = frozenset() if part.query is None else part.query.columns
    return 1 if "line_number" in names else 1 << 10
