"""The options that say what is read, and what SQL makes of it; see options.py."""

from typing import Annotated

from dbshuf.cli.option_types import Argument, flag, group, kinds, value
from dbshuf.options import SAME, UNION


@group
class Inputs:
    """What is read."""

    inputs: Annotated[list[str] | None, Argument("INPUTS")] = None


@group
class Sides:
    """What is shuffled along with the inputs."""

    paired: Annotated[
        list[str] | None,
        value(
            "--paired",
            "FILE",
            "Put row n of FILE where row n of the inputs goes, into its own -o; may be repeated.",
        ),
    ] = None


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
class Mixes:
    """Inputs with their shares."""

    mix: Annotated[
        list[str] | None,
        value(
            "--mix",
            "SOURCE=SHARE",
            "Read SOURCE for its share: web/=0.7, books/=0.2x3, 'code/=10000rows where bytes > 9'.",
        ),
    ] = None
    mix_by: Annotated[
        str | None,
        value(
            "--mix-by",
            "UNIT",
            "Let shares of a mix be of rows, or of bytes.",
            "rows",
            ("rows", "bytes"),
        ),
    ] = None
    mix_size: Annotated[
        str | None,
        value(
            "--mix-size",
            "SIZE",
            "Make a mix so large: 1000000rows, or 5GB.",
            "as large as the sources allow",
        ),
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
            values=(SAME, UNION),
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
class Store:
    """A database that keeps rows to come back to."""

    store: Annotated[str, Argument("STORE")]
