"""File systems of a test's own, where mounting is permitted.

With DBSHUF_REQUIRE_MOUNT=1 a test that needs one fails where root may not mount, instead of being
skipped.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(place: Path, *what: str) -> Iterator[Path]:
    """Mount over `place` for as long as the test runs, `what` as for mount(8); else skip."""
    place.touch() if what[0] == "--bind" and Path(what[1]).is_file() else place.mkdir(exist_ok=True)
    command = ["mount", *what, str(place)]
    if (
        sys.platform != "linux"
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        if os.environ.get("DBSHUF_REQUIRE_MOUNT") and os.geteuid() == 0:
            pytest.fail("mounting a file system is not permitted")
        pytest.skip("mounting a file system is not permitted")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def small(place: Path) -> contextlib.AbstractContextManager[Path]:
    """A file system of 1 MiB."""
    return sized(place, "size=1m")


def sized(place: Path, size: str) -> contextlib.AbstractContextManager[Path]:
    """A file system of so many bytes or files: "size=20m", "nr_inodes=3"."""
    return mounted(place, "-t", "tmpfs", "-o", size, "tmpfs")
