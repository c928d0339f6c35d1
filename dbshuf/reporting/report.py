"""One report: read the output, find its rows in the inputs, test, draw, write the page."""

import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from dbshuf.base.messages import printable, too_small
from dbshuf.base.process_memory import peak_resident_bytes, release_unused, resident_bytes
from dbshuf.base.progress import Progress
from dbshuf.base.remote_names import is_remote_output
from dbshuf.errors import ExtraMissing, UsageError
from dbshuf.options import Options, check_output_name
from dbshuf.pipeline.verify.sides import from_store
from dbshuf.plan.least_memory import with_least_named
from dbshuf.plan.row_plan import memory_cap
from dbshuf.reporting.known_run import KnownRun, check_told, run_of
from dbshuf.reporting.reading import Sides, read_inputs, read_output, sides_of
from dbshuf.sink.output_path import check_target
from dbshuf.sink.publish import publish_whole
from dbshuf.sink.target import Target
from dbshuf.source.inputs import STDIN
from dbshuf.units import MIB

_PACKAGES = ("matplotlib", "scipy", "jinja2")
_INSTALL = "pip install 'dbshuf[report]'"

# What matplotlib and scipy.stats take to load and to draw, and a row of the sample; the peaks of
# 1,400,000 lines were 209 MB with 100,000 of them sampled, 294 with 700,000 and 403 with all, and
# 88 MB were resident at the beginning (matplotlib 3.11.2, scipy 1.17.1).
_DRAWING_BYTES = 120 * MIB
_ROW_BYTES = 200


@dataclass(frozen=True)
class ReportResult:
    """What a report found.

    rows        of the output
    sampled     of them
    found       of those, the rows whose place in the inputs is known; None: inputs are unknown
    p_values    by the name of what is tested; None: that was not tested, the page says why
    is_suspect  whether one of them is so small that the order is not uniform
    page_bytes  of the page
    """

    rows: int
    sampled: int
    found: int | None
    p_values: Mapping[str, float | None]
    is_suspect: bool
    page_bytes: int
    page: str | None
    elapsed_s: float
    peak_rss_bytes: int


@dataclass(frozen=True)
class ReportOptions:
    """What is asked for.

    output       what was shuffled: a file or a directory, here or elsewhere
    options      the inputs and what was made of their rows; no inputs: as the manifest says
    page         the file to write; None is stdout
    sample_rows  how many rows of the output are looked for in the inputs, about
    manifest     of the run that wrote the output; None: the one in its directory, if any
    """

    output: str
    options: Options
    page: str | None
    sample_rows: int
    manifest: str | None = None


def make_report(asked: ReportOptions, progress: Progress) -> ReportResult:
    """Look at an output, and write what was found as a page.

    Raises  ExtraMissing, MemoryTooSmall, UsageError and what reading and writing raise; then
            the page is as it was before
    """
    started = time.monotonic()
    check_installed()
    if asked.output == STDIN:
        raise UsageError("a report reads files: `-` is no output", hint="write it to a file first")
    target = _target_of(asked)
    options = replace(asked.options, memory=memory_cap(asked.options))
    run = run_of(asked.output, asked.manifest, options)
    check_told(options, run)
    if not options.inputs and run is not None and run.options is not None:
        options = run.options
    _check_inputs(options, run)
    sides = with_least_named(options, partial(_sides, asked))
    _check_apart(asked, sides)
    found = read_output(sides, asked.sample_rows, progress)
    moved = None if sides.inputs is None else read_inputs(sides, found, progress)
    release_unused()
    progress.stage("draw", None)
    if "matplotlib" not in sys.modules:  # where it may not write to the home, it says so
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from dbshuf.reporting.contents import contents_of
    from dbshuf.reporting.page import html_of

    page = contents_of(asked.output, sides, found, moved, run)
    html = html_of(page)
    publish_whole(target, [html])
    return ReportResult(
        rows=found.lengths.rows,
        sampled=len(found.sample.hashes),
        found=None if moved is None else moved.rows,
        p_values={name: test.p for name, test in page.tests.items()},
        is_suspect=any(test.is_suspect for test in page.tests.values()),
        page_bytes=len(html),
        page=asked.page,
        elapsed_s=time.monotonic() - started,
        peak_rss_bytes=peak_resident_bytes(),
    )


