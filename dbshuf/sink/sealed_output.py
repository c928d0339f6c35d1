"""What is sealed of an output while it grows, so that a later process goes on with it.

A seal is a record in the journal: up to which row all is on disk, and what the files are by then.
It comes after a sync, and has the key of the first row that is not in it, so that the order goes
on from there. What is sealed is summed again before it is used: seals from the first flaw on are
forgotten, and what they had is made anew.
"""

import contextlib
import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dbshuf.base.journal import Record
from dbshuf.base.work_dir import WorkDir, delete
from dbshuf.sink.begun_file import Begun
from dbshuf.sink.kept import Kept
from dbshuf.sink.raw_file import SealedBytes
from dbshuf.sink.target import Target
from dbshuf.units import MIB

END = 1 << 64  # the key behind all keys
_READ_BYTES = 4 * MIB

OpenShard = tuple[int, dict[str, Any]]  # number of its file, and the state of what cuts shards


class FinishedShard(NamedTuple):
    """A shard that stays; as JSON has it.

    number  of its file
    cut     the state of what cuts shards behind it
    """

    number: int
    size: int
    crc32: int
    sha256: str | None
    rows: int
    cut: dict[str, Any]


class SealedPart(NamedTuple):
    """What is sealed of the one file of an output, or of one of its splits; as JSON has it.

    sealed   the first bytes of the file, or of the shard that is open
    rows     that it was given
    taken, written  see Position
    shard    the one that is open, if it can be gone on with
    """

    sealed: SealedBytes
    rows: int
    taken: int
    written: int
    shard: OpenShard | None


@dataclass
class Seal:
    """What is sealed up to some row.

    next_key  of the first row that is not in it
    counts    all rows before: how many, their bytes, the sum of their keys
    row_sum   their checksum, where a manifest wants it
    parts     of the output, in their order
    ordinal   of the seals in the journal
    """

    next_key: int = 0
    counts: tuple[int, int, int] = (0, 0, 0)
    row_sum: int = 0
    parts: list[SealedPart] = field(default_factory=list)
    ordinal: int = -1


@dataclass
class SealedOutput:
    """What earlier processes have sealed of the output, as the journal has it.

    hidden        the name of a directory while it is not published; None if there is none
    hidden_files  the names of files that are no shards, likewise
    seals         those that count, in their order; what is new in each is in the journal
    hashes        of what `sealed` is of each part, where a manifest wants it; `check_sealed` makes
                  them
    """

    hidden: Path | None = None
    hidden_files: dict[int, Path] = field(default_factory=dict)
    seals: list[Seal] = field(default_factory=list)
    hashes: list[Any] = field(default_factory=list)
    _seals_made: int = 0

    def add(self, record: Record) -> None:
        """Take in a record of the kinds that are written for outputs."""
        if record["kind"] == "output":
            if "file" in record:
                self.hidden_files[record["file"]] = Path(record["hidden"])
            else:
                self.hidden = Path(record["hidden"])
            self.seals = []
        elif record["kind"] == "sealed":
            rows, text_bytes, key_sum = record["counts"]
            parts = [SealedPart(SealedBytes(*sealed), *rest) for sealed, *rest in record["parts"]]
            counts, row_sum = (rows, text_bytes, key_sum), record["row_sum"]
            seal = Seal(record["next_key"], counts, row_sum, parts, self._seals_made)
            self.seals.append(seal)
            self._seals_made += 1
        elif record["kind"] == "kept":
            del self.seals[record["seals"] :]

    @property
    def last(self) -> Seal:
        """What the run goes on from."""
        return self.seals[-1] if self.seals else Seal()

    @property
    def file_places(self) -> list[Path]:
        """The names of files that are no shards, in their order."""
        return [self.hidden_files[number] for number in sorted(self.hidden_files)]

    @property
    def places(self) -> list[Path]:
        return [*self.file_places, *([] if self.hidden is None else [self.hidden])]

    def begun(self, number: int, work: WorkDir) -> Begun:
        """Return what a part goes on from."""
        if not self.seals:
            return Begun()
        part = self.last.parts[number]
        digest = self.hashes[number] if self.hashes else None
        path = self.hidden_files.get(number, Path())
        new = (one for _, parts in self.with_news(work) for one in parts[number])
        return Begun(*part.sealed, part.rows, digest, path, part.taken, part.written, new)

    def open_shard(self, number: int) -> OpenShard | None:
        """Return the shard that is open of a part."""
        return self.last.parts[number].shard if self.seals else None

    def with_news(self, work: WorkDir) -> Iterator[tuple[Seal, list[list[Any]]]]:
        """Yield all seals that count, each with what is new of every part; see Position."""
        seals = iter(self.seals)
        seal, ordinal = next(seals, None), -1
        for record in work.journal.records():
            if record["kind"] == "sealed":
                ordinal += 1
                if seal is not None and seal.ordinal == ordinal:
                    yield seal, record["news"]
                    seal = next(seals, None)

    def numbers(self, work: WorkDir) -> set[int]:
        """Return the numbers of the files of shards, those that are open too."""
        if self.hidden is None:
            return set()
        found = {one.shard[0] for one in self.last.parts if one.shard is not None}
        for _, news in self.with_news(work):
            found.update(FinishedShard(*one).number for part in news for one in part)
        return found


