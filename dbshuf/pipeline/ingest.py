"""Inputs into a store, each whole or not at all.

    names -> inputs -> kind -> a new store, or the one that is there
    input -> there already? -> rows with their ids -> INSERT, a row of `sources`, COMMIT

An input is known again by its absolute path without links, an object by its URL. So a store may
move, and so may the directory that names are given from; a file that moved is another input.
"""

import contextlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbshuf.base.address_space import check_room
from dbshuf.base.database_logs import check_no_log
from dbshuf.base.key import ORDINAL_LIMIT
from dbshuf.base.leftovers import remove_leftovers
from dbshuf.base.process_memory import peak_resident_bytes, usable_cores
from dbshuf.base.progress import NO_PROGRESS, Progress
from dbshuf.base.temporary import private_folder
from dbshuf.errors import (
    InputBeyondBounds,
    InputUnreadable,
    OutputUnwritable,
    SchemaMismatch,
    StoreInvalid,
    UsageError,
)
from dbshuf.options import (
    Options,
    check_local_name,
    check_local_places,
    check_numbers,
    check_path,
    check_schema_option,
    check_texts,
)
from dbshuf.pipeline.identity import log_of
from dbshuf.pipeline.ingest_checks import (
    check_alike,
    engine_of_store,
    kind_of,
    resolved,
    spill_folder,
)
from dbshuf.pipeline.ingest_input import (
    Digest,
    Intake,
    Room,
    digest_of,
    hashed_beside,
    make_room,
    note_columns,
    open_scan,
)
from dbshuf.pipeline.source_scan import TableScan
from dbshuf.plan.row_plan import memory_cap
from dbshuf.query.evaluator import Spare
from dbshuf.query.json_keys import TWICE
from dbshuf.query.json_scan import json_structure
from dbshuf.source.formats import DATABASES, NAMES, TEXT_KINDS
from dbshuf.source.hive import with_folder_keys
from dbshuf.source.input import Input, with_windows_within
from dbshuf.source.local_copy import copies_removed, with_copies
from dbshuf.source.tables.opening import only_table
from dbshuf.store.create import create_store, fits, json_rows
from dbshuf.store.engine import StoreEngine, StoreWriter
from dbshuf.store.schema import SourceInfo, StoreInfo

if TYPE_CHECKING:
    from dbshuf.query.row_filter import RowQuery


@dataclass(frozen=True)
class Ingested:
    """What became of one input.

    name              as it was given
    is_added          whether its rows were added; otherwise they were there
    rows, text_bytes  that it has in the store
    """

    name: str
    is_added: bool
    rows: int
    text_bytes: int


@dataclass(frozen=True)
class IngestResult:
    """What an ingest did.

    inputs            of this call, in their order
    rows, text_bytes  that were added
    elapsed_s         wall time
    peak_rss_bytes    of the whole process, up to the end of the ingest
    """

    store: str
    inputs: tuple[Ingested, ...]
    rows: int
    text_bytes: int
    elapsed_s: float
    peak_rss_bytes: int


def ingest(
    asked: Options, *, pack: bool, engine: str | None, progress: Progress = NO_PROGRESS
) -> IngestResult:
    """Add inputs to a store; see `api.ingest`.

    asked   of these options: the store, the inputs and what they are, memory, threads, temp_dir
    """
    started = time.monotonic()
    assert asked.store is not None
    path = Path(asked.store)
    check_texts(**{"--from": asked.input_format, "--table": asked.table})
    check_local_name(asked.store)
    check_local_places(asked)
    check_path("the store", asked.store)
    check_no_log(path, "the store")
    check_path("--temp-dir", asked.temp_dir)
    check_schema_option(asked.schema)
    check_numbers(asked)
    threads = asked.threads or usable_cores()
    cap = memory_cap(asked)
    check_room(cap, threads)
    temp = spill_folder(path, asked.temp_dir)
    remove_leftovers([temp, path.absolute().parent])
    own = engine_of_store(path, engine)
    if pack and not own.packs_vectors:
        raise UsageError(
            "--pack is for a DuckDB database, and the store is one of SQLite",
            hint="leave it out, or call the store x.duckdb",
        )
    found = resolved(path, own, asked.inputs, asked.include, asked.exclude)
    asked = replace(asked, memory=cap, temp_dir=str(temp))
    call = _opened(path, own, found, asked, pack=pack)
    done = call.run(temp, threads, progress)
    return _result(path, done, started)


