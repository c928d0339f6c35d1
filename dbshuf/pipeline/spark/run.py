"""One shuffle on Spark, seen from the driver."""

import contextlib
import json
import os
import pickle
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dbshuf.base.counters import Tally
from dbshuf.base.progress import Progress
from dbshuf.base.temporary import private_folder
from dbshuf.base.versions import versions_here
from dbshuf.errors import DbshufError, EngineFailed
from dbshuf.pipeline.run_checks import check_read, check_rows, check_totals
from dbshuf.pipeline.spark.commit import (
    JobRecord,
    OneCommit,
    ShardCommit,
    UploadCommit,
    Written,
    in_order,
    job_folder,
)
from dbshuf.pipeline.spark.job import Job
from dbshuf.pipeline.spark.read_task import read_task
from dbshuf.pipeline.spark.session import JOB_GROUP, spark_session, upload_accumulator
from dbshuf.pipeline.spark.task_errors import from_spark
from dbshuf.pipeline.spark.write_task import RESULT, write_task
from dbshuf.plan.spark_plan import SparkPlan
from dbshuf.sink.seal import WrittenFile

_POLL_S = 0.5
_GRACE_S = 2.0  # spark.python.task.killTimeout: so long has a Python that nobody waits for
_MOST_GRACE_S = 20.0


def run_on_spark(plan: SparkPlan, reporter: Progress) -> Tally:
    """Do what a plan says and publish the output; return what was written.

    Raises  any DbshufError; then, and on an interrupt, nothing was published
    """
    commit: ShardCommit | UploadCommit | OneCommit
    with contextlib.ExitStack() as held:
        folder = held.enter_context(private_folder(plan.temp_dir))
        record = None
        if plan.wanted is not None:
            record = held.enter_context(contextlib.closing(JobRecord(plan, plan.wanted)))
        if plan.sends_shards:
            commit = UploadCommit(plan.target, plan.partitions, folder)
        elif plan.in_shards:
            commit = ShardCommit(plan.target, plan.partitions)
        else:
            commit = OneCommit(plan, folder)
        try:
            with job_folder(commit.parent) as (work, token):
                reporter.stage("start Spark", None)
                with spark_session(plan, folder) as session:
                    sent = upload_accumulator(session) if plan.sends_shards else None
                    try:
                        job = _job(plan, work, token, getattr(commit, "owner", ""))
                        results = _run_job(session, plan, job, reporter, sent)
                    finally:
                        if isinstance(commit, UploadCommit) and sent is not None:
                            commit.note(sent.value)
                read, written = _checked(plan, results, record)
                reporter.stage("publish", None if plan.in_shards else read.text_bytes)
                total = Tally()
                if not isinstance(commit, OneCommit):
                    for one in written:
                        total.merge(Tally(one.rows, one.text_bytes, one.key_sum))
                    check_totals(read, total)
                    assert record is not None, "shards have a manifest"
                    for one in written:
                        record.rows_out.add(one.rows, one.row_sum)
                    commit.publish(work, written, record)
                else:
                    total = commit.publish(work, written, reporter.advance, read, record)
                total.seen_rows = read.seen_rows
                return total
        except BaseException:
            commit.abort()
            raise


def _job(plan: SparkPlan, work: Path, token: str, owner: str) -> Job:
    return Job(
        inputs=plan.inputs,
        splits=plan.splits,
        shape=plan.shape,
        target=plan.task_target,
        terminator=plan.terminator,
        header_bytes=len(plan.header),
        seed=plan.seed,
        columns=plan.columns,
        partitions=plan.partitions,
        in_shards=plan.in_shards,
        here=os.getcwd(),
        folder=str(work.absolute()),
        token="" if plan.sends_shards else token,
        buffer_bytes=plan.memory.buffer_bytes,
        longest_bytes=plan.memory.longest_line_bytes,
        memory_bytes=plan.memory.task_bytes,
        versions=versions_here(),
        key_end=plan.target.key_end,
        owner=owner,
    )


