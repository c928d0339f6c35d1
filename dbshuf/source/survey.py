"""A look at the inputs before work: how long lines are, how much there is."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from dbshuf.source.head import read_start, unpack_head
from dbshuf.source.input import Input, open_raw, unreadable
from dbshuf.units import KIB, MIB

_SAMPLED_INPUTS = 32  # inputs looked into, spread evenly over the list
_SAMPLED_BYTES = 64 * KIB  # at the front, the middle and the end of each

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


def survey_lines(inputs: Sequence[Input], terminator: bytes) -> Survey:
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
    return unpack_head(source, head, 4 * _SAMPLED_BYTES, is_all=False)[0]


def _unpacked_sample(source: Input) -> tuple[bytes, tuple[int, int]]:
    text, on_disk = read_start(source, 4 * MIB)
    return text[: 4 * _SAMPLED_BYTES], (min(on_disk, source.size_bytes or 0), len(text))
