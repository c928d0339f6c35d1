"""Every name that a run gives to what must not outlive it, built and parsed here alone.

.dbshuf-3f9a0c12           a folder of temporary data, or of an output inside its directory
.out.txt.dbshuf-3f9a0c12   what will be `out.txt`, beside it
NAME.owner                 of each of them: whose it is, see `owner.py`; locked while in use
NAME.owner.new             the same for a moment, until it is locked
KEY.dbshuf-HASH-RUN        in a bucket: whose an upload is, see `remote/upload_marks.py`
NAME.wal, NAME.tmp         what DuckDB puts beside a store, and NAME-journal SQLite
dbshuf-journal             in a --work-dir: what has been done, see `journal.py`
dbshuf-rows                there: the partitioned rows
dbshuf-manifest            there: what --manifest will be, once the output is published
dbshuf-upload              there: a folder with what is made, until it is in an object store
dbshuf-owner               there: whose it is, locked while in use
"""

import os
import re
import secrets
from collections.abc import Collection
from pathlib import Path

HIDDEN_PREFIX = ".dbshuf-"  # in an output directory these do not count as its content
OWNER_SUFFIX, UNLOCKED_SUFFIX = ".owner", ".new"
COMPANION_SUFFIXES = (".wal", ".tmp", "-journal")
WORK_JOURNAL, WORK_ROWS, WORK_OWNER = "dbshuf-journal", "dbshuf-rows", "dbshuf-owner"
WORK_MANIFEST = "dbshuf-manifest"
WORK_NAMES = (WORK_ROWS, WORK_MANIFEST, WORK_JOURNAL, WORK_OWNER)
WORK_UPLOAD = "dbshuf-upload"

_OWNER_NAME = re.compile(r"\.(?:.*\.)?dbshuf-[0-9a-f]{8}(\.owner(?:\.new)?)", re.DOTALL)
_LONGEST_NAME_BYTES = 200  # of the name that is built on; a file system allows 255


def hidden_in(folder: Path) -> Path:
    """Return a new hidden name in a folder."""
    return folder / f"{HIDDEN_PREFIX}{secrets.token_hex(4)}"


def hidden_beside(final: Path) -> Path:
    """Return a new hidden name in the same folder; long names are cut to fit 255 bytes."""
    name = os.fsencode(final.name)[:_LONGEST_NAME_BYTES].decode("utf-8", "ignore")
    return final.with_name(f".{name}.dbshuf-{secrets.token_hex(4)}")


def is_of_work_dir(name: str) -> bool:
    """Whether a run makes files of that name in a --work-dir."""
    return name in (*WORK_NAMES, WORK_UPLOAD) or name.startswith(HIDDEN_PREFIX)


def are_of_work_dir(names: Collection[str]) -> bool:
    """Whether these names, all that a folder has, are what runs keep in a --work-dir."""
    return WORK_OWNER in names and all(map(is_of_work_dir, names))


def owner_of(hidden: Path) -> Path:
    """Return the name of the file that says whose a hidden name is."""
    return hidden.with_name(hidden.name + OWNER_SUFFIX)


def owned_by(owner: Path) -> Path | None:
    """Return the hidden name that a file of that name speaks of; None if it is no such file."""
    found = _OWNER_NAME.fullmatch(owner.name)
    return None if found is None else owner.with_name(owner.name[: -len(found.group(1))])
