"""An error of ours on its way from a task through Spark, which knows tracebacks only."""

import contextlib
import importlib.metadata
import json
import re
import socket
from collections.abc import Iterator

import dbshuf.errors
from dbshuf.errors import DbshufError, EngineFailed, ExtraMissing

_MARK = "dbshuf-error:"
_FOUND = re.compile(_MARK + r"(\{.*\})")
_NO_MODULE = re.compile(r"No module named '([\w.]+)'")
_FIRST_CAUSE = re.compile(r"^(?:Caused by: )?([\w.$]+(?:Error|Exception)\b.*)$", re.MULTILINE)
_MOST_SHOWN = 300


class TaskError(Exception):
    """What a task raises: one line that the driver finds in a traceback."""


@contextlib.contextmanager
def told_to_driver() -> Iterator[None]:
    """Turn an error of ours into one that survives the way."""
    try:
        yield
    except DbshufError as error:
        told = {"class": type(error).__name__, "message": error.message, "hint": error.hint}
        raise TaskError(_MARK + json.dumps(told | {"host": socket.gethostname()})) from None


def from_spark(error: Exception) -> DbshufError:
    """Return what to tell the user when a job of Spark fails."""
    text = str(error)
    told = _FOUND.search(text)
    if told is not None:
        with contextlib.suppress(ValueError):
            found = json.loads(told[1])
            kind = getattr(dbshuf.errors, found["class"])
            return_: DbshufError = kind(found["message"], hint=found["hint"])
            return return_
    missing = _NO_MODULE.search(text)
    if missing is not None:
        return _not_installed(missing[1])
    if "PYTHON_VERSION_MISMATCH" in text:
        return EngineFailed(
            "the Python of Spark's executors is of another version than this one",
            hint="name one with --spark-conf spark.pyspark.python=PATH",
        )
    return EngineFailed(
        f"Spark gave up: {_in_short(text)}",
        hint="see the logs of its executors; DBSHUF_DEBUG=1 shows all that Spark says",
    )


def _not_installed(module: str) -> ExtraMissing:
    package = module.partition(".")[0]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        package = f"{package}=={importlib.metadata.version(package)}"
    return ExtraMissing(
        f"the Python of Spark's executors has no `{module}`",
        hint=f"pip install '{package}' on every machine of the cluster; --spark-conf"
        " spark.pyspark.python=PATH names the Python there",
    )


def _in_short(text: str) -> str:
    """Return what a Java traceback says first of its last cause."""
    causes = _FIRST_CAUSE.findall(text)
    words = causes[-1] if causes else text.strip().splitlines()[0] if text.strip() else "no reason"
    return " ".join(words.split())[:_MOST_SHOWN]
