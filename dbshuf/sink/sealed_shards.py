"""Shards that a later process goes on with: those of an output, or of one of its splits.

The finished ones stay; of plain text also the first bytes of the one that is open.
"""

from dbshuf.base.window import Window
from dbshuf.sink.begun_file import Begun, Position
from dbshuf.sink.cut_points import KeyCut, SizeCut
from dbshuf.sink.hashed_output import written_by
from dbshuf.sink.publish import HiddenDirectory
from dbshuf.sink.raw_file import DiskFile, SealedBytes
from dbshuf.sink.seal import WrittenFile
from dbshuf.sink.sealed_output import FinishedShard, OpenShard
from dbshuf.sink.shards import ShardSink
from dbshuf.sink.single_file import open_encoder
from dbshuf.sink.target import Target

_PLAIN = frozenset({"txt", "csv", "tsv", "jsonl"})  # whose first bytes are those of fewer rows


class SealedShards(ShardSink):
    """Shards that go on behind those that are finished; a position counts rows."""

    def __init__(
        self,
        target: Target,
        *,
        directory: HiddenDirectory,
        folder: str,
        begun: Begun,
        shard: OpenShard | None,
    ) -> None:
        """Write to a directory, or to a `folder` of one that other splits write to too.

        shard  the one that is open, of which there are the bytes of `begun`
        """
        super().__init__(target, directory=directory, folder=folder)
        self._taken, self._had = begun.taken, begun.written - begun.taken
        self._given = self._finished_rows = begun.written
        self._finished: list[FinishedShard] = []
        for one in begun.parts:
            found = FinishedShard(*one)
            self._files.append(found.number)
            self._shard += 1
            if found.sha256 is not None:
                self._written.append(WrittenFile(found.rows, found.size, found.sha256))
            self._cut.go_on(found.cut)
        if shard is not None:
            number, cut = shard
            self._cut.go_on(cut)
            self._files.append(number)
            self._shard += 1
            self._finished_rows -= begun.rows
            self._output = directory.reopen(number, SealedBytes(begun.bytes, begun.crc32))
            self._encoder = open_encoder(self._output, target, begun)

    def encode(self, window: Window) -> None:
        self._taken += window.rows
        had = min(self._had, window.rows)
        self._had -= had
        rest = window.slice(had, window.rows) if had else window
        for shard, first, last in self._cut.runs(rest.counted_bounds, rest.first_words):
            self._open(shard).write(rest.slice(first, last))
            self._given += last - first

    def position(self) -> Position:
        """Return how far it is. What is open is made anew, if it is not plain."""
        news, self._finished = tuple(self._finished), []
        written = self._given if self._can_go_on else self._finished_rows
        return Position(self._taken, written, news, self._given - self._finished_rows)

    def seal(self) -> tuple[SealedBytes, OpenShard | None]:
        """Wait until all is on disk; return what there is of the shard that is open."""
        if not self._can_go_on:
            return SealedBytes(0, 0), None
        assert self._encoder is not None
        assert isinstance(self._output, DiskFile)
        assert isinstance(self._cut, (KeyCut, SizeCut))
        self._encoder.flush()
        return self._output.seal(), (self._files[-1], self._cut.within())

    @property
    def _can_go_on(self) -> bool:
        """Whether the shard that is open can be gone on with."""
        is_between = isinstance(self._cut, (KeyCut, SizeCut)) and self._target.format in _PLAIN
        return is_between and self._encoder is not None

    def complete(self) -> None:
        if self._encoder is None and len(self._files) == self._cut.parts:
            self._name_files()
        else:
            super().complete()

    def _close(self) -> None:
        encoder, output = self._encoder, self._output
        super()._close()
        if encoder is None:
            return
        assert isinstance(output, DiskFile)
        written, rows = written_by(encoder), self._given - self._finished_rows
        sha256 = None if written is None else written.sha256
        place = self._files[-1], output.written_bytes, output.sum()
        self._finished.append(FinishedShard(*place, sha256, rows, self._cut.begun()))
        self._finished_rows = self._given
