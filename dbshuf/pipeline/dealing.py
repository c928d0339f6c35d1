"""Who gets which rows: the order is cut into batches, and they are dealt out in turn."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import pyarrow as pa

from dbshuf.base.rest_scan import Given
from dbshuf.base.window import Window


@dataclass(frozen=True)
class Deal:
    """How rows are dealt to the ranks: batch i, from `first_row` on, goes to rank i % world_size.

    batch_rows  rows of a batch; the very last one may have less
    first_row   place in the whole order of the first row that is dealt
    drop_last   whether batches are given only where every rank gets a full one
    """

    rank: int
    world_size: int
    batch_rows: int
    first_row: int = 0
    drop_last: bool = False

    @property
    def round_rows(self) -> int:
        """Rows that are dealt when every rank has got one batch."""
        return self.world_size * self.batch_rows

    def next_own(self, place: int) -> tuple[int, int]:
        """Return the first and the end place of this rank's batch that holds or follows `place`."""
        rounds, inside = divmod(max(place - self.first_row, 0), self.round_rows)
        if inside >= (self.rank + 1) * self.batch_rows:
            rounds += 1
        first = self.first_row + rounds * self.round_rows + self.rank * self.batch_rows
        return first, first + self.batch_rows

    def due(self, end: int) -> int:
        """Return how many rows there must be so that the own batch with this end is given."""
        behind = (self.world_size - self.rank - 1) * self.batch_rows
        return end + behind if self.drop_last else end


@dataclass(frozen=True)
class Dealt:
    """A batch of one rank.

    given  the rows of the whole order up to its last one
    """

    batch: pa.RecordBatch
    given: Given


def own_batches(
    windows: Iterator[Window],
    place: int,
    deal: Deal,
    records: Callable[[Window], pa.RecordBatch],
) -> Generator[Dealt, None, int]:
    """Yield the batches of one rank; rows of others are not even converted.

    windows  all rows from `place` on, which is at most the first row that is dealt
    records  makes a batch of a window
    Returns  the number of all rows
    """
    pieces: list[pa.RecordBatch] = []
    full: Dealt | None = None  # waits for the rows of other ranks
    due = last_key = 0
    for window in windows:
        at, end_place = place, place + window.rows
        if full is not None and due <= end_place:
            yield full
            full = None
        while at < end_place:
            first, end = deal.next_own(at)
            if first >= end_place:
                break
            begin, at = max(first, at), min(end, end_place)
            pieces.append(records(window.slice(begin - place, at - place)))
            last_key = int(window.keys[at - place - 1])
            if at == end:
                full, due = Dealt(_joined(pieces), Given(last_key, at)), deal.due(end)
                pieces = []
                if due <= end_place:
                    yield full
                    full = None
        place = end_place
    if pieces and not deal.drop_last:
        yield Dealt(_joined(pieces), Given(last_key, place))
    return place


def _joined(pieces: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pieces[0] if len(pieces) == 1 else pa.concat_batches(pieces)
