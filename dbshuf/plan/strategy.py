"""Which strategy orders the rows, and why."""

import sys
from dataclasses import dataclass, replace

from dbshuf.base.layout import MERGE_ROWS, Layout, merge_bytes
from dbshuf.base.messages import too_small
from dbshuf.errors import StrategyUnfit
from dbshuf.plan.worker_memory import lay_out, least_cap, memory_store, stored_bytes
from dbshuf.source.survey import Survey
from dbshuf.units import GIB, MB, MIB, cap_named, human

DUCKDB_BYTES = 110 * MIB  # left for DuckDB's code and for what its memory_limit does not cover
UNKNOWN_BYTES = 10 * GIB  # of rows whose size is unknown; more are ordered in parts of a range
VARIES_BYTES = 8 * MIB  # by which the base of one run is another's, and peaks with it
_NAMED_STEP_BYTES = 20 * MB  # errors name a multiple
_IMPORTED_BYTES = 21 * MIB  # of it that is resident once DuckDB is imported (duckdb 2.0.1)
_CONNECTED_BYTES = 32 * MIB  # and once it is connected and has ordered a few rows
_LEAST_DUCKDB_BYTES = 64 * MIB
# Shares of what is free that stay for reading, and so for long lines: with a sort of its own,
# beside the statement that sorts what it is fed with, and beside one that reads a store itself.
READING_SHARE, FED_SHARE, STORE_SHARE = 1 / 4, 3 / 16, 1 / 16
_LEAST_READING_BYTES = 64 * MIB  # for the thread that reads beside DuckDB
_LEAST_SQLITE_BYTES = _LEAST_READING_BYTES + 16 * MIB


@dataclass(frozen=True)
class Allowance:
    """What a run has to read and to order with.

    cap            bytes that the process may have
    base           of these, what is taken before anything is read
    threads        that may work
    copies         how often a worker holds what it reads
    reading_share  of what is free, for the thread that reads beside another engine
    gain           what this order has of every byte more of --memory
    """

    cap: int
    base: int
    threads: int
    copies: float = 1
    reading_share: float = READING_SHARE
    gain: float = 1


def choose_strategy(asked: str, survey: Survey, allowed: Allowance) -> tuple[str, str, Layout]:
    """Pick the strategy, say why, and split the memory for it."""
    cap, base, threads, copies = allowed.cap, allowed.base, allowed.threads, allowed.copies
    least = least_cap(base, survey, copies)
    needed = least
    if asked == "sqlite":
        least = needed = max(least, base + _LEAST_SQLITE_BYTES + survey.reader_bytes)
    if asked == "spill":
        needed = max(least, _least_spill_cap(base, survey))
    enough = _rounded(cap + int((needed - cap) / allowed.gain) + VARIES_BYTES)
    if cap < least:
        raise too_small(cap, enough)
    named = cap_named(enough)
    if cap < needed:
        raise StrategyUnfit(
            f"--strategy spill needs {named}, not {human(cap)}: DuckDB's merge pins"
            f" {MERGE_ROWS:,} rows of {survey.mean_line_bytes:.0f} bytes, and a part of every run",
            hint=f"use --strategy partition, or --memory {named}",
        )
    store_bytes, strategy, reason = _store_bytes(asked, cap, cap - least, survey)
    whole = cap
    if strategy in ("spill", "sqlite"):  # one thread reads, and the rest is the engine's
        cap, threads = base + _reading_bytes(cap, base, survey, allowed.reading_share), 0
    layout = lay_out(cap, base, survey, threads=threads, store_bytes=store_bytes, copies=copies)
    if strategy == "sqlite":
        ranges = sqlite_ranges(whole - cap, survey)
        return strategy, "SQLite orders the rows, as asked for", replace(layout, ranges=ranges)
    return strategy, reason if asked == "auto" else "asked for", layout


def statement_share(*, is_fed: bool) -> float:
    """Return the share of memory that stays beside a statement, to read with."""
    return FED_SHARE if is_fed else STORE_SHARE


