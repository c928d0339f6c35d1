"""The public functions: the command line's work, for programs.

shuffle  rows into files          stream  the same rows as Arrow batches
query    the rows of one SELECT   ingest  rows into a store   export  out of it, as shuffle
verify   inputs against outputs   verify_files  outputs against their manifest
report   how well an output is shuffled, as a page
"""

import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Unpack, overload

import pyarrow as pa

from dbshuf.api_options import (
    ExportOptions,
    IngestOptions,
    QueryOptions,
    ReportOptions,
    ShuffleOptions,
    StreamOptions,
    VerifyOptions,
    check_known,
    options_of,
    progress_of,
    text_of,
    truth,
    whole_number,
)
from dbshuf.base.leftovers import remove_leftovers
from dbshuf.base.progress import NO_PROGRESS, Progress
from dbshuf.errors import MemoryTooSmall, UsageError, VerifyFailed
from dbshuf.options import Names, Options, check_numbers, check_path, name_of, names_of
from dbshuf.pipeline.ingest import IngestResult
from dbshuf.pipeline.ingest import ingest as add_to_store
from dbshuf.pipeline.query import answered, plan_answer
from dbshuf.pipeline.shuffle import Result, planned, planned_here, run
from dbshuf.pipeline.stream import (
    DEFAULT_BATCH_ROWS,
    Sharing,
    Stream,
    all_batches,
    closed_at_exit,
)
from dbshuf.pipeline.verify.files import FilesVerified
from dbshuf.pipeline.verify.files import verify_files as check_files
from dbshuf.pipeline.verify.outputs import verify_output
from dbshuf.pipeline.verify.result import RowsVerified
from dbshuf.plan.space import folders_written
from dbshuf.units import parse_share

if TYPE_CHECKING:
    from dbshuf.reporting.report import ReportResult

__all__ = ["export", "ingest", "query", "report", "shuffle", "stream", "verify", "verify_files"]

_SHARING = tuple(field.name for field in fields(Sharing))


def shuffle(
    inputs: Names = (),
    output: Names = (),
    *,
    memory: str | int | None = None,
    seed: str | int | None = None,
    strategy: str = "auto",
    threads: int | None = None,
    progress: Progress = NO_PROGRESS,
    **options: Unpack[ShuffleOptions],
) -> Result:
    """Shuffle the lines of `inputs` into `output`, as `dbshuf shuffle` does.

    inputs    files, globs, directories; one or several; none with `mix`, which names them
    output    a text file (.gz and .zst compress), a .parquet file, or a directory; with `paired`
              one for the inputs and one for each name there, or one with {name} in it
    memory    cap on the peak RSS of this process, bytes or "1GB"; default: half of
              what the machine or its cgroup has
    seed      any text or number (7 is "7"); default: one is drawn, see the result
    strategy  "auto", "memory", "spill" or "partition"; the bytes are the same
    threads   default: the cores that this process may use
    options   as on the command line, see ShuffleOptions; --from is input_format, and sql is
              the text of a SELECT, not a file
    Returns   rows, bytes, seed, strategy, seconds and peak RSS
    Raises    DbshufError; then the output is as it was before
    """
    check_known("shuffle", options, ShuffleOptions)
    chosen = options_of(
        inputs,
        {**options, "memory": memory, "seed": seed, "strategy": strategy, "threads": threads},
    )
    outputs = names_of(output)
    if not outputs:
        raise UsageError("no output is named", hint="name a file or a directory")
    return _shuffled(Options(**chosen, output=outputs[0], more_outputs=outputs[1:]), progress)


def export(
    store: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    memory: str | int | None = None,
    seed: str | int | None = None,
    strategy: str = "auto",
    threads: int | None = None,
    progress: Progress = NO_PROGRESS,
    **options: Unpack[ExportOptions],
) -> Result:
    """Shuffle the rows of a store into `output`, as `dbshuf export` does.

    store     a database that `ingest` made
    others, Returns and Raises  as for `shuffle`, and StoreInvalid; the bytes are those that
              `shuffle` of the store's inputs writes
    """
    check_known("export", options, ExportOptions)
    others = {**options, "memory": memory, "seed": seed, "strategy": strategy, "threads": threads}
    chosen = options_of((), others) | {"store": _path_of("the store", store)}
    return _shuffled(Options(**chosen, output=name_of(output)), progress)


