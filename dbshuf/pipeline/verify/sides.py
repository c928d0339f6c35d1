"""The two sides of a comparison, inputs and outputs, each read into a hash for every row.

So inputs go through what a shuffle has for them: the scan, --where, --select and the encoder,
up to the bytes of a row. How outputs are compressed, cut and encoded makes no difference.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa

from dbshuf.base.block_io import aligned_buffer
from dbshuf.base.key import POSITION_BITS, POSITION_LIMIT, U64, id_of_first
from dbshuf.base.nested_types import is_text
from dbshuf.base.process_memory import release_unused, relieve
from dbshuf.base.progress import Progress
from dbshuf.base.remote_names import is_remote
from dbshuf.base.row_hash import (
    Hashes,
)
from dbshuf.base.temporary import private_folder
from dbshuf.base.workers import Stopped, run_workers
from dbshuf.errors import UsageError, VerifyFailed
from dbshuf.manifest.names import CARD_NAME, SUMS_NAME
from dbshuf.options import Options
from dbshuf.pipeline.scan import open_scan
from dbshuf.pipeline.shuffle import planned_here
from dbshuf.pipeline.verify.forms import (
    Hashed,
    Rows,
    as_columns,
    as_lines,
    as_read,
    as_types,
    encoder,
    joined,
    pieces,
)
from dbshuf.pipeline.verify.parts import (
    Members,
    Parts,
    files_of,
    members_of,
    parts_of,
    place_for,
)
from dbshuf.pipeline.verify.places import AsLines, Places, before_end
from dbshuf.plan.make_plan import make_plan
from dbshuf.plan.plan import Plan
from dbshuf.query.relation import place_of
from dbshuf.sink import format_of, output_path
from dbshuf.sink.formats.csv import value_texts
from dbshuf.sink.numbered import check_numbered
from dbshuf.source.formats import DATABASES, kind_of_inputs, one_of
from dbshuf.source.inputs import STDIN, resolve_inputs
from dbshuf.store.opening import is_store

BESIDE_ROWS = (SUMS_NAME, CARD_NAME)  # in a directory of shards, and no rows
_LINES = pa.schema([("line", pa.binary())])

Take = Callable[[Hashes, U64], None]  # the hashes and the ids of some rows


@dataclass(frozen=True)
class Side:
    """Inputs or outputs.

    plan   how they are read
    hash_  some rows -> hashes and ids of them, or of the share of them that is looked at
    plain  the same, of rows whose parts are known, so that hashes say nothing of these
    parts  of the output
    places of its rows, where it has a column for them
    members  tells the split of rows of the inputs, where it needs no order
    """

    name: str
    plan: Plan
    hash_: Callable[[Rows], tuple[Hashes, U64]]
    plain: Callable[[Rows], tuple[Hashes, U64]] | None = None  # None: hash_
    parts: Parts = field(default_factory=Parts)
    places: Places | None = None
    members: Members | None = None

    def scan(self, take: Callable[[Rows], None], reporter: Progress) -> None:
        """Give all that is read to `take`, which several threads call, in pieces to hash.

        Raises  what reading raises, and InputChanged
        """
        plan, stop = self.plan, threading.Event()
        reporter.stage(f"read the {self.name}", plan.survey.text_bytes)

        def advance(count: int) -> None:
            relieve(plan.memory_bytes)
            reporter.advance(count)

        with (
            _folder(plan) as folder,
            contextlib.closing(open_scan(plan, folder, advance)) as feed,
        ):

            def take_all(batch: Rows) -> None:
                for piece in pieces(batch):
                    take(piece)

            def work(worker: int) -> None:
                for batch in feed.batches(aligned_buffer(plan.layout.buffer_bytes)):
                    take_all(batch)
                    del batch
                    if stop.is_set():
                        raise Stopped

            def end() -> None:
                stop.set()
                feed.stop()

            run_workers(min(plan.layout.workers, feed.most_workers), work, end)
            feed.check()
        release_unused()  # what threads that have ended freed, other ones need not find

    def hashes(self, batch: Rows) -> tuple[Hashes, U64]:
        """Hash rows of any number; see `plain`."""
        return joined([(self.plain or self.hash_)(piece) for piece in pieces(batch)])

    def place(self, row: int) -> str:
        """Name the place of a row by its id, for messages."""
        row = self._first_copy(row)
        if row >> POSITION_BITS >= len(self.plan.inputs) or self.plan.shape.whole_query is not None:
            return f"row {row:,} of the result of --sql"
        return place_of(row, self.plan.inputs, self.unit)

    @property
    def unit(self) -> str:
        """What the position of a row counts: bytes of text or rows of a table."""
        return "byte" if self.plan.shape.is_text else "row"

    def place_json(self, row: int) -> dict[str, Any]:
        row = self._first_copy(row)
        if row >> POSITION_BITS >= len(self.plan.inputs) or self.plan.shape.whole_query is not None:
            return {"id": row}
        source = self.plan.inputs[row >> POSITION_BITS]
        return {"file": source.name, self.unit: row % POSITION_LIMIT}

    def _first_copy(self, row: int) -> int:
        return row if self.plan.mix is None else id_of_first(row, len(self.plan.inputs))


class ComparisonProgress:
    """What an order of the inputs tells in a comparison, where nothing is written."""

    _STAGES: ClassVar = {"read": "read the inputs", "write": "order the inputs"}

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.advance, self.close = progress.advance, progress.close

    def stage(self, name: str, total_bytes: int | None) -> None:
        self._progress.stage(self._STAGES.get(name, name), total_bytes)


class ReadBytes:
    """A progress that also counts what is read of inputs and outputs, each side once."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self._counts: dict[str, int] = {}
        self._stage = ""
        self.close = progress.close

    @property
    def text_bytes(self) -> int:
        """Bytes of lines or values that were read so far."""
        return sum(count for stage, count in self._counts.items() if stage.startswith("read "))

    def stage(self, name: str, total_bytes: int | None) -> None:
        with self._lock:
            self._stage, self._counts[name] = name, 0
        self._progress.stage(name, total_bytes)

    def advance(self, count: int) -> None:
        with self._lock:
            self._counts[self._stage] += count
        self._progress.advance(count)