def _rounded(size: int) -> int:
    """Return a --memory that is enough in every run: what a process begins with varies."""
    return -(-size // _NAMED_STEP_BYTES) * _NAMED_STEP_BYTES


def _store_bytes(asked: str, cap: int, room: int, survey: Survey) -> tuple[int, str, str]:
    """Return the bytes of rows to keep in memory, the strategy that this is, and why."""
    size, needed = human(survey.text_bytes or 0), memory_store(survey)
    is_known = survey.text_bytes is not None
    if asked in ("partition", "spill", "sqlite"):
        return 0, asked, ""
    if asked == "memory":
        if is_known and needed > room:
            raise StrategyUnfit(
                f"{size} of text does not fit in --memory {human(cap)}",
                hint=f"it needs {human(needed + cap - room)}; or use --strategy partition",
            )
        return needed if is_known and survey.is_exact else room * 2 // 3, "memory", ""
    if not is_known:
        reason = "size unknown until read; rows wait in memory first, then on disk"
        return room // 2, "partition", reason
    if not survey.is_exact:
        reason = f"about {size} once decompressed; rows wait in memory first, then on disk"
        return min(room // 2, needed), "partition", reason
    if needed <= room * 3 // 4:
        return needed, "memory", f"{size} of text fits in {human(cap)}"
    return 0, "partition", f"{size} of text does not fit in {human(cap)}"


def merge_fits(cap: int, base: int, survey: Survey) -> bool:
    """Whether DuckDB's merge has room for what it pins of such rows on one thread."""
    return cap >= _least_spill_cap(base, survey) + VARIES_BYTES


def duckdb_bytes(cap: int, base: int, survey: Survey, reading_share: float = READING_SHARE) -> int:
    """Return DuckDB's memory limit (bytes) under the spill strategy."""
    return cap - base - _engine_bytes() - _reading_bytes(cap, base, survey, reading_share)


def sqlite_bytes(cap: int, base: int, survey: Survey) -> int:
    """Return what SQLite may take (bytes): for its pages, and as much again to sort."""
    return cap - base - _reading_bytes(cap, base, survey, READING_SHARE)


def sqlite_ranges(memory_bytes: int, survey: Survey) -> int:
    """Return into how many tables the rows go."""
    from dbshuf.order.sqlite import ranges_for

    return ranges_for(
        memory_bytes, UNKNOWN_BYTES if survey.text_bytes is None else stored_bytes(survey)
    )


def unloaded_bytes() -> int:
    """Return what DuckDB's code will take (bytes) beside what is resident now; every run has it."""
    return _CONNECTED_BYTES + (0 if "duckdb" in sys.modules else _IMPORTED_BYTES)


def _engine_bytes() -> int:
    """DUCKDB_BYTES, less its code, which is in the base."""
    return DUCKDB_BYTES - _IMPORTED_BYTES - _CONNECTED_BYTES


def _reading_bytes(cap: int, base: int, survey: Survey, share: float) -> int:
    """A share of what is free, or all that DuckDB would not use: twice what all rows take."""
    least = max(_LEAST_READING_BYTES + survey.reader_bytes, int((cap - base) * share))
    if survey.text_bytes is None:
        return least
    used = max(2 * stored_bytes(survey), _LEAST_DUCKDB_BYTES)
    return max(least, cap - base - _engine_bytes() - used)


def _least_spill_cap(base: int, survey: Survey) -> int:
    """The cap (bytes) under which DuckDB's merge can pin what it must on one thread."""
    pinned, merged = int(MERGE_ROWS * survey.mean_line_bytes), 0
    if survey.text_bytes is not None:
        pinned = min(pinned, survey.text_bytes)
        merged = merge_bytes(pinned / MERGE_ROWS, stored_bytes(survey))
    engine = _engine_bytes() + max(pinned * 3 // 2, merged, _LEAST_DUCKDB_BYTES)
    reading = _LEAST_READING_BYTES + survey.reader_bytes
    return base + max(engine + reading, engine * 4 // 3 + MIB)
