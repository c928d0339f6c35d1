"""Line sources with buffers of the test's making, and what they must give, in plain Python."""

import gzip
import io
import itertools
from types import SimpleNamespace

from in_threads import in_threads

from dbshuf.source.input import Input, Pipe
from dbshuf.source.lines.long_lines import LineLimit
from dbshuf.source.lines.reader import LineSource

BLOCK = 4096


def make_source(inputs, *, buffer_bytes=4 * BLOCK, rows=1000, longest_bytes=1 << 20, **options):
    """Return a source; of the layout it uses nothing but these two."""
    return LineSource(
        inputs,
        layout=SimpleNamespace(buffer_bytes=buffer_bytes, piece_rows=rows),
        limit=LineLimit(longest_bytes, lambda length: length),
        **{"terminator": b"\n", "header_bytes": 0} | options,
    )


def streamed(ordinal, data, codec=None):
    """Return an input that can only be read front to back, of what `data` says."""
    raw = io.BytesIO(data if codec is None else gzip.compress(data, 1))
    return Input(ordinal, f"in-{ordinal}", None, codec, None, pipe=Pipe(raw, b""))


def rows_of(batch):
    """Return (id, line) of a batch's rows; the lines are copied."""
    bounds = batch.offsets.tolist()
    lines = [batch.buffer[a:b].tobytes() for a, b in itertools.pairwise(bounds)]
    return list(zip(batch.ids().tolist(), lines, strict=True))


def read_all(source, workers=1):
    """Return all rows, sorted, that `workers` threads read; raise the first error."""
    rows = []

    def work():
        for batch in source.batches(source.new_arena()):
            rows.extend(rows_of(batch))

    in_threads(work, workers)
    return sorted(rows)


def expected(texts, terminator=b"\n", header_bytes=0):
    """Return (id, line) of all rows of some inputs, sorted."""
    rows = []
    for ordinal, text in enumerate(texts):
        lines, position = text.split(terminator), 0
        for line in lines if lines[-1] else lines[:-1]:
            if position >= header_bytes:
                rows.append((ordinal << 44 | position, line + terminator))
            position += len(line) + 1
    return rows
