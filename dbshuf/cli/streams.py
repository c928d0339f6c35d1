"""The three standard streams, which may be closed, full or open the wrong way round."""

import contextlib
import fcntl
import os
import sys
from typing import TextIO

from dbshuf.errors import OutputUnwritable

_STREAMS = (
    (0, "stdin", os.O_WRONLY),
    (1, "stdout", os.O_RDONLY),
    (2, "stderr", os.O_RDONLY),
)


def settle_streams() -> None:
    """Set a standard stream to None if it cannot be used, and hold its descriptor.

    The next file that is opened would get the number of a closed one, and the output what
    an engine prints to stderr. It is held the wrong way round, so that its use still fails.
    """
    for fd, name, wrong_way in _STREAMS:
        try:
            way = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
        except OSError:
            way = wrong_way
            os.open(os.devnull, wrong_way)  # takes the lowest number that is free: fd
        if way == wrong_way:
            setattr(sys, name, None)


def need_stdout(hint: str = "") -> None:
    """Raise OutputUnwritable if nobody can be told anything, before any work for it."""
    if sys.stdout is None:
        raise OutputUnwritable("standard output is closed", hint=hint)


def write_stdout(text: str) -> None:
    """Print `text`, file names as the bytes that they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.rstrip("\n").encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.buffer.flush()


def drop_stdout() -> None:
    """Let what Python still holds for stdout go nowhere, instead of failing at exit."""
    _drop(sys.stdout)


def let_stderr_go() -> None:
    """Drop what stderr does not take, so that Python's flush at exit leaves the code alone."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except (OSError, ValueError):
        _drop(sys.stderr)


def _drop(stream: TextIO | None) -> None:
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
