"""Names on a command line to a list of inputs, each with its ordinal and kind."""

import contextlib
import glob
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dbshuf.base.key import ORDINAL_LIMIT, POSITION_LIMIT
from dbshuf.base.remote_names import is_remote
from dbshuf.errors import InputBeyondBounds, InputMissing, InputUnreadable, UsageError
from dbshuf.source.byte_reader import RawInput, closed_on_error
from dbshuf.source.compression.codecs import HEAD_BYTES, READER_BYTES, codec_of, window_bytes
from dbshuf.source.compression.later_windows import ReadAt, WindowLimit, limit_of
from dbshuf.source.formats import LOGS, database_of
from dbshuf.source.include import PathFilter, path_filter
from dbshuf.source.input import Input, Pipe, logs_of, open_raw, unreadable
from dbshuf.source.listing import Listing
from dbshuf.source.remote_object import AHEAD_BYTES, RemoteObject, with_heads
from dbshuf.units import KIB, human

STDIN = "-"
_PEEKED_BYTES = 64 * KIB  # of a pipe, kept for its reader: to tell its codec, and as a sample


def resolve_inputs(
    names: Sequence[str], include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[Input, ...]:
    """Return every input that the names stand for, in order.

    names    files, globs, directories, "-"; none at all is standard input
    include, exclude  which files of directories and globs, see `include`
    Raises   InputMissing, InputUnreadable, NoInputFiles, InputBeyondBounds, UsageError
    """
    return counted_inputs(names, include, exclude)[0]


def counted_inputs(
    names: Sequence[str], include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[tuple[Input, ...], list[int]]:
    """As `resolve_inputs`; return also how many inputs each of the names stands for."""
    if list(names).count(STDIN) > 1:
        raise UsageError(
            "`-` is given twice, but standard input can be read only once",
            hint="name it once, or write it to a file first",
        )
    chosen = path_filter(include, exclude)
    found = [list(_expand(os.fspath(name), chosen)) for name in (names or [STDIN])]
    places = [place for some in found for place in some]
    if (include or exclude) and not any(place.found_in for place in places):
        raise UsageError(
            "--include and --exclude choose files of directories and globs, and none is named",
            hint="quote a glob, or the shell names each of its files",
        )
    if len(places) > ORDINAL_LIMIT:
        raise InputBeyondBounds(
            f"{len(places):,} inputs, but one run tells {ORDINAL_LIMIT:,} apart",
            hint="join small files first, or shuffle in several runs",
        )
    _check_streams(places)
    inputs: list[Input] = []
    try:
        for ordinal, place in enumerate(_with_heads(places)):
            one = (
                _examine(ordinal, place.path)
                if place.remote is None
                else _examine_object(ordinal, place.remote)
            )
            inputs.append(replace(one, found_in=place.found_in))
    except BaseException:
        for one in inputs:
            if one.pipe is not None:
                one.pipe.raw.close()
        raise
    return tuple(inputs), [len(some) for some in found]


@dataclass(frozen=True)
class _Place:
    """A file or an object, and the directory, prefix or glob that it was found in."""

    path: str
    found_in: str = ""
    remote: RemoteObject | None = None


def _check_streams(places: Sequence[_Place]) -> None:
    """Raise UsageError for a pipe that is there under two names, as `-` and `/dev/stdin` are.

    Both would be read at once, and each would have pieces of lines.
    """
    seen: dict[tuple[int, int], str] = {}
    for place in places:
        if place.found_in or place.remote is not None:  # no pipe is found in a directory or glob
            continue
        with contextlib.suppress(OSError):
            status = os.fstat(0) if place.path == STDIN else os.stat(place.path)
            if not (stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode)):
                continue
            first = seen.get((status.st_dev, status.st_ino))
            if first is not None:
                raise UsageError(
                    f"`{first}` and `{place.path}` are one pipe, which can be read only once",
                    hint="name it once, or write it to a file first",
                )
            seen[status.st_dev, status.st_ino] = place.path


def _with_heads(places: Sequence[_Place]) -> list[_Place]:
    """Return places, objects with their first bytes."""
    heads = iter(with_heads([one.remote for one in places if one.remote is not None]))
    return [one if one.remote is None else replace(one, remote=next(heads)) for one in places]


def _expand(name: str, chosen: PathFilter) -> Iterator[_Place]:
    """Every file or object that one name on the command line stands for."""
    if name == STDIN:
        yield _Place(name)
    elif os.path.isdir(name):
        for path in Listing(name, chosen).files_below():
            yield _Place(path, name)
    elif os.path.lexists(name):
        yield _Place(name)
    elif is_remote(name):
        from dbshuf.source.remote_listing import objects_of

        for remote, found_in in objects_of(name, chosen):
            yield _Place(remote.name, found_in, remote)
    elif glob.has_magic(name):
        for path in Listing(name, chosen).files_matching():
            yield _Place(path, name)
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
            size = status.st_size
            codec, windows, window = _compression(head, size, partial(_at, raw.fileno()))
        except OSError as error:
            raise unreadable(path, error) from error
    raw.close()
    if head and not size:  # in /proc and the like, sizes say nothing
        return _examine_pipe(ordinal, path, open_raw(path))
    if codec is None:
        _check_bound(path, size)
    ends = LOGS.get(database_of(head) or "", ())
    return Input(
        ordinal,
        path,
        path,
        codec,
        size,
        status.st_mtime_ns,
        window,
        windows=windows,
        kept_in=ends,
        logs=logs_of(path, ends),
    )


def _at(fd: int, place: int, size: int) -> bytes:
    return os.pread(fd, size, place)


def _compression(
    head: bytes, size: int | None, read_at: ReadAt
) -> tuple[str | None, WindowLimit | None, int]:
    """Return how an input is compressed, its windows, and the memory (bytes) of a reader."""
    codec = codec_of(head)
    if codec is None:
        return None, None, 0
    windows = limit_of(codec, head[:HEAD_BYTES], size, read_at)
    if windows is None:
        return codec, None, window_bytes(codec, head[:HEAD_BYTES])
    return codec, windows, windows.most_bytes + READER_BYTES


def _in_head(head: bytes) -> ReadAt:
    """Return what gives bytes of an input as far as its first bytes reach."""
    return lambda place, size: head[place : place + size]


def _examine_object(ordinal: int, remote: RemoteObject) -> Input:
    """See what an object is by its first bytes, which it has already."""
    head, size, name = remote.head, remote.info.size_bytes, remote.name
    codec, windows, window = _compression(head, size, _in_head(head))
    if codec is None:
        _check_bound(name, size or 0)
    return Input(
        ordinal,
        name,
        None,
        codec,
        size,
        window_bytes=window + AHEAD_BYTES,
        version=remote.info.version,
        remote=remote,
        windows=windows,
    )


def _check_bound(name: str, size_bytes: int) -> None:
    if size_bytes >= POSITION_LIMIT:
        raise InputBeyondBounds(
            f"`{name}` has {human(size_bytes)}, but a row id reaches {human(POSITION_LIMIT)}",
            hint="split the file",
        )


def _examine_pipe(ordinal: int, name: str, raw: RawInput) -> Input:
    pipe = Pipe(raw, b"")
    with closed_on_error(raw):
        try:
            head = pipe.peek(_PEEKED_BYTES)
        except OSError as error:
            raise unreadable(name, error) from error
        size = len(head) if len(head) < _PEEKED_BYTES else None
        codec, windows, window = _compression(head, size, _in_head(head))
    path = None if name == "standard input" else name
    return Input(ordinal, name, path, codec, None, window_bytes=window, pipe=pipe, windows=windows)
