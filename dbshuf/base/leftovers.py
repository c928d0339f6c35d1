"""What runs left that were killed: found by their owners' records, and removed.

A record that is locked is of a run that lives. One that is not is of a dead run, if this kernel
keeps the locks: it says so where the record is of this start of this machine, containers with
pids of their own included, or where the file system is of this machine alone. On one that other
machines share, what they left is theirs to remove: not everywhere do they see each other's locks.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from dbshuf.base.file_systems import file_system
from dbshuf.base.filenames import COMPANION_SUFFIXES, UNLOCKED_SUFFIX, WORK_OWNER, owned_by
from dbshuf.base.owner import Owner, boot_id, lock_again
from dbshuf.base.work_dir import delete, is_kept

_NEW_S = 60  # that a record may take from its making to its lock
_MOST_RECORD_BYTES = 4096
# File systems whose locks one kernel keeps for all who can reach them.
_LOCAL = frozenset(
    {"bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "ntfs3", "overlay"}
    | {"ramfs", "reiserfs", "tmpfs", "vfat", "xfs", "zfs"}
)


class State(Enum):
    """Whether the run still works that something hidden belongs to."""

    LIVE = "in use"
    DEAD = "left behind"
    ELSEWHERE = "of another machine"
    KEPT = "can be gone on with"


@dataclass(frozen=True)
class Leftover:
    """Something hidden with a record beside it.

    path        the file or folder; it may not have been made yet
    record      the file beside it
    owner       what the record says, None if it says nothing
    size_bytes  of all files in it
    """

    path: Path
    record: Path
    owner: Owner | None
    size_bytes: int
    state: State


def find_leftovers(folder: Path) -> list[Leftover]:
    """Return what is hidden in a folder and this user's, by name; nothing if it is no folder."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        return []
    found = (_leftover(folder / name) for name in names)
    return [one for one in found if one is not None]


def remove_leftovers(folders: Iterable[Path]) -> list[Leftover]:
    """Remove what dead runs of this user left in some folders, and return it; never raises."""
    real = {os.path.realpath(folder): None for folder in folders}
    dead = [
        one for folder in real for one in find_leftovers(Path(folder)) if one.state is State.DEAD
    ]
    return [one for one in dead if remove_leftover(one)]


def remove_leftover(one: Leftover) -> bool:
    """Remove a leftover unless somebody has its lock by now; return whether nothing is left."""
    with _locked(one.record) as is_ours:
        if not is_ours:
            return False
        for path in _places(one.path):
            delete(path)
        if any(os.path.lexists(path) for path in _places(one.path)):
            return False
        with contextlib.suppress(OSError):
            os.unlink(one.record)
    return True


def find_kept(folders: Iterable[Path], work_dir: Path) -> list[Leftover]:
    """Return what is hidden in some folders of the run in a --work-dir, begun on this machine."""
    found = [one for folder in folders for one in find_leftovers(folder)]
    return [
        one
        for one in found
        if one.owner is not None
        and (one.owner.work_dir, one.owner.host) == (os.fspath(work_dir), socket.gethostname())
    ]


def find_work_dirs(folder: Path) -> list[Leftover]:
    """Return the --work-dirs of this user: a folder itself, or those in it, by name."""
    try:
        below = sorted(Path(entry) for entry in os.scandir(folder) if os.path.isdir(entry))
    except OSError:
        return []
    paths = [Path(os.path.abspath(path)) for path in (folder, *below)]
    return [one for path in paths if (one := _work_dir(path)) is not None]


def _work_dir(path: Path) -> Leftover | None:
    record = path / WORK_OWNER
    try:
        if not is_kept(path) or os.lstat(record).st_uid != os.geteuid():
            return None
        owner = _read(record)
    except OSError:
        return None
    with _locked(record) as is_free:
        state = State.KEPT if is_free else State.LIVE
    return Leftover(path, record, owner, _size(path), state)


def _leftover(record: Path) -> Leftover | None:
    path = owned_by(record)
    if path is None:
        return None
    try:
        status = os.lstat(record)
        if status.st_uid != os.geteuid():
            return None
        is_new = record.name.endswith(UNLOCKED_SUFFIX) and time.time() - status.st_mtime < _NEW_S
        owner = _read(record)
    except OSError:
        return None
    with _locked(record) as is_free:
        if not is_free or is_new:
            state = State.LIVE
        elif owner is not None and owner.work_dir and is_kept(Path(owner.work_dir)):
            state = State.KEPT
        elif _keeps_locks(owner, record, status.st_dev):
            state = State.DEAD
        else:
            state = State.ELSEWHERE
    size = sum(_size(place) for place in _places(path))
    return Leftover(path, record, owner, size, state)


@contextlib.contextmanager
def _locked(record: Path) -> Iterator[bool]:
    """Hold a record's lock, if nobody has it; say whether."""
    fd = None
    with contextlib.suppress(BlockingIOError):
        fd = lock_again(record)
    try:
        yield fd is not None
    finally:
        if fd is not None:
            os.close(fd)


def _read(record: Path) -> Owner | None:
    fd = os.open(record, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return Owner.parse(os.read(fd, _MOST_RECORD_BYTES))
    finally:
        os.close(fd)


def _keeps_locks(owner: Owner | None, record: Path, device: int) -> bool:
    """Whether a lock of that owner, were it alive, would be seen here."""
    if owner is not None and owner.boot and owner.boot == boot_id():
        return True
    return file_system(device) in _LOCAL


def _places(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + suffix) for suffix in COMPANION_SUFFIXES)]


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; links are not followed."""
    total = 0
    with contextlib.suppress(OSError):
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_size
        for folder, _, files in os.walk(path):
            for name in files:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size
    return total
