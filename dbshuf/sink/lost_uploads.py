"""Uploads that no run will complete: found by their marks, and removed.

Only s3:// tells of uploads. What is begun in gs:// and abfs:// is gone by itself after a week.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dbshuf.base.leftovers import State
from dbshuf.remote.opening import s3_uploads
from dbshuf.remote.upload_marks import MarkedUpload, Run
from dbshuf.sink.begun_uploads import begun_in
from dbshuf.sink.remote_file import in_parallel
from dbshuf.sink.remote_path import RemotePath


@dataclass(frozen=True)
class LostUpload:
    """An upload that is neither complete nor aborted; the twin of `leftovers.Leftover`.

    path        its URL
    owner       None: nothing says whose it is
    size_bytes  of its parts, which are paid for; None: unknown
    upload_id   that the bucket gave it; empty: there is nothing but its mark
    """

    path: str
    owner: Run | None
    size_bytes: int | None
    state: State
    remove: Callable[[], None]
    upload_id: str


def tells_uploads(path: RemotePath) -> bool:
    """Whether it can be asked which uploads there are."""
    return path.root.startswith("s3://")


def find_uploads(path: RemotePath) -> list[LostUpload]:
    """Return the uploads of a key and of all below it. Raises what the store raises."""
    return _found(path, path.key, lambda one: one.key == path.key or _is_below(one, path))


def _is_below(one: MarkedUpload, path: RemotePath) -> bool:
    return not path.key or one.key.startswith(path.prefix)


def remove_lost_uploads(path: RemotePath, *, kept_in: str | None = None) -> list[LostUpload]:
    """Remove what dead runs left where an output will be, and return it. Raises likewise.

    Its shards, splits and epochs too: all names that begin as its own does up to a dot.
    kept_in  the --work-dir of a run that goes on with its own
    """
    begins = path.parent_prefix + path.name.partition(".")[0]
    own = set() if kept_in is None else begun_in(Path(kept_in)).owners

    def is_lost(one: MarkedUpload) -> bool:
        return one.owner.state is State.DEAD and str(one.owner) not in own

    dead = _found(path, begins, is_lost)
    in_parallel([one.remove for one in dead], raises=True)
    return dead


def drop_uploads_of(owner: str, path: RemotePath) -> None:
    """Remove what a run has begun below a directory and not completed. Raises likewise."""
    found = _found(path, path.prefix, lambda one: str(one.owner) == owner)
    in_parallel([one.remove for one in found], raises=True)


def _found(
    path: RemotePath, prefix: str, wanted: Callable[[MarkedUpload], bool]
) -> list[LostUpload]:
    uploads = s3_uploads(str(path))
    if uploads is None:
        return []

    def lost(one: MarkedUpload) -> LostUpload:
        size, shown = uploads.part_bytes(one), f"{path.root}/{one.key}"
        remove, id_ = partial(uploads.drop_marked, one), one.upload_id or ""
        return LostUpload(shown, one.owner, size, one.owner.state, remove, id_)

    return [lost(one) for one in uploads.marked_uploads(prefix) if wanted(one)]
