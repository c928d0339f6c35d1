"""A shuffle that outlives its process: what is done is sealed in a --work-dir, and not done again.

    scatter   runs of rows, sealed every few seconds             order/run_seals.py
    gather    finished shards, and the first bytes of files       sink/sealed_sink.py
    publish   a record before the renames, and one after them     here

The journal is read from its beginning by every process, the first one too; there is no other
way to go on, so whatever ends a process is the same thing. What is found to be damaged is
dropped in the journal, and the same way is gone again.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from dbshuf.base.counters import Tally
from dbshuf.base.key import id_of, seed_words
from dbshuf.base.leftovers import find_kept, remove_leftover
from dbshuf.base.process_memory import relieve
from dbshuf.base.progress import Progress, tell
from dbshuf.base.temporary import private_folder
from dbshuf.base.window import Window
from dbshuf.base.work_dir import WorkDir, delete
from dbshuf.errors import CheckFailed
from dbshuf.order.partition import PartitionOrder
from dbshuf.order.run_index import RunDamaged
from dbshuf.order.run_seals import KeptRows, RunSeals, damaged_runs
from dbshuf.pipeline.identity import Identity, write_identity
from dbshuf.pipeline.manifest import RunRecord, publish_kept
from dbshuf.pipeline.ordered import sums_rows
from dbshuf.pipeline.published import is_at, mark_of
from dbshuf.pipeline.run_checks import check_totals, checked
from dbshuf.pipeline.run_state import State
from dbshuf.pipeline.scan import noted_scan
from dbshuf.pipeline.touched import hold_touched
from dbshuf.plan.manifest import manifest_target
from dbshuf.plan.plan import Plan
from dbshuf.sink.kept import refuse_in_use
from dbshuf.sink.output_path import check_target, find
from dbshuf.sink.publish import HiddenDirectory, HiddenFile
from dbshuf.sink.raw_file import FileDamaged
from dbshuf.sink.remote_path import RemotePath
from dbshuf.sink.sealed_output import END, check_sealed, keep_seals
from dbshuf.sink.sealed_sink import SealedSink
from dbshuf.sink.single_file import PlacedSink
from dbshuf.source.hashing import with_sums
from dbshuf.source.read_sums import ReadSums
from dbshuf.units import human


def run_kept(plan: Plan, reporter: Progress, written: Tally) -> None:
    """Do what a plan says, or the rest of it, and publish the output.

    Raises  WorkDirUnfit, RunDiffers, and what `shuffle.run` does; what is sealed stays then
    """
    assert plan.work is not None
    work = WorkDir(plan.work.path)
    try:
        if work.journal.is_cut:
            tell(reporter, f"the journal in `{work.path}` is damaged: its last part is done again")
        if isinstance(plan.target.path, RemotePath):
            is_made = _send(plan, reporter, work, written)
        else:
            is_made = _make(plan, reporter, work, written)
        work.remove(with_folder=is_made)
    finally:
        work.leave()


def _send(plan: Plan, reporter: Progress, work: WorkDir, written: Tally) -> bool:
    """As `_make`, where the output goes to an object store."""
    from dbshuf.pipeline.kept_upload import MadeDamaged, made_in, send

    made, is_again = made_in(work, plan), False
    while True:
        _make(made, reporter, work, written)
        state = _read_state(made, work)
        try:
            send(plan, made, work, state, reporter)
            return state.is_made
        except MadeDamaged as damage:
            if is_again:
                raise CheckFailed(
                    f"`{damage.path}` is not what was written to it, twice",
                    hint="check the disk of --work-dir",
                ) from None
            tell(reporter, f"`{damage.path}` is not what was sealed: it is made anew")
            delete(damage.path)
        written.clear()
        is_again = True


def _make(plan: Plan, reporter: Progress, work: WorkDir, written: Tally) -> bool:
    """Make all files, or the rest of them; return whether the work directory is the run's own."""
    while True:
        state = _read_state(plan, work)
        _remove_forgotten(plan, reporter, work, state)
        if _is_published(state, work):
            _tell_published(plan, reporter, work, state)
            written.merge(Tally(*state.counts))
            return state.is_made
        hold_touched(plan, reporter, work, state)
        try:
            if plan.wanted is None:
                _Rest(plan, reporter, work, state).run(written)
                return state.is_made
            with contextlib.closing(
                RunRecord(plan, plan.wanted, [plan.strategy], kept=work.manifest)
            ) as record:
                _Rest(record.plan, reporter, work, state, record).run(written)
            return state.is_made
        except RunDamaged as damage:
            tell(reporter, "partitioned rows are not what was sealed: they are read again")
            found = damaged_runs(work.rows, state.rows, state.ranges)
            _drop(work, state, sorted({*damage.addresses, *found}))
        except FileDamaged:
            tell(reporter, "the output is not what was sealed: it is made anew")
            keep_seals(work, state.output, 0)
        written.clear()


