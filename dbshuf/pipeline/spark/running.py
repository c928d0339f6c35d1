"""A job of Spark while it runs: what its tasks are sent, its errors, and how far it is."""

import contextlib
import pickle
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

from dbshuf.base.progress import Progress
from dbshuf.errors import DbshufError
from dbshuf.pipeline.spark.job import Job
from dbshuf.pipeline.spark.session import JOB_GROUP
from dbshuf.pipeline.spark.task_errors import from_spark
from dbshuf.plan.spark_plan import SparkPlan

_POLL_S = 0.5
_GRACE_S = 2.0  # spark.python.task.killTimeout: so long has a Python that nobody waits for
_MOST_GRACE_S = 20.0


@contextlib.contextmanager
def sent(context: Any, plan: SparkPlan, job: Job) -> Iterator[Any]:
    """Give a job as tasks take it, while they run; what fails in them is told as an error of ours.

    Raises  any DbshufError
    """
    broadcast = context.broadcast((secrets.token_hex(8), pickle.dumps(job)))
    try:
        context.setJobGroup(JOB_GROUP, "dbshuf shuffle", interruptOnCancel=True)
        yield broadcast
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
def watched(
    context: Any, plan: SparkPlan, reporter: Progress, first: str, *then: str
) -> Iterator[None]:
    """Report how many tasks are done, from a thread of its own.

    first  the name of the stage that reads the splits
    then   those of the ones after it; none: it is too short to be told of
    """
    done, size = threading.Event(), plan.survey.text_bytes
    reporter.stage(first, size)

    def watch() -> None:
        tracker, shown, stage = context.statusTracker(), 0, first
        names = _StageNames(len(plan.splits), first, then)
        while not done.wait(_POLL_S):
            with contextlib.suppress(Exception):
                for number in tracker.getActiveStageIds():
                    found = tracker.getStageInfo(number)
                    name = names.of(number, found.numTasks)
                    if name not in (None, stage, first):
                        reporter.stage(name, size)
                        shown, stage = 0, name
                    total = (size or 0) * found.numCompletedTasks // found.numTasks
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


class _StageNames:
    """What the stages of a job are called, which come one after the other."""

    def __init__(self, splits: int, first: str, then: tuple[str, ...]) -> None:
        self._splits, self._first, self._then = splits, first, then
        self._later: list[int] = []

    def of(self, number: int, tasks: int) -> str | None:
        """Return the name of a stage of so many tasks; None: it has none."""
        if tasks == self._splits and number not in self._later:
            return self._first
        if not self._then:
            return None
        if number not in self._later:
            self._later.append(number)
        return self._then[min(self._later.index(number), len(self._then) - 1)]
