"""A directory of shards, each a file of its own, cut from the one order."""

import os

from dbshuf.base.window import Window
from dbshuf.sink.cut_points import Cut, FileCut, GroupEnds, KeyCut, PlaceCut, SizeCut
from dbshuf.sink.hashed_output import Encoder, written_by
from dbshuf.sink.publish import Directory, directory_of
from dbshuf.sink.raw_file import MeasuredOutput
from dbshuf.sink.seal import NamedFile, WrittenFile
from dbshuf.sink.shard_names import shard_names
from dbshuf.sink.single_file import PlacedSink, open_encoder
from dbshuf.sink.target import Target

_PROBES = 16  # as many rows as these would be a shard, if they were nothing but frames


def _row_frame_bytes(target: Target) -> int:
    """Return about what a row without values takes: names in JSON, offsets in Arrow."""
    names = ["line"] if target.schema is None else target.schema.names
    return sum(len(name.encode()) + 8 for name in names) + 1


class ShardSink(PlacedSink):
    """Rows to shards by range of the key, or by size; one file is open at a time.

    Every shard exists, also one without rows: it holds the header, or the schema. By size
    there is at least one shard, and how many is known at the end only.
    """

    def __init__(
        self, target: Target, *, directory: Directory | None = None, folder: str = ""
    ) -> None:
        """Write to the target's directory, or to a `folder` of one that others write to too."""
        self._target = target
        self._cut = self._cut_of(target)
        self._directory = directory or directory_of(target)
        self._written: list[WrittenFile] = []
        super().__init__([self._directory])
        self._folder = folder
        self._names = shard_names(target.shards or 0, target.format)  # those known already
        self._files: list[int] = []
        self._shard = -1
        self._output: MeasuredOutput | None = None
        self._encoder: Encoder | None = None

    def _cut_of(self, target: Target) -> Cut:
        if target.shards is not None:
            if target.all_rows is not None:
                return PlaceCut(target.shards, target.all_rows)
            return KeyCut(target.shards, target.key_end)
        groups = GroupEnds() if target.in_groups else None
        if target.shard_bytes is None:
            return SizeCut(None, target.shard_rows, groups=groups)
        if target.format == "txt":  # the bytes of rows as cuts count them are those of the file
            text_bytes = max(target.shard_bytes - len(target.header), 1)
            return SizeCut(text_bytes, None, groups=groups)
        return FileCut(
            target.shard_bytes,
            probe_rows=max(target.shard_bytes // _PROBES // _row_frame_bytes(target), 1),
            measure=self._measure,
            groups=groups,
        )

    @property
    def directory(self) -> Directory | None:
        return self._directory

    @property
    def files(self) -> list[NamedFile]:
        names = shard_names(self._cut.parts, self._target.format)
        named = zip(names, self._written, strict=False)
        return [(os.path.join(self._folder, name), written) for name, written in named]

    def encode(self, window: Window) -> None:
        for shard, first, last in self._cut.runs(window.counted_bounds, window.first_words):
            self._open(shard).write(window.slice(first, last))

    def flush(self) -> None:
        if self._encoder is not None:
            self._encoder.flush()

    def complete(self) -> None:
        self._open(self._cut.parts - 1)
        self._close()
        self._name_files()

    def _name_files(self) -> None:
        names = shard_names(self._cut.parts, self._target.format)
        for number, name in zip(self._files, names, strict=True):
            self._directory.name(number, os.path.join(self._folder, name))

    def stop(self) -> None:
        if self._encoder is not None:
            self._encoder.abort()
            self._encoder = None

    def _open(self, shard: int) -> Encoder:
        """Return the encoder of a shard; those before it are finished, empty or not."""
        while self._encoder is None or self._shard < shard:
            self._close()
            number, output = self._directory.create(self._name_of(self._shard + 1))
            self._files.append(number)
            self._output = output
            try:
                self._encoder = open_encoder(output, self._target)
            except BaseException:
                output.abort()
                raise
            self._shard += 1
        return self._encoder

    def _name_of(self, shard: int) -> str | None:
        return os.path.join(self._folder, self._names[shard]) if self._names else None

    def _measure(self, shard: int) -> int:
        """Return the bytes of a shard, if it ended with the rows that it has."""
        rest = self._open(shard).flush()
        assert self._output is not None
        return self._output.written_bytes + rest

    def _close(self) -> None:
        if self._encoder is not None:
            self._encoder.finish()
            if (written := written_by(self._encoder)) is not None:
                self._written.append(written)
            self._encoder = None
