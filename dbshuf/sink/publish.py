"""All of the output or none of it: hidden while it grows, then renamed into place.

A file grows as `.NAME.dbshuf-XXXXXXXX` beside the file it will replace, is fsynced,
renamed over it, and the directory is fsynced: at every moment the name holds the old
file or the whole new one. A symlink stays a link; the file that it points to is
replaced. A device, a pipe or a descriptor (`/dev/stdout`) is written as it is.

A directory that does not exist, or is empty, grows beside its place and is renamed
whole, so there too a reader sees nothing or everything. One that cannot be replaced
(it holds files, is a mount point or the working directory) gets its shards one rename
at a time, out of a hidden directory inside it, once all of them are complete and on
disk; shards of an older set that were not replaced are removed last. A machine that
dies within those renames leaves whole shards, but maybe of both sets: that much is all
that a directory can promise. A process that is killed leaves the hidden name behind.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dbshuf.errors import OutputExists, OutputUnwritable, UsageError
from dbshuf.scratch import claim, release, remove
from dbshuf.sink.raw import ByteOutput, DiskFile, OpenFile, in_words

if TYPE_CHECKING:
    from dbshuf.sink.target import Target

HIDDEN_PREFIX = ".dbshuf-"  # in an output directory these do not count as its content

_SHARD_NAME = re.compile(r"part-\d{5,}-of-\d{5,}\.(txt|txt\.gz|txt\.zst|parquet)")
_DESCRIPTOR = re.compile(r"/dev/std(?P<name>out|err)|/(dev|proc/self)/fd/(?P<number>\d+)")


class Place(Protocol):
    """Where one file goes: its output takes the bytes, then one of publish and discard."""

    @property
    def output(self) -> ByteOutput:
        """Where the bytes go."""

    def publish(self) -> None:
        """Put the finished output under its name."""

    def discard(self) -> None:
        """Remove what is hidden; never raises."""


def place_of(path: Path | None) -> Place:
    """Return the place for one file, or for stdout when `path` is None."""
    if path is None:
        return OpenPlace(1, shown="standard output")
    fd = _descriptor(path)
    if fd is not None:
        return OpenPlace(fd, shown=str(path))
    with in_words(str(path)):
        if path.exists() and not path.is_file():
            return OpenPlace(os.open(path, os.O_WRONLY), shown=str(path), owned=True)
    return HiddenFile(path)


class OpenPlace:
    """A descriptor, written as it is: there is nothing to hide or to rename."""

    def __init__(self, fd: int, *, shown: str, owned: bool = False) -> None:
        self.output = OpenFile(fd, shown=shown)
        self._owned_fd = fd if owned else -1

    def publish(self) -> None:
        self.discard()

    def discard(self) -> None:
        fd, self._owned_fd = self._owned_fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


class HiddenFile:
    """A file under a hidden name, beside the one it will become."""

    def __init__(self, path: Path) -> None:
        self._shown = str(path)
        with in_words(self._shown):
            self._final = Path(os.path.realpath(path))
            self._old = self._final.stat() if self._final.exists() else None
        self._hidden = claim(_hidden_beside(self._final))
        mode = 0o666 if self._old is None else stat.S_IMODE(self._old.st_mode) & 0o666
        self.output = DiskFile(self._hidden, shown=self._shown, mode=mode)

    def publish(self) -> None:
        with in_words(self._shown):
            if self._old is not None:
                with contextlib.suppress(PermissionError):
                    os.chown(self._hidden, self._old.st_uid, self._old.st_gid)
                os.chmod(self._hidden, stat.S_IMODE(self._old.st_mode))
            os.replace(self._hidden, self._final)
            release(self._hidden)
            _sync_directory(self._final.parent)

    def discard(self) -> None:
        remove(self._hidden)


class HiddenDirectory:
    """Files without names in a hidden directory; `publish` names and shows them."""

    def __init__(self, path: Path, *, force: bool) -> None:
        self._shown = str(path)
        self._force = force
        self._files = 0
        with in_words(self._shown):
            self._final = Path(os.path.realpath(path))
            self._whole = _can_be_replaced(self._final)
            if self._whole:
                self._hidden = _hidden_beside(self._final)
            else:
                self._hidden = self._final / f"{HIDDEN_PREFIX}{secrets.token_hex(4)}"
            os.mkdir(claim(self._hidden))
            if self._whole and self._final.exists():
                shutil.copymode(self._final, self._hidden)

    def create(self) -> DiskFile:
        """Return the next file, open for writing."""
        self._files += 1
        return DiskFile(self._hidden / str(self._files - 1), shown=self._shown)

    def publish(self, names: list[str]) -> None:
        """Put the files, in the order of their creation, under `names`."""
        with in_words(self._shown):
            for number, name in enumerate(names):
                os.rename(self._hidden / str(number), self._hidden / name)
            _sync_directory(self._hidden)
            if not (self._whole and self._rename_whole()):
                self._move_in(names)

    def _rename_whole(self) -> bool:
        try:
            os.rename(self._hidden, self._final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                raise
            return False  # something came into the directory since the start
        release(self._hidden)
        _sync_directory(self._final.parent)
        return True

    def _move_in(self, names: list[str]) -> None:
        _refuse_content(self._final, force=self._force)
        for name in names:
            os.replace(self._hidden / name, self._final / name)
        _sync_directory(self._final)
        for name in set(_shards_in(self._final)).difference(names):
            os.unlink(self._final / name)
        os.rmdir(self._hidden)
        release(self._hidden)
        _sync_directory(self._final)

    def discard(self) -> None:
        remove(self._hidden)


def shard_names(count: int, form: str) -> list[str]:
    """Return the names of `count` shards; in byte order they are in the order's order."""
    width = max(5, len(str(count)))
    return [f"part-{i:0{width}d}-of-{count:0{width}d}.{form}" for i in range(count)]


