"""Names that must not outlive a run: hidden outputs and private temporary folders.

A name is claimed before anything is made under it, so that an interrupt at any moment,
also between the making and the try that follows, leaves it known: what is still claimed
when the interpreter ends is removed then. A claim is of one process: a child that was
forked has none, so that its end takes nothing from a run that goes on in its parent. What a
process that is killed leaves can be told by the record beside it, see `owner.py`.
"""

import atexit
import contextlib
import errno
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from dbshuf.base.filenames import COMPANION_SUFFIXES, hidden_in
from dbshuf.base.owner import lock_owner, unlock_owner
from dbshuf.errors import TempSpaceShort, UsageError
from dbshuf.units import human

TEMP_HINT = "free space there or pass --temp-dir DIR; nothing was written"

_claimed: dict[Path, int | None] = {}  # and the descriptor that locks the owner's record
_kept: set[Path] = set()  # of them, what a later run goes on with: nothing here removes it


def claim(path: Path, work_dir: Path | None = None) -> Path:
    """Note that `path` is about to be made and may be removed; return it.

    work_dir  of the run that can be gone on with: then it stays until that is done
    Raises    BlockingIOError if another process has it, which is so with `work_dir` alone
    """
    if is_claimed(path):  # by a sink of this run that could not go on
        return path
    if work_dir is not None:
        _kept.add(path)
    _claimed[path] = None
    _claimed[path] = lock_owner(path, os.fspath(work_dir or ""))
    return path


def is_claimed(path: Path) -> bool:
    """Whether this process has locked a name."""
    return _claimed.get(path) is not None


def leave(path: Path) -> None:
    """Let go of a name that a later run goes on with: file and record stay."""
    _kept.discard(path)
    fd = _claimed.pop(path, None)
    if fd is not None:
        os.close(fd)


def release(path: Path) -> None:
    """Forget a name: what it named has been removed, or has its final name."""
    _kept.discard(path)
    if path in _claimed:
        unlock_owner(path, _claimed[path])
        _claimed.pop(path, None)  # last: a signal before leaves it to the end of the process


def remove(path: Path) -> None:
    """Remove a claimed file or folder, if it is there, and forget the name; never raises."""
    if path not in _claimed:
        return
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    for suffix in COMPANION_SUFFIXES:
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).unlink()
    release(path)


def _forget_all() -> None:
    """Let a forked child have no claims; the locks stay the parent's."""
    for fd in _claimed.values():
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)
    _claimed.clear()
    _kept.clear()


os.register_at_fork(after_in_child=_forget_all)


@contextlib.contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """A folder of this run alone, mode 0700, gone afterwards whatever happens.

    Raises  TempSpaceShort, UsageError if it cannot be made
    """
    folder = claim(hidden_in(parent))
    try:
        with in_words(parent):
            os.mkdir(folder, 0o700)
        yield folder
    finally:
        remove(folder)


def system_hint(error: OSError, otherwise: str) -> str:
    """Return what to do about a file that the system will not let grow, or make."""
    if error.errno == errno.EFBIG:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if limit == resource.RLIM_INFINITY:
            return "the file system takes no file of that size: name a place on another one"
        return (
            f"this process may write files of {human(limit)} at most: raise that limit (ulimit -f"
            " unlimited), or write smaller files"
        )
    if error.errno in (errno.ENOENT, errno.ESTALE):
        return "its folder is gone, or was removed during the run: make it, and run this again"
    return otherwise


@contextlib.contextmanager
def in_words(folder: Path) -> Iterator[None]:
    """Say what the system refused the temporary directory before there was any work."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (TempSpaceShort if is_full else UsageError)(
            f"temporary directory `{folder}`: {error.strerror}", hint=TEMP_HINT
        ) from error


@atexit.register
def _remove_all() -> None:
    for path in list(_claimed):
        (leave if path in _kept else remove)(path)
