"""What a run notes while it works, and the manifest that it writes of that, last of all."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from dbshuf.base.block_io import write_file
from dbshuf.base.key import ORDER_VERSION
from dbshuf.base.row_checksum import VERSION as ROWS_VERSION
from dbshuf.base.row_notes import ReadNotes, RowSum, WindowSum
from dbshuf.base.spans import Spans
from dbshuf.base.versions import versions_here
from dbshuf.base.window import Window
from dbshuf.base.work_dir import cleaning, in_words, sync_directory
from dbshuf.errors import CheckFailed
from dbshuf.manifest.document import InputEntry, Manifest, OutputEntry, RowSums, check_whole
from dbshuf.manifest.names import (
    CARD_NAME,
    HIDDEN_SUMS_NAME,
    MANIFEST_NAME,
    SUCCESS_NAME,
    SUMS_NAME,
)
from dbshuf.plan.manifest import Wanted, manifest_target
from dbshuf.plan.plan import Plan
from dbshuf.plan.row_plan import Shape
from dbshuf.sink import Target
from dbshuf.sink.publish import FilePlace, HiddenFile, place_of, publish_whole
from dbshuf.sink.seal import Marked, NamedFile
from dbshuf.source.formats import DATABASES
from dbshuf.source.hashing import CatchUp, with_digests
from dbshuf.source.input import Input

_NOT_ALL = "it was not read to its end"
_IN_PARTS = "it was read in parts by several processes"


class InputEntries(Sequence[InputEntry]):
    """The entries of inputs, made when they are asked for: there may be a million inputs.

    rows    of each, as far as they were counted
    sums    ordinal -> SHA-256, of those that have one
    why     that others have none, where nothing better is known
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        rows: "Sequence[int] | Any | None",
        sums: Mapping[int, str],
        why: str,
    ) -> None:
        self._inputs, self._rows, self._sums, self._why = inputs, rows, sums, why

    @overload
    def __getitem__(self, place: int) -> InputEntry: ...
    @overload
    def __getitem__(self, place: slice) -> list[InputEntry]: ...
    def __getitem__(self, place: int | slice) -> InputEntry | list[InputEntry]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        one = self._inputs[place]
        digest = one.digest
        sha256 = self._sums.get(one.ordinal) or (digest and digest.sha256)
        size = one.size_bytes
        if size is None and digest is not None and sha256:
            size = digest.read_bytes
        why = (digest.unhashed if digest is not None else "") or self._why
        return InputEntry(
            name=one.name,
            size=size,
            time=one.changed_ns if one.path is not None and one.pipe is None else None,
            rows=None if self._rows is None else int(self._rows[place]),
            sha256=sha256 or None,
            unhashed=None if sha256 else why,
            version=one.remote.info.version if one.remote is not None else None,
        )

    def __len__(self) -> int:
        return len(self._inputs)


class ManifestSeal:
    """Writes what is wanted about an output: as a `sink.Seal`, then closed.

    Set before `write`:
    strategy    what ordered the rows
    inputs      entries of what was read
    rows_in     of the rows that were ordered; None: nobody saw them
    rows_out    of the rows that were written
    mix         of a mix, what its sources gave
    epoch_seeds  of several orders; None: there is one
    """

    strategy: str
    inputs: Sequence[InputEntry]
    rows_in: RowSum | None
    rows_out: RowSum
    mix: dict[str, Any] | None = None
    epoch_seeds: list[str] | None = None

    def __init__(
        self, wanted: Wanted, target: Target, *, unit: str, kept: Path | None = None
    ) -> None:
        """Begin the file of --manifest, hidden. Raises OutputUnwritable.

        kept  the file that it waits in instead, for a later process too
        """
        self._wanted, self._target, self._unit, self._kept = wanted, target, unit, kept
        self._place: FilePlace | None = None
        if wanted.path is not None and kept is None:
            self._place = place_of(manifest_target(target, wanted.path))

    def write(self, files: Sequence[NamedFile], directory: Marked | None) -> None:
        """Write all, hidden. Raises CheckFailed if rows out are not the rows in."""
        self.check()
        manifest = self._manifest(files)
        if directory is not None:
            if self._wanted.card:
                from dbshuf.sink.card import dataset_card

                directory.mark(CARD_NAME, [dataset_card(self._target, files)])
            sums_name = HIDDEN_SUMS_NAME if self._target.partition_by else SUMS_NAME
            directory.mark(sums_name, _sums(files))
            directory.mark(MANIFEST_NAME, manifest.pieces())
            directory.mark(SUCCESS_NAME, [])
        if self._place is not None:
            for piece in manifest.pieces():
                self._place.output.write(piece)
            self._place.output.finish()
            if isinstance(self._place, HiddenFile):
                self._place.check()
        if self._wanted.path is not None and self._kept is not None:
            with in_words(self._kept.parent):
                write_file(self._kept, manifest.pieces(), mode=0o600)
                sync_directory(self._kept.parent)

    def publish(self) -> None:
        """Show the file of --manifest."""
        if self._kept is not None:
            publish_kept(self._kept, self._wanted, self._target)
        if self._place is not None:
            self._place.publish()
            self._place = None

    def close(self) -> None:
        """Remove what was not published; never raises."""
        if self._place is not None:
            self._place.output.abort()
            self._place.discard()

    def check(self) -> None:
        """Raise CheckFailed if rows out are not the rows in."""
        before, after = self.rows_in, self.rows_out
        if before is not None and (before.rows, before.sum) != (after.rows, after.sum):
            raise CheckFailed(
                f"{before.rows:,} rows with the checksum {before.hex} were ordered, but"
                f" {after.rows:,} with {after.hex} written; nothing was published",
            )

    def _manifest(self, files: Sequence[NamedFile]) -> Manifest:
        before, after = self.rows_in, self.rows_out
        return Manifest(
            versions=versions_here(),
            order_version=ORDER_VERSION,
            seed=self._target.seed,
            unit=self._unit,
            strategy=self.strategy,
            options=dict(self._wanted.options),
            mix=self.mix,
            inputs=self.inputs,
            outputs=[OutputEntry(name, one.rows, one.bytes, one.sha256) for name, one in files],
            row_sums=RowSums(
                function=ROWS_VERSION,
                rows_in=None if before is None else before.rows,
                sum_in=None if before is None else before.hex,
                rows_out=after.rows,
                sum_out=after.hex,
            ),
            epoch_seeds=self.epoch_seeds,
        )


