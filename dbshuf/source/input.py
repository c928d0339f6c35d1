"""One input: where it is, how its bytes are had, and what stands in the way."""

import contextlib
import mmap
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import TypeVar

from dbshuf.errors import InputChanged, InputUnreadable
from dbshuf.source.byte_reader import (
    ByteReader,
    PlainReader,
    RawInput,
    closed_on_error,
    when_ready,
)
from dbshuf.source.compression.later_windows import SHARED_FROM_BYTES, WindowLimit
from dbshuf.source.compression.readers import Decompressor
from dbshuf.source.digest import InputDigest
from dbshuf.source.read_sums import ReadSums
from dbshuf.source.remote_object import RemoteObject, at_once

T = TypeVar("T")

_WILD = re.compile(r"[*?[]")


@dataclass
class Pipe:
    """A stream that can be read once, and what was already read of it."""

    raw: RawInput
    head: bytes

    def peek(self, size: int) -> bytes:
        """Return the first bytes: at least `size` of them unless the stream is shorter.

        Raises  OSError
        """
        while (left := size - len(self.head)) > 0 and (more := self._some(left)):
            self.head += more
        return self.head

    def _some(self, size: int) -> bytes:
        return when_ready(self.raw, lambda: self.raw.read(size))


@dataclass(frozen=True)
class Log:
    """What a database was given and has not taken in: a file beside it, when it was listed."""

    name: str
    size_bytes: int
    changed_ns: int


@dataclass(frozen=True)
class Key:
    """A column that a folder gives.

    text  its value, None for null
    kind  BIGINT, DATE or VARCHAR
    """

    name: str
    text: str | None
    kind: str = "VARCHAR"


@dataclass(frozen=True)
class LocalCopy:
    """A file of this run; see `local_copy.py`."""

    path: Path


def fixed_part(pattern: str) -> str:
    """Return the folder that a glob begins in, as far as it is no pattern."""
    parts = pattern.split("/")
    wild = next((at for at, part in enumerate(parts) if _WILD.search(part)), len(parts))
    return "/".join(parts[: min(wild, len(parts) - 1)])


def folder_below(path: str, above: str) -> str:
    """Return the folder of a file as seen from a folder above it; empty if it is that one."""
    return os.path.dirname(path)[len(above) :].strip("/")


@dataclass(frozen=True)
class Input:
    """One input in its place in the list.

    ordinal     its place, from 0; part of every row id
    name        as messages show it
    path        None for standard input, and for what lies elsewhere
    codec       None, or the compression found by magic bytes
    size_bytes  bytes as it lies there, None for a pipe and where a host does not tell
    changed_ns  time of the last change when it was listed
    version     of an object: what changes with its bytes
    kept_in     what a database keeps its logs in: the ends of their names
    logs        those that were there when it was listed
    window_bytes  memory that a reader of its compression takes
    windows     of its frames or streams: how large they may be for that
    pipe        what was read so far of a stream that cannot be read twice
    remote      the object, if it lies elsewhere
    found_in    the directory or glob that it was found in; empty if it was named itself
    keys        columns that its folders give to its rows
    digest      takes the hash of its bytes as they are read; None: nobody asks for it
    sums        takes checksums of its bytes as they are read; None: nobody asks for them
    copy        of an object that only a file of this machine can be read as
    """

    ordinal: int
    name: str
    path: str | None
    codec: str | None
    size_bytes: int | None
    changed_ns: int = 0
    window_bytes: int = 0
    pipe: Pipe | None = field(default=None, compare=False)
    found_in: str = field(default="", compare=False)
    keys: tuple[Key, ...] = ()
    version: str = ""
    kept_in: tuple[str, ...] = ()
    logs: tuple[Log, ...] = ()
    remote: RemoteObject | None = field(default=None, compare=False)
    digest: InputDigest | None = field(default=None, compare=False, repr=False)
    sums: ReadSums | None = field(default=None, compare=False, repr=False)
    copy: LocalCopy | None = field(default=None, compare=False, repr=False)
    windows: WindowLimit | None = field(default=None, compare=False, repr=False)

    @property
    def file(self) -> str:
        """Where its bytes are on this machine, for engines that open files themselves."""
        return self.name if self.copy is None else str(self.copy.path)

    @property
    def place(self) -> str:
        """Its path or URL; empty for standard input."""
        return self.name if self.remote is not None else self.path or ""

    @property
    def below(self) -> str | None:
        """Its folder as seen from the directory or glob; None if it was named itself."""
        if not self.place or not self.found_in:
            return None
        is_folder = self.found_in.endswith("/") if self.remote else os.path.isdir(self.found_in)
        named = self.found_in if is_folder else fixed_part(self.found_in)
        return folder_below(self.place, named)

    @property
    def is_plain_file(self) -> bool:
        """Whether any range of it can be read at any time."""
        has_ranges = self.remote is None or self.remote.info.has_ranges
        return self.pipe is None and self.codec is None and has_ranges

    @property
    def is_mappable(self) -> bool:
        """Whether it is a plain file of this machine."""
        return self.is_plain_file and self.remote is None

    def bytes_at(self, place: int, size: int) -> bytes:
        """Return up to `size` bytes of a plain file; raises InputUnreadable."""
        if self.remote is not None:
            return self.remote.bytes_at(place, size)
        with open_raw(self.name) as file:
            try:
                return os.pread(file.fileno(), size, place)
            except OSError as error:
                raise unreadable(self.name, error) from error

    def open_stream(self) -> ByteReader:
        """Return a reader of its bytes, decompressed, from the first one; `readinto` fills."""
        raw: RawInput
        if self.pipe is not None:
            raw, head = self.pipe.raw, self.pipe.head
        elif self.remote is not None:
            raw, head = self.remote.open(), b""
        else:
            assert self.path is not None
            raw, head = open_raw(self.path), b""
        with closed_on_error(raw):
            if self.digest is not None:
                raw = self.digest.stream(raw, head)
            if self.sums is not None:
                raw = self.sums.stream(self.ordinal, raw)
            if self.codec is None:
                return PlainReader(raw, head)
            return Decompressor(raw, self.codec, self.name, head, self.windows)


