"""The plan: everything that is decided before a run, to do it and to show it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbshuf.base.key import seed_words
from dbshuf.base.layout import Layout
from dbshuf.base.messages import named_tables, printable
from dbshuf.base.rest_scan import Given
from dbshuf.base.scan import Scan
from dbshuf.plan.epochs import Epochs
from dbshuf.plan.manifest import Wanted
from dbshuf.plan.order_by import OrderBy
from dbshuf.plan.row_plan import Shape
from dbshuf.plan.sample import Sample
from dbshuf.plan.worker_memory import longest_line
from dbshuf.sink import RemotePath, Target, sink_memory_bytes, upload_sizes
from dbshuf.sink.memory import row_group_bytes
from dbshuf.source.checksums import has_checksum, without_checksum
from dbshuf.source.input import Input
from dbshuf.source.survey import Survey
from dbshuf.units import GIB, human, known_sum

if TYPE_CHECKING:
    import pyarrow as pa

    from dbshuf.base.row_notes import ReadNotes
    from dbshuf.order.strata import Strata, StrataMemory
    from dbshuf.plan.mix import Mix
    from dbshuf.source.lines.reader import Pause
    from dbshuf.store.schema import StoreInfo

_SHOWN_COLUMNS = 20


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
    likely_end: int | None = None  # of the keys of the first rows, as `Sample.likely_end`
    order_by: OrderBy | None = None  # None: by the key alone
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
    ordered_as: Callable[[Scan], Scan] | None = None  # lines, one for each row that is read

    @property
    def has_fixed_ids(self) -> bool:
        """Whether a second run gives every row the id that it had in the first."""
        return self.shape.whole_query is None or self.shape.has_given_ids

    @property
    def words(self) -> tuple[int, int]:
        """What turns ids into keys."""
        return seed_words(self.seed) if self.order_by is None else self.order_by.words

    @property
    def schema(self) -> "pa.Schema | None":
        """The columns of the rows that are shuffled; None: they are lines."""
        return self.shape.schema

    @property
    def ordered_schema(self) -> "pa.Schema | None":
        """The columns of what is ordered; None: lines are."""
        return self.schema if self.ordered_as is None else None

    @property
    def longest_line_bytes(self) -> int:
        """The longest line that fits in the memory of this plan."""
        return self.longest_with(self.first or self.layout)

    @property
    def spare_bytes(self) -> int:
        """What is left for one long line and what SQL makes of it, while rows are read."""
        if self.pause is not None and self.pause.source is not None:
            return self.pause.spare_bytes
        return self.layout.spare_bytes

    def longest_with(self, layout: Layout) -> int:
        """Return the longest line (bytes) that a layout and the sink can hold."""
        free, held = sink_memory_bytes(self.target), sink_memory_bytes(self.target, GIB)
        return longest_line(layout, (held - free) / GIB, self.shape.long_copies)

    @property
    def _engine_bytes(self) -> int:
        uses = self.strategy == "spill" or self.shape.whole_query is not None
        return self.duckdb_bytes if uses else 0

    def to_json(self) -> dict[str, Any]:
        """Return the plan for programs; bytes are plain numbers."""
        return {
            "inputs": [self._input_json(one) for one in self.inputs],
            "input_bytes": known_sum([i.size_bytes for i in self.inputs]),
            "text_bytes": self.survey.text_bytes,
            "text_bytes_exact": self.survey.is_exact,
            "mean_line_bytes": round(self.survey.mean_line_bytes, 1),
            "longest_sampled_line_bytes": self.survey.longest_line_bytes,
            "columns": self.shape.columns,
            "sample": None if self.sample is None else self.sample.to_json(),
            "mix": None if self.mix is None else self.mix.to_json(),
            "order_by": None if self.order_by is None else self.order_by.to_json(),
            "seed": self.seed,
            **({"epochs": self.epochs.to_json()} if self.epochs else {}),
            "strategy": self.strategy,
            "reason": self.reason,
            "threads": self.threads,
            "workers": self.layout.workers,
            "buckets": self._buckets,
            "memory": self._memory_json,
            "temp": {
                "directory": str(self.temp_dir),
                "needed_bytes": self.temp_bytes,
                "free_bytes": self.temp_free_bytes,
            },
            "output": self._output_json,
            **({"work_dir": self._work_json} if self.work else {}),
            **({"paired": self._paired_json} if self.shape.sides else {}),
        }

    def _input_json(self, one: Input) -> dict[str, Any]:
        return (
            {"name": one.name, "bytes": one.size_bytes, "compression": one.codec}
            | ({"table": self.tables[one.ordinal]} if self.tables else {})
            | ({} if self.store else {"has_checksum": has_checksum(one, self.shape.kind)})
        )

    @property
    def _memory_json(self) -> dict[str, Any]:
        return {
            "cap_bytes": self.memory_bytes,
            "base_bytes": self.layout.base_bytes,
            "store_bytes": self.layout.store_bytes,
            "duckdb_bytes": self._engine_bytes,
            "sqlite_bytes": self.sqlite_bytes,
            "buffer_bytes": self.layout.buffer_bytes,
            "sort_bytes": self.layout.sort_bytes,
            "longest_line_bytes": self.longest_line_bytes,
        }

    @property
    def _output_json(self) -> dict[str, Any]:
        return {
            "path": None if self.target.path is None else str(self.target.path),
            "format": self.target.format,
            "needed_bytes": self.output_bytes,
            "free_bytes": self.output_free_bytes,
            **({"row_group_bytes": self._group_bytes} if self._group_bytes else {}),
            **({"upload": self.upload} if self.upload else {}),
        }

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
            "waits_in_temp": self.target.waits_in_temp or self.work is not None,
        }

    def describe(self) -> str:
        """Return the plan for people, a line a fact."""
        facts = [
            *self._facts_of_rows(),
            ("strategy", f"{self.strategy}: {self.reason}"),
            ("buckets", f"{self._buckets:,}"),
            ("threads", f"{self.threads}"),
            ("memory", self._memory),
            ("longest line", f"{human(self.longest_line_bytes)} would fit"),
            ("temp", _space(str(self.temp_dir), self.temp_bytes, self.temp_free_bytes)),
            *([("work dir", f"{self.work.path}: {self.work.stays}")] if self.work else []),
            ("output", _space(self._output, self.output_bytes, self.output_free_bytes)),
            *([("row groups", f"{human(self._group_bytes)} of rows")] if self._group_bytes else []),
            *([("upload", _upload(self.upload))] if self.upload else []),
            ("seed", self.seed),
            *([("epochs", self.epochs.describe())] if self.epochs else []),
        ]
        return "\n".join(f"{name + ':':14}{printable(fact)}" for name, fact in facts)

    def _facts_of_rows(self) -> list[tuple[str, str]]:
        """Return what is read, and which rows of it are put in which order."""
        about = "" if self.survey.is_exact else "about "
        read_bytes = self.survey.text_bytes if self.mix is None else self.read_bytes
        size = "unknown" if read_bytes is None else about + human(read_bytes)
        unchecked = "" if self.store else without_checksum(self.inputs, self.shape.kind)
        return [
            ("inputs", f"{len(self.inputs):,}, text {size}"),
            *([("paired", self._paired)] if self.shape.sides else []),
            *([("remote", _fetched(self.inputs))] if any(i.remote for i in self.inputs) else []),
            *([("tables", named_tables(self.tables))] if self.tables else []),
            *([("checksums", unchecked)] if unchecked else []),
            ("lines", f"{self.survey.mean_line_bytes:.0f} bytes each, from a sample"),
            *([("columns", _listed(self.shape.columns))] if self.shape.columns else []),
            *([("sample", self.sample.describe())] if self.sample else []),
            *(self.mix.describe() if self.mix else []),
            *([("order", self.order_by.said)] if self.order_by else []),
        ]

    @property
    def _memory(self) -> str:
        layout = self.layout
        in_work = {
            "spill": f"DuckDB {human(self._engine_bytes)}",
            "sqlite": f"SQLite {human(self.sqlite_bytes)}",
        }.get(
            self.strategy,
            f"{layout.workers} buffers of {human(layout.buffer_bytes)} to read and order,"
            f" {human(layout.sort_bytes)} to sort",
        )
        return (
            f"{human(self.memory_bytes)}: {human(layout.base_bytes)} base,"
            f" {human(layout.store_bytes)} rows kept, {in_work}"
        )

    @property
    def _output(self) -> str:
        if self.target.sides and not self.target.in_shards:
            return ", ".join(str(side.path) for side in self.target.sides)
        return "standard output" if self.target.path is None else str(self.target.path)

    @property
    def _buckets(self) -> int:
        return 1 if self.strategy == "spill" else self.layout.ranges


def _fetched(inputs: Sequence[Input]) -> str:
    """Return what would be read from elsewhere; of Parquet files only what is needed."""
    sizes = [one.size_bytes for one in inputs if one.remote is not None]
    total = sum(size or 0 for size in sizes)
    beside = f" and {sizes.count(None):,} of unknown size" if None in sizes else ""
    plural = "s" * (len(sizes) > 1)
    copied = ", copied to the temporary directory first" * any(one.copy for one in inputs)
    return f"{len(sizes):,} object{plural}, {human(total)}{beside} to read at most{copied}"


def _space(place: str, needed: int | None, free: int | None) -> str:
    wanted = "unknown" if needed is None else human(needed)
    return f"{place}: {wanted} needed" + ("" if free is None else f", {human(free)} free")


def _upload(upload: dict[str, Any]) -> str:
    parts = "" if upload["parts"] is None else f"about {upload['parts']:,} "
    waiting = ", after all is made: it waits in temp" * upload["waits_in_temp"]
    size = f"parts of {human(upload['part_bytes'])}"
    return f"{parts}{size}, {upload['parts_at_once']} at once{waiting}"


def _listed(columns: list[dict[str, str]]) -> str:
    shown = ", ".join(f"{one['name']} {one['type']}" for one in columns[:_SHOWN_COLUMNS])
    return shown + f" and {len(columns) - _SHOWN_COLUMNS:,} more" * (len(columns) > _SHOWN_COLUMNS)
