"""All of the output or none of it, in an object store: parts that nobody sees, then completed.

The twin of publish.py. An object is an upload in parts, which shows nothing before it is
completed, and then the whole. Of a directory all uploads are complete but for that last call
before the first is made; if one fails, what was shown by others and took nobody's place is
removed again. Shards of an older set that were not replaced are removed last.

The key of an object is asked for when its upload begins. Shards that are cut by size have the
number of all in their names, which is known at the end only: they wait in the temporary
directory. An upload that its process could not abort, as after kill -9, shows nothing, but its
parts stay: in s3:// its mark tells whose it was, see upload_marks.py.
"""

import contextlib
import os
import posixpath
import secrets
from collections.abc import Collection, Iterable
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dbshuf.base.filenames import HIDDEN_PREFIX, hidden_in
from dbshuf.base.temporary import claim, remove
from dbshuf.errors import DbshufError, InputMissing, OutputExists, OutputUnwritable
from dbshuf.manifest.names import CARD_HEAD, CARD_NAME, OLD_MARKS, SUCCESS_NAME, SUMS_NAMES
from dbshuf.remote.names import UNFIT_HINT, is_unfit
from dbshuf.remote.object_store import ObjectStore, Upload
from dbshuf.remote.opening import open_store
from dbshuf.sink.kept_uploads import KeptUploads
from dbshuf.sink.memory import upload_sizes
from dbshuf.sink.raw_file import DiskFile, MeasuredOutput
from dbshuf.sink.remote_file import RemoteFile, in_parallel
from dbshuf.sink.remote_path import RemotePath
from dbshuf.sink.shard_names import (
    folders_of,
    is_row_folder,
    is_shard_name,
    row_tops,
    summed_folders,
)
from dbshuf.sink.uploads import Uploads

if TYPE_CHECKING:
    from dbshuf.sink.target import Target

_MOST_KEY_BYTES = 1024  # in s3:// and gs://; in abfs:// letters


def check_remote(target: "Target") -> None:
    """Refuse an output that cannot be made, before any work; nothing is created.

    Raises  OutputUnwritable, OutputExists, RemoteDenied, RemoteFailed, ExtraMissing
    """
    path = target.path
    assert isinstance(path, RemotePath)
    if not target.in_shards and path.is_dir():
        raise OutputUnwritable(
            f"`{path}` names no object", hint="name one in it, or cut the output into shards"
        )
    if is_unfit(path.key):
        raise OutputUnwritable(
            f"`{path}`: names of this kind are not written",
            hint=f"{UNFIT_HINT} is written: choose another",
        )
    size = len(path.key.encode())
    if size > _MOST_KEY_BYTES:
        raise OutputUnwritable(
            f"`{path}`: the key has {size:,} bytes, and may have {_MOST_KEY_BYTES:,}",
            hint="choose a shorter name",
        )
    store, _ = open_store(str(path))
    store.prepare_uploads()
    if target.in_shards and not target.force:
        _refuse_content(store, path)


class RemotePlace:
    """One object; `kept` as in `Uploads`."""

    def __init__(self, target: "Target", kept: KeptUploads | None = None) -> None:
        path = target.path
        assert isinstance(path, RemotePath)
        self._uploads = Uploads(path, upload_sizes(target), open_files=1, kept=kept)
        try:
            self.output = self._uploads.create(path.key, is_alone=True)
            self._uploads.begin_now(self.output)
        except BaseException:
            self._uploads.abort()
            raise

    def publish(self) -> None:
        self.output.started().complete()
        self._uploads.close()

    def discard(self) -> None:
        self._uploads.abort()


class RemotePart:
    """One object of a directory that another process shows: see `RemoteDirectory.adopt`.

    For workers: each writes its shards, and hands their tokens to the driver, which owns them.
    """

    def __init__(self, target: "Target", name: str, owner: str = "") -> None:
        path = target.path
        assert isinstance(path, RemotePath)
        self._uploads = Uploads(path, upload_sizes(target), open_files=1, owner=owner)
        self.output = self._uploads.create(path.prefix + name, is_alone=True)

    @property
    def token(self) -> str:
        """What `adopt` takes; after `publish`, and in no message: it may be a secret."""
        return self.output.started().token

    def publish(self) -> None:
        """Let go of the upload, which stays as it is until it is adopted."""
        self._uploads.close()

    def discard(self) -> None:
        self._uploads.abort()


