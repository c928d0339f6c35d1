"""Rows to several outputs at once, each its split of them: train, valid, test."""

from dataclasses import replace

import numpy as np

from dbshuf.base.rows import arrow_numbers
from dbshuf.base.window import AnyWindow, RowWindow, Window
from dbshuf.sink.publish import HiddenDirectory
from dbshuf.sink.shards import ShardSink
from dbshuf.sink.single_file import FileSink
from dbshuf.sink.target import Target, split_path


class SplitSink:
    """Every row to the one output of its split; all are published, or none.

    Files get the name of their split before the suffix, `out.train.parquet`; shards lie
    in a folder of that name in the output directory.
    """

    def __init__(self, target: Target) -> None:
        assert target.path is not None
        assert target.member_of is not None
        self.text_bytes = 0
        self.rows = 0
        self._member_of = target.member_of
        self._directory: HiddenDirectory | None = None
        self._parts: list[FileSink | ShardSink] = []
        if target.in_shards:
            self._directory = HiddenDirectory(target.path, force=target.force)
        try:
            for name in target.split_names:
                self._parts.append(self._open(target, name))
        except BaseException:
            self.abort()
            raise

    def _open(self, target: Target, name: str) -> FileSink | ShardSink:
        assert target.path is not None
        if self._directory is not None:
            return ShardSink(target, directory=self._directory, folder=name)
        return FileSink(replace(target, path=split_path(target.path, name)))

    def write(self, window: AnyWindow) -> None:
        members = self._member_of(window)
        for number, part in enumerate(self._parts):
            rows = np.flatnonzero(members == number)
            if len(rows) == len(members):
                part.write(window)
            elif len(rows):
                part.write(_taken(window, rows))
        self.text_bytes += window.text_bytes
        self.rows += window.rows

    def finish(self) -> None:
        for part in self._parts:
            part.complete()
        if self._directory is not None:
            shards = [part for part in self._parts if isinstance(part, ShardSink)]
            names = dict(pair for part in shards for pair in part.named_files())
            self._directory.publish([names[number] for number in range(len(names))])
        for part in self._parts:
            if isinstance(part, FileSink):
                part.publish()

    def abort(self) -> None:
        for part in self._parts:
            part.abort()
        if self._directory is not None:
            self._directory.discard()


def _taken(window: AnyWindow, rows: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> AnyWindow:
    """Return some rows of a window, copied."""
    index, keys = arrow_numbers(rows), window.keys.take(rows)
    sizes = np.diff(window.bounds).take(rows)
    if isinstance(window, Window):
        return Window(window.lines.take(index), keys, int(sizes.sum(dtype=np.int64)))
    bounds = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return RowWindow(window.batch.take(index), keys, bounds)
