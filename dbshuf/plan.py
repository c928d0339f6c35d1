"""Options to a plan: every decision and every check that needs no work yet."""

import os
import secrets
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dbshuf.errors import (
    UsageError,
)
from dbshuf.key import POSITION_BITS, POSITION_LIMIT, id_of, seed_words
from dbshuf.layout import (
    SLACK_BYTES,
    Layout,
    longest_line,
    stored_bytes,
)
from dbshuf.memory import available_bytes, release_unused, resident_bytes
from dbshuf.sink import Target, check_target, format_of, sink_memory_bytes
from dbshuf.source.inputs import Input, resolve_inputs
from dbshuf.source.survey import Survey, common_header, survey_inputs
from dbshuf.space import check_space, free_near, output_bytes, temp_folder
from dbshuf.strategy import DUCKDB_BYTES, STRATEGIES, choose_strategy
from dbshuf.units import GIB, MIB, human, parse_bytes


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
        return _longest(
            choose_strategy(asked, cap, base, self.survey, self.threads)[2], self.target
        )

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
    terminator = _terminator(options)
    seed = options.seed if options.seed is not None else str(secrets.randbits(48))
    threads = options.threads or _usable_cores()
    inputs = resolve_inputs(options.inputs)
    header = common_header(inputs, options.header, terminator)
    target = _target(options, inputs, seed, header)
    check_target(target)
    survey = survey_inputs(inputs, terminator)
    cap = available_bytes() // 2
    if options.memory is not None:
        cap = parse_bytes(options.memory, "--memory")
    release_unused()
    base = resident_bytes() + SLACK_BYTES + sink_memory_bytes(target) + _readers(inputs, threads)
    strategy, reason, layout = choose_strategy(options.strategy, cap, base, survey, threads)
    temp_dir = temp_folder(options.temp_dir, target)
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
        duckdb_bytes=cap - base - DUCKDB_BYTES - 2 * layout.buffer_bytes,
        temp_dir=temp_dir,
        temp_bytes=0 if strategy == "memory" else stored,
        output_bytes=output_bytes(survey, target),
        temp_free_bytes=shutil.disk_usage(temp_dir).free,
        output_free_bytes=None if target.path is None else free_near(target.path),
    )
    check_space(
        target, temp_dir, temp_bytes=plan.temp_bytes or 0, output_bytes=plan.output_bytes or 0
    )
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
    if str(options.output).endswith("/") and all(cut is None for cut in cuts):
        raise UsageError(
            f"-o {options.output} is a directory, and no shards were asked for",
            hint="add --shards N, --shard-rows N or --shard-bytes SIZE, or name a file",
        )
    if any(cut is not None for cut in cuts) and options.output in (None, "-"):
        raise UsageError("shards need a directory", hint="name one with -o DIR")


def _terminator(options: Options) -> bytes:
    return b"\0" if options.zero_terminated else b"\n"


def _target(options: Options, inputs: tuple[Input, ...], seed: str, header: bytes) -> Target:
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
        terminator=_terminator(options),
        binary=options.binary,
        shards=options.shards,
        shard_bytes=None if shard_bytes is None else parse_bytes(shard_bytes, "--shard-bytes"),
        shard_rows=options.shard_rows,
        force=options.force,
        seed=seed,
        locate=partial(_locate, inputs, words),
        threads=options.threads,
    )


def _readers(inputs: tuple[Input, ...], threads: int) -> int:
    """The memory (bytes) of the decompressors that may be open at once, one a worker."""
    return sum(sorted((one.window_bytes for one in inputs), reverse=True)[: threads + 1])


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


def _space(place: str, needed: int | None, free: int | None) -> str:
    wanted = "unknown" if needed is None else human(needed)
    return f"{place}: {wanted} needed" + ("" if free is None else f", {human(free)} free")


def _sum(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
