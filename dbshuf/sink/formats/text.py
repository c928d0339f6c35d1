"""Lines as they are, and typed rows of one column as lines."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.window import text_of
from dbshuf.sink.begun_file import Position
from dbshuf.sink.formats.compression import TextStream
from dbshuf.sink.formats.row_text import ValueUnfit, bytes_of
from dbshuf.sink.raw_file import WithHead
from dbshuf.sink.target import Target


class LineEncoder:
    """Lines: one write for every window, straight from its buffer."""

    def __init__(self, stream: TextStream, target: Target) -> None:
        self._output = WithHead(stream, target.header)
        self.position: Callable[[], Position] = stream.position
        self.flush, self.finish = self._output.flush, self._output.finish
        self.abort = self._output.abort

    def write(self, window: Any) -> None:
        self._output.write(text_of(window))


def as_lines(rows: pa.RecordBatch, terminator: bytes) -> memoryview:
    """Return the values of the one column, each with a terminator behind it.

    Raises   ValueUnfit for NULL, and for a terminator in a value
    """
    values, kind = rows.column(0), pa.large_binary()  # 2 GiB are no limit
    if values.null_count:
        hint = """--select "coalesce({name}, '')", or --where "{name} is not null\""""
        raise ValueUnfit("`{name}` is NULL, and no line is", hint)
    nothing, end = pa.scalar(b"", kind), pa.scalar(terminator, kind)
    text = bytes_of(pc.binary_join_element_wise(values.cast(kind), nothing, end))
    ends = np.count_nonzero(np.frombuffer(text, np.uint8) == terminator[0])
    if ends != len(values):
        is_nul = terminator == b"\0"
        mark, code, way = ("NUL", 0, "") if is_nul else ("line end", 10, "use -z, ")
        raise ValueUnfit(
            f"`{{name}}` holds a {mark}, which would make it two lines",
            f"--select \"replace({{name}}, chr({code}), ' ')\", {way}or write Parquet",
        )
    return text