def _folder(plan: Plan) -> Any:
    """Return what makes a folder for what --sql spills; nothing else needs one."""
    if plan.shape.whole_query is None:
        return contextlib.nullcontext(plan.temp_dir)
    return private_folder(plan.temp_dir)


def open_sides(
    options: Options, output: str, share: float | None, places: Places | None = None
) -> tuple[Side, Side]:
    """Return the inputs and the outputs of a shuffle, ready to be compared.

    options  of the shuffle, as far as rows depend on them; `format` may say what is in `output`
    share    of the rows to look at; None: all
    places   what --number wrote, which `options` do not say; None: nothing
    Raises   VerifyFailed if the rows cannot be the same; what planning a shuffle raises
    """
    names = files_of(output, options)
    exclude = BESIDE_ROWS if names == (output,) and _is_many(output) else ()
    kind = _kind_of_output(names, exclude, options.format)
    options = from_store(options)
    plan = planned_here(
        replace(options, output=place_for(options), format=kind, strategy="partition"),
        reads_only=True,
    )
    is_text = kind in ("txt", "jsonl")
    written = _written(options, names, exclude, plan)
    _check_headers(plan, written)
    parts = parts_of(options, names, plan, written)
    if parts.columns:
        target = replace(plan.target, partition_by=parts.columns).of_files
        plan = replace(plan, target=target)
    if is_text:
        forms = _text_forms(plan, kind, places, share)
    else:
        schema = written.schema
        assert schema is not None
        if places is not None:
            schema = places.schema_without(schema)
        is_of_text = kind in ("csv", "tsv")
        ours = plan.schema
        if ours is not None:
            ours = pa.schema([field for field in ours if field.name not in parts.columns])
        _check_columns(ours, schema, has_types=not is_of_text)
        plain = value_texts if is_of_text else partial(as_types, schema=schema)
        ours_as = partial(as_columns, plain=plain, share=share)
        forms = [ours_as, ours_as if places is None else places.unseen_by(ours_as)]
    inputs, outputs = _sides(options, plan, written, parts, forms)
    return inputs, replace(outputs, places=places)


def _text_forms(plan: Plan, kind: str, places: Places | None, share: float | None) -> list[Hashed]:
    """Return what hashes the lines of both sides."""
    ours: AsLines = encoder(plan)
    theirs: AsLines = as_read
    if places is not None:
        check_numbered(kind)
        ours, theirs = before_end(ours), places.lines_without
    return [partial(as_lines, lines=one, share=share) for one in (ours, theirs)]


def _written(
    options: Options, names: tuple[str, ...], exclude: tuple[str, ...], plan: Plan
) -> Plan:
    """Return how the outputs are read, whose format is that of the plan of the inputs."""
    kind = plan.target.format
    is_text = kind in ("txt", "jsonl")
    return make_plan(
        Options(
            inputs=names,
            exclude=exclude,
            output=os.devnull,
            format=kind,
            strategy="partition",
            input_format="lines" if is_text else kind,
            zero_terminated=plan.terminator == b"\0" and kind == "txt",
            header=options.header or plan.header.count(plan.terminator),
            binary=options.binary,
            hive=None if is_text else False,
            memory=options.memory,
            threads=options.threads,
            temp_dir=options.temp_dir,
        ),
        reads_only=True,
    )


