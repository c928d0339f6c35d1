"""Names on a command line to a list of inputs, each with its ordinal and kind."""

import contextlib
import glob
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import FileIO
from typing import Protocol

from dbshuf.errors import InputBeyondBounds, InputMissing, InputUnreadable, UsageError
from dbshuf.key import ORDINAL_LIMIT, POSITION_LIMIT
from dbshuf.remote import is_remote, remote_hint
from dbshuf.source.chosen import Choice, choice_of
from dbshuf.source.compressed import Decompressor, codec_of
from dbshuf.source.hive import Key, fixed_part, folder_below
from dbshuf.source.raw import RawInput, when_ready
from dbshuf.source.walk import Walk
from dbshuf.source.windows import HEAD_BYTES, window_bytes
from dbshuf.units import KIB, human

STDIN = "-"
_PEEKED_BYTES = 64 * KIB  # of a pipe, kept for its reader: to tell its codec, and as a sample


class ByteReader(Protocol):
    """Bytes front to back, decompressed if need be."""

    @property
    def read_bytes(self) -> int:
        """Bytes of the input as it lies on disk, so far."""

    def readinto(self, view: memoryview) -> int:
        """Fill `view`; less only at the end."""

    def close(self) -> None:
        """Close what is below."""


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
class Input:
    """One input in its place in the list.

    ordinal     its place, from 0; part of every row id
    name        as messages show it
    path        None for standard input
    codec       None, or the compression found by magic bytes
    size_bytes  bytes on disk, None for a pipe
    changed_ns  time of the last change when it was listed
    window_bytes  memory that a reader of its compression takes
    pipe        what was read so far of a stream that cannot be read twice
    found_in    the directory or glob that it was found in; empty if it was named itself
    keys        columns that its folders give to its rows
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

    @property
    def below(self) -> str | None:
        """Its folder as seen from the directory or glob; None if it was named itself."""
        if self.path is None or not self.found_in:
            return None
        named = self.found_in if os.path.isdir(self.found_in) else fixed_part(self.found_in)
        return folder_below(self.path, named)

    @property
    def is_plain_file(self) -> bool:
        """Whether any range of it can be read at any time."""
        return self.pipe is None and self.codec is None

    def open_stream(self) -> ByteReader:
        """Return a reader of its bytes, decompressed, from the first one; `readinto` fills."""
        raw: RawInput
        if self.pipe is not None:
            raw, head = self.pipe.raw, self.pipe.head
        else:
            assert self.path is not None
            raw, head = open_raw(self.path), b""
        with closed_on_error(raw):
            if self.codec is None:
                return _Joined(raw, head)
            return Decompressor(raw, self.codec, self.name, head)


class _Joined:
    """Bytes already read of a stream, then the stream."""

    def __init__(self, raw: RawInput, head: bytes) -> None:
        self._raw, self._head = raw, head
        self._read_bytes = 0

    @property
    def read_bytes(self) -> int:
        return self._read_bytes

    def readinto(self, view: memoryview) -> int:
        done = min(len(self._head), len(view))
        view[:done] = self._head[:done]
        self._head = self._head[done:]
        while done < len(view):
            count = self._some(view[done:])
            if not count:
                break
            done += count
        self._read_bytes += done
        return done

    def _some(self, view: memoryview) -> int:
        return when_ready(self._raw, lambda: self._raw.readinto(view))

    def close(self) -> None:
        self._raw.close()


@contextlib.contextmanager
def closed_on_error(raw: RawInput) -> Iterator[None]:
    """Close `raw` if what is inside raises."""
    try:
        yield
    except BaseException:
        raw.close()
        raise


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


def resolve_inputs(
    names: Sequence[str], include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[Input, ...]:
    """Return every input that the names stand for, in order.

    names    files, globs, directories, "-"; none at all is standard input
    include, exclude  which files of directories and globs, see `chosen`
    Raises   InputMissing, InputUnreadable, NoInputFiles, InputBeyondBounds, UsageError
    """
    if list(names).count(STDIN) > 1:
        raise UsageError("`-` is given twice, but standard input can be read only once")
    choice = choice_of(include, exclude)
    paths = [place for name in (names or [STDIN]) for place in _expand(os.fspath(name), choice)]
    if (include or exclude) and not any(found_in for _, found_in in paths):
        raise UsageError(
            "--include and --exclude choose files of directories and globs, and none is named",
            hint="quote a glob, or the shell names each of its files",
        )
    if len(paths) > ORDINAL_LIMIT:
        raise InputBeyondBounds(
            f"{len(paths):,} inputs, but one run tells {ORDINAL_LIMIT:,} apart",
            hint="join small files first, or shuffle in several runs",
        )
    inputs: list[Input] = []
    try:
        for ordinal, (path, found_in) in enumerate(paths):
            inputs.append(replace(_examine(ordinal, path), found_in=found_in))
    except BaseException:
        for one in inputs:
            if one.pipe is not None:
                one.pipe.raw.close()
        raise
    return tuple(inputs)


def _expand(name: str, choice: Choice) -> Iterator[tuple[str, str]]:
    """Every file that one name on the command line stands for, and what it was found in."""
    if name == STDIN:
        yield name, ""
    elif os.path.isdir(name):
        for path in Walk(name, choice, unreadable).files_below():
            yield path, name
    elif os.path.lexists(name):
        yield name, ""
    elif is_remote(name):
        hint = remote_hint(name, "download it first, or pipe it in: curl -L URL | dbshuf ...")
        raise InputUnreadable(f"`{name}`: remote inputs are not read yet", hint=hint)
    elif glob.has_magic(name):
        for path in Walk(name, choice, unreadable).files_matching():
            yield path, name
    else:
        raise InputMissing(f"no such file: `{name}`", hint="check the path, or quote a glob")


def _examine(ordinal: int, path: str) -> Input:
    """Open an input, see what it is, and close it again unless it is a stream."""
    if path == STDIN:
        if sys.stdin is None:
            raise InputUnreadable("standard input is closed", hint="name a file")
        return _examine_pipe(ordinal, "standard input", open(0, "rb", buffering=0, closefd=False))
    if not os.path.exists(path):
        raise InputMissing(f"no such file: `{path}`", hint="a link may point to nothing")
    raw = open_raw(path)
    with closed_on_error(raw):
        status = os.fstat(raw.fileno())
        if not stat.S_ISREG(status.st_mode):
            return _examine_pipe(ordinal, path, raw)
        try:
            head = raw.read(HEAD_BYTES)
        except OSError as error:
            raise unreadable(path, error) from error
    raw.close()
    if head and not status.st_size:  # in /proc and the like, sizes say nothing
        return _examine_pipe(ordinal, path, open_raw(path))
    codec = codec_of(head)
    if codec is None and status.st_size >= POSITION_LIMIT:
        raise InputBeyondBounds(
            f"`{path}` has {human(status.st_size)}, but a row id reaches {human(POSITION_LIMIT)}",
            hint="split the file",
        )
    window = window_bytes(codec, head) if codec else 0
    return Input(ordinal, path, path, codec, status.st_size, status.st_mtime_ns, window)


def _examine_pipe(ordinal: int, name: str, raw: RawInput) -> Input:
    pipe = Pipe(raw, b"")
    with closed_on_error(raw):
        try:
            head = pipe.peek(_PEEKED_BYTES)
        except OSError as error:
            raise unreadable(name, error) from error
        codec = codec_of(head)
        window = window_bytes(codec, head[:HEAD_BYTES]) if codec else 0
    path = None if name == "standard input" else name
    return Input(ordinal, name, path, codec, None, window_bytes=window, pipe=pipe)
