"""Options to a plan: every decision and every check that needs no work yet."""

import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dbshuf.errors import (
    MemoryTooSmall,
    OutputSpaceShort,
    OutputUnwritable,
    StrategyUnfit,
    TempSpaceShort,
    UsageError,
)
from dbshuf.key import POSITION_BITS, POSITION_LIMIT, id_of, seed_words
from dbshuf.layout import (
    SLACK_BYTES,
    Layout,
    lay_out,
    least_cap,
    longest_line,
    memory_store,
    stored_bytes,
)
from dbshuf.memory import available_bytes, release_unused, resident_bytes
from dbshuf.sink import Target, check_target, format_of, sink_memory_bytes
from dbshuf.source.inputs import Input, resolve_inputs
from dbshuf.source.survey import Survey, common_header, survey_inputs
from dbshuf.units import GIB, MIB, human, parse_bytes

STRATEGIES = ("auto", "memory", "spill", "partition")
_MERGE_ROWS = 122_880  # rows that DuckDB's merge pins a thread, payload and all (2.0.0)
_DUCKDB_BYTES = 110 * MIB  # its code, buffers outside its limit (peak RSS minus memory_limit)


@dataclass(frozen=True)
class Options:
    """What the user asked for, as given; see the README for each."""

    inputs: tuple[str, ...] = ()
    output: str | None = None
    memory: str | int | None = None
    seed: str | None = None
    strategy: str = "auto"
    threads: int | None = None
    zero_terminated: bool = False
    header: int = 0
    binary: bool = False
    format: str | None = None
    shards: int | None = None
    shard_bytes: str | int | None = None
    shard_rows: int | None = None
    temp_dir: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything decided; `pipeline.run` does it.

    temp_bytes, output_bytes are estimates; None where the input's size is unknown
    """

    inputs: tuple[Input, ...]
    survey: Survey
    target: Target
    seed: str
    terminator: bytes
    header: bytes
    strategy: str
    reason: str
    is_auto: bool
    threads: int
    memory_bytes: int
    layout: Layout
    duckdb_bytes: int
    temp_dir: Path
    temp_bytes: int | None
    output_bytes: int | None
    temp_free_bytes: int
    output_free_bytes: int | None

    @property
    def longest_line_bytes(self) -> int:
        """The longest line that fits in the memory of this plan."""
        return _longest(self.layout, self.target)

    def cap_for_line(self, length: int) -> int:
        """Return a --memory (bytes) under which a line of `length` bytes fits."""
        base = self.layout.base_bytes
        low, high = self.memory_bytes, 2 * self.memory_bytes
        while self._longest_at(high, base) < length and high < 1 << 50:
            low, high = high, 2 * high
        while high - low > MIB:
            middle = (low + high) // 2
            if self._longest_at(middle, base) < length:
                low = middle
            else:
                high = middle
        return high + 8 * MIB  # the base is a little different in every run

    def _longest_at(self, cap: int, base: int) -> int:
        asked = "auto" if self.is_auto else self.strategy
        return _longest(_choose(asked, cap, base, self.survey, self.threads)[2], self.target)

    def to_json(self) -> dict[str, Any]:
        """Return the plan for programs; bytes are plain numbers."""
        layout = self.layout
        return {
            "inputs": [
                {"name": i.name, "bytes": i.size_bytes, "compression": i.codec} for i in self.inputs
            ],
            "input_bytes": _sum([i.size_bytes for i in self.inputs]),
            "text_bytes": self.survey.text_bytes,
            "text_bytes_exact": self.survey.is_exact,
            "mean_line_bytes": round(self.survey.mean_line_bytes, 1),
            "longest_sampled_line_bytes": self.survey.longest_line_bytes,
            "seed": self.seed,
            "strategy": self.strategy,
            "reason": self.reason,
            "threads": self.threads,
            "workers": layout.workers,
            "buckets": 1 if self.strategy == "spill" else layout.ranges,
            "memory": {
                "cap_bytes": self.memory_bytes,
                "base_bytes": layout.base_bytes,
                "store_bytes": layout.store_bytes,
                "duckdb_bytes": self.duckdb_bytes if self.strategy == "spill" else 0,
                "buffer_bytes": layout.buffer_bytes,
                "sort_bytes": layout.sort_bytes,
                "longest_line_bytes": self.longest_line_bytes,
            },
            "temp": {
                "directory": str(self.temp_dir),
                "needed_bytes": self.temp_bytes,
                "free_bytes": self.temp_free_bytes,
            },
            "output": {
                "path": None if self.target.path is None else str(self.target.path),
                "format": self.target.format,
                "needed_bytes": self.output_bytes,
                "free_bytes": self.output_free_bytes,
            },
        }

    def describe(self) -> str:
        """Return the plan for people, a line a fact."""
        layout = self.layout
        about = "" if self.survey.is_exact else "about "
        size = (
            "unknown" if self.survey.text_bytes is None else about + human(self.survey.text_bytes)
        )
        in_work = (
            f"DuckDB {human(self.duckdb_bytes)}"
            if self.strategy == "spill"
            else f"{layout.workers} buffers of {human(layout.buffer_bytes)} to read and order,"
            f" {human(layout.sort_bytes)} to sort"
        )
        output = "standard output" if self.target.path is None else str(self.target.path)
        facts = [
            ("inputs", f"{len(self.inputs):,}, text {size}"),
            ("lines", f"{self.survey.mean_line_bytes:.0f} bytes each, from a sample"),
            ("strategy", f"{self.strategy}: {self.reason}"),
            ("buckets", f"{1 if self.strategy == 'spill' else layout.ranges:,}"),
            ("threads", f"{self.threads}"),
            (
                "memory",
                f"{human(self.memory_bytes)}: {human(layout.base_bytes)} base,"
                f" {human(layout.store_bytes)} rows kept, {in_work}",
            ),
            ("longest line", f"{human(self.longest_line_bytes)} would fit"),
            ("temp", _space(str(self.temp_dir), self.temp_bytes, self.temp_free_bytes)),
            ("output", _space(output, self.output_bytes, self.output_free_bytes)),
            ("seed", self.seed),
        ]
        return "\n".join(f"{name + ':':14}{fact}" for name, fact in facts)


def make_plan(options: Options) -> Plan:
    """Decide how to do what the options ask for; raise what can be known to fail.

    Raises  any DbshufError that needs no work: inputs, memory, space, output, options
    """
    _check_options(options)
    terminator = b"\0" if options.zero_terminated else b"\n"
    seed = options.seed if options.seed is not None else str(secrets.randbits(48))
    threads = options.threads or _usable_cores()
    inputs = resolve_inputs(options.inputs)
    header = common_header(inputs, options.header, terminator)
    target = _target(options, inputs, seed, header, terminator)
    check_target(target)
    survey = survey_inputs(inputs, terminator)
    cap = available_bytes() // 2
    if options.memory is not None:
        cap = parse_bytes(options.memory, "--memory")
    release_unused()
    base = resident_bytes() + SLACK_BYTES + sink_memory_bytes(target)
    strategy, reason, layout = _choose(options.strategy, cap, base, survey, threads)
    temp_dir = _temp_dir(options, target)
    stored = None if survey.text_bytes is None else stored_bytes(survey)
    plan = Plan(
        inputs=inputs,
        survey=survey,
        target=target,
        seed=seed,
        terminator=terminator,
        header=header,
        strategy=strategy,
        reason=reason,
        is_auto=options.strategy == "auto",
        threads=threads,
        memory_bytes=cap,
        layout=layout,
        duckdb_bytes=cap - base - _DUCKDB_BYTES - 2 * layout.buffer_bytes,
        temp_dir=temp_dir,
        temp_bytes=0 if strategy == "memory" else stored,
        output_bytes=_output_bytes(survey, target),
        temp_free_bytes=shutil.disk_usage(temp_dir).free,
        output_free_bytes=None if target.path is None else _free_near(target.path),
    )
    _check_space(plan)
    return plan


def _check_options(options: Options) -> None:
    if options.strategy not in STRATEGIES:
        raise UsageError(
            f"--strategy `{options.strategy}` is unknown", hint=f"one of {', '.join(STRATEGIES)}"
        )
    for name, value, least in (
        ("--threads", options.threads, 1),
        ("--header", options.header, 0),
        ("--shards", options.shards, 1),
        ("--shard-rows", options.shard_rows, 1),
    ):
        if value is not None and value < least:
            raise UsageError(f"{name} {value} must be at least {least}")
    cuts = [options.shards, options.shard_bytes, options.shard_rows]
    if sum(cut is not None for cut in cuts) > 1:
        raise UsageError("--shards, --shard-bytes and --shard-rows exclude each other")
    if options.shards is not None and options.shards > 99_999:
        raise UsageError(f"--shards {options.shards:,} is over 99,999")
    if any(cut is not None for cut in cuts) and options.output in (None, "-"):
        raise UsageError("shards need a directory", hint="name one with -o DIR")


def _target(
    options: Options, inputs: tuple[Input, ...], seed: str, header: bytes, terminator: bytes
) -> Target:
    path = None if options.output in (None, "-") else Path(str(options.output))
    as_format = format_of(path, options.format)
    if as_format == "parquet" and options.header:
        raise UsageError("--header has no place in Parquet", hint="leave out --header")
    words = seed_words(seed)
    shard_bytes = options.shard_bytes
    return Target(
        path=path,
        format=as_format,
        header=header,
        terminator=terminator,
        binary=options.binary,
        shards=options.shards,
        shard_bytes=None if shard_bytes is None else parse_bytes(shard_bytes, "--shard-bytes"),
        shard_rows=options.shard_rows,
        force=options.force,
        seed=seed,
        locate=partial(_locate, inputs, words),
    )


def _locate(inputs: tuple[Input, ...], words: tuple[int, int], key: int) -> str:
    """Name the row that has a key, for messages."""
    row = id_of(key, words)
    return f"`{inputs[row >> POSITION_BITS].name}` at byte {row % POSITION_LIMIT}"


def _longest(layout: Layout, target: Target) -> int:
    """The longest line (bytes) that a layout and the sink of a target can hold."""
    free, held = sink_memory_bytes(target), sink_memory_bytes(target, GIB)
    return longest_line(layout, (held - free) / GIB)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _choose(
    asked: str, cap: int, base: int, survey: Survey, threads: int
) -> tuple[str, str, Layout]:
    """Pick the strategy, say why, and split the memory for it."""
    least = least_cap(base, survey)
    needed = max(least, _least_spill_cap(base, survey)) if asked == "spill" else least
    if cap < least:
        raise MemoryTooSmall(
            f"--memory {human(cap)} is too small: this run needs at least {_mib(needed)}",
            hint=f"pass --memory {_mib(needed)} or more",
        )
    if cap < needed:
        raise StrategyUnfit(
            f"--strategy spill needs {_mib(needed)}, not {human(cap)}: DuckDB's merge pins"
            f" {_MERGE_ROWS:,} rows of {survey.mean_line_bytes:.0f} bytes",
            hint=f"use --strategy partition, or --memory {_mib(needed)}",
        )
    store_bytes, strategy, reason = _store_bytes(asked, cap, cap - least, survey)
    layout = lay_out(cap, base, survey, threads=threads, store_bytes=store_bytes)
    return strategy, reason if asked == "auto" else "asked for", layout


def _mib(size: int) -> str:
    return f"{-(-size // MIB)}MiB"


def _store_bytes(asked: str, cap: int, room: int, survey: Survey) -> tuple[int, str, str]:
    """Return the bytes of rows to keep in memory, the strategy that this is, and why."""
    size, needed = human(survey.text_bytes or 0), memory_store(survey)
    is_known = survey.text_bytes is not None
    if asked in ("partition", "spill"):
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


def _least_spill_cap(base: int, survey: Survey) -> int:
    """The cap (bytes) under which DuckDB's merge can pin what it must on one thread."""
    pinned = int(_MERGE_ROWS * survey.mean_line_bytes)
    if survey.text_bytes is not None:
        pinned = min(pinned, survey.text_bytes)
    return base + _DUCKDB_BYTES + pinned * 3 // 2 + 48 * MIB


