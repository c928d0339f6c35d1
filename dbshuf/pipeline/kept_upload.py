"""An output for an object store that is made in a --work-dir first, and then sent.

It is made and sealed there as files are, under the names that its objects will have. An upload
of which its process died shows nothing; the next process sends the rest of it, where a bucket
tells which parts there are, see `sink/kept_uploads.py`, or else all of it once more. What is sent
is held against the sum that it was made with, before any of it is shown. Who dies between the
first object that is shown and the last leaves a part of them, and a record that says so: then
those names are the run's own, and are shown again.
"""

import io
import os
import zlib
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from dbshuf.base.progress import Progress, tell
from dbshuf.base.work_dir import WorkDir, in_words
from dbshuf.pipeline.run_state import State
from dbshuf.plan.manifest import manifest_target
from dbshuf.plan.plan import Plan
from dbshuf.sink import RemotePath, Target
from dbshuf.sink.kept_uploads import KeptUploads, kept_uploads
from dbshuf.sink.publish import publish_whole
from dbshuf.sink.remote_place import RemoteDirectory, RemotePlace
from dbshuf.sink.sealed_output import FinishedShard
from dbshuf.units import human

_SHARDS_NAME = "shards"
_MANIFEST_NAME = "manifest.json"


def made_in(work: WorkDir, plan: Plan) -> Plan:
    """Return the plan that makes the output of another one as files, in the work directory.

    Raises  WorkDirUnfit
    """
    path = plan.target.path
    assert isinstance(path, RemotePath)
    with in_words(work.path):
        work.upload.mkdir(mode=0o700, exist_ok=True)
    name = _SHARDS_NAME if plan.target.in_shards else path.name
    wanted = plan.wanted
    if wanted is not None and wanted.path is not None:
        folder = work.upload / _MANIFEST_NAME
        with in_words(work.path):
            folder.mkdir(mode=0o700, exist_ok=True)
        wanted = replace(wanted, path=folder / _MANIFEST_NAME)
    target = replace(plan.target, path=work.upload / name, force=True)
    return replace(plan, target=target, wanted=wanted)


def send(plan: Plan, made: Plan, work: WorkDir, state: State, progress: Progress) -> None:
    """Upload what `made` has made, and show it as the output of `plan`.

    state   of the work directory, when all has its name there
    Raises  what an output in an object store does; then what is made stays, to be sent again;
            MadeDamaged
    """
    if state.is_shown:
        return
    _Sending(plan.target, work, state, progress).send(_files(made.target, state, work), made)
    if plan.wanted is not None and plan.wanted.path is not None:
        assert made.wanted is not None
        target = manifest_target(plan.target, plan.wanted.path)
        data = Path(str(made.wanted.path)).read_bytes()
        kept = _Sending(target, work, state, progress).kept()
        publish_whole(target, [data], kept)
        if kept is not None:
            kept.drop_late()
    work.note("shown")


class MadeDamaged(Exception):
    """What was made in the work directory is not what was sealed; nothing of it was shown."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


class _File(NamedTuple):
    """A file of rows.

    name   that its object will have
    path   where it was made
    crc32  of all its bytes; None: nobody has summed it, as it has no row
    """

    name: str
    path: Path
    crc32: int | None


def _files(made: Target, state: State, work: WorkDir) -> list[_File]:
    """Return the files of rows."""
    if not made.in_shards:
        sums = zip(state.moves, state.file_sums, strict=True)
        return [_File(final.name, final, crc32) for (final, _), crc32 in sums]
    folder, crc32s = Path(str(made.path)), {}
    for _, news in state.output.with_news(work):
        for shard in (FinishedShard(*one) for part in news for one in part):
            crc32s[shard.number] = shard.crc32
    names = enumerate(name for name, _ in state.shards)  # by their numbers
    return [_File(name, folder / name, crc32s.get(number)) for number, name in names]


class _Sending:
    """Uploads of a target, of which dead processes may have sent a part."""

    def __init__(self, target: Target, work: WorkDir, state: State, progress: Progress) -> None:
        self._target, self._work = target, work
        self._state, self._progress = state, progress

    def kept(self, names: Collection[str] = ()) -> KeptUploads | None:
        """Return what begins the uploads, and goes on with those of dead processes.

        names  of objects in the folder of the target; none: it is one itself
        """
        path = self._target.path
        if not isinstance(path, RemotePath):
            return None
        prefix = path.prefix if self._target.in_shards else path.parent_prefix
        keys = [prefix + name for name in names] or [path.key]
        kept = kept_uploads(self._work, self._state.uploads, path, keys)
        if kept is not None and kept.sent_bytes:
            was = f"{human(kept.sent_bytes)} that earlier runs sent to `{path}` are there"
            tell(self._progress, was)
        return kept

    def send(self, files: list[_File], made: Plan) -> None:
        """Upload the files of rows, and what is said of them in the folder of shards."""
        self._progress.stage("upload", sum(os.path.getsize(one.path) for one in files))
        if self._target.in_shards or self._target.split_names:
            names = [*(file.name for file in files), *(name for name, _ in self._state.marks)]
            kept = self.kept(names)
            self._send_files(files, Path(str(made.target.path)), kept)
        else:
            (file,), kept = files, self.kept()
            self._send_one(file, kept)
        if kept is not None:
            kept.drop_late()

    def _send_one(self, file: _File, kept: KeptUploads | None) -> None:
        place = RemotePlace(self._target, kept)
        try:
            with _Told(file, self._progress.advance) as source:
                place.output.write_all(source)
                source.check()
            place.output.finish()
            place.publish()
        except BaseException:
            place.discard()
            raise

    def _send_files(self, files: list[_File], folder: Path, kept: KeptUploads | None) -> None:
        target = self._target
        names, marks = [file.name for file in files], [name for name, _ in self._state.marks]
        # names that have the number of all are known by now
        known = replace(target, shards=len(names), shard_bytes=None, shard_rows=None)
        place = RemoteDirectory(known if target.in_shards else target, kept)
        try:
            for file in files:
                with _Told(file, self._progress.advance) as source:
                    place.take_in(file.name, source)
                    source.check()
            for name in marks:
                place.mark(name, [(folder / name).read_bytes()])
            if self._state.is_sent:
                place.take_again([*names, *marks])
            else:
                place.await_all()
                self._work.note("sent")
            place.publish()
        except BaseException:
            place.discard()
            raise


class _Told(io.FileIO):
    """A file that tells how many bytes were read of it, and sums them."""

    def __init__(self, file: _File, tell: Callable[[int], None]) -> None:
        super().__init__(file.path)
        self._file, self._tell = file, tell
        self._crc32 = 0

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer) or 0
        self._crc32 = zlib.crc32(memoryview(buffer)[:count], self._crc32)
        self._tell(count)
        return count

    def check(self) -> None:
        """Raise MadeDamaged if what was read, to the end, is not what was made."""
        if self._file.crc32 not in (None, self._crc32):
            raise MadeDamaged(self._file.path)
