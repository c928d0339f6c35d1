"""The command as a process that is started: how, under which limits, and how it ended."""

import ctypes
import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fork_server import Call

DBSHUF = (sys.executable, "-m", "dbshuf")
AMOUNT = re.compile(r"(\d[\d,_]*(?:\.\d+)?)\s?([kKMGT]?i?B|bytes)\b")
PREFIXES = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}

# A child's ru_maxrss starts at the peak of whoever spawned it, so a bare interpreter does.
MEASURE = """
import json, os, sys
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
unit = 1 if sys.platform == "darwin" else 1024
with open(sys.argv[1], "w") as report:
    json.dump([os.waitstatus_to_exitcode(status), usage.ru_maxrss * unit], report)
"""


@dataclass(frozen=True)
class Ran:
    """How one run of the command ended; peak_rss_bytes only where it was measured."""

    code: int
    out: bytes
    err: str
    peak_rss_bytes: int = 0

    def amounts(self) -> dict[int, str]:
        """Return every amount with a unit that stderr names: bytes -> as a user types it."""
        found = {}
        for number, unit in AMOUNT.findall(self.err):
            plain = number.replace(",", "").replace("_", "")
            prefix = "" if unit == "bytes" else unit.rstrip("B").rstrip("i").upper()
            scale = (1024 if "i" in unit else 1000) ** PREFIXES[prefix]
            found[round(float(plain) * scale)] = plain + ("B" if unit == "bytes" else unit)
        return found

    def largest_amount(self) -> str:
        """Return the largest amount that stderr names, as a user types it."""
        amounts = self.amounts()
        assert amounts, f"no amount with a unit in: {self.err}"
        return amounts[max(amounts)]

    def numbers(self) -> set[int]:
        """Return the whole numbers of stderr, those in paths and words left out."""
        words = re.sub(r"(?<=\d)[,_](?=\d{3})", "", re.sub(r"\S*/", " ", self.err))
        return {int(number) for number in re.findall(r"(?<![\w.])\d+(?![\w.]*\w)", words)}


@dataclass(frozen=True)
class Limits:
    """What a child runs under: its umask, open files, and file permissions that count."""

    umask: int = 0o022
    nofile: tuple[int, int] | None = None
    permissions_count: bool = False

    def apply(self) -> None:
        """Run in the child, before the command starts."""
        os.umask(self.umask)
        if self.nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, self.nofile)
        if self.permissions_count and sys.platform == "linux":
            for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root reads all
                ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def child_environment(home: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(home.parent / "tmpdir")}


def started(call: Call, stdout: object, limits: Limits) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*DBSHUF, *call.arguments],
        input=call.data,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=call.folder,
        env=call.environment,
        preexec_fn=limits.apply,
        timeout=call.timeout_s,
        check=False,
    )
