"""The options of what looks at an output: verify, report, clean; see options.py."""

from typing import Annotated

from dbshuf.cli.option_types import flag, formats, group, value


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
class Parted:
    """Where a shuffle wrote rows to, where no manifest says it."""

    partition_by: Annotated[
        list[str] | None,
        value(
            "--partition-by",
            "COLUMN",
            "Take the values of COLUMN from folders such as lang=en/; may be repeated.",
            "as the manifest says, or the folders do",
        ),
    ] = None
    epochs: Annotated[
        int | None,
        value("--epochs", "E", "Expect E orders of all rows.", "as the manifest says"),
    ] = None
    stratify: Annotated[
        str | None,
        value("--stratify", "EXPR", "Expect the same share of each value in every --split."),
    ] = None
    take: Annotated[
        int | None,
        value("--take", "N", "Expect the first N rows of the order.", "as the manifest says"),
    ] = None
    skip: Annotated[
        int, value("--skip", "N", "Expect the first N rows to be left out.", "as the manifest says")
    ] = 0
    sampled: Annotated[
        str | None,
        value("--sampled", "SHARE", "Expect what --sample SHARE keeps.", "as the manifest says"),
    ] = None
    with_replacement: Annotated[
        int | None,
        value("--with-replacement", "N", "Expect N draws.", "as the manifest says"),
    ] = None
    per: Annotated[
        str | None,
        value("--per", "EXPR", "Expect --take of each value of EXPR.", "as the manifest says"),
    ] = None
    number: Annotated[
        str | None,
        value("--number", "NAME", "Expect the places of rows in NAME.", "as the manifest says"),
    ] = None


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
