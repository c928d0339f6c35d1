"""The last line of a run, for people, and the last event, for programs."""

import json
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

from dbshuf.base.messages import named_tables
from dbshuf.units import human

if TYPE_CHECKING:
    from dbshuf.pipeline.ingest import IngestResult
    from dbshuf.pipeline.shuffle import Result
    from dbshuf.pipeline.verify.files import FilesVerified
    from dbshuf.pipeline.verify.result import RowsVerified


def summary(result: "Result") -> str:
    """Return the line at the end of a run, for people."""
    elapsed_s = result.elapsed_s
    decimals = 2 if elapsed_s < 10 else 1 if elapsed_s < 100 else 0
    rate = human(result.text_bytes / max(elapsed_s, 1e-3))
    return (
        f"dbshuf: {_rows(result)}, {human(result.text_bytes)}"
        f" in {elapsed_s:.{decimals}f} s ({rate}/s), peak memory {human(result.peak_rss_bytes)},"
        f" {result.strategy}, seed {shlex.quote(result.seed)}"
        + (f", {named_tables(result.tables)}" if result.tables else "")
    )


def _rows(result: "Result") -> str:
    """Return how many rows were written, of how many, and whether they are fewer than asked."""
    count = result.rows if result.seen_rows is None else result.seen_rows
    drawn = " drawn" if result.rows > count else ""
    of = "" if result.seen_rows is None else f"{result.rows:,}{drawn} of "
    asked = result.asked_rows
    fewer = f" ({asked:,} were asked for)" if asked is not None and result.rows < asked else ""
    epochs = ""
    if result.epochs is not None:
        epochs = f" in {result.epochs:,} epoch{'' if result.epochs == 1 else 's'}"
    return f"{of}{count:,} {result.unit}{'' if count == 1 else 's'}{epochs}{fewer}"


def ingest_summary(result: "IngestResult") -> str:
    """Return the line at the end of an ingest, for people."""
    added = sum(one.is_added for one in result.inputs)
    there = len(result.inputs) - added
    return (
        f"dbshuf: {added:,} input{'' if added == 1 else 's'} added, {there:,} there already;"
        f" {result.rows:,} rows, {human(result.text_bytes)} in {result.elapsed_s:.2f} s,"
        f" peak memory {human(result.peak_rss_bytes)}"
    )


def verify_summary(result: "RowsVerified | FilesVerified") -> str:
    """Return the line at the end of a check that found no difference, for people."""
    from dbshuf.pipeline.verify.files import FilesVerified

    size = f"{human(result.text_bytes)} in {result.elapsed_s:.2f} s"
    if isinstance(result, FilesVerified):
        files = f"{result.files:,} file{'' if result.files == 1 else 's'}"
        if result.hashed_files < result.files:
            files += f", {result.hashed_files:,} of them ({human(result.hashed_bytes)}) read,"
        return f"dbshuf: {files} as `{result.listed_in}` has them, {size}"
    rows = f"the same {result.rows_in:,} row{'' if result.rows_in == 1 else 's'}"
    if result.sample is not None:
        rows += f", a sample of {100 * result.sample:.3g}%,"
    order = ", in the order of the seed" if result.order else ""
    order += ", numbered in their order" if result.places else ""
    peak = human(result.peak_rss_bytes)
    return f"dbshuf: {rows} in inputs and outputs{order}, {size}, peak memory {peak}"


def done_event(result: "Result") -> str:
    """Return the last event of `--progress json`: the fields of the result."""
    return json.dumps({"event": "done"} | asdict(result))
