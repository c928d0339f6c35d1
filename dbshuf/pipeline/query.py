"""`dbshuf query`: the rows of one SELECT over the inputs, as they come, shuffled by nothing."""

import contextlib
from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from dbshuf.base.messages import printable
from dbshuf.base.progress import Progress
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.temporary import private_folder
from dbshuf.base.window import Window
from dbshuf.options import Options
from dbshuf.pipeline.scan import open_scan
from dbshuf.plan.make_plan import make_plan
from dbshuf.plan.plan import Plan
from dbshuf.sink import open_sink
from dbshuf.source.local_copy import copies_removed


def plan_answer(options: Options, sql: str) -> Plan:
    """Return the plan of a query; raise what can be known to fail."""
    as_format = {"json": "jsonl"}.get(options.format or "", options.format)
    if options.output in (None, "-") and as_format is None:
        as_format = "csv"
    return make_plan(replace(options, sql=sql, format=as_format, is_answer=True))


def table_text(plan: Plan, reporter: Progress, *, most_rows: int) -> str:
    """Return the result of a plan's --sql as a table for people, cut after `most_rows`."""
    assert plan.schema is not None
    shown, rows = [], 0
    with contextlib.closing(answered(plan, reporter)) as batches:
        for batch in batches:
            shown.append(batch.slice(0, most_rows - rows))
            rows += batch.num_rows
            if rows >= most_rows:
                break
    text = printable(_as_table(pa.Table.from_batches(shown, plan.schema)), is_one_line=False)
    return text if rows < most_rows else f"{text}\nthe first {most_rows:,} rows; -o FILE has all"


def answered(plan: Plan, reporter: Progress) -> Generator[pa.RecordBatch]:
    """Yield the result of a plan's --sql; closing it removes all temporary data.

    Raises  QueryFailed, TempSpaceShort and what reading raises
    """
    with copies_removed(plan.inputs), private_folder(plan.temp_dir) as folder:
        reporter.stage("read", plan.survey.text_bytes)
        with contextlib.closing(open_scan(plan, folder, reporter.advance)) as feed:
            for rows in feed.batches(np.empty(0, np.uint8)):
                assert isinstance(rows, RowBatch)
                yield rows.batch
            feed.check()


def write_answer(plan: Plan, reporter: Progress) -> int:
    """Write the result of a plan's --sql to its target, whole or not at all; return its rows.

    Raises  any DbshufError; then nothing was published
    """
    sink = open_sink(plan.target)
    try:
        with contextlib.closing(answered(plan, reporter)) as batches:
            for batch in batches:
                # To a sink keys are places in the order; here the order is that of the rows.
                keys = np.arange(sink.rows, sink.rows + batch.num_rows, dtype=np.uint64)
                sink.write(Window.of_rows(batch, keys))
        sink.finish()
    except BaseException:
        sink.abort()
        raise
    return sink.rows


def _as_table(rows: pa.Table) -> str:
    """Return a box of the columns, their types and the first and last rows."""
    from dbshuf.query.fence import connect

    connection = connect()  # its time zone is that of the query
    try:
        return str(connection.from_arrow(rows))
    finally:
        connection.close()
