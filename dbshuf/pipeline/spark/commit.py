"""What tasks have written becomes the output, all of it or nothing; on the driver.

Tasks write into a folder of the job, under names of their attempts. Of every partition one file
is taken, the one that Spark says is the task's result; whatever else lies there is removed, and
an attempt that nobody waits for any more finds its folder gone. In an object store they send
uploads, and tell their tokens instead of names.
"""

import contextlib
import os
import posixpath
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dbshuf.base.counters import Tally
from dbshuf.base.filenames import hidden_in
from dbshuf.base.row_notes import RowSum, window_sum
from dbshuf.base.temporary import claim, release
from dbshuf.base.window import Window
from dbshuf.errors import EngineFailed
from dbshuf.pipeline.manifest import InputEntries, ManifestSeal, why_not_hashed
from dbshuf.pipeline.run_checks import check_totals, checked
from dbshuf.pipeline.sample import page
from dbshuf.pipeline.spark.task import TOKEN
from dbshuf.pipeline.spark.write_task import sorted_windows
from dbshuf.plan.manifest import Wanted
from dbshuf.plan.sample import Sample
from dbshuf.plan.spark_plan import SparkPlan
from dbshuf.remote.opening import open_store
from dbshuf.remote.upload_marks import Run
from dbshuf.sink import open_sink
from dbshuf.sink.lost_uploads import drop_uploads_of
from dbshuf.sink.numbered import numbered
from dbshuf.sink.publish import HiddenDirectory
from dbshuf.sink.remote_file import in_parallel
from dbshuf.sink.remote_path import RemotePath
from dbshuf.sink.remote_place import RemoteDirectory
from dbshuf.sink.seal import Marked, NamedFile, WrittenFile
from dbshuf.sink.shard_names import shard_names
from dbshuf.sink.target import Target

_IN_PARTS = "several tasks read ranges of it"


class JobRecord:
    """A `sink.Seal` of what tasks told.

    rows_out  of the rows that were written; whoever writes adds them
    """

    def __init__(self, plan: SparkPlan, wanted: Wanted) -> None:
        """Begin the file of --manifest, hidden. Raises OutputUnwritable."""
        unit = "line" if plan.schema is None else "row"
        self._plan, self._seal = plan, ManifestSeal(wanted, plan.target, unit=unit)
        self._rows = np.zeros(len(plan.inputs), np.int64)
        self._sums: dict[int, str] = {}
        self._rows_in, self.rows_out = RowSum(), RowSum()

    def add_notes(self, notes: Sequence[dict[str, Any]]) -> None:
        """Take what the tasks of stage 1 told, one note a split."""
        for note in notes:
            self._rows_in.add(note["rows"], note["row_sum"])
            for ordinal, rows in note["input_rows"]:
                self._rows[ordinal] += rows
            self._sums |= dict(note["sha256"])

    def settle(self) -> ManifestSeal:
        """Return what is to be written, once all tasks have told."""
        seal, plan = self._seal, self._plan
        seal.strategy = plan.strategy
        seal.inputs = InputEntries(
            plan.inputs, self._rows, self._sums, why_not_hashed(plan.shape) or _IN_PARTS
        )
        is_same = plan.sample is None and plan.target.number is None  # the rows out as those in
        seal.rows_in = self._rows_in if is_same else None
        seal.rows_out = self.rows_out
        return seal

    def write(self, files: Sequence[NamedFile], directory: Marked | None) -> None:
        """Write all, hidden."""
        self.settle().write(files, directory)

    def publish(self) -> None:
        """Show the file of --manifest."""
        self._seal.publish()

    def close(self) -> None:
        """Remove what was not published; never raises."""
        self._seal.close()


_REMOVALS = 20
_BETWEEN_S = 0.1


@dataclass(frozen=True)
class Written:
    """What a task wrote.

    part  its partition
    name  of its file in the job's folder, or the token of its upload
    rows  and what else was counted
    noted  its bytes, and their hash; None: nobody asked for it, or it is no output
    row_sum  checksum of its rows
    """

    part: int
    name: str
    rows: int
    text_bytes: int
    key_sum: int
    noted: WrittenFile | None = None
    row_sum: int = 0


def files_of(written: list[Written], names: list[str]) -> list[NamedFile]:
    """Return what tasks noted of shards, under the names that these get."""
    pairs = zip(written, names, strict=True)
    return [(name, one.noted) for one, name in pairs if one.noted is not None]


class ShardCommit:
    """A directory of shards that tasks write.

    directory  that takes what is said of them, and is published by `publish`
    """

    owner = ""  # of uploads: there are none

    def __init__(self, target: Target, shards: int) -> None:
        assert isinstance(target.path, Path)
        self._target, self._shards = target, shards
        self.directory = HiddenDirectory(target.path, force=target.force)
        self.parent = self.directory.place

    def take(self, folder: Path, written: list[Written], below: str = "") -> list[NamedFile]:
        """Take in the shards of a job, whose folder goes; return them as `files_of`.

        below   the folder of the output that they lie in: that of an epoch
        Raises  OutputUnwritable
        """
        names = shard_names(self._shards, self._target.format)
        for one, name in zip(written, names, strict=True):
            number = self.directory.take_in(folder / one.name)
            self.directory.name(number, posixpath.join(below, name))
        remove_folder(folder)
        return files_of(written, names)

    def publish(self) -> None:
        """Show all that was taken. Raises OutputUnwritable."""
        self.directory.publish()

    def abort(self) -> None:
        """Remove what is hidden; never raises."""
        self.directory.discard()


