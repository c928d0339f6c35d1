"""Options to a plan: every decision and every check that needs no work yet."""

import secrets
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbshuf.base.key import POSITION_BITS, POSITION_LIMIT, id_of, seed_words
from dbshuf.base.layout import SLACK_BYTES, Layout
from dbshuf.base.messages import named_tables, printable
from dbshuf.base.process_memory import release_unused, resident_bytes, usable_cores
from dbshuf.errors import UsageError
from dbshuf.options import Options, check_options, terminator_of
from dbshuf.plan.memory import least_cap, longest_line, stored_bytes
from dbshuf.plan.row_plan import (
    ROW_QUERY_BYTES,
    Shape,
    check_sql_early,
    make_shape,
    memory_cap,
)
from dbshuf.plan.space import check_space, free_near, output_bytes, temp_folder
from dbshuf.plan.splits import member_of, parse_splits
from dbshuf.plan.strategy import DUCKDB_BYTES, choose_strategy, duckdb_bytes, unloaded_bytes
from dbshuf.sink import Target, check_schema, check_target, format_of, sink_memory_bytes
from dbshuf.source.formats import DATABASES, TEXT_KINDS, kind_of_inputs
from dbshuf.source.head import ENCODED_KINDS, check_encoding, common_header
from dbshuf.source.hive import with_folder_keys
from dbshuf.source.input import Input
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.survey import Survey, survey_inputs
from dbshuf.source.tables.opening import tables_of_inputs
from dbshuf.units import GIB, MIB, human, parse_bytes

if TYPE_CHECKING:
    import pyarrow as pa

    from dbshuf.store.schema import StoreInfo

_SHOWN_COLUMNS = 20


