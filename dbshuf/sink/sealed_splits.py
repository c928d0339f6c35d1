"""The shards of a split, of which those that are finished stay; see sealed_files.py."""

from typing import Any

from dbshuf.base.window import Window
from dbshuf.sink.begun_file import Begun, Position
from dbshuf.sink.hashed_output import written_by
from dbshuf.sink.publish import HiddenDirectory
from dbshuf.sink.raw_file import DiskFile
from dbshuf.sink.seal import WrittenFile
from dbshuf.sink.shards import ShardSink
from dbshuf.sink.target import Target

# As JSON has it: the number of its file, bytes, their CRC-32, SHA-256 if wanted, its rows, and the
# state of what cuts shards behind it.
FinishedShard = tuple[int, int, int, str | None, int, dict[str, Any]]


class SplitShards(ShardSink):
    """Shards that go on behind those that are finished; a position counts rows of the split."""

    def __init__(
        self, target: Target, *, directory: HiddenDirectory, folder: str, begun: Begun
    ) -> None:
        """Write to a `folder` of a directory that other splits write to too."""
        super().__init__(target, directory=directory, folder=folder)
        self._taken, self._had = begun.taken, begun.written - begun.taken
        self._given = self._finished_rows = begun.written
        self._new: list[FinishedShard] = []
        for number, size, _, sha256, rows, cut in begun.parts:
            self._files.append(number)
            self._shard += 1
            if sha256 is not None:
                self._written.append(WrittenFile(rows, size, sha256))
            self._cut.go_on(cut)

    def encode(self, window: Window) -> None:
        self._taken += window.rows
        had = min(self._had, window.rows)
        self._had -= had
        rest = window.slice(had, window.rows) if had else window
        for shard, first, last in self._cut.runs(rest.counted_bounds, rest.first_words):
            self._open(shard).write(rest.slice(first, last))
            self._given += last - first

    def position(self) -> Position:
        """Return how far it is: what is open is made anew."""
        new, self._new = self._new, []
        return Position(self._taken, self._finished_rows, tuple(new), self._taken)

    def _close(self) -> None:
        encoder, output = self._encoder, self._output
        super()._close()
        if encoder is None:
            return
        assert isinstance(output, DiskFile)
        written, rows = written_by(encoder), self._given - self._finished_rows
        sha256 = None if written is None else written.sha256
        place = self._files[-1], output.written_bytes, output.sum()
        self._new.append((*place, sha256, rows, self._cut.begun()))
        self._finished_rows = self._given