class RemoteDirectory:
    """Objects below a prefix, all shown by `publish`; the twin of `publish.HiddenDirectory`.

    Where the target is a file, they are those of its splits, beside others that stay as they are.
    `kept` is as in `Uploads`: then all names are known, and the first upload tells what may not be.
    """

    def __init__(self, target: "Target", kept: KeptUploads | None = None) -> None:
        path = target.path
        assert isinstance(path, RemotePath)
        self._path, self._force = path, target.force
        self._has_all = target.in_shards  # that may be there
        self._prefix = path.prefix if self._has_all else path.parent_prefix
        self._names: dict[int, str] = {}
        self._files = 0
        self._shown: dict[str, Upload] = {}  # key -> its upload
        self._made: dict[int, RemoteFile] = {}
        self._waiting: Path | None = None
        self._marks: dict[str, bytes] = {}  # in the order in which they are shown
        self._uploads = Uploads(
            path, upload_sizes(target), open_files=max(len(target.split_names), 1), kept=kept
        )
        try:
            if target.waits_in_temp:
                assert target.temp_dir is not None
                self._waiting = claim(hidden_in(target.temp_dir))
                os.mkdir(self._waiting, 0o700)
            if kept is None:
                self._try_out()
        except BaseException:
            self.discard()
            raise

    def _try_out(self) -> None:
        """Begin an upload and abort it, to know that there may be some."""
        probe = self._uploads.create(f"{self._prefix}{HIDDEN_PREFIX}{secrets.token_hex(4)}")
        self._uploads.begin_now(probe)
        probe.started().abort()

    def create(self, name: str | None) -> tuple[int, MeasuredOutput]:
        """Return the number of the next file, and the file; None: its name is not known yet."""
        number = self._files
        self._files += 1
        if self._waiting is not None:
            return number, DiskFile(self._waiting / str(number), shown=str(self._path))
        assert name is not None
        self._made[number] = self._uploads.create(self._prefix + name)
        return number, self._made[number]

    def take_in(self, name: str, source: FileIO) -> None:
        """Send what is in a file, to be shown under a name with the others."""
        number = self._files
        self._files += 1
        self._names[number] = name
        self._send_file(number, source)

    def _send_file(self, number: int, source: FileIO) -> None:
        file = self._made[number] = self._uploads.create(self._prefix + self._names[number])
        file.write_all(source)
        file.finish()

    def adopt(self, name: str, token: str) -> None:
        """Take over an upload that a worker began under `name`, to be shown with the others."""
        number = self._files
        self._files += 1
        self._names[number] = name
        self._shown[name] = self._uploads.adopt(self._prefix + name, token)

    def name(self, number: int, name: str) -> None:
        """Say what a file is to be called; one that has a name keeps it."""
        self._names[number] = name

    def mark(self, name: str, pieces: Iterable[bytes]) -> None:
        """Add an object that says something of the others; see `seal.Marked`."""
        self._marks[name] = b"".join(pieces)

    def await_all(self) -> None:
        """Wait until all is sent, and refuse what nobody may take the place of; shows nothing."""
        self._uploads.sender.drain()
        if self._has_all and not self._force:
            _refuse_content(self._uploads.store, self._path)

    def take_again(self, names: Collection[str]) -> None:
        """Have names that a process of the same run may have shown already; others are refused."""
        if self._has_all and not self._force:
            _refuse_content(self._uploads.store, self._path, but=names)
            self._force = True

    def publish(self) -> None:
        """Show the files under their names: all of them, or where the store fails, none."""
        if self._waiting is not None:
            self._send_waiting(self._waiting)
        self.await_all()
        for number, file in self._made.items():
            self._shown[self._names[number]] = file.started()
        old = set(self._old_shards() if self._has_all else filter(self._is_there, self._shown))
        if self._has_all and self._force:
            self._remove_marks(old)
        self._complete(old)
        try:
            self._delete([name for name in old if name not in self._shown])
        except DbshufError as error:
            raise type(error)(
                f"{error.message}; all new shards are in place, and some of an older set too",
                hint="remove those that have another number behind `-of-`",
            ) from None
        self._show_marks()
        self._uploads.close()

    def _show_marks(self) -> None:
        """Put what is said of the shards, `_SUCCESS` last."""
        is_last = {name: posixpath.basename(name) == SUCCESS_NAME for name in self._marks}
        for name, text in sorted(self._marks.items(), key=lambda mark: is_last[mark[0]]):
            try:
                self._put(self._prefix + name, text)
            except DbshufError as error:
                raise type(error)(
                    f"{error.message}; all shards are in place, but no `{name}` says so",
                    hint="run it again with --force",
                ) from None

    def _put(self, key: str, text: bytes) -> None:
        store = self._uploads.store
        if text:
            store.put(key, text)
        else:  # some servers of these interfaces take no request without a body
            self._uploads.begin(key).complete()

    def _remove_marks(self, old: Iterable[str]) -> None:
        """Remove what an older run said of its shards, `_SUCCESS` first.

        old     the names of its shards
        """
        store = self._uploads.store
        for folder in ["", *folders_of([*self._marks, *old])]:
            prefix = posixpath.join(self._prefix + folder, "") if folder else self._prefix
            below = posixpath.join(folder, "")
            for name in filter(self._is_there, (below + mark for mark in OLD_MARKS)):
                store.delete(self._prefix + name)
            with contextlib.suppress(InputMissing):
                card = store.stat(prefix + CARD_NAME)
                head = np.empty(len(CARD_HEAD), np.uint8)
                if (card.size_bytes or 0) >= len(head):
                    store.read_range(card, 0, head)
                    if head.tobytes() == CARD_HEAD:
                        store.delete(prefix + CARD_NAME)

    def _send_waiting(self, folder: Path) -> None:
        for number in range(self._files):
            with open(folder / str(number), "rb", buffering=0) as waiting:
                self._send_file(number, waiting)
        self._uploads.sender.drain()
        remove(folder)

    def _complete(self, old: set[str]) -> None:
        """Complete all uploads; if one fails, remove what others showed anew."""
        done: list[str] = []

        def complete(name: str) -> None:
            self._shown[name].complete()
            done.append(name)

        try:
            in_parallel([partial(complete, name) for name in self._shown], raises=True)
        except BaseException:
            with contextlib.suppress(Exception):
                self._delete([name for name in done if name not in old])
            raise

    def _delete(self, names: Iterable[str]) -> None:
        delete = self._uploads.store.delete
        in_parallel([partial(delete, self._prefix + name) for name in names], raises=True)

    def _old_shards(self) -> Iterable[str]:
        """Yield the names of shards of an older run, and of this; see `older_folders`."""
        written = {posixpath.dirname(name) for name in self._shown}
        folders = {"", *written, *summed_folders(self._sums())}
        tops = row_tops(written)
        for info in self._uploads.store.list(self._prefix):
            name = info.key[len(self._prefix) :]
            folder, shard = posixpath.split(name)
            top = name.partition("/")[0]
            is_ours = folder in folders or top in tops or is_row_folder(top)
            if is_ours and is_shard_name(shard):
                yield name

    def _sums(self) -> bytes:
        """Return what an older run summed below the prefix."""
        store, found = self._uploads.store, b""
        for name in SUMS_NAMES:
            with contextlib.suppress(InputMissing):
                info = store.stat(self._prefix + name)
                sums = np.empty(info.size_bytes or 0, np.uint8)
                if len(sums):
                    store.read_range(info, 0, sums)
                found += sums.tobytes()
        return found

    def _is_there(self, name: str) -> bool:
        try:
            self._uploads.store.stat(self._prefix + name)
        except InputMissing:
            return False
        return True

    def discard(self) -> None:
        self._uploads.abort()
        if self._waiting is not None:
            remove(self._waiting)


def _refuse_content(store: ObjectStore, path: RemotePath, *, but: Collection[str] = ()) -> None:
    """Raise OutputExists where a directory holds anything but its own mark, and some names."""
    try:
        for info in store.list(path.prefix):
            name = info.key[len(path.prefix) :]
            if name and not name.startswith(HIDDEN_PREFIX) and name not in but:
                raise OutputExists(
                    f"`{path}` is not empty: `{name}` is in it",
                    hint="--force replaces the shards in it and leaves all other objects alone",
                )
    except InputMissing as error:
        raise OutputUnwritable(
            f"`{path}`: there is no such bucket", hint="make it first, or check the name"
        ) from error
