"""The options that say what is written, and where; see options.py."""

from typing import Annotated

from dbshuf.cli.option_types import (
    answer_formats,
    compressions,
    flag,
    formats,
    group,
    value,
)
from dbshuf.cli.order_options import Seed
from dbshuf.cli.progress import Mode

_OUTPUT_NAMES, _OUTPUT_HELP = (
    "-o --output",
    "Write a text file (.gz and .zst compress), a .parquet file, or a directory of shards.",
)


@group
class Output:
    """Where the result goes."""

    output: Annotated[str | None, value(_OUTPUT_NAMES, "PATH", _OUTPUT_HELP, "standard output")] = (
        None
    )


@group
class Outputs:
    """Where the rows go."""

    output: Annotated[
        list[str] | None, value(_OUTPUT_NAMES, "PATH", _OUTPUT_HELP, "standard output")
    ] = None


_COMPRESSION = value(
    "--compression",
    "NAME",
    "Compress with NAME, a level after a colon: zstd:9.",
    values=compressions,
)


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
    compression: Annotated[str | None, _COMPRESSION] = None
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
    partition_by: Annotated[
        list[str] | None,
        value(
            "--partition-by",
            "COLUMN",
            "Write rows to a folder of each value of COLUMN, as Hive does; may be repeated.",
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
    compression: Annotated[str | None, _COMPRESSION] = None


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
            ("duckdb", "sqlite"),
        ),
    ] = None


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
