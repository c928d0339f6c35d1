"""Which inputs carry a checksum over their content, so that damage is an error; headers are read.

zstd      a bit of the frame's header (RFC 8878, 3.1.1.1.1); of the first frame
lz4       a bit for the frame, another for its blocks (lz4_Frame_format.md 1.6.4); likewise
xz        the kind of check in the stream's header (.xz file format 1.2.0, 2.1.1.2)
Parquet   field 4 of a page's header, `crc`; of the first page
gzip, bzip2 and DuckDB's databases always have one; text, Arrow and SQLite's have none
"""

from collections.abc import Sequence

from dbshuf.base.thrift import Reader
from dbshuf.errors import DbshufError
from dbshuf.source.compression.codecs import HEAD_BYTES
from dbshuf.source.input import Input, open_raw

_ALWAYS = ("gzip", "bzip2", "duckdb")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_CRC = 4  # of a PageHeader
_PAGE_HEADER_BYTES = 4096  # has statistics behind the fields that are looked at


def has_checksum(source: Input, kind: str) -> bool | None:
    """Whether an input carries a checksum over its content.

    kind     of all inputs, as `kind_of_inputs` has it
    Returns  None where a look at its first bytes does not tell
    """
    kind = source.codec or kind
    if kind in _ALWAYS:
        return True
    try:
        if kind in ("zstd", "lz4", "xz"):
            return _in_frame(kind, _head(source))
        if kind == "parquet":
            return None if source.remote is not None else _in_page(source)
    except (DbshufError, OSError, ValueError, LookupError, TypeError, OverflowError):
        return None
    return False


def without_checksum(inputs: Sequence[Input], kind: str) -> str:
    """Return how many inputs carry none, and one of each kind; empty where all do."""
    found: dict[str, list[Input]] = {}
    for one in inputs:
        if not has_checksum(one, kind):
            found.setdefault(one.codec or kind, []).append(one)
    kinds = [f"{len(of):,} of {_SHOWN.get(kind, kind)}" for kind, of in found.items()]
    if not kinds:
        return ""
    example = next(iter(found.values()))[0].name
    return f"none over the content of {', '.join(kinds)}, such as `{example}`"


_SHOWN = {
    "lines": "plain text",
    "json": "plain text",
    "csv": "plain text",
    "tsv": "plain text",
    "parquet": "Parquet",
    "arrow": "Arrow",
    "sqlite": "SQLite",
}


def _head(source: Input) -> bytes:
    if source.pipe is not None:
        return source.pipe.head[:HEAD_BYTES]
    if source.remote is not None:
        return source.remote.head[:HEAD_BYTES]
    with open_raw(source.name) as file:
        return file.read(HEAD_BYTES)


def _in_frame(codec: str, head: bytes) -> bool | None:
    if codec == "xz":
        return bool(head[7] & 0x0F)
    while codec == "zstd" and 0x50 <= head[0] < 0x60:  # a frame to skip
        head = head[8 + int.from_bytes(head[4:8], "little") :]
    if codec == "zstd":
        return bool(head[4] & 0x04) if head.startswith(_ZSTD_MAGIC) else None
    return bool(head[4] & 0x14)


def _in_page(source: Input) -> bool | None:
    from dbshuf.source.tables.parquet_footer import chunks, read_footer

    with open_raw(source.name) as file:
        groups = chunks(read_footer(source.name, file))
        if not groups or not groups[0]:
            return True  # there is no content
        file.seek(groups[0][0].place[0])
        return _CRC in Reader(file.read(_PAGE_HEADER_BYTES)).struct(before=_CRC + 1)
