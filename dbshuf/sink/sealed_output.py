"""Output that a later process goes on with: what is on disk is sealed in a journal.

    SealedShards   shards that are finished; of plain text also the first bytes of the open one
    SealedFile     the first bytes of one file of plain text

Every seal comes after a sync, and has the key of the first row that is not in it, so that the
order goes on from there. What is sealed is summed again before it is used: from the first flaw
on it is made anew. Other outputs (compressed or columnar single files, splits) have no such
places, so what makes them is begun anew from the rows that are partitioned already.
"""

import contextlib
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbshuf.base.counters import Tally
from dbshuf.base.journal import Record
from dbshuf.base.temporary import leave
from dbshuf.base.window import Window
from dbshuf.base.work_dir import WorkDir, sync_directory
from dbshuf.sink.cut_points import KeyCut, SizeCut
from dbshuf.sink.output_path import find
from dbshuf.sink.publish import HiddenDirectory, HiddenFile, Kept
from dbshuf.sink.raw_file import DiskFile, SealedBytes
from dbshuf.sink.shards import ShardSink
from dbshuf.sink.single_file import FileSink, open_encoder
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
    """

    next_key: int = 0
    counts: tuple[int, int, int] = (0, 0, 0)
    cut: dict[str, Any] | None = None
    sealed: SealedBytes = _NOTHING
    rows: int = 0

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
        )


@dataclass
class SealedOutput:
    """What earlier processes have sealed of the output, as the journal has it.

    hidden   its name while it is not published; None if there is none
    files    the shards that are finished, in their order
    begun    what is sealed of the file behind them
    """

    hidden: Path | None = None
    files: list[Seal] = field(default_factory=list)
    begun: Seal | None = None

    def add(self, record: Record) -> None:
        """Take in a record of the kinds that this module writes."""
        if record["kind"] == "output":
            self.hidden, self.files, self.begun = Path(record["hidden"]), [], None
        elif record["kind"] == "file":
            self.files.append(Seal.parse(record))
            self.begun = None
        elif record["kind"] == "begun":
            self.begun = Seal.parse(record)
        elif record["kind"] == "kept":
            del self.files[record["files"] :]
            self.begun = None

    @property
    def last(self) -> Seal:
        """What the run goes on from."""
        return self.begun or (self.files[-1] if self.files else Seal())


def can_seal(target: Target) -> bool:
    """Whether an output is sealed while it grows."""
    return not target.split_names and (target.in_shards or is_plain(target))


def is_plain(target: Target) -> bool:
    """Whether the first bytes of a file of the target can be gone on with."""
    return target.format in _PLAIN


def check_sealed(target: Target, work: WorkDir, output: SealedOutput) -> str | None:
    """Sum what is sealed, and forget it from the first flaw on; return what to tell of that."""
    hidden = output.hidden
    if hidden is None:
        return None
    flaw = None
    if not target.in_shards:
        if output.begun is not None and not _is_sound(hidden, output.begun.sealed):
            flaw, output.begun = hidden, None
            work.note("kept", files=0)
    else:
        places = [hidden / str(number) for number in range(len(output.files) + 1)]
        seals = [*output.files, *([output.begun] if output.begun else [])]
        for number, seal in enumerate(seals):
            is_whole = number < len(output.files)
            if not _is_sound(places[number], seal.sealed, is_whole=is_whole):
                flaw = places[number]
                del output.files[number:]
                output.begun = None
                work.note("kept", files=number)
                break
        _remove_rest(hidden, len(output.files) + (output.begun is not None))
    return None if flaw is None else f"`{flaw}` is not what was sealed: it is made anew"


def _remove_rest(hidden: Path, keep: int) -> None:
    with contextlib.suppress(OSError):
        for name in os.listdir(hidden):
            if not name.isdigit() or int(name) >= keep:
                with contextlib.suppress(OSError):
                    os.unlink(hidden / name)


def _is_sound(path: Path, sealed: SealedBytes, *, is_whole: bool = False) -> bool:
    """Whether a file begins with what was sealed, and has no more if that is all of it."""
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
            left -= count
    return not left and crc32 == sealed.crc32


def _kept(work: WorkDir, output: SealedOutput, had: SealedBytes | None = None) -> Kept:
    def note(hidden: Path) -> None:
        work.note("output", hidden=str(hidden))

    return Kept(work.path, output.hidden, note, len(output.files), had)


class SealedShards(ShardSink):
    """Shards, each sealed once it is finished; see ShardSink."""

    def __init__(self, target: Target, work: WorkDir, output: SealedOutput) -> None:
        """Go on from what is sealed."""
        assert isinstance(target.path, Path)
        place = HiddenDirectory(target.path, force=target.force, kept=_kept(work, output))
        self._work, self._window, self._next = work, None, 0
        super().__init__(target, directory=place)
        sync_directory(place.place)
        self._hidden = place.move[0]
        self._counts = Tally(*output.last.counts)
        self._shard = len(output.files) - 1
        self._files = list(range(len(output.files)))
        self._rows_before = self._counts.rows - (output.begun.rows if output.begun else 0)
        if output.last.cut is not None:
            self._cut.go_on(output.last.cut)
        is_read = output.last.next_key == END
        self._is_complete = is_read and len(self._files) == self._cut.parts
        if output.begun is not None:
            self._begin_again(target, place, output.begun)

    _window: Window | None

    def _begin_again(self, target: Target, place: HiddenDirectory, begun: Seal) -> None:
        number, self._output = place.reopen(begun.sealed)
        self._files.append(number)
        self._shard += 1
        self._encoder = open_encoder(self._output, target, is_begun=begun.sealed.size > 0)

    def encode(self, window: Window) -> None:
        self._window, self._next = window, 0
        for shard, first, last in self._cut.runs(window.counted_bounds, window.keys):
            part = window.slice(first, last)
            self._open(shard).write(part)
            self._counts.add_window(part)
            self._next = last

    def checkpoint(self, next_key: int) -> None:
        """Seal what there is of the open shard, if its format and the cut allow it."""
        is_between = isinstance(self._cut, (KeyCut, SizeCut)) and is_plain(self._target)
        if not is_between or self._encoder is None:
            return
        assert isinstance(self._cut, (KeyCut, SizeCut))
        self._encoder.flush()
        assert isinstance(self._output, DiskFile)
        self._note("begun", next_key, self._output.seal(), self._cut.within())

    def complete(self) -> None:
        self._window = None
        if not self._is_complete:
            super().complete()
            return
        self._name_files()

    def _close(self) -> None:
        encoder, output = self._encoder, self._output
        super()._close()
        if encoder is None:
            return
        assert isinstance(output, DiskFile)
        sync_directory(self._hidden)
        sealed = SealedBytes(output.written_bytes, output.sum())
        window = self._window
        if window is None:  # the last one
            self._note("file", END, sealed, self._cut.begun())
        else:
            self._note("file", int(window.keys[self._next]), sealed, self._cut.begun())
        self._rows_before = self._counts.rows

    def _note(self, kind: str, next_key: int, sealed: SealedBytes, cut: dict[str, Any]) -> None:
        counts = self._counts
        self._work.note(
            kind,
            next_key=next_key,
            sealed=sealed,
            counts=[counts.rows, counts.text_bytes, counts.key_sum],
            cut=cut,
            rows=counts.rows - self._rows_before,
        )

    def suspend(self) -> None:
        """Let go of the output; what is sealed stays. Never raises."""
        self.stop()
        leave(self._hidden)


class SealedFile(FileSink):
    """One file of plain text, sealed as far as it is written; see FileSink."""

    def __init__(self, target: Target, work: WorkDir, output: SealedOutput) -> None:
        """Go on from what is sealed."""
        assert isinstance(target.path, Path)
        found = find(target.path)
        self._work, self._counts = work, Tally(*output.last.counts)
        had = None if output.begun is None else output.begun.sealed
        if had is None and output.hidden is not None:
            with contextlib.suppress(OSError):
                os.unlink(output.hidden)
        place = HiddenFile(found, shown=str(target.path), kept=_kept(work, output, had))
        super().__init__(target, place, is_begun=had is not None and had.size > 0)
        self._hidden = place.move[0]
        self._output = place.output
        sync_directory(self._hidden.parent)

    def encode(self, window: Window) -> None:
        super().encode(window)
        self._counts.add_window(window)

    def checkpoint(self, next_key: int) -> None:
        """Seal what there is of the file."""
        self._encoder.flush()
        sealed, counts = self._output.seal(), self._counts
        self._work.note(
            "begun",
            next_key=next_key,
            sealed=sealed,
            counts=[counts.rows, counts.text_bytes, counts.key_sum],
            cut=None,
            rows=counts.rows,
        )

    def suspend(self) -> None:
        """Let go of the output; what is sealed stays. Never raises."""
        self.stop()
        leave(self._hidden)
