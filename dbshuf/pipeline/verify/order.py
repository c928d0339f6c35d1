"""Whether outputs hold the rows of the inputs in the order of a seed.

The inputs are ordered as a shuffle of them would be, and the rows of its windows are compared,
one after the other, with those of the files of the output in the order of their names.
"""

import contextlib
import os
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from dbshuf.base.block_io import aligned_buffer
from dbshuf.base.counters import Tally
from dbshuf.base.key import U64, id_of
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.progress import Progress
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.row_hash import Hashes
from dbshuf.base.window import Window
from dbshuf.options import Options
from dbshuf.pipeline.ordered import ordered
from dbshuf.pipeline.scan import open_scan
from dbshuf.pipeline.verify.sides import Side, from_store
from dbshuf.plan.make_plan import make_plan
from dbshuf.plan.row_plan import memory_cap
from dbshuf.units import MIB

_BUFFER_BYTES = 2 * MIB  # of the outputs, read at a time
_READING_BYTES = 48 * MIB  # taken from what orders: a buffer, decoded and hashed, and its reader


@dataclass(frozen=True)
class Misplaced:
    """The first row that is not what it should be.

    row       its number in the output, from 0
    found     its id in the outputs; None: they end before it
    expected  the id of the row of the inputs that should stand there; None: there is none
    """

    row: int
    found: int | None
    expected: int | None


def first_misplaced(
    options: Options, inputs: Side, outputs: Side, reporter: Progress
) -> Misplaced | None:
    """Return the first row that is out of the order of the seed; None if all are in it.

    options  those of the shuffle, its seed among them
    Raises   what a shuffle raises
    """
    assert options.seed is not None
    memory = memory_cap(options) - _READING_BYTES
    kind = inputs.plan.target.format
    plan = make_plan(replace(from_store(options), memory=memory, output=os.devnull, format=kind))
    words, row = plan.words, 0
    with (
        contextlib.closing(ordered(plan, reporter, Tally())) as windows,
        contextlib.closing(_in_file_order(outputs)) as written,
    ):
        theirs, ids = Hashes(*[np.zeros(0, np.uint64)] * 2), np.zeros(0, np.uint64)
        for window in windows:
            ours, first = _hashes(window, inputs), 0
            while first < window.rows:
                if not len(ids):
                    theirs, ids = next(written, (theirs, ids))
                    if not len(ids):
                        return Misplaced(row, None, id_of(int(window.keys[first]), words))
                count = min(len(ids), window.rows - first)
                bad = np.flatnonzero(
                    (ours.high[first : first + count] != theirs.high[:count])
                    | (ours.low[first : first + count] != theirs.low[:count])
                )
                if len(bad):
                    at = int(bad[0])
                    expected = id_of(int(window.keys[first + at]), words)
                    return Misplaced(row + at, int(ids[at]), expected)
                theirs, ids = theirs.take(slice(count, None)), ids[count:]
                first, row = first + count, row + count
            reporter.advance(window.text_bytes)
        ids = ids if len(ids) else next(written, (theirs, ids))[1]
        return Misplaced(row, int(ids[0]), None) if len(ids) else None


def _hashes(window: Window, side: Side) -> Hashes:
    if not window.is_lines:
        return side.hashes(RowBatch(window.batch, window.keys))[0]
    data = window.lines.buffers()[2] or b""
    offsets = window.bounds.astype(np.int32)
    return side.hashes(LineBatch(np.frombuffer(data, np.uint8), offsets, ((0, 0),)))[0]


def _in_file_order(side: Side) -> Generator[tuple[Hashes, U64]]:
    """Yield the rows of a side as they stand in its files, one file after the other."""
    plan = side.plan
    layout = replace(plan.layout, buffer_bytes=min(plan.layout.buffer_bytes, _BUFFER_BYTES))
    buffer = aligned_buffer(layout.buffer_bytes)
    for one in plan.inputs:
        alone = replace(plan, inputs=(one,), layout=layout)
        with contextlib.closing(open_scan(alone, plan.temp_dir, lambda size: None)) as feed:
            for batch in feed.batches(buffer):
                hashes, ids = side.hashes(batch)
                if len(ids):
                    yield hashes, ids
            feed.check()
