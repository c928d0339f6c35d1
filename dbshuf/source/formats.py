"""What inputs hold: told by their first and last bytes, or as the user says."""

import glob
from collections.abc import Sequence
from pathlib import PurePath
from shlex import quote as quoted

from dbshuf.errors import UsageError
from dbshuf.source.input import Input, for_each, mapped_file
from dbshuf.units import MIB

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
TEXT_KINDS = ("lines", "json")  # read as lines
DELIMITED = ("csv", "tsv")
DATABASES = ("duckdb", "sqlite")
# Files beside a database that hold what it was given last, by the ends of their names.
LOGS = {"duckdb": (".wal",), "sqlite": ("-wal", "-journal")}
_SHOWN_NAMES = 3  # of files to leave out, in a hint
_SEEKING = ("parquet", *DATABASES)  # read from several places, so from a plain file only

_HEAD_BYTES = 100
_SCHEMA_BYTES = MIB  # of an object, in which an Arrow stream's schema is looked for
_PARQUET, _ARROW = (b"PAR1", b"PARE"), b"ARROW1\0\0"
_SQLITE = b"SQLite format 3\0"
_ARROW_STREAM = b"\xff\xff\xff\xff"  # no UTF-8 text begins so
_THRIFT_I32 = b"\x15"  # the mark of a first field that is a number of 32 bits


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
            if piped.remote is not None and not piped.codec:
                what = "from a host that sends no ranges"
            raise UsageError(
                f"`{piped.name}` is {what}, and {one_of(kind)} must be a plain file",
                hint="write it to a file first",
            )
    if table is not None and kind not in DATABASES:
        raise UsageError(
            f"--table is for databases, and the inputs are {NAMES[kind]}",
            hint="name a .duckdb or .sqlite file, or leave --table out",
        )
    return kind


def _common_kind(inputs: Sequence[Input]) -> str:
    """Return the kind that all inputs have; raises UsageError if they have several."""
    by_kind: dict[str, list[Input]] = {}
    kinds = for_each(lambda one: _kind_of(one) if one.is_plain_file else "lines", inputs)
    for one, kind in zip(inputs, kinds, strict=True):
        by_kind.setdefault(kind, []).append(one)
    if len(by_kind) < 2:
        return next(iter(by_kind), "lines")
    places = {one.found_in for one in inputs}
    where = f"`{places.pop()}` holds" if len(places) == 1 and "" not in places else "there are"
    counts = " and ".join(_counted(kind, len(found)) for kind, found in by_kind.items())
    examples = " and ".join(f"`{found[0].name}`" for found in by_kind.values())
    raise UsageError(f"{where} {counts}, such as {examples}", hint=_way_out(by_kind))


def _way_out(by_kind: dict[str, list[Input]]) -> str:
    """Return what to do about inputs of several kinds: an option that leaves one of them."""
    most = max(by_kind, key=lambda kind: (kind != "lines", len(by_kind[kind])))
    others = [one for kind, found in by_kind.items() if kind != most for one in found]
    if all(one.found_in for one in others):
        suffixes = {PurePath(one.name).suffix for one in by_kind[most]}
        apart = suffixes.isdisjoint(PurePath(one.name).suffix for one in others)
        if len(suffixes) == 1 and "" not in suffixes and apart:
            return f"pass --include {quoted(f'*{suffixes.pop()}')}{_or_the_others(others)}"
        names = sorted({PurePath(one.name).name for one in others})
        wanted = {PurePath(one.name).name for one in by_kind[most]}
        if len(names) <= _SHOWN_NAMES and wanted.isdisjoint(names):
            return "pass " + " ".join(f"--exclude {quoted(glob.escape(name))}" for name in names)
        return "choose with --include GLOB and --exclude GLOB, or say with --from what they all are"
    return "shuffle them apart, or say with --from what they all are"


def _or_the_others(others: list[Input]) -> str:
    """Return what keeps the others instead, where their names say that."""
    suffixes = {PurePath(one.name).suffix for one in others}
    if len(suffixes) != 1 or "" in suffixes:
        return ""
    return f" or --include {quoted(f'*{suffixes.pop()}')}"


def _counted(kind: str, count: int) -> str:
    if kind == "lines":
        return f"{count:,} of text"
    name = NAMES[kind] if kind != "arrow" else "Arrow IPC file"
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def one_of(kind: str) -> str:
    """Return what an input of a kind is, as part of a sentence."""
    article = {"parquet": "a ", "duckdb": "a ", "sqlite": "an "}.get(kind, "")
    return article + NAMES[kind]


def _kind_of(source: Input) -> str:
    head = source.bytes_at(0, _HEAD_BYTES)
    if head.startswith(_PARQUET):
        is_named = PurePath(source.name).suffix.lower() in (".parquet", ".pq")
        return "parquet" if is_named or _ends_as_parquet(source) else "lines"
    if head.startswith(_ARROW):
        return "arrow"
    database = database_of(head)
    if database == "sqlite" or (database and len(head) == _HEAD_BYTES):
        return database
    if head.startswith(_ARROW_STREAM):
        return "arrow" if _is_arrow_stream(source) else "lines"
    return "lines"


def database_of(head: bytes) -> str | None:
    """Return the kind of database that a file is by its first bytes, 16 or more, or all of them."""
    if head.startswith(_SQLITE):
        return "sqlite"
    # the magic, and a version number that leaves six of its bytes zero
    is_duckdb = head[8:12] == b"DUCK" and len(head) >= 16 and not any(head[14:20])
    return "duckdb" if is_duckdb else None


def table_by_head(head: bytes) -> str | None:
    """Return the kind of table that bytes begin as, of what cannot be read at any place.

    head    the first bytes, 16 or more, or all of them
    Returns  "parquet", "arrow" or a database; None for what may be text
    """
    if head.startswith(_PARQUET):
        # A page's header or the footer follows, both begin with a number's mark; or a length.
        is_binary = head[4:5] == _THRIFT_I32 or head[6:8] == b"\0\0"
        return "parquet" if is_binary else None
    if head.startswith(_ARROW) or _begins_as_stream(head):
        return "arrow"
    return database_of(head)


def _begins_as_stream(head: bytes) -> bool:
    """Whether a message of Arrow's begins: its length, padded to 8, and the offset of its root."""
    size, root = (int.from_bytes(head[at : at + 4], "little") for at in (4, 8))
    return head.startswith(_ARROW_STREAM) and 0 < root < size and root < 256 and size % 8 == 0


def _ends_as_parquet(source: Input) -> bool:
    """Whether a file ends with a footer's length and the magic."""
    size = source.size_bytes or 0
    tail = source.bytes_at(max(size - 8, 0), 8)
    return tail[4:] in _PARQUET and int.from_bytes(tail[:4], "little") <= size - 12


def _is_arrow_stream(source: Input) -> bool:
    """Whether a plain file holds an Arrow IPC stream, to judge by its first message."""
    import pyarrow as pa

    if source.remote is not None:
        front: object = source.bytes_at(0, _SCHEMA_BYTES)
    else:
        front = mapped_file(source)
    try:
        pa.ipc.open_stream(pa.py_buffer(front))
    except (pa.ArrowException, OSError, ValueError):
        return False
    return True
