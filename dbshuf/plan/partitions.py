"""--partition-by: what it means nothing with, and the order in which values come one by one."""

from dbshuf.options import Options, check_rules
from dbshuf.plan.reading import ReadPlan
from dbshuf.sink.partition_names import check_partition_columns

OPTION = "--partition-by"


def check_partition_options(options: Options) -> None:
    """Raise UsageError for what folders of values have no meaning with, or no way to do."""
    if not options.partition_by:
        return
    check_rules(
        (
            options.engine == "spark",
            f"{OPTION}: a run on Spark orders by the key alone, and not folder by folder",
            "leave out --engine spark",
        ),
        (
            options.work_dir is not None,
            f"{OPTION}: --work-dir keeps rows by their keys alone, and not folder by folder",
        ),
        (
            options.weight is not None,
            f"{OPTION}: --weight orders all rows, and folders part them",
        ),
        (
            (options.take is not None and options.per is None) or options.skip > 0,
            f"{OPTION}: --take and --skip cut the one order, and rows come folder by folder",
            "write those rows into a file first, and partition that; or use --sample",
        ),
        (
            options.number is not None,
            f"{OPTION}: --number counts rows of the one order, and they come folder by folder",
            "write the numbered rows into a file first, and partition that",
        ),
        (
            options.card,
            f"{OPTION}: --card describes what is in the files, and not what their folders say",
        ),
    )


def partition_columns(options: Options, read: ReadPlan) -> tuple[str, ...]:
    """Return the columns of the folders, which are those of the rows. Raises UsageError."""
    schema, written = read.shape.schema, read.shape.written
    if schema is not None and written is not None:
        from dbshuf.base.column_names import as_called

        schema = as_called(schema, written)
    check_partition_columns(options.partition_by, schema)
    return options.partition_by
