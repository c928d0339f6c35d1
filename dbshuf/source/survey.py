"""A look at the inputs before work: how long lines are, how much there is, the header."""

import io
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from dbshuf.errors import HeaderMismatch, InputBroken, NotUtf8, UsageError
from dbshuf.source.inputs import Input, open_raw, unreadable
from dbshuf.units import KIB, MIB, human

_SAMPLED_INPUTS = 32  # inputs looked into, spread evenly over the list
_SAMPLED_BYTES = 64 * KIB  # at the front, the middle and the end of each
_HEADER_LIMIT_BYTES = 16 * MIB

ENCODED_KINDS = ("lines", "json", "csv", "tsv")  # what is text, so has an encoding

# Byte order marks; the longer ones first, since one of UTF-32 begins as one of UTF-16.
_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)

# A line where none was seen: of an empty input, or a pipe whose first block is not complete
# in what was read of it. Too long a guess costs some more batches, too short a one memory
# for rows that never come, and so a needless refusal.
_UNSEEN_LINE_BYTES = 100.0


@dataclass(frozen=True)
class Survey:
    """What the inputs look like.

    mean_line_bytes     of the sampled lines, terminators included; a guess if none was seen
    longest_line_bytes  of the sampled lines; a line cut by a sample counts what was seen
    text_bytes          after decompression; None if a pipe is among the inputs
    is_exact            whether text_bytes is known rather than estimated
    columns             of typed rows; 0 for lines
    reader_bytes        memory that one worker's reader of a table holds beside its batches,
                        estimated: pages as they were written, and an engine's own limit
    """

    mean_line_bytes: float
    longest_line_bytes: int
    text_bytes: int | None
    is_exact: bool
    columns: int = 0
    reader_bytes: int = 0


def survey_inputs(inputs: Sequence[Input], terminator: bytes) -> Survey:
    """Sample the inputs; raises InputUnreadable or InputBroken where one cannot be read."""
    chosen = inputs[:: max(1, -(-len(inputs) // _SAMPLED_INPUTS))]
    seen_bytes = lines = longest = 0
    ratios: list[tuple[int, int]] = []
    for source in chosen:
        for sample, ratio in _samples(source):
            pieces = sample.split(terminator)
            seen_bytes += len(sample)
            lines += len(pieces) - 1
            longest = max(longest, *(len(piece) + 1 for piece in pieces))
            ratios.append(ratio)
    packed = sum(on_disk for on_disk, _ in ratios)
    expansion = sum(text for _, text in ratios) / packed if packed else 1.0
    is_exact = all(source.is_plain_file for source in inputs)
    sizes = [
        None if i.size_bytes is None else i.size_bytes * (max(expansion, 1.0) if i.codec else 1.0)
        for i in inputs
    ]
    known = [size for size in sizes if size is not None]
    return Survey(
        mean_line_bytes=max(seen_bytes / max(lines, 1), 1.0) if seen_bytes else _UNSEEN_LINE_BYTES,
        longest_line_bytes=longest,
        text_bytes=int(sum(known)) if len(known) == len(sizes) else None,
        is_exact=is_exact,
    )


def _samples(source: Input) -> list[tuple[bytes, tuple[int, int]]]:
    """Samples of one input, each with (bytes on disk, bytes of text) if it is compressed."""
    if source.pipe is not None:
        return [(_seen_of_pipe(source, source.pipe.head), (0, 0))]
    if source.codec is not None:
        return [_unpacked_sample(source)]
    size = source.size_bytes or 0
    places = {0, max(size // 2, 0), max(size - _SAMPLED_BYTES, 0)} if size > MIB else {0}
    samples = []
    with open_raw(source.name) as file:
        for place in sorted(places):
            try:
                samples.append((os.pread(file.fileno(), _SAMPLED_BYTES, place), (0, 0)))
            except OSError as error:
                raise unreadable(source.name, error) from error
    return samples


def _seen_of_pipe(source: Input, head: bytes) -> bytes:
    """The text of what was read of a pipe; none of a compressed block that goes on behind it."""
    if source.codec is None:
        return head
    return _unpack_head(source, head, 4 * _SAMPLED_BYTES, is_all=False)[0]


def _unpacked_sample(source: Input) -> tuple[bytes, tuple[int, int]]:
    text, on_disk = _read_start(source, 4 * MIB)
    return text[: 4 * _SAMPLED_BYTES], (min(on_disk, source.size_bytes or 0), len(text))


def check_encoding(inputs: Sequence[Input], kind: str) -> None:
    """Raise NotUtf8 for text that begins as UTF-16 or UTF-32: no line ends where it seems to.

    kind    "lines" or another kind of text
    Raises  what reading the first bytes raises
    """
    for source in inputs:
        head, _ = _first_bytes(source, 4)
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


def common_header(inputs: Sequence[Input], lines: int, terminator: bytes) -> bytes:
    """Return the first `lines` lines, which must be the same in every input.

    Raises  HeaderMismatch naming two inputs that differ, UsageError for a huge header
    """
    header, owner = b"", ""
    for source in inputs if lines else ():
        found = _first_lines(source, lines, terminator)
        if not owner:
            header, owner = found, source.name
        elif found != header:
            raise HeaderMismatch(
                f"the first {lines} line(s) of `{owner}` and `{source.name}` differ:"
                f" {_shown(header)} and {_shown(found)}",
                hint="all inputs must have one header; shuffle the others on their own",
            )
    return header


def _shown(header: bytes) -> str:
    return repr(header[:60])[1:] + ("..." if len(header) > 60 else "")


def _first_lines(source: Input, lines: int, terminator: bytes) -> bytes:
    """Return the first lines of an input with their terminators, the last one's added."""
    size = 64 * KIB
    while True:
        text, is_all = _first_bytes(source, size)
        end = -1
        for _ in range(lines):
            end = text.find(terminator, end + 1)
            if end < 0:
                break
        else:
            return text[: end + 1]
        if is_all:
            return text if text.endswith(terminator) or not text else text + terminator
        size *= 4
        if size > _HEADER_LIMIT_BYTES:
            raise UsageError(
                f"the first {lines} lines of `{source.name}` exceed {human(_HEADER_LIMIT_BYTES)}",
                hint="check --header and the terminator",
            )


def _first_bytes(source: Input, size: int) -> tuple[bytes, bool]:
    """Return up to `size` bytes of text from the front, and whether that is all there is."""
    if source.pipe is None:
        text, _ = _read_start(source, size)
        return text, len(text) < size
    try:
        head = source.pipe.peek(size)
    except OSError as error:
        raise unreadable(source.name, error) from error
    is_all = len(head) < size
    if source.codec is None:
        return head[:size], is_all
    return _unpack_head(source, head, size, is_all=is_all)


def _read_start(source: Input, size: int) -> tuple[bytes, int]:
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


def _unpack_head(source: Input, head: bytes, size: int, *, is_all: bool) -> tuple[bytes, bool]:
    """Decompress what has been read of a pipe so far."""
    from dbshuf.source.compressed import Decompressor

    assert source.codec is not None
    reader = Decompressor(io.BytesIO(head), source.codec, source.name)
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
