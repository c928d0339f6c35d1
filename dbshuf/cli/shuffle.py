"""`dbshuf shuffle`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dbshuf.cli.clean import clear_leftovers, clear_uploads
from dbshuf.cli.library_options import options_of
from dbshuf.cli.options import ExportArguments, ShuffleArguments
from dbshuf.cli.process import let_load
from dbshuf.cli.progress import Mode, Telling, say
from dbshuf.cli.progress_bar import open_progress
from dbshuf.cli.streams import need_stdout
from dbshuf.cli.summary import done_event, summary

if TYPE_CHECKING:
    pass


def shuffle(given: ShuffleArguments) -> None:
    """Write every row of the inputs once, in a uniformly random order."""
    shuffled(given)


def shuffled(given: ShuffleArguments | ExportArguments) -> None:
    """Shuffle as a command asks, and say what was done."""
    options = options_of(given)
    fd = _descriptor(options.output)
    if fd == 1 and not options.paired:
        need_stdout(hint="name a file with --output")
    if options.engine == "spark":
        let_load("pandas")  # without it pyspark does nothing
    from dbshuf.cli.surprises import tell_surprises
    from dbshuf.pipeline.shuffle import planned, run
    from dbshuf.plan.space import folders_written

    more = options.more_outputs
    folders = folders_written(options.output, options.temp_dir, options.manifest, more)
    clear_leftovers(folders, quiet=given.quiet)

    mode = _progress_mode(given, fd)
    inner, as_json = open_progress(mode, sys.stderr), mode is Mode.json
    reporter = Telling(inner, quiet=given.quiet, as_json=as_json)
    try:
        plan = planned(options, reporter)
        tell_surprises(options, plan, reporter)
        for output in (options.output, *more):
            clear_uploads(output, quiet=given.quiet, work_dir=options.work_dir)
        result = run(plan, reporter)
    finally:
        reporter.close()
    if mode is Mode.json:
        say(done_event(result))
    elif not given.quiet:
        say(summary(result))


def _descriptor(output: str | None) -> int | None:
    """The descriptor that the lines go to, if they go to no file."""
    if output is None or output == "-":
        return 1
    from dbshuf.sink.output_path import descriptor_of

    return descriptor_of(Path(output))


def _progress_mode(given: ShuffleArguments | ExportArguments, fd: int | None) -> Mode:
    """Return the mode asked for, but never between lines that go to the same terminal."""
    is_terminal = sys.stdout.isatty() if fd == 1 else fd is not None and os.isatty(fd)
    mixed = given.progress is Mode.auto and is_terminal
    return Mode.never if given.quiet or mixed else given.progress