def ingest(
    store: str | os.PathLike[str],
    inputs: Names,
    *,
    memory: str | int | None = None,
    threads: int | None = None,
    pack: bool = False,
    engine: str | None = None,
    progress: Progress = NO_PROGRESS,
    **options: Unpack[IngestOptions],
) -> IngestResult:
    """Add inputs to a store, as `dbshuf ingest` does; it is made if it does not exist.

    inputs    files, globs, directories; one or several. The store itself is left out
    memory    cap on the peak RSS of this process, bytes or "1GB"; default: half of what
              the machine or its cgroup has
    threads   that pack rows; default: the cores that this process may use
    pack      whether the text of lines is packed: less than half of the size, for twice the CPU
              time. What has columns is packed always
    engine    "duckdb" or "sqlite": of a new store; default: SQLite if its name ends in .sqlite,
              .sqlite3 or .db, else DuckDB
    options   as on the command line, see IngestOptions; they must be those that the store was
              made with. DuckDB may spill in temp_dir; default: beside the store. With
              schema="union" a new store takes the columns of all inputs; into one that is there
              go inputs whose columns it holds, null where one is missing
    Returns   what became of each input
    Raises    DbshufError; then the inputs before the one that it names are in the store,
              whole, and of that one and those behind it nothing
    """
    check_known("ingest", options, IngestOptions)
    chosen = options_of(inputs, {**options, "memory": memory, "threads": threads})
    asked = Options(**chosen, store=name_of(store))
    kind = None if engine is None else text_of("--engine", engine)
    told = progress_of(progress)
    return add_to_store(asked, pack=truth("pack", pack), engine=kind, progress=told)


def query(
    inputs: Names,
    sql: str,
    *,
    memory: str | int | None = None,
    seed: str | int | None = None,
    threads: int | None = None,
    **options: Unpack[QueryOptions],
) -> pa.RecordBatchReader:
    """Return the rows of one SELECT over `lines`, the rows of `inputs`, as they come.

    sql       the text of the SELECT
    seed      of shuffle_key(id) in it
    others    as for `shuffle`; options as on the command line, see QueryOptions
    Returns   a reader; work begins with the first batch, and closing the reader or dropping it
              early ends it and removes all temporary data
    Raises    DbshufError, here or while it is read
    """
    check_known("query", options, QueryOptions)
    chosen = options_of(inputs, {**options, "memory": memory, "seed": seed, "threads": threads})
    remove_leftovers(folders_written(None, chosen.get("temp_dir")))
    plan = plan_answer(
        Options(**chosen, output=os.devnull, format="arrow"), text_of("the SELECT", sql)
    )
    assert plan.schema is not None
    rows = answered(plan, NO_PROGRESS)
    closed_at_exit(rows)
    return pa.RecordBatchReader.from_batches(plan.schema, rows)