def _tell_published(plan: Plan, reporter: Progress, work: WorkDir, state: State) -> None:
    """Say that all has its name, once the manifest of an earlier process has."""
    path = plan.target.path
    is_sending = isinstance(path, Path) and path.parent == work.upload
    if not is_sending or state.is_shown:
        tell(reporter, "an earlier run has published the output already")
    else:
        tell(reporter, f"goes on from `{work.path}`: all is made, and is sent")
    if not state.is_published and plan.wanted is not None:
        publish_kept(work.manifest, plan.wanted, plan.target)
        work.note("published")


def _read_state(plan: Plan, work: WorkDir) -> State:
    """Read the journal, or begin one. Raises RunDiffers."""
    identity, state = Identity(work, plan), State()
    for record in work.journal.records():
        state.add(record)
        if record["kind"] == "begin":
            identity.check_begin(record)
    if _is_published(state, work):  # then inputs may have changed: the output may be one
        return state
    if state.input_count is not None:
        identity.check_count(state.input_count)
    if len(state.inputs) < len(plan.inputs):  # what began it died while it did
        work.journal.clear()
        write_identity(work, plan)
        return _read_state(plan, work)
    for record in work.journal.records():
        if record["kind"] == "inputs":
            identity.check_inputs(record)
    return state


def _remove_forgotten(plan: Plan, reporter: Progress, work: WorkDir, state: State) -> None:
    """Remove what is hidden of this run and is not in the journal, which may have been damaged."""
    folders, target = set(), plan.target
    for path in [target.path] if target.in_shards else target.files:
        assert isinstance(path, Path)
        final = find(path).final
        folders |= {final, final.parent}
    known = set(state.output.places)
    for one in find_kept(folders, work.path):
        if one.path not in known and remove_leftover(one):
            tell(reporter, f"removed `{one.path}`, of which the journal does not tell any more")


def _is_published(state: State, work: WorkDir) -> bool:
    """Whether the output has its name, or those who died had no time to say so.

    A directory has it with the last of its marks; then --manifest may not be there yet. What an
    object store shows has been made in the work directory, which may be gone in part by now.
    """
    if state.is_shown:
        return True
    if not state.moves:
        return False
    folder = state.moves[0][0]
    is_there = [is_at(folder / name, mark) for name, mark in [*state.shards, *state.marks]]
    is_moved = all(is_at(final, mark) for final, mark in state.moves)
    if Path(os.path.realpath(work.upload)) in folder.parents:  # where runs alone put anything
        return is_moved and all(is_there)
    if is_moved:
        return any(is_there) or not is_there  # of an empty folder the number may be another's
    return bool(is_there) and all(is_there)


def _drop(work: WorkDir, state: State, addresses: list[int]) -> None:
    """Have runs read again; if nobody knows of which rows they were, have all begun anew."""
    is_known = all(state.rows.runs[address][1] for address in addresses)
    work.note("drop", runs=[~address for address in addresses] if is_known else None)
    if not is_known:
        work.note("kept", seals=0)


