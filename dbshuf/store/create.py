"""A new store: what it holds is decided by the first inputs, and never changes."""

import contextlib
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dbshuf.base.filenames import hidden_beside
from dbshuf.base.key import ORDER_VERSION
from dbshuf.base.messages import printable
from dbshuf.base.temporary import claim, remove
from dbshuf.errors import DbshufError, OutputSpaceShort, OutputUnwritable, SchemaMismatch
from dbshuf.options import SAME, Options, terminator_of
from dbshuf.query.json_keys import without_note
from dbshuf.query.json_scan import json_structure
from dbshuf.query.relation import LINES
from dbshuf.source.formats import TEXT_KINDS
from dbshuf.source.head import common_header
from dbshuf.source.input import Input
from dbshuf.source.survey import survey_inputs
from dbshuf.store.engine import StoreEngine
from dbshuf.store.schema import FORMAT, VECTOR_ROWS, StoreInfo
from dbshuf.units import MIB, parse_bytes

if TYPE_CHECKING:
    from dbshuf.query.row_filter import RowQuery

# Rows that DuckDB packs at a time: no more than its own 122,880, which pack best (300 MB of
# 8-byte lines took 0.54 GB in groups of 16,384, of 147-byte lines 0.17 instead of 0.15), but
# few enough to fit in memory by the thread. An input of fewer rows is written twice, first
# to the log, so that groups of 24 kB lines must be small (duckdb 2.0.0).
_GROUP_BYTES = 32 * MIB
_MOST_GROUP_ROWS = 122_880
_SURVEYED_INPUTS = 32


def create_store(
    path: Path, engine: StoreEngine, inputs: Sequence[Input], kind: str, options: Options
) -> StoreInfo:
    """Make an empty store for rows as the first of `inputs` has them; at once, or not at all.

    kind    as `kind_of_inputs` names it
    Raises  SchemaMismatch for columns that a store cannot keep; OutputUnwritable;
            what looking at the inputs raises
    """
    rows = _row_columns(inputs, kind, options)
    row = rows.schema
    if row is None:
        row = pa.schema([("line", pa.binary() if options.binary else pa.string())])
    described = _description(inputs, kind, options, rows)
    group_rows = _group_rows(inputs, kind, options) if engine.packs_vectors else 0
    hidden = claim(hidden_beside(path.absolute()))
    grown = hidden / "store"  # in a folder, as an engine makes files that all may read
    try:
        _make_private(hidden, path)
        places = zip(place_names(rows.schema), (pa.uint64(), pa.string()), strict=True)
        columns = pa.schema([*places, *row])
        engine.create(grown, columns, {**described, "row_group_rows": group_rows})
        _publish(grown, path)
    except DbshufError as error:  # which names what nobody has asked for
        message = error.message.replace(str(grown), str(path))
        if isinstance(error, SchemaMismatch):  # of a column, which is known by its input
            message = f"`{inputs[0].name}`: {message}"
        raise type(error)(message, hint=error.hint) from error
    finally:
        remove(hidden)
    return engine.look(path)


@dataclass(frozen=True)
class _RowColumns:
    """The columns of a row, those that an output is to have, and of JSON lines the structure."""

    schema: pa.Schema | None = None
    written: pa.Schema | None = None
    json_structure: str | None = None


def _row_columns(inputs: Sequence[Input], kind: str, options: Options) -> _RowColumns:
    if kind == "lines":
        return _RowColumns()
    if kind == "json":
        structure = without_note(_structure(inputs, options))
        row = json_rows(structure).schema
        if row is None or not len(row):  # of no line: of lines it was an error already
            raise SchemaMismatch(
                f"`{inputs[0].name}`: there is no object, so a new store would have no columns",
                hint="ingest it with an input that has some",
            )
        return _RowColumns(row, row, structure)
    seen = inputs[:1] if options.schema == SAME else inputs
    return _RowColumns(*_table_schema(seen, kind, options.table, options.schema))


def _structure(inputs: Sequence[Input], options: Options) -> str:
    memory = options.memory
    memory_bytes = None if memory is None else parse_bytes(memory, "--memory")
    return json_structure(inputs, terminator_of(options), memory_bytes=memory_bytes)


