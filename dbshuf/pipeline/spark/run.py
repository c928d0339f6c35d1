"""One shuffle on Spark, seen from the driver."""

import contextlib
import json
import os
import posixpath
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dbshuf.base.counters import Tally
from dbshuf.base.progress import Progress
from dbshuf.base.temporary import private_folder
from dbshuf.base.versions import versions_here
from dbshuf.errors import EngineFailed
from dbshuf.order.spread import Slots
from dbshuf.pipeline.epochs import EpochProgress, EpochsRecord
from dbshuf.pipeline.run_checks import check_read, check_rows, check_totals
from dbshuf.pipeline.spark.commit import (
    JobRecord,
    OneCommit,
    ShardCommit,
    UploadCommit,
    Written,
    in_order,
    job_folder,
    shard_commit,
)
from dbshuf.pipeline.spark.count import check_equal, counted_starts
from dbshuf.pipeline.spark.job import Carrier, Job
from dbshuf.pipeline.spark.read_task import read_task
from dbshuf.pipeline.spark.running import sent, watched
from dbshuf.pipeline.spark.session import spark_session, upload_accumulator
from dbshuf.pipeline.spark.slot_task import slot_task
from dbshuf.pipeline.spark.write_task import RESULT, write_task
from dbshuf.plan.epoch_plan import spark_plan_of_epoch
from dbshuf.plan.epochs import Epochs
from dbshuf.plan.spark_plan import SparkPlan
from dbshuf.sink.epochs import Below
from dbshuf.sink.seal import NamedFile, WrittenFile
from dbshuf.sink.shard_names import epoch_folder

Shards = ShardCommit | UploadCommit


def run_on_spark(plan: SparkPlan, reporter: Progress) -> Tally:
    """Do what a plan says and publish the output; return what was written.

    Raises  any DbshufError; then, and on an interrupt, nothing was published
    """
    if plan.epochs is not None:
        return _run_epochs(plan, plan.epochs, reporter)
    with contextlib.ExitStack() as held:
        folder = held.enter_context(private_folder(plan.temp_dir))
        record = None
        if plan.wanted is not None:
            record = held.enter_context(contextlib.closing(JobRecord(plan, plan.wanted)))
        commit = shard_commit(plan, folder) if plan.in_shards else OneCommit(plan, folder)
        try:
            with job_folder(commit.parent) as (work, token):
                reporter.stage("start Spark", None)
                with spark_session(plan, folder) as session:
                    job = _job(plan, work, token, commit.owner)
                    results = _results(session, plan, job, reporter, commit)
                read, written = _checked(plan, results, record)
                reporter.stage("publish", None if plan.in_shards else read.text_bytes)
                if isinstance(commit, OneCommit):
                    total = commit.publish(work, written, reporter.advance, read, record)
                else:
                    assert record is not None, "shards have a manifest"
                    total = _total(read, written, record)
                    record.write(commit.take(work, written), commit.directory)
                    commit.publish()
                    record.publish()
                total.seen_rows = read.seen_rows
                return total
        except BaseException:
            commit.abort()
            raise


def _run_epochs(plan: SparkPlan, epochs: Epochs, reporter: Progress) -> Tally:
    """Have each epoch made and checked by a job, then publish all of them."""
    total, files = Tally(), list[NamedFile]()
    with contextlib.ExitStack() as held:
        folder = held.enter_context(private_folder(plan.temp_dir))
        record = held.enter_context(contextlib.closing(EpochsRecord(plan)))
        commit = shard_commit(plan, folder)
        try:
            reporter.stage("start Spark", None)
            with spark_session(plan, folder) as session:
                jobs = _EpochJobs(session, commit, record)
                for epoch in range(epochs.count):
                    told = EpochProgress(reporter, epoch, epochs.count)
                    counted, made = jobs.run(plan, epoch, told)
                    total.merge(counted)
                    files += made
            reporter.stage("publish", None)
            if record.of_all is not None:
                record.of_all.write(files, None)
            commit.publish()
            if record.of_all is not None:
                record.of_all.publish()
            return total
        except BaseException:
            commit.abort()
            raise


