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
    from dbshuf.pipeline.verify.rows import RowsVerified
    from dbshuf.reporting.report import ReportResult


def summary(result: "Result") -> str:
    """Return the line at the end of a run, for people."""
    elapsed_s, plural = result.elapsed_s, "" if result.rows == 1 else "s"
    decimals = 2 if elapsed_s < 10 else 1 if elapsed_s < 100 else 0
    rate = human(result.text_bytes / max(elapsed_s, 1e-3))
    return (
        f"dbshuf: {result.rows:,} {result.unit}{plural}, {human(result.text_bytes)}"
        f" in {elapsed_s:.{decimals}f} s ({rate}/s), peak memory {human(result.peak_rss_bytes)},"
        f" {result.strategy}, seed {shlex.quote(result.seed)}"
        + (f", {named_tables(result.tables)}" if result.tables else "")
    )


def ingest_summary(result: "IngestResult") -> str:
    """Return the line at the end of an ingest, for people."""
    added = sum(one.is_added for one in result.inputs)
    there = len(result.inputs) - added
    return (
        f"dbshuf: {added:,} input{'' if added == 1 else 's'} added, {there:,} there already;"
        f" {result.rows:,} rows, {human(result.text_bytes)} in {result.elapsed_s:.2f} s,"
        f" peak memory {human(result.peak_rss_bytes)}"
    )


def report_summary(result: "ReportResult") -> str:
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


def verify_summary(result: "RowsVerified") -> str:
    """Return the line at the end of a comparison that found no difference, for people."""
    rows = f"the same {result.rows_in:,} row{'' if result.rows_in == 1 else 's'}"
    if result.sample is not None:
        rows += f" of a sample of {result.sample:.3g}"
    return (
        f"dbshuf: {rows} in inputs and outputs"
        + (", in the order of the seed" if result.order else "")
        + f", {human(result.text_bytes)} in {result.elapsed_s:.2f} s,"
        f" peak memory {human(result.peak_rss_bytes)}"
    )


def done_event(result: "Result") -> str:
    """Return the last event of `--progress json`: the fields of the result."""
    return json.dumps({"event": "done"} | asdict(result))
