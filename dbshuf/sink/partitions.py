"""Rows to a folder of each value of some columns: `out/lang=en/part-00000-of-00001.parquet`.

Rows come value after value (`order/sort_prefix.py`), so one file is open at a time, whatever
the number of values. Two values whose rows come mixed, since their hashes share the first bits, are
open side by side until both are done.
"""

import posixpath
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa

from dbshuf.base.key import U64
from dbshuf.base.partition_prefix import groups_of
from dbshuf.base.window import Window
from dbshuf.errors import CheckFailed
from dbshuf.sink.partition_names import value_folder
from dbshuf.sink.publish import Directory, directory_of
from dbshuf.sink.seal import NamedFile
from dbshuf.sink.shards import ShardSink
from dbshuf.sink.single_file import PlacedSink
from dbshuf.sink.target import Target


def shards_of(
    target: Target, *, directory: Directory | None = None, folder: str = ""
) -> PlacedSink:
    """Return a sink of shards, in folders of values where the target has such."""
    make = PartitionSink if target.partition_by else ShardSink
    return make(target, directory=directory, folder=folder)


class PartitionSink(PlacedSink):
    """Rows to shards in the folder of their values; see this file's head."""

    def __init__(
        self, target: Target, *, directory: Directory | None = None, folder: str = ""
    ) -> None:
        """Write to the target's directory, or to a `folder` of one that others write to too."""
        assert target.schema is not None
        self._names, self._locate = target.partition_by, target.locate
        self._columns = [target.schema.get_field_index(name) for name in self._names]
        self._rest = [n for n in range(len(target.schema)) if n not in self._columns]
        self._target_of_all, self._target, self._folder = target, target.of_files, folder
        self._directory = directory_of(target) if directory is None else directory
        super().__init__([self._directory])
        self._group = -1  # whose values are open
        self._open: dict[str, ShardSink] = {}
        self._done: set[str] = set()
        self._files: list[NamedFile] = []

    @property
    def directory(self) -> Directory | None:
        return self._directory

    @property
    def files(self) -> list[NamedFile]:
        return sorted(self._files)

    def encode(self, window: Window) -> None:
        assert window.prefixes is not None, "rows come without the order of their values"
        groups = groups_of(window.prefixes)
        columns = [window.batch.column(number) for number in self._columns]
        batch = window.batch.select(self._rest)
        rows = Window.of_rows(batch, window.keys)
        starts = _starts(groups, columns)
        for first, last in zip(starts, [*starts[1:], window.rows], strict=True):
            if int(groups[first]) != self._group:
                self._close_all()
                self._group = int(groups[first])
            where = partial(self._locate, int(window.keys[first]))
            values = [column[first].as_py() for column in columns]
            parts = map(value_folder, self._names, values, [where] * len(values))
            self._part(posixpath.join(self._folder, *parts)).encode(rows.slice(first, last))

    def _part(self, folder: str) -> ShardSink:
        """Return what takes the rows of a folder."""
        part = self._open.get(folder)
        if part is None:
            if folder in self._done:
                raise CheckFailed(
                    f"rows of `{folder}` came after its files were complete; nothing was published",
                )
            part = ShardSink(self._target, directory=self._directory, folder=folder)
            self._open[folder] = part
            self._done.add(folder)
        return part

    def _close_all(self) -> None:
        for part in self._open.values():
            part.complete()
            self._files += part.files
        self._open.clear()

    def flush(self) -> None:
        for part in self._open.values():
            part.flush()

    def complete(self) -> None:
        self._close_all()
        if not self._done:  # so that readers find the columns, those of folders too
            whole = replace(self._target_of_all, partition_by=())
            part = ShardSink(whole, directory=self._directory, folder=self._folder)
            part.complete()
            self._files += part.files

    def stop(self) -> None:
        for part in self._open.values():
            part.stop()


def _starts(groups: U64, columns: list[pa.Array]) -> list[int]:
    """Return where rows begin whose values are not those of the row before them, from 0."""
    if not len(groups):
        return []
    is_new = np.ones(len(groups), np.bool_)
    is_new[1:] = groups[1:] != groups[:-1]
    for column in columns:
        codes = column.dictionary_encode(null_encoding="encode").indices.to_numpy()
        is_new[1:] |= codes[1:] != codes[:-1]
    return np.flatnonzero(is_new).tolist()