class UploadCommit:
    """A directory of shards in an object store: tasks send them, and tell the tokens of uploads.

    A task that was killed tells none, so in the end the bucket is asked what is there of `owner`,
    a text of this run.
    """

    def __init__(self, target: Target, shards: int, parent: Path) -> None:
        assert isinstance(target.path, RemotePath)
        self._target, self._shards, self.parent = target, shards, parent
        self._path = target.path
        self.directory = RemoteDirectory(target)
        self._sent: set[tuple[str, str]] = set()
        self._taken: set[str] = set()
        self.owner = str(Run.here())

    def note(self, sent: list[list[str]]) -> None:
        """Know the uploads, as [name, token], of all tasks that ended, also of a failed job."""
        self._sent |= {(name, token) for name, token in sent}

    def take(self, folder: Path, written: list[Written], below: str = "") -> list[NamedFile]:
        """Take over the uploads of a job, as the twin does its files."""
        names = shard_names(self._shards, self._target.format)
        for one, name in zip(written, names, strict=True):
            self.directory.adopt(posixpath.join(below, name), one.name)
            self._taken.add(one.name)
        return files_of(written, names)

    def publish(self) -> None:
        """Show the shards, then what is said of them. Raises what the store raises."""
        self.directory.publish()
        self._drop({one for one in self._sent if one[1] not in self._taken})  # of tasks run twice

    def abort(self) -> None:
        """Remove all uploads of this run; never raises."""
        self._drop(self._sent)
        self.directory.discard()

    def _drop(self, uploads: set[tuple[str, str]]) -> None:
        """Remove uploads, and what the bucket tells of this run beside them; never raises."""
        with contextlib.suppress(Exception):
            store, prefix = open_store(str(self._path))[0], self._path.prefix
            begun = [store.resume_upload(prefix + name, token) for name, token in uploads]
            in_parallel([upload.abort for upload in begun])
            drop_uploads_of(self.owner, self._path)


def shard_commit(plan: SparkPlan, folder: Path) -> ShardCommit | UploadCommit:
    """Return what becomes of the shards of tasks. Raises what looking at the output raises.

    folder  for what jobs keep on this machine, where the output is not on it
    """
    if plan.sends_shards:
        return UploadCommit(plan.target, plan.partitions, folder)
    return ShardCommit(plan.target, plan.partitions)


class OneCommit:
    """An output that the driver writes, of files of sorted rows, one after the other."""

    owner = ""

    def __init__(self, plan: SparkPlan, parent: Path) -> None:
        self._target, self._schema, self.parent = plan.target, plan.schema, parent
        self._sample = plan.sample or Sample()
        self._is_prefixed = plan.order_by is not None

    def publish(
        self,
        folder: Path,
        written: list[Written],
        advance: Callable[[int], None],
        read: Tally,
        seal: JobRecord | None,
    ) -> Tally:
        """Write the output and show it; return what it holds.

        Raises  CheckFailed unless all rows that were read are there; what sinks raise
        """
        sink, told = open_sink(self._target), Tally()
        try:
            for window in numbered(self._rows(folder, written, read, told), self._target):
                if seal is not None:
                    seal.rows_out.add(window.rows, window_sum(window))
                sink.write(window)
                advance(window.text_bytes)
            sink.finish(seal)
            return told
        except BaseException:
            sink.abort()
            raise

    def _rows(
        self, folder: Path, written: list[Written], read: Tally, told: Tally
    ) -> Iterator[Window]:
        """Yield the rows of the output, which `told` counts; the others are looked at as well."""
        found = Tally()
        ordered = checked(self._windows(folder, written), found)
        for window in page(ordered, self._sample.skip, self._sample.first_rows):
            told.add_window(window)
            yield window
        check_totals(read, found)

    def _windows(self, folder: Path, written: list[Written]) -> Iterator[Window]:
        for one in written:
            yield from sorted_windows(
                folder / one.name, self._schema, is_prefixed=self._is_prefixed
            )
            os.unlink(folder / one.name)

    def abort(self) -> None:
        """There is nothing that `publish` has not removed."""


@contextmanager
def job_folder(parent: Path) -> Iterator[tuple[Path, str]]:
    """Give a folder for tasks to write in, and the token that they find there; gone afterwards."""
    folder, token = claim(hidden_in(parent)), secrets.token_hex(16)
    try:
        os.mkdir(folder, 0o700)
        (folder / TOKEN).write_text(token)
        yield folder, token
    finally:
        remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder in which a task that was lost may still be writing; never raises."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(_BETWEEN_S)
    release(folder)


def in_order(written: list[Written], partitions: int) -> list[Written]:
    """Return what was written by partition. Raises EngineFailed unless there is one of each."""
    found = sorted(written, key=lambda one: one.part)
    if [one.part for one in found] != list(range(partitions)):
        raise EngineFailed(
            f"Spark tells of {len(found):,} partitions, and there are {partitions:,};"
            " nothing was published"
        )
    return found
