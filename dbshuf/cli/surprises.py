"""What a run says before it begins, where it does what was asked, and maybe not what was meant."""

import glob
import os
from typing import TYPE_CHECKING

from dbshuf.cli.progress import Telling

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


def tell_surprises(options: "Options", plan: "Plan | SparkPlan", reporter: Telling) -> None:
    """Say what of outputs and inputs may come as a surprise."""
    _tell_directories(options, reporter)
    _tell_replaced(plan, reporter)
    _tell_tables(plan, reporter)


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
