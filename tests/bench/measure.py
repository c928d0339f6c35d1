"""Run commands and account for them; put the page cache into a known state before."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
MESSAGE_CHARACTERS = 300
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
NULL = Path(os.devnull)


@dataclass(frozen=True)
class Command:
    """A program with its arguments, what it adds to the environment, and its streams."""

    argv: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: Path = NULL
    stdout: Path = NULL


@dataclass(frozen=True)
class Usage:
    """What a run cost, or several commands one after the other."""

    wall_s: float
    user_s: float
    system_s: float
    peak_rss_bytes: int
    exit: int
    message: str  # the end of stderr, if it failed


def run_one(command: Command, stderr: Path, timeout_s: int) -> Usage:
    """Run `command` and return its cost; peak RSS is never below that of launch.py.

    stderr     file that receives the command's messages
    timeout_s  whole seconds until the command is killed
    """
    order = {
        "argv": [str(part) for part in command.argv],
        "env": {**os.environ, "LC_ALL": "C", **command.env},
        "stdin": str(command.stdin),
        "stdout": str(command.stdout),
        "stderr": str(stderr),
        "timeout_s": timeout_s,
    }
    exit_code, answer_text, complaint = _launch(json.dumps(order))
    if exit_code != 0:
        return Usage(0, 0, 0, 0, 127, _end_of(complaint))
    answer = json.loads(answer_text)
    message = ""
    if answer["exit"] != 0:
        message = _end_of(stderr.read_text(errors="backslashreplace"))
        if answer["wall_s"] >= timeout_s:
            message = f"killed after {timeout_s} s; {message}"
    return Usage(**answer, message=message)


def _launch(order: str) -> tuple[int, str, str]:
    """Run launch.py and return (exit, stdout, stderr); end it if this process is to end."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", LAUNCHER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        try:
            answer, complaint = launcher.communicate(order)
        except BaseException:
            launcher.terminate()
            raise
    return launcher.returncode, answer, complaint


def run_all(commands: Sequence[Command], stderr: Path, timeout_s: int) -> Usage:
    """Run commands one after the other until one fails; times add up, peak RSS does not."""
    usages = []
    for command in commands:
        usages.append(run_one(command, stderr, timeout_s))
        if usages[-1].exit != 0:
            break
    return Usage(
        sum(usage.wall_s for usage in usages),
        sum(usage.user_s for usage in usages),
        sum(usage.system_s for usage in usages),
        max(usage.peak_rss_bytes for usage in usages),
        usages[-1].exit,
        usages[-1].message,
    )


def _end_of(text: str) -> str:
    """Return the end of a message on one line."""
    line = " ".join(text.replace("\r", "\n").split())
    return line if len(line) <= MESSAGE_CHARACTERS else f"... {line[-MESSAGE_CHARACTERS:]}"


def flush() -> float:
    """Write all dirty pages of the machine to disk; return the seconds it took."""
    begin_s = time.perf_counter()
    os.sync()
    return time.perf_counter() - begin_s


def warm(path: Path) -> None:
    """Read `path` once, so that it is in the page cache if it fits."""
    buffer = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def cool(path: Path) -> None:
    """Drop `path` from the page cache, and for root also all else, as the tools' own files."""
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if can_drop_all():
        DROP_CACHES.write_text("3\n")


def can_drop_all() -> bool:
    """Return whether this user can drop the whole page cache."""
    return os.access(DROP_CACHES, os.W_OK)
