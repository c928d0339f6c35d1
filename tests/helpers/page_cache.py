"""Imported before any library: what pip has just written is as after a restart of the machine.

What of a library is resident is up to how its file lies in the page cache. pip from 24.1 on
writes 1 MiB at a time, such pieces stay together there, and Linux from 6.18 on maps all of one
where a byte of it is needed: 116 MB of libraries where it otherwise is 76 (pyarrow 26.0.1). A plan
takes it into account. The caps in these tests, and in README, are those of the usual state.
"""

import contextlib
import os
import sysconfig
from pathlib import Path


def _forget(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)  # what is not on the disk yet would stay
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


if "PYTEST_XDIST_WORKER" not in os.environ and hasattr(os, "posix_fadvise"):
    for _library in Path(sysconfig.get_path("platlib")).rglob("*.so*"):
        with contextlib.suppress(OSError):
            _forget(_library)
