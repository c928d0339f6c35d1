"""Plain files as units of work: pieces of large files, groups of smaller ones."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dbshuf.errors import InputChanged
from dbshuf.source.input import Input


@dataclass(frozen=True)
class Piece:
    """The lines of a plain file that start in [start, end).

    is_first  whether a line starts at `start`, which a look at the byte before would not tell
    is_whole  whether this is all of a file, which shares a batch with others
    """

    input: Input
    start: int
    end: int
    is_first: bool
    is_whole: bool = False


def cut(
    inputs: Iterable[Input], header_bytes: int, piece_bytes: int
) -> Iterator[tuple[Piece, ...]]:
    """Yield the units of work: a piece of a large file, or several whole files.

    A unit is stored as one run, and a bucket is read with one read a run, so a file shares
    a unit unless it fills half of one.
    """
    group: list[Piece] = []
    grouped_bytes = 0
    for source in inputs:
        size = source.size_bytes or 0
        if size <= header_bytes:
            continue
        if size <= piece_bytes // 2:
            if grouped_bytes + size + 1 > piece_bytes:
                yield tuple(group)
                group, grouped_bytes = [], 0
            group.append(Piece(source, header_bytes, size, is_first=True, is_whole=True))
            grouped_bytes += size + 1  # room for a terminator
            continue
        for start in range(0, size, piece_bytes):
            end = min(start + piece_bytes, size)
            if end > header_bytes:
                first = max(start, header_bytes)
                yield (Piece(source, first, end, start <= header_bytes),)
    if group:
        yield tuple(group)


def check_same(source: Input, fd: int, *, is_whole: bool = True) -> None:
    """Raise InputChanged if a file is no longer what it was when it was listed.

    is_whole  whether all of the bytes that it should have were read
    """
    status = os.fstat(fd)
    if not is_whole or (status.st_size, status.st_mtime_ns) != (
        source.size_bytes,
        source.changed_ns,
    ):
        raise InputChanged(
            f"`{source.name}` changed while it was read",
            hint="shuffle a copy that no one writes to",
        )
