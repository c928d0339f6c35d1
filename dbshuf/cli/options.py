"""Every option of the command line, declared once.

A group is a class, an option a field of it: its type, its names and help, its default.
The arguments of a command are a class made of groups, and its help lists the options as
the groups stand there. A field has the name that the library has for it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, dataclass_transform

import typer

from dbshuf.cli.progress import Mode
from dbshuf.errors import UsageError

if TYPE_CHECKING:
    pass

T = TypeVar("T")

INPUTS_HELP = (
    "INPUTS are files, directories, quoted globs, or - for standard input, which is also read"
    " when none is named. gzip, zstd, bzip2, xz and lz4 are recognised by content."
)


def _count(option: str) -> Callable[[str | int], int]:
    """Return a parser of whole numbers whose errors name `option`."""

    def parse(given: str | int) -> int:
        text = str(given)
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise UsageError(f"{option} `{text}` is no whole number", hint=f"as in {option} 4")
        return int(text)

    return parse


def _formats() -> Iterable[str]:
    from dbshuf.sink.output_format import FORMATS

    return FORMATS


def _answer_formats() -> Iterable[str]:
    return [*_formats(), "json"]


def _compressions() -> Iterable[str]:
    from dbshuf.sink.output_format import compressions

    return compressions()


def _strategies() -> Iterable[str]:
    from dbshuf.options import STRATEGIES

    return STRATEGIES


def _schemas() -> Iterable[str]:
    from dbshuf.options import SAME, UNION

    return (SAME, UNION)


def _kinds() -> Iterable[str]:
    from dbshuf.source.formats import NAMES

    return NAMES


def _completed(values: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return what a shell asks for the `values` that begin with what is typed."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values() if value.startswith(incomplete)]

    return complete


def _value(
    names: str,
    metavar: str,
    text: str,
    default: str = "",
    values: Callable[[], Iterable[str]] | None = None,
) -> Any:
    """Return an option that takes a value, which is a whole number if it is called N.

    values  what a shell may complete; asked for only then
    """
    return typer.Option(
        *names.split(),
        metavar=metavar,
        help=text,
        show_default=default or False,
        parser=_count(names) if metavar == "N" else None,
        autocompletion=None if values is None else _completed(values),
    )


def _flag(names: str, text: str) -> Any:
    return typer.Option(*names.split(), help=text)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def group(options: type[T]) -> type[T]:
    """Make a dataclass that is only read: to compare and to print them costs 8 ms at each start."""
    return dataclass(frozen=True, kw_only=True, eq=False, repr=False)(options)


# --- the groups ------------------------------------------------------------------------


@group
class Inputs:
    """What is read."""

    inputs: Annotated[list[str] | None, typer.Argument(metavar="INPUTS", hidden=True)] = None


@group
class Chosen:
    """Which files of directories and globs are read."""

    include: Annotated[
        list[str] | None,
        _value("--include", "GLOB", "Take these files alone of directories and globs."),
    ] = None
    exclude: Annotated[
        list[str] | None,
        _value("--exclude", "GLOB", "Leave these files or folders out of directories and globs."),
    ] = None


@group
class Output:
    """Where the lines go."""

    output: Annotated[
        str | None,
        _value(
            "-o --output",
            "PATH",
            "Write a text file (.gz and .zst compress), a .parquet file, or a directory of shards.",
            "standard output",
        ),
    ] = None


@group
class Limits:
    """What the work may take."""

    memory: Annotated[
        str | None,
        _value(
            "--memory",
            "SIZE",
            "Keep the peak memory of the process under SIZE: 800MB, 1.5GB, 2GiB.",
            "half of what there is",
        ),
    ] = None
    threads: Annotated[
        int | None,
        _value("--threads", "N", "Work on N threads.", "the cores this process may use"),
    ] = None


@group
class Ordering:
    """Which order, and how it is made."""

    seed: Annotated[
        str | None,
        _value("--seed", "TEXT", "Take the one order that belongs to TEXT.", "drawn and printed"),
    ] = None
    strategy: Annotated[
        str,
        _value(
            "--strategy",
            "NAME",
            "Order by NAME: auto, memory, spill or partition; all give the same output.",
            "auto",
            _strategies,
        ),
    ] = "auto"


@group
class Lines:
    """How the inputs are cut into lines."""

    zero_terminated: Annotated[
        bool, _flag("-z --zero-terminated", "End lines with NUL, not newline.")
    ] = False
    header: Annotated[
        int,
        _value("--header", "N", "Keep the first N lines, equal in all inputs, at the head.", "0"),
    ] = 0


@group
class Rows:
    """What the rows of the inputs are, where they are not lines."""

    input_format: Annotated[
        str | None,
        _value(
            "--from",
            "NAME",
            "Take the inputs as lines, json (lines), csv, tsv, parquet, arrow, duckdb or sqlite.",
            "by content; text is lines",
            _kinds,
        ),
    ] = None
    table: Annotated[
        str | None,
        _value("--table", "NAME", "Read the table, view or SELECT of that NAME from a database."),
    ] = None
    schema: Annotated[
        str,
        _value(
            "--schema",
            "NAME",
            "Take inputs of the same columns, or the union: missing is null, numbers widen.",
            "same",
            values=_schemas,
        ),
    ] = "same"
    hive: Annotated[
        bool | None,
        _flag(
            "--hive/--no-hive",
            "Make columns of folders such as lang=en; by itself if all files lie in such ones.",
        ),
    ] = None


@group
class Sql:
    """What SQL does to the rows before they are shuffled."""

    where: Annotated[
        str | None, _value("--where", "EXPR", "Keep the rows for which the SQL EXPR is true.")
    ] = None
    select: Annotated[
        str | None, _value("--select", "LIST", "Write these SQL expressions instead of the rows.")
    ] = None
    sql: Annotated[
        str | None,
        _value("--sql", "FILE", "Shuffle the result of the SELECT over `lines` in FILE (or -)."),
    ] = None


@group
class Fence:
    """What SQL over all rows may reach beside them."""

    allow_files: Annotated[
        list[str] | None,
        _value("--allow-files", "PATH", "Let the SELECT read this file or directory."),
    ] = None


@group
class Splits:
    """Several outputs at once."""

    split: Annotated[
        str | None,
        _value("--split", "SHARES", "Split the rows, as in train=0.98,valid=0.01,test=0.01."),
    ] = None
    split_seed: Annotated[
        str | None,
        _value(
            "--split-seed", "TEXT", "Decide by TEXT which split a row is in.", "always the same"
        ),
    ] = None
    split_by: Annotated[
        str | None,
        _value("--split-by", "EXPR", "Keep rows with one value of the SQL EXPR in one split."),
    ] = None


@group
class Files:
    """What the written files are like."""

    binary: Annotated[
        bool, _flag("--binary", "Make the Parquet column BLOB, to hold any bytes.")
    ] = False
    format: Annotated[
        str | None,
        _value(
            "--format",
            "NAME",
            "Write txt, csv, tsv, jsonl (each also .gz, .zst), parquet or arrow.",
            "by the output's name",
            _formats,
        ),
    ] = None
    compression: Annotated[
        str | None,
        _value(
            "--compression",
            "NAME",
            "Compress with NAME, a level after a colon: zstd:9.",
            values=_compressions,
        ),
    ] = None
    row_group_bytes: Annotated[
        str | None,
        _value("--row-group-bytes", "SIZE", "Put SIZE of rows into a Parquet row group.", "16MiB"),
    ] = None
    shards: Annotated[
        int | None,
        _value("--shards", "N", "Cut the output into N files by equal ranges of the key."),
    ] = None
    shard_bytes: Annotated[
        str | None, _value("--shard-bytes", "SIZE", "Cut the output into files of about SIZE.")
    ] = None
    shard_rows: Annotated[
        int | None, _value("--shard-rows", "N", "Cut the output into files of N lines.")
    ] = None


@group
class Temp:
    """Where temporary data go."""

    temp_dir: Annotated[
        str | None,
        _value(
            "--temp-dir",
            "DIR",
            "Spill into a private directory inside DIR.",
            "the output's directory, else $TMPDIR",
        ),
    ] = None


@group
class Replacing:
    """What may be replaced on disk."""

    force: Annotated[
        bool, _flag("--force", "Replace the shards in a directory that is not empty.")
    ] = False


@group
class Report:
    """What is told on standard error; the library does not know of it."""

    progress: Annotated[
        Mode,
        _value(
            "--progress",
            "WHEN",
            "Report progress on standard error: auto (on a terminal), always, never or json.",
            "auto",
        ),
    ] = Mode.auto
    quiet: Annotated[bool, _flag("-q --quiet", "Print nothing but errors.")] = False


@group
class Printing:
    """How a command prints what it was asked for; the library does not know of it."""

    as_json: Annotated[bool, _flag("--json", "Print the plan as JSON.")] = False


# --- what the commands take ------------------------------------------------------------


@group
class AfterInputs(Output, Limits, Ordering, Sql, Fence, Files, Splits, Temp, Replacing, Report):
    """What every command that shuffles takes beside its inputs."""


@group
class ShuffleArguments(Inputs, Chosen, Lines, Rows, AfterInputs):
    """What `dbshuf shuffle` takes."""


@group
class PlanArguments(ShuffleArguments, Printing):
    """What `dbshuf plan` takes: all of shuffle, so that a command line can be tried first."""


@group
class Answers:
    """What the result of a query is written as."""

    seed: Annotated[
        str | None,
        _value("--seed", "TEXT", "Let shuffle_key(id) be of TEXT.", "shuffle_key(TEXT, id) alone"),
    ] = None

    binary: Annotated[
        bool, _flag("--binary", "Show bytes of `line` that are no UTF-8 as U+FFFD; no error.")
    ] = False
    format: Annotated[
        str | None,
        _value(
            "--format",
            "NAME",
            "Write csv, json (lines), parquet or arrow.",
            "by the output's name; a table on a terminal, else csv",
            _answer_formats,
        ),
    ] = None
    compression: Annotated[
        str | None,
        _value(
            "--compression",
            "NAME",
            "Compress with NAME, a level after a colon: zstd:9.",
            values=_compressions,
        ),
    ] = None


@group
class Store:
    """A database that keeps rows to come back to."""

    store: Annotated[str, typer.Argument(metavar="STORE", hidden=True)]


@group
class Stored:
    """What a new store holds; inputs that are added later are taken alike."""

    binary: Annotated[
        bool, _flag("--binary", "Make the column `line` BLOB, to hold any bytes.")
    ] = False


@group
class IngestArguments(Store, Inputs, Chosen, Lines, Rows, Stored, Limits, Temp, Report):
    """What `dbshuf ingest` takes."""


@group
class ExportArguments(Store, AfterInputs):
    """What `dbshuf export` takes: all of shuffle after the inputs."""


@group
class QueryArguments(Inputs, Chosen, Output, Limits, Lines, Rows, Fence, Answers, Temp, Report):
    """What `dbshuf query` takes; the last of its inputs is the SELECT."""
