"""Where the files of an output lie: a directory of this machine, or a prefix in an object store."""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dbshuf.base.layout import SLACK_BYTES
from dbshuf.base.messages import too_small
from dbshuf.base.process_memory import resident_bytes
from dbshuf.base.remote_names import is_remote
from dbshuf.errors import InputMissing, InputUnreadable, UsageError
from dbshuf.remote.names import RemoteName, remote_name
from dbshuf.remote.object_store import ObjectInfo
from dbshuf.source.listing import is_hidden
from dbshuf.source.remote_object import AHEAD_BYTES, IN_FLIGHT_BYTES, RemoteObject
from dbshuf.units import MIB


class Folder(Protocol):
    """Files by their names below it, with `/` between folders.

    Calls raise InputMissing where there is no such file, and InputUnreadable or what a store raises
    """

    def shown(self, name: str = "") -> str:
        """Return the name of a file in it, or its own, for people."""

    def size(self, name: str) -> int:
        """Return the bytes of a file."""

    def names(self) -> list[str]:
        """Return all files, but hidden ones."""

    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    def pieces(self, name: str) -> Iterator[memoryview]:
        """Yield the bytes of a file, each piece until the next is asked for."""

    def within(self, name: str) -> "Folder":
        """Return a folder in it."""


@dataclass(frozen=True)
class LocalFolder:
    """A directory; see Folder."""

    path: Path

    def shown(self, name: str = "") -> str:
        return str(self.path / name)

    def size(self, name: str) -> int:
        with _told(self.path / name):
            status = os.stat(self.path / name)
        if not stat.S_ISREG(status.st_mode):
            raise InputMissing("is no regular file")
        return status.st_size

    def names(self) -> list[str]:
        found = []
        for below, folders, names in os.walk(self.path):
            folders[:] = sorted(name for name in folders if not is_hidden(name, is_folder=True))
            for name in sorted(names):
                if not is_hidden(name, is_folder=False):
                    found.append(os.path.relpath(os.path.join(below, name), self.path))
        return found

    def has(self, name: str) -> bool:
        return os.path.exists(self.path / name)

    def pieces(self, name: str) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(MIB))
        with _told(self.path / name), open(self.path / name, "rb", buffering=0) as file:
            if stat.S_ISCHR(os.fstat(file.fileno()).st_mode):  # of which some never end
                raise InputUnreadable("is a device")
            while count := file.readinto(buffer):
                yield buffer[:count]

    def within(self, name: str) -> "LocalFolder":
        return LocalFolder(self.path / name)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn errors of the system into ours."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputMissing("is missing") from error
    except OSError as error:
        raise InputUnreadable(f"cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class RemoteFolder:
    """All objects below a prefix, which ends with a slash or is empty; see Folder."""

    name: RemoteName
    _listed: dict[str, ObjectInfo] = field(default_factory=dict, compare=False)

    def shown(self, name: str = "") -> str:
        return self.name.shown(self.name.key + name)

    def size(self, name: str) -> int:
        size = self._info(name).size_bytes
        if size is None:
            raise InputUnreadable("cannot be read: its host does not say how large it is")
        return size

    def names(self) -> list[str]:
        from dbshuf.remote.opening import store_of

        _check_listed(self.name)
        if not self._listed:
            prefix = self.name.key
            for one in store_of(self.name).list(prefix):
                self._listed[one.key[len(prefix) :]] = one
        return [name for name in self._listed if not _is_hidden_below(name)]

    def has(self, name: str) -> bool:
        try:
            return bool(self._info(name))
        except InputMissing:
            return False

    def pieces(self, name: str) -> Iterator[memoryview]:
        from dbshuf.remote.opening import store_of

        remote = RemoteObject(store_of(self.name), self._info(name), self.shown(name))
        buffer = memoryview(bytearray(MIB))
        try:
            with contextlib.closing(remote.open()) as stream:
                while count := stream.readinto(buffer):
                    yield buffer[:count]
        except InputMissing:
            raise InputMissing("is missing") from None

    def within(self, name: str) -> "RemoteFolder":
        return RemoteFolder(RemoteName(self.name.scheme, self.name.root, f"{self.name.key}{name}/"))

    def _info(self, name: str) -> ObjectInfo:
        from dbshuf.remote.opening import store_of

        if not self._listed:
            try:
                return store_of(self.name).stat(self.name.key + name)
            except InputMissing:
                raise InputMissing("is missing") from None
        if name not in self._listed:
            raise InputMissing("is missing")
        return self._listed[name]


def _check_listed(name: RemoteName) -> None:
    if not name.is_listed:
        raise UsageError(
            f"`{name.shown()}`: a web server does not tell which files there are",
            hint="download them first, or compare rows: dbshuf verify INPUTS... OUTPUT",
        )


def _is_hidden_below(name: str) -> bool:
    *folders, last = name.split("/")
    is_inside = any(is_hidden(one, is_folder=True) for one in folders)
    return not last or is_inside or is_hidden(last, is_folder=False)


def folder_of(name: str) -> Folder | None:
    """Return the directory or prefix of a name; None if it is a file, or there is none."""
    if os.path.isdir(name):
        return LocalFolder(Path(name))
    if not is_remote(name):
        return None
    found = remote_name(name)
    if not found.is_listed:
        if found.key.endswith("/") or not found.key:
            _check_listed(found)
        return None
    slash = "" if not found.key or found.key.endswith("/") else "/"
    folder = RemoteFolder(RemoteName(found.scheme, found.root, found.key + slash))
    return folder if not slash or folder.names() else None


def file_of(name: str) -> tuple[Folder, str]:
    """Return where a file lies, and its name there."""
    if not is_remote(name) or os.path.exists(name):
        return LocalFolder(Path(name).parent), Path(name).name
    found = remote_name(name)
    prefix, slash, last = found.key.rpartition("/")
    return RemoteFolder(RemoteName(found.scheme, found.root, prefix + slash)), last


def read_whole(folder: Folder, name: str) -> bytes:
    """Return the bytes of a small file. Raises with its name in the message."""
    shown = folder.shown(name)
    try:
        return b"".join(bytes(piece) for piece in folder.pieces(name))
    except InputMissing as error:
        raise InputMissing(f"there is no `{shown}`", hint="check the path") from error
    except InputUnreadable as error:
        raise InputUnreadable(f"`{shown}` {error.message}", hint="check the path") from error


def readers_of(folder: Folder, threads: int, cap: int) -> int:
    """Return how many files may be read at once in the memory of a process (bytes).

    Raises  MemoryTooSmall
    """
    if isinstance(folder, LocalFolder):
        return threads
    held, each = resident_bytes() + IN_FLIGHT_BYTES + SLACK_BYTES, AHEAD_BYTES + MIB
    if cap < held + each:
        raise too_small(cap, held + each, "objects are read ahead, which needs")
    return min(threads, (cap - held) // each)