class _Rest:
    """What is left to do of a run."""

    def __init__(
        self,
        plan: Plan,
        reporter: Progress,
        work: WorkDir,
        state: State,
        record: RunRecord | None = None,
    ) -> None:
        self._sums = ReadSums()
        self._plan = replace(plan, inputs=with_sums(plan.inputs, self._sums))
        self._reporter, self._work, self._state = reporter, work, state
        self._record = record
        self._words = seed_words(plan.seed)

    def run(self, written: Tally) -> None:
        """Scatter, gather and publish; `written` counts all rows of the output."""
        plan, work, state = self._plan, self._work, self._state
        for hidden in state.output.places:
            refuse_in_use(hidden)
        if state.moves:
            _take_back(state)
            check_target(plan.target)  # which a plan does not: part of it may be in place
        flaw = check_sealed(plan.target, work, state.output)
        if flaw is not None:
            tell(self._reporter, flaw)
        done = state.output.last
        self._restore_notes()
        if state.rows.runs or done.next_key:
            read = sum(counts.text_bytes for _, _, counts in state.rows.runs.values())
            amounts = f"{human(read)} were read and {human(done.counts[1])} written"
            tell(self._reporter, f"goes on from `{work.path}`: {amounts} before")
        layout = replace(plan.layout, ranges=state.ranges, store_bytes=0)
        written.merge(Tally(*done.counts))
        with private_folder(work.path) as folder:
            store = KeptRows(work.rows, state.rows.used_bytes)
            seals = RunSeals(
                work, store, state.rows, ranges=state.ranges, sums=self._sums, notes=plan.notes
            )
            sums = sums_rows(plan)
            with contextlib.closing(
                PartitionOrder(layout, self._words, store, plan.schema, seals=seals, sums_rows=sums)
            ) as order:
                if done.next_key < END:
                    order.take_stored()
                    self._scatter(order, seals, folder)
                self._gather(order, written)

    def _restore_notes(self) -> None:
        """Have noted for the manifest what earlier processes have read and written."""
        rows, last, notes = self._state.rows, self._state.output.last, self._plan.notes
        if self._record is None or notes is None:
            return
        rows.restore(notes)
        self._record.sums.total.add(last.counts[0], last.row_sum)
        self._record.go_on(rows.spans)
        if rows.is_all:
            notes.end()

    def _scatter(self, order: PartitionOrder, seals: RunSeals, folder: Path) -> None:
        """Read and store all rows that are not stored yet."""
        plan, rows = self._plan, self._state.rows
        if rows.is_whole:
            return

        def advance(count: int) -> None:
            relieve(plan.memory_bytes)
            self._reporter.advance(count)

        self._reporter.stage("read", plan.survey.text_bytes)
        self._reporter.advance(seals.tally.text_bytes)
        with contextlib.closing(noted_scan(plan, folder, advance)) as feed:
            if feed.is_in_pieces:
                feed.leave_out(rows.spans)
            seals.begin(feed)
            order.fill(feed)
            feed.check()
            seals.finish()

    def _gather(self, order: PartitionOrder, written: Tally) -> None:
        """Order the rows that are in no sealed output, write and publish them."""
        done = self._state.output.last
        self._reporter.stage("write", order.read.text_bytes or None)
        self._reporter.advance(written.text_bytes)
        sink = self._open_sink()
        try:
            if done.next_key < END:
                self._write(order, sink, written)
                check_totals(order.read, written)
            self._reporter.stage("publish", None)
            sink.complete()
            self._publish(sink, written)
        except BaseException:
            sink.abort()
            raise

    def _open_sink(self) -> SealedSink:
        sums = None if self._record is None else self._record.sums
        return SealedSink(self._plan.target, self._work, self._state.output, sums)

    def _write(self, order: PartitionOrder, sink: SealedSink, written: Tally) -> None:
        first_key, last_bucket = self._state.output.last.next_key, -1
        plan, words = self._plan, self._words
        given_id = (lambda key: id_of(key, words)) if plan.shape.has_given_ids else None
        windows = order.windows(order.bucket_of(first_key))
        with contextlib.closing(windows):
            rest = checked(_from(windows, first_key), written, given_id)
            for window in rest:
                bucket = order.bucket_of(int(window.keys[0]))
                if bucket != last_bucket:
                    sink.checkpoint(int(window.keys[0]))
                last_bucket = bucket
                sink.write(window)
                self._reporter.advance(window.text_bytes)
                relieve(plan.memory_bytes)

    def _publish(self, sink: PlacedSink, written: Tally) -> None:
        """Give the output its name, and say so before and afterwards."""
        if self._record is not None:
            self._record.write(sink.files, sink.directory)
        moves, sums, shards, marks = [], [], [], []
        for place in sink.places:
            if isinstance(place, HiddenFile | HiddenDirectory):
                hidden, final = place.move
                moves.append((str(final), mark_of(hidden)))
            if isinstance(place, HiddenFile):
                sums.append(place.output.sum())
            if isinstance(place, HiddenDirectory):
                shards += [(name, mark_of(path)) for path, name in place.named()]
                marks += [(name, mark_of(path)) for path, name in place.marks]
        counts = [written.rows, written.text_bytes, written.key_sum]
        sink.check_places()
        if self._plan.wanted is not None and isinstance(self._plan.wanted.path, Path):
            check_target(manifest_target(self._plan.target, self._plan.wanted.path))
        self._work.note(
            "publishing", moves=moves, sums=sums, shards=shards, marks=marks, counts=counts
        )
        for place in sink.places:
            place.publish()
        if self._record is not None:
            self._record.publish()
        self._work.note("published")


def _take_back(state: State) -> None:
    """Undo the renames of a publication that was not completed."""
    places = state.output.file_places
    for (final, mark), place in zip(state.moves, places, strict=False):
        if is_at(final, mark) and not os.path.lexists(place):
            os.rename(final, place)
    if not state.shards:
        return
    final, hidden = state.moves[0][0], state.output.hidden
    for name, mark in reversed(state.marks):  # first what says that all is there
        if is_at(final / name, mark):
            os.unlink(final / name)
    if hidden is None or not hidden.is_dir():
        return
    for number, (name, mark) in enumerate(state.shards):
        for path in (hidden / name, final / name):
            if not os.path.lexists(hidden / str(number)) and is_at(path, mark):
                os.rename(path, hidden / str(number))
        for folder in {os.path.dirname(name)} - {""}:  # of a split; gone with its last shard
            for place in (hidden, final):
                with contextlib.suppress(OSError):
                    os.rmdir(place / folder)


def _from(windows: Iterator[Window], key: int) -> Iterator[Window]:
    """Yield the rows from a key on."""
    for window in windows:
        first = int(np.searchsorted(window.keys, np.uint64(key)))
        if first < window.rows:
            yield window.slice(first, window.rows) if first else window
