"""Spark is started, or the session that a program has is used, and it is left as it was found."""

import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dbshuf.errors import DbshufError, EngineFailed, ExtraMissing
from dbshuf.plan.spark_memory import is_local, sorts_share
from dbshuf.plan.spark_plan import SHUFFLE_COMPRESS, SparkPlan
from dbshuf.units import MIB

_LEAST_JAVA = 17
# What fills a heap are pages of rows, which G1 frees at once: from 45 % on, its own default, it
# would look through the heap for garbage all the time. Other collectors ignore this.
_MARK_LATE = "-XX:InitiatingHeapOccupancyPercent=85 -XX:-G1UseAdaptiveIHOP"
_NO_TRACE = "-XX:-UsePerfData"  # else a JVM that is killed leaves a file of its own in /tmp
_ROWS_CHECKSUM = "spark.sql.shuffle.orderIndependentChecksum"
_JAVA_OPTIONS = "spark.driver.extraJavaOptions"
_INSTALL_SPARK = "pip install 'dbshuf[spark]'"
_INSTALL_JAVA = "apt-get install openjdk-17-jre-headless, or set JAVA_HOME to Java 17 or newer"
_JVM_END_S = 20.0
_BATCH_ROWS = 1 << 16  # of a batch that the JVM hands to Python
_LOG_LINES = 3  # of Spark's last words, in a message


def check_installed() -> None:
    """Raise ExtraMissing unless pyspark and Java are there."""
    for name in ("pyspark", "pandas"):  # pyspark asks for pandas whenever Arrow is in use
        if find_spec(name) is None:
            raise ExtraMissing(
                f"--engine spark needs {name}, which is not installed", hint=_INSTALL_SPARK
            )
    from pyspark.sql import DataFrame

    if not hasattr(DataFrame, "repartitionById"):
        raise ExtraMissing("--engine spark needs pyspark 4.1 or newer", hint=_INSTALL_SPARK)
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # spark-submit has Java already
        _check_java()


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    if java is None or not os.access(java, os.X_OK):
        where = f"there is none at JAVA_HOME, `{home}`" if home else "there is none on the PATH"
        raise ExtraMissing(f"--engine spark needs Java: {where}", hint=_INSTALL_JAVA)
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', told.stderr + told.stdout)
    if found is not None and int(found[1]) < _LEAST_JAVA:
        raise ExtraMissing(
            f"--engine spark needs Java {_LEAST_JAVA} or newer, and `{java}` is Java {found[1]}",
            hint=_INSTALL_JAVA,
        )


@contextlib.contextmanager
def spark_session(plan: SparkPlan, folder: Path) -> Iterator[Any]:
    """Give a session for a plan.

    A session that the program has already, or that spark-submit set up, is used and stays;
    else Spark is started, and ended with all its processes.
    folder  for what a local master keeps on disk
    Raises  ExtraMissing, EngineFailed
    """
    check_installed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of pandas 3, which is not used
        from pyspark import SparkContext
        from pyspark.sql import SparkSession

        running = SparkContext._active_spark_context
        if running is not None:
            session = SparkSession.builder.getOrCreate().newSession()
            for key, value in _sql_settings(plan).items():
                session.conf.set(key, value)
            try:
                yield session
            finally:
                _cancel(running)
            return
        with _quiet_gateway():
            session = _started(plan, folder)
            try:
                yield session
            finally:
                _cancel(session.sparkContext)
                _end(session, is_local=plan.is_local)


def settings(plan: SparkPlan, folder: Path) -> dict[str, str]:
    """Return the properties of a session that is started here; the user's come last."""
    found = {
        "spark.app.name": "dbshuf",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "WARN",
        **_sql_settings(plan),
    }
    memory = plan.memory
    if is_local(plan.master):
        heap = memory.heap_bytes or 0
        found |= {
            "spark.driver.memory": f"{heap // MIB}m",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.local.dir": str(folder),
            SHUFFLE_COMPRESS: str(plan.compresses_shuffle).lower(),
            "spark.memory.fraction": str(sorts_share(plan.survey.longest_line_bytes)),
            _JAVA_OPTIONS: f"{_MARK_LATE} {_NO_TRACE} -Djava.io.tmpdir={folder}",
        }
        if _tasks_have_this_python(plan):
            found["spark.python.daemon.module"] = "dbshuf.pipeline.spark.daemon"
    elif memory.heap_bytes is not None and memory.executor_bytes is not None:
        beside = memory.executor_bytes - memory.heap_bytes
        found |= {
            "spark.executor.memory": f"{memory.heap_bytes // MIB}m",
            "spark.executor.memoryOverhead": f"{beside // MIB}m",
        }
    asked = dict(plan.conf)
    if _JAVA_OPTIONS in found and _JAVA_OPTIONS in asked:
        asked[_JAVA_OPTIONS] = f"{found[_JAVA_OPTIONS]} {asked[_JAVA_OPTIONS]}"
    return found | asked | {"spark.speculation": "false"}


def _tasks_have_this_python(plan: SparkPlan) -> bool:
    """Whether tasks run in a Python that has dbshuf for sure."""
    named = dict(plan.conf).get("spark.pyspark.python") or os.environ.get("PYSPARK_PYTHON")
    return named is None or named == sys.executable


