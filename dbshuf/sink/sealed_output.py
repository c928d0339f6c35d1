"""Output that a later process goes on with: what is on disk is sealed in a journal.

    SealedShards   shards that are finished; of plain text also the first bytes of the open one
    SealedFiles    the first bytes of one file, and splits; see sealed_files.py

Every seal comes after a sync, and has the key of the first row that is not in it, so that the
order goes on from there. What is sealed is summed again before it is used: from the first flaw
on it is made anew.
"""

import contextlib
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dbshuf.base.journal import Record
from dbshuf.base.work_dir import WorkDir
from dbshuf.sink.begun_file import Begun
from dbshuf.sink.publish import Kept
from dbshuf.sink.raw_file import SealedBytes
from dbshuf.sink.target import Target
from dbshuf.units import MIB

END = 1 << 64  # the key behind all keys
_PLAIN = frozenset({"txt", "csv", "tsv", "jsonl"})  # whose first bytes are those of fewer rows
_READ_BYTES = 4 * MIB
_NOTHING = SealedBytes(0, 0)


@dataclass
class Seal:
    """What is sealed up to some row.

    next_key  of the first row that is not in it
    counts    all rows before: how many, their bytes, the sum of their keys
    cut       the state of what cuts shards, as `Cut.go_on` takes it
    sealed    of a file: all of a shard, or the first bytes of what is open
    rows      of that shard
    row_sum   the checksum of all rows before, where a manifest wants it
    sha256    of a finished shard, where a manifest wants it
    """

    next_key: int = 0
    counts: tuple[int, int, int] = (0, 0, 0)
    cut: dict[str, Any] | None = None
    sealed: SealedBytes = _NOTHING
    rows: int = 0
    row_sum: int = 0
    sha256: str | None = None

    @classmethod
    def parse(cls, record: Record) -> "Seal":
        rows, text_bytes, key_sum = record["counts"]
        size, crc32 = record["sealed"]
        return cls(
            record["next_key"],
            (rows, text_bytes, key_sum),
            record["cut"],
            SealedBytes(size, crc32),
            record["rows"],
            record["row_sum"],
            record["sha256"],
        )


@dataclass
class SealedFile:
    """What is sealed of one of the files of an output that is no directory; see Begun.

    hash  of its bytes, where a manifest wants it; `check_sealed` makes it
    """

    sealed: SealedBytes
    rows: int
    taken: int
    written: int
    hash: Any = None


@dataclass
class SealedOutput:
    """What earlier processes have sealed of the output, as the journal has it.

    hidden   the name of a directory while it is not published; None if there is none
    files    the shards that are finished, in their order
    begun    what is sealed of the file behind them, or up to which row files are sealed
    hash     of that file, where a manifest wants it; `check_sealed` makes it
    hidden_files  the names of files that are no shards, while they are not published
    sealed_files  what is sealed of each of these; empty: nothing
    """

    hidden: Path | None = None
    files: list[Seal] = field(default_factory=list)
    begun: Seal | None = None
    hash: Any = None
    hidden_files: dict[int, Path] = field(default_factory=dict)
    sealed_files: list[SealedFile] = field(default_factory=list)
    _seals: int = 0  # of files that are no shards, in the journal
    _first_seal: int = 0  # that counts

    def add(self, record: Record) -> None:
        """Take in a record of the kinds that are written for outputs."""
        if record["kind"] == "output" and "file" in record:
            self.hidden_files[record["file"]] = Path(record["hidden"])
            self.forget_files()
        elif record["kind"] == "output":
            self.hidden, self.files = Path(record["hidden"]), []
            self.forget_files()
        elif record["kind"] == "files":
            self._seals += 1
            rows, text_bytes, key_sum = record["counts"]
            counts = (rows, text_bytes, key_sum)
            self.begun = Seal(record["next_key"], counts, row_sum=record["row_sum"])
            self.sealed_files = [
                SealedFile(SealedBytes(size, crc32), rows, taken, written)
                for size, crc32, rows, taken, written in record["files"]
            ]
        elif record["kind"] == "file":
            self.files.append(Seal.parse(record))
            self.begun = None
        elif record["kind"] == "begun":
            self.begun = Seal.parse(record)
        elif record["kind"] == "kept":
            del self.files[record["files"] :]
            self.forget_files()

    def forget_files(self) -> None:
        """Have what is no finished shard made anew."""
        self.begun, self.sealed_files, self._first_seal = None, [], self._seals

    @property
    def last(self) -> Seal:
        """What the run goes on from."""
        return self.begun or (self.files[-1] if self.files else Seal())

    @property
    def file_places(self) -> list[Path]:
        """The names of files that are no shards, in their order."""
        return [self.hidden_files[number] for number in sorted(self.hidden_files)]

    @property
    def in_shard(self) -> Begun | None:
        """What the encoder of the shard that is begun goes on from; None if it is empty."""
        begun = self.begun
        if begun is None or not begun.sealed.size:
            return None
        return Begun(begun.sealed.size, begun.sealed.crc32, begun.rows, self.hash)

    def begun_file(self, number: int, work: WorkDir) -> Begun:
        """Return what the encoder of a file that is no shard goes on from."""
        if not self.sealed_files:
            return Begun()
        one, path = self.sealed_files[number], self.hidden_files.get(number, Path())
        parts = self.parts_of(number, work)
        size, crc32 = one.sealed
        return Begun(size, crc32, one.rows, one.hash, path, one.taken, one.written, parts)

    def finished_shards(self, work: WorkDir) -> Iterator[tuple[int, int, int]]:
        """Yield the shards of splits that are finished: number, bytes, their CRC-32."""
        if self.hidden is not None:
            for split in range(len(self.sealed_files)):
                yield from (shard[:3] for shard in self.parts_of(split, work))

    def parts_of(self, number: int, work: WorkDir) -> Iterator[Any]:
        """Yield what the journal has of a file, which may be more than is to be held."""
        seals = (record for record in work.journal.records() if record["kind"] == "files")
        for record in islice(seals, self._first_seal, None):
            yield from record["parts"][number]


