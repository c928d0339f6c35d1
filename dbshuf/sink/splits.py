"""Rows to several outputs at once, each its split of them: train, valid, test."""

import posixpath
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dbshuf.base.key import U64
from dbshuf.base.window import Window
from dbshuf.errors import QueryFailed
from dbshuf.sink.partitions import shards_of
from dbshuf.sink.publish import Directory, FileOf, directory_of
from dbshuf.sink.remote_path import RemotePath
from dbshuf.sink.single_file import FileSink, PartsSink, PlacedSink
from dbshuf.sink.target import Target, split_path

if TYPE_CHECKING:
    from dbshuf.sink.target import Members


class SplitSink(PartsSink):
    """Every row to the one output of its split; all are published, or none.

    Files get the name of their split before the suffix, `out.train.parquet`; shards lie
    in a folder of that name in the output directory.
    """

    def __init__(
        self,
        target: Target,
        *,
        directory: Directory | None = None,
        folder: str = "",
        open_file: Callable[[Target], FileSink] = FileSink,
        open_shards: Callable[..., PlacedSink] = shards_of,
    ) -> None:
        """Write to the target, or to a `folder` of a directory that others write to too.

        open_file    opens the file of a split, where each is a file of its own
        open_shards  opens the shards of a split, as `shards_of` does
        """
        assert target.member_of is not None
        self._member_of = target.member_of
        self._check = _OneSplit(target) if target.in_groups else None
        self._shared, self._folder, self._open_file = directory, folder, open_file
        self._open_shards = open_shards
        super().__init__(target)

    def _open(self, target: Target) -> None:
        assert target.path is not None
        is_together = target.in_shards or isinstance(target.path, RemotePath)
        if is_together:
            shared = directory_of(target) if self._shared is None else self._shared
            self._places.append(shared)
            self._directory = shared if target.in_shards else None
        for name in target.split_names:
            part: PlacedSink
            if target.in_shards:
                folder = posixpath.join(self._folder, name)
                part = self._open_shards(target, directory=shared, folder=folder)
            elif is_together:
                path = split_path(target.path, name)
                part = FileSink(replace(target, path=path), FileOf(shared, path.name))
            else:
                part = self._open_file(replace(target, path=split_path(target.path, name)))
                self._places.extend(part.places)
            self._parts.append(part)

    def encode(self, window: Window) -> None:
        members = self._member_of(window.unnumbered or window)
        if self._check is not None:
            self._check.see(window, members)
        for number, part in enumerate(self._parts):
            rows = np.flatnonzero(members == number)
            if len(rows) == len(members):
                part.encode(window)
            elif len(rows):
                part.encode(window.take(rows))


class _OneSplit:
    """Sees that the rows of a group, which have one prefix, are all in one split."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._last: tuple[U64, Members] | None = None  # of the last row

    def see(self, window: Window, members: "Members") -> None:
        """Look at the next rows. Raises QueryFailed."""
        if not window.rows:
            return
        prefixes = window.first_words
        before = (prefixes[:1], members[:1]) if self._last is None else self._last
        all_prefixes = np.concatenate([before[0], prefixes])
        all_members = np.concatenate([before[1], members])
        is_cut = (all_prefixes[1:] == all_prefixes[:-1]) & (all_members[1:] != all_members[:-1])
        if is_cut.any():
            row = int(np.flatnonzero(is_cut)[0])
            names = [self._target.split_names[part] for part in all_members[row : row + 2]]
            raise QueryFailed(
                f"--split-by: rows of one group are in two splits, `{names[0]}` and `{names[1]}`,"
                f" the second of them {self._target.locate(int(window.keys[row]))}",
                hint="leave out --split-by: then the value of --group tells the split",
            )
        self._last = prefixes[-1:], members[-1:]