def _sides(
    options: Options, plan: Plan, written: Plan, parts: Parts, forms: Sequence[Hashed]
) -> tuple[Side, Side]:
    """Return both sides, whose rows are hashed as `forms` do it, and with their parts."""
    ours, theirs = forms
    if not parts:
        return Side("inputs", plan, ours), Side("outputs", written, theirs)

    def narrowed(batch: Rows) -> tuple[Hashes, U64]:
        return ours(parts.narrow(batch))

    members = members_of(options, plan)
    with_parts = parts.hashed_inputs(narrowed, plan, members)
    found = parts.hashed_outputs(theirs, is_split=members is not None)
    return (
        Side("inputs", plan, with_parts, narrowed, parts, members=members),
        Side("outputs", written, found, theirs, parts),
    )


def from_store(options: Options) -> Options:
    """Return options that read a store where the one input is one, as `export` does.

    With --table it is a database as any other.
    """
    if len(options.inputs) != 1 or options.table is not None or options.input_format is not None:
        return options
    (name,) = options.inputs
    if not os.path.isfile(name) or not is_store(name):
        return options
    return replace(options, inputs=(), store=name)


def _is_many(output: str) -> bool:
    """Whether a name stands for files that are found, so that some may be left out."""
    is_prefix = is_remote(output) and output.endswith("/")
    return is_prefix or os.path.isdir(output) or not (is_remote(output) or os.path.lexists(output))


def _kind_of_output(names: tuple[str, ...], exclude: tuple[str, ...], asked: str | None) -> str:
    """Return what the outputs are: a format without its compression."""
    if STDIN in names:
        raise UsageError(
            "the output is standard input, and is read more than once",
            hint="the last name is the output: a file or a directory",
        )
    inputs = resolve_inputs(names, (), exclude)
    piped = next((one for one in inputs if one.pipe is not None), None)
    if piped is not None:
        raise UsageError(
            f"the output is `{piped.name}`, a pipe, and is read more than once",
            hint="the last name is the output: a file or a directory",
        )
    try:
        found = kind_of_inputs(inputs, None, table=None)
    except UsageError as error:
        raise VerifyFailed(
            f"of the outputs, {error.message}",
            hint="take away what is none of them, or name them by a glob",
        ) from error
    if found in DATABASES:
        raise UsageError(
            f"`{inputs[0].name}` is {one_of(found)}, and no output of a shuffle",
            hint="the last name is the output",
        )
    if found in ("parquet", "arrow"):
        return found
    said = format_of(output_path(inputs[0].place), asked).partition(".")[0]
    if said in ("parquet", "arrow"):
        raise VerifyFailed(
            f"`{inputs[0].name}` is no {one_of(said).removeprefix('a ')}, as its name or --format"
            " says",
            hint="it is damaged or cut short; write it again",
        )
    return said


def _check_headers(plan: Plan, written: Plan) -> None:
    if plan.header != written.header:
        raise VerifyFailed(
            "the header of the outputs is not that of the inputs",
            hint="pass the --header of the shuffle",
        )


def _check_columns(ours: pa.Schema | None, theirs: pa.Schema, *, has_types: bool) -> None:
    """Raise VerifyFailed unless the outputs have the columns that are written."""
    ours = _LINES if ours is None else ours
    if ours.names != theirs.names:
        raise VerifyFailed(
            f"the outputs have the columns {_listed(theirs)}, and the inputs {_listed(ours)}",
            hint="pass the --select, --from, --table and --schema of the shuffle",
        )
    for one, other in zip(ours, theirs, strict=True):
        if has_types and not _is_alike(one.type, other.type):
            raise VerifyFailed(
                f"`{one.name}` is {other.type} in the outputs, and {one.type} in the inputs",
                hint="pass the --select, --from, --table and --schema of the shuffle",
            )


def _listed(schema: pa.Schema) -> str:
    return ", ".join(f"`{name}`" for name in schema.names)


def _is_alike(one: Any, other: Any) -> bool:
    """Whether a format may give back a value of one type as one of the other."""
    types = pa.types
    if one.equals(other):
        return True
    if types.is_nested(one) or types.is_nested(other):
        return bool(one.id == other.id and one.num_fields == other.num_fields)
    groups: tuple[Callable[[Any], bool], ...] = (
        types.is_temporal,
        lambda kind: types.is_integer(kind) or types.is_decimal(kind),
        types.is_floating,
        is_text,
    )
    return any(is_one(one) and is_one(other) for is_one in groups) or types.is_null(one)