def report(
    output: str | os.PathLike[str],
    page: str | os.PathLike[str],
    *,
    inputs: Names = (),
    sample_rows: int = 100_000,
    manifest: str | os.PathLike[str] | None = None,
    memory: str | int | None = None,
    seed: str | int | None = None,
    progress: Progress = NO_PROGRESS,
    **options: Unpack[ReportOptions],
) -> "ReportResult":
    """Show how well `output` is shuffled, as one HTML page, as `dbshuf report` does.

    output    what was shuffled: a file, or a directory of shards
    page      the file to write
    inputs    what it was shuffled from; none: those of the manifest, if it has one and they are
              as it says; otherwise the page tells nothing of the order
    sample_rows  of the output that are looked for in the inputs, about
    manifest  of the run that wrote the output; default: the one in its directory, if any
    seed      of shuffle_key(id) in `where` and `select`
    options   of the run that wrote the output, see ReportOptions
    Returns   p-values by the name of what was tested, and what was read
    Raises    DbshufError, ExtraMissing where the extra `report` is not installed
    """
    check_known("report", options, ReportOptions)
    from dbshuf.reporting.report import ReportOptions as Asked
    from dbshuf.reporting.report import make_report

    chosen = Options(**options_of(inputs, {**options, "memory": memory, "seed": seed}))
    check_path("the page", name_of(page))
    remove_leftovers(folders_written(name_of(page), chosen.temp_dir))
    known = _path_of("--manifest", manifest)
    most_rows = whole_number("--sample-rows", sample_rows)
    asked = Asked(name_of(output), chosen, name_of(page), most_rows, known)
    return make_report(asked, progress_of(progress))


if TYPE_CHECKING:  # typing would keep these, and all that they reach, beyond DuckDB's own end

    @overload
    def stream(
        inputs: Names = (),
        *,
        memory: str | int | None = None,
        seed: str | int | None = None,
        strategy: str = "auto",
        threads: int | None = None,
        **options: Unpack[StreamOptions],
    ) -> pa.RecordBatchReader: ...

    @overload
    def stream(
        inputs: Names = (),
        *,
        rank: int = 0,
        world_size: int = 1,
        epoch: int = 0,
        batch_rows: int = DEFAULT_BATCH_ROWS,
        drop_last: bool = False,
        memory: str | int | None = None,
        seed: str | int | None = None,
        strategy: str = "auto",
        threads: int | None = None,
        **options: Unpack[StreamOptions],
    ) -> Stream: ...


def stream(inputs: Names = (), **options: Any) -> "pa.RecordBatchReader | Stream":
    """Return the shuffled lines of `inputs` as Arrow batches, for a training loop.

    inputs, memory, seed, strategy, threads   as for `shuffle`
    options   see StreamOptions
    Returns   a reader of the rows; of lines one column `line`: string without its
              terminator, or binary with binary=True; work begins with the first batch, and
              closing the reader or dropping it early ends it and removes all temporary data
    Raises    DbshufError, here or while it is read

    With any of these it is a `Stream` instead, an iterator of the same batches that has
    `state_dict` and `load_state_dict`, for one of several processes:

    batch_rows        rows of a batch; the last one of all may have less
    rank, world_size  batch i goes to rank i % world_size, so that all ranks together give each
                      row once; they need the same seed, and each orders all the rows
    epoch             from 0; its order is that of the seed "SEED/epoch-EPOCH", of 0 that of SEED
    drop_last         leave out the last rows, so that every rank gets as many full batches
    """
    sharing = {name: options.pop(name) for name in _SHARING if name in options}
    check_known("stream", options, StreamOptions, "memory", "seed", "strategy", "threads")
    chosen = options_of(inputs, options)
    # Its rows go to no file: the null device is the output that is always there and needs
    # no room, where a process may well have closed its standard output.
    form = "txt" if chosen.get("header") else "arrow"  # which takes columns of any type
    remove_leftovers(folders_written(None, chosen.get("temp_dir")))
    asked = Options(**chosen, output=os.devnull, format=form)
    try:
        if sharing:
            return Stream(asked, _sharing_of(sharing))
        return pa.RecordBatchReader.from_batches(*all_batches(planned_here(asked)))
    except MemoryTooSmall as error:
        hint = error.hint and error.hint.replace("--memory ", "memory=")
        raise MemoryTooSmall(error.message.replace("--memory ", "memory "), hint=hint) from error


def _sharing_of(given: dict[str, Any]) -> Sharing:
    """Return a program's part of the rows. Raises UsageError for values of another kind."""
    drop_last = truth("drop_last", given.pop("drop_last", False))
    numbers: dict[str, Any] = {name: whole_number(name, value) for name, value in given.items()}
    return Sharing(**numbers, drop_last=drop_last)


