"""SQLite's ORDER BY: rows wait in a table for each range of the key, and each is ordered in turn.

The tables lie in one temporary database in the run's private folder. A table is so small that
SQLite orders it in memory: what its sorter spills it would put where SQLITE_TMPDIR said when
the library was loaded, and PRAGMA temp_store_directory is deprecated and of the whole process.
Where a table is larger than was expected, parts of its range are ordered one after the other. So
rows are written once, and what is sorted is bounded by `cache_size`, as SQLite's sorter is.

Insertion takes 1.4 us a row of 147 bytes, and order and reading 2 (SQLite 3.40.1).
"""

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import aligned_buffer
from dbshuf.base.counters import Tally
from dbshuf.base.key import U64, mix_ids, range_of, range_start
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.nested_types import text_bounds
from dbshuf.base.row_batch import I64, RowBatch, arrow_numbers
from dbshuf.base.row_packing import packed, unpacked
from dbshuf.base.scan import Scan
from dbshuf.base.statements import filled
from dbshuf.base.window import Window
from dbshuf.base.workers import Stopped, in_order, run_workers
from dbshuf.errors import DbshufError, LineTooLong, StrategyUnfit, TempSpaceShort, TempUnusable
from dbshuf.order.ranges import Cuts, equal_cuts
from dbshuf.units import KIB, MIB, human

Put = Callable[[Window, int], None]
_SIGN = 1 << 63
_TOP = np.uint64(_SIGN)  # flipped, an unsigned key ascends as a signed one
_PIECE_ROWS, _PIECE_BYTES = 8192, MIB  # turned into Python's objects at a time
_STATEMENT_ROWS = 16  # inserted by one statement: 1.4 us a row; 2.8 one by one, 1.7 by 250
_WINDOW_BYTES = 2 * MIB
_CACHE_SHARE = 3 / 8  # of the engine's memory for pages, and as much again to sort
_SORT_SHARE = 0.6  # of that, which a table may take; the rest is for what was not foreseen
_SORTED_ROW_BYTES = 48  # that a row takes beside its bytes while it is sorted
# A row of 24 kB would leave a quarter of every large page empty; short rows do with fewer.
_PAGE_BYTES, _WIDE_PAGE_BYTES, _WIDE_BYTES = 1 << 16, 1 << 12, 1 << 10
_MOST_ROW_BYTES = 1_000_000_000  # as SQLite is built by default


@dataclass(frozen=True)
class SqlitePlan:
    """What SQLite orders with.

    schema          of typed rows; None: they are lines
    mean_row_bytes  of the rows
    buffer_bytes    what is read at a time
    memory_bytes    for SQLite: its pages, and as much again to sort
    ranges          tables
    ahead_bytes     windows that may wait for the sink
    temp_dir        which the user named, for messages
    prefixes        where tables of rows begin (`SortPrefix.cuts`); None: they have no prefixes
    """

    schema: pa.Schema | None
    mean_row_bytes: float
    buffer_bytes: int
    memory_bytes: int
    ranges: int
    ahead_bytes: int
    temp_dir: Path
    prefixes: Cuts | None = None


class _Part(NamedTuple):
    """Rows of a table: their first word lies within `firsts`, and of rows with prefixes their key
    within `keys`; signed, both ends are in it.
    """

    firsts: tuple[int, int]
    keys: tuple[int, int] = (-_SIGN, _SIGN - 1)

    def halves(self) -> "tuple[_Part, _Part]":
        """Return its lower and its upper half; of one prefix by the key."""
        first, last = self.firsts
        if first < last:
            middle = (first + last) // 2
            return _Part((first, middle), self.keys), _Part((middle + 1, last), self.keys)
        first, last = self.keys
        middle = (first + last) // 2
        return _Part(self.firsts, (first, middle)), _Part(self.firsts, (middle + 1, last))


