"""The two sides of a comparison, inputs and outputs, each read into a hash for every row.

    text, JSON lines   a row is the line that is written
    CSV, TSV           a row is the texts of its values; NULL is the empty text there
    Parquet, Arrow     a row is its values

So inputs go through what a shuffle has for them: the scan, --where, --select and the encoder,
up to the bytes of a row. How outputs are compressed, cut and encoded makes no difference.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import aligned_buffer
from dbshuf.base.key import POSITION_BITS, POSITION_LIMIT, U64, row_keys
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.process_memory import release_unused, relieve
from dbshuf.base.progress import Progress
from dbshuf.base.remote_names import is_remote
from dbshuf.base.row_batch import RowBatch, arrow_numbers
from dbshuf.base.row_hash import (
    Hashes,
    Lines,
    chosen_lines,
    chosen_rows,
    hash_lines,
    hash_rows,
    lines_in,
    lines_of,
)
from dbshuf.base.temporary import private_folder
from dbshuf.base.window import Window
from dbshuf.base.workers import Stopped, run_workers
from dbshuf.errors import RowUnfit, UsageError, VerifyFailed
from dbshuf.manifest.names import CARD_NAME, SUMS_NAME
from dbshuf.options import Options
from dbshuf.pipeline.scan import open_scan
from dbshuf.plan.make_plan import make_plan
from dbshuf.plan.plan import Plan
from dbshuf.query.relation import place_of
from dbshuf.sink import format_of, output_path
from dbshuf.sink.cut_points import SizeCut
from dbshuf.sink.formats.csv import value_texts
from dbshuf.sink.formats.record_batches import records_of
from dbshuf.sink.formats.row_text import ValueUnfit
from dbshuf.sink.single_file import row_text
from dbshuf.source.formats import DATABASES, kind_of_inputs, one_of
from dbshuf.source.inputs import STDIN, resolve_inputs
from dbshuf.store.opening import is_store
from dbshuf.units import MIB

BESIDE_ROWS = (SUMS_NAME, CARD_NAME)  # in a directory of shards, and no rows
# Hashed at a time, whatever is read at a time: rows, and of typed ones their text, or their values
# as another type. A row takes up to 100 bytes meanwhile: hashes, ids, places, and spare lanes.
_STEP_BYTES, _STEP_ROWS = 2 * MIB, 1 << 16
HASHING_BYTES = 100 * _STEP_ROWS + 2 * _STEP_BYTES + MIB
_LINES = pa.schema([("line", pa.binary())])

Rows = LineBatch | RowBatch
Take = Callable[[Hashes, U64], None]  # the hashes and the ids of some rows


@dataclass(frozen=True)
class Side:
    """Inputs or outputs.

    plan   how they are read
    hash_  some rows -> hashes and ids of them, or of the share of them that is looked at
    """

    name: str
    plan: Plan
    hash_: Callable[[Rows], tuple[Hashes, U64]]

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
        """Hash rows of any number; see `hash_`."""
        return _joined([self.hash_(piece) for piece in pieces(batch)])

    def place(self, row: int) -> str:
        """Name the place of a row by its id, for messages."""
        if row >> POSITION_BITS >= len(self.plan.inputs) or self.plan.shape.whole_query is not None:
            return f"row {row:,} of the result of --sql"
        return place_of(row, self.plan.inputs, self.unit)

    @property
    def unit(self) -> str:
        """What the position of a row counts: bytes of text or rows of a table."""
        return "byte" if self.plan.shape.is_text else "row"

    def place_json(self, row: int) -> dict[str, Any]:
        """Return the place of a row for programs."""
        if row >> POSITION_BITS >= len(self.plan.inputs) or self.plan.shape.whole_query is not None:
            return {"id": row}
        source = self.plan.inputs[row >> POSITION_BITS]
        return {"file": source.name, self.unit: row % POSITION_LIMIT}


def _folder(plan: Plan) -> Any:
    """Return what makes a folder for what --sql spills; nothing else needs one."""
    if plan.shape.whole_query is None:
        return contextlib.nullcontext(plan.temp_dir)
    return private_folder(plan.temp_dir)


def open_sides(options: Options, output: str, share: float | None) -> tuple[Side, Side]:
    """Return the inputs and the outputs of a shuffle, ready to be compared.

    options  of the shuffle, as far as rows depend on them; `format` may say what is in `output`
    share    of the rows to look at; None: all
    Raises   VerifyFailed if the rows cannot be the same; what planning a shuffle raises
    """
    exclude = BESIDE_ROWS if _is_many(output) else ()
    kind = _kind_of_output(output, exclude, options.format)
    options = from_store(options)
    wanted = replace(options, output=os.devnull, format=kind, strategy="partition")
    plan = make_plan(wanted, reads_only=True)
    is_text = kind in ("txt", "jsonl")
    written = make_plan(
        Options(
            inputs=(output,),
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
    _check_headers(plan, written)
    if is_text:
        return (
            Side("inputs", plan, partial(_as_lines, lines=_encoder(plan), share=share)),
            Side("outputs", written, partial(_as_lines, lines=_as_read, share=share)),
        )
    schema = written.schema
    assert schema is not None
    is_of_text = kind in ("csv", "tsv")
    _check_folders(plan, written)
    _check_columns(plan.schema, schema, has_types=not is_of_text)
    plain = value_texts if is_of_text else partial(_cast, schema=schema)
    form = partial(_as_columns, plain=plain, share=share)
    return Side("inputs", plan, form), Side("outputs", written, form)


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


def _kind_of_output(output: str, exclude: tuple[str, ...], asked: str | None) -> str:
    """Return what the outputs are: a format without its compression."""
    if output == STDIN:
        raise UsageError(
            "the output is standard input, and is read more than once",
            hint="the last name is the output: a file or a directory",
        )
    inputs = resolve_inputs((output,), (), exclude)
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


def _check_folders(plan: Plan, written: Plan) -> None:
    """Raise UsageError where columns of the rows are in the names of folders."""
    folders = [part for one in written.inputs for part in (one.below or "").split("/")]
    names = {name for name, equals, _ in (part.partition("=") for part in folders) if equals}
    ours, theirs = (set((one.schema or _LINES).names) for one in (plan, written))
    if names & ours - theirs:
        raise UsageError(
            f"the outputs have {', '.join(f'`{name}`' for name in sorted(names & ours))} in the"
            " names of their folders, and rows are compared by what is in files",
            hint="check the files: dbshuf verify OUTPUT; or pass the --select of what is in them",
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
        lambda kind: types.is_string(kind) or types.is_binary(kind) or _is_large(kind),
    )
    return any(is_one(one) and is_one(other) for is_one in groups) or types.is_null(one)


def _is_large(kind: Any) -> bool:
    return bool(pa.types.is_large_string(kind) or pa.types.is_large_binary(kind))


# --- from what is read to hashes -------------------------------------------------------


def pieces(batch: Rows) -> Iterator[Rows]:
    """Yield rows again, few enough that they are hashed in HASHING_BYTES, but at least one.

    A batch holds as many as its bytes are, and of short ones that is a million.
    """
    if isinstance(batch, LineBatch):
        for first in range(0, batch.rows, _STEP_ROWS):
            yield batch.slice(first, min(first + _STEP_ROWS, batch.rows))
        return
    for part in batch.cut(_STEP_BYTES):
        for first in range(0, len(part.ids), _STEP_ROWS):
            yield part.slice(first, min(first + _STEP_ROWS, len(part.ids)))


def _as_lines(
    batch: Rows, *, lines: Callable[[Any], Iterable[Lines]], share: float | None
) -> tuple[Hashes, U64]:
    """Hash rows as the lines that they are in text; see `Side.hash_`."""
    ids = ids_of_rows(batch)
    parts: list[tuple[Hashes, U64]] = []
    first = 0
    for found in lines(batch):
        last = first + len(found.begins)
        if share is None:
            parts.append((hash_lines(found), ids[first:last]))
        else:
            chosen = chosen_lines(found, share)
            parts.append((hash_lines(found.take(chosen)), ids[first:last][chosen]))
        first = last
    return _joined(parts)


def _joined(parts: list[tuple[Hashes, U64]]) -> tuple[Hashes, U64]:
    if len(parts) == 1:
        return parts[0]
    empty = np.zeros(0, np.uint64)
    high, low, ids = (
        (
            np.concatenate([empty, *lanes])
            for lanes in zip(*((h.high, h.low, i) for h, i in parts), strict=True)
        )
        if parts
        else (empty, empty, empty)
    )
    return Hashes(high, low), ids


def _as_read(batch: LineBatch) -> Iterator[Lines]:
    yield lines_of(batch)


def _encoder(plan: Plan) -> Callable[[Rows], Iterator[Lines]]:
    """Return what makes the lines of inputs as a plan would write them, text or JSON lines."""
    target = plan.target
    is_text = target.format == "txt"
    end = target.terminator if is_text else b"\n"
    encode, _ = row_text(target)
    records = records_of(target)

    def encoded(rows: pa.RecordBatch) -> Lines:
        try:
            return lines_in(encode(rows), end)
        except ValueUnfit as unfit:
            raise RowUnfit(
                unfit.message.format(name=rows.schema.names[0]),
                hint="a shuffle would fail on it too; so this output is of other rows",
            ) from unfit

    def lines(batch: Rows) -> Iterator[Lines]:
        if isinstance(batch, RowBatch):
            yield encoded(batch.batch)
        elif is_text:
            yield lines_of(batch)
        else:
            window = _window(batch, plan.seed)
            for _, first, last in SizeCut(_STEP_BYTES, _STEP_ROWS).runs(window.bounds):
                yield encoded(records.batch(window.slice(first, last)))

    return lines


def _as_columns(
    batch: Rows, *, plain: Callable[[pa.RecordBatch], list[pa.Array]], share: float | None
) -> tuple[Hashes, U64]:
    """Hash rows as the values that they are; see `Side.hash_`."""
    if isinstance(batch, LineBatch):  # of which readers see the one column `line`
        return _as_lines(batch, lines=_as_read, share=share)
    names = batch.batch.schema.names
    rows, ids = pa.RecordBatch.from_arrays(plain(batch.batch), names), batch.ids
    if share is not None:
        chosen = chosen_rows(rows, share)
        rows, ids = rows.take(arrow_numbers(chosen)), ids[chosen]
    return hash_rows(rows), ids


def _cast(rows: pa.RecordBatch, schema: pa.Schema) -> list[pa.Array]:
    """Return the columns with the types that the outputs have."""
    kinds = [schema.field(name).type for name in rows.schema.names]
    return [
        column if column.type.equals(kind) else column.cast(kind)
        for column, kind in zip(rows.columns, kinds, strict=True)
    ]


def ids_of_rows(batch: Rows) -> U64:
    """Return the ids of the rows that are kept, shape (rows,)."""
    if isinstance(batch, RowBatch):
        return batch.ids
    return batch.ids() if batch.kept is None else batch.ids()[batch.kept]


def _window(batch: LineBatch, seed: str) -> Window:
    lines = batch.lines()
    if batch.kept is not None:
        lines = lines.take(arrow_numbers(batch.kept))
    return Window.of_lines(lines, row_keys(ids_of_rows(batch), seed))
