"""The relation `lines` that SQL sees, made from what was read; only the columns it names."""

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.key import POSITION_BITS, POSITION_LIMIT, U64
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch, arrow_numbers
from dbshuf.base.window import Bounds, Window
from dbshuf.errors import NotUtf8, UsageError
from dbshuf.source.input import Input

_MARK = {b"dbshuf": b"place"}
_PLACE = [("source", pa.string()), ("position", pa.uint64()), ("id", pa.uint64())]

LINES = pa.schema(
    [
        ("line", pa.string()),
        ("raw", pa.binary()),
        *_PLACE,
        ("bytes", pa.uint64()),
        ("line_number", pa.uint64()),
    ]
)


def with_place(schema: pa.Schema) -> pa.Schema:
    """Return the columns of rows, and those of their place that no column hides."""
    taken = {name.lower() for name in schema.names}
    for name, kind in _PLACE:
        if name not in taken:
            schema = schema.append(pa.field(name, kind, metadata=_MARK))
    return schema


def place_names(schema: pa.Schema) -> frozenset[str]:
    """Return the columns that `with_place` added."""
    marked = (field for field in schema if field.metadata == _MARK)
    return frozenset(field.name for field in marked)


class LineRelation:
    """Lines as rows of `lines`.

    columns  the names of LINES to make
    strict   whether a line that is no UTF-8 is an error where `line` is made; otherwise its
             bad bytes show as U+FFFD there, and `raw` and the row itself keep them
    owns     whether the rows own their bytes; else one that is alone may share its line's
    counts_lines  whether lines are counted, from the first one on, so that one worker reads them
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        columns: frozenset[str],
        *,
        strict: bool,
        owns: bool = True,
    ) -> None:
        self._inputs, self._columns, self._strict, self._owns = inputs, columns, strict, owns
        self.counts_lines = "line_number" in columns
        self._counted: dict[int, int] = {}  # lines so far of each input, for line_number

    def of(self, batch: LineBatch) -> pa.RecordBatch:
        """Return the lines of a batch as rows. Raises NotUtf8."""
        return self.of_lines(batch.lines(), batch.offsets, batch.ids())

    def of_lines(self, lines: pa.Array, bounds: Bounds, ids: U64) -> pa.RecordBatch:
        """Return lines with terminators, which begin and end at `bounds`, as rows."""
        made: dict[str, pa.Array] = {}
        for name in LINES.names:
            if name not in self._columns:
                continue
            if name in ("line", "raw"):
                raw = self._ended_before(lines)
                made[name] = raw if name == "raw" else self._text(raw, ids)
            elif name == "bytes":
                made[name] = pa.array(np.diff(bounds).astype(np.uint64) - np.uint64(1))
            elif name == "line_number":
                made[name] = pa.array(self._numbers(ids))
            else:
                made[name] = place_column(name, ids, self._inputs)
        if not made:  # Arrow batches without a column have no length
            made["id"] = arrow_numbers(ids)
        return pa.RecordBatch.from_pydict(made)

    def _ended_before(self, lines: pa.Array) -> pa.Array:
        """Return lines without their terminators."""
        if self._owns or len(lines) > 1:
            return pc.binary_slice(lines, 0, -1)
        begin, end = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset :][:2].tolist()
        bounds = pa.py_buffer(np.array([begin, end - 1], np.int32))
        return pa.Array.from_buffers(lines.type, 1, [None, bounds, lines.buffers()[2]])

    def _text(self, raw: pa.Array, ids: U64) -> pa.Array:
        text = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers(), offset=raw.offset)
        try:
            text.validate(full=True)
        except pa.ArrowInvalid:
            return self._replaced(raw, ids)
        return text

    def _replaced(self, raw: pa.Array, ids: U64) -> pa.Array:
        lines = raw.to_pylist()
        for row, line in enumerate(lines if self._strict else ()):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise NotUtf8(
                    f"{place_of(int(ids[row]), self._inputs)}: byte {error.start} of the line is"
                    " no UTF-8, and `line` is VARCHAR",
                    hint="use `raw`, the line as BLOB; or --binary, and bad bytes of `line` show"
                    " as U+FFFD",
                ) from None
        return pa.array([line.decode("utf-8", "replace") for line in lines], pa.string())

    def _numbers(self, ids: U64) -> U64:
        """Line numbers from 1; needs the lines of each input in order, hence one worker."""
        numbers = np.empty(len(ids), np.uint64)
        ordinals = ids >> np.uint64(POSITION_BITS)
        for ordinal in np.unique(ordinals).tolist():
            rows = np.flatnonzero(ordinals == ordinal)
            before = self._counted.get(ordinal, 0)
            numbers[rows] = np.arange(before + 1, before + 1 + len(rows), dtype=np.uint64)
            self._counted[ordinal] = before + len(rows)
        return numbers


def with_sides(sides: int) -> pa.Schema:
    """Return the columns of lines, and the lines of so many other sides as paired_1, ..."""
    others = [pa.field(f"paired_{number}", pa.string()) for number in range(1, sides)]
    return pa.schema([*LINES, *others])


class PairedRelation(LineRelation):
    """Rows of a column for each side, whose lines end with terminators, as rows of `lines`.

    `line` and what else LINES has are of the first side, `paired_1` and so on of the others.
    """

    def of_rows(self, rows: RowBatch) -> pa.RecordBatch:
        """Return the columns that are named; bad bytes show as U+FFFD."""
        lines, *others = rows.batch.columns
        bounds = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset :][: len(lines) + 1]
        made = self.of_lines(lines, bounds, rows.ids)
        for number, column in enumerate(others, 1):
            if f"paired_{number}" in self._columns:
                text = self._text(self._ended_before(column), rows.ids)
                made = made.append_column(f"paired_{number}", text)
        return made


class RowRelation:
    """Typed rows as rows of `lines`: their own columns, and their place."""

    def __init__(self, inputs: Sequence[Input], columns: frozenset[str]) -> None:
        self._inputs, self._columns = inputs, columns

    def of(self, rows: RowBatch) -> pa.RecordBatch:
        """Return the columns that are named; nothing is copied."""
        own = [name for name in rows.batch.schema.names if name in self._columns]
        made = {name: rows.batch.column(name) for name in own}
        for name, _ in _PLACE:
            if name in self._columns and name not in rows.batch.schema.names:
                made[name] = place_column(name, rows.ids, self._inputs)
        if not made:
            made["id"] = arrow_numbers(rows.ids)
        return pa.RecordBatch.from_pydict(made)


class AnyRelation:
    """Lines or typed rows as rows of `lines`; bad bytes of lines show as U+FFFD."""

    def __init__(self, inputs: Sequence[Input], columns: frozenset[str]) -> None:
        self._lines = LineRelation(inputs, columns, strict=False)
        self._rows = RowRelation(inputs, columns)

    def of(self, batch: LineBatch | RowBatch) -> tuple[U64, pa.RecordBatch]:
        """Return the ids and the columns of the rows that are left of a batch."""
        if isinstance(batch, RowBatch):
            return batch.ids, self._rows.of(batch)
        ids, relation = batch.ids(), self._lines.of(batch)
        if batch.kept is None:
            return ids, relation
        return ids.take(batch.kept), relation.take(arrow_numbers(batch.kept))

    def of_window(self, window: Window, ids: U64) -> pa.RecordBatch:
        """Return the columns of the rows of a window, whose ids are given."""
        if window.is_lines:
            return self._lines.of_lines(window.lines, window.bounds, ids)
        return self._rows.of(RowBatch(window.batch, ids))


def columns_of(schema: pa.Schema | None) -> pa.Schema:
    """Return the columns of `lines` for rows of a schema, or for lines if it is None."""
    return LINES if schema is None else with_place(schema)


def check_uncounted(
    option: str, columns: Collection[str], schema: pa.Schema | None, where: str
) -> None:
    """Raise UsageError for an expression over lines which asks for numbers not known `where`."""
    if schema is None and "line_number" in columns:
        raise UsageError(
            f"{option}: line_number is not known where {where}",
            hint="use position, the line's byte offset",
        )


def place_column(name: str, ids: U64, inputs: Sequence[Input]) -> pa.Array:
    """Return the column `source`, `position` or `id` of rows."""
    if name == "id":
        return arrow_numbers(ids)
    if name == "position":
        return pa.array(ids & np.uint64(POSITION_LIMIT - 1))
    ordinals, numbers = np.unique(ids >> np.uint64(POSITION_BITS), return_inverse=True)
    names = pa.array([_text_of(inputs[ordinal].name) for ordinal in ordinals.tolist()], pa.string())
    return names.take(arrow_numbers(numbers))


def _text_of(name: str) -> str:
    """A path as text; bytes of it that are no UTF-8 show as U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def place_of(row: int, inputs: Sequence[Input], unit: str = "byte") -> str:
    """Name the place of a row id, for messages."""
    return f"`{inputs[row >> POSITION_BITS].name}` at {unit} {row % POSITION_LIMIT}"