def verify(
    inputs: Names,
    output: str | os.PathLike[str],
    *,
    memory: str | int | None = None,
    seed: str | int | None = None,
    order: bool | None = None,
    manifest: str | os.PathLike[str] | None = None,
    sample: str | float | None = None,
    show_rows: bool = False,
    threads: int | None = None,
    progress: Progress = NO_PROGRESS,
    **options: Unpack[VerifyOptions],
) -> RowsVerified:
    """Check that `output` holds the rows of `inputs` and no others, as `dbshuf verify` does.

    inputs     and options: as they were given to `shuffle`, as far as rows depend on them
    output     a file, a directory of shards or a glob; `format` where its name does not tell;
               where rows went (split, partition_by, epochs) is in the manifest, if there is one
    seed       if it is given, the order is checked too, unless order=False
    order      True without a seed: the seed is that of the manifest, which lies in `output`
               unless `manifest` names another one
    sample     share of the rows to look at: 0.05 or "5%"; default: all. What `shuffle` was given
               as its sample is `sampled` here, if no manifest says it
    show_rows  whether the content of rows that differ is part of the result
    Returns    what was compared
    Raises     VerifyFailed where something differs, with what was found as its `result`;
               DbshufError where something cannot be read
    """
    check_known("verify", options, VerifyOptions)
    others = {**options, "memory": memory, "seed": seed, "threads": threads}
    others["sample"] = others.pop("sampled", None)
    found = verify_output(
        Options(**options_of(inputs, others)),
        name_of(output),
        progress_of(progress),
        manifest=_path_of("--manifest", manifest),
        order=None if order is None else truth("order", order),
        sample=None if sample is None else parse_share(sample, "--sample"),
        show_rows=truth("show_rows", show_rows),
    )
    if not found.is_same:
        raise VerifyFailed(found.verdict, details=found.details, hint=found.hint, result=found)
    return found


def verify_files(
    output: str | os.PathLike[str] | None = None,
    *,
    manifest: str | os.PathLike[str] | None = None,
    sample: str | float | None = None,
    memory: str | int | None = None,
    threads: int | None = None,
    progress: Progress = NO_PROGRESS,
) -> FilesVerified:
    """Check that the files of an output are those of its manifest, as `dbshuf verify OUT` does.

    output    a directory of shards, or the file that `manifest` is of; default: what is beside it
    manifest  default: _manifest.json in the directory, or the list SHA256SUMS; of epochs, each
              folder has its own
    sample    share of the files to read, drawn at random; sizes are looked at of all
    memory    cap on the peak RSS; of objects in stores, fewer are read at once then
    Returns   what was checked
    Raises    VerifyFailed where something differs, with what was found as its `result`;
              ManifestInvalid where the manifest is not what it was
    """
    if output is None and manifest is None:
        raise UsageError("no output is named, and no manifest", hint="name a directory of shards")
    chosen = Options(**options_of((), {"threads": threads, "memory": memory}))
    check_numbers(chosen)
    found = check_files(
        _path_of("the output", output),
        progress_of(progress),
        manifest=_path_of("--manifest", manifest),
        sample=None if sample is None else parse_share(sample, "--sample"),
        threads=chosen.threads,
        memory=chosen.memory,
    )
    if not found.is_same:
        raise VerifyFailed(found.verdict, details=found.details, hint=found.hint, result=found)
    return found


def _path_of(option: str, given: str | os.PathLike[str] | None) -> str | None:
    if given is None:
        return None
    path = name_of(given)
    check_path(option, path)
    return path


def _shuffled(options: Options, progress: Progress) -> Result:
    """Do what the options say, where what killed runs left there is gone."""
    progress = progress_of(progress)
    more = options.more_outputs
    for one in (options.output, *more):
        check_path("--output", one)
    remove_leftovers(folders_written(options.output, options.temp_dir, options.manifest, more))
    return run(planned(options, progress), progress)
