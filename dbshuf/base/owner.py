"""Whose a hidden file or folder is: a small file beside it, locked as long as its run lives.

The kernel drops the lock (flock) with the last descriptor, whatever ends a process; so what is
not locked any more has been left behind. The file is locked before it has the name that others
look for. A record in it tells people and other machines who that was.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from dbshuf.base.filenames import UNLOCKED_SUFFIX, owner_of

_NO_LINK = os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True)
class Owner:
    """A run, as its record has it.

    pid      of its process, where it ran
    started  seconds since 1970
    host     name of its machine or container
    boot     the kernel's own number for this start of the machine; empty if it tells none
    work_dir  where the journal is with which a later run goes on; empty if there is none
    """

    pid: int
    started: float
    host: str
    boot: str
    work_dir: str = ""

    @classmethod
    def this_run(cls) -> "Owner":
        return cls(os.getpid(), time.time(), socket.gethostname(), boot_id())

    @classmethod
    def parse(cls, text: bytes) -> "Owner | None":
        """Return the owner of a record; None if it is cut short, or no record."""
        try:
            fields = json.loads(text)
            return cls(
                int(fields["pid"]),
                float(fields["started"]),
                str(fields["host"]),
                str(fields["boot"]),
                str(fields.get("work_dir", "")),
            )
        except (ValueError, KeyError, TypeError):
            return None


@cache
def boot_id() -> str:
    """Return what tells one start of one kernel from all others; containers share it."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def lock_owner(hidden: Path, work_dir: str = "") -> int | None:
    """Say that a hidden name is this run's; return the descriptor that keeps it so.

    work_dir  of a run that can be gone on with; then it may be a name that an earlier process had

    None where that cannot be: then the making of the thing itself says why, or a file system
    that knows no locks has nothing to tell a later run by.
    Raises  BlockingIOError if another process has a name that there was
    """
    name = owner_of(hidden)
    fd = lock_again(name) if work_dir else None
    is_old = fd is not None
    if fd is None:
        fd = _locked_at_once(name)
    if fd is None:
        fd = _locked_before_named(name)
    if fd is None:
        return None
    text = json.dumps(asdict(replace(Owner.this_run(), work_dir=work_dir))).encode()
    if not _written(fd, text) and work_dir and not is_old:
        # A full disk: else the lock alone says enough, but what may stay needs to be told.
        unlock_owner(hidden, fd)
        return None
    return fd


def lock_again(name: Path) -> int | None:
    """Lock the record of an earlier process; None if it is gone, or nothing is locked there.

    Raises  BlockingIOError if another process has it
    """
    try:
        fd = os.open(name, os.O_RDWR | _NO_LINK)
    except OSError:
        return None
    is_ours = False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.path.samestat(os.fstat(fd), os.lstat(name))
    except BlockingIOError:
        raise
    except OSError:  # of a file system without locks, or of a name that went meanwhile
        pass
    finally:
        if not is_ours:
            os.close(fd)
    return fd if is_ours else None


def _written(fd: int, text: bytes) -> bool:
    """Write a record over what there is; say whether there was room."""
    with contextlib.suppress(OSError):
        if os.pwrite(fd, text, 0) == len(text):
            os.ftruncate(fd, len(text))
            return True
    return False


def _locked_at_once(name: Path) -> int | None:
    """Lock a file without a name, and give it one: a kill at no moment leaves it half made."""
    try:
        fd = os.open(name.parent, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except (OSError, AttributeError):  # not every file system, nor every kernel, has them
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # With a descriptor of a folder, which an absolute name ignores, the link is followed.
        os.link(f"/proc/self/fd/{fd}", name, src_dir_fd=fd)
        return fd
    except OSError:
        os.close(fd)
        return None


def _locked_before_named(name: Path) -> int | None:
    """Lock a file under another name, and rename it."""
    begun = name.with_name(name.name + UNLOCKED_SUFFIX)
    try:
        fd = os.open(begun, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(begun, name)
        return fd
    except OSError:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(begun)
        return None


def unlock_owner(hidden: Path, fd: int | None) -> None:
    """Take back what `lock_owner` said, also where a signal stopped it; never raises."""
    name = owner_of(hidden)
    for path in (name, name.with_name(name.name + UNLOCKED_SUFFIX)):
        with contextlib.suppress(OSError):
            os.unlink(path)
    if fd is not None:
        with contextlib.suppress(OSError):
            os.close(fd)
