"""Whether an output has the name that a run was about to give it, and is still what it was.

A file is known again by its number (inode), its size, and its first and last bytes: no rename,
`touch` or `chmod` changes any of these. The number alone says too little, since a file system
gives that of a file that was removed to the next one that is made.
"""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from dbshuf.pipeline.identity import ends_crc32


class Mark(NamedTuple):
    """What a file or folder is known by; as JSON has it.

    number  that of its file system
    size    bytes; None: it is no file
    crc32   of its first and last bytes; None: it is no file, or cannot be read
    """

    number: int
    size: int | None = None
    crc32: int | None = None


def mark_of(path: Path) -> Mark | None:
    """Return what a file or folder is known by; None if there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return Mark(status.st_ino)
    return Mark(status.st_ino, status.st_size, ends_crc32(path, status.st_size))


def is_at(path: Path, mark: Mark) -> bool:
    """Whether that file or folder has a name; one that may not be read is known by the rest."""
    found = mark_of(path)
    return found is not None and found in (mark, mark._replace(crc32=None))