def is_plain(target: Target) -> bool:
    """Whether the first bytes of a file of the target can be gone on with."""
    return target.format in _PLAIN


def check_sealed(target: Target, work: WorkDir, output: SealedOutput) -> str | None:
    """Sum what is sealed, and forget it from the first flaw on; return what to tell of that."""
    if target.in_shards:
        look = _flaw_in_splits if target.split_names else _flaw_in_shards
        flaw = look(target, work, output)
    else:
        flaw = _flaw_in_files(target, work, output)
    return None if flaw is None else f"`{flaw}` is not what was sealed: it is made anew"


def forget_sealed(work: WorkDir, output: SealedOutput) -> None:
    """Have all of an output made anew."""
    work.note("kept", files=0)
    output.add({"kind": "kept", "files": 0})


def _flaw_in_files(target: Target, work: WorkDir, output: SealedOutput) -> Path | None:
    """Return the first file that is not what was sealed; then all are forgotten."""
    for number, one in enumerate(output.sealed_files):
        one.hash = hashlib.sha256() if target.is_noted else None
        if not _is_sound(output.hidden_files[number], one.sealed, one.hash):
            forget_sealed(work, output)
            return output.hidden_files[number]
    return None


def _flaw_in_splits(target: Target, work: WorkDir, output: SealedOutput) -> Path | None:
    """Return the first shard of a split that is not what was sealed; then all are forgotten."""
    hidden, flaw = output.hidden, None
    if hidden is None:
        return None
    for number, size, crc32 in output.finished_shards(work):
        if not _is_sound(hidden / str(number), SealedBytes(size, crc32), None, is_whole=True):
            flaw = hidden / str(number)
            forget_sealed(work, output)
            break
    _remove_rest(hidden, {number for number, _, _ in output.finished_shards(work)})
    return flaw


def _flaw_in_shards(target: Target, work: WorkDir, output: SealedOutput) -> Path | None:
    """Return the first shard that is not what was sealed; it and those behind are forgotten."""
    hidden, flaw = output.hidden, None
    if hidden is None:
        return None
    output.hash = hashlib.sha256() if target.is_noted else None
    places = [hidden / str(number) for number in range(len(output.files) + 1)]
    seals = [*output.files, *([output.begun] if output.begun else [])]
    for number, seal in enumerate(seals):
        is_whole = number < len(output.files)
        digest = None if is_whole else output.hash
        if not _is_sound(places[number], seal.sealed, digest, is_whole=is_whole):
            flaw = places[number]
            del output.files[number:]
            output.begun = None
            work.note("kept", files=number)
            break
    _remove_rest(hidden, set(range(len(output.files) + (output.begun is not None))))
    return flaw


def _remove_rest(hidden: Path, keep: set[int]) -> None:
    with contextlib.suppress(OSError):
        for name in os.listdir(hidden):
            if not name.isdigit() or int(name) not in keep:
                with contextlib.suppress(OSError):
                    os.unlink(hidden / name)


def _is_sound(path: Path, sealed: SealedBytes, digest: Any, *, is_whole: bool = False) -> bool:
    """Whether a file begins with what was sealed, and has no more if that is all of it.

    digest  is told what it begins with; or None
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    left, crc32 = sealed.size, 0
    with open(fd, "rb", buffering=0) as file:
        if is_whole and os.fstat(fd).st_size != sealed.size:
            return False
        buffer = memoryview(bytearray(_READ_BYTES))
        while left and (count := file.readinto(buffer[: min(left, _READ_BYTES)])):
            crc32 = zlib.crc32(buffer[:count], crc32)
            if digest is not None:
                digest.update(buffer[:count])
            left -= count
    return not left and crc32 == sealed.crc32


def kept_place(work: WorkDir, output: SealedOutput) -> Kept:
    """Return how the directory of an output is kept."""

    def note(hidden: Path) -> None:
        work.note("output", hidden=str(hidden))

    numbers = {number for number, _, _ in output.finished_shards(work)}
    files = max(numbers) + 1 if numbers else len(output.files)
    free = tuple(sorted(set(range(files)) - numbers)) if numbers else ()
    return Kept(work.path, output.hidden, note, files, free)
