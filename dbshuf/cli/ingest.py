"""`dbshuf ingest`."""

from dbshuf.cli.clean import clear_leftovers
from dbshuf.cli.library_options import check_stdin
from dbshuf.cli.options import IngestArguments
from dbshuf.cli.progress import say
from dbshuf.cli.progress_bar import progress_of
from dbshuf.cli.summary import ingest_summary
from dbshuf.errors import UsageError

_AS_GIVEN = (
    *("store", "zero_terminated", "header", "binary", "input_format", "table", "schema"),
    *("hive", "memory", "threads", "temp_dir"),
)


def ingest(given: IngestArguments) -> None:
    """Add the rows of the inputs to the database STORE, of DuckDB or SQLite, for any client.

    What is in it already is left out, so that an interrupted run can be repeated.
    """
    inputs = given.inputs or []
    if not inputs:
        raise UsageError("no inputs are named", hint="as in dbshuf ingest corpus.duckdb new/*.txt")
    check_stdin(tuple(inputs))
    from dbshuf.options import Options
    from dbshuf.pipeline.ingest import ingest as run
    from dbshuf.plan.space import folders_written

    clear_leftovers(folders_written(given.store, given.temp_dir), quiet=given.quiet)
    asked = Options(
        inputs=tuple(inputs),
        include=tuple(given.include or ()),
        exclude=tuple(given.exclude or ()),
        **{name: getattr(given, name) for name in _AS_GIVEN},
    )
    with progress_of(given) as reporter:
        result = run(asked, pack=given.pack, engine=given.engine, progress=reporter)
    if not given.quiet:
        say(ingest_summary(result))
