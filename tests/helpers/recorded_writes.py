"""What a run writes, in its order, and the disks that a power cut at any moment could leave.

`Recorder` notes every call that changes files below a folder. `disks` replays a prefix of that
with what was not synced lost: data of files behind the last sync of each, and names behind the
last sync of their folder; or with the last piece of data torn in half.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Event(NamedTuple):
    """One call: `write` (at, data), `cut` (at), `sync`, `make`, `folder`, `move` (to), `gone`."""

    kind: str
    path: str
    at: int = 0
    data: bytes = b""
    to: str = ""


class Recorder:
    """Notes the calls of `os` that change what is below a folder."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.events: list[Event] = []
        self._top = str(folder)
        for name in ("pwrite", "write", "ftruncate", "fsync", "fdatasync", "open", "mkdir"):
            note = getattr(self, f"_{name}")
            patch.setattr(os, name, self._wrapped(getattr(os, name), note))
        for name in ("rename", "replace"):
            patch.setattr(os, name, self._wrapped(getattr(os, name), self._move))
        for name in ("unlink", "rmdir"):
            patch.setattr(os, name, self._wrapped(getattr(os, name), self._gone))

    def _wrapped(self, call: Any, note: Any) -> Any:
        def wrapper(*args: Any, **named: Any) -> Any:
            paths = [os.fspath(one) if isinstance(one, str | Path) else one for one in args]
            if named.get("dir_fd") is not None:
                paths[0] = os.path.join(self._path(named["dir_fd"]), paths[0])
            is_there = isinstance(paths[0], str) and os.path.lexists(paths[0])
            path = paths[0] if isinstance(paths[0], str) else self._path(paths[0])
            at = os.lseek(paths[0], 0, os.SEEK_END) if call.__name__ == "write" else 0
            result = call(*args, **named)
            if path.startswith(self._top) and not path.endswith(
                (".owner", ".new", "-owner", " (deleted)")
            ):
                note(path, paths, result, is_there or at)
            return result

        return wrapper

    @staticmethod
    def _path(fd: int) -> str:
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/self/fd/{fd}")
        return ""

    def _pwrite(self, path: str, args: list[Any], count: int, _: int) -> None:
        self.events.append(Event("write", path, args[2], bytes(args[1])[:count]))

    def _write(self, path: str, args: list[Any], count: int, at: int) -> None:
        self.events.append(Event("write", path, at, bytes(args[1])[:count]))

    def _ftruncate(self, path: str, args: list[Any], _: Any, __: Any) -> None:
        self.events.append(Event("cut", path, args[1]))

    def _fsync(self, path: str, *_: Any) -> None:
        self.events.append(Event("sync", path))

    _fdatasync = _fsync

    def _open(self, path: str, args: list[Any], _: int, is_there: bool) -> None:
        if args[1] & os.O_CREAT and not is_there:
            self.events.append(Event("make", path))

    def _mkdir(self, path: str, *_: Any) -> None:
        self.events.append(Event("folder", path))

    def _move(self, path: str, args: list[Any], *_: Any) -> None:
        self.events.append(Event("move", path, to=args[1]))

    def _gone(self, path: str, *_: Any) -> None:
        self.events.append(Event("gone", path))


@dataclass
class Data:
    """Bytes of a file: those on disk, and what was done since the last sync."""

    synced: bytearray = field(default_factory=bytearray)
    waiting: list[Event] = field(default_factory=list)

    def content(self, loss: str) -> bytes:
        """Return what a cut leaves: `all`, `none` of what waits, or the last piece `torn`."""
        done = bytearray(self.synced)
        if loss != "none":
            for event in self.waiting[:-1] if loss == "torn" else self.waiting:
                _apply(done, event)
            if loss == "torn" and self.waiting:
                last = self.waiting[-1]
                _apply(done, last._replace(data=last.data[: len(last.data) // 2]))
        return bytes(done)


def _apply(done: bytearray, event: Event) -> None:
    if event.kind == "cut":
        del done[event.at :]
        done.extend(bytes(event.at - len(done)))
        return
    done.extend(bytes(max(event.at - len(done), 0)))
    done[event.at : event.at + len(event.data)] = event.data


Tree = dict[str, Data | None]  # None: a folder


def disks(events: list[Event], loss: str) -> Iterator[dict[str, bytes | None]]:
    """Yield every disk that a cut behind each of the events leaves, each different one once."""
    seen: set[int] = set()
    for count in range(len(events) + 1):
        tree = _tree(events[:count], keeps_names=loss != "none")
        disk = {path: None if data is None else data.content(loss) for path, data in tree.items()}
        mark = hash(tuple(sorted(disk.items(), key=str)))
        if mark not in seen:
            seen.add(mark)
            yield disk


def _tree(events: list[Event], *, keeps_names: bool) -> Tree:
    tree: Tree = {}
    files: dict[str, Data] = {}
    last_sync = {event.path: at for at, event in enumerate(events) if event.kind == "sync"}

    def is_kept(event: Event, at: int) -> bool:
        """Whether a change of a name is on disk: its folder was synced, or a move took it along."""
        parents = {os.path.dirname(event.path), os.path.dirname(event.to or event.path)}
        return keeps_names or all(last_sync.get(parent, -1) > at for parent in parents)

    for at, event in enumerate(events):
        match event.kind:
            case "write" | "cut":
                files[event.path].waiting.append(event)
            case "sync" if event.path in files:
                data = files[event.path]
                data.synced, data.waiting = bytearray(data.content("all")), []
            case "make":
                files[event.path] = Data()
                if is_kept(event, at):
                    tree[event.path] = files[event.path]
            case "folder" if is_kept(event, at):
                tree[event.path] = None
            case "move":
                _rename(files, event)
                if is_kept(event, at):
                    _rename(tree, event)
            case "gone" if is_kept(event, at):
                tree.pop(event.path, None)
    return tree


def _rename(names: dict[str, Any], event: Event) -> None:
    for path in list(names):
        if path == event.path or path.startswith(event.path + "/"):
            names[event.to + path[len(event.path) :]] = names.pop(path)


def lay_out(disk: dict[str, bytes | None]) -> None:
    """Put the files of a disk where they were; folders that are not there are left out."""
    for path, content in sorted(disk.items()):
        if content is None:
            os.makedirs(path, 0o700, exist_ok=True)
        elif os.path.isdir(os.path.dirname(path)):
            with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(content)


def clear(folder: Path, keep: set[str]) -> None:
    """Remove all that is in a folder but some names."""
    for path in folder.iterdir():
        if path.name not in keep:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
