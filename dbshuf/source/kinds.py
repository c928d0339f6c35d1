"""What inputs hold: told by their first and last bytes, or as the user says."""

import os
from collections.abc import Sequence
from pathlib import PurePath

from dbshuf.errors import UsageError
from dbshuf.source.inputs import Input, open_raw, unreadable

NAMES = {
    "lines": "lines",
    "json": "JSON lines",
    "csv": "CSV",
    "tsv": "TSV",
    "parquet": "Parquet file",
    "arrow": "Arrow IPC data",
    "duckdb": "DuckDB database",
    "sqlite": "SQLite database",
}
DELIMITED = ("csv", "tsv")
DATABASES = ("duckdb", "sqlite")
_SEEKING = ("parquet", *DATABASES)  # read from several places, so from a plain file only

_HEAD_BYTES = 100
_PARQUET, _ARROW = (b"PAR1", b"PARE"), b"ARROW1\0\0"
_SQLITE = b"SQLite format 3\0"
_ARROW_STREAM = b"\xff\xff\xff\xff"  # no UTF-8 text begins so


def kind_of_inputs(inputs: Sequence[Input], asked: str | None, *, table: str | None) -> str:
    """Return what the inputs hold: a key of NAMES.

    asked    what the user says they hold; None to look. Then pipes and compressed files
             are lines, and so is whatever begins like no other kind
    table    of a database, as the user names it
    Raises   UsageError when the inputs differ or the options do not go together;
             InputUnreadable
    """
    if asked is not None and asked not in NAMES:
        raise UsageError(f"--from `{asked}` is no kind of input", hint=f"one of {', '.join(NAMES)}")
    kind = asked or _common_kind(inputs)
    if kind in _SEEKING:
        piped = next((one for one in inputs if not one.is_plain_file), None)
        if piped is not None:
            what = "compressed" if piped.codec else "a pipe"
            raise UsageError(
                f"`{piped.name}` is {what}, and {_one(kind)} must be a plain file",
                hint="write it to a file first",
            )
    if table is not None and kind not in DATABASES:
        raise UsageError(
            f"--table is for databases, and the inputs are {NAMES[kind]}",
            hint="name a .duckdb or .sqlite file, or leave --table out",
        )
    if table is None and kind in DATABASES:
        from dbshuf.source.database import known_tables

        raise UsageError(
            f"`{inputs[0].name}` is {_one(kind)}, and --table names none of its tables",
            hint=known_tables(inputs[0], kind),
        )
    return kind


def _common_kind(inputs: Sequence[Input]) -> str:
    kinds = (_kind_of(one) if one.is_plain_file else "lines" for one in inputs)
    first = next(kinds, "lines")
    for source, kind in zip(inputs[1:], kinds, strict=True):
        if kind != first:
            raise UsageError(
                f"`{inputs[0].name}` is {_named(first)}, and `{source.name}` is {_named(kind)}",
                hint="shuffle them apart, or say with --from what they all are",
            )
    return first


def _named(kind: str) -> str:
    return "text" if kind == "lines" else _one(kind)


def _one(kind: str) -> str:
    """Return what an input of a kind is, as part of a sentence."""
    article = {"arrow": "", "sqlite": "an "}.get(kind, "a ")
    return article + NAMES[kind]


def _kind_of(source: Input) -> str:
    """Return the kind of a plain file."""
    head = _bytes_at(source, 0, _HEAD_BYTES)
    if head.startswith(_PARQUET):
        is_named = PurePath(source.name).suffix.lower() in (".parquet", ".pq")
        return "parquet" if is_named or _ends_as_parquet(source) else "lines"
    for kind, magic in (("sqlite", _SQLITE), ("arrow", _ARROW)):
        if head.startswith(magic):
            return kind
    if head[8:12] == b"DUCK" and len(head) == _HEAD_BYTES and not any(head[14:20]):
        return "duckdb"  # the magic, and a version number that leaves six of its bytes zero
    if head.startswith(_ARROW_STREAM):
        from dbshuf.source.ipc import is_stream

        return "arrow" if is_stream(source) else "lines"
    return "lines"


def _ends_as_parquet(source: Input) -> bool:
    """Whether a file ends with a footer's length and the magic."""
    size = source.size_bytes or 0
    tail = _bytes_at(source, max(size - 8, 0), 8)
    return tail[4:] in _PARQUET and int.from_bytes(tail[:4], "little") <= size - 12


def _bytes_at(source: Input, place: int, size: int) -> bytes:
    with open_raw(source.name) as file:
        try:
            return os.pread(file.fileno(), size, place)
        except OSError as error:
            raise unreadable(source.name, error) from error
