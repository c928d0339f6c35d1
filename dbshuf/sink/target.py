"""What a user asks of the output, and what every sink promises."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dbshuf.errors import UsageError
from dbshuf.sink.output_format import NAMES
from dbshuf.sink.remote_path import OutputPath, RemotePath

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from dbshuf.base.window import Window
    from dbshuf.sink.seal import Seal

    Members = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SideOutput:
    """Where one side of paired files goes.

    source  its input, or the first of them, as it was named
    name    of its folder of shards
    path    its file; None: it goes to shards
    format, header  as of a Target
    schema  of its lines where they are numbered; None: they are lines
    """

    source: str
    name: str
    path: OutputPath | None
    format: str
    header: bytes
    schema: "pa.Schema | None" = None


@dataclass(frozen=True)
class Target:
    """An output, as the plan has resolved it.

    path         the file, or the directory of shards, here or in an object store; None is stdout
    format       one of `output_format.FORMATS`
    header       lines (with terminators) at the head of the file or of every shard of text
    terminator   the one byte that ends a line of text
    binary       lines to Parquet, Arrow: a BLOB column, any bytes; else VARCHAR, UTF-8
    shards       number of equal ranges of the key; or cut by size, at most one of:
    shard_bytes    of the file of one shard, about, as `cut_points.FileCut`
    shard_rows     rows in one shard
    force        replace the shards of a directory that is not empty
    seed         for the metadata of a Parquet or Arrow file
    locate       a row's key -> where the row came from, for messages
    threads      threads that compress; None: one for every core of this process
    memory_bytes  what the process may have; None: enough
    schema       of the rows; None: they are lines
    written      the same columns as Parquet and Arrow are to have them; None: as they are
    holds_json   whether the one column of the rows is JSON, the text of an object a row
    compression  of Parquet and Arrow, as `output_format.codec_of` has it; of text, `format` says it
    row_group_bytes  of Parquet; as `Window.counted_bounds`; None: ROW_GROUP_BYTES
    bloom        columns of Parquet that get Bloom filters
    cdc          whether pages of Parquet are cut by content
    split_names  of the splits, each an output of its own; empty: there is one
    is_noted     whether rows, bytes and hash of every file are noted, for a manifest
    member_of    a window -> int64, shape (rows,): the number of each row's split
    temp_dir     where shards wait that cannot be sent before all are made
    object_bytes  about the most that one object in a store will have; None: unknown
    in_groups    whether rows of one group stand together, which no shard may cut
    key_end      keys are below it: `shards` are equal ranges up to it
    all_rows     that there are at most: `shards` are equal counts of them; None: of the key, or of
                 the prefix where rows have one
    counts_rows  whether `all_rows` is told once all are read, before the target is opened
    number       name of the last column of `schema`: the rows' places, as `numbered` adds them
    first_number  the place of the first row
    epochs       orders of the rows that it gets: one after the other, of shards a folder each
    partition_by  columns of `schema` whose values are folders, and which no file has; rows have
                 prefixes of `order.sort_prefix.PartitionPrefix` then
    sides        of paired files, an output each: one is a column of `schema`; empty: there are none
    shared       what encoders of its files have made once for all of them
    """

    path: OutputPath | None
    format: str
    header: bytes
    terminator: bytes
    binary: bool
    shards: int | None
    shard_bytes: int | None
    shard_rows: int | None
    force: bool
    seed: str
    locate: Callable[[int], str]
    threads: int | None = None
    memory_bytes: int | None = None
    schema: "pa.Schema | None" = None
    written: "pa.Schema | None" = None
    holds_json: bool = False
    compression: str | None = None
    row_group_bytes: int | None = None
    bloom: tuple[str, ...] = ()
    cdc: bool = False
    split_names: tuple[str, ...] = ()
    is_noted: bool = False
    member_of: "Callable[[Window], Members] | None" = None
    temp_dir: Path | None = None
    object_bytes: int | None = None
    in_groups: bool = False
    key_end: int = 1 << 64
    all_rows: int | None = None
    counts_rows: bool = False
    number: str | None = None
    first_number: int = 0
    epochs: int = 1
    partition_by: tuple[str, ...] = ()
    sides: tuple[SideOutput, ...] = ()
    shared: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def of_sides(self) -> "list[Target]":
        return [
            replace(
                self,
                path=side.path or self.path,
                format=side.format,
                header=side.header,
                locate=partial(_beside, side.source, self.locate) if number else self.locate,
                schema=side.schema,
                row_group_bytes=self.row_group_bytes if side.format == "parquet" else None,
                sides=(),
            )
            for number, side in enumerate(self.sides)
        ]

    @property
    def files(self) -> list[OutputPath]:
        """The files that it names, where it is no directory: one of each side and each split."""
        if self.path is None:
            return []
        if self.sides:
            return [path for target in self.of_sides() for path in target.files]
        path = self.path
        return [split_path(path, name) for name in self.split_names] or [path]

    @property
    def of_files(self) -> "Target":
        """The same for the files in folders of values, which lack the columns of these."""
        from dbshuf.sink.partition_names import without_columns

        names = self.partition_by
        schema, written = (
            None if one is None else without_columns(one, names)
            for one in (self.schema, self.written)
        )
        return replace(self, schema=schema, written=written, partition_by=())

    @property
    def in_shards(self) -> bool:
        """Whether the output is a directory of shards."""
        return (self.shards, self.shard_bytes, self.shard_rows) != (None, None, None)

    @property
    def waits_in_temp(self) -> bool:
        """Whether shards wait for their names, which have the number of all, to be sent."""
        return isinstance(self.path, RemotePath) and self.in_shards and self.shards is None


def check_schema(target: Target) -> None:
    """Refuse columns that the format cannot hold, and options that it has no place for.

    Lines fit in every format; a run of lines loads no Arrow here.
    Raises   UsageError, RowUnfit
    """
    if target.sides:
        for one in target.of_sides():
            check_schema(one)
        return
    if target.partition_by:
        from dbshuf.sink.partition_names import check_partition_columns

        check_partition_columns(target.partition_by, target.schema)
        target = target.of_files
    kind = target.format.partition(".")[0]
    _check_options(target, kind)
    if target.bloom:
        from dbshuf.sink.format_support import check_bloom

        check_bloom(target.bloom, target.schema)
    if target.schema is not None:
        from dbshuf.sink.format_support import check_columns

        check_columns(target.schema, kind)
    elif target.binary and kind in ("csv", "tsv", "jsonl"):
        raise UsageError(
            f"--binary has no place in {NAMES[kind]}: it holds UTF-8 and nothing else",
            hint="leave it out, or write text, Parquet or Arrow",
        )


def _check_options(target: Target, kind: str) -> None:
    """Raise UsageError for an option that a format has no place for, whatever the columns are."""
    if target.header and (kind != "txt" or target.schema is not None):
        what = NAMES[kind] if kind != "txt" else "a query's rows"
        raise UsageError(
            f"--header is for lines written as text, and has no place in {what}",
            hint="leave out --header",
        )
    asked = {
        "--row-group-bytes": target.row_group_bytes is not None,
        "--bloom": bool(target.bloom),
        "--cdc": target.cdc,
    }
    for option, is_asked in asked.items():
        if is_asked and kind != "parquet":
            raise UsageError(
                f"{option} is for Parquet, and the output is {NAMES[kind]}",
                hint="leave it out, or write Parquet with --format parquet",
            )


def split_path(path: OutputPath, name: str) -> OutputPath:
    """Return the path of a split's file: `out.train.txt.gz` for `out.txt.gz`."""
    suffixes = path.suffixes[-2:] if path.suffix.lower() in {".gz", ".zst"} else path.suffixes[-1:]
    suffix = "".join(suffixes)
    stem = path.name[: len(path.name) - len(suffix)]
    return path.with_name(f"{stem}.{name}{suffix}")


class Sink(Protocol):
    """Takes windows in order, then publishes all of them or nothing.

    text_bytes, rows   what `write` has taken so far; lines with their terminators
    """

    text_bytes: int
    rows: int

    def write(self, window: "Window") -> None:
        """Take the next rows; the window is the sink's, and nothing writes to its memory."""

    def finish(self, seal: "Seal | None" = None) -> None:
        """Write what is left, fsync, and put the output in place.

        seal   is told of all files before one is in place, and publishes what it made of that
               when all are
        """

    def abort(self) -> None:
        """Remove all that is hidden; never raises; after `finish` it does nothing."""


def _beside(source: str, locate: Callable[[int], str], key: int) -> str:
    """Return where a row of another side came from, for messages: the first one tells where."""
    return f"`{source}`, in the row that goes with {locate(key)}"
