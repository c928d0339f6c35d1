"""What Spark does not do, since no task of it can: told before it is started."""

from dbshuf.errors import UsageError
from dbshuf.options import Options
from dbshuf.plan.reading import ReadPlan
from dbshuf.plan.sample import Sample
from dbshuf.sink import Target


def refuse_sample(options: Options, sample: Sample | None, target: Target) -> None:
    """Raise UsageError for samples that no task can tell of its own rows."""
    hint = "leave out --engine: DuckDB does it on this machine"
    in_shards = target.shards is not None
    for name, is_asked in (
        ("--per", options.per is not None),
        ("--take with --shards", options.take is not None and in_shards),
        ("--skip with --shards", options.skip > 0 and in_shards),
        ("--with-replacement", options.with_replacement is not None),
        ("--stratify", options.stratify is not None),
    ):
        if is_asked:
            if sample is not None and in_shards and sample.per is None:
                share = "" if options.weight is not None else " take a share with --sample,"
                hint = f"write one file,{share} or leave out --engine"
            raise UsageError(
                f"--engine spark cannot do this: {name} counts all rows, and a task sees its own",
                hint=hint,
            )
    if options.number is not None and target.shards is not None and not target.split_names:
        raise UsageError(
            "--engine spark cannot do this: --number counts the rows of all shards before one,"
            " which the task that writes it does not know",
            hint="write one file, or leave out --engine",
        )


def refuse_epochs(options: Options, *, in_shards: bool) -> None:
    """Raise UsageError for epochs in outputs that the driver writes."""
    if options.epochs is not None and not in_shards:
        raise UsageError(
            "--engine spark cannot do this: --epochs is for shards that tasks write, and the driver"
            " writes this output, in one order",
            hint="write -o DIR/ --shards N, a folder for each epoch, or leave out --engine",
        )


def refuse_unsplit(options: Options, read: ReadPlan) -> None:
    """Raise UsageError for what needs one machine."""
    query = read.shape.row_query
    why = ""
    hint = "leave out --engine: DuckDB does it on this machine"
    if read.store is not None:
        why = "a store is one database on one machine"
        hint = "shuffle the inputs that the store was made of, or leave out --engine"
    elif read.shape.whole_query is not None:
        why = "--sql is one statement over all rows, which DuckDB runs on one machine"
        hint = "say it row by row with --where and --select, or leave out --engine"
    elif any(one.pipe is not None for one in read.inputs):
        why = "standard input and pipes can be read once, and here only"
        hint = "write it to a file that all machines see, and name that"
    elif query is not None and "line_number" in query.columns:
        why = "line_number counts all lines before a line, which no split of a file knows"
        hint = "use position, the byte offset of the line; or leave out --engine"
    if why:
        raise UsageError(f"--engine spark cannot do this: {why}", hint=hint)
    if (
        dict(pair.partition("=")[::2] for pair in options.spark_conf)
        .get("spark.speculation", "false")
        .lower()
        != "false"
    ):
        raise UsageError(
            "--spark-conf spark.speculation: dbshuf runs with speculation off",
            hint="leave it out: a task that is slow is not run twice",
        )
