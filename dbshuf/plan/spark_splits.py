"""What each task of a Spark job reads: decided once, on the driver, from the sizes of files.

A task that is run again reads the same bytes, so it gives the same rows in the same buckets.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dbshuf.plan.row_plan import Shape
from dbshuf.source.input import Input
from dbshuf.units import MIB

# A task of 128 MB lasts seconds, so that little is lost with one; more than 20,000 of them keep
# the driver busy with nothing else.
_SPLIT_BYTES, _LEAST_SPLIT_BYTES = 128 * MIB, 16 * MIB
_MOST_SPLITS = 20_000
_SPLITS_PER_CORE = 3
_MOST_INPUTS = 256  # small ones that one task reads


@dataclass(frozen=True)
class Split:
    """What one task reads.

    ordinals    of the inputs: one, or several small ones
    part        None: all of them. Of one plain file of lines the bytes [begin, end), and the
                lines that start there; of one table its parts [first, last)
    size_bytes  about, as they lie on disk
    """

    ordinals: tuple[int, ...]
    part: tuple[int, int] | None
    size_bytes: int


def split_bytes(total_bytes: int, cores: int) -> int:
    """Return the bytes of a split: at most 128 MiB, unless that were too many splits."""
    shared = total_bytes // (_SPLITS_PER_CORE * cores) // MIB * MIB
    usual = min(_SPLIT_BYTES, max(_LEAST_SPLIT_BYTES, shared))
    return max(usual, -(-total_bytes // _MOST_SPLITS))


def make_splits(
    inputs: Sequence[Input], shape: Shape, header_bytes: int, size: int
) -> tuple[Split, ...]:
    """Cut inputs into splits of about `size` bytes; what cannot be cut is in one of its own."""
    small: list[Input] = []
    splits: list[Split] = []
    for one in inputs:
        length = one.size_bytes or 0
        if length <= size * 3 // 2:
            small.append(one)
        elif shape.is_text and one.is_plain_file:
            pieces = -(-length // size)
            step = -(-length // pieces)
            splits += [
                Split((one.ordinal,), (at, min(at + step, length)), min(step, length - at))
                for at in range(0, length, step)
                if min(at + step, length) > header_bytes
            ]
        elif shape.kind == "parquet":
            splits += _of_groups(one, size)
        else:
            splits.append(Split((one.ordinal,), None, length))
    return (*splits, *_together(small, size))


def _of_groups(source: Input, size: int) -> Iterator[Split]:
    """Yield row groups, as many in one split as come to its size."""
    from dbshuf.source.tables.parquet import ParquetInput

    length = source.size_bytes or 0
    table = ParquetInput(source)
    groups = sum(1 for _ in table.row_ranges([]))
    step = max(groups * size // max(length, 1), 1)
    for first in range(0, groups, step):
        last = min(first + step, groups)
        yield Split((source.ordinal,), (first, last), length * (last - first) // groups)


def _together(inputs: Iterable[Input], size: int) -> Iterator[Split]:
    """Yield whole inputs, several in one split while they are small."""
    held: list[int] = []
    held_bytes = 0
    for one in inputs:
        length = one.size_bytes or 0
        if held and (held_bytes + length > size or len(held) == _MOST_INPUTS):
            yield Split(tuple(held), None, held_bytes)
            held, held_bytes = [], 0
        held.append(one.ordinal)
        held_bytes += length
    if held:
        yield Split(tuple(held), None, held_bytes)
