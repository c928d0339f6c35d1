"""What memory and cores there are, and what this process holds of them."""

import contextlib
import ctypes
import os
import resource
import sys
from pathlib import Path

import pyarrow

from dbshuf.base.address_space import room_bytes
from dbshuf.units import MIB

_NEAR_BYTES = 48 * MIB  # what is kept may grow by that much between two looks, or by an eighth
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Return the resident set of this process now, in bytes (its peak where unknown)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return peak_resident_bytes()


def peak_resident_bytes() -> int:
    """Return the largest resident set that this process has had, in bytes."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def release_unused() -> None:
    """Give memory that the allocators keep back to the system, where they can."""
    pyarrow.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc


def relieve(cap_bytes: int) -> None:
    """Release what the allocators keep if the resident set comes near a cap.

    Arrow's keeps for a second what it may use again: of rows of 20 kB from Parquet at
    --memory 250MB it held 147 MB, and 62 were in use (pyarrow 26.0.1).
    """
    if resident_bytes() > cap_bytes - max(_NEAR_BYTES, cap_bytes // 8):
        release_unused()


def available_bytes() -> int:
    """Return the memory that this process may use: the machine's, or its cgroup's if less."""
    machine = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    return min([machine, *cgroup_limits()])


def default_memory_bytes(threads: int) -> int:
    """Return --memory where none is given: half of what there is, if there are addresses for it."""
    half, room = available_bytes() // 2, room_bytes(threads)
    return half if room is None else min(half, room)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_limits(
    memberships: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")
) -> list[int]:
    """Return every memory limit (bytes) on the path from this process's cgroup to the root.

    memberships  where the kernel names the cgroups of this process
    mount        where they are to be seen, of version 2, or of version 1 by controllers
    """
    try:
        lines = memberships.read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        root, file = mount, "memory.max"
        if "memory" in controllers.split(","):
            root, file = root / "memory", "memory.limit_in_bytes"
        elif controllers:
            continue
        folder = root / name.lstrip("/")
        for level in (folder, *folder.parents):
            if not level.is_relative_to(root):
                break
            text = _read(level / file)
            if text.isdigit():
                limits.append(int(text))
    return limits


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
