"""A hidden output that a later process goes on with."""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dbshuf.base.filenames import owner_of
from dbshuf.base.owner import lock_again
from dbshuf.base.temporary import claim, is_claimed
from dbshuf.errors import OutputUnwritable
from dbshuf.sink.raw_file import SealedBytes


@dataclass(frozen=True)
class Kept:
    """How a hidden output is one that a later process goes on with.

    work_dir  where the journal is
    hidden    its name, if there is one already
    note      is told of a new name before anything is made under it
    numbers   of a directory: of the files in it that are to stay
    had       of a file: what is in it to stay
    """

    work_dir: Path
    hidden: Path | None
    note: Callable[[Path], None]
    numbers: frozenset[int] = frozenset()
    had: SealedBytes | None = None


def claimed(hidden: Path, kept: Kept | None) -> Path:
    """Claim a hidden name, or the one that there was, and return it."""
    if kept is None:
        return claim(hidden)
    if kept.hidden is None:
        kept.note(hidden)
    try:
        return claim(kept.hidden or hidden, kept.work_dir)
    except BlockingIOError:
        raise _in_use(kept.hidden or hidden) from None


def refuse_in_use(hidden: Path) -> None:
    """Raise OutputUnwritable if another process has a hidden output, by a copy of the journal."""
    if is_claimed(hidden):
        return
    try:
        fd = lock_again(owner_of(hidden))
    except BlockingIOError:
        raise _in_use(hidden) from None
    if fd is not None:
        os.close(fd)


def _in_use(hidden: Path) -> OutputUnwritable:
    return OutputUnwritable(
        f"`{hidden}` is in use by another run, with a copy of this --work-dir",
        hint=f"wait for it; `cat {shlex.quote(str(owner_of(hidden)))}` says which it is",
    )
