"""What the figures were made on, without names or paths of the machine."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from measure import can_drop_all

from dbshuf.units import human

LIBRARIES = ("duckdb", "pyarrow", "numpy")


def facts(work_dir: Path) -> dict[str, str]:
    """Return names and values; `work_dir` is where corpora, temp and outputs lie."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "kernel": f"{platform.system()} {platform.release()}",
        "C library": " ".join(platform.libc_ver()),
        "CPU": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "memory": human(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        "file system": _file_system(work_dir),
        "dropped for cold runs": "whole page cache" if can_drop_all() else "the input",
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(path: Path) -> str:
    """Return type and options of the mount that holds `path`."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, kind = line.partition(" - ")
        if mount.split()[2] == number:
            return f"{kind.split()[0]} ({mount.split()[5]})"
    return "unknown"


def without_paths(text: str, work_dir: Path) -> str:
    """Return `text` with the directories of this machine replaced by names."""
    names = {
        str(work_dir): "WORK",
        str(Path(__file__).parents[2]): "REPO",
        sys.prefix: "ENV",
        sys.base_prefix: "PYTHON",
        str(Path.home()): "HOME",
    }
    for path in sorted(names, key=len, reverse=True):
        if len(path) > 1:
            text = text.replace(path, names[path])
    return text