def _sql_settings(plan: SparkPlan) -> dict[str, str]:
    return {
        # The shuffle of a job goes when it has ended: that of the next epoch has its room.
        "spark.sql.classic.shuffleDependency.fileCleanup.enabled": "true",
        "spark.sql.adaptive.enabled": "false",  # partitions stay what they were planned to be
        "spark.sql.shuffle.partitions": str(plan.cores),  # of counts, which are few
        # Whether a task that is run again gives other rows: ours do not, and their keys are summed.
        f"{_ROWS_CHECKSUM}.enabled": "false",
        f"{_ROWS_CHECKSUM}.enableFullRetryOnMismatch": "false",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(_BATCH_ROWS),
        "spark.sql.execution.arrow.maxBytesPerBatch": str(plan.memory.buffer_bytes),
    }


def _started(plan: SparkPlan, folder: Path) -> Any:
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    conf = SparkConf(loadDefaults=False)
    for key, value in settings(plan, folder).items():
        conf.set(key, value)
    if plan.master is not None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        conf.setMaster(plan.master)
    answers = _answers()
    log = open(folder / "log", "w+b")  # noqa: SIM115, closed below
    try:
        with _errors_to(log):
            SparkContext._ensure_initialized(conf=conf)
        with _python_of_tasks(plan):
            return SparkSession.builder.config(conf=conf).getOrCreate()
    except DbshufError:
        raise
    except Exception as error:
        raise EngineFailed(
            f"Spark does not start with master `{plan.master}`: {_last_words(log, error)}",
            hint="DBSHUF_DEBUG=1 shows all that it says",
        ) from error
    finally:
        for number, answer in answers.items():  # pyspark takes SIGINT for itself
            signal.signal(number, answer)
        log.close()


@contextlib.contextmanager
def _python_of_tasks(plan: SparkPlan) -> Iterator[None]:
    """Name the Python of tasks: as asked, or for a local master this one.

    Spark reads the property from what it submits alone, and pyspark the variable alone.
    """
    asked = dict(plan.conf).get("spark.pyspark.python")
    before = os.environ.get("PYSPARK_PYTHON")
    if asked is None and before is None and is_local(plan.master):
        asked = sys.executable
    if asked is not None:
        os.environ["PYSPARK_PYTHON"] = asked
    try:
        yield
    finally:
        if asked is not None:
            os.environ.pop("PYSPARK_PYTHON")
            if before is not None:
                os.environ["PYSPARK_PYTHON"] = before


def _answers() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {signal.SIGINT: signal.getsignal(signal.SIGINT)}


@contextlib.contextmanager
def _quiet_gateway() -> Iterator[None]:
    """Drop what py4j logs of an interrupt, tracebacks: we say what happened.

    It tells the root logger, as well as its own.
    """
    if os.environ.get("DBSHUF_DEBUG"):
        yield
        return
    root, own = logging.getLogger(), logging.getLogger("py4j")
    level = own.level
    root.addFilter(_is_not_of_gateway)
    own.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        root.removeFilter(_is_not_of_gateway)
        own.setLevel(level)


def _is_not_of_gateway(record: logging.LogRecord) -> bool:
    return f"{os.sep}py4j{os.sep}" not in record.pathname


@contextlib.contextmanager
def _errors_to(log: Any) -> Iterator[None]:
    """Let what is started have another standard error: Spark's log is not for a terminal."""
    if os.environ.get("DBSHUF_DEBUG"):
        yield
        return
    sys.stderr.flush()
    ours = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)


def _last_words(log: Any, error: Exception) -> str:
    """Return what Spark said last, in one line."""
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    said = [
        line for line in lines if re.search(r"ERROR|Exception|Error|WARN .*(?:aster|onnect)", line)
    ]
    words = " ".join(said[-_LOG_LINES:]) or str(error)
    return " ".join(words.split())[:300]


def _cancel(context: Any) -> None:
    with contextlib.suppress(Exception):
        context.cancelJobGroup(JOB_GROUP)


JOB_GROUP = "dbshuf"


def _end(session: Any, *, is_local: bool) -> None:
    """End Spark and its JVM, so that nothing of it is left when its folder is removed.

    Of a stopped local one the JVM would only remove that folder itself, in 0.8 s; it is killed.
    """
    from pyspark import SparkContext

    with contextlib.suppress(Exception):
        session.stop()
    gateway = SparkContext._gateway
    process = getattr(gateway, "proc", None)
    if gateway is None or process is None:
        return
    with contextlib.suppress(Exception):
        gateway.shutdown()
    SparkContext._gateway = SparkContext._jvm = None
    if is_local:
        process.kill()
    with contextlib.suppress(Exception):
        process.stdin.close()
    try:
        process.wait(_JVM_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def upload_accumulator(session: Any) -> Any:
    """Return an accumulator of lists, to which every task that ends adds what it sent."""
    from pyspark.accumulators import AccumulatorParam

    class Lists(AccumulatorParam[list[Any]]):
        def zero(self, value: list[Any]) -> list[Any]:
            return []

        def addInPlace(self, value1: list[Any], value2: list[Any]) -> list[Any]:
            value1.extend(value2)
            return value1

    return session.sparkContext.accumulator([], Lists())
