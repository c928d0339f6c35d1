"""The options that say in which order, how it is made, and of which rows; see options.py."""

from typing import Annotated

from dbshuf.cli.option_types import group, value
from dbshuf.options import ENGINES, STRATEGIES, WITHIN


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
            STRATEGIES,
        ),
    ] = "auto"
    engine: Annotated[
        str,
        value(
            "--engine",
            "NAME",
            "Let NAME order the rows: duckdb, sqlite or spark; the output is the same.",
            "duckdb",
            ENGINES,
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
    epochs: Annotated[
        int | None,
        value("--epochs", "E", "Write E orders one after the other, or a folder each."),
    ] = None


@group
class Arranged:
    """What comes before the key in the order."""

    weight: Annotated[
        str | None,
        value("--weight", "EXPR", "Order by chance, rows with more of the SQL EXPR earlier."),
    ] = None
    group: Annotated[
        str | None,
        value("--group", "EXPR", "Keep rows of one value of the SQL EXPR together, as a group."),
    ] = None
    within: Annotated[
        str | None,
        value(
            "--within",
            "HOW",
            "Rows inside a group: shuffle them, or keep them as they came.",
            "shuffle",
            WITHIN,
        ),
    ] = None
    spread: Annotated[
        str | None,
        value("--spread", "EXPR", "Put rows of one value of the SQL EXPR far apart, evenly."),
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
class Seed:
    """Which order SQL may ask for."""

    seed: Annotated[
        str | None,
        value("--seed", "TEXT", "Let shuffle_key(id) be of TEXT.", "shuffle_key(TEXT, id) alone"),
    ] = None
