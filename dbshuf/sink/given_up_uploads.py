"""Uploads of a run in a --work-dir that is given up: known by its journal, and aborted.

Whoever aborts them has the lock of the directory, so the processes of its journal are dead. One
with a copy of it may go on with the same uploads: what that has marked is its own.
"""

import contextlib
import os
from collections import defaultdict
from functools import partial

from dbshuf.base.leftovers import State
from dbshuf.errors import DbshufError, RemoteDenied
from dbshuf.remote.names import remote_name
from dbshuf.remote.opening import s3_uploads
from dbshuf.remote.s3_upload import Listed, NoSuchUpload
from dbshuf.remote.upload_marks import MarkedUpload, Run, marked, owner_in
from dbshuf.sink.begun_uploads import BegunUploads, id_in, mark_in
from dbshuf.sink.kept_uploads import is_of_dead, unknown_uploads
from dbshuf.sink.lost_uploads import LostUpload
from dbshuf.sink.remote_file import in_parallel

Mark = tuple[str, ...]


def uploads_in(begun: BegunUploads) -> list[LostUpload]:
    """Return the uploads that a journal knows, whether or not they are still there."""
    return [
        LostUpload(url, _owner({mark_in(token)}), None, State.KEPT, _nothing, id_in(token))
        for url, token in sorted(begun.tokens.items())
    ]


def find_given_up(begun: BegunUploads) -> list[LostUpload]:
    """Return the uploads of a journal that are there: "left behind", but for those of others.

    Raises  what the store raises, and ExtraMissing
    """
    keys: dict[str, list[str]] = defaultdict(list)
    for url in sorted({*begun.tokens, *begun.begins}):
        name = remote_name(url)
        keys[name.root].append(name.key)
    return [one for root, some in keys.items() for one in _GivenUp(begun, root, some).found()]


def abort(found: list[LostUpload]) -> dict[str, DbshufError]:
    """Abort what is left behind of these uploads, and return by its id why one is still there."""
    faults: dict[str, DbshufError] = {}

    def remove(one: LostUpload) -> None:
        for fault in list(faults.values()):
            if not isinstance(fault, RemoteDenied):  # the bucket does not answer at all
                faults[one.upload_id] = fault
                return
        try:
            one.remove()
        except DbshufError as fault:
            faults[one.upload_id] = fault

    in_parallel([partial(remove, one) for one in found if one.state is State.DEAD])
    return faults


class _GivenUp:
    """The uploads to one bucket."""

    def __init__(self, begun: BegunUploads, root: str, keys: list[str]) -> None:
        uploads = s3_uploads(f"{root}/")
        assert uploads is not None  # of no other scheme has a journal any
        self._bucket, self._begun, self._root = uploads, begun, root
        self._sizes: dict[str, int | None] = {}  # by the ids of the uploads that are there
        tokens = {key: begun.tokens.get(f"{root}/{key}", "") for key in keys}
        self._known = {key: token for key, token in tokens.items() if token}
        self._begins = {key: begun.begins.get(f"{root}/{key}", []) for key in keys}

    def found(self) -> list[LostUpload]:
        at_once = [partial(self._measure, key, id_in(one)) for key, one in self._known.items()]
        in_parallel(at_once, raises=True)
        listed = self._listed()
        marks = marked((one.key, one.id) for one in listed)
        own = [one for one in marks if is_of_dead(self._begun, one.owner)]
        others = {one.upload_id: one for one in marks if one not in own and one.upload_id}
        lost: dict[tuple[str, str], set[Mark]] = {}  # key and id of an upload -> its marks
        found = []
        for key, id_, mark in ((key, id_in(one), mark_in(one)) for key, one in self._known.items()):
            if id_ in others:
                found.append(self._of_others(key, others[id_]))
            elif id_ in self._sizes:
                lost[key, id_] = {mark} if mark else set()
        for one in own:
            if one.upload_id not in others:
                lost.setdefault((one.key, one.upload_id or ""), set()).add(one.mark)
        lost |= {(new.key, new.id): set() for new in self._unknown(listed)}
        return found + [self._lost(*at, marks) for at, marks in sorted(lost.items())]

    def _measure(self, key: str, id_: str) -> None:
        """Note the bytes of an upload if it is there; None: the bucket does not tell."""
        try:
            parts = self._bucket.parts(key, id_)
            self._sizes[id_] = sum(part["Size"] for part in parts)
        except NoSuchUpload:
            pass
        except RemoteDenied:  # it may be allowed to abort, and not to list
            self._sizes[id_] = None

    def _listed(self) -> list[Listed]:
        """Return all uploads there, and their marks; none where the bucket does not tell."""
        with contextlib.suppress(DbshufError):
            return self._bucket.listed(os.path.commonprefix(list(self._begins)))  # noqa: RUF071
        return []

    def _unknown(self, listed: list[Listed]) -> list[Listed]:
        ids = {id_in(token) for token in self._known.values()} | self._begun.others
        return unknown_uploads(self._bucket, listed, self._begins, ids)

    def _of_others(self, key: str, one: MarkedUpload) -> LostUpload:
        is_dead = one.owner.state is State.DEAD  # then another directory has a journal of it
        state, id_ = State.KEPT if is_dead else one.owner.state, one.upload_id or ""
        size = self._sizes.get(id_)
        return LostUpload(f"{self._root}/{key}", one.owner, size, state, _nothing, id_)

    def _lost(self, key: str, id_: str, marks: set[Mark]) -> LostUpload:
        def remove() -> None:
            if id_:
                self._bucket.drop(key, id_)
            for mark in marks:
                with contextlib.suppress(RemoteDenied):  # it has no part, and its upload is gone
                    self._bucket.drop(*mark)

        if id_ and id_ not in self._sizes:
            self._measure(key, id_)
        size = self._sizes.get(id_, 0)
        return LostUpload(f"{self._root}/{key}", _owner(marks), size, State.DEAD, remove, id_)


def _owner(marks: set[Mark]) -> Run | None:
    """Return the latest of the runs that marks name."""
    named = [owner_in(mark[0]) for mark in marks if mark]
    return max(filter(None, named), key=lambda one: one.started, default=None)


def _nothing() -> None:
    pass
