"""File systems of a test's own, where mounting is permitted."""

import contextlib
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
        pytest.skip("mounting a file system is not permitted")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def small(place: Path) -> contextlib.AbstractContextManager[Path]:
    """A file system of 1 MiB."""
    return mounted(place, "-t", "tmpfs", "-o", "size=1m", "tmpfs")
