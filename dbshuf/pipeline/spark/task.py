"""What every task of a job does first: it takes the job, and looks whether it can do it here."""

import contextlib
import os
import pickle
import socket
from typing import Any

from dbshuf.base.versions import versions_here
from dbshuf.errors import ExtraMissing, OutputUnwritable
from dbshuf.pipeline.spark.job import Job

TOKEN = "token"  # the file in the folder of a job that says whose it is
_held: dict[str, Job] = {}  # the last job of this process: queries are bound once


def job_of(broadcast: Any) -> Job:
    """Return the job that a broadcast holds, checked on this machine.

    Raises  ExtraMissing, OutputUnwritable
    """
    name, data = broadcast.value
    job = _held.get(name)
    if job is None:
        _held.clear()
        job = _held[name] = pickle.loads(data)
    with contextlib.suppress(OSError):  # absolute names need no such folder
        os.chdir(job.here)
    _check(job)
    return job


def _check(job: Job) -> None:
    here = versions_here()
    if here != job.versions:
        name = next(one for one in here if here[one] != job.versions.get(one))
        raise ExtraMissing(
            f"{name} is {here[name]} on `{socket.gethostname()}`, and {job.versions.get(name)}"
            " where dbshuf was started: their outputs may differ",
            hint=f"pip install '{name}=={job.versions.get(name)}' on every machine of the cluster",
        )
    if not job.token:
        return
    try:
        with open(os.path.join(job.folder, TOKEN)) as file:
            is_same = file.read() == job.token
    except OSError:
        is_same = False
    if not is_same:
        raise OutputUnwritable(
            f"an executor on `{socket.gethostname()}` does not see `{job.folder}`: the output lies"
            " on a disk that not all machines of the cluster share",
            hint="write to a file system that all of them mount under that name, or run on this"
            " machine with --spark-master 'local[N]'",
        )