class RunRecord:
    """What a run on this machine notes, beside its work; a `sink.Seal`.

    plan  the plan of the run, whose inputs are hashed while they are read
    sums  of the rows that are written
    """

    def __init__(
        self,
        plan: Plan,
        wanted: Wanted,
        done: Sequence[str],
        *,
        kept: Path | None = None,
        hashed: Sequence[InputEntry] | None = None,
    ) -> None:
        """Begin; the last of `done` is the strategy, once all rows are ordered.

        kept    as ManifestSeal
        hashed  entries of the inputs, where an earlier reading has made them; None: it is made
        """
        unit = "line" if plan.schema is None else "row"
        self._seal, self._done = ManifestSeal(wanted, plan.target, unit=unit, kept=kept), done
        inputs, why, at_once = plan.inputs, _NOT_ALL, False
        if plan.store is not None:
            why = f"its rows were read from the store `{plan.store.path}`"
        elif hashed is None:
            in_columns = why_not_hashed(plan.shape)
            inputs, at_once = with_digests(inputs, in_columns=in_columns), in_columns == ""
        self._why, self._hashed = why, hashed
        self.sums = WindowSum()
        self._catch_up = CatchUp(inputs if hashed is None else (), at_once=at_once)
        notes = ReadNotes(len(inputs), self._catch_up.begin)
        other = plan.otherwise
        if other is not None:
            other = replace(other, inputs=inputs, notes=notes)
        self.plan = replace(plan, inputs=inputs, notes=notes, otherwise=other)
        self._notes = notes

    def go_on(self, known: Spans) -> None:
        """Leave inputs of which an earlier process has read some to the thread that hashes."""
        for one in self.plan.inputs:
            if one.digest is not None and known.end_in(one.ordinal):
                self._why = _IN_PARTS
                one.digest.leave()

    def windows(self, windows: Iterable[Window]) -> Iterator[Window]:
        """Pass on what is written."""
        for window in windows:
            self.sums.add(window)
            yield window

    def settle(self) -> ManifestSeal:
        """Return what is to be written, once the last byte is hashed. Raises CheckFailed."""
        seal, plan, notes = self._seal, self.plan, self._notes
        self.sums.finish()
        if notes.is_all:
            self._catch_up.join()
        else:  # a LIMIT was content with less
            self._catch_up.stop()
        rows: Any = notes.read
        if plan.store is not None:
            rows = [one.rows for one in plan.store.sources]
        seal.strategy = self._done[-1]
        seal.inputs = self._hashed or InputEntries(plan.inputs, rows, {}, self._why)
        is_seen = notes.ordered.rows or not plan.is_one_statement
        is_same = plan.sample is None and plan.target.number is None  # the rows out as those in
        seal.rows_in = notes.ordered if is_seen and is_same else None
        seal.rows_out = self.sums.total
        seal.mix = None if plan.mix is None else plan.mix.to_json()
        seal.check()
        return seal

    def write(self, files: Sequence[NamedFile], directory: Marked | None) -> None:
        """Write all, once the last byte is hashed."""
        self.settle().write(files, directory)

    def publish(self) -> None:
        """Show the file of --manifest."""
        self._seal.publish()

    def close(self) -> None:
        """End what is at work, and remove what was not published; never raises."""
        self._catch_up.stop()
        self.sums.close()
        self._seal.close()


def publish_kept(kept: Path, wanted: Wanted, target: Target) -> None:
    """Show the manifest that waits in a file, under the name that --manifest gives it.

    Raises  OutputUnwritable, OutputSpaceShort, WorkDirUnfit, ManifestInvalid
    """
    if wanted.path is None:
        return
    with in_words(kept.parent):
        data = kept.read_bytes()
    check_whole(data, str(kept), hint=f"the output is in place; `{cleaning(kept.parent)}`")
    publish_whole(manifest_target(target, wanted.path), [data])


def why_not_hashed(shape: Shape) -> str | None:
    """Return why inputs of a shape are not hashed, as `with_digests` takes it."""
    if shape.kind in DATABASES:
        return "a database, of which a table is read"
    if shape.kind not in ("parquet", "arrow"):
        return None
    queries = [one for one in (shape.row_query, *shape.parts) if one is not None]
    if any(one.comparisons for one in queries):
        return "--where passes over row groups of it"
    return "" if shape.read_columns is None else "not all of its columns are read"


def _sums(files: Sequence[NamedFile]) -> Iterator[bytes]:
    """Yield the lines of SHA256SUMS, as `sha256sum` writes them."""
    for name, one in files:
        yield f"{one.sha256}  {name}\n".encode()
