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
    return f"{of}{count:,} {result.unit}{'' if count == 1 else 's'}{fewer}"


def ingest_summary(result: "IngestResult") -> str:
    """Return the line at the end of an ingest, for people."""
    added = sum(one.is_added for one in result.inputs)
    there = len(result.inputs) - added
    return (
        f"dbshuf: {added:,} input{'' if added == 1 else 's'} added, {there:,} there already;"
        f" {result.rows:,} rows, {human(result.text_bytes)} in {result.elapsed_s:.2f} s,"
        f" peak memory {human(result.peak_rss_bytes)}"
    )


def done_event(result: "Result") -> str:
    """Return the last event of `--progress json`: the fields of the result."""
    return json.dumps({"event": "done"} | asdict(result))
