"""SQLite's order: tables for ranges of the key, and what happens where they are too large."""

import contextlib
import os

import numpy as np
import pyarrow as pa
import pytest

from dbshuf.base.key import row_keys, seed_words
from dbshuf.base.row_batch import RowBatch
from dbshuf.errors import StrategyUnfit, TempSpaceShort, TempUnusable
from dbshuf.order import sqlite
from dbshuf.order.sqlite import SqliteOrder, SqlitePlan


class Feed:
    """Rows of one text column, in batches of a few."""

    most_workers = 1

    def __init__(self, values, size):
        self.values, self._size = values, size
        self.ids = np.arange(len(values), dtype=np.uint64)

    def batches(self, buffer):
        for first in range(0, len(self.values), self._size):
            part = pa.array(self.values[first : first + self._size], pa.string())
            batch = pa.record_batch([part], names=["t"])
            yield RowBatch(batch, self.ids[first : first + self._size])

    def check(self):
        pass

    def stop(self):
        pass


def open_files():
    """Return what this process has open."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    return found


def ordered(feed, folder, *, memory_bytes=1 << 22, ranges=3):
    plan = SqlitePlan(
        schema=pa.schema([("t", pa.string())]),
        mean_row_bytes=100,
        buffer_bytes=1 << 16,
        memory_bytes=memory_bytes,
        ranges=ranges,
        ahead_bytes=1 << 16,
        temp_dir=folder,
    )
    with contextlib.closing(SqliteOrder(plan, seed_words("42"), folder)) as order:
        order.fill(feed)
        mode = os.stat(folder / "rows.sqlite").st_mode & 0o777
        windows, files = [], set()
        for window in order.windows():
            windows.append(window)
            files |= open_files()
    assert mode == 0o600
    # Its sorter's files would lie where a variable of the environment said at start-up.
    assert not [name for name in files if "etilqs" in name]
    assert os.listdir(folder) == []
    keys = np.concatenate([window.keys for window in windows])
    assert (keys[1:] > keys[:-1]).all()
    return [value for window in windows for value in window.batch.column(0).to_pylist()]


@pytest.mark.parametrize("memory_bytes", [1 << 16, 1 << 18, 1 << 24])
def test_a_table_that_is_larger_than_planned_is_ordered_in_parts(memory_bytes, tmp_path):
    """Down to one row at a time; a row that is larger than all there is goes alone."""
    values = [f"{n} " + "x" * (n % 300) for n in range(3000)] + ["y" * 200_000, None, ""]
    feed = Feed(values, 700)
    want = [values[at] for at in np.argsort(row_keys(feed.ids, "42"))]
    assert ordered(feed, tmp_path, memory_bytes=memory_bytes) == want


def test_a_full_disk_and_a_short_memory_are_told_apart(tmp_path):
    plan = SqlitePlan(None, 1, 1, 1 << 20, 1, 1, tmp_path)
    for code, kind in (
        (sqlite.sqlite3.SQLITE_FULL, TempSpaceShort),
        (sqlite.sqlite3.SQLITE_IOERR, TempUnusable),
        (sqlite.sqlite3.SQLITE_NOMEM, StrategyUnfit),
    ):
        error = sqlite.sqlite3.OperationalError("words of SQLite")
        error.sqlite_errorcode = code
        assert type(sqlite._explained(error, plan)) is kind
