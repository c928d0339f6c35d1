"""`dbshuf plan`."""

import json
import sys

from dbshuf.cli.options import PlanArguments
from dbshuf.cli.progress import Mode, say
from dbshuf.cli.progress_bar import open_progress
from dbshuf.cli.streams import need_stdout, write_stdout
from dbshuf.cli.to_options import options_of


def plan(given: PlanArguments) -> None:
    """Print what shuffle would do; write nothing."""
    options = options_of(given)
    need_stdout()
    from dbshuf.pipeline.shuffle import planned

    reporter = open_progress(Mode.never if given.quiet else given.progress, sys.stderr)
    try:
        if options.mix and not given.quiet:
            say("dbshuf: the sources of --mix are read to count their rows")
        made = planned(options, reporter)
    finally:
        reporter.close()
    write_stdout(json.dumps(made.to_json(), indent=2) if given.as_json else made.describe())
