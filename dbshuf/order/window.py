"""What the order stage hands to a sink: a run of rows in their final order."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dbshuf.key import U64


@dataclass(frozen=True)
class Window:
    """Consecutive rows of the output.

    lines       pyarrow binary array, shape (rows,); every value ends with its terminator
    keys        uint64, shape (rows,), ascending, also from one window to the next
    text_bytes  sum of the values' lengths
    """

    lines: pa.Array
    keys: U64
    text_bytes: int


def text_of(window: Window) -> memoryview:
    """Return the lines' bytes, terminators included, as one view; nothing is copied."""
    lines = window.lines
    _, offsets, data = lines.buffers()
    if data is None:
        return memoryview(b"")
    wide = pa.types.is_large_binary(lines.type)
    bounds = np.frombuffer(offsets, np.int64 if wide else np.int32)
    first, last = int(bounds[lines.offset]), int(bounds[lines.offset + len(lines)])
    return memoryview(data)[first:last]
