"""The names beside a database that its engine takes for a part of it.

Whatever lies there is read into the database, or taken for damage, when it is opened next.
"""

import contextlib
import os

from dbshuf.errors import UsageError

# By the database's own name before them. DuckDB has the last two while it checkpoints (2.0.1).
_ENDINGS = {
    "SQLite": ("-wal", "-journal", "-shm"),
    "DuckDB": (".wal", ".checkpoint.wal", ".recovery.wal"),
}
_SQLITE_MAGIC, _DUCKDB_MAGIC, _DUCKDB_AT = b"SQLite format 3\0", b"DUCK", 8


def check_no_log(path: str | os.PathLike[str], what: str = "the output") -> None:
    """Raise UsageError where `path` is a name of the log of a database that lies beside it.

    what    would be written there
    """
    names = [os.fspath(path)]
    with contextlib.suppress(FileNotFoundError):  # of a working directory that is gone
        names.append(os.path.realpath(path))
    for name in dict.fromkeys(names):
        for engine, endings in _ENDINGS.items():
            for ending in endings:
                database = name.removesuffix(ending)
                if database != name and _engine_of(database) == engine:
                    raise UsageError(
                        f"{what} `{os.fspath(path)}` has the name of the log of the database"
                        f" `{database}`, and {engine} would take it for that",
                        hint="give it another name",
                    )


def _engine_of(path: str) -> str | None:
    """Return whose database a file is; None if it is none, or cannot be read."""
    try:
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            head = file.read(len(_SQLITE_MAGIC))
    except (OSError, ValueError):
        return None
    if head == _SQLITE_MAGIC:
        return "SQLite"
    return "DuckDB" if head[_DUCKDB_AT:].startswith(_DUCKDB_MAGIC) else None