def _opened(
    path: Path,
    engine: StoreEngine,
    found: Sequence[Input],
    asked: Options,
    *,
    pack: bool,
) -> "_Ingest":
    """Return the call, once its store is there and the inputs go into it."""
    info = _looked(path, engine) if os.path.lexists(path) else None
    kind = kind_of(found, asked, info)
    found = with_windows_within(found, memory_cap(asked), 1)
    found = with_copies(found, kind, asked.temp_dir)
    found = with_folder_keys(found, asked.hive, rows=NAMES[kind] if kind in TEXT_KINDS else None)
    room = make_room(memory_cap(asked), found, kind, packs_vectors=engine.packs_vectors)
    if info is None:
        info = create_store(path, engine, found, kind, asked)
    check_alike(info, asked, kind)
    return _Ingest(info, engine, found, asked, room, pack=pack)


def _looked(path: Path, engine: StoreEngine) -> StoreInfo:
    """Return what a store holds. Raises OutputUnwritable if another program has it open."""
    try:
        return engine.look(path)
    except InputUnreadable as error:  # of a store that is only read
        raise OutputUnwritable(error.message, hint=error.hint) from error


def _result(path: Path, done: Sequence[Ingested], started: float) -> IngestResult:
    added = [one for one in done if one.is_added]
    return IngestResult(
        store=str(path),
        inputs=tuple(done),
        rows=sum(one.rows for one in added),
        text_bytes=sum(one.text_bytes for one in added),
        elapsed_s=time.monotonic() - started,
        peak_rss_bytes=peak_resident_bytes(),
    )


