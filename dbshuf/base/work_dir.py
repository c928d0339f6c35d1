"""A --work-dir: the directory in which a run keeps what a later one goes on with.

    dbshuf-journal   what is done, see `journal.py`
    dbshuf-rows      the partitioned rows
    dbshuf-manifest  what --manifest will be
    dbshuf-upload    a folder with the output, if that goes to an object store
    dbshuf-owner     whose it is; locked while a run uses it
    .dbshuf-XXXXXXXX  what one run alone needs

It is the user's alone, mode 0700, and nothing in it is reached through a link. A new directory
is made, and removed again after the run; one that is there must be empty, or hold a run.
"""

import contextlib
import errno
import fcntl
import json
import os
import shlex
import shutil
import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dbshuf.base.filenames import (
    HIDDEN_PREFIX,
    WORK_JOURNAL,
    WORK_MANIFEST,
    WORK_NAMES,
    WORK_OWNER,
    WORK_ROWS,
    WORK_UPLOAD,
    is_of_work_dir,
    owner_of,
)
from dbshuf.base.journal import Journal, Record, read_journal
from dbshuf.base.owner import Owner
from dbshuf.errors import TempSpaceShort, WorkDirUnfit

_MOST_RECORD_BYTES = 4096


def cleaning(path: Path) -> str:
    """Return the command that removes a work directory."""
    return f"dbshuf clean {shlex.quote(os.fspath(path))}"


class WorkDir:
    """A work directory, locked by this run until `leave` or `remove`.

    journal  open to append
    rows     name of the file of partitioned rows
    manifest  name of the file of a manifest that waits for its place
    upload   name of the folder of what waits to be uploaded
    is_new   whether no run has begun in it
    """

    def __init__(self, path: Path) -> None:
        """Make or enter it. Raises WorkDirUnfit, TempSpaceShort."""
        self.path = Path(os.path.abspath(path))
        self.rows, self.manifest = self.path / WORK_ROWS, self.path / WORK_MANIFEST
        self.upload = self.path / WORK_UPLOAD
        with in_words(self.path):
            is_new = _make(self.path)
            try:
                self._enter(is_new=is_new)
            except BaseException:
                if is_new:  # on a full disk, say: nothing has begun in it
                    with contextlib.suppress(OSError):
                        os.rmdir(self.path)
                raise

    def _enter(self, *, is_new: bool) -> None:
        _check(self.path)
        _close_to_others(self.path)
        self._lock = _lock(self.path / WORK_OWNER, self.path)
        try:
            _remove_hidden(self.path)
            self.is_made = _say_whose(self._lock, self.path, is_made=is_new)
            self.journal = Journal(self.path / WORK_JOURNAL)
            sync_directory(self.path)
            if self.is_made:
                sync_directory(self.path.parent)
        except BaseException:
            if is_new:
                _remove_all(self.path)
            os.close(self._lock)
            raise

    @property
    def is_new(self) -> bool:
        return next(iter(self.journal.records()), None) is None

    def note(self, kind: str, **fields: Any) -> None:
        """Add a record to the journal, durably; Raises WorkDirUnfit, TempSpaceShort."""
        with in_words(self.path):
            self.journal.append(kind, **fields)

    def leave(self) -> None:
        """Let go of it; what is in it stays."""
        self.journal.close()
        fd, self._lock = self._lock, -1
        if fd >= 0:
            os.close(fd)

    def remove(self, *, with_folder: bool) -> None:
        """Remove what is in it, and the directory if it was made for it.

        The journal goes when the rows are gone: up to then a rerun knows what was done.
        """
        delete(self.upload)
        _remove_all(self.path)
        self.leave()
        if with_folder:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)


def check_place(path: Path) -> None:
    """Raise WorkDirUnfit for what is there and can be no work directory; nothing is changed."""
    with in_words(path):
        if os.path.lexists(path):
            _check(path)


def first_record(path: Path) -> Record | None:
    """Return the first record of the journal in a directory; None if there is none."""
    try:
        return next(read_journal(path / WORK_JOURNAL), None)
    except OSError:
        return None


def last_record(path: Path) -> Record | None:
    """Return the last record of the journal in a directory; None if there is none."""
    with contextlib.suppress(OSError):
        last = deque(read_journal(path / WORK_JOURNAL), maxlen=1)
        return last[0] if last else None
    return None


