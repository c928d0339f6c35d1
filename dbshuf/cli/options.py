"""Every option of the command line, declared once.

A group is a class, an option a field of it: its type, its names and help, its default.
The arguments of a command are a class made of groups, and its help lists the options as
the groups stand there. A field has the name that the library has for it.
"""

from typing import Annotated

import typer

from dbshuf.cli.option_types import (
    answer_formats,
    compressions,
    engines,
    flag,
    formats,
    group,
    kinds,
    schemas,
    store_engines,
    strategies,
    value,
)
from dbshuf.cli.progress import Mode

INPUTS_HELP = (
    "INPUTS are files, directories, quoted globs, or - for standard input, which is also read"
    " when none is named. gzip, zstd, bzip2, xz and lz4 are recognised by content."
)


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
        value("--include", "GLOB", "Take these files alone of directories and globs."),
    ] = None
    exclude: Annotated[
        list[str] | None,
        value("--exclude", "GLOB", "Leave these files or folders out of directories and globs."),
    ] = None


@group
class Output:
    """Where the lines go."""

    output: Annotated[
        str | None,
        value(
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
        value(
            "--memory",
            "SIZE",
            "Keep the peak memory of the process under SIZE: 800MB, 1.5GB, 2GiB.",
            "half of what there is",
        ),
    ] = None
    threads: Annotated[
        int | None,
        value("--threads", "N", "Work on N threads.", "the cores this process may use"),
    ] = None


@group
class Ordering:
    """Which order, and how it is made."""

    seed: Annotated[
        str | None,
        value("--seed", "TEXT", "Take the one order that belongs to TEXT.", "drawn and printed"),
    ] = None
    strategy: Annotated[
        str,
        value(
            "--strategy",
            "NAME",
            "Order by NAME: auto, memory, spill (or duckdb) or partition; the output is the same.",
            "auto",
            strategies,
        ),
    ] = "auto"
    engine: Annotated[
        str,
        value(
            "--engine",
            "NAME",
            "Let NAME order the rows: duckdb, sqlite or spark; the output is the same.",
            "duckdb",
            engines,
        ),
    ] = "duckdb"
    spark_master: Annotated[
        str | None,
        value(
            "--spark-master",
            "URL",
            "Have the Spark cluster at URL order the rows: spark://HOST:7077, local[4].",
            "local, as many cores as --threads",
        ),
    ] = None
    spark_conf: Annotated[
        list[str] | None,
        value("--spark-conf", "KEY=VALUE", "Set a property of Spark; may be repeated."),
    ] = None


@group
class Lines:
    """How the inputs are cut into lines."""

    zero_terminated: Annotated[
        bool, flag("-z --zero-terminated", "End lines with NUL, not newline.")
    ] = False
    header: Annotated[
        int,
        value("--header", "N", "Keep the first N lines, equal in all inputs, at the head.", "0"),
    ] = 0


@group
class Rows:
    """What the rows of the inputs are, where they are not lines."""

    input_format: Annotated[
        str | None,
        value(
            "--from",
            "NAME",
            "Take the inputs as lines, json (lines), csv, tsv, parquet, arrow, duckdb or sqlite.",
            "by content; text is lines",
            kinds,
        ),
    ] = None
    table: Annotated[
        str | None,
        value("--table", "NAME", "Read the table, view or SELECT of that NAME from a database."),
    ] = None
    schema: Annotated[
        str,
        value(
            "--schema",
            "NAME",
            "Take inputs of the same columns, or the union: missing is null, numbers widen.",
            "same",
            values=schemas,
        ),
    ] = "same"
    hive: Annotated[
        bool | None,
        flag(
            "--hive/--no-hive",
            "Make columns of folders such as lang=en; by itself if all files lie in such ones.",
        ),
    ] = None


@group
class Filters:
    """What SQL does to each row by itself."""

    where: Annotated[
        str | None, value("--where", "EXPR", "Keep the rows for which the SQL EXPR is true.")
    ] = None
    select: Annotated[
        str | None, value("--select", "LIST", "Write these SQL expressions instead of the rows.")
    ] = None


@group
class Sql(Filters):
    """What SQL does to the rows before they are shuffled."""

    sql: Annotated[
        str | None,
        value("--sql", "FILE", "Shuffle the result of the SELECT over `lines` in FILE (or -)."),
    ] = None


@group
class Fence:
    """What SQL over all rows may reach beside them."""

    allow_files: Annotated[
        list[str] | None,
        value("--allow-files", "PATH", "Let the SELECT read this file or directory."),
    ] = None


@group
class Samples:
    """Which rows of the order are written, and how often."""

    take: Annotated[
        int | None, value("--take", "N", "Write the first N rows of the order alone.")
    ] = None
    skip: Annotated[int, value("--skip", "N", "Leave out the first N rows of the order.", "0")] = 0
    sample: Annotated[
        str | None,
        value("--sample", "SHARE", "Keep each row with this chance, by its key: 1% or 0.01."),
    ] = None
    with_replacement: Annotated[
        int | None,
        value("--with-replacement", "N", "Draw N times from all rows, so that they may repeat."),
    ] = None
    per: Annotated[
        str | None, value("--per", "EXPR", "Take N rows of each value of the SQL EXPR.")
    ] = None
    stratify: Annotated[
        str | None,
        value("--stratify", "EXPR", "Give --sample or --split the same share of each value."),
    ] = None
    number: Annotated[
        str | None,
        value("--number", "NAME", "Add a column NAME: the row's place in the new order, from 0."),
    ] = None


@group
class Splits:
    """Several outputs at once."""

    split: Annotated[
        str | None,
        value("--split", "SHARES", "Split the rows, as in train=0.98,valid=0.01,test=0.01."),
    ] = None
    split_seed: Annotated[
        str | None,
        value("--split-seed", "TEXT", "Decide by TEXT which split a row is in.", "always the same"),
    ] = None
    split_by: Annotated[
        str | None,
        value("--split-by", "EXPR", "Keep rows with one value of the SQL EXPR in one split."),
    ] = None


@group
class Files:
    """What the written files are like."""

    binary: Annotated[
        bool, flag("--binary", "Make the Parquet column BLOB, to hold any bytes.")
    ] = False
    format: Annotated[
        str | None,
        value(
            "--format",
            "NAME",
            "Write txt, csv, tsv, jsonl (each also .gz, .zst), parquet or arrow.",
            "by the output's name",
            formats,
        ),
    ] = None
    compression: Annotated[
        str | None,
        value(
            "--compression",
            "NAME",
            "Compress with NAME, a level after a colon: zstd:9.",
            values=compressions,
        ),
    ] = None
    row_group_bytes: Annotated[
        str | None,
        value(
            "--row-group-bytes",
            "SIZE",
            "Put SIZE of rows into a Parquet row group.",
            "16MiB; up to 128MiB if memory allows",
        ),
    ] = None
    bloom: Annotated[
        list[str] | None,
        value(
            "--bloom",
            "COLUMN",
            "Put Bloom filters of COLUMN into Parquet, for = and IN; may be repeated.",
        ),
    ] = None
    cdc: Annotated[
        bool,
        flag("--cdc", "Cut Parquet pages by content: stores that keep equal parts once save room."),
    ] = False
    shards: Annotated[
        int | None,
        value("--shards", "N", "Cut the output into N files by equal ranges of the key."),
    ] = None
    shard_bytes: Annotated[
        str | None, value("--shard-bytes", "SIZE", "Cut the output into files of about SIZE.")
    ] = None
    shard_rows: Annotated[
        int | None, value("--shard-rows", "N", "Cut the output into files of N lines.")
    ] = None


@group
class Temp:
    """Where temporary data go."""

    temp_dir: Annotated[
        str | None,
        value(
            "--temp-dir",
            "DIR",
            "Spill into a private directory inside DIR.",
            "the output's directory, else $TMPDIR",
        ),
    ] = None


@group
class Kept:
    """Where a run is kept that may be interrupted."""

    work_dir: Annotated[
        str | None,
        value(
            "--work-dir",
            "DIR",
            "Keep the run in DIR: once interrupted, the same command goes on from there.",
        ),
    ] = None


@group
class Replacing:
    """What may be replaced on disk."""

    force: Annotated[
        bool, flag("--force", "Replace the shards in a directory that is not empty.")
    ] = False


@group
class Written:
    """What is written about the output."""

    manifest: Annotated[
        str | None,
        value(
            "--manifest",
            "FILE",
            "Write what was read and written, with checksums, to FILE.",
            "in a directory of shards `_manifest.json`",
        ),
    ] = None
    card: Annotated[
        bool,
        flag("--card", "Describe Parquet shards in README.md, as Hugging Face datasets reads it."),
    ] = False


@group
class Report:
    """What is told on standard error; the library does not know of it."""

    progress: Annotated[
        Mode,
        value(
            "--progress",
            "WHEN",
            "Report progress on standard error: auto (on a terminal), always, never or json.",
            "auto",
        ),
    ] = Mode.auto
    quiet: Annotated[bool, flag("-q --quiet", "Print nothing but errors.")] = False


@group
class Printing:
    """How a command prints what it was asked for; the library does not know of it."""

    as_json: Annotated[bool, flag("--json", "Print the plan as JSON.")] = False


# --- what the commands take ------------------------------------------------------------


@group
class AfterInputs(
    Output,
    Limits,
    Ordering,
    Sql,
    Fence,
    Files,
    Samples,
    Splits,
    Temp,
    Kept,
    Written,
    Replacing,
    Report,
):
    """What every command that shuffles takes beside its inputs."""


@group
class ShuffleArguments(Inputs, Chosen, Lines, Rows, AfterInputs):
    """What `dbshuf shuffle` takes."""


@group
class PlanArguments(ShuffleArguments, Printing):
    """What `dbshuf plan` takes: all of shuffle, so that a command line can be tried first."""


@group
class Seed:
    """Which order SQL may ask for."""

    seed: Annotated[
        str | None,
        value("--seed", "TEXT", "Let shuffle_key(id) be of TEXT.", "shuffle_key(TEXT, id) alone"),
    ] = None


@group
class Answers(Seed):
    """What the result of a query is written as."""

    binary: Annotated[
        bool, flag("--binary", "Show bytes of `line` that are no UTF-8 as U+FFFD; no error.")
    ] = False
    format: Annotated[
        str | None,
        value(
            "--format",
            "NAME",
            "Write csv, json (lines), parquet or arrow.",
            "by the output's name; a table on a terminal, else csv",
            answer_formats,
        ),
    ] = None
    compression: Annotated[
        str | None,
        value(
            "--compression",
            "NAME",
            "Compress with NAME, a level after a colon: zstd:9.",
            values=compressions,
        ),
    ] = None


@group
class Store:
    """A database that keeps rows to come back to."""

    store: Annotated[str, typer.Argument(metavar="STORE", hidden=True)]


@group
class Stored:
    """What a new store holds; inputs that are added later are taken alike."""

    binary: Annotated[bool, flag("--binary", "Make the column `line` BLOB, to hold any bytes.")] = (
        False
    )
    pack: Annotated[
        bool,
        flag("--pack", "Pack the text of lines: half the size, for twice the CPU time."),
    ] = False
    engine: Annotated[
        str | None,
        value(
            "--engine",
            "NAME",
            "Make a database of NAME: duckdb or sqlite.",
            "by its name; .sqlite, .sqlite3 and .db are sqlite",
            store_engines,
        ),
    ] = None


@group
class IngestArguments(Store, Inputs, Chosen, Lines, Rows, Stored, Limits, Temp, Report):
    """What `dbshuf ingest` takes."""


@group
class ExportArguments(Store, AfterInputs):
    """What `dbshuf export` takes: all of shuffle after the inputs."""


@group
class QueryArguments(Inputs, Chosen, Output, Limits, Lines, Rows, Fence, Answers, Temp, Report):
    """What `dbshuf query` takes; the last of its inputs is the SELECT."""


@group
class Shuffled:
    """What a shuffle wrote, where that has to be said."""

    format: Annotated[
        str | None,
        value(
            "--format",
            "NAME",
            "Take the output as txt, csv, tsv, jsonl, parquet or arrow.",
            "by its content and its name",
            formats,
        ),
    ] = None
    binary: Annotated[
        bool, flag("--binary", "Take the inputs as shuffle did with --binary: any bytes.")
    ] = False


@group
class Sampling:
    """What a report looks at, and where it goes."""

    page: Annotated[
        str | None, value("-o --output", "PATH", "Write the page to PATH.", "standard output")
    ] = None
    sample_rows: Annotated[
        int,
        value("--sample-rows", "N", "Look for about N rows of the output in the inputs.", "100000"),
    ] = 100_000
    manifest: Annotated[
        str | None,
        value(
            "--manifest",
            "FILE",
            "Show the run of this manifest; its inputs are read if none is named.",
            "_manifest.json in the directory",
        ),
    ] = None


@group
class ReportArguments(
    Inputs, Sampling, Chosen, Lines, Rows, Filters, Shuffled, Seed, Limits, Temp, Report
):
    """What `dbshuf report` takes; the last of its inputs is the output that was shuffled."""


@group
class CleanArguments:
    """What `dbshuf clean` takes."""

    folders: Annotated[list[str], typer.Argument(metavar="DIRS", hidden=True)]
    dry_run: Annotated[bool, flag("--dry-run", "List alone, and remove nothing.")] = False
    quiet: Annotated[bool, flag("-q --quiet", "Print nothing but what was found.")] = False


@group
class Checks:
    """What is held against what."""

    manifest: Annotated[
        str | None,
        value(
            "--manifest",
            "FILE",
            "Check the files that this manifest names.",
            "_manifest.json or SHA256SUMS in the directory",
        ),
    ] = None
    seed: Annotated[
        str | None,
        value("--seed", "TEXT", "Check that the order is the one of TEXT.", "any order will do"),
    ] = None
    order: Annotated[
        bool | None,
        flag("--order/--no-order", "Check the order too, by --seed or the seed in the manifest."),
    ] = None
    sample: Annotated[
        str | None,
        value("--sample", "SHARE", "Look at a part of the rows, or of the files: 5%.", "all"),
    ] = None
    show_rows: Annotated[
        bool, flag("--show-rows", "Show the rows that differ, not only where they are.")
    ] = False
    as_json: Annotated[bool, flag("--json", "Print what was found as JSON.")] = False


@group
class VerifyArguments(
    Inputs, Chosen, Lines, Rows, Sql, Fence, Shuffled, Checks, Limits, Temp, Report
):
    """What `dbshuf verify` takes; the last of its inputs is the output."""