@dataclass(frozen=True)
class Plan:
    """Everything decided; `pipeline.run` does it.

    temp_bytes, output_bytes are estimates; None where the input's size is unknown
    """

    inputs: tuple[Input, ...]
    store: "StoreInfo | None"
    shape: Shape
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
    tables: tuple[str, ...] = ()  # of databases, one an input, where no --table says which

    @property
    def schema(self) -> "pa.Schema | None":
        """The columns of the rows that are shuffled; None: they are lines."""
        return self.shape.schema

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

    def cap_for_spare(self, length: int) -> int:
        """Return a --memory (bytes) under which SQL may have `length` bytes for one row."""
        cap = self.memory_bytes
        while self._layout_at(cap).spare_bytes < length and cap < 1 << 50:
            cap += cap // 8
        return cap + 8 * MIB

    def _longest_at(self, cap: int, base: int) -> int:
        return _longest(self._layout_at(cap, base), self.target)

    def _layout_at(self, cap: int, base: int | None = None) -> Layout:
        asked = "auto" if self.is_auto else self.strategy
        base = self.layout.base_bytes if base is None else base
        return choose_strategy(
            asked, cap, base, self.survey, self.threads, copies=self.shape.copies
        )[2]

    @property
    def _engine_bytes(self) -> int:
        uses = self.strategy == "spill" or self.shape.whole_query is not None
        return self.duckdb_bytes if uses else 0

    def to_json(self) -> dict[str, Any]:
        """Return the plan for programs; bytes are plain numbers."""
        layout = self.layout
        return {
            "inputs": [
                {"name": i.name, "bytes": i.size_bytes, "compression": i.codec}
                | ({"table": self.tables[i.ordinal]} if self.tables else {})
                for i in self.inputs
            ],
            "input_bytes": _sum([i.size_bytes for i in self.inputs]),
            "text_bytes": self.survey.text_bytes,
            "text_bytes_exact": self.survey.is_exact,
            "mean_line_bytes": round(self.survey.mean_line_bytes, 1),
            "longest_sampled_line_bytes": self.survey.longest_line_bytes,
            "columns": self.shape.columns,
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
                "duckdb_bytes": self._engine_bytes,
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
            f"DuckDB {human(self._engine_bytes)}"
            if self.strategy == "spill"
            else f"{layout.workers} buffers of {human(layout.buffer_bytes)} to read and order,"
            f" {human(layout.sort_bytes)} to sort"
        )
        output = "standard output" if self.target.path is None else str(self.target.path)
        facts = [
            ("inputs", f"{len(self.inputs):,}, text {size}"),
            *([("tables", named_tables(self.tables))] if self.tables else []),
            ("lines", f"{self.survey.mean_line_bytes:.0f} bytes each, from a sample"),
            *([("columns", _listed(self.shape.columns))] if self.shape.columns else []),
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
        return "\n".join(f"{name + ':':14}{printable(fact)}" for name, fact in facts)


def make_plan(options: Options) -> Plan:
    """Decide how to do what the options ask for; raise what can be known to fail.

    Raises  any DbshufError that needs no work: inputs, memory, space, output, options, SQL
    """
    check_options(options)
    seed = options.seed if options.seed is not None else str(secrets.randbits(48))
    if not options.is_answer:
        options = replace(options, seed=seed)  # for shuffle_key(id) in its SQL
    threads = options.threads or usable_cores()
    read = _inputs(options)
    shape, inputs = read.shape, read.inputs
    cap = memory_cap(options)
    target = _target(options, read, seed, cap)
    check_target(target)
    check_schema(target)
    survey = _survey(read)
    release_unused()
    held = resident_bytes() + unloaded_bytes() + SLACK_BYTES + _readers(read, survey, threads)
    if shape.whole_query is not None:  # what reads for it is in the base
        survey = replace(survey, reader_bytes=0)
    target, engine_bytes, base = _with_room(target, shape, survey, cap, held)
    strategy, reason, layout = choose_strategy(
        options.strategy, cap, base, survey, threads, copies=shape.copies
    )
    temp_dir = temp_folder(options.temp_dir, target)
    plan = Plan(
        inputs=inputs,
        store=read.store,
        shape=shape,
        survey=survey,
        target=target,
        seed=seed,
        terminator=read.terminator,
        header=read.header,
        strategy=strategy,
        reason=reason,
        is_auto=options.strategy == "auto",
        threads=threads,
        memory_bytes=cap,
        layout=layout,
        duckdb_bytes=engine_bytes or duckdb_bytes(cap, base, survey),
        temp_dir=temp_dir,
        temp_bytes=_temp_bytes(survey, strategy, layout),
        output_bytes=output_bytes(survey, target),
        temp_free_bytes=shutil.disk_usage(temp_dir).free,
        output_free_bytes=None if target.path is None else free_near(target.path),
        tables=read.tables,
    )
    if survey.is_exact and shape.row_query is None:  # nothing is refused on a guess
        check_space(
            target, temp_dir, temp_bytes=plan.temp_bytes or 0, output_bytes=plan.output_bytes or 0
        )
    return plan


@dataclass(frozen=True)
class _Read:
    """What is read: inputs, or a store of them."""

    inputs: tuple[Input, ...]
    store: "StoreInfo | None"
    shape: Shape
    terminator: bytes
    header: bytes
    tables: tuple[str, ...] = ()


def _inputs(options: Options) -> _Read:
    if options.store is not None:
        from dbshuf.store.schema import open_store

        store = open_store(options.store)
        shape = make_shape(options, store.inputs, "lines", columns=store.written)
        return _Read(store.inputs, store, shape, store.terminator, store.header)
    terminator = terminator_of(options)
    check_sql_early(options)
    inputs = resolve_inputs(options.inputs, options.include, options.exclude)
    kind = _kind(options, inputs)
    rows = "lines" if kind in TEXT_KINDS else None
    inputs = with_folder_keys(inputs, options.hive, rows=rows)
    header = common_header(inputs, options.header, terminator)
    tables: tuple[str, ...] = ()
    if kind in DATABASES and options.table is None:
        tables = tables_of_inputs(inputs, kind)
    return _Read(inputs, None, make_shape(options, inputs, kind), terminator, header, tables)


def _kind(options: Options, inputs: tuple[Input, ...]) -> str:
    """Return what the inputs hold, as asked or by their first bytes."""
    kind = "lines"
    if options.input_format != "lines":
        kind = kind_of_inputs(inputs, options.input_format, table=options.table)
    if kind != "lines" and options.header:
        raise UsageError(f"--header is for lines, and the inputs are {kind}")
    if kind in ENCODED_KINDS and not options.binary:
        check_encoding(inputs, kind)
    return kind


def _survey(read: _Read) -> Survey:
    shape = read.shape
    columns = 0 if shape.schema is None else len(shape.schema)
    if read.store is not None:
        survey = read.store.survey()
    else:
        survey = survey_inputs(
            read.inputs,
            shape.kind,
            terminator=read.terminator,
            table=shape.table,
            schema=shape.asked,
        )
    if shape.whole_query is not None:
        return replace(survey, text_bytes=None, is_exact=False, columns=columns)
    return replace(survey, is_exact=survey.is_exact and not columns, columns=columns)


def _with_room(
    target: Target, shape: Shape, survey: Survey, cap: int, held: int
) -> tuple[Target, int, int]:
    """Return the target, DuckDB's memory limit (bytes, 0: none), and the base of the plan.

    Where that leaves less than twice what one worker needs, one thread encodes groups.
    """
    for one in (target, replace(target, memory_bytes=0)):
        sinks = sink_memory_bytes(one) * max(len(one.split_names), 1)
        engine_bytes, base = _engine(shape, cap, held + sinks)
        if cap - base >= 2 * (least_cap(base, survey, shape.copies) - base):
            break
    return one, engine_bytes, base


def _engine(shape: Shape, cap: int, base: int) -> tuple[int, int]:
    """Return DuckDB's memory limit (bytes, 0: none), and the base with DuckDB in it."""
    if shape.whole_query is not None:
        limit = max((cap - base - DUCKDB_BYTES) // 2, ROW_QUERY_BYTES)
        return limit, base + DUCKDB_BYTES + limit
    if shape.row_query is not None:
        return 0, base + ROW_QUERY_BYTES
    return 0, base


def _temp_bytes(survey: Survey, strategy: str, layout: Layout) -> int | None:
    """Return what a run writes to its temporary directory, as far as one can tell."""
    if strategy == "memory":
        return 0
    if survey.text_bytes is None:
        return None
    passes = 2 if layout.is_split else 1
    return max(stored_bytes(survey) * passes - layout.store_bytes, 0)


def _target(options: Options, read: _Read, seed: str, cap: int) -> Target:
    inputs, shape = read.inputs, read.shape
    path = None if options.output in (None, "-") else Path(str(options.output))
    as_format = format_of(path, options.format, options.compression)
    words = seed_words(seed)
    shard_bytes = options.shard_bytes
    splits = None if options.split is None else parse_splits(options.split, options.split_seed)
    return Target(
        path=path,
        format=as_format,
        header=read.header,
        terminator=read.terminator,
        binary=options.binary,
        shards=_shards(options, path),
        shard_bytes=None if shard_bytes is None else parse_bytes(shard_bytes, "--shard-bytes"),
        shard_rows=options.shard_rows,
        force=options.force,
        seed=seed,
        locate=partial(_locate, inputs, words, "byte" if shape.is_text else "row"),
        threads=options.threads,
        memory_bytes=cap,
        schema=shape.schema,
        written=shape.written,
        holds_json=shape.keeps_json,
        compression=options.compression,
        row_group_bytes=None
        if options.row_group_bytes is None
        else parse_bytes(options.row_group_bytes, "--row-group-bytes"),
        split_names=() if splits is None else splits.names,
        member_of=None
        if splits is None
        else member_of(splits, words, inputs, schema=shape.schema, by=options.split_by),
    )


def _shards(options: Options, path: Path | None) -> int | None:
    """Return --shards, or 1 for splits that go to directories uncut."""
    is_cut = (options.shards, options.shard_bytes, options.shard_rows) != (None, None, None)
    is_folder = str(options.output).endswith("/") or (path is not None and path.is_dir())
    return 1 if options.split is not None and is_folder and not is_cut else options.shards


def _readers(read: _Read, survey: Survey, threads: int) -> int:
    """The memory (bytes) of what reads beside workers; a worker's part of a layout is not."""
    if read.store is not None:
        return read.store.reader_bytes() * (threads + 1)
    if read.shape.whole_query is not None and not read.shape.is_text:
        return survey.reader_bytes * threads
    windows = sorted((one.window_bytes for one in read.inputs), reverse=True)
    return sum(windows[: threads + 1])


def _locate(inputs: tuple[Input, ...], words: tuple[int, int], unit: str, key: int) -> str:
    """Name the row that has a key, for messages."""
    row = id_of(key, words)
    if row >> POSITION_BITS >= len(inputs):  # a query gave the id
        return f"the row with the id {row}"
    return f"`{inputs[row >> POSITION_BITS].name}` at {unit} {row % POSITION_LIMIT}"


def _longest(layout: Layout, target: Target) -> int:
    """The longest line (bytes) that a layout and the sink of a target can hold."""
    free, held = sink_memory_bytes(target), sink_memory_bytes(target, GIB)
    return longest_line(layout, (held - free) / GIB)


def _space(place: str, needed: int | None, free: int | None) -> str:
    wanted = "unknown" if needed is None else human(needed)
    return f"{place}: {wanted} needed" + ("" if free is None else f", {human(free)} free")


def _listed(columns: list[dict[str, str]]) -> str:
    shown = ", ".join(f"{one['name']} {one['type']}" for one in columns[:_SHOWN_COLUMNS])
    return shown + f" and {len(columns) - _SHOWN_COLUMNS:,} more" * (len(columns) > _SHOWN_COLUMNS)


def _sum(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
