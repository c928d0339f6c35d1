"""What files of columns, Parquet and Arrow, share: rows in groups, and what a file says.

Groups, and the pieces that they are gathered in, are cut by rules on rows alone, so a
file is the same, byte for byte, however the rows come in windows. While groups are
encoded by threads, the next is gathered.
"""

from collections.abc import Iterator, Mapping

import pyarrow as pa

from dbshuf.key import ORDER_VERSION
from dbshuf.order.window import AnyWindow
from dbshuf.sink.cuts import SizeCut, counted_bounds
from dbshuf.sink.records import Records, arrays_in
from dbshuf.sink.target import Target
from dbshuf.units import MIB

# Gathered at a time: lines stay in the L2 cache between the passes over them. Parquet looks
# after a piece at the latest whether its page is full, so that 1,024 long rows make no page
# of tens of MB.
PIECE_BYTES = 1 * MIB

_OFFSET_BYTES = 4  # of a value in an array; 8 where Arrow calls it large

Pieces = list[pa.RecordBatch]


class Groups:
    """Rows gathered out of windows, in memory of their own.

    group_bytes, group_rows  of one group; a single row beyond it is a group of its own
    piece_bytes              of one piece of a group, likewise; all as `counted_bounds`

    A group has fewer rows where the offsets of its values, which cuts do not count, would
    take more than `group_bytes`: 200 columns of empty texts are 800 bytes a row.
    """

    def __init__(
        self, records: Records, *, group_bytes: int, group_rows: int, piece_bytes: int
    ) -> None:
        self._records = records
        offset_bytes = _OFFSET_BYTES * arrays_in(records.schema)
        most_rows = max(min(group_rows, group_bytes // offset_bytes), 1)
        self._cut = SizeCut(group_bytes, most_rows)
        self._piece_bytes = piece_bytes
        self._group = 0
        self._begin()

    def _begin(self) -> None:
        self._piece_cut = SizeCut(self._piece_bytes, None)
        self._piece = 0
        self._parts: Pieces = []
        self._pieces: Pieces = []

    def add(self, window: AnyWindow) -> Iterator[Pieces]:
        """Take the next rows; yield the groups that are full."""
        self._records.check(window)
        bounds = counted_bounds(window)
        for group, first, last in self._cut.runs(bounds, window.keys):
            if group > self._group:
                yield self.rest()
                self._group = group
            keys = window.keys[first:last]
            for piece, begin, end in self._piece_cut.runs(bounds[first : last + 1], keys):
                if piece > self._piece:
                    self._end_piece()
                    self._piece = piece
                self._gather(window.slice(first + begin, first + end))

    def rest(self) -> Pieces:
        """Return the group that is open, maybe without rows, and begin the next."""
        self._end_piece()
        pieces = self._pieces
        self._begin()
        return pieces

    def _gather(self, window: AnyWindow) -> None:
        batch = self._records.batch(window)
        self._parts.append(batch if self._records.owned else pa.concat_batches([batch]))

    def _end_piece(self) -> None:
        if self._parts:
            one = len(self._parts) == 1
            self._pieces.append(self._parts[0] if one else pa.concat_batches(self._parts))
            self._parts = []


def marked(schema: pa.Schema, target: Target) -> Mapping[bytes, bytes]:
    """Return what a file says of itself: the user's own, then the seed and the order."""
    old = schema.metadata or {}
    kept = {key: value for key, value in old.items() if not key.startswith(b"dbshuf.")}
    return kept | {
        b"dbshuf.seed": target.seed.encode(),
        b"dbshuf.order_version": str(ORDER_VERSION).encode(),
    }
