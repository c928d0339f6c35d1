"""What the name of an output leads to, before anything is made of it.

    name  ->  links followed  ->  a descriptor | a pipe, a device | a file, a directory, nothing
                                  written as it is                  grows hidden, then renamed

The checks, the making and the question of room all ask here, so that they agree.
"""

import os
import stat
from pathlib import Path
from typing import NamedTuple

_MOST_LINKS = 40  # that the kernel follows, too


class Found(NamedTuple):
    """What the name of an output leads to, all links followed.

    fd      the descriptor that it stands for, or None
    final   the name to give in the end; a new file grows beside it
    old     what is there now, or None
    """

    fd: int | None
    final: Path
    old: os.stat_result | None

    @property
    def is_directory(self) -> bool:
        return self.old is not None and stat.S_ISDIR(self.old.st_mode)

    @property
    def is_special(self) -> bool:
        """Whether it is written as it is: a descriptor, a pipe, a device."""
        is_other = self.old is not None and not stat.S_ISREG(self.old.st_mode)
        return self.fd is not None or (is_other and not self.is_directory)


def find(path: Path) -> Found:
    """Look where a name leads; raises OSError, for a loop of links too."""
    final = Path(os.path.realpath(path))
    try:
        old = os.stat(path)
    except FileNotFoundError:
        old = None
    return Found(descriptor_of(path), final, old)


def descriptor_of(path: Path) -> int | None:
    """Return the descriptor that a name, or the end of its links, stands for.

    `/dev/stdout` and `/dev/fd/3` are links to files on Linux, but stand for descriptors.
    """
    ours = {"/dev/fd", os.path.realpath("/proc/self/fd")}
    name = os.fspath(path)
    for _ in range(_MOST_LINKS):
        folder, last = os.path.split(name)
        folder = os.path.realpath(folder)
        if folder in ours and last.isascii() and last.isdigit():
            return int(last)
        try:
            name = os.path.join(folder, os.readlink(name))
        except OSError:
            return None
    return None


def grows_in(path: Path) -> Path | None:
    """Return the directory in which the hidden output of a name grows.

    That is where its bytes need room. None if the name leads to a descriptor, a pipe or a
    device: nothing is hidden then. Raises OSError where `check_target` refuses the name.
    """
    found = find(path)
    if found.is_special:
        return None
    if found.is_directory and not can_be_replaced(found):
        return found.final
    return found.final.parent


def can_be_replaced(found: Found) -> bool:
    """Whether renaming a directory to the name takes nothing from anybody."""
    directory, parent = found.final, found.final.parent
    if found.old is None:
        return True
    return (
        not os.listdir(directory)
        and found.old.st_dev == parent.stat().st_dev
        and not directory.samefile(os.curdir)
        and os.access(parent, os.W_OK | os.X_OK)
        and not obstacle(directory, found.old)
    )


def obstacle(path: Path, old: os.stat_result) -> str:
    """Why no rename can put something in the place of `path`; empty if one can."""
    if _mount_of(path) != _mount_of(path.parent):
        return "something is mounted there"
    return obstacle_of_owner(path, old)


def obstacle_of_owner(path: Path, old: os.stat_result) -> str:
    """The same, but asked of the owners alone, which is cheap: as in `/tmp`."""
    parent = path.parent.stat()
    if parent.st_mode & stat.S_ISVTX and os.geteuid() not in (0, old.st_uid, parent.st_uid):
        return f"in `{path.parent}` nobody but its owner may do that"
    return ""


def _mount_of(path: Path) -> str:
    """The kernel's number for the mount that holds a path; empty where it tells none.

    A bind mount of the same disk has the same device, and yet no rename crosses it.
    """
    try:
        fd = os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        with open(f"/proc/self/fdinfo/{fd}") as facts:
            return next((fact for fact in facts if fact.startswith("mnt_id:")), "")
    except OSError:
        return ""
    finally:
        os.close(fd)
