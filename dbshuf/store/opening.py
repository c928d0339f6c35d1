"""Which engine a store is of: by the file's first bytes, or for a new one by its name."""

import os
from pathlib import Path

from dbshuf.errors import DbshufError, InputMissing, InputUnreadable, StoreInvalid, UsageError
from dbshuf.store.engine import StoreEngine
from dbshuf.store.schema import NAMES, StoreInfo

SQLITE_ENDINGS = (".sqlite", ".sqlite3", ".db")
_DUCKDB_MAGIC, _DUCKDB_AT = b"DUCK", 8
_SQLITE_MAGIC = b"SQLite format 3\0"


def engine_named(name: str) -> StoreEngine:
    """Return an engine, which is loaded now."""
    if name == "sqlite":
        from dbshuf.store.sqlite import SqliteStore

        return SqliteStore()
    from dbshuf.store.duckdb import DuckdbStore

    return DuckdbStore()


def engine_for(path: Path, asked: str | None) -> StoreEngine:
    """Return the engine of a store that is to be made.

    asked   as --engine names it; None: by the ending of the name
    Raises  UsageError for an engine that has no stores
    """
    if asked is not None and asked not in NAMES:
        raise UsageError(
            f"--engine `{asked}`: a store is a database of one of {', '.join(NAMES)}",
            hint="leave it out: the name's ending tells",
        )
    by_name = "sqlite" if path.suffix.lower() in SQLITE_ENDINGS else "duckdb"
    return engine_named(asked or by_name)


def engine_of(path: Path) -> StoreEngine:
    """Return the engine that a file is of. Raises InputMissing, InputUnreadable, StoreInvalid."""
    try:
        with open(path, "rb") as file:
            head = file.read(len(_SQLITE_MAGIC))
    except FileNotFoundError:
        raise InputMissing(f"no such file: `{path}`", hint="make it with dbshuf ingest") from None
    except OSError as error:
        raise InputUnreadable(
            f"cannot read `{path}`: {error.strerror}", hint="name the file of a store"
        ) from error
    if head == _SQLITE_MAGIC:
        return engine_named("sqlite")
    if head[_DUCKDB_AT:][: len(_DUCKDB_MAGIC)] == _DUCKDB_MAGIC:
        return engine_named("duckdb")
    raise StoreInvalid(
        f"`{path}` is no DuckDB or SQLite database", hint="name a store, or a new file"
    )


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a store that can be opened now."""
    try:
        open_store(path)
    except DbshufError:
        return False
    return True


def open_store(path: str | os.PathLike[str]) -> StoreInfo:
    """Look at what a store holds; nothing is written, and nothing stays open.

    Raises  InputMissing; InputUnreadable if it cannot be opened now; StoreInvalid
    """
    place = Path(path)
    return engine_of(place).look(place)
