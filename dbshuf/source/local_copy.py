"""Databases that lie elsewhere are read from copies in the temporary directory.

SQLite and DuckDB want files that they can read here and there. A copy is this user's alone, and
goes with the end of its run; of one that never ran when nothing refers to it, at the latest when
the process ends.
"""

import contextlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dbshuf.base.filenames import hidden_in
from dbshuf.base.temporary import TEMP_HINT, claim, in_words, remove
from dbshuf.errors import InputMissing, RemoteDenied, TempSpaceShort, UsageError
from dbshuf.source.input import Input, LocalCopy
from dbshuf.source.remote_object import RemoteObject
from dbshuf.units import MIB, human

_PIECE_BYTES = 4 * MIB
_LOGS = {"sqlite": "-wal", "duckdb": ".wal"}


def with_copies(inputs: Sequence[Input], kind: str, temp_dir: str | None) -> tuple[Input, ...]:
    """Return inputs of a kind, of which databases that lie elsewhere have been copied.

    temp_dir  where to; None: the system's place
    Raises    TempSpaceShort, UsageError for a folder that cannot be written or a database whose
              last rows are in another file, and what the store raises
    """
    if kind not in _LOGS or all(one.remote is None for one in inputs):
        return tuple(inputs)
    folder = Path(temp_dir or tempfile.gettempdir())
    needed = sum(one.remote.size_bytes for one in inputs if one.remote is not None)
    with in_words(folder):
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise TempSpaceShort(
                f"temporary directory `{folder}`: {human(needed)} needed for copies of databases,"
                f" {human(free)} free",
                hint=TEMP_HINT,
            )
        return tuple(
            one if one.remote is None else replace(one, copy=_copied(one.remote, kind, folder))
            for one in inputs
        )


@contextlib.contextmanager
def copies_removed(inputs: Sequence[Input]) -> Iterator[None]:
    """Remove the copies of inputs in the end: a run has read them."""
    try:
        yield
    finally:
        for one in inputs:
            if one.copy is not None:
                remove(one.copy.path)


def _copied(remote: RemoteObject, kind: str, folder: Path) -> LocalCopy:
    _refuse_log(remote, _LOGS[kind])
    copy = LocalCopy(claim(hidden_in(folder)))
    weakref.finalize(copy, remove, copy.path)
    piece = memoryview(bytearray(_PIECE_BYTES))
    fd = os.open(copy.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb", buffering=0) as file, contextlib.closing(remote.open()) as body:
        while count := body.readinto(piece):
            left = piece[:count]
            while left:
                left = left[file.write(left) :]
    return copy


def _refuse_log(remote: RemoteObject, suffix: str) -> None:
    """Raise UsageError where what was written last lies beside a database."""
    with contextlib.suppress(InputMissing, RemoteDenied):  # who may not list may be told that
        key, _, query = remote.info.key.partition("?")
        if not query and remote.store.stat(key + suffix).size_bytes:
            raise UsageError(
                f"`{remote.name}`: rows that were written last are in `{key + suffix}` beside it",
                hint="close the database where it is written, and send it again",
            )
