"""What the name of an output leads to, before anything is made of it.

    name  ->  links followed  ->  a descriptor | a pipe, a device | a file, a directory, nothing
                                  written as it is                  grows hidden, then renamed

The checks, the making and the question of room all ask here, so that they agree.
"""

import contextlib
import errno
import fcntl
import os
import shlex
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dbshuf.base.database_logs import check_no_log
from dbshuf.base.file_systems import is_of_the_kernel, takes_files
from dbshuf.base.filenames import HIDDEN_PREFIX
from dbshuf.errors import OutputExists, OutputUnwritable, UsageError
from dbshuf.sink.raw_file import in_words
from dbshuf.sink.remote_path import OutputPath, RemotePath
from dbshuf.sink.shard_names import epoch_folder, is_shard_name

if TYPE_CHECKING:
    from dbshuf.sink.target import Target

_MOST_LINKS = 40  # that the kernel follows, too
_FULL = os.makedev(1, 7)  # /dev/full, which Linux has for tests


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


def grows_in(path: OutputPath) -> Path | None:
    """Return the directory in which the hidden output of a name grows.

    That is where its bytes need room. None if the name leads to a descriptor, a pipe or a
    device, where nothing is hidden, or to another machine. Raises OSError where `check_target`
    refuses the name.
    """
    if isinstance(path, RemotePath):
        return None
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


def check_target(target: "Target") -> None:
    """Refuse an output that cannot be made, before any work; nothing is created.

    Raises   OutputUnwritable (no such directory, no permission, a file where a
             directory must be or the reverse), OutputExists, UsageError (standard output
             for shards, the log of a database)
    """
    if target.path is None:
        if target.in_shards:
            raise UsageError("shards need a directory", hint="name it with -o DIR")
        _check_descriptor(1, "standard output")
        return
    if isinstance(target.path, RemotePath):
        from dbshuf.sink.remote_place import check_remote

        check_remote(target)
        return
    for path in [target.path] if target.in_shards else target.files:
        check_no_log(str(path))
    if target.in_shards:
        with in_words(str(target.path)):
            _check_directory(target.path, force=target.force)
            refuse_shared(target.path, _known_folders(target))
        return
    taken: dict[Path, Path] = {}
    for path in target.files:
        assert isinstance(path, Path)
        with in_words(str(path)):
            _check_file(path)
            found = find(path)
        other = taken.setdefault(found.final, path)
        if other != path and not found.is_special:
            raise _shared(path, other, "file")


def _known_folders(target: "Target") -> list[str]:
    """Return the folders in the directory of shards that are known before any work."""
    epochs = range(target.epochs if target.epochs > 1 else 0)
    return [
        *target.split_names,
        *(side.name for side in target.sides),
        *(epoch_folder(epoch, target.epochs) for epoch in epochs),
    ]


def refuse_shared(directory: Path, folders: Iterable[str], shown: Path | None = None) -> None:
    """Raise OutputUnwritable where two folders of shards, or one and the directory, are one.

    A link can make them so, a bind mount, or a file system that takes `a` and `A` for one name;
    the shards of one would replace those of the other.

    shown   the directory, as the user knows it
    Raises  OSError too
    """
    taken: dict[tuple[int, int], Path] = {}
    for folder in ["", *folders]:
        path = directory / folder
        with contextlib.suppress(FileNotFoundError):
            other = taken.setdefault(place_on_disk(path), path)
            if other != path:
                known = shown or directory
                raise _shared(known / folder, known / other.relative_to(directory), "folder")


def place_on_disk(path: Path) -> tuple[int, int]:
    """Return what tells a folder from all others, by whatever name. Raises OSError."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _shared(path: Path, other: Path, kind: str) -> OutputUnwritable:
    return OutputUnwritable(
        f"`{path}` and `{other}` are one {kind}, and rows of one would replace those of the other",
        hint="remove the link, or name another output",
    )


def _check_file(path: Path) -> None:
    found = find(path)
    if found.fd is not None:
        _check_descriptor(found.fd, str(path))
        return
    if found.is_directory:
        raise OutputUnwritable(
            f"`{path}` is a directory", hint="name a file in it, or cut the output into shards"
        )
    if found.old is not None:
        if not os.access(path, os.W_OK):
            raise OutputUnwritable(f"`{path}` may not be written", hint="see its permissions")
        if found.is_special:
            _check_device(found.old)
            return
        why = obstacle(found.final, found.old)
        if why:
            raise OutputUnwritable(
                f"`{path}` cannot be replaced: {why}",
                hint=f"name another file, or let the shell write it: > {shlex.quote(str(path))}",
            )
    _check_room_for_names(found.final.parent)


def _check_device(found: os.stat_result) -> None:
    """Raise OSError for the device that is full whatever is written, as writing to it would."""
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == _FULL:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _check_directory(path: Path, *, force: bool) -> None:
    found = find(path)
    if found.old is None:
        _check_room_for_names(found.final.parent)
        return
    if not found.is_directory:
        raise OutputUnwritable(
            f"`{path}` is no directory, and shards need one", hint="name another place with -o DIR"
        )
    refuse_content(found.final, force=force)
    _check_room_for_names(found.final)
    for name in shards_in(found.final):
        shard = found.final / name
        why = obstacle_of_owner(shard, shard.lstat())
        if shard.is_dir() and not shard.is_symlink():
            why = "it is a directory, and a shard may need that name"
        if why:
            raise OutputUnwritable(f"`{shard}` cannot be replaced: {why}", hint="move it away")


def _check_room_for_names(directory: Path) -> None:
    """Whether names can be added to the directory."""
    if not directory.is_dir():
        raise OutputUnwritable(
            f"there is no directory `{directory}` for the output",
            hint=f"mkdir -p {shlex.quote(str(directory))}",
        )
    if not takes_files(directory):
        is_read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
        why = "read-only file system" if is_read_only else "permission denied"
        if is_of_the_kernel(directory):
            why = "it shows what the kernel has, and takes no files"
        raise OutputUnwritable(
            f"no file can be made in `{directory}`: {why}",
            hint="name a place that this user may write to",
        )


def _check_descriptor(fd: int, shown: str) -> None:
    try:
        way = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError as error:
        raise OutputUnwritable(f"`{shown}` is closed", hint="name a file with -o PATH") from error
    if way == os.O_RDONLY:
        raise OutputUnwritable(
            f"`{shown}` is not open for writing", hint="name a file with -o PATH"
        )


def check_move(hidden: Path, final: Path) -> None:
    """Raise OSError where a hidden file can no more be renamed to a name beside it.

    Of several files that are shown together the first would be a new one then, the others old.
    """
    os.lstat(hidden)
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not takes_files(final.parent):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def refuse_content(directory: Path, *, force: bool) -> None:
    """Raise OutputExists when the directory holds anything that is not our own scratch."""
    if force or not directory.exists():
        return
    content = [name for name in os.listdir(directory) if not name.startswith(HIDDEN_PREFIX)]
    if content:
        raise OutputExists(
            f"`{directory}` is not empty: {len(content)} entries, `{min(content)}` is one",
            hint="--force replaces the shards in it and leaves all other files alone",
        )


def shards_in(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if is_shard_name(name)]
