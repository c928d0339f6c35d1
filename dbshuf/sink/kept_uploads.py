"""Uploads that a later process goes on with; what the journal knows of each: begun_uploads.py.

Whoever dies between the records `begins` and `upload` of an object may have begun an upload that
nobody knows. It is on that key, was not there before, began about then, and has no mark and no
part: none that another tool or run works at is like that for longer than its first moment. Only
s3:// tells of uploads.
"""

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING

from dbshuf.base.leftovers import State
from dbshuf.base.work_dir import WorkDir
from dbshuf.errors import DbshufError
from dbshuf.remote.object_store import Upload
from dbshuf.remote.opening import s3_uploads
from dbshuf.remote.upload_marks import MarkedUpload, Run, marked
from dbshuf.sink.begun_uploads import BegunUploads, id_in, mark_in
from dbshuf.sink.remote_file import in_parallel
from dbshuf.sink.remote_path import RemotePath

if TYPE_CHECKING:
    from dbshuf.remote.s3_upload import Listed, S3Upload, S3Uploads

# An upload begins within the attempts of a call after its record. A bucket refuses what is
# signed by a clock that is 15 minutes off its own.
_ABOUT_S = 900 + 300


def kept_uploads(
    work: WorkDir, begun: BegunUploads, path: RemotePath, keys: Collection[str]
) -> "KeptUploads | None":
    """Return what begins the uploads of some keys in the bucket of a path, or goes on with them.

    None: it tells of no uploads. Raises  what a store raises; then nothing of them is left
    """
    uploads = s3_uploads(str(path))
    return None if uploads is None else KeptUploads(work, begun, (uploads, path.root), keys)


class KeptUploads:
    """Uploads of a run in a --work-dir.

    owner     what the marks of this process name
    adopted   those that dead processes began
    """

    def __init__(
        self,
        work: WorkDir,
        begun: BegunUploads,
        bucket: "tuple[S3Uploads, str]",
        keys: Collection[str],
    ) -> None:
        self._work, self._begun = work, begun
        self._bucket, self._root = bucket
        self.owner = str(Run.here())
        self._by_key: dict[str, S3Upload] = {}
        self._shown: set[str] = set()
        self._ids = {id_in(token) for token in begun.tokens.values()} | begun.others
        self._unsure = {key for key in keys if begun.begins.get(self._url(key))}
        known = {key: begun.tokens[url] for key in keys if (url := self._url(key)) in begun.tokens}
        self._prefix = os.path.commonprefix(list(keys))  # noqa: RUF071  # of no path
        listed = self._listed(self._prefix)
        taken = self._drop_lost(marked((one.key, one.id) for one in listed), known)
        not_others = self._drop_unknown(listed) | self._ids
        wanted = set(keys)
        others = [one.id for one in listed if one.key in wanted and one.id not in not_others]
        self._ids.update(others)
        work.note("sending", owner=self.owner, others=others)
        try:
            in_parallel(
                [
                    partial(self._go_on, key, token)
                    for key, token in known.items()
                    if id_in(token) not in taken
                ],
                raises=True,
            )
        except BaseException:
            in_parallel([upload.abort for upload in self.adopted])
            raise

    @property
    def adopted(self) -> "list[Upload]":
        return list(self._by_key.values())

    @property
    def sent_bytes(self) -> int:
        """Return what is there of uploads that dead processes began."""
        return sum(size for upload in self._by_key.values() for size, _ in upload.had.values())

    def start(self, key: str) -> Upload:
        """Return the upload of a key: one that is there in part, or a new one."""
        if key in self._shown:
            return _ShownUpload()
        had = self._by_key.get(key)
        if had is not None:
            return had
        self._work.note("begins", url=self._url(key), at=time.time())
        upload = self._bucket.start_upload(key, self.owner)
        try:
            self._note(key, upload)
        except BaseException:
            upload.abort()
            raise
        return upload

    def _go_on(self, key: str, token: str) -> None:
        upload = self._bucket.go_on_upload(key, token, self.owner)
        if upload is not None:
            self._by_key[key] = upload
            upload.noted = self._begun.noted.get(self._url(key), {})
            self._note(key, upload)
        elif self._bucket.is_shown(key, self._begun.etags.get(self._url(key), "")):
            self._shown.add(key)

    def _note(self, key: str, upload: "S3Upload") -> None:
        """Note which upload an object has, and have noted what happens to it."""
        url = self._url(key)
        self._ids.add(upload.id)
        self._work.note("upload", url=url, token=upload.token)
        upload.journal = _ObjectJournal(self._work, url)

    def _listed(self, prefix: str) -> "list[Listed]":
        """Return all uploads there; none where the bucket does not tell, and begins them anyway."""
        with contextlib.suppress(DbshufError):
            return self._bucket.listed(prefix)
        return []

    def _drop_lost(self, found: Iterable[MarkedUpload], known: dict[str, str]) -> set[str]:
        """Remove what dead processes of this run began and cannot be gone on with.

        Returns  ids of uploads that are known and that a live process has, as of a copy of DIR
        """
        marks = {id_in(token): mark_in(token) for token in known.values()}
        taken = set()
        for one in found:
            is_dead = is_of_dead(self._begun, one.owner)
            if one.upload_id in marks and not is_dead:
                taken.add(one.upload_id)
            elif is_dead and one.upload_id not in marks:
                _drop(partial(self._bucket.drop_marked, one))
            elif is_dead and one.mark not in marks.values():
                _drop(partial(self._bucket.drop, *one.mark))
        return taken

    def drop_late(self) -> None:
        """Look once more: what a process had asked for may have begun after its death."""
        if self._unsure:
            self._drop_unknown(self._listed(self._prefix))

    def _drop_unknown(self, listed: "list[Listed]") -> set[str]:
        """Remove what this run may have begun without knowing it, and return the ids."""
        begins = {key: self._begun.begins[self._url(key)] for key in self._unsure}
        found = unknown_uploads(self._bucket, listed, begins, self._ids)
        for one in found:
            _drop(partial(self._bucket.drop, one.key, one.id))
        return {one.id for one in found}

    def _url(self, key: str) -> str:
        return f"{self._root}/{key}"


