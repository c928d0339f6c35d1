"""`dbshuf query`."""

import sys

from dbshuf.cli.clean import clear_leftovers, clear_uploads
from dbshuf.cli.input_options import Inputs
from dbshuf.cli.library_options import check_stdin, rest_of, tell_waiting
from dbshuf.cli.options import QueryArguments
from dbshuf.cli.output_options import Report
from dbshuf.cli.progress_bar import progress_of
from dbshuf.cli.streams import need_stdout, write_stdout
from dbshuf.errors import UsageError

_SHOWN_ROWS = 10_000  # of a table on a terminal; more are for a file


def query(given: QueryArguments) -> None:
    """Print the result of one SELECT over `lines`, the rows of the inputs.

    The SELECT is the last argument: dbshuf query corpus/ "select count(*) from lines".
    """
    *inputs, sql = given.inputs or [""]
    if not sql:
        raise UsageError("no SELECT is given", hint='as in dbshuf query corpus/ "select ..."')
    check_stdin(tuple(inputs))
    tell_waiting(tuple(inputs), quiet=given.quiet)
    if given.output in (None, "-"):
        need_stdout(hint="name a file with --output")
    from dbshuf.options import Options
    from dbshuf.pipeline.query import plan_answer, table_text, write_answer
    from dbshuf.plan.space import folders_written

    clear_leftovers(folders_written(given.output, given.temp_dir), quiet=given.quiet)
    is_table = given.output is None and given.format is None and sys.stdout.isatty()
    plan = plan_answer(Options(tuple(inputs), **rest_of(given, Inputs, Report)), sql)
    clear_uploads(given.output, quiet=given.quiet)
    with progress_of(given) as reporter:
        if is_table:
            write_stdout(table_text(plan, reporter, most_rows=_SHOWN_ROWS))
        else:
            write_answer(plan, reporter)
