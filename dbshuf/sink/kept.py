"""A hidden output that a later process goes on with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dbshuf.base.temporary import claim
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
    return claim(kept.hidden or hidden, kept.work_dir)