def check_target(target: "Target") -> None:
    """Refuse an output that cannot be made, before any work; nothing is created.

    Raises   OutputUnwritable (no such directory, no permission, a file where a
             directory must be or the reverse), OutputExists, UsageError
    """
    if target.path is None:
        if target.in_shards:
            raise UsageError("shards need a directory", hint="name it with -o DIR")
        _check_descriptor(1, "standard output")
        return
    with in_words(str(target.path)):
        if target.in_shards:
            _check_directory(target.path, force=target.force)
        else:
            _check_file(target.path)


def _check_file(path: Path) -> None:
    fd = _descriptor(path)
    if fd is not None:
        _check_descriptor(fd, str(path))
        return
    final = Path(os.path.realpath(path))
    if final.is_dir():
        raise OutputUnwritable(
            f"`{path}` is a directory", hint="name a file in it, or cut the output into shards"
        )
    if final.exists():
        if not os.access(final, os.W_OK):
            raise OutputUnwritable(f"`{path}` may not be written", hint="see its permissions")
        if not final.is_file():
            return
    _check_room_for_names(final.parent)


def _check_directory(path: Path, *, force: bool) -> None:
    final = Path(os.path.realpath(path))
    if not final.exists():
        _check_room_for_names(final.parent)
        return
    if not final.is_dir():
        raise OutputUnwritable(f"`{path}` is no directory, and shards need one")
    _refuse_content(final, force=force)
    _check_room_for_names(final)
    for name in _shards_in(final):
        if (final / name).is_dir():
            raise OutputUnwritable(
                f"`{final / name}` is a directory, and a shard may need that name",
                hint="move it away",
            )


def _check_room_for_names(directory: Path) -> None:
    """Whether names can be added to the directory."""
    if not directory.is_dir():
        raise OutputUnwritable(
            f"there is no directory `{directory}` for the output", hint=f"mkdir -p {directory}"
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OutputUnwritable(f"no file can be made in `{directory}`: permission denied")


def _check_descriptor(fd: int, shown: str) -> None:
    try:
        os.fstat(fd)
    except OSError as error:
        raise OutputUnwritable(f"`{shown}` is closed") from error


def _refuse_content(directory: Path, *, force: bool) -> None:
    """Raise OutputExists when the directory holds anything that is not our own scratch."""
    if force or not directory.exists():
        return
    content = [name for name in os.listdir(directory) if not name.startswith(HIDDEN_PREFIX)]
    if content:
        raise OutputExists(
            f"`{directory}` is not empty: {len(content)} entries, `{min(content)}` is one",
            hint="--force replaces the shards in it and leaves all other files alone",
        )


def _can_be_replaced(directory: Path) -> bool:
    """Whether renaming another directory over this one takes nothing from anybody."""
    if not directory.exists():
        return True
    parent = directory.parent
    return (
        not os.listdir(directory)
        and directory.stat().st_dev == parent.stat().st_dev
        and not directory.samefile(os.curdir)
        and os.access(parent, os.W_OK | os.X_OK)
    )


def _shards_in(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if _SHARD_NAME.fullmatch(name)]


def _descriptor(path: Path) -> int | None:
    """The descriptor that a path like `/dev/stdout` or `/dev/fd/3` stands for."""
    match = _DESCRIPTOR.fullmatch(os.path.abspath(path))
    if match is None:
        return None
    return int(match["number"]) if match["number"] else {"out": 1, "err": 2}[match["name"]]


def _hidden_beside(final: Path) -> Path:
    """A new hidden name in the same directory; long names are cut to fit 255 bytes."""
    name = os.fsdecode(os.fsencode(final.name)[:200])
    return final.with_name(f".{name}.dbshuf-{secrets.token_hex(4)}")


def _sync_directory(directory: Path) -> None:
    """Make renames in a directory durable, where its file system can."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)
