"""An output for an object store that is made in a --work-dir first, and then sent.

It is made and sealed there as files are, under the names that its objects will have. An upload
of which its process died shows nothing; the next process aborts it, by its mark, and sends all
again. Who dies between the first object that is shown and the last leaves a part of them, and a
record that says so: then those names are the run's own, and are shown again.
"""

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbshuf.base.progress import Progress
from dbshuf.base.work_dir import WorkDir, in_words
from dbshuf.pipeline.run_state import State
from dbshuf.plan.manifest import manifest_target
from dbshuf.plan.plan import Plan
from dbshuf.sink import RemotePath, Target
from dbshuf.sink.publish import publish_whole
from dbshuf.sink.remote_place import RemoteDirectory, RemotePlace

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
    Raises  what an output in an object store does; then what is made stays, to be sent again
    """
    if state.is_shown:
        return
    sizes = [os.path.getsize(path) for _, path in _files(made.target, state)]
    progress.stage("upload", sum(sizes))
    send_output = _send_files if _has_several(plan.target) else _send_one
    send_output(plan.target, made.target, work, state, progress)
    if plan.wanted is not None and plan.wanted.path is not None:
        assert made.wanted is not None
        data = Path(str(made.wanted.path)).read_bytes()
        publish_whole(manifest_target(plan.target, plan.wanted.path), [data])
    work.note("shown")


def _files(made: Target, state: State) -> list[tuple[str, Path]]:
    """Return the files of rows: the names that they will have, and where they were made."""
    if made.in_shards:
        return [(name, Path(str(made.path)) / name) for name, _ in state.shards]
    return [(final.name, final) for final, _ in state.moves]


def _has_several(target: Target) -> bool:
    return target.in_shards or bool(target.split_names)


def _send_one(
    target: Target, made: Target, work: WorkDir, state: State, progress: Progress
) -> None:
    place = RemotePlace(target)
    try:
        with _Told(Path(str(made.path)), progress.advance) as file:
            place.output.write_all(file)
        place.output.finish()
        place.publish()
    except BaseException:
        place.discard()
        raise


def _send_files(
    target: Target, made: Target, work: WorkDir, state: State, progress: Progress
) -> None:
    """Upload shards, or a file of each split, and what is said of them."""
    files, folder = _files(made, state), Path(str(made.path))
    names, marks = [name for name, _ in files], [name for name, _ in state.marks]
    # names that have the number of all are known by now
    known = replace(target, shards=len(names), shard_bytes=None, shard_rows=None)
    place = RemoteDirectory(known if target.in_shards else target)
    try:
        for name, path in files:
            with _Told(path, progress.advance) as file:
                place.take_in(name, file)
        for name in marks:
            place.mark(name, [(folder / name).read_bytes()])
        if state.is_sent:
            place.take_again([*names, *marks])
        else:
            place.await_all()
            work.note("sent")
        place.publish()
    except BaseException:
        place.discard()
        raise


class _Told(io.FileIO):
    """A file that tells how many bytes were read of it."""

    def __init__(self, path: Path, tell: Callable[[int], None]) -> None:
        super().__init__(path)
        self._tell = tell

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer) or 0
        self._tell(count)
        return count
