"""An input with the columns that all inputs have: widened, null, or from its folder."""

import contextlib
import datetime
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from dbshuf.base.bounds import Bounds
from dbshuf.base.column_names import own_names
from dbshuf.errors import SchemaMismatch
from dbshuf.source.input import Input, Key
from dbshuf.source.schema.plain import (
    check_names,
    first_failing,
    narrowest,
    plain_batch,
    plain_schema,
)
from dbshuf.source.schema.union import widened
from dbshuf.source.tables.interface import (
    BatchSize,
    RecordBatches,
    RowRange,
    TableInput,
    first_line,
)

KEY_TYPES = {"BIGINT": pa.int64(), "DATE": pa.date32(), "VARCHAR": pa.string()}


def aligned(table: TableInput, schema: pa.Schema) -> TableInput:
    """Return an input with the columns of `schema`, plain types that hold those of its own."""
    return (
        table
        if plain_schema(table.schema, table.input.name) == schema
        else AlignedInput(table, schema)
    )


def with_keys(table: TableInput) -> TableInput:
    """Return an input with the columns that the folders of its path give beside its own.

    A column of the file stays as it is, and the folder adds none of that name; SQL takes
    names that differ in case alone for one.
    """
    if not table.input.keys:
        return table
    check_names(table.schema, table.input.name)
    own = {name.lower() for name in own_names(table.schema)}
    keys = [key for key in table.input.keys if key.name.lower() not in own]
    if not keys:
        return table
    fields = [pa.field(key.name, KEY_TYPES[key.kind]) for key in keys]
    return AlignedInput(table, pa.schema([*table.schema, *fields]), keys)


def with_kinds_of(source: Input, schema: pa.Schema) -> Input:
    """Return an input whose folders give columns of the types of `schema`, where they fit it."""
    kinds = {kind: name for name, kind in KEY_TYPES.items()}
    keys = []
    for key in source.keys:
        place = schema.get_field_index(key.name)
        kind = None if place < 0 else kinds.get(schema.field(place).type)
        is_fit = kind == "VARCHAR" or key.text is None
        keys.append(replace(key, kind=kind) if kind is not None and is_fit else key)
    return replace(source, keys=tuple(keys))


class AlignedInput:
    """An input with other columns than its own; see interface.TableInput."""

    def __init__(self, table: TableInput, schema: pa.Schema, keys: Sequence[Key] = ()) -> None:
        """Read `table` as `schema`; `keys` are among its columns, others that it lacks are null."""
        self.input, self.schema = table.input, schema
        self.rows, self.least_bytes = table.rows, table.least_bytes
        self.is_steady = table.is_steady
        self._table = table
        self._own = _types(table.schema, self.input.name)
        self._wanted = _types(schema, self.input.name)
        self._keys = {key.name: _scalar(key) for key in keys}

    def row_ranges(self, names: Sequence[str]) -> Iterator[RowRange]:
        own = [name for name in names if name in self._own]
        if not own:  # rows are counted by a column
            plain = pa.schema(list(self._own.items()))
            own = [plain.names[narrowest(plain)]]
        for part in self._table.row_ranges(own):
            read = partial(self._read, part, names)
            bounds_of = partial(self._bounds, part)
            yield RowRange(part.first_row, read, part.rows, bounds_of, part.holds)

    def _bounds(self, part: RowRange, name: str) -> Bounds | None:
        if name in self._keys:
            return _of_one(self._keys[name])
        if name not in self._own:
            return Bounds(None, None) if name in self._wanted else None
        own, wanted = self._own[name], self._wanted[name]
        is_same = own == wanted or (pa.types.is_integer(own) and pa.types.is_integer(wanted))
        return part.bounds_of(name) if is_same else None

    def _read(self, part: RowRange, names: Sequence[str], batch_size: BatchSize) -> RecordBatches:
        row = part.first_row
        with contextlib.closing(part.read(batch_size)) as pieces:
            for found in pieces:
                columns = [self._column(found, name, row) for name in names]
                yield pa.RecordBatch.from_arrays(columns, list(names))
                row += len(found)

    def _column(self, batch: pa.RecordBatch, name: str, row: int) -> pa.Array:
        wanted = self._wanted[name]
        if name in self._keys:
            return pa.repeat(self._keys[name], len(batch))
        if name not in self._own:
            return pa.nulls(len(batch), wanted)
        own = self._own[name]
        if own == wanted and name in batch.schema.names:
            return batch.column(name)  # it is checked, and made plain, by whoever takes it
        plain = plain_batch(batch, pa.schema([(name, own)]), self.input.name, row).column(0)
        try:
            return widened(plain, wanted)
        except pa.ArrowInvalid as error:
            row += first_failing(plain, lambda rows: widened(rows, wanted))
            raise SchemaMismatch(
                f"`{self.input.name}` at row {row}: column `{name}` does not fit {wanted}, the"
                f" type of all inputs: {first_line(error)}",
                hint="rows count from 0; rewrite one of the inputs, or shuffle them apart",
            ) from None

    def stop(self) -> None:
        """Wake whoever reads."""
        self._table.stop()

    def close(self) -> None:
        self._table.close()


def _of_one(value: pa.Scalar) -> Bounds:
    """Return the bounds of a column that has one value."""
    if not value.is_valid:
        return Bounds(None, None)
    plain = value.as_py()
    if isinstance(plain, datetime.date):
        plain = (plain - datetime.date(1970, 1, 1)).days
    found = plain.encode() if isinstance(plain, str) else plain
    return Bounds(found, found)


def _types(schema: pa.Schema, name: str) -> dict[str, Any]:
    plain = plain_schema(schema, name)
    return dict(zip(plain.names, plain.types, strict=True))


def _scalar(key: Key) -> pa.Scalar:
    value: Any = key.text
    if value is not None and key.kind == "BIGINT":
        value = int(value)
    elif value is not None and key.kind == "DATE":
        value = datetime.date.fromisoformat(value)
    return pa.scalar(value, KEY_TYPES[key.kind])