def open_raw(path: str) -> FileIO:
    """Open a file for unbuffered reading; Raises InputUnreadable."""
    try:
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(name: str, error: OSError) -> InputUnreadable:
    """The error for an input that the system will not let us read."""
    return InputUnreadable(
        f"cannot read `{name}`: {error.strerror or error}",
        hint="check the path and its permissions",
    )


def check_unchanged(source: Input, fd: int | None = None, *, is_whole: bool = True) -> None:
    """Raise InputChanged if a file is no longer what it was when it was listed.

    fd        where it is open; else it is found by its path
    is_whole  whether all of the bytes that it should have were read
    """
    if source.remote is not None:
        source.remote.check_unchanged()
        return
    if source.pipe is not None or source.path is None:
        return
    try:
        status = os.stat(source.path if fd is None else fd)
    except OSError as error:
        raise unreadable(source.name, error) from error
    found = (status.st_size, status.st_mtime_ns)
    if not is_whole or found != (source.size_bytes, source.changed_ns):
        raise InputChanged.of(source.name)
    _check_logs(source)


def logs_of(path: str, ends: Sequence[str]) -> tuple[Log, ...]:
    """Return the logs beside a database; one that is empty is as good as none.

    path  may be a link: logs lie beside what it points to
    ends  of their names, behind that of the database
    """
    found = []
    database = os.path.realpath(path) if ends and os.path.islink(path) else path
    for end in ends:
        with contextlib.suppress(OSError):
            status = os.stat(database + end)
            if status.st_size:
                found.append(Log(database + end, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _check_logs(source: Input) -> None:
    """Raise InputChanged where one of a database's logs is another one, is new, or is gone."""
    if not source.kept_in or source.path is None:
        return
    changed = set(logs_of(source.path, source.kept_in)) ^ set(source.logs)
    if changed:
        name = min(one.name for one in changed)
        raise InputChanged.of(name, f", the log of `{source.name}`,")


def check_same(before: Sequence[Input], now: Sequence[Input]) -> None:
    """Raise InputChanged unless inputs that were listed anew are what they were."""
    for old, one in zip(before, now, strict=False):
        if _identity(old) != _identity(one):
            changed = min({*old.logs} ^ {*one.logs}, key=lambda log: log.name, default=None)
            if changed is None or old.place != one.place:
                raise InputChanged.of(old.name)
            raise InputChanged.of(changed.name, f", the log of `{old.name}`,")
    if len(before) != len(now):
        longer = max(before, now, key=len)
        raise InputChanged.of(longer[min(len(before), len(now))].name)


def _identity(one: Input) -> tuple[object, ...]:
    return one.place, one.size_bytes, one.changed_ns, one.version, one.logs


def for_each(look: Callable[[Input], T], inputs: Sequence[Input]) -> Iterable[T]:
    """Give what `look` returns for each input; of objects, several are looked at at once."""
    if any(one.remote is not None for one in inputs):
        return at_once(look, inputs)
    return map(look, inputs)


def with_windows_within(
    inputs: Sequence[Input],
    cap_bytes: int,
    readers: int,
    shared_from_bytes: int = SHARED_FROM_BYTES,
) -> tuple[Input, ...]:
    """Return inputs whose windows may have their share of a --memory.

    readers            that are open at once, at most
    shared_from_bytes  the least --memory of which there is one
    """
    count = min(readers, sum(one.windows is not None for one in inputs))
    return tuple(
        one
        if one.windows is None
        else _with_windows(one, one.windows.within(cap_bytes, count, shared_from_bytes))
        for one in inputs
    )


def _with_windows(source: Input, windows: WindowLimit) -> Input:
    assert source.windows is not None
    more_bytes = windows.most_bytes - source.windows.most_bytes
    return replace(source, windows=windows, window_bytes=source.window_bytes + more_bytes)


def closed_pipe(inputs: Iterable[Input]) -> Input | None:
    """Close all pipes among inputs; return the first of them, or None."""
    pipes = [one for one in inputs if one.pipe is not None]
    for one in pipes:
        assert one.pipe is not None
        one.pipe.raw.close()
    return next(iter(pipes), None)


def check_all_unchanged(inputs: Sequence[Input]) -> None:
    """Raise InputChanged if one of them is no longer what it was when it was listed."""
    for _ in for_each(check_unchanged, inputs):
        pass


def mapped_file(source: Input) -> mmap.mmap:
    """Map a plain file; it is unmapped when nothing that lies in it is referred to any more."""
    with open_raw(source.name) as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