def is_kept(path: Path) -> bool:
    """Whether a directory holds a run that can be gone on with."""
    return (path / WORK_JOURNAL).is_file()


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable, where its file system can."""
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextlib.contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Say what the system refused a work directory."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TempSpaceShort(
                f"--work-dir `{path}` is full",
                hint="free space there, and run the same command again: it goes on",
            ) from error
        raise WorkDirUnfit(
            f"--work-dir `{path}`: {error.strerror or error}",
            hint="name a new directory on a disk with room",
        ) from error


def _make(path: Path) -> bool:
    """Make the directory, mode 0700; return whether it was not there.

    Whoever dies before its owner's record says so, next of all, leaves an empty directory: that is
    taken by the next run, and stays, since nothing tells it from one that the user has made.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return False
    return True


def _check(path: Path) -> None:
    """Raise WorkDirUnfit unless it is a directory of this user's with nothing else in it."""
    found = os.lstat(path)
    why = ""
    if stat.S_ISLNK(found.st_mode):
        why = "is a symbolic link"
    elif not stat.S_ISDIR(found.st_mode):
        why = "is no directory"
    elif found.st_uid != os.geteuid():
        why = "belongs to another user"
    else:
        others = [name for name in os.listdir(path) if not is_of_work_dir(name)]
        if others:
            why = f"holds other files, `{min(others)}` is one"
    for name in (*WORK_NAMES, WORK_UPLOAD) if not why else ():
        with contextlib.suppress(FileNotFoundError):
            inside = os.lstat(path / name)
            is_sound = stat.S_ISREG(inside.st_mode) and inside.st_nlink == 1
            if name == WORK_UPLOAD:
                is_sound = stat.S_ISDIR(inside.st_mode)
            if not is_sound or inside.st_uid != found.st_uid:
                why = f"holds a `{name}` that no run has made there"
    if why:
        raise WorkDirUnfit(f"--work-dir `{path}` {why}", hint="name a new or an empty directory")


def _close_to_others(path: Path) -> None:
    if stat.S_IMODE(os.lstat(path).st_mode) & 0o077:
        os.chmod(path, 0o700)


def _lock(record: Path, path: Path) -> int:
    """Lock the owner's record; return the descriptor that keeps the lock."""
    fd = os.open(record, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(fd).st_nlink:
            raise WorkDirUnfit(
                f"--work-dir `{path}` was removed just now by a run that has ended",
                hint="run the command again, if there is still something to do",
            )
        return fd
    except BlockingIOError:
        owner = Owner.parse(os.read(fd, _MOST_RECORD_BYTES))
        os.close(fd)
        whose = "another run" if owner is None else f"process {owner.pid} on {owner.host}"
        raise WorkDirUnfit(
            f"--work-dir `{path}` is in use by {whose}",
            hint="wait for it, or name another directory",
        ) from None
    except BaseException:
        os.close(fd)
        raise


def _say_whose(fd: int, path: Path, *, is_made: bool) -> bool:
    """Write the owner's record; return whether this run or one before has made the directory."""
    before = os.read(fd, _MOST_RECORD_BYTES)
    with contextlib.suppress(ValueError):
        found = json.loads(before)
        is_made = is_made or (isinstance(found, dict) and bool(found.get("is_made")))
    record = asdict(replace(Owner.this_run(), work_dir=str(path))) | {"is_made": is_made}
    # Over all of what was there, in one write: at no moment is it unknown who made the directory.
    text = json.dumps(record).encode().ljust(len(before))
    if os.pwrite(fd, text, 0) < len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return is_made


def _remove_all(path: Path) -> None:
    """Remove what runs keep in it; whoever has the lock may."""
    for name in WORK_NAMES:
        with contextlib.suppress(OSError):
            os.unlink(path / name)


def _remove_hidden(path: Path) -> None:
    """Remove what dead runs had there for themselves alone; whoever has the lock may."""
    for name in os.listdir(path):
        if name.startswith(HIDDEN_PREFIX):
            delete_hidden(path / name)


def remove_kept(path: Path, first: Callable[[], None] = lambda: None) -> None:
    """Remove the run that a directory holds, and what it has hidden beside its output.

    first   called when no other run can enter it; whatever it raises, all stays
    Raises  WorkDirUnfit if it is in use
    """
    work = WorkDir(path)
    try:
        first()
    except BaseException:
        work.leave()
        raise
    with_folder = False
    for record in work.journal.records():
        if record["kind"] == "begin":
            with_folder = bool(record["made"])
        elif record["kind"] == "output":
            delete_hidden(Path(record["hidden"]))
    work.remove(with_folder=with_folder)


def delete_hidden(hidden: Path) -> None:
    """Remove what a hidden name has, and the record of whose it is."""
    delete(hidden)
    with contextlib.suppress(OSError):
        os.unlink(owner_of(hidden))


def delete(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it; no link is followed."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
