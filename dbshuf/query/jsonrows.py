"""JSON lines as typed rows, of the types that `jsonshape` found in all of them."""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from dbshuf.query.chunks import ChunkRunner, ChunkStep, Place, row_column
from dbshuf.query.fence import connect
from dbshuf.relation import place_names, with_place
from dbshuf.rows import I64, arrow_numbers
from dbshuf.statements import filled, identifier, quoted

_FROM = "--from json"


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
        self.schema = _schema_of(structure) if self._fields else pa.schema([])
        self.relation = with_place(self.schema)
        self.place = place_names(self.relation)

    def step(self, columns: Iterable[str]) -> ChunkStep:
        """Return the step that makes those of `columns` that are keys of the objects."""
        fields = {name: self._fields[name] for name in self._fields if name in set(columns)}
        row = row_column(self.relation.names)
        structure = quoted(json.dumps(fields or {"-": "JSON"}, ensure_ascii=False))
        query = filled("duckdb", "row_json", structure=structure, row=identifier(row))
        return ChunkStep(_FROM, query.text, ("line",), None, row)


def decoded(
    runner: ChunkRunner, batch: pa.RecordBatch, columns: list[str], place: Place
) -> tuple[I64, pa.RecordBatch]:
    """Return the numbers of the lines that hold an object, and the columns of these.

    columns  keys of the objects, or columns of `batch`
    Raises   QueryFailed, with the place of the first line that holds something else
    """
    found = runner.run(batch, place)
    rows = found.column(0).to_numpy().astype(np.int64)
    values = found.column(1)
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
