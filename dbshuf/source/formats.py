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
_SHOWN_NAMES = 3  # of files to leave out, in a hint
_SEEKING = ("parquet", *DATABASES)  # read from several places, so from a plain file only

_HEAD_BYTES = 100
_SCHEMA_BYTES = MIB  # of an object, in which an Arrow stream's schema is looked for
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
            return f"pass --include {quoted(f'*{suffixes.pop()}')}"
        names = sorted({PurePath(one.name).name for one in others})
        wanted = {PurePath(one.name).name for one in by_kind[most]}
        if len(names) <= _SHOWN_NAMES and wanted.isdisjoint(names):
            return "pass " + " ".join(f"--exclude {quoted(glob.escape(name))}" for name in names)
        return "choose with --include GLOB and --exclude GLOB, or say with --from what they all are"
    return "shuffle them apart, or say with --from what they all are"


def _counted(kind: str, count: int) -> str:
    if kind == "lines":
        return f"{count:,} of text"
    name = NAMES[kind] if kind != "arrow" else "Arrow IPC file"
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def one_of(kind: str) -> str:
    """Return what an input of a kind is, as part of a sentence."""
    article = {"arrow": "", "sqlite": "an "}.get(kind, "a ")
    return article + NAMES[kind]


def _kind_of(source: Input) -> str:
    head = source.bytes_at(0, _HEAD_BYTES)
    if head.startswith(_PARQUET):
        is_named = PurePath(source.name).suffix.lower() in (".parquet", ".pq")
        return "parquet" if is_named or _ends_as_parquet(source) else "lines"
    for kind, magic in (("sqlite", _SQLITE), ("arrow", _ARROW)):
        if head.startswith(magic):
            return kind
    if head[8:12] == b"DUCK" and len(head) == _HEAD_BYTES and not any(head[14:20]):
        return "duckdb"  # the magic, and a version number that leaves six of its bytes zero
    if head.startswith(_ARROW_STREAM):
        return "arrow" if _is_arrow_stream(source) else "lines"
    return "lines"


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
