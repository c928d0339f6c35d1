"""`dbshuf plan`."""

import json

from dbshuf.cli.library_options import options_of
from dbshuf.cli.options import PlanArguments
from dbshuf.cli.progress import say
from dbshuf.cli.progress_bar import progress_of
from dbshuf.cli.streams import need_stdout, write_stdout


def plan(given: PlanArguments) -> None:
    """Print what shuffle would do; write nothing."""
    options = options_of(given)
    need_stdout()
    from dbshuf.pipeline.shuffle import planned

    with progress_of(given) as reporter:
        if options.mix and not given.quiet:
            say("dbshuf: the sources of --mix are read to count their rows")
        made = planned(options, reporter)
    write_stdout(json.dumps(made.to_json(), indent=2) if given.as_json else made.describe())
