"""`dbshuf shuffle`."""

import glob
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
    from collections.abc import Sequence

    from dbshuf.options import Options
    from dbshuf.plan.plan import Plan
    from dbshuf.plan.spark_plan import SparkPlan
    from dbshuf.sink.target import Target
    from dbshuf.source.input import Input


_TABLE_MARKS = (
    ("Delta Lake", "_delta_log"),
    ("Hudi", ".hoodie"),
    ("Iceberg", "metadata/*.metadata.json"),
)


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
        _tell_directories(options, reporter)
        _tell_replaced(plan, reporter)
        _tell_tables(plan, reporter)
        for output in (options.output, *more):
            clear_uploads(output, quiet=given.quiet, work_dir=options.work_dir)
        result = run(plan, reporter)
    finally:
        reporter.close()
    if mode is Mode.json:
        say(done_event(result))
    elif not given.quiet:
        say(summary(result))


def _tell_directories(options: "Options", reporter: Telling) -> None:
    """Say which outputs are directories of shards, though they are named as files are."""
    cuts = (options.shards, options.shard_rows, options.shard_bytes, options.partition_by or None)
    if cuts == (None,) * len(cuts):
        return
    from dbshuf.sink.output_format import is_named_as_file
    from dbshuf.sink.remote_path import output_path

    for name in (options.output, *options.more_outputs):
        if name and name != "-" and not name.endswith("/") and is_named_as_file(output_path(name)):
            reporter.tell(f"`{name}` is a directory of shards, and no file")


def _tell_replaced(plan: "Plan | SparkPlan", reporter: Telling) -> None:
    """Say which inputs the output takes the place of, if there are others.

    A command that is run twice, with its output among its inputs, has each row twice then.
    """
    found = _replaced(plan.inputs, plan.target)
    if not found or len(found) == len(plan.inputs):
        return
    more, way = len(found) - 1, ""
    if all(one.found_in for one in found):
        way = f": --exclude leaves {'them' if more else 'it'} out"
    what = f" and {more:,} more are read as inputs" if more else " is read as an input"
    reporter.tell(f"`{found[0].name}`{what}, and replaced by the output{way}")


def _replaced(inputs: "Sequence[Input]", target: "Target") -> "list[Input]":
    """Return the inputs that are files of the output, or may be shards of an older one there."""
    from dbshuf.sink.shard_names import is_shard_name

    if target.path is None:
        return []
    folder = _place(str(target.path)).rstrip("/") + "/"
    files = {_place(str(file)) for file in target.files}
    names = set(map(os.path.basename, files))  # links take long to follow where inputs are many
    found = []
    for one in inputs:
        base = os.path.basename(one.name)
        if base in names or is_shard_name(base):
            place = _place(one.name)
            if place in files or (is_shard_name(base) and place.startswith(folder)):
                found.append(one)
    return found


def _tell_tables(plan: "Plan | SparkPlan", reporter: Telling) -> None:
    """Say which folders are tables of systems that keep the files of rows they have deleted."""
    for folder in sorted({one.found_in for one in plan.inputs if one.remote is None}):
        for kind, mark in _TABLE_MARKS:
            if folder and glob.glob(os.path.join(glob.escape(folder), mark)):
                reporter.tell(
                    f"`{folder}` is a table of {kind}: all files in it are read, with rows that"
                    f" {kind} has replaced or deleted"
                )


def _place(name: str) -> str:
    """Return one name for all that lead to a file; an object has one."""
    from dbshuf.base.remote_names import is_remote

    return name if is_remote(name) else os.path.realpath(name)


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
