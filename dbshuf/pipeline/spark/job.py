"""What the driver tells every task: the same for all of them, sent once to each machine."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dbshuf.base.key import U64
from dbshuf.base.row_batch import arrow_numbers, arrow_texts
from dbshuf.base.window import Window
from dbshuf.order.sort_prefix import SortPrefix
from dbshuf.order.spread import Slots
from dbshuf.pipeline.spark.columns import carried, carried_type, restored, sql_type
from dbshuf.pipeline.spark.ranges import Starts
from dbshuf.plan.row_plan import Shape
from dbshuf.plan.spark_splits import Split
from dbshuf.sink import Target
from dbshuf.sink.shard_names import shard_names
from dbshuf.source.input import Input

_TOP_BIT = 1 << 63
# Words that rows are ordered by in Spark. `mark` tells rows from what was counted of their value,
# which is a mark of so many, and comes before them.
BY_KEY, BY_PREFIX, BY_VALUE = ("key",), ("prefix", "key"), ("prefix", "mark", "key")
MARK_OF_ROWS = np.uint64((1 << 64) - 1)


@dataclass(frozen=True)
class Job:
    """What a task needs to read a split, or to write a partition.

    here        where relative names of inputs begin
    folder      where files grow under names of the attempt, and a file `token` lies
    token       what is in that file: a machine that reads it there sees the folder; empty where
                tasks write nothing there, but uploads
    words       that turn ids into keys
    columns     of the tables that are read, before SQL; None: lines are read
    partitions  ranges of the order; what tasks tell of themselves goes to one more
    in_shards   whether a partition is a shard; else it becomes a file of sorted rows
    key_end     rows with keys below it are read, the others left out: all of 2^64, or a sample
    versions    of the packages that must be the same on all machines
    owner       whose the uploads are that tasks begin: the driver's
    below       the folder of the output that its shards lie in: that of an epoch
    prefixes    what gives every row the first word of its order; None: the key is all
    counted     where partitions begin by that; None: they are equal ranges, of any prefixes, or
                of the key
    slots       of rows that are spread: what makes their prefixes, first by value, those of slots
    value_ranges  partitions of such rows by value, before they have their slots
    """

    inputs: tuple[Input, ...]
    splits: tuple[Split, ...]
    shape: Shape
    target: Target
    terminator: bytes
    header_bytes: int
    words: tuple[int, int]
    columns: pa.Schema | None
    partitions: int
    in_shards: bool
    here: str
    folder: str
    token: str
    buffer_bytes: int
    longest_bytes: int
    memory_bytes: int
    versions: dict[str, str]
    key_end: int = 1 << 64
    owner: str = ""
    below: str = ""
    prefixes: SortPrefix | None = None
    counted: Starts | None = None
    slots: Slots | None = None
    value_ranges: int = 0

    @cached_property
    def starts(self) -> Starts:
        if self.counted is not None:
            return self.counted
        is_prefixed = self.prefixes is not None
        return Starts.even(self.partitions, self.key_end, of_prefixes=is_prefixed)

    def shard_name(self, part: int) -> str:
        """Return the name in the output that a partition has as a shard."""
        name = shard_names(self.partitions, self.target.format)[part]
        return posixpath.join(self.below, name)

    @cached_property
    def read_starts(self) -> Starts:
        """Where the partitions begin that rows go to as they are read."""
        if self.slots is None:
            return self.starts
        return Starts.even(self.value_ranges, 1 << 64, of_prefixes=True)

    @property
    def read_partitions(self) -> int:
        return self.partitions if self.slots is None else self.value_ranges

    @cached_property
    def carrier(self) -> "Carrier":
        """What carries rows that a task writes."""
        return Carrier(self.shape.schema, BY_KEY if self.prefixes is None else BY_PREFIX)

    @cached_property
    def read_carrier(self) -> "Carrier":
        """What carries rows as they are read."""
        return self.carrier if self.slots is None else Carrier(self.shape.schema, BY_VALUE)


class Carrier:
    """Rows as Spark has them: bucket, the words of the order, columns. What a task notes is a row
    of its own, and so is what it counts.

    schema  of the rows in stage 1; in stage 2 they have no bucket any more
    """

    def __init__(self, schema: pa.Schema | None, order_names: tuple[str, ...] = BY_KEY) -> None:
        """Carry rows of a schema; None: lines."""
        self._schema = schema
        kinds = [pa.binary()] if schema is None else [carried_type(one.type) for one in schema]
        if schema is not None:
            kinds.append(pa.binary())  # for notes, null in a row; notes of lines are lines
        columns = [(f"c{number}", kind) for number, kind in enumerate(kinds)]
        self.order_names = order_names
        words = [(name, pa.int64()) for name in self.order_names]
        self.schema = pa.schema([("bucket", pa.int32()), *words, *columns])
        self._columns = list(self.schema)[1 + len(words) :]

    @property
    def ddl(self) -> str:
        """The columns in Spark's SQL."""
        return ", ".join(f"{one.name} {sql_type(one.type)}" for one in self.schema)

    @property
    def sorted_names(self) -> list[str]:
        return list(self.schema.names[1:])

    def pack(
        self, buckets: U64, keys: U64, prefixes: U64 | None, columns: Sequence[pa.Array]
    ) -> pa.RecordBatch:
        """Return rows."""
        words = [keys] if prefixes is None else [prefixes, keys]
        if self.order_names == BY_VALUE:
            words.insert(1, np.full(len(keys), MARK_OF_ROWS))
        arrays = list(columns) if self._schema is None else [carried(one) for one in columns]
        if self._schema is not None:
            arrays.append(pa.nulls(len(keys), pa.binary()))
        return self.packed(buckets, words, arrays)

    def pack_counts(self, buckets: U64, values: U64, counts: U64) -> pa.RecordBatch:
        """Return how many rows values have, to come before these rows."""
        columns = [pa.nulls(len(values), one.type) for one in self._columns]
        return self.packed(buckets, [values, counts, np.zeros_like(values)], columns)

    def packed(
        self, buckets: U64, words: Sequence[U64], columns: Sequence[pa.Array]
    ) -> pa.RecordBatch:
        """Return rows whose columns are carried already.

        words  of the order; they ascend as signed numbers, as they did as unsigned ones
        """
        arrays = [arrow_numbers(buckets.astype(np.int32))]
        arrays += [arrow_numbers(flipped(one)) for one in words]
        return pa.RecordBatch.from_arrays([*arrays, *columns], schema=self.schema)

    def pack_note(self, bucket: int, note: bytes) -> pa.RecordBatch:
        """Return a note as the one row of a batch."""
        words = [np.zeros(1, np.uint64) for _ in self.order_names]
        columns = [pa.nulls(1, one.type) for one in self._columns[:-1]]
        columns.append(arrow_texts([note], pa.binary()))
        return self.packed(np.array([bucket], np.uint64), words, columns)

    def notes(self, batch: pa.RecordBatch) -> list[bytes]:
        """Return the notes of a batch of stage 2 that holds nothing else."""
        found: list[bytes] = batch.column(batch.num_columns - 1).to_pylist()
        return found

    def window(self, batch: pa.RecordBatch) -> Window:
        """Return the rows of a batch of stage 2."""
        count = len(self.order_names)
        *first, keys = [flipped(one.to_numpy()) for one in batch.columns[:count]]
        prefixes = first[0] if first else None
        if self._schema is None:
            return Window.of_lines(batch.column(count), keys, prefixes)
        pairs = zip(batch.columns[count:-1], self._schema, strict=True)
        columns = [restored(array, field.type) for array, field in pairs]
        return window_of(columns, self._schema, keys, prefixes)


def window_of(
    columns: Sequence[pa.Array], schema: pa.Schema, keys: U64, prefixes: U64 | None
) -> Window:
    """Return a window of typed rows, which may have no column."""
    rows = pa.RecordBatch.from_arrays(columns, schema=schema)
    if columns:
        return Window.of_rows(rows, keys, prefixes)
    return Window(rows, keys, np.zeros(len(keys) + 1, np.int64), prefixes=prefixes)


def flipped(keys: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return keys with the top bit flipped: unsigned ones as signed, signed as unsigned."""
    to = np.int64 if keys.dtype == np.uint64 else np.uint64
    return (keys.view(np.uint64) ^ np.uint64(_TOP_BIT)).view(to)