def _description(
    inputs: Sequence[Input], kind: str, options: Options, rows: _RowColumns
) -> dict[str, Any]:
    """Return the columns of `store` but the rows of a group."""
    id_column, source_column = place_names(rows.schema)
    header = b""
    if kind == "lines":
        header = common_header(inputs[:1], options.header, terminator_of(options))
    return {
        "format": FORMAT,
        "order_version": ORDER_VERSION,
        "kind": kind,
        "is_binary": options.binary,
        "terminator": terminator_of(options),
        "header_lines": options.header,
        "header": header,
        "id_column": id_column,
        "source_column": source_column,
        "arrow_schema": None if rows.written is None else rows.written.serialize().to_pybytes(),
        "json_structure": rows.json_structure,
    }


def place_names(schema: pa.Schema | None) -> tuple[str, str]:
    """Return the names of the columns for the id and the source of a row.

    SQL takes names that differ in case alone for one. Raises SchemaMismatch if two columns
    of the rows do, or where one holds NUL.
    """
    taken: dict[str, str] = {}
    for name in [] if schema is None else schema.names:
        if "\0" in name:
            raise SchemaMismatch(
                f"SQL has no name for the column `{printable(name)}`, which holds NUL",
                hint="rename it; dbshuf shuffle takes it as it is",
            )
        if name.lower() in taken:
            raise SchemaMismatch(
                f"SQL takes the columns `{taken[name.lower()]}` and `{name}` for one",
                hint="rename one; dbshuf shuffle takes them as they are",
            )
        taken[name.lower()] = name
    found = []
    for name in ("id", "source"):
        free = name if name not in taken else f"dbshuf_{name}"
        while free in taken:
            free += "_"
        found.append(free)
    return found[0], found[1]


def json_rows(structure: str) -> "RowQuery":
    """Return what makes rows of JSON lines."""
    from dbshuf.query.row_filter import RowQuery

    return RowQuery(None, None, LINES, json_structure=structure)


def fits(new: Any, kept: Any) -> bool:
    """Whether every value of a JSON structure is kept whole by columns of another one."""
    if kept in (new, "JSON"):
        return True
    if isinstance(new, dict) and isinstance(kept, dict):
        return all(key in kept and fits(inner, kept[key]) for key, inner in new.items())
    if isinstance(new, list) and isinstance(kept, list):
        return fits(new[0], kept[0])
    return new in ("BIGINT", "UBIGINT") and str(kept).startswith("DECIMAL")


def _table_schema(
    inputs: Sequence[Input], kind: str, table: str | None, schema: str
) -> tuple[pa.Schema, pa.Schema]:
    """Return the columns of inputs, and those that an output is to have."""
    from dbshuf.source.tables.reader import open_tables

    first = [replace(one, ordinal=number) for number, one in enumerate(inputs)]
    with contextlib.closing(
        open_tables(first, kind, batch_bytes=MIB, table=table, schema=schema)
    ) as source:
        if schema != SAME:
            source.check_joined()
        return source.schema, source.written


def _group_rows(inputs: Sequence[Input], kind: str, options: Options) -> int:
    """Return the rows of a group: a multiple of DuckDB's vector."""
    few = inputs if kind in TEXT_KINDS else inputs[:_SURVEYED_INPUTS]
    survey = survey_inputs(
        few,
        kind,
        terminator=terminator_of(options),
        table=options.table,
        schema=options.schema,
    )
    vectors = int(_GROUP_BYTES / survey.mean_line_bytes) // VECTOR_ROWS
    return min(max(vectors, 1) * VECTOR_ROWS, _MOST_GROUP_ROWS)


def _make_private(folder: Path, path: Path) -> None:
    try:
        os.mkdir(folder, 0o700)
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (OutputSpaceShort if is_full else OutputUnwritable)(
            f"cannot make `{path}`: {error.strerror}", hint="name a folder that can be written to"
        ) from error


def _publish(hidden: Path, path: Path) -> None:
    """Give a file its name, unless there is one of that name."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        raise OutputUnwritable(
            f"`{path}` was made by something else just now", hint="run this again"
        ) from None
    except OSError:  # a file system without links
        os.rename(hidden, path)
