"""Owner, group and mode of an output: those of what it replaces, or those of a new file there."""

import contextlib
import os
import stat
from pathlib import Path


def mode_of_new(folder: Path) -> int:
    """Return the mode that a new file has there: by the umask, or what the folder says of it."""
    if hasattr(os, "O_TMPFILE"):
        with contextlib.suppress(OSError):  # not every file system has files without a name
            fd = os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
            try:
                return stat.S_IMODE(os.fstat(fd).st_mode)
            finally:
                os.close(fd)
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def mode_of_folder(hidden: Path) -> int:
    """Return the mode that a new folder has in the place of a hidden one."""
    probe = hidden / "mode"  # one that was made by a process that was killed has the same
    with contextlib.suppress(FileExistsError):
        os.mkdir(probe)
    mode = stat.S_IMODE(os.stat(probe).st_mode)
    os.rmdir(probe)
    return mode


def set_modes(hidden: Path, old: os.stat_result | None, mode: int) -> None:
    """Give what is about to be shown the owner, group and mode that it is to have.

    old   of what it replaces; None: there is nothing, and a new one has `mode`

    What cannot be given away stays ours; then its group gets no rights, as other people
    may be in ours. Nothing is raised: a file system may know no owners, and no modes.
    """
    if old is not None:
        mode = stat.S_IMODE(old.st_mode)
        for owner in (old.st_uid, -1):
            with contextlib.suppress(OSError):
                os.chown(hidden, owner, old.st_gid)
                break
        else:
            mode &= ~stat.S_IRWXG
    with contextlib.suppress(OSError):
        os.chmod(hidden, mode)