def _run_job(
    session: Any, plan: SparkPlan, job: Job, reporter: Progress, sent: Any
) -> list[tuple[int, dict[str, Any]]]:
    """Run both stages, and return what every task has to tell: its partition, and what it did."""
    context = session.sparkContext
    broadcast = context.broadcast((secrets.token_hex(8), pickle.dumps(job)))
    try:
        context.setJobGroup(JOB_GROUP, "dbshuf shuffle", interruptOnCancel=True)
        numbers = session.range(0, len(plan.splits), 1, max(len(plan.splits), 1))
        rows = numbers.mapInArrow(read_task(broadcast), job.carrier.ddl)
        parts = rows.repartitionById(plan.partitions + 1, rows["bucket"])
        ordered = parts.select(*job.carrier.sorted_names).sortWithinPartitions("key")
        told = ordered.mapInArrow(write_task(broadcast, sent), RESULT)
        with _watched(context, plan, reporter):
            return [(row.part, json.loads(row.told)) for row in told.collect()]
    except DbshufError:
        raise
    except Exception as error:
        if plan.sends_shards:
            _let_tasks_end(context)
        raise from_spark(error) from error
    finally:
        with contextlib.suppress(Exception):
            broadcast.destroy()


def _let_tasks_end(context: Any) -> None:
    """Give tasks of a failed job, which Spark is stopping, the time to abort what they send."""
    until_s = time.monotonic() + _MOST_GRACE_S
    with contextlib.suppress(Exception):
        tracker = context._jsc.sc().statusTracker()  # the one of Python does not tell of executors
        while time.monotonic() < until_s and any(
            one.numRunningTasks() for one in tracker.getExecutorInfos()
        ):
            time.sleep(_POLL_S)
    time.sleep(_GRACE_S)


@contextlib.contextmanager
def _watched(context: Any, plan: SparkPlan, reporter: Progress) -> Iterator[None]:
    """Report how many tasks are done, from a thread of its own."""
    done = threading.Event()
    sizes = {"read": plan.survey.text_bytes, "sort and write": plan.survey.text_bytes}
    reporter.stage("read", sizes["read"])

    def watch() -> None:
        tracker, shown, stage = context.statusTracker(), 0, "read"
        while not done.wait(_POLL_S):
            with contextlib.suppress(Exception):
                for number in tracker.getActiveStageIds():
                    found = tracker.getStageInfo(number)
                    name = "read" if found.numTasks == len(plan.splits) else "sort and write"
                    if name != stage and name == "sort and write":
                        reporter.stage(name, sizes[name])
                        shown, stage = 0, name
                    total = (sizes[stage] or 0) * found.numCompletedTasks // found.numTasks
                    if name == stage and total > shown:
                        reporter.advance(total - shown)
                        shown = total

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(1.0)


def _checked(
    plan: SparkPlan, results: list[tuple[int, dict[str, Any]]], record: JobRecord | None
) -> tuple[Tally, list[Written]]:
    """Return what was read, and what was written by partition.

    Raises  CheckFailed, EngineFailed unless all splits were read, and in full
    """
    notes = [told for part, told in results if part == plan.partitions]
    if len(notes) != len(plan.splits):
        raise EngineFailed(
            f"Spark read {len(notes):,} splits of {len(plan.splits):,}; nothing was published"
        )
    read = Tally()
    for note in notes:
        read.merge(Tally(note["rows"], note["bytes"], note["key_sum"], seen_rows=note["seen_rows"]))
    _check_parts(plan, notes)
    if record is not None:
        record.add_notes(notes)
    written = [_written(part, told) for part, told in results if part != plan.partitions]
    return read, in_order(written, plan.partitions)


def _written(part: int, told: dict[str, Any]) -> Written:
    noted = told["noted"] and WrittenFile(*told["noted"])
    return Written(
        part, told["file"], told["rows"], told["bytes"], told["key_sum"], noted, told["row_sum"]
    )


def _check_parts(plan: SparkPlan, notes: list[dict[str, Any]]) -> None:
    """Raise CheckFailed unless the parts of every input come to all of it."""
    if plan.table_rows is not None:
        check_rows(sum(note["read_rows"] for note in notes), plan.table_rows)
    seen: defaultdict[int, int] = defaultdict(int)
    for note in notes:
        if "input" in note:
            seen[note["input"]] += note["read"] - note["ended"]
    for ordinal, count in seen.items():
        check_read(count, (plan.inputs[ordinal].size_bytes or 0) - len(plan.header))