@dataclass(frozen=True)
class _EpochJobs:
    """Writes epochs, a job each, in one session and for one output."""

    session: Any
    commit: Shards
    of_all: EpochsRecord

    def run(self, plan: SparkPlan, epoch: int, reporter: Progress) -> tuple[Tally, list[NamedFile]]:
        """Have the shards of an epoch written; return what they hold, and their names.

        Raises  InputChanged, CheckFailed; what a run of one order raises
        """
        assert plan.epochs is not None
        assert self.of_all.alone is not None, "shards have a manifest"
        below = epoch_folder(epoch, plan.epochs.count)
        plan = spark_plan_of_epoch(plan, epoch)
        with (
            contextlib.closing(JobRecord(plan, self.of_all.alone)) as record,
            job_folder(self.commit.parent) as (work, token),
        ):
            job = replace(_job(plan, work, token, self.commit.owner), below=below)
            results = _results(self.session, plan, job, reporter, self.commit)
            read, written = _checked(plan, results, record)
            total = _total(read, written, record)
            files = self.commit.take(work, written, below)
            seal = record.settle()
            seal.write(files, Below(self.commit.directory, below))
            self.of_all.end(seal)
        self.of_all.check_same(plan, epoch, total)
        return total, [(posixpath.join(below, name), one) for name, one in files]


def _total(read: Tally, written: list[Written], record: JobRecord) -> Tally:
    """Return what shards hold, and note their rows. Raises CheckFailed unless it is all of it."""
    total = Tally()
    for one in written:
        total.merge(Tally(one.rows, one.text_bytes, one.key_sum))
        record.rows_out.add(one.rows, one.row_sum)
    check_totals(read, total)
    total.seen_rows = read.seen_rows
    return total


def _job(plan: SparkPlan, work: Path, token: str, owner: str) -> Job:
    return Job(
        inputs=plan.inputs,
        splits=plan.splits,
        shape=plan.shape,
        target=plan.task_target,
        terminator=plan.terminator,
        header_bytes=len(plan.header),
        words=plan.words,
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
        prefixes=None if plan.order_by is None else plan.order_by.prefixes,
        slots=Slots(plan.seed) if plan.value_ranges else None,
        value_ranges=plan.value_ranges,
    )


def _results(
    session: Any, plan: SparkPlan, job: Job, reporter: Progress, commit: "Shards | OneCommit"
) -> list[tuple[int, dict[str, Any]]]:
    """Run a job, and return what its tasks tell; `commit` notes what they sent, if it fails too."""
    if not isinstance(commit, UploadCommit):
        return _run_job(session, plan, job, reporter, None)
    uploads = upload_accumulator(session)
    try:
        return _run_job(session, plan, job, reporter, uploads)
    finally:
        commit.note(uploads.value)


def _run_job(
    session: Any, plan: SparkPlan, job: Job, reporter: Progress, uploads: Any
) -> list[tuple[int, dict[str, Any]]]:
    """Run all stages, and return what every task has to tell: its partition, and what it did."""
    context = session.sparkContext
    if plan.counts:
        job = replace(job, counted=counted_starts(session, plan, job, reporter))
    with sent(context, plan, job) as broadcast:
        numbers = session.range(0, len(plan.splits), 1, max(len(plan.splits), 1))
        rows = numbers.mapInArrow(read_task(broadcast), job.read_carrier.ddl)
        stages = ["sort and write"]
        if job.slots is not None:
            valued = _ordered(rows, job.read_carrier, job.read_partitions)
            rows = valued.mapInArrow(slot_task(broadcast), job.carrier.ddl)
            stages.insert(0, "spread")
        ordered = _ordered(rows, job.carrier, plan.partitions)
        told = ordered.mapInArrow(write_task(broadcast, uploads), RESULT)
        with watched(context, plan, reporter, "read", *stages):
            return [(row.part, json.loads(row.told)) for row in told.collect()]


def _ordered(rows: Any, carrier: Carrier, partitions: int) -> Any:
    """Return rows in their partitions, and one more for notes, each in order."""
    parts = rows.repartitionById(partitions + 1, rows["bucket"])
    return parts.select(*carrier.sorted_names).sortWithinPartitions(*carrier.order_names)


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
    written = in_order(written, plan.partitions)
    if plan.counts and plan.in_shards:
        check_equal(written)
    return read, written


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
