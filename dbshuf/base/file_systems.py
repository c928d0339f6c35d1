"""Which kind of file system a path lies on, as the kernel tells."""

import contextlib
import os
from pathlib import Path

# What shows the kernel, and takes no file of anybody's, though root may write there.
_OF_THE_KERNEL = frozenset(
    {"cgroup", "cgroup2", "configfs", "debugfs", "devpts", "proc", "securityfs", "sysfs", "tracefs"}
)


def file_system(device: int) -> str:
    """Return the kind of the file system on a device; empty if the kernel does not tell."""
    number = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError), open("/proc/self/mountinfo") as mounts:
        for mount in mounts:
            left, _, right = mount.partition(" - ")
            if left.split()[2] == number:
                return right.split()[0]
    return ""


def is_of_the_kernel(folder: Path) -> bool:
    """Whether no file can be made in a directory, by whomever. Raises OSError."""
    return file_system(os.stat(folder).st_dev) in _OF_THE_KERNEL


def takes_files(folder: Path) -> bool:
    """Whether it is a directory in which this user can make files; none is made to tell."""
    may_write = os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)
    return may_write and not is_of_the_kernel(folder)
