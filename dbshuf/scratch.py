"""Names that must not outlive a run: hidden outputs and private temporary folders.

A name is claimed before anything is made under it, so that an interrupt at any moment,
also between the making and the try that follows, leaves it known: what is still claimed
when the interpreter ends is removed then.
"""

import atexit
import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

_claimed: set[Path] = set()


def claim(path: Path) -> Path:
    """Note that `path` is about to be made and may be removed; return it."""
    _claimed.add(path)
    return path


def release(path: Path) -> None:
    """Forget a name: what it named has been removed, or has its final name."""
    _claimed.discard(path)


def remove(path: Path) -> None:
    """Remove a claimed file or folder, if it is there, and forget the name; never raises."""
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    release(path)


@contextlib.contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """A folder of this run alone, mode 0700, gone afterwards whatever happens."""
    folder = claim(parent / f".dbshuf-{secrets.token_hex(6)}")
    try:
        os.mkdir(folder, 0o700)
        yield folder
    finally:
        remove(folder)


@atexit.register
def _remove_all() -> None:
    for path in list(_claimed):
        remove(path)
