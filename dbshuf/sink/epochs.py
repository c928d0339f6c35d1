"""Rows in several orders, one after the other: to one output, or to a folder each.

    begin(epoch, target) -> a sink of its rows    end()    finish(): all are published, or none

A target is that of its epoch, whose seed turns a key back into its row. In one output a flush
ends what an epoch has begun, so that a row group or a block has rows of one epoch alone.
"""

import posixpath
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from dbshuf.base.window import Window
from dbshuf.sink import open_sink
from dbshuf.sink.output_path import check_target
from dbshuf.sink.partitions import shards_of
from dbshuf.sink.publish import directory_of
from dbshuf.sink.seal import Marked, NamedFile, Seal
from dbshuf.sink.shard_names import epoch_folder
from dbshuf.sink.single_file import PlacedSink
from dbshuf.sink.splits import SplitSink
from dbshuf.sink.target import Sink, Target, check_schema

if TYPE_CHECKING:
    from dbshuf.sink.target import Members


class EpochSink(Protocol):
    """Takes the rows of epochs in turn, then publishes all of them or nothing."""

    def begin(self, target: Target) -> Sink:
        """Return what takes the rows of the next epoch; `end` is called instead of its finish.

        target  of the epoch
        """

    def end(self, seal: Seal | None) -> None:
        """All rows of the epoch were written; `seal` has what there is to say of it alone."""

    def finish(self, seal: Seal | None) -> None:
        """Put all in place; `seal` is told of the files of all epochs, as by `Sink.finish`."""

    def abort(self) -> None:
        """Remove all that is hidden; never raises."""


def open_epoch_sink(target: Target) -> EpochSink:
    """Return what takes the epochs of a target. Raises as `open_sink` does."""
    return FolderEpochs(target) if target.in_shards else JoinedEpochs(target)


class JoinedEpochs:
    """Epochs one after the other in one output, or in one of each split."""

    def __init__(self, target: Target) -> None:
        self._target = target  # of the epoch at work
        of_epoch = None if target.member_of is None else self._member_of
        self._sink = open_sink(replace(target, locate=self._locate, member_of=of_epoch))
        assert isinstance(self._sink, PlacedSink)

    def _locate(self, key: int) -> str:
        return self._target.locate(key)

    def _member_of(self, window: Window) -> "Members":
        assert self._target.member_of is not None
        return self._target.member_of(window)

    def begin(self, target: Target) -> Sink:
        self._target = target
        return self._sink

    def end(self, seal: Seal | None) -> None:
        assert isinstance(self._sink, PlacedSink)
        self._sink.flush()

    def finish(self, seal: Seal | None) -> None:
        self._sink.finish(seal)

    def abort(self) -> None:
        self._sink.abort()


class FolderEpochs:
    """Epochs in folders of one directory, each with its shards and what is said of them."""

    def __init__(self, target: Target) -> None:
        check_target(target)
        check_schema(target)
        self._count, self._begun = target.epochs, 0
        self._directory = directory_of(target)
        self._sink: PlacedSink | None = None
        self._files: list[NamedFile] = []

    def begin(self, target: Target) -> Sink:
        self._folder = epoch_folder(self._begun, self._count)
        self._begun += 1
        make = shards_of if target.member_of is None else SplitSink
        self._sink = make(target, directory=self._directory, folder=self._folder)
        return self._sink

    def end(self, seal: Seal | None) -> None:
        assert self._sink is not None
        self._sink.complete()
        files = self._sink.files
        self._files += files
        if seal is not None:
            below = [(posixpath.relpath(name, self._folder), one) for name, one in files]
            seal.write(below, Below(self._directory, self._folder))

    def finish(self, seal: Seal | None) -> None:
        if seal is not None:
            seal.write(self._files, None)
        self._directory.publish()
        if seal is not None:
            seal.publish()

    def abort(self) -> None:
        if self._sink is not None:
            self._sink.stop()
        self._directory.discard()


class Below:
    """A folder of a directory, as what takes the files that say something of it."""

    def __init__(self, directory: Marked, folder: str) -> None:
        self._directory, self._folder = directory, folder

    def mark(self, name: str, pieces: Iterable[bytes]) -> None:
        """Add such a file; see `seal.Marked`."""
        self._directory.mark(posixpath.join(self._folder, name), pieces)