def ranges_for(memory_bytes: int, stored_bytes: int) -> int:
    """Return into how many tables rows of so many bytes go."""
    cache = int(memory_bytes * _CACHE_SHARE)
    room = min(int(cache * _SORT_SHARE * 2 / 3), 64 * MIB)  # buckets differ
    most = max(cache // (2 * _PAGE_BYTES), 1)  # the last page of each is written to
    return max(min(-(-stored_bytes // room), most), 1)


class SqliteOrder:
    """One order by SQLite; see engine.Order."""

    def __init__(self, plan: SqlitePlan, words: tuple[int, int], folder: Path) -> None:
        """Make the temporary database in `folder`, which is the run's own."""
        self.read = Tally()
        self._plan, self._words = plan, words
        self._path = folder / "rows.sqlite"
        self._rows = np.zeros(plan.ranges, np.int64)
        self._bytes = np.zeros(plan.ranges, np.int64)
        self._begins: U64 | None = None  # where tables of rows with prefixes begin
        self._least = np.full(plan.ranges, (1 << 64) - 1, np.uint64)
        self._greatest = np.zeros(plan.ranges, np.uint64)
        self._keys = (1 << 64) - 1, 0  # the least and the greatest of rows with prefixes
        self._cache_bytes = int(plan.memory_bytes * _CACHE_SHARE)
        with self._told():
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        is_wide = self._plan.mean_row_bytes > _WIDE_BYTES
        settings = filled(
            "sqlite",
            "order_settings",
            page_bytes=str(_WIDE_PAGE_BYTES if is_wide else _PAGE_BYTES),
            cache_kib=str(self._cache_bytes // KIB),
        ).text
        name = quote(os.fsencode(os.path.abspath(self._path)))
        connection = sqlite3.connect(
            f"file:{name}?mode=rw&nolock=1",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=2 * self._plan.ranges + 16,
        )
        try:
            for setting in filter(str.strip, settings.split(";")):
                connection.execute(setting).fetchall()
            connection.execute("BEGIN")
            for number in range(self._plan.ranges):
                connection.execute(self._of_table("_create", number))
        except BaseException:
            connection.close()
            raise
        return connection

    def fill(self, feed: Scan) -> None:
        stop = threading.Event()

        def work(_: int) -> None:
            for batch in feed.batches(aligned_buffer(self._plan.buffer_bytes)):
                with self._told():
                    self._add(batch)
                del batch
                if stop.is_set():
                    raise Stopped
            with self._told():
                self._connection.execute("COMMIT")

        def end() -> None:
            stop.set()
            feed.stop()

        run_workers(1, work, end)

    def _add(self, batch: LineBatch | RowBatch) -> None:
        """Key the rows of a batch and insert each into the table of its range."""
        kept = None
        if isinstance(batch, RowBatch):
            ids, sizes, rows = batch.ids, batch.sizes, packed(batch.batch)
        else:
            ids, sizes, rows = batch.ids(), np.diff(batch.offsets), batch.lines()
            kept = batch.kept
            if kept is not None:
                ids, sizes = ids.take(kept), sizes.take(kept)
        keys: U64 = ids.copy()
        mix_ids(keys, self._words)
        self.read.add(keys, sizes)
        parts = self._tables_of(keys, batch.prefixes)
        order = np.argsort(parts, kind="stable")
        counts = np.bincount(parts, minlength=self._plan.ranges)
        self._rows += counts
        stored = sizes if kept is not None else np.diff(text_bounds(rows)[1])
        self._bytes += np.bincount(parts, stored, self._plan.ranges).astype(np.int64)
        words = [keys] if batch.prefixes is None else [batch.prefixes, keys]
        signed = [(one ^ _TOP).view(np.int64).take(order) for one in words]
        width = len(words) + 1
        ends = np.concatenate([[0], np.cumsum(counts)])
        mean = max(int(stored.sum()) // max(len(keys), 1), 1)
        step = max(min(_PIECE_ROWS, _PIECE_BYTES // mean), 1)
        elements = order if kept is None else kept.take(order)
        for number in np.flatnonzero(counts).tolist():
            for first in range(ends[number], ends[number + 1], step):
                last = min(first + step, ends[number + 1])
                taken = rows.take(arrow_numbers(elements[first:last]))
                values: list[int | bytes] = [0] * (width * (last - first))
                for at, one in enumerate(signed):
                    values[at::width] = one[first:last].tolist()
                values[width - 1 :: width] = taken.to_pylist()
                self._insert(number, values)

    def _insert(self, number: int, values: list[int | bytes]) -> None:
        """Insert rows into a table: prefix, where there is one, key and row in turns."""
        width = 2 if self._plan.prefixes is None else 3
        whole = len(values) // (width * _STATEMENT_ROWS) * (width * _STATEMENT_ROWS)
        place = f"({', '.join('?' * width)})"
        for begin, end, rows in ((0, whole, _STATEMENT_ROWS), (whole, len(values), 1)):
            insert = self._of_table("_insert", number, rows=", ".join([place] * rows))
            step = width * rows
            every = (values[at : at + step] for at in range(begin, end, step))
            self._connection.executemany(insert, every)

    def _tables_of(self, keys: U64, prefixes: U64 | None) -> I64:
        if prefixes is None:
            return range_of(keys, self._plan.ranges).astype(np.int64)
        if self._begins is None:
            assert self._plan.prefixes is not None
            begins = self._plan.prefixes(self._plan.ranges)
            self._begins = equal_cuts(self._plan.ranges) if begins is None else begins
        parts = np.searchsorted(self._begins, prefixes, side="right").astype(np.int64)
        np.minimum.at(self._least, parts, prefixes)
        np.maximum.at(self._greatest, parts, prefixes)
        if len(keys):
            first, last = self._keys
            self._keys = min(first, int(keys.min())), max(last, int(keys.max()))
        return parts

    def _whole(self, number: int) -> _Part:
        if self._plan.prefixes is not None:
            least, greatest = int(self._least[number]), int(self._greatest[number])
            firsts = _signed(least), _signed(greatest)
            return _Part(firsts, (_signed(self._keys[0]), _signed(self._keys[1])))
        first = range_start(number, self._plan.ranges)
        return _Part((_signed(first), _signed(range_start(number + 1, self._plan.ranges) - 1)))

    def windows(self) -> Iterator[Window]:
        def work(number: int, put: Put, _: int) -> None:
            with self._told():
                self._emit(number, self._whole(number), put)

        yield from in_order(
            self._plan.ranges, 1, self._plan.ahead_bytes, work, self._connection.interrupt
        )

    def _emit(self, number: int, whole: _Part, put: Put) -> None:
        """Order the rows of a part of a table, by halves if need be."""
        parts = [(whole, int(self._rows[number]), int(self._bytes[number]))]
        while parts:
            part, rows, size = parts.pop()
            if not rows:
                continue
            is_large = size + rows * _SORTED_ROW_BYTES > self._cache_bytes * _SORT_SHARE
            if not is_large or rows == 1:
                self._order(number, part, max(size // rows, 1), put)
                continue
            for half in reversed(part.halves()):
                sizes = self._ask("_sizes", number, half).fetchone()
                parts.append((half, *sizes))

    def _order(self, number: int, part: _Part, mean_bytes: int, put: Put) -> None:
        piece_rows = max(min(_WINDOW_BYTES // mean_bytes, _PIECE_ROWS), 1)
        found = self._ask("", number, part)
        with contextlib.closing(found):
            while rows := found.fetchmany(piece_rows):
                window = self._window(*zip(*rows, strict=True))
                del rows
                put(window, window.text_bytes + 12 * window.rows)

    def _ask(self, what: str, number: int, part: _Part) -> sqlite3.Cursor:
        values = {"first": part.firsts[0], "last": part.firsts[1]}
        if self._plan.prefixes is not None:
            values |= {"first_key": part.keys[0], "last_key": part.keys[1]}
        return self._connection.execute(self._of_table(what, number), values)

    def _of_table(self, what: str, number: int, **parts: str) -> str:
        """Return the statement `order` on a table, or `order_prefixed`, by the end of its name."""
        name = "order" if self._plan.prefixes is None else "order_prefixed"
        return filled("sqlite", name + what, table=f"range_{number}", **parts).text

    def _window(self, *columns: Any) -> Window:
        *signed, rows = columns
        words = [np.array(one, np.int64).view(np.uint64) ^ _TOP for one in signed]
        keys, prefixes = words[-1], words[0] if len(words) > 1 else None
        size = sum(map(len, rows))
        values = pa.array(rows, pa.binary() if size < 1 << 31 else pa.large_binary())
        if self._plan.schema is None:
            return Window.of_lines(values, keys, prefixes)
        return Window.of_rows(unpacked(values, self._plan.schema), keys, prefixes)

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # a worker that is stuck in it will end it
            self._connection.close()
        self._path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn errors of SQLite into those for users."""
        try:
            yield
        except (sqlite3.Error, OSError, OverflowError, MemoryError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_INTERRUPT:
                raise Stopped from None
            raise _explained(error, self._plan) from error


def _signed(key: int) -> int:
    return key - _SIGN


def _explained(error: Exception, plan: SqlitePlan) -> DbshufError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT):
        return TempSpaceShort(
            f"temporary directory `{plan.temp_dir}` is full",
            hint="free space there or pass --temp-dir DIR; no output was published",
        )
    if isinstance(error, OverflowError | sqlite3.DataError) or code == sqlite3.SQLITE_TOOBIG:
        return LineTooLong(
            f"a row is longer than the {_MOST_ROW_BYTES:,} bytes that SQLite takes",
            hint="leave out --engine sqlite",
        )
    if isinstance(error, MemoryError) or code == sqlite3.SQLITE_NOMEM:
        return StrategyUnfit(
            f"SQLite cannot order these rows within its {human(plan.memory_bytes)}",
            hint="leave out --engine sqlite, or pass a larger --memory",
        )
    return TempUnusable(
        f"temporary directory `{plan.temp_dir}`: SQLite says: {error}",
        hint="check the disk, or pass --temp-dir DIR; no output was published",
    )
