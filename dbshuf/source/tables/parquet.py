"""Parquet files: by row groups, each of them read in small batches."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from dbshuf.base.bounds import Bounds, Value
from dbshuf.base.column_names import told_apart
from dbshuf.base.nested_types import is_string
from dbshuf.base.parquet_types import NOTES_KEY
from dbshuf.errors import InputBroken
from dbshuf.source.input import Input, open_raw
from dbshuf.source.remote_file import RemoteFile
from dbshuf.source.schema.plain import leaves
from dbshuf.source.tables.interface import BatchSize, RecordBatches, RowRange, read_error
from dbshuf.source.tables.parquet_footer import (
    Chunk,
    check_plain,
    chunks,
    notes,
    read_footer,
)
from dbshuf.source.tables.wide_times import WideTimes
from dbshuf.units import KIB

# Read at a time of each column. Without a buffer pyarrow reads the column's whole share of
# a row group: 452 MB at its peak against 28 to 38 for one of 0.5 GB in 2 columns, and
# slower (0.47 s, 0.34; pyarrow 26.0.1).
_BUFFER_BYTES = 256 * KIB
_TIMES_ROWS = 1024  # read at a time of what is read twice


@dataclass(frozen=True)
class _Footer:
    """What is known of a file before it is read.

    group_rows     of each row group
    encoded_bytes  of all values: plain texts and numbers take as much in memory, what a
                   dictionary holds more
    wide_times     columns that hold moments of 96 bits, and all of their leaves
    """

    schema: pa.Schema
    group_rows: tuple[int, ...]
    encoded_bytes: int
    wide_times: Mapping[str, Sequence[int]]


class ParquetInput:
    """One Parquet file; see interface.TableInput."""

    is_steady = True

    def __init__(self, source: Input) -> None:
        """Read the file's footer. Raises InputBroken, InputUnreadable."""
        self.input = source
        try:
            self._footer = _footer(source)
        except Exception as error:
            raise read_error(source, error, "Parquet file") from None
        self.schema = self._footer.schema
        self.rows: int | None = sum(self._footer.group_rows)
        self.least_bytes = self._footer.encoded_bytes
        self._is_footer_summed = False

    def row_ranges(self, names: Sequence[str]) -> Iterator[RowRange]:
        columns: list[int] = []
        held: list[str] = []  # what they are called here
        wanted = frozenset(names)
        empty: list[pa.Field] = []  # groups of nothing: no column holds them, so they are null
        first_leaf = first_row = 0
        for field in self.schema:
            end_leaf = first_leaf + leaves(field.type)
            if field.name in wanted:
                columns += range(first_leaf, end_leaf)
                empty += [field] if end_leaf == first_leaf else []
                held += [field.name] if end_leaf > first_leaf else []
            first_leaf = end_leaf
        for group, rows in enumerate(self._footer.group_rows):
            if rows:
                read = partial(self._read, group, columns, held, empty)
                bounds_of, holds = partial(self._bounds, group), partial(self._holds, group)
                yield RowRange(first_row, read, rows, bounds_of, holds)
            first_row += rows

    def _read(
        self,
        group: int,
        columns: Sequence[int],
        names: Sequence[str],
        empty: Sequence[pa.Field],
        batch_size: BatchSize,
    ) -> RecordBatches:
        rows, first_row = 0, sum(self._footer.group_rows[:group])
        if self.input.sums is not None:
            self._sum(group, columns)
        with _opened(self.input) as (file, remote):
            metadata = _metadata(self.input)
            found = metadata.row_group(group)
            size = found.total_byte_size
            if len(columns) < found.num_columns or remote is not None:
                # `found.column` ends the process if the footer is damaged
                chunks = _chunks(self.input)[group]
                size = sum(chunks[leaf].plain_bytes for leaf in columns)
                if remote is not None:
                    remote.expect(
                        [chunks[leaf].place for leaf in columns], is_look=batch_size.is_look
                    )
            batch_size.expect(found.num_rows, size)
            reader = _open(file, metadata).reader
            times = self._wide_times(file, group, names)
            for batch in reader.iter_batches(batch_size.rows, [group], columns, use_threads=False):
                named = batch.rename_columns(names)
                if times is not None:
                    times.check(named, first_row + rows)
                rows += len(batch)
                yield _with_nulls(named, empty)
                reader.set_batch_size(batch_size.rows)  # holds from the next batch on
        if rows != self._footer.group_rows[group]:
            raise InputBroken(
                f"`{self.input.name}`: row group {group} has {rows:,} rows, and its footer says"
                f" {self._footer.group_rows[group]:,}",
                hint="the file is damaged: fetch it or write it again",
            )

    def _wide_times(
        self, file: pa.NativeFile, group: int, names: Sequence[str]
    ) -> WideTimes | None:
        """Return what looks at moments of 96 bits in some columns; None where there are none."""
        known = self._footer.wide_times
        found = [name for name in names if name in known]
        if not found:
            return None
        reader = _open(file, _metadata(self.input), unit="s").reader
        columns = [leaf for name in found for leaf in known[name]]
        seconds = reader.iter_batches(_TIMES_ROWS, [group], columns, use_threads=False)
        return WideTimes(iter(seconds), found, self.input.name)

    def _sum(self, group: int, columns: Sequence[int]) -> None:
        """Sum what will be read of a row group, and what lies behind the last one."""
        source, groups = self.input, _chunks(self.input)
        assert source.sums is not None
        places = [groups[group][leaf].place for leaf in columns]
        if not self._is_footer_summed:
            self._is_footer_summed = True
            ends = [chunk.place[1] for found in groups for chunk in found]
            places.append((max(ends, default=0), source.size_bytes or 0))
        source.sums.add_read(source.ordinal, source.name, places)

    def _bounds(self, group: int, name: str) -> Bounds | None:
        """Return what a row group's statistics say of a column that is no group of others."""
        leaf = 0
        for field in self.schema:
            if field.name == name:
                known = _chunks(self.input)[group]
                is_single = not pa.types.is_nested(field.type) and leaf < len(known)
                return _bounds(known[leaf], field.type) if is_single else None
            leaf += leaves(field.type)
        return None

    def _holds(self, group: int) -> dict[str, int]:
        """Return what the pages of each column take, which may be one in a row group."""
        known = iter(_chunks(self.input)[group])
        return {
            field.name: sum(
                _BUFFER_BYTES + chunk.plain_bytes for chunk in islice(known, leaves(field.type))
            )
            for field in self.schema
        }

    def stop(self) -> None:
        """Do nothing: reads are short."""

    def close(self) -> None:
        """Do nothing: nothing stays open."""


