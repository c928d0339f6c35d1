"""Rows to an Arrow IPC file; lines are its one column `line`."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.window import AnyWindow
from dbshuf.sink.encoder_threads import Beside
from dbshuf.sink.formats.column_file import Group, Groups, gathered, marked
from dbshuf.sink.formats.record_batches import Records, records_of
from dbshuf.sink.output_format import codec_of
from dbshuf.sink.raw_file import ByteOutput
from dbshuf.sink.target import Target
from dbshuf.sink.written_types import Form, shown, stored_in_arrow
from dbshuf.units import MIB

# Of a record batch, the least that a reader takes at a time.
BATCH_BYTES = 4 * MIB
BATCH_ROWS = 1 << 17

_FOOT_BYTES, _BLOCK_BYTES = 40, 24  # of a file's footer; of the place of a batch in it


class ArrowEncoder:
    """One file of record batches, each a group of one piece."""

    def __init__(self, output: ByteOutput, target: Target) -> None:
        records = records_of(target)
        self._output = output
        self._groups = Groups(
            records.schema,
            group_bytes=BATCH_BYTES,
            group_rows=BATCH_ROWS,
            piece_bytes=BATCH_BYTES,
        )
        self._thread = Beside(depth=1)
        self._writer = _Writer(self._thread, records, target)

    def write(self, window: AnyWindow) -> None:
        for group in self._groups.add(window):
            self._put(self._thread.call(self._writer.write, group))

    def flush(self) -> int:
        if group := self._groups.cut_here():
            self._put(self._thread.call(self._writer.write, group))
        self._put(self._thread.drain())
        return self._writer.foot_bytes

    def finish(self) -> None:
        if group := self._groups.rest():
            self._put(self._thread.call(self._writer.write, group))
        self._put(self._thread.call(self._writer.close))
        self._put(self._thread.rest())
        self._output.finish()

    def abort(self) -> None:
        with contextlib.suppress(Exception):
            self._thread.stop()
        self._output.abort()

    def _put(self, made: Iterator[bytes]) -> None:
        for part in made:
            self._output.write(part)


class _Writer:
    """pyarrow's writer of IPC files, one record batch a call."""

    def __init__(self, thread: Beside, records: Records, target: Target) -> None:
        name, level = codec_of("arrow", target.compression)
        codec = None if name == "none" else pa.Codec(name, level)
        self._records = records
        seen = records.schema if target.written is None else shown(target.written)
        seen = seen.with_metadata(marked(records.schema, target))
        self._form = Form(stored_in_arrow(seen))
        self._schema = self._form.schema
        options = pa.ipc.IpcWriteOptions(compression=codec, emit_dictionary_deltas=True)
        self._batches = 0
        self._file = pa.ipc.new_file(pa.PythonFile(thread, "w"), self._schema, options=options)

    def write(self, group: Group) -> None:
        for part in gathered(group, self._records):
            batch = pa.concat_batches([part])  # without what its neighbours in a window need
            columns = [tidy(column) for column in batch.columns]
            tidied = pa.RecordBatch.from_arrays(columns, schema=self._records.schema)
            self._file.write_batch(self._form.of(tidied))
            self._batches += 1

    @property
    def foot_bytes(self) -> int:
        """What `close` writes: about the schema once more, and where each batch lies."""
        return int(self._schema.serialize().size) + _FOOT_BYTES + _BLOCK_BYTES * self._batches

    def close(self) -> None:
        self._file.close()


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
        return pa.StructArray.from_arrays(fields, fields=list(kind), mask=mask)
    if pa.types.is_fixed_size_list(kind):
        within = values.values.slice(values.offset * kind.list_size, len(values) * kind.list_size)
        return pa.FixedSizeListArray.from_arrays(tidy(within), type=kind, mask=mask)
    if pa.types.is_map(kind):
        entries = values.cast(pa.list_(pa.struct([kind.key_field, kind.item_field])))
        keys, items = map(tidy, entries.flatten().flatten())
        return pa.MapArray.from_arrays(_bounds(entries), keys, items, type=kind, mask=mask)
    wide = pa.types.is_large_list(kind)
    if not (wide or pa.types.is_list(kind)):
        return values
    lists = pa.LargeListArray if wide else pa.ListArray
    return lists.from_arrays(_bounds(values), tidy(values.flatten()), type=kind, mask=mask)


def _bounds(lists: pa.Array) -> pa.Array:
    """The places of the lists in their flattened values, from 0."""
    wide = pa.types.is_large_list(lists.type)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    bounds = np.zeros(len(lists) + 1, np.int64 if wide else np.int32)
    np.cumsum(lengths, out=bounds[1:])
    return pa.array(bounds)
