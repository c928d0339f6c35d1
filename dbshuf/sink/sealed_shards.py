"""Shards that a later process goes on with; see sealed_output.py."""

from pathlib import Path
from typing import Any

from dbshuf.base.counters import Tally
from dbshuf.base.row_notes import WindowSum
from dbshuf.base.temporary import leave
from dbshuf.base.window import Window
from dbshuf.base.work_dir import WorkDir, sync_directory
from dbshuf.sink.begun_file import Begun
from dbshuf.sink.cut_points import KeyCut, SizeCut
from dbshuf.sink.hashed_output import written_by
from dbshuf.sink.publish import HiddenDirectory
from dbshuf.sink.raw_file import DiskFile, SealedBytes
from dbshuf.sink.seal import WrittenFile
from dbshuf.sink.sealed_output import END, SealedOutput, is_plain, kept_place
from dbshuf.sink.shards import ShardSink
from dbshuf.sink.single_file import open_encoder
from dbshuf.sink.target import Target


class SealedShards(ShardSink):
    """Shards, each sealed once it is finished; see ShardSink."""

    def __init__(
        self, target: Target, work: WorkDir, output: SealedOutput, sums: WindowSum | None
    ) -> None:
        """Go on from what is sealed; `sums` gets the rows that are written."""
        assert isinstance(target.path, Path)
        self._sums = sums
        place = HiddenDirectory(target.path, force=target.force, kept=kept_place(work, output))
        self._work, self._window, self._next = work, None, 0
        super().__init__(target, directory=place)
        sync_directory(place.place)
        self._hidden = place.move[0]
        self._counts = Tally(*output.last.counts)
        self._shard = len(output.files) - 1
        self._files = list(range(len(output.files)))
        self._written = [
            WrittenFile(seal.rows, seal.sealed.size, seal.sha256)
            for seal in output.files
            if seal.sha256 is not None
        ]
        self._rows_before = self._counts.rows - (output.begun.rows if output.begun else 0)
        if output.last.cut is not None:
            self._cut.go_on(output.last.cut)
        is_read = output.last.next_key == END
        self._is_complete = is_read and len(self._files) == self._cut.parts
        if output.begun is not None:
            self._begin_again(target, place, output.begun.sealed, output.in_shard)

    _window: Window | None

    def _begin_again(
        self, target: Target, place: HiddenDirectory, had: SealedBytes, begun: Begun | None
    ) -> None:
        number, self._output = place.reopen(had)
        self._files.append(number)
        self._shard += 1
        self._encoder = open_encoder(self._output, target, begun)

    def encode(self, window: Window) -> None:
        self._window, self._next = window, 0
        for shard, first, last in self._cut.runs(window.counted_bounds, window.keys):
            part = window.slice(first, last)
            self._open(shard).write(part)
            self._counts.add_window(part)
            if self._sums is not None:
                self._sums.add(part)
            self._next = last

    def checkpoint(self, next_key: int) -> None:
        """Seal what there is of the open shard, if its format and the cut allow it."""
        is_between = isinstance(self._cut, (KeyCut, SizeCut)) and is_plain(self._target)
        if not is_between or self._encoder is None:
            return
        assert isinstance(self._cut, (KeyCut, SizeCut))
        self._encoder.flush()
        assert isinstance(self._output, DiskFile)
        self._note("begun", next_key, self._output.seal(), self._cut.within())

    def complete(self) -> None:
        self._window = None
        if not self._is_complete:
            super().complete()
            return
        self._name_files()

    def _close(self) -> None:
        encoder, output = self._encoder, self._output
        super()._close()
        if encoder is None:
            return
        assert isinstance(output, DiskFile)
        sync_directory(self._hidden)
        sealed = SealedBytes(output.written_bytes, output.sum())
        window, written = self._window, written_by(encoder)
        sha256 = None if written is None else written.sha256
        next_key = END if window is None else int(window.keys[self._next])  # None: the last one
        self._note("file", next_key, sealed, self._cut.begun(), sha256)
        self._rows_before = self._counts.rows

    def _note(
        self,
        kind: str,
        next_key: int,
        sealed: SealedBytes,
        cut: dict[str, Any],
        sha256: str | None = None,
    ) -> None:
        counts = self._counts
        self._work.note(
            kind,
            next_key=next_key,
            sealed=sealed,
            counts=[counts.rows, counts.text_bytes, counts.key_sum],
            cut=cut,
            rows=counts.rows - self._rows_before,
            row_sum=0 if self._sums is None else self._sums.so_far(),
            sha256=sha256,
        )

    def suspend(self) -> None:
        """Let go of the output; what is sealed stays. Never raises."""
        self.stop()
        leave(self._hidden)