def kept_place(work: WorkDir, output: SealedOutput) -> Kept:
    """Return how the directory of an output is kept."""

    def note(hidden: Path) -> None:
        work.note("output", hidden=str(hidden))

    return Kept(work.path, output.hidden, note, frozenset(output.numbers(work)))


def check_sealed(target: Target, work: WorkDir, output: SealedOutput) -> str | None:
    """Sum what is sealed, and forget the seals from the first flaw on; return what to tell."""
    flaw, kept = None, 0
    _remove_foreign(output)
    with contextlib.ExitStack() as files:
        sums: dict[Path, _Sum] = {}
        for seal, news in output.with_news(work):
            for path, sealed, is_whole in _places(output, seal, news):
                if path not in sums:
                    sums[path] = files.enter_context(_Sum(path, with_hash=target.is_noted))
                if not sums[path].holds(sealed, is_whole=is_whole):
                    flaw = path
                    break
            if flaw is not None:
                break
            kept += 1
            opened = [_place_of(output, number, part) for number, part in enumerate(seal.parts)]
            output.hashes = [sums[path].hash() if path in sums else None for path in opened]
    if flaw is not None:
        keep_seals(work, output, kept)
    if output.hidden is not None:
        _remove_rest(output.hidden, output.numbers(work))
    return None if flaw is None else f"`{flaw}` is not what was sealed: it is made anew"


def keep_seals(work: WorkDir, output: SealedOutput, count: int) -> None:
    """Have all that came after the first seals made anew."""
    work.note("kept", seals=count)
    output.add({"kind": "kept", "seals": count})


def _places(
    output: SealedOutput, seal: Seal, news: list[list[Any]]
) -> Iterator[tuple[Path, SealedBytes, bool]]:
    """Yield what a seal has of files: where, what, and whether it is all of the file."""
    for number, part in enumerate(seal.parts):
        if output.hidden is not None:
            for one in news[number]:
                shard = FinishedShard(*one)
                yield output.hidden / str(shard.number), SealedBytes(shard.size, shard.crc32), True
        if part.sealed.size:
            yield _place_of(output, number, part), part.sealed, False


def _place_of(output: SealedOutput, number: int, part: SealedPart) -> Path:
    """Return where the file of a part is, or the shard of it that is open."""
    if output.hidden is None:
        return output.hidden_files[number]
    return output.hidden / ("" if part.shard is None else str(part.shard[0]))


class _Sum:
    """Sums the first bytes of a file, ever more of them."""

    def __init__(self, path: Path, *, with_hash: bool) -> None:
        self._path, self._fd = path, -1
        self._size = self._crc32 = 0
        self._hash = hashlib.sha256() if with_hash else None
        self._buffer = memoryview(bytearray(_READ_BYTES))

    def __enter__(self) -> "_Sum":
        with contextlib.suppress(OSError):
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            self._fd = fd if _is_sound(os.fstat(fd)) else -1
            if self._fd < 0:
                os.close(fd)
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def holds(self, sealed: SealedBytes, *, is_whole: bool) -> bool:
        """Whether the file begins with what was sealed, and has no more if that is all of it."""
        if self._fd < 0 or (is_whole and os.fstat(self._fd).st_size != sealed.size):
            return False
        while left := sealed.size - self._size:
            count = 0
            with contextlib.suppress(OSError):  # a disk that cannot read it
                count = os.readv(self._fd, [self._buffer[: min(left, _READ_BYTES)]])
            if not count:
                return False
            self._crc32 = zlib.crc32(self._buffer[:count], self._crc32)
            if self._hash is not None:
                self._hash.update(self._buffer[:count])
            self._size += count
        return self._crc32 == sealed.crc32

    def hash(self) -> Any:
        """Return the SHA-256 of what was summed, to go on with."""
        return None if self._hash is None else self._hash.copy()


def _is_sound(status: os.stat_result) -> bool:
    """Whether something is a file that has no other name, under which it could be changed."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _remove_foreign(output: SealedOutput) -> None:
    """Remove what is no file, or no directory, where a run had one; no link is followed."""
    places = [(path, False) for path in output.file_places]
    for path, is_folder in [*places, *([] if output.hidden is None else [(output.hidden, True)])]:
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            if not (stat.S_ISDIR(status.st_mode) if is_folder else _is_sound(status)):
                delete(path)


def _remove_rest(hidden: Path, keep: set[int]) -> None:
    with contextlib.suppress(OSError):
        for name in os.listdir(hidden):
            if not name.isdigit() or int(name) not in keep:
                delete(hidden / name)
