"""The public functions: the command line's work, for programs."""

import atexit
import contextlib
import os
import weakref
from collections.abc import Generator, Sequence
from typing import Any, TypedDict, Unpack

import pyarrow as pa

from dbshuf.errors import UsageError
from dbshuf.order.tally import Tally
from dbshuf.pipeline import Reporter, Result, ordered, run
from dbshuf.plan import Options, make_plan
from dbshuf.progress import NO_PROGRESS
from dbshuf.sink.column import LineColumn
from dbshuf.verify import check_totals, checked

Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class StreamOptions(TypedDict, total=False):
    """Options of both functions beyond those they name; as on the command line."""

    zero_terminated: bool
    header: int
    binary: bool
    temp_dir: str | os.PathLike[str] | None


class ShuffleOptions(StreamOptions, total=False):
    """Options of `shuffle` beyond those it names; as on the command line."""

    format: str | None
    shards: int | None
    shard_bytes: str | int | None
    shard_rows: int | None
    force: bool


def shuffle(
    inputs: Names,
    output: str | os.PathLike[str],
    *,
    memory: str | int | None = None,
    seed: str | int | None = None,
    strategy: str = "auto",
    threads: int | None = None,
    progress: Reporter = NO_PROGRESS,
    **options: Unpack[ShuffleOptions],
) -> Result:
    """Shuffle the lines of `inputs` into `output`, as `dbshuf shuffle` does.

    inputs    files, globs, directories; one or several
    output    a text file (.gz and .zst compress), a .parquet file, or a directory
    memory    cap on the peak RSS of this process, bytes or "1GB"; default: half of
              what the machine or its cgroup has
    seed      any text or number (7 is "7"); default: one is drawn, see the result
    strategy  "auto", "memory", "spill" or "partition"; the bytes are the same
    threads   default: the cores that this process may use
    options   zero_terminated, header, binary, format, shards, shard_bytes, shard_rows,
              temp_dir, force: as on the command line
    Returns   rows, bytes, seed, strategy, seconds and peak RSS
    Raises    DbshufError; then the output is as it was before
    """
    chosen = _options(
        inputs,
        {**options, "memory": memory, "seed": seed, "strategy": strategy, "threads": threads},
    )
    return run(make_plan(Options(**chosen, output=os.fspath(output))), progress)


def stream(
    inputs: Names,
    *,
    memory: str | int | None = None,
    seed: str | int | None = None,
    strategy: str = "auto",
    threads: int | None = None,
    **options: Unpack[StreamOptions],
) -> pa.RecordBatchReader:
    """Return the shuffled lines of `inputs` as Arrow batches, for a training loop.

    inputs, memory, seed, strategy, threads   as for `shuffle`
    options   zero_terminated, header, binary, temp_dir
    Returns   a reader with one column `line`: string without its terminator, or binary
              with binary=True; work begins with the first batch, and closing the reader
              or dropping it early ends the work and removes all temporary data
    Raises    DbshufError, here or while it is read
    """
    unknown = set(options) - {"zero_terminated", "header", "binary", "temp_dir"}
    if unknown:
        raise UsageError(f"stream takes no `{sorted(unknown)[0]}`")
    chosen = _options(
        inputs,
        {**options, "memory": memory, "seed": seed, "strategy": strategy, "threads": threads},
    )
    plan = make_plan(Options(**chosen))
    column = LineColumn(plan.target)

    def batches() -> Generator[pa.RecordBatch]:
        read, written = Tally(), Tally()
        with contextlib.closing(ordered(plan, NO_PROGRESS, read)) as windows:
            for window in checked(windows, written):
                yield column.batch(window)
            check_totals(read, written)

    rows = batches()
    atexit.register(_close, weakref.ref(rows))
    return pa.RecordBatchReader.from_batches(column.schema, rows)


def _close(rows: "weakref.ref[Generator[pa.RecordBatch]]") -> None:
    """End a stream that a program left half-read, so that it leaves no temporary data."""
    generator = rows()
    if generator is not None:
        generator.close()


def _options(inputs: Names, others: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of Options but the output; Raises UsageError for an unknown one."""
    names = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    unknown = set(others) - set(Options.__dataclass_fields__)
    if unknown:
        raise UsageError(f"unknown option `{sorted(unknown)[0]}`")
    paths = {
        name: os.fspath(others[name]) for name in ("temp_dir",) if others.get(name) is not None
    }
    seed = others.get("seed")
    return {
        **others,
        **paths,
        "inputs": tuple(os.fspath(name) for name in names),
        "seed": None if seed is None else str(seed),
    }
