"""Rows in windows, as the order stage gives them, and targets to write them to."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from dbshuf.base.row_batch import row_bytes
from dbshuf.base.window import Window
from dbshuf.sink import Sink, Target, open_sink
from dbshuf.sink.formats import parquet

lines_of_any_bytes = st.lists(
    st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"") + b"\n"), max_size=60
)
borders = st.lists(st.integers(0, 60), max_size=8)
exact = settings(deadline=None, derandomize=True)


def target_of(path: Path | None, format_: str = "txt", **changes: object) -> Target:
    """A target with nothing special about it."""
    plain = {
        "header": b"",
        "terminator": b"\n",
        "binary": False,
        "shards": None,
        "shard_bytes": None,
        "shard_rows": None,
        "force": False,
        "seed": "42",
        "locate": lambda key: f"`in.txt` at byte {key}",
    }
    return Target(path=path, format=format_, **(plain | changes))


def keys_for(lines: Sequence[bytes]) -> list[int]:
    """Ascending keys, spread over the whole range."""
    return [(i << 64) // max(len(lines), 1) for i in range(len(lines))]


def windows_of(
    lines: Sequence[bytes],
    cuts: Iterable[int] = (),
    *,
    keys: Sequence[int] | None = None,
    wide: bool = False,
) -> Iterator[Window]:
    """Cut rows into windows; the arrays are slices, with rows of others on both sides."""
    around = [b"before\n", *lines, b"after\n"]
    array = pa.array(around, pa.large_binary() if wide else pa.binary())
    all_keys = np.array(keys_for(lines) if keys is None else keys, np.uint64)
    ends = sorted({min(cut, len(lines)) for cut in cuts} | {len(lines)})
    first = 0
    for end in ends:
        yield Window.of_lines(array.slice(1 + first, end - first), all_keys[first:end])
        first = end


def row_windows_of(
    rows: pa.RecordBatch, cuts: Iterable[int] = (), *, keys: Sequence[int] | None = None
) -> Iterator[Window]:
    """Cut typed rows into windows; the batches are slices, with other rows around them."""
    around = pa.concat_batches([rows.slice(0, 1), rows, rows.slice(0, 1)])
    first_row = min(len(rows), 1)
    all_keys = np.array(keys_for(rows) if keys is None else keys, np.uint64)
    bounds = np.concatenate([[7], 7 + np.cumsum(row_bytes(rows))])
    first = 0
    for end in sorted({min(cut, len(rows)) for cut in cuts} | {len(rows)}):
        batch = around.slice(first_row + first, end - first)
        yield Window(batch, all_keys[first:end], bounds[first : end + 1])
        first = end


def write_all(target: Target, windows: Iterable[Window]) -> Sink:
    """Write windows to a target and publish them."""
    sink = open_sink(target)
    try:
        for window in windows:
            sink.write(window)
        sink.finish()
    finally:
        sink.abort()
    return sink


def parts_by_size(lines: Sequence[bytes], most_bytes: int | None, most_rows: int | None):
    """The rule of SizeCut in plain Python, line by line."""
    parts: list[list[bytes]] = [[]]
    for line in lines:
        size = sum(map(len, parts[-1])) + len(line)
        full = (most_bytes and size > most_bytes) or (most_rows and len(parts[-1]) == most_rows)
        if full and parts[-1]:
            parts.append([])
        parts[-1].append(line)
    return parts


same_file = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, derandomize=True
)
any_lines = st.lists(st.text(max_size=30).map(lambda t: t.encode().replace(b"\n", b"") + b"\n"))


def small_groups(patch: pytest.MonkeyPatch, most_bytes: int = 100, most_rows: int = 7) -> None:
    patch.setattr("dbshuf.sink.memory.ROW_GROUP_BYTES", most_bytes)
    patch.setattr(parquet, "ROW_GROUP_ROWS", most_rows)
    patch.setattr(parquet, "PIECE_BYTES", 40)