class _Ingest:
    """One call on its way."""

    def __init__(
        self,
        info: StoreInfo,
        engine: StoreEngine,
        found: Sequence[Input],
        asked: Options,
        room: Room,
        *,
        pack: bool,
    ) -> None:
        self._engine, self._pack = engine, pack
        self._info, self._found, self._asked, self._room = info, found, asked, room
        self._progress: Progress = NO_PROGRESS
        self._known: dict[tuple[str, str | None], SourceInfo] = {}
        self._query: RowQuery | None = None

    def run(self, temp_dir: Path, threads: int, progress: Progress) -> list[Ingested]:
        """Add what is not there yet; return what became of each input."""
        found, self._progress = self._found, progress
        with (
            copies_removed(found),
            private_folder(temp_dir) as folder,
            self._engine.writing(
                self._info,
                memory_bytes=self._room.engine_bytes,
                threads=threads,
                folder=folder,
                packs=self._pack,
            ) as writer,
        ):
            self._info = writer.info()
            self._known = {(one.path, one.table_name): one for one in self._info.sources}
            pending = [one for one in found if self._key(one) not in self._known]
            if self._info.json_structure is not None:
                has_twice = self._check_structure(found, pending)
                kept = json.loads(self._info.json_structure)
                self._query = json_rows(json.dumps(kept | has_twice, ensure_ascii=False))
                self._query.has_spare(Spare(self._room.spare_bytes, self._room.cap_for_spare))
            self._progress.stage("ingest", _text_bytes(pending))
            done = [self._one(one, writer) for one in found]
            writer.finish()
        return done

    def _key(self, one: Input) -> tuple[str, str | None]:
        path = os.fsencode(one.name if one.remote is not None else os.path.realpath(one.path or ""))
        table = self._asked.table
        if table is None and self._info.kind in DATABASES:
            table = only_table(one, self._info.kind)
        return path.decode("utf-8", "backslashreplace"), table

    def _check_structure(self, found: Sequence[Input], pending: Sequence[Input]) -> dict[str, Any]:
        """Raise SchemaMismatch unless the store's columns hold every value of JSON lines.

        Return what a structure has more where keys come twice.

        If need be, inputs that are there are looked at too, so that an ingest that was
        interrupted can be repeated: a store is made for all inputs of its first call.
        """
        kept = json.loads(self._info.json_structure or "{}")
        new: dict[str, Any] = {}
        for some in (pending, found) if pending else ():
            structure = json_structure(
                some,
                self._info.terminator,
                needs="nothing",
                memory_bytes=memory_cap(self._asked),
            )
            new = json.loads(structure)
            note = {TWICE: new.pop(TWICE)} if TWICE in new else {}
            if fits(new, kept):
                return note
        unfit = [name for name in new if not fits({name: new[name]}, kept)]
        shown = [f"`{name}` is {_shown(kept, name)} and {_shown(new, name)}" for name in unfit[:5]]
        if unfit:
            raise SchemaMismatch(
                f"`{self._info.path}` cannot hold all values of the inputs: {'; '.join(shown)}",
                hint="make a store of all inputs at once",
            )
        return {}

    def _one(self, one: Input, writer: StoreWriter) -> Ingested:
        key = self._key(one)
        there = self._known.get(key)
        if there is not None:
            self._check_same(one, there, writer)
            return Ingested(one.name, False, there.rows, there.text_bytes)
        if len(self._known) >= ORDINAL_LIMIT:
            raise InputBeyondBounds(
                f"`{self._info.path}` has {ORDINAL_LIMIT:,} inputs, as many as row ids tell apart",
                hint="make another store",
            )
        self._known[key] = there = self._add(one, writer)
        return Ingested(one.name, True, there.rows, there.text_bytes)

    def _check_same(self, one: Input, there: SourceInfo, writer: StoreWriter) -> None:
        """Raise StoreInvalid if the bytes of an input are not what they were.

        They are read only if the time of change is another one, or the version of an object.
        """
        if self._info.kind in DATABASES and one.path is not None and log_of(one.path) is not None:
            raise StoreInvalid(
                f"`{one.name}` has changes in a log beside it, so it cannot be told whether it is"
                f" what was added to `{self._info.path}`",
                hint="let it take them in (PRAGMA wal_checkpoint(TRUNCATE), in DuckDB CHECKPOINT)",
            )
        size, tells_changes = one.size_bytes or 0, one.remote is None or one.version != ""
        is_as_it_was = (size, one.changed_ns) == (there.size_bytes, there.changed_ns)
        if is_as_it_was and tells_changes:
            return
        how = f"it has {size:,} bytes, and had {there.size_bytes:,}"
        if size == there.size_bytes:
            digest = digest_of(one)
            if digest == there.digest:
                writer.touch(there, one.changed_ns)
                return
            how = f"its SHA-256 is {digest[:12]}, and was {there.digest[:12]}"
        raise StoreInvalid(
            f"`{one.name}` changed since it was added to `{self._info.path}`: {how}",
            hint="make a new store, or add the changed file under another name",
        )

    def _add(self, one: Input, writer: StoreWriter) -> SourceInfo:
        info, (path, table), ordinal = self._info, self._key(one), len(self._known)
        one = hashed_beside(one)
        feed = open_scan(
            info,
            one,
            self._room,
            self._progress.advance,
            query=self._query,
            table=table,
            schema=self._asked.schema,
        )
        with contextlib.closing(feed), contextlib.closing(Digest(one)) as digest:
            intake = Intake(info, one, ordinal, feed, self._room)
            source = one.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            with writer.transaction():
                intake.append(writer, source)
                if isinstance(feed, TableScan):
                    self._info = note_columns(info, feed.written, writer)
                there = SourceInfo(
                    ordinal=ordinal,
                    source=source,
                    path=path,
                    table_name=table,
                    size_bytes=one.size_bytes or 0,
                    changed_ns=one.changed_ns,
                    digest=digest.result(),
                    rows=intake.rows,
                    text_bytes=intake.text_bytes,
                    longest_bytes=intake.longest_bytes,
                    vector_bytes=intake.vector_bytes,
                )
                writer.add_source(there)
        return there


def _text_bytes(inputs: Sequence[Input]) -> int | None:
    """Return the bytes of text of all inputs, None if one is compressed."""
    if any(one.codec is not None for one in inputs):
        return None
    return sum(one.size_bytes or 0 for one in inputs)


def _shown(structure: dict[str, Any], name: str) -> str:
    if name not in structure:
        return "missing"
    return json.dumps(structure[name], ensure_ascii=False)[:80]
