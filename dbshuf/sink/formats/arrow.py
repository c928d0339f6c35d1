"""Rows to an Arrow IPC file; lines are its one column `line`."""

import numpy as np
import pyarrow as pa

from dbshuf.base.nested_types import entries_of, list_bounds, struct_of
from dbshuf.sink.begun_file import Begun, MadeAgain
from dbshuf.sink.encoder_threads import MemoryFile
from dbshuf.sink.formats.column_file import (
    ColumnFileEncoder,
    Group,
    Groups,
    batches_of,
    file_metadata,
)
from dbshuf.sink.formats.record_batches import records_of
from dbshuf.sink.output_format import codec_of
from dbshuf.sink.raw_file import ByteOutput, FileDamaged
from dbshuf.sink.schema_cast import SchemaCast, reader_schema, stored_in_arrow
from dbshuf.sink.target import Target
from dbshuf.units import MIB

# Of a record batch, the least that a reader takes at a time.
BATCH_BYTES = 4 * MIB
BATCH_ROWS = 1 << 17

_FOOT_BYTES, _BLOCK_BYTES = 40, 24  # of a file's footer; of the place of a batch in it


_MAGIC_BYTES = 8  # before the stream that a file is up to its footer

EncodedRows = tuple[int, list[bytes]]  # how many, and pieces of the file


class ArrowEncoder(ColumnFileEncoder[EncodedRows]):
    """One file of record batches, each a group of one piece, written by one thread."""

    def __init__(self, output: ByteOutput, target: Target, begun: Begun | None = None) -> None:
        self._records = records = records_of(target)
        groups = Groups(
            records.schema,
            group_bytes=BATCH_BYTES,
            group_rows=BATCH_ROWS,
            piece_bytes=BATCH_BYTES,
        )
        if begun is not None and begun.bytes:
            output = MadeAgain(output, begun)
        super().__init__(output, groups, threads=1, begun=begun)
        name, level = codec_of("arrow", target.compression)
        codec = None if name == "none" else pa.Codec(name, level)
        seen = records.schema if target.written is None else reader_schema(target.written)
        seen = seen.with_metadata(file_metadata(records.schema, target))
        self._cast = SchemaCast(stored_in_arrow(seen))
        options = pa.ipc.IpcWriteOptions(compression=codec, emit_dictionary_deltas=True)
        self._batches = 0
        self._file = MemoryFile()
        self._writer = pa.ipc.new_file(
            pa.PythonFile(self._file, "w"), self._cast.schema, options=options
        )
        self._go_on_with(begun)

    def _go_on(self, begun: Begun) -> None:
        """Write once more what the output has: where batches lie, only their writer knows."""
        rows = 0
        with begun.content() as content:
            content.read(_MAGIC_BYTES)
            try:
                with pa.ipc.open_stream(pa.PythonFile(content, "r")) as batches:
                    while rows < begun.written:
                        batch = batches.read_next_batch()
                        self._writer.write_batch(self._cast.cast(self._counted_anew(batch)))
                        rows += batch.num_rows
                        self._put((0, self._file.take()))
                        self._batches += 1
            except (OSError, StopIteration, pa.ArrowException) as error:
                raise FileDamaged from error

    def _counted_anew(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch that was written, without the dictionaries, which are to grow again."""
        columns = [
            column.dictionary_decode().cast(field.type)
            if pa.types.is_dictionary(column.type)
            else column
            for column, field in zip(batch.columns, self._records.schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

    def _encode(self, group: Group) -> EncodedRows:
        rows = 0
        for part in batches_of(group, self._records):
            batch = pa.concat_batches([part])  # without what its neighbours in a window need
            columns = [tidy(column) for column in batch.columns]
            tidied = pa.RecordBatch.from_arrays(columns, schema=self._records.schema)
            self._writer.write_batch(self._cast.cast(tidied))
            self._batches += 1
            rows += batch.num_rows
        return rows, self._file.take()

    def _put(self, encoded: EncodedRows) -> None:
        rows, pieces = encoded
        for piece in pieces:
            self._output.write(piece)
        self._written += rows

    def _end_bytes(self) -> int:
        """About the schema once more, and where each batch lies."""
        self._put((0, self._file.take()))  # the head of a file that has no batch yet
        schema_bytes = int(self._cast.schema.serialize().size)
        return schema_bytes + _FOOT_BYTES + _BLOCK_BYTES * self._batches

    def _write_end(self) -> None:
        self._writer.close()
        self._put((0, self._file.take()))


def tidy(values: pa.Array) -> pa.Array:
    """Return the values with nothing left below nulls.

    An Arrow file holds the bytes behind a null too, and what they are depends on where
    the row has been: equal rows must make equal files.
    """
    kind = values.type
    if isinstance(values, pa.ExtensionArray):
        return pa.ExtensionArray.from_storage(kind, tidy(values.storage))
    mask = values.is_null() if values.null_count else None
    if mask is not None:
        is_null = mask.to_numpy(zero_copy_only=False)
        values = values.take(pa.array(np.arange(len(values)), mask=is_null))
    return _rebuilt(values, mask) if pa.types.is_nested(kind) else values


def _rebuilt(values: pa.Array, mask: pa.Array | None) -> pa.Array:
    """Nested values with the same done to what they are made of."""
    kind = values.type
    if pa.types.is_struct(kind):
        fields = [tidy(values.field(i)) for i in range(kind.num_fields)]
        return struct_of(fields, kind, values.is_valid())
    if pa.types.is_fixed_size_list(kind):
        within = values.values.slice(values.offset * kind.list_size, len(values) * kind.list_size)
        return pa.FixedSizeListArray.from_arrays(tidy(within), type=kind, mask=mask)
    if pa.types.is_map(kind):
        entries = entries_of(values)
        keys, items = map(tidy, entries.flatten().flatten())
        return pa.MapArray.from_arrays(_bounds(entries), keys, items, type=kind, mask=mask)
    wide = pa.types.is_large_list(kind)
    if not (wide or pa.types.is_list(kind)):
        return values
    lists = pa.LargeListArray if wide else pa.ListArray
    return lists.from_arrays(_bounds(values), tidy(values.flatten()), type=kind, mask=mask)


def _bounds(lists: pa.Array) -> pa.Array:
    wide = pa.types.is_large_list(lists.type)
    return pa.array(list_bounds(lists).astype(np.int64 if wide else np.int32))
