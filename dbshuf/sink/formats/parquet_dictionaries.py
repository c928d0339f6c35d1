"""For which columns of a row group a dictionary is not worth its work.

pyarrow (26.0.1) tries one for every column, and gives it up once it is full: then the group has a
dictionary of 1 MiB that serves a part of its pages, and the rest is plain. Groups of 16 MiB with a
number, a share, a URL and a text that hardly repeat were 1.15 times as large for it, and took more
work than without.

What is decided is a pure function of the rows of a group and of how they lie in pieces, so it does
not depend on memory, windows or threads.
"""

import math

import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.units import KIB, MIB

_FULL_BYTES = MIB  # of a dictionary that pyarrow gives up, by default
_FEW_ROWS = 1024  # the look would take as long as the dictionary
_LOOKS, _LOOK_ROWS, _LOOK_BYTES = 8, 512, 128 * KIB  # places in a group, and what is seen of each
_WORTH = 0.9  # of the plain bytes that a dictionary with its numbers has at most


def without_dictionary(rows: pa.Table) -> frozenset[str]:
    """Return the columns of a group, none of them nested, that are better written plain."""
    if rows.num_rows < _FEW_ROWS:
        return frozenset()
    columns = zip(rows.column_names, rows.columns, strict=True)
    return frozenset(
        name for name, values in columns if _is_looked_at(values.type) and not _pays(values)
    )


def _is_looked_at(kind: pa.DataType) -> bool:
    """Whether there may be a dictionary, but for one that a reader is to find again."""
    types = pa.types
    others = (types.is_nested, types.is_dictionary, types.is_boolean, types.is_null)
    return not (isinstance(kind, pa.BaseExtensionType) or any(is_one(kind) for is_one in others))


def _pays(values: pa.ChunkedArray) -> bool:
    """Whether a dictionary serves most rows, and is smaller with the number of each row."""
    rows = len(values) - values.null_count
    seen = pa.chunked_array(_seen(values), values.type)
    count = len(seen) - seen.null_count
    if not count:
        return True
    try:
        found = pc.count_distinct(seen).as_py()
    except pa.ArrowNotImplementedError:  # of a type that pyarrow does not tell apart
        return True
    size, distinct = seen.nbytes / count, _estimated(found, count, rows)
    if distinct * size > _FULL_BYTES:
        until_full = -distinct * math.log1p(-_FULL_BYTES / (distinct * size))
        if until_full < rows / 2:
            return False
    bits = max(math.ceil(math.log2(distinct)), 1)
    return bool(distinct * size + rows * bits / 8 < _WORTH * rows * size)


def _seen(values: pa.ChunkedArray) -> list[pa.Array]:
    """Return some rows of some pieces; nothing is copied."""
    step = -(-values.num_chunks // _LOOKS)
    found = []
    for piece in values.chunks[::step]:
        mean_bytes = max(piece.nbytes / max(len(piece), 1), 1)
        found.append(piece.slice(0, min(_LOOK_ROWS, max(int(_LOOK_BYTES / mean_bytes), 1))))
    return found


def _estimated(distinct: int, seen: int, rows: int) -> float:
    """Return how many values there are in all rows, if all are as frequent.

    Of D such values about D (1 - exp(-seen / D)) are among those that were seen.
    """
    if distinct >= seen or seen >= rows:
        return distinct if seen >= rows else rows
    low, high = float(distinct), float(rows)
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        if middle * -math.expm1(-seen / middle) < distinct:
            low = middle
        else:
            high = middle
    return high