def _temp_dir(options: Options, target: Target) -> Path:
    if options.temp_dir is not None:
        folder = Path(options.temp_dir)
    elif target.path is not None and target.path.parent.is_dir() and not _is_special(target.path):
        folder = target.path.parent
    else:
        folder = Path(tempfile.gettempdir())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"--temp-dir `{folder}` is no directory that can be written",
            hint="name an existing directory",
        )
    return folder


def _is_special(path: Path) -> bool:
    """Whether a path exists and is neither a regular file nor a directory."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _free_near(path: Path) -> int:
    for folder in (path, *path.absolute().parents):
        if folder.is_dir():
            return shutil.disk_usage(folder).free
    raise OutputUnwritable(f"no directory above `{path}`")


def _output_bytes(survey: Survey, target: Target) -> int | None:
    """An upper estimate of the output; compressed text is taken as half of the text."""
    if survey.text_bytes is None:
        return None
    return survey.text_bytes if target.format == "txt" else survey.text_bytes // 2


def _check_space(plan: Plan) -> None:
    """Raise if the temporary file or the output cannot fit."""
    temp, out = plan.temp_bytes or 0, plan.output_bytes or 0
    special = plan.target.path is not None and _is_special(plan.target.path)
    if plan.target.path is None or plan.output_free_bytes is None or special:
        out = 0
    if temp > plan.temp_free_bytes:
        raise TempSpaceShort(
            f"temporary directory `{plan.temp_dir}`: {human(temp)} needed,"
            f" {human(plan.temp_free_bytes)} free",
            hint="free space there or pass --temp-dir DIR; nothing was written",
        )
    if not out or plan.output_free_bytes is None or plan.target.path is None:
        return
    parent = next(p for p in plan.target.path.absolute().parents if p.is_dir())
    shared = temp if os.stat(parent).st_dev == os.stat(plan.temp_dir).st_dev else 0
    if out + shared > plan.output_free_bytes:
        also = f" and {human(shared)} for temporary data" if shared else ""
        raise OutputSpaceShort(
            f"`{plan.target.path}`: {human(out)}{also} needed,"
            f" {human(plan.output_free_bytes)} free",
            hint="free space there, or put temporary data elsewhere with --temp-dir DIR",
        )


def _space(place: str, needed: int | None, free: int | None) -> str:
    wanted = "unknown" if needed is None else human(needed)
    return f"{place}: {wanted} needed" + ("" if free is None else f", {human(free)} free")


def _sum(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
