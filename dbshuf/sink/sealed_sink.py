"""A sink that a later process goes on with; see sealed_output.py.

What a file holds lags behind the rows that were written to it: blocks and row groups wait until
they are full, and those of a small split wait long. So the places from which the rows could be
given again are remembered, and the last one that is not behind any of the files is sealed.
"""

import contextlib
import os
from collections import deque
from pathlib import Path
from typing import NamedTuple

from dbshuf.base.counters import Tally
from dbshuf.base.row_notes import WindowSum
from dbshuf.base.temporary import leave
from dbshuf.base.window import Window
from dbshuf.base.work_dir import WorkDir, sync_directory
from dbshuf.sink.begun_file import Begun, Position
from dbshuf.sink.kept import Kept
from dbshuf.sink.output_path import find
from dbshuf.sink.publish import Directory, HiddenDirectory, HiddenFile
from dbshuf.sink.raw_file import SealedBytes
from dbshuf.sink.seal import NamedFile
from dbshuf.sink.sealed_output import END, SealedOutput, SealedPart, kept_place
from dbshuf.sink.sealed_shards import SealedShards
from dbshuf.sink.single_file import FileSink, PlacedSink
from dbshuf.sink.splits import SplitSink
from dbshuf.sink.target import Target


class _Mark(NamedTuple):
    """A place between two rows, and what was written when the order came to it."""

    next_key: int
    counts: tuple[int, int, int]
    row_sum: int
    positions: list[Position]


class _KeptFile(HiddenFile):
    """A hidden file that stays when the run fails."""

    def discard(self) -> None:
        leave(self._hidden)


class _KeptDirectory(HiddenDirectory):
    """A hidden directory that stays when the run fails."""

    def discard(self) -> None:
        self._close()
        leave(self._hidden)


class _SealedFile(FileSink):
    """A file that is sealed as far as it is written."""

    def __init__(self, target: Target, place: _KeptFile, begun: Begun) -> None:
        super().__init__(target, place, begun)
        self._output = place.output

    def seal(self) -> tuple[SealedBytes, None]:
        """Wait until all is on disk; return what there is of the file."""
        return self._output.seal(), None


class SealedSink(PlacedSink):
    """The file or the shards of a target, or its splits, sealed as far as they are written.

    What is sealed stays when it is aborted.
    """

    def __init__(
        self, target: Target, work: WorkDir, output: SealedOutput, sums: WindowSum | None
    ) -> None:
        """Go on from what is sealed; `sums` gets the rows that are written.

        Raises  FileDamaged if what is sealed cannot be gone on with
        """
        self._work, self._sealed, self._sums = work, output, sums
        self._counts = Tally(*output.last.counts)
        self._parts: list[_SealedFile | SealedShards] = []
        self._place: _KeptDirectory | None = None
        if target.in_shards:
            assert isinstance(target.path, Path)
            kept = kept_place(work, output)
            self._place = _KeptDirectory(target.path, force=target.force, kept=kept)
            sync_directory(self._place.place)
        try:
            self._all = self._sink_of(target)
        except BaseException:
            if self._place is not None:
                self._place.discard()
            raise
        super().__init__(self._all.places)
        self._marks: deque[_Mark] = deque()
        self._news: list[list[object]] = [[] for _ in self._parts]  # see Position
        self._sealed_key = output.last.next_key

    def _sink_of(self, target: Target) -> PlacedSink:
        if not target.split_names:
            return self._open_file(target) if self._place is None else self._open_shards(target)
        return SplitSink(
            target,
            directory=self._place,
            open_file=self._open_file,
            open_shards=self._open_shards,
        )

    def _open_shards(
        self, target: Target, *, directory: Directory | None = None, folder: str = ""
    ) -> SealedShards:
        assert self._place is not None
        assert directory in (None, self._place)
        number = len(self._parts)
        part = SealedShards(
            target,
            directory=self._place,
            folder=folder,
            begun=self._sealed.begun(number, self._work),
            shard=self._sealed.open_shard(number),
        )
        self._parts.append(part)
        return part

    def _open_file(self, target: Target) -> FileSink:
        assert isinstance(target.path, Path)
        number, work = len(self._parts), self._work
        begun = self._sealed.begun(number, work)
        hidden = self._sealed.hidden_files.get(number)
        had = SealedBytes(begun.bytes, begun.crc32) if begun.bytes else None
        if had is None and hidden is not None:
            with contextlib.suppress(OSError):
                os.unlink(hidden)

        def note(name: os.PathLike[str]) -> None:
            work.note("output", hidden=os.fspath(name), file=number)

        kept = Kept(work.path, hidden, note, had=had)
        place = _KeptFile(find(target.path), shown=str(target.path), kept=kept)
        part = _SealedFile(target, place, begun)
        sync_directory(place.move[0].parent)
        self._parts.append(part)
        return part

    @property
    def directory(self) -> Directory | None:
        return self._all.directory

    @property
    def files(self) -> list[NamedFile]:
        return self._all.files

    def encode(self, window: Window) -> None:
        self._all.encode(window)
        self._counts.add_window(window)
        if self._sums is not None:
            self._sums.add(window)

    def flush(self) -> None:
        self._all.flush()

    def complete(self) -> None:
        self._all.complete()
        if self._place is not None:
            self.checkpoint(END)

    def stop(self) -> None:
        self._all.stop()

    def checkpoint(self, next_key: int) -> None:
        """Seal what there is of the output, if it is more than what is sealed."""
        positions = [part.position() for part in self._parts]
        for news, position in zip(self._news, positions, strict=True):
            news.extend(position.parts)
        counts = self._counts
        totals = (counts.rows, counts.text_bytes, counts.key_sum)
        row_sum = 0 if self._sums is None else self._sums.so_far()
        bare = [position._replace(parts=()) for position in positions]
        self._marks.append(_Mark(next_key, totals, row_sum, bare))
        while len(self._marks) > 1 and _is_held(self._marks[1], positions):
            self._marks.popleft()
        mark = self._marks[0]
        is_new = mark.counts[0] > 0 and mark.next_key != self._sealed_key
        if is_new and _is_held(mark, positions):
            self._seal(mark, positions)

    def _seal(self, mark: _Mark, positions: list[Position]) -> None:
        parts = []
        for part, given, now in zip(self._parts, mark.positions, positions, strict=True):
            sealed, shard = part.seal()
            parts.append(SealedPart(sealed, given.rows, given.taken, now.written, shard))
        if self._place is not None:
            sync_directory(self._place.move[0])
        self._work.note(
            "sealed",
            next_key=mark.next_key,
            counts=mark.counts,
            row_sum=mark.row_sum,
            parts=parts,
            news=self._news,
        )
        self._sealed_key = mark.next_key
        self._news = [[] for _ in self._parts]


def _is_held(mark: _Mark, now: list[Position]) -> bool:
    """Whether all rows before a place are in the files."""
    pairs = zip(mark.positions, now, strict=True)
    return all(given.taken <= held.written for given, held in pairs)
