"""The plan: everything that is decided before a run, to do it and to show it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbshuf.base.key import seed_words
from dbshuf.base.layout import Layout
from dbshuf.base.messages import named_tables, printable
from dbshuf.base.rest_scan import Given
from dbshuf.errors import MemoryTooSmall, StrategyUnfit
from dbshuf.plan.arrangement import Arrangement
from dbshuf.plan.epochs import Epochs
from dbshuf.plan.manifest import Wanted
from dbshuf.plan.memory import longest_line, stored_bytes
from dbshuf.plan.row_plan import (
    Shape,
)
from dbshuf.plan.sample import Sample
from dbshuf.plan.strategy import (
    READING_SHARE,
    choose_strategy,
    statement_share,
)
from dbshuf.sink import RemotePath, Target, sink_memory_bytes, upload_sizes
from dbshuf.sink.memory import fitting_row_group_bytes, row_group_bytes
from dbshuf.source.checksums import has_checksum, without_checksum
from dbshuf.source.input import Input
from dbshuf.source.survey import Survey
from dbshuf.units import GIB, MIB, human

if TYPE_CHECKING:
    import pyarrow as pa

    from dbshuf.base.row_notes import ReadNotes
    from dbshuf.order.strata import Strata, StrataMemory
    from dbshuf.plan.mix import Mix
    from dbshuf.source.lines.reader import Pause
    from dbshuf.store.schema import StoreInfo

_SHOWN_COLUMNS = 20
_VARIES_BYTES = 8 * MIB  # by which the base of one run is another's


@dataclass(frozen=True)
class WorkPlan:
    """Where a run keeps what a later one goes on with.

    options   those that decide what is written, by name
    is_begun  whether a run is kept there already
    stays     what a later run goes on with, for people
    """

    path: Path
    options: dict[str, Any]
    is_begun: bool
    stays: str


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
    sqlite_bytes: int = 0
    is_one_statement: bool = False  # that makes and orders the rows
    sample: Sample | None = None  # None: all rows
    arrangement: Arrangement | None = None  # None: by the key alone
    strata: "Strata | None" = None  # what chooses rows by their values
    strata_memory: "StrataMemory | None" = None
    first: Layout | None = None  # of an order before the last one, where there are two
    counts: Layout | None = None  # of the rows of each value, for --spread
    otherwise: "Plan | None" = None  # where that proves too large for DuckDB's memory
    work: WorkPlan | None = None
    wanted: Wanted | None = None  # about the output, in writing
    notes: "ReadNotes | None" = None  # of what is read, for that
    given: Given | None = None  # rows that are not to come again
    mix: "Mix | None" = None  # of sources, each with its share
    read_bytes: int | None = None  # of text, about
    epochs: Epochs | None = None  # several orders of the rows, each read again; None: one
    pause: "Pause | None" = None  # for a line too long, of rows that cannot be read again

    @property
    def has_fixed_ids(self) -> bool:
        """Whether a second run gives every row the id that it had in the first."""
        return self.shape.whole_query is None or self.shape.has_given_ids

    @property
    def words(self) -> tuple[int, int]:
        """What turns ids into keys."""
        return seed_words(self.seed) if self.arrangement is None else self.arrangement.words

    @property
    def schema(self) -> "pa.Schema | None":
        """The columns of the rows that are shuffled; None: they are lines."""
        return self.shape.schema

    @property
    def longest_line_bytes(self) -> int:
        """The longest line that fits in the memory of this plan."""
        return self._longest(self.layout)

    @property
    def _may_begin_anew(self) -> bool:
        """Whether a run may read again, by one worker, where a line is too long for more."""
        is_kept = self.work is not None  # for a later process, which reads by the same plan
        return not (self.is_one_statement or is_kept or self._is_piped)

    @property
    def _is_piped(self) -> bool:
        return any(one.pipe is not None for one in self.inputs)

    @property
    def _may_go_on(self) -> bool:
        """Whether one worker may go on where a line is too long for more: lines of inputs go to one
        order, by the key, and what was read waits in its temporary file."""
        shape, work = self.shape, (self.sample, self.strata, self.arrangement, self.work)
        others = (shape.whole_query, shape.sides, self.mix, self.store, *work)
        is_partition = self.strategy == "partition" and shape.is_text
        return self._is_piped and is_partition and all(one is None for one in others)

    def roomier(self) -> "Plan | None":
        """Return the same run by one worker, in which longer lines fit; None where none do."""
        return self._by_one_worker() if self._may_begin_anew else None

    def narrower(self) -> "Plan | None":
        """Return how one worker goes on with this run, as `roomier`, and reads as it did."""
        found = self._by_one_worker() if self._may_go_on else None
        if found is None or found.layout.buffer_bytes < self.layout.buffer_bytes:
            return None
        kept = {"ranges", "is_split", "buffer_bytes", "piece_rows"}
        layout = replace(found.layout, **{name: getattr(self.layout, name) for name in kept})
        return replace(found, layout=layout)

    @property
    def spare_bytes(self) -> int:
        """What is left for one long line and what SQL makes of it, while rows are read."""
        if self.pause is not None and self.pause.source is not None:
            return self.pause.spare_bytes
        return self.layout.spare_bytes

    def _by_one_worker(self) -> "Plan | None":
        strategy, reason, layout = self._roomiest_at(self.memory_bytes, self.layout.base_bytes)
        found = replace(
            self,
            strategy=strategy,
            reason=reason,
            layout=layout,
            temp_bytes=None if self.survey.text_bytes is None else stored_bytes(self.survey),
            otherwise=None,
        )
        return found if found.longest_line_bytes > self.longest_line_bytes else None

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
        high += _VARIES_BYTES
        while self._longest_at(high, base) < length and high < 1 << 50:  # row groups are larger
            high += high // 16
        return high

    def cap_for_spare(self, length: int) -> int:
        """Return a --memory (bytes) under which SQL may have `length` bytes for one row."""
        cap = self.memory_bytes
        while self._spare_at(cap) < length and cap < 1 << 50:
            cap += cap // 8
        return cap + _VARIES_BYTES

    def cap_for_query(self, size: int) -> int:
        """Return a --memory (bytes) that gives --sql `size` bytes of DuckDB; 0: it has them."""
        lacking = size - self.duckdb_bytes
        return self.memory_bytes + 2 * lacking + 8 * MIB if lacking > 0 else 0

    def _spare_at(self, cap: int) -> int:
        try:
            return self._layout_at(cap).spare_bytes
        except (MemoryTooSmall, StrategyUnfit):
            return 0

    def _longest_at(self, cap: int, base: int) -> int:
        try:
            if not (self._may_begin_anew or self._may_go_on):
                return self._longest(self._layout_at(cap, base))
            return self._longest(self._roomiest_at(cap, base)[2])
        except (MemoryTooSmall, StrategyUnfit):  # row groups take more there
            return 0

    def _roomiest_at(self, cap: int, base: int) -> tuple[str, str, Layout]:
        """Return how one worker does this with some memory.

        A long row is encoded alone, so of the sink's threads there is only one beside it.
        """
        base += self._growth(cap, replace(self._target_at(cap), memory_bytes=0))
        asked = "partition" if self.is_auto else self.strategy
        return choose_strategy(asked, cap, base, self.survey, 0, copies=self.shape.copies)

    def _longest(self, layout: Layout) -> int:
        """The longest line (bytes) that a layout and the sink can hold."""
        free, held = sink_memory_bytes(self.target), sink_memory_bytes(self.target, GIB)
        copies = self.shape.long_copies
        return longest_line(layout, (held - free) / GIB, copies)

    def _target_at(self, cap: int) -> Target:
        """Return the target under another --memory: row groups grow with it, and the threads."""
        if cap == self.memory_bytes or self.target.memory_bytes is None:
            return self.target
        found = replace(self.target, memory_bytes=cap)
        if found.row_group_bytes is None:
            return found
        size = max(fitting_row_group_bytes(found), found.row_group_bytes)
        return replace(found, row_group_bytes=size)

    def _growth(self, cap: int, target: Target) -> int:
        """Return what the base is larger (bytes) under another --memory, with another target."""
        more = sink_memory_bytes(target) - sink_memory_bytes(self.target)
        more *= max(len(self.target.split_names), 1)
        if self.shape.whole_query is None or self.is_one_statement:
            return more
        return more + max(cap - self.memory_bytes - more, 0) // 2  # to DuckDB

    def _layout_at(self, cap: int, base: int | None = None) -> Layout:
        asked = "auto" if self.is_auto and not self.is_one_statement else self.strategy
        base = self.layout.base_bytes if base is None else base
        base += self._growth(cap, self._target_at(cap))
        share = (
            statement_share(is_fed=self.shape.whole_query is not None)
            if self.is_one_statement
            else READING_SHARE
        )
        return choose_strategy(
            asked,
            cap,
            base,
            self.survey,
            self.threads,
            copies=self.shape.copies,
            reading_share=share,
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
                | ({} if self.store else {"has_checksum": has_checksum(i, self.shape.kind)})
                for i in self.inputs
            ],
            "input_bytes": _sum([i.size_bytes for i in self.inputs]),
            "text_bytes": self.survey.text_bytes,
            "text_bytes_exact": self.survey.is_exact,
            "mean_line_bytes": round(self.survey.mean_line_bytes, 1),
            "longest_sampled_line_bytes": self.survey.longest_line_bytes,
            "columns": self.shape.columns,
            "sample": None if self.sample is None else self.sample.to_json(),
            "mix": None if self.mix is None else self.mix.to_json(),
            "order_by": None if self.arrangement is None else self.arrangement.to_json(),
            "seed": self.seed,
            **({"epochs": self.epochs.to_json()} if self.epochs else {}),
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
                "sqlite_bytes": self.sqlite_bytes,
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
            }
            | ({"row_group_bytes": self._group_bytes} if self._group_bytes else {})
            | ({"upload": self.upload} if self.upload else {}),
        } | (
            ({"work_dir": self._work_json} if self.work else {})
            | ({"paired": self._paired_json} if self.shape.sides else {})
        )

    @property
    def _paired(self) -> str:
        """Which files belong together, for people."""
        assert self.shape.sides is not None
        return f"{', '.join(self.shape.sides.names)}; row n of each goes to one place"

    @property
    def _paired_json(self) -> list[dict[str, Any]]:
        assert self.shape.sides is not None
        return [
            {
                "name": name,
                "inputs": count,
                "output": os.path.join(str(self.target.path), side.name)
                if side.path is None
                else str(side.path),
                "format": side.format,
            }
            for name, count, side in zip(
                self.shape.sides.names, self.shape.sides.counts, self.target.sides, strict=True
            )
        ]

    @property
    def _work_json(self) -> dict[str, Any]:
        assert self.work is not None
        path, is_begun, stays = str(self.work.path), self.work.is_begun, self.work.stays
        return {"path": path, "is_begun": is_begun, "stays": stays}

    @property
    def _group_bytes(self) -> int | None:
        """Of the rows in a row group of Parquet; None in other formats."""
        return row_group_bytes(self.target) if self.target.format == "parquet" else None

    @property
    def upload(self) -> dict[str, Any] | None:
        """How the output goes to an object store: None if it does not."""
        if not isinstance(self.target.path, RemotePath):
            return None
        sizes, size = upload_sizes(self.target), self.output_bytes
        folders = self.target.epochs if self.target.in_shards else 1
        objects = (self.target.shards or 1) * folders
        return {
            "part_bytes": sizes.part_bytes,
            "parts": None if size is None else objects * sizes.parts_of(size // objects),
            "parts_at_once": sizes.ahead,
            "waits_in_temp": self.target.waits_in_temp,
        }

    def describe(self) -> str:
        """Return the plan for people, a line a fact."""
        layout = self.layout
        about = "" if self.survey.is_exact else "about "
        read_bytes = self.survey.text_bytes if self.mix is None else self.read_bytes
        size = "unknown" if read_bytes is None else about + human(read_bytes)
        in_work = {
            "spill": f"DuckDB {human(self._engine_bytes)}",
            "sqlite": f"SQLite {human(self.sqlite_bytes)}",
        }.get(
            self.strategy,
            f"{layout.workers} buffers of {human(layout.buffer_bytes)} to read and order,"
            f" {human(layout.sort_bytes)} to sort",
        )
        output = "standard output" if self.target.path is None else str(self.target.path)
        if self.target.sides and not self.target.in_shards:
            output = ", ".join(str(side.path) for side in self.target.sides)
        unchecked = "" if self.store else without_checksum(self.inputs, self.shape.kind)
        facts = [
            ("inputs", f"{len(self.inputs):,}, text {size}"),
            *([("paired", self._paired)] if self.shape.sides else []),
            *([("remote", _fetched(self.inputs))] if any(i.remote for i in self.inputs) else []),
            *([("tables", named_tables(self.tables))] if self.tables else []),
            *([("checksums", unchecked)] if unchecked else []),
            ("lines", f"{self.survey.mean_line_bytes:.0f} bytes each, from a sample"),
            *([("columns", _listed(self.shape.columns))] if self.shape.columns else []),
            *([("sample", self.sample.describe())] if self.sample else []),
            *(self.mix.describe() if self.mix else []),
            *([("order", self.arrangement.said)] if self.arrangement else []),
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
            *([("work dir", f"{self.work.path}: {self.work.stays}")] if self.work else []),
            ("output", _space(output, self.output_bytes, self.output_free_bytes)),
            *([("row groups", f"{human(self._group_bytes)} of rows")] if self._group_bytes else []),
            *([("upload", _upload(self.upload))] if self.upload else []),
            ("seed", self.seed),
            *([("epochs", self.epochs.describe())] if self.epochs else []),
        ]
        return "\n".join(f"{name + ':':14}{printable(fact)}" for name, fact in facts)


def _fetched(inputs: Sequence[Input]) -> str:
    """Return what would be read from elsewhere; of Parquet files only what is needed."""
    sizes = [one.size_bytes for one in inputs if one.remote is not None]
    total = sum(size or 0 for size in sizes)
    beside = f" and {sizes.count(None):,} of unknown size" if None in sizes else ""
    plural = "s" * (len(sizes) > 1)
    return f"{len(sizes):,} object{plural}, {human(total)}{beside} to read at most"


def _space(place: str, needed: int | None, free: int | None) -> str:
    wanted = "unknown" if needed is None else human(needed)
    return f"{place}: {wanted} needed" + ("" if free is None else f", {human(free)} free")


def _upload(upload: dict[str, Any]) -> str:
    parts = "" if upload["parts"] is None else f"about {upload['parts']:,} "
    waiting = ", after all shards are made: they wait in temp" * upload["waits_in_temp"]
    size = f"parts of {human(upload['part_bytes'])}"
    return f"{parts}{size}, {upload['parts_at_once']} at once{waiting}"


def _listed(columns: list[dict[str, str]]) -> str:
    shown = ", ".join(f"{one['name']} {one['type']}" for one in columns[:_SHOWN_COLUMNS])
    return shown + f" and {len(columns) - _SHOWN_COLUMNS:,} more" * (len(columns) > _SHOWN_COLUMNS)


def _sum(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
