"""JSON lines as typed rows, of the types that `json_columns` found in all of them.

Where they leave as JSON lines and no SQL makes other rows of them, a row is the text of
its object: columns do not tell a key that is missing from one that is null.
"""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.row_batch import I64, arrow_numbers
from dbshuf.base.statements import filled, identifier, quoted
from dbshuf.query.evaluator import ChunkRunner, ChunkStep, Place, row_column
from dbshuf.query.fence import connect
from dbshuf.query.json_keys import TWICE, with_last_keys, without_note
from dbshuf.query.json_texts import LeftOut, without_long_texts
from dbshuf.query.relation import place_names, with_place

_FROM = "--from json"
_MARK = "\ufeff"  # a BOM, at the head of files that were made by some editors
TEXTS = pa.schema([("line", pa.string())])  # of rows that are the text of their objects


class JsonRows:
    """The columns of JSON lines, and the step that makes them.

    schema    of the objects, in the order in which their keys first came
    relation  the same, and those of source, position and id that no key hides
    """

    def __init__(self, structure: str) -> None:
        """Take the types of all objects.

        structure  as infer_json_structure gives it
        """
        self._fields: dict[str, Any] = json.loads(structure)
        self._has_twice = self._fields.pop(TWICE, None) is not None
        structure = without_note(structure) if self._has_twice else structure
        self.schema = _schema_of(structure) if self._fields else pa.schema([])
        self.relation = with_place(self.schema)
        self.place = place_names(self.relation)

    def step(self, columns: Iterable[str]) -> ChunkStep:
        """Return the step that makes those of `columns` that are keys of the objects."""
        fields = {name: self._fields[name] for name in self._fields if name in set(columns)}
        row = row_column(self.relation.names)
        structure = quoted(json.dumps(fields or {"-": "JSON"}, ensure_ascii=False))
        query = filled("duckdb", "row_json", structure=structure, row=identifier(row))
        prepared = with_last_keys if self._has_twice else None
        return ChunkStep(
            _FROM, query.text, ("line",), None, row, needs=json_needs, prepared=prepared
        )


def json_needs(row: pa.RecordBatch) -> int:
    """Return the memory (bytes) that is enough to take one line of JSON apart.

    7 bytes a byte of one that is a text, 78 a value of one that is an array of digits
    (lines of 5 and 20 MB, duckdb 2.0.1)
    """
    text = np.frombuffer(row.column("line")[0].as_buffer(), np.uint8)
    return 8 * len(text) + 72 * int(np.count_nonzero(text == ord(",")))


def without_marks(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch in which no `line` begins with a BOM."""
    number = batch.schema.get_field_index("line")
    lines = batch.column(number)
    marked = pc.and_(pc.starts_with(lines, _MARK), pc.greater(pc.binary_length(lines), 3))
    if not pc.any(marked).as_py():
        return batch
    cut = pc.if_else(marked, pc.utf8_slice_codeunits(lines, 1), lines)
    return batch.set_column(number, "line", cut)


def object_texts(lines: pa.Array) -> pa.Array:
    """Return the texts of objects, each on one line: LF can only be between their tokens."""
    texts = pc.ascii_trim(lines, characters=" \t\r\n")
    return pc.replace_substring(texts, "\n", " ")


def decoded(
    runner: ChunkRunner, batch: pa.RecordBatch, columns: list[str], place: Place
) -> tuple[I64, pa.RecordBatch]:
    """Return the numbers of the lines that hold an object, and the columns of these.

    columns  keys of the objects, or columns of `batch`
    Raises   QueryFailed, with the place of the first line that holds something else
    """
    left_out = LeftOut()
    number = batch.schema.get_field_index("line")
    lines = without_long_texts(batch.column(number), left_out)
    found = runner.run(batch.set_column(number, "line", lines), place)
    rows = found.column(0).to_numpy().astype(np.int64)
    values = left_out.put_back(found.column(1))
    keys = dict(zip(values.type.names, values.flatten(), strict=True))
    rest = batch.select([name for name in columns if name not in keys])
    if len(rows) < batch.num_rows:
        rest = rest.take(arrow_numbers(rows)) if rest.num_columns else rest.slice(0, len(rows))
    arrays = [keys[name] if name in keys else rest.column(name) for name in columns]
    if not arrays:  # Arrow batches without a column have no length
        return rows, rest
    return rows, pa.RecordBatch.from_arrays(arrays, names=columns)


@cache
def _schema_of(structure: str) -> pa.Schema:
    """Return the Arrow types of a structure's columns."""
    query = filled("duckdb", "json_columns", structure=quoted(structure))
    with connect() as connection:
        value = connection.sql(query.text).to_arrow_table().schema.field(0)
    return pa.schema(list(value.type))