def _sides(asked: ReportOptions, options: Options) -> Sides:
    """Return what is read. Raises as `make_report`."""
    _check_memory(memory_cap(options), asked.sample_rows)
    return sides_of(options, asked.output)


def check_installed() -> None:
    """Raise ExtraMissing unless what draws and tests is there."""
    for name in _PACKAGES:
        if find_spec(name) is None:
            raise ExtraMissing(f"a report needs {name}, which is not installed", hint=_INSTALL)


def _check_memory(cap: int, sample_rows: int) -> None:
    least = resident_bytes() + _DRAWING_BYTES + _ROW_BYTES * sample_rows
    if cap < least:
        needs = f"drawing {sample_rows:,} rows takes"
        raise too_small(cap, least + 16 * MIB, needs, ", or a smaller --sample-rows")


def _check_inputs(options: Options, run: KnownRun | None) -> None:
    """Raise UsageError where rows cannot be found one by one in what is named as the inputs."""
    if run is not None and "sql" in run.manifest.options and options.inputs:
        raise UsageError(
            "the output was made by --sql, as its manifest says, and only the whole statement"
            " tells from which rows",
            hint="name the output alone: the report then has lengths and shards; `dbshuf verify`"
            " takes --sql, and compares rows",
        )
    if from_store(options).store is not None:
        raise UsageError(
            f"`{printable(options.inputs[0])}` is a store, and rows in it have no places",
            hint="name the files that were ingested; `dbshuf verify` takes a store",
        )


def _target_of(asked: ReportOptions) -> Target:
    """Return where the page goes. Raises OutputUnwritable, UsageError."""
    check_output_name(asked.page)
    if asked.page is not None and is_remote_output(asked.page):
        raise UsageError(
            f"`{printable(asked.page)}`: a report is written to this machine",
            hint="write it here, and upload it",
        )
    if _is_among_rows(asked):
        raise UsageError(
            f"`{printable(str(asked.page))}` would be read as a part of the output the next time",
            hint="write it beside the output, or call it _report.html: names with _ are not read",
        )
    if asked.sample_rows < 1:
        raise UsageError(
            f"--sample-rows {asked.sample_rows} must be at least 1", hint="as in --sample-rows 4"
        )
    target = Target(
        path=None if asked.page in (None, "-") else Path(str(asked.page)),
        format="txt",
        header=b"",
        terminator=b"\n",
        binary=False,
        shards=None,
        shard_bytes=None,
        shard_rows=None,
        force=False,
        seed="",
        locate=lambda key: "",
    )
    check_target(target)
    return target


def _is_among_rows(asked: ReportOptions) -> bool:
    """Whether the page would lie in the output's directory as a file of its rows."""
    if asked.page in (None, "-") or not os.path.isdir(asked.output):
        return False
    page = Path(os.path.realpath(str(asked.page)))
    is_below = page.is_relative_to(os.path.realpath(asked.output))
    return is_below and not page.name.startswith(("_", "."))


def _check_apart(asked: ReportOptions, sides: Sides) -> None:
    """Raise UsageError for a page that would replace what it is about."""
    if asked.page in (None, "-") or not os.path.exists(str(asked.page)):
        return
    read = [side.plan for side in (sides.inputs, sides.output) if side is not None]
    names = [asked.manifest, *(one.name for plan in read for one in plan.inputs)]
    for name in names:
        if name and os.path.exists(name) and os.path.samefile(name, str(asked.page)):
            raise UsageError(
                f"the page would replace `{printable(name)}`, which it is about",
                hint="name another file with --output, as in -o report.html",
            )
