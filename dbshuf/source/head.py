"""The front of an input: its first bytes, the encoding they tell of, the header lines."""

import io
import os
import shlex
from collections.abc import Iterator, Sequence

from dbshuf.errors import HeaderMismatch, InputBroken, InputUnreadable, NotUtf8, UsageError
from dbshuf.source.formats import one_of, table_by_head
from dbshuf.source.input import Input, for_each, unreadable
from dbshuf.source.unread import FIRST_BYTES, LEAST_BYTES, TABLES, unread_format
from dbshuf.units import KIB, MIB, human

_FRONT_BYTES = 64 * KIB  # looked at first
MOST_HEADER_BYTES = 16 * MIB  # of header lines, or the names of CSV's columns

ENCODED_KINDS = ("lines", "json", "csv", "tsv")  # what is text, so has an encoding

# Byte order marks; the longer ones first, since one of UTF-32 begins as one of UTF-16.
_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def check_encoding(inputs: Sequence[Input], kind: str) -> None:
    """Raise NotUtf8 for text that begins as UTF-16 or UTF-32: no line ends where it seems to.

    kind    "lines" or another kind of text
    Raises  InputUnreadable for what is packed, or a table; what reading the first bytes raises
    """
    heads = for_each(lambda source: first_bytes(source, _looked_at(source))[0], inputs)
    for source, head in zip(inputs, heads, strict=True):
        _check_unpacked(source, head, kind)
        _check_no_table(source, head, kind)
        encoding = next((name for mark, name in _MARKS if head.startswith(mark)), None)
        if encoding is not None:
            convert = f"iconv -f {encoding} -t UTF-8"
            is_file = source.path is not None and source.is_plain_file
            way = f"{convert} {shlex.quote(source.name)} > OUT" if is_file else f"... | {convert}"
            as_bytes = "; --binary moves its bytes as they are" if kind == "lines" else ""
            raise NotUtf8(
                f"`{source.name}` is text in {encoding}: it begins with {head[:4].hex(' ')}",
                hint=f"convert it first: {way}{as_bytes}",
            )


def _looked_at(source: Input) -> int:
    """Return how many bytes of text are looked at: of one of many objects, no new request's."""
    is_short = source.remote is not None and len(source.remote.head) < FIRST_BYTES
    return LEAST_BYTES if is_short else FIRST_BYTES


def _check_unpacked(source: Input, head: bytes, kind: str) -> None:
    """Raise InputUnreadable for data in a format that is not read."""
    found = unread_format(head, source.name)
    if found is None:
        return
    what, command = found
    is_file = source.path is not None and source.is_plain_file
    way = f": {command} {shlex.quote(source.name)} > OUT" if is_file else ""
    if not is_file and command.endswith(("c", "f")):  # what reads a pipe
        way = f": ... | {command} -"
    ways = [f"unpack it first{way}"] if command else []
    if what in TABLES:
        ways.append("write it as Parquet first")
    if source.found_in:
        ways.append(f"leave it out with --exclude {shlex.quote(os.path.basename(source.name))}")
    if kind == "lines":
        ways.append("--binary moves its bytes as they are")
    raise InputUnreadable(f"`{source.name}` is {what}, which is not read", hint="; ".join(ways))


def _check_no_table(source: Input, head: bytes, kind: str) -> None:
    """Raise InputUnreadable for a table in a pipe or compressed: its lines would say nothing.

    A plain file was looked at before, and is read as text only where the user says so.
    """
    table = None if source.is_plain_file else table_by_head(head)
    if table is None:
        return
    ways = ["pass --from arrow" if table == "arrow" else "write it to a plain file first"]
    if source.found_in:
        ways.append(f"leave it out with --exclude {shlex.quote(os.path.basename(source.name))}")
    if kind == "lines":
        ways.append("--binary moves its bytes as they are")
    raise InputUnreadable(
        f"`{source.name}` holds {one_of(table)}, and would be read as text", hint="; ".join(ways)
    )


def common_header(inputs: Sequence[Input], lines: int, terminator: bytes) -> bytes:
    """Return the first `lines` lines, which must be the same in every input.

    Raises  HeaderMismatch naming two inputs that differ, UsageError for a huge header
    """
    header, owner = b"", ""
    if not lines:
        return header
    found_lines = for_each(lambda source: _first_lines(source, lines, terminator), inputs)
    for source, found in zip(inputs, found_lines, strict=True):
        if not owner:
            header, owner = found, source.name
        elif found != header:
            raise HeaderMismatch(
                f"the first {lines} line(s) of `{owner}` and `{source.name}` differ"
                f" from byte {_alike_bytes(header, found):,} on",
                hint="all inputs must have one header; shuffle the others on their own",
            )
    return header


def _alike_bytes(one: bytes, other: bytes) -> int:
    """Return how many bytes two texts begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _first_lines(source: Input, lines: int, terminator: bytes) -> bytes:
    """Return the first lines of an input with their terminators, the last one's added."""
    for text, is_all in fronts(source, MOST_HEADER_BYTES):
        end = -1
        for _ in range(lines):
            end = text.find(terminator, end + 1)
            if end < 0:
                break
        else:
            return text[: end + 1]
        if is_all:
            return text if text.endswith(terminator) or not text else text + terminator
    raise UsageError(
        f"the first {lines} lines of `{source.name}` exceed {human(MOST_HEADER_BYTES)}",
        hint="check --header and the terminator",
    )


def fronts(source: Input, most_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Yield more and more text from the front, and whether that is all there is.

    The last one is all, or has `most_bytes`.
    """
    size, is_all = _FRONT_BYTES, False
    while not is_all and size <= most_bytes:
        text, is_all = first_bytes(source, size)
        yield text, is_all
        size *= 4


def first_bytes(source: Input, size: int) -> tuple[bytes, bool]:
    """Return up to `size` bytes of text from the front, and whether that is all there is."""
    if source.pipe is None:
        text, _ = read_start(source, size)
        return text, len(text) < size
    try:
        head = source.pipe.peek(size)
    except OSError as error:
        raise unreadable(source.name, error) from error
    is_all = len(head) < size
    if source.codec is None:
        return head[:size], is_all
    return unpack_head(source, head, size, is_all=is_all)


def read_start(source: Input, size: int) -> tuple[bytes, int]:
    """Return up to `size` bytes of a file's text, and the bytes on disk that were read."""
    reader = source.open_stream()
    try:
        buffer = bytearray(size)
        count = reader.readinto(memoryview(buffer))
        return bytes(buffer[:count]), reader.read_bytes
    except OSError as error:
        raise unreadable(source.name, error) from error
    finally:
        reader.close()


def unpack_head(source: Input, head: bytes, size: int, *, is_all: bool) -> tuple[bytes, bool]:
    """Decompress what has been read of a pipe so far."""
    from dbshuf.source.compression.readers import Decompressor

    assert source.codec is not None
    raw = io.BytesIO(head)
    reader = Decompressor(raw, source.codec, source.name, windows=source.windows)
    text = bytearray()
    piece = bytearray(4 * KIB)
    try:
        while len(text) < size and (count := reader.readinto(memoryview(piece))):
            text += piece[:count]
    except InputBroken:
        if is_all:
            raise
        return bytes(text), False
    return bytes(text), is_all and len(text) < size
