"""One file, and splits, files or shards, that a later process goes on with; see sealed_output.py.

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
from dbshuf.sink.begun_file import Position
from dbshuf.sink.output_path import find
from dbshuf.sink.publish import Directory, HiddenDirectory, HiddenFile, Kept
from dbshuf.sink.raw_file import SealedBytes
from dbshuf.sink.seal import NamedFile
from dbshuf.sink.sealed_output import SealedOutput, kept_place
from dbshuf.sink.sealed_splits import SplitShards
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


class SealedFiles(PlacedSink):
    """The file of a target, or its splits, sealed as far as they are written."""

    def __init__(
        self, target: Target, work: WorkDir, output: SealedOutput, sums: WindowSum | None
    ) -> None:
        """Go on from what is sealed; `sums` gets the rows that are written.

        Raises  FileDamaged if what is sealed cannot be gone on with
        """
        self._work, self._kept, self._sums = work, output, sums
        self._counts = Tally(*output.last.counts)
        self._places: list[_KeptFile] = []
        self._parts: list[FileSink | SplitShards] = []
        self._hidden: Path | None = None  # of shards
        self._all = self._sink_of(target)
        super().__init__(self._all.places)
        self._marks: deque[_Mark] = deque()
        self._new_parts: list[list[object]] = [[] for _ in self._parts]  # see Position
        self._sealed_key = output.last.next_key
        for place in self._places:
            sync_directory(place.move[0].parent)

    def _sink_of(self, target: Target) -> FileSink | SplitSink:
        if not target.split_names:
            return self._open(target)
        if not target.in_shards:
            return SplitSink(target, open_file=self._open)
        assert isinstance(target.path, Path)
        kept = kept_place(self._work, self._kept)
        place = _KeptDirectory(target.path, force=target.force, kept=kept)
        self._hidden = place.move[0]
        sync_directory(place.place)

        def open_shards(target: Target, *, directory: Directory, folder: str) -> SplitShards:
            assert directory is place
            begun = self._kept.begun_file(len(self._parts), self._work)
            part = SplitShards(target, directory=place, folder=folder, begun=begun)
            self._parts.append(part)
            return part

        return SplitSink(target, directory=place, open_shards=open_shards)

    def _open(self, target: Target) -> FileSink:
        assert isinstance(target.path, Path)
        number, work = len(self._parts), self._work
        begun = self._kept.begun_file(number, work)
        hidden = self._kept.hidden_files.get(number)
        had = SealedBytes(begun.bytes, begun.crc32) if begun.bytes else None
        if had is None and hidden is not None:
            with contextlib.suppress(OSError):
                os.unlink(hidden)

        def note(name: os.PathLike[str]) -> None:
            work.note("output", hidden=os.fspath(name), file=number)

        kept = Kept(work.path, hidden, note, had=had)
        place = _KeptFile(find(target.path), shown=str(target.path), kept=kept)
        part = FileSink(target, place, begun)
        self._places.append(place)
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

    def stop(self) -> None:
        self._all.stop()

    def checkpoint(self, next_key: int) -> None:
        """Seal what there is of the files, if it is more than what is sealed."""
        positions = [part.position() for part in self._parts]
        for new, position in zip(self._new_parts, positions, strict=True):
            new.extend(position.parts)
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
        if self._hidden is not None:  # finished shards are on disk, and need no seal of their own
            sync_directory(self._hidden)
        sealed = [place.output.seal() for place in self._places]
        files = [
            [*seal, given.rows, given.taken, now.written]
            for seal, given, now in zip(
                sealed or [SealedBytes(0, 0)] * len(positions),
                mark.positions,
                positions,
                strict=True,
            )
        ]
        self._work.note(
            "files",
            next_key=mark.next_key,
            counts=mark.counts,
            row_sum=mark.row_sum,
            files=files,
            parts=self._new_parts,
        )
        self._sealed_key = mark.next_key
        self._new_parts = [[] for _ in self._parts]

    def suspend(self) -> None:
        """Let go of the output; what is sealed stays. Never raises."""
        self.abort()


def _is_held(mark: _Mark, now: list[Position]) -> bool:
    """Whether all rows before a place are in the files."""
    pairs = zip(mark.positions, now, strict=True)
    return all(given.taken <= held.written for given, held in pairs)
