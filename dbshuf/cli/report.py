"""`dbshuf report`."""

import sys
from typing import TYPE_CHECKING

from dbshuf.cli.check_options import Sampling
from dbshuf.cli.clean import clear_leftovers
from dbshuf.cli.input_options import Inputs
from dbshuf.cli.library_options import rest_of
from dbshuf.cli.options import ReportArguments
from dbshuf.cli.output_options import Report
from dbshuf.cli.progress import Mode, say
from dbshuf.cli.progress_bar import progress_of
from dbshuf.cli.streams import need_stdout
from dbshuf.errors import UsageError
from dbshuf.units import human

if TYPE_CHECKING:
    from dbshuf.reporting.report import ReportResult


def report(given: ReportArguments) -> None:
    """Show how well OUTPUT is shuffled, as one HTML page: pictures, tests, facts.

    The output is the last argument, its inputs come before it: dbshuf report corpus/ out/.
    """
    *inputs, output = given.inputs or [""]
    if not output:
        raise UsageError("no output is named", hint="as in dbshuf report corpus/ out/")
    if given.page is None and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("the page is HTML, and no text for a terminal", hint="-o report.html")
    if given.page in (None, "-"):
        need_stdout(hint="name a file with --output")
    from dbshuf.options import Options
    from dbshuf.plan.space import folders_written
    from dbshuf.reporting.report import ReportOptions, make_report

    clear_leftovers(folders_written(given.page, given.temp_dir), quiet=given.quiet)
    options = Options(tuple(inputs), **rest_of(given, Inputs, Report, Sampling))
    asked = ReportOptions(output, options, given.page, given.sample_rows, given.manifest)
    with progress_of(given) as reporter:
        result = make_report(asked, reporter)
    if not given.quiet and given.progress is not Mode.json:
        say(_summary(result))


def _summary(result: "ReportResult") -> str:
    """Return the line at the end of a report, for people."""
    found = "inputs unknown" if result.found is None else f"{result.found:,} found in the inputs"
    tested = {name: p for name, p in result.p_values.items() if p is not None}
    verdict = "no test of the order"
    if tested:
        name = min(tested, key=tested.__getitem__)
        seems = "this is no uniform shuffle" if result.is_suspect else "it may well be uniform"
        verdict = f"{seems}: smallest p-value {tested[name]:.2g} ({name})"
    return (
        f"dbshuf: {result.rows:,} rows, {result.sampled:,} sampled, {found};"
        f" {verdict}; {result.elapsed_s:.2f} s, peak memory {human(result.peak_rss_bytes)}"
    )