class _ShownUpload:
    """An object that a dead process has shown, whole: there is nothing left to do."""

    token = ""

    def put_part(self, number: int, data: bytes | bytearray | memoryview) -> None:
        """Send nothing."""

    def complete(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""


class _ObjectJournal:
    """Records of one upload; see `UploadJournal`."""

    def __init__(self, work: WorkDir, url: str) -> None:
        self._work, self._url = work, url

    def part(self, number: int, etag: str, md5: str) -> None:
        self._work.note("part", url=self._url, part=number, etag=etag, md5=md5)

    def completing(self, etag: str) -> None:
        self._work.note("completing", url=self._url, etag=etag)


def _drop(drop: Callable[[], None]) -> None:
    """Remove something; a policy may not allow it."""
    with contextlib.suppress(DbshufError):
        drop()


def is_of_dead(begun: BegunUploads, owner: Run) -> bool:
    """Whether a mark is of a process of a journal that is dead, as whoever has its lock knows."""
    is_elsewhere = owner.state is State.LIVE and owner.pid != os.getpid()  # with a copy of it
    return str(owner) in begun.owners and not is_elsewhere


def unknown_uploads(
    bucket: "S3Uploads", listed: "list[Listed]", begins: dict[str, list[float]], ids: set[str]
) -> "list[Listed]":
    """Return what a run may have begun without knowing it.

    listed  all uploads of the keys, and their marks
    begins  key -> when it was about to begin uploads of it that it does not know
    ids     of uploads that are known to be its own, or of others
    """
    ids = ids | {str(one.upload_id) for one in marked((one.key, one.id) for one in listed)}
    asked = [one for one in listed if begins.get(one.key) and one.id not in ids]
    return [one for one in asked if _is_unknown(bucket, one, begins[one.key])]


def _is_unknown(bucket: "S3Uploads", one: "Listed", times_s: list[float]) -> bool:
    """Whether an upload without a mark is as a run would have left it in its beginning."""
    if one.begun_s is not None and all(abs(one.begun_s - at) > _ABOUT_S for at in times_s):
        return False
    with contextlib.suppress(DbshufError):
        return next(bucket.parts(one.key, one.id), None) is None
    return False
