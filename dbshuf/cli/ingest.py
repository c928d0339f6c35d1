"""`dbshuf ingest`."""

import sys

from dbshuf.cli.clean import clear_leftovers
from dbshuf.cli.options import IngestArguments
from dbshuf.cli.progress import Mode, say
from dbshuf.cli.progress_bar import open_progress
from dbshuf.cli.summary import ingest_summary
from dbshuf.cli.to_options import check_stdin
from dbshuf.errors import UsageError


def ingest(given: IngestArguments) -> None:
    """Add the rows of the inputs to the database STORE, of DuckDB or SQLite, for any client.

    What is in it already is left out, so that an interrupted run can be repeated.
    """
    inputs = given.inputs or []
    if not inputs:
        raise UsageError("no inputs are named", hint="as in dbshuf ingest corpus.duckdb new/*.txt")
    check_stdin(tuple(inputs))
    from dbshuf.pipeline.ingest import ingest as run
    from dbshuf.plan.space import folders_written

    clear_leftovers(folders_written(given.store, given.temp_dir), quiet=given.quiet)
    reporter = open_progress(Mode.never if given.quiet else given.progress, sys.stderr)
    try:
        result = run(
            given.store,
            inputs,
            include=given.include or (),
            exclude=given.exclude or (),
            zero_terminated=given.zero_terminated,
            header=given.header,
            binary=given.binary,
            input_format=given.input_format,
            table=given.table,
            schema=given.schema,
            hive=given.hive,
            memory=given.memory,
            threads=given.threads,
            temp_dir=given.temp_dir,
            pack=given.pack,
            engine=given.engine,
            progress=reporter,
        )
    finally:
        reporter.close()
    if not given.quiet:
        say(ingest_summary(result))
