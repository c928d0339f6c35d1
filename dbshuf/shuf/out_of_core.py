"""Lines that do not fit in memory: the pipeline of `dbshuf shuffle` orders them."""

import contextlib
import os
import threading
from collections.abc import Iterator

from dbshuf.base.counters import Tally
from dbshuf.base.progress import NO_PROGRESS
from dbshuf.base.window import text_of
from dbshuf.options import Options
from dbshuf.pipeline.ordered import ordered
from dbshuf.plan.make_plan import make_plan
from dbshuf.shuf.large import U8
from dbshuf.shuf.output import Output

_PIECE_BYTES = 1 << 20


def shuffle_beyond(
    fd: int, terminator: bytes, seed: str, count: int | None, output: Output
) -> None:
    """Write the lines of a descriptor, `count` at most; raises DbshufError, ShufFailed."""
    options = Options(
        inputs=(f"/dev/fd/{fd}",),
        output=os.devnull,
        format="txt",
        seed=seed,
        zero_terminated=terminator == b"\0",
        binary=True,
        input_format="lines",
        as_it_is=True,
    )
    left = count
    with contextlib.closing(ordered(make_plan(options), NO_PROGRESS, Tally())) as windows:
        for window in windows:
            rows = window.rows if left is None else min(left, window.rows)
            output.write(text_of(window.slice(0, rows)))
            left = None if left is None else left - rows
            if left == 0:
                break


@contextlib.contextmanager
def piped(first: U8, fd: int) -> Iterator[int]:
    """A pipe that gives what was read already of a stream, and then the rest of it."""
    reading, writing = os.pipe()

    def feed() -> None:
        piece = first.data
        with contextlib.suppress(OSError), open(writing, "wb", buffering=0) as pipe:
            while piece:
                while piece:
                    piece = piece[pipe.write(piece) :]
                piece = memoryview(os.read(fd, _PIECE_BYTES))

    threading.Thread(target=feed, daemon=True).start()
    try:
        yield reading
    finally:
        os.close(reading)