def _bounds(chunk: Chunk, kind: pa.DataType) -> Bounds | None:
    if chunk.is_null:
        return Bounds(None, None)
    if chunk.least is None or chunk.most is None:
        return None
    least, most = _value(chunk.least, kind), _value(chunk.most, kind)
    return None if least is None or most is None else Bounds(least, most)


def _value(written: bytes, kind: pa.DataType) -> Value | None:
    """Return a value of a footer's statistics; None for a type that `bounds.py` leaves out."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_date32(kind):
        is_signed = not pa.types.is_unsigned_integer(kind)
        is_whole = len(written) in (4, 8)
        return int.from_bytes(written, "little", signed=is_signed) if is_whole else None
    return written if is_string(kind) or kind == pa.string_view() else None


def _with_nulls(batch: pa.RecordBatch, fields: Sequence[pa.Field]) -> pa.RecordBatch:
    """Return a batch with more columns, in which there is nothing."""
    if not fields:
        return batch
    nulls = [pa.nulls(len(batch), field.type) for field in fields]
    schema = pa.schema([*batch.schema, *fields])
    return pa.RecordBatch.from_arrays([*batch.columns, *nulls], schema=schema)


def _open(
    file: pa.NativeFile, metadata: pq.FileMetaData | None = None, unit: str | None = None
) -> pq.ParquetFile:
    """Open a file; `unit` is that of moments of 96 bits, nanoseconds if it is None."""
    return pq.ParquetFile(
        file,
        metadata=metadata,
        coerce_int96_timestamp_unit=unit,
        pre_buffer=False,
        buffer_size=_BUFFER_BYTES,
        page_checksum_verification=True,
    )


@lru_cache(maxsize=4096)
def _footer(source: Input) -> _Footer:
    footer = _footer_text(source)
    with _opened(source) as (file, _):
        parquet = _open(file)
        metadata = parquet.metadata
        check_plain(source.name, footer, metadata.serialized_size)
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        schema = told_apart(_noted(parquet.schema_arrow, metadata.metadata, notes(footer)))
        return _Footer(
            schema,
            tuple(group.num_rows for group in groups),
            sum(group.total_byte_size for group in groups),
            _columns_of_wide_times(schema, parquet.schema),
        )


def _columns_of_wide_times(schema: pa.Schema, said: pq.ParquetSchema) -> dict[str, Sequence[int]]:
    """Return columns that hold moments of 96 bits, and their leaves."""
    found: dict[str, Sequence[int]] = {}
    first_leaf = 0
    for one in schema:
        inside = range(first_leaf, first_leaf + leaves(one.type))
        first_leaf = inside.stop
        if any(said.column(leaf).physical_type == "INT96" for leaf in inside):
            found[one.name] = inside
    return found


def _noted(
    schema: pa.Schema, pairs: Mapping[bytes, bytes] | None, columns: Sequence[bytes]
) -> pa.Schema:
    """Return a schema that says also what only the file's footer does.

    pairs    keys and values of the file; those within `ARROW:schema` need not be all
    columns  what `footer.notes` says of each
    """
    metadata = {**(schema.metadata or {}), **(pairs or {})}
    if len(columns) != len(schema):
        return schema.with_metadata(metadata)
    fields = [
        field.with_metadata({**(field.metadata or {}), NOTES_KEY: one})
        for field, one in zip(schema, columns, strict=True)
    ]
    return pa.schema(fields, metadata=metadata)


@lru_cache(maxsize=2)
def _chunks(source: Input) -> list[list[Chunk]]:
    return chunks(_footer_text(source))


@lru_cache(maxsize=2)
def _metadata(source: Input) -> pq.FileMetaData:
    """Return all that a footer says; large where there are many row groups and columns."""
    with _opened(source) as (file, _):
        return pq.read_metadata(file)


def _footer_text(source: Input) -> bytes:
    if source.remote is not None:
        with RemoteFile(source.remote) as remote:
            return read_footer(source.name, remote)
    open_raw(source.name).close()  # for the error, if any
    with open(os.fsencode(source.name), "rb") as file:
        return read_footer(source.name, file)


@contextlib.contextmanager
def _opened(source: Input) -> Iterator[tuple[pa.NativeFile, RemoteFile | None]]:
    """Give a file for pyarrow to seek in; of an object, also what may be told of its reads."""
    if source.remote is None:
        with pa.OSFile(os.fsencode(source.name)) as file:
            yield file, None
        return
    with RemoteFile(source.remote) as remote, pa.PythonFile(remote, mode="r") as file:
        yield file, remote
