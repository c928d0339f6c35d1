"""What files of columns, Parquet and Arrow, share: rows in groups, and what a file says.

Groups, and the pieces that they are gathered in, are cut by rules on rows alone, so a
file is the same, byte for byte, however the rows come in windows. A thread that encodes a
group first gathers it, so the caller's only cuts, and writes what is made.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import pyarrow as pa

from dbshuf.base.key import ORDER_VERSION
from dbshuf.base.window import Window
from dbshuf.sink.begun_file import Begun, Position
from dbshuf.sink.cut_points import SizeCut
from dbshuf.sink.encoder_threads import EncoderThreads
from dbshuf.sink.formats.record_batches import Records, arrays_in
from dbshuf.sink.raw_file import ByteOutput
from dbshuf.sink.target import Target
from dbshuf.units import MIB

# Gathered at a time: lines stay in the L2 cache between the passes over them. Parquet looks
# after a piece at the latest whether its page is full, so that 1,024 long rows make no page
# of tens of MB.
PIECE_BYTES = 1 * MIB

_OFFSET_BYTES = 4  # of a value in an array; 8 where Arrow calls it large

Piece = list[Window]  # its rows: slices of windows, one after the other
Group = list[Piece]
Encoded = TypeVar("Encoded")


class ColumnFileEncoder(ABC, Generic[Encoded]):
    """One file of groups of rows: the format says how one is encoded, and how a file ends."""

    def __init__(
        self, output: ByteOutput, groups: "Groups", *, threads: int, begun: Begun | None
    ) -> None:
        self._output = output
        self._groups = groups
        begun = begun or Begun()
        self._taken, self._had = begun.taken, begun.written - begun.taken
        self._written = begun.written
        self._threads = EncoderThreads[Encoded](threads, depth=threads, write=self._put)

    @abstractmethod
    def _encode(self, group: Group) -> Encoded:
        """Return what a group becomes; on one of the threads."""

    @abstractmethod
    def _put(self, encoded: Encoded) -> None:
        """Write what a group became; on the caller's thread, in order."""

    def _parts(self) -> tuple[Any, ...]:
        """Return what is to be kept of the groups that were written since the last call."""
        return ()

    @abstractmethod
    def _end_bytes(self) -> int:
        """Return how many bytes `_write_end` would write now, when no group is encoded."""

    @abstractmethod
    def _write_end(self) -> None:
        """Write what a file has behind its groups."""

    def _go_on_with(self, begun: Begun | None) -> None:
        """Go on with what the output has, if there is any; else end. Raises FileDamaged."""
        if begun is not None and begun.bytes:
            with contextlib.ExitStack() as undo:
                undo.callback(self.abort)
                self._go_on(begun)
                undo.pop_all()

    @abstractmethod
    def _go_on(self, begun: Begun) -> None:
        """Be behind what the output has. Raises FileDamaged if it cannot be."""

    def _begin(self, group: Group) -> None:
        self._threads.call(self._encode, group)

    def write(self, window: Window) -> None:
        self._taken += window.rows
        if self._had:
            had = min(self._had, window.rows)
            self._had -= had
            window = window.slice(had, window.rows)
        for group in self._groups.add(window):
            self._begin(group)

    def flush(self) -> int:
        if group := self._groups.cut_here():
            self._begin(group)
        self._threads.drain()
        return self._end_bytes() + self._output.flush()

    def position(self) -> Position:
        """Return how far it is, in rows; groups that are open, and those encoded now, wait."""
        return Position(self._taken, self._written, self._parts())

    def finish(self) -> None:
        if group := self._groups.rest():
            self._threads.call_last(self._encode, group)
        self._threads.finish()
        self._write_end()
        self._output.finish()

    def abort(self) -> None:
        self._threads.abort()
        self._output.abort()


class Groups:
    """Rows in groups.

    group_bytes, group_rows  of one group; a single row beyond it is a group of its own
    piece_bytes              of one piece of a group, likewise; all as `counted_bounds`

    A group has fewer rows where the offsets of its values, which cuts do not count, would
    take more than `group_bytes`: 200 columns of empty texts are 800 bytes a row.
    """

    def __init__(
        self, schema: pa.Schema, *, group_bytes: int, group_rows: int, piece_bytes: int
    ) -> None:
        offset_bytes = _OFFSET_BYTES * arrays_in(schema)
        most_rows = max(min(group_rows, group_bytes // offset_bytes), 1)
        self._group_bytes, self._group_rows = group_bytes, most_rows
        self._piece_bytes = piece_bytes
        self._begin_cut()
        self._begin()

    def _begin_cut(self) -> None:
        self._cut = SizeCut(self._group_bytes, self._group_rows)
        self._number = 0

    def _begin(self) -> None:
        self._piece_cut = SizeCut(self._piece_bytes, None)
        self._group: Group = []

    def add(self, window: Window) -> Iterator[Group]:
        """Take the next rows; yield the groups that are full."""
        bounds = window.counted_bounds
        for group, first, last in self._cut.runs(bounds, window.keys):
            if group > self._number:
                yield self.rest()
                self._number = group
            keys = window.keys[first:last]
            for piece, begin, end in self._piece_cut.runs(bounds[first : last + 1], keys):
                if piece == len(self._group):
                    self._group.append([])
                self._group[piece].append(window.slice(first + begin, first + end))

    def cut_here(self) -> Group:
        """Return the group that is open, maybe without rows; the next has room for as many."""
        self._begin_cut()
        return self.rest()

    def rest(self) -> Group:
        """Return the group that is open, maybe without rows, and begin the next."""
        group = self._group
        self._begin()
        return group


def batches_of(group: Group, records: Records) -> list[pa.RecordBatch]:
    """Return each piece as one batch, and empty the group; in any thread.

    Raises  what `records` raises for rows that the output cannot have
    """
    batches = []
    while group:
        parts = []
        for window in group.pop(0):
            records.check(window)
            parts.append(records.batch(window))
        batches.append(parts[0] if len(parts) == 1 else pa.concat_batches(parts))
    return batches


def file_metadata(schema: pa.Schema, target: Target) -> Mapping[bytes, bytes]:
    """Return what a file says of itself: the user's own, then the seed and the order."""
    old = (schema if target.written is None else target.written).metadata or {}
    kept = {key: value for key, value in old.items() if not key.startswith(b"dbshuf.")}
    has_several = target.epochs > 1 and not target.in_shards
    return kept | {
        b"dbshuf.seed": target.seed.encode(),
        b"dbshuf.order_version": str(ORDER_VERSION).encode(),
        **({b"dbshuf.epochs": str(target.epochs).encode()} if has_several else {}),
    }
