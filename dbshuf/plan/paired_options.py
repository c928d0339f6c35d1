"""Which options mean nothing where files are paired, each with a way out."""

from dbshuf.options import SIDE_NAME, Options, check_rules
from dbshuf.plan.order_by import option_of


def check_paired_options(options: Options) -> None:
    """Raise UsageError for options that mean nothing where files are paired."""
    if options.paired:
        _check_rows(options)
        _check_order(options)
        _check_outputs(options)
        _check_names(options)


def _check_rows(options: Options) -> None:
    """Raise UsageError for what makes other rows of lines, or reads other rows than lines."""
    check_rules(
        (
            options.store is not None,
            "--paired pairs lines of files, and a store has rows of its own",
            "shuffle the files, or ingest them as columns of one table",
        ),
        (
            bool(options.mix),
            "--mix takes some rows of its sources, and --paired row n of each file",
        ),
        (
            options.input_format not in (None, "lines"),
            f"--paired pairs lines, and --from {options.input_format} reads other rows",
            "join the files into one table first: its columns stay together anyway",
        ),
        (
            options.select is not None,
            "--select writes expressions, and --paired the lines of each file as they are",
            "use --where, which keeps or drops all lines of a row",
        ),
        (
            options.sql is not None,
            "--sql makes rows of its own, and --paired needs row n of each file",
            "use --where, which keeps or drops all lines of a row",
        ),
    )


def _check_order(options: Options) -> None:
    """Raise UsageError for ways to read and to order that know no pairs."""
    option = option_of(options)
    check_rules(
        (
            options.engine == "spark",
            "--engine spark reads files in parts, and --paired needs row n of each file",
            "leave out --engine",
        ),
        (
            options.work_dir is not None,
            "--work-dir goes on in the midst of an input, and --paired reads all from the front",
        ),
        (
            options.per is not None or options.stratify is not None,
            "--per and --stratify tell rows apart by an expression, which --paired does not take",
            "use --take, --sample or --where",
        ),
        (option is not None, f"{option} goes by values of rows, and --paired by where they stand"),
        (
            options.split_by is not None,
            "--split-by tells rows apart by an expression, which --paired does not take",
            "leave it out: all lines of a row are in one split anyway",
        ),
    )


def _check_outputs(options: Options) -> None:
    """Raise UsageError for what cannot be written of paired files."""
    are_files = (options.shards, options.shard_rows) == (None, None)
    check_rules(
        (
            options.epochs is not None and not are_files,
            "--epochs with --paired writes files, and shards of them were asked for",
            "leave out the shards, or shuffle once for each epoch: --seed SEED/epoch-1",
        ),
        (
            options.epochs is not None and options.number is not None,
            "--epochs with --paired has no one place for a row, and --number asks for it",
        ),
        (
            options.shard_bytes is not None,
            "--shard-bytes would cut each of the paired files at other rows",
            "use --shards N or --shard-rows N, which cut all of them alike",
        ),
        (
            options.split is not None and not are_files,
            "--split with --paired writes files, and shards of them were asked for",
            "leave out the shards, or shuffle each split of the files once more",
        ),
        (
            options.card,
            "--card describes one data set, and --paired writes each file by itself",
            "leave it out",
        ),
    )


def _check_names(options: Options) -> None:
    """Raise UsageError for names that are no files."""
    outputs = (options.output, *options.more_outputs)
    check_rules(
        (
            any(name in (None, "-") for name in outputs),
            "--paired writes several files, and standard output is one",
            f"name them: -o a.out -o b.out, or all at once: -o 'out/{SIDE_NAME}'",
        ),
        (
            "" in outputs or "" in options.paired,
            "--paired and --output take the names of files, and one is empty",
            "as in --paired b.txt -o a.out -o b.out",
        ),
    )
