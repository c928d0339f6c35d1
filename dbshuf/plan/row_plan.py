"""What rows a run moves: lines or typed rows, and the SQL on their way."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dbshuf.base.process_memory import default_memory_bytes, usable_cores
from dbshuf.errors import UsageError
from dbshuf.options import SAME, Options, terminator_of
from dbshuf.sink import format_of
from dbshuf.source.formats import TEXT_KINDS
from dbshuf.source.input import Input
from dbshuf.units import MIB, parse_bytes

if TYPE_CHECKING:
    import pyarrow as pa

    from dbshuf.query.row_filter import RowQuery
    from dbshuf.query.whole_statement import WholeQuery
    from dbshuf.source.lines.paired import Sides
    from dbshuf.source.tables.reader import TableSource

ROW_QUERY_BYTES = 64 * MIB  # DuckDB's limit while --where and --select run; they keep nothing


@dataclass(frozen=True)
class Shape:
    """The kind of the inputs, and what SQL makes of their rows.

    kind         as `source.formats.kind_of_inputs` names it
    table        of a database
    asked        --schema: what the columns of all inputs are, or these columns
    row_query    --where and --select, and the columns of JSON lines
    whole_query  --sql
    schema       of the rows that are shuffled; None: they are lines
    written      the same columns as an output is to have them; None: as they are
    is_strict    whether SQL may not see a line whose bad bytes are replaced
    keeps_json   whether the rows are the texts of JSON objects, as they came
    parts        of --mix, what SQL makes of the rows of each source; `row_query` is one of them
    own          the columns of the rows of all inputs, of those parts; None: they are lines
    narrow       columns that are read instead of all; None: those that are needed
    is_prefixed  whether an expression sees all rows that are ordered, for their prefixes
    sides        of --paired: then a row is a line of each; None: there are none
    """

    kind: str
    table: str | None
    asked: "str | pa.Schema"
    row_query: "RowQuery | None"
    whole_query: "WholeQuery | None"
    schema: "pa.Schema | None"
    is_strict: bool
    written: "pa.Schema | None" = None
    keeps_json: bool = False
    parts: "tuple[RowQuery | None, ...]" = ()
    own: "pa.Schema | None" = None
    narrow: frozenset[str] | None = None
    is_prefixed: bool = False
    sides: "Sides | None" = None

    @property
    def is_text(self) -> bool:
        """Whether the inputs are read as lines."""
        return self.kind in TEXT_KINDS

    @property
    def columns(self) -> list[dict[str, str]] | None:
        """Name and type of each column of the rows that are shuffled; None: they are lines."""
        if self.schema is None:
            return None
        from dbshuf.base.column_names import own_names

        names = own_names(self.schema if self.written is None else self.written)
        pairs = zip(names, self.schema.types, strict=True)
        return [{"name": name, "type": str(kind)} for name, kind in pairs]

    @property
    def read_columns(self) -> frozenset[str] | None:
        """The columns of the inputs' rows that a query asks for; None: all."""
        if self.narrow is not None:
            return self.narrow
        if self.row_query is not None:
            return None if self.row_query.schema is None else self.row_query.columns
        return None if self.whole_query is None else self.whole_query.columns

    @property
    def has_given_ids(self) -> bool:
        """Whether a query says what the ids of its rows are."""
        return self.whole_query is not None and self.whole_query.has_id

    @property
    def copies(self) -> float:
        """How often a worker holds what it reads at once, at most.

        The text or the decoded columns; what SQL sees of them; its result; the rows
        arranged to be stored.
        """
        if self.whole_query is not None or (self.row_query is not None and self.schema):
            return 4
        if self.schema is not None:  # of a mix some rows are copied
            return 4 if self.parts else 3
        return 1 if self.row_query is None and not self.is_prefixed else 2.5

    @property
    def long_copies(self) -> float:
        """How often a line longer than what a worker reads is held, until it is stored.

        As it was read; what SQL sees of it; its result, whose texts may be parts of that;
        the row as it is stored.
        """
        if self.sides is not None:
            return 2 if self.row_query is None else 4
        if self.row_query is None or self.whole_query is not None:
            return 2 if self.is_prefixed else 1
        return 2 if self.schema is None else 4

    def open_tables(self, inputs: Sequence[Input], batch_bytes: int) -> "TableSource":
        from dbshuf.source.tables.reader import Selection, open_tables

        comparisons = () if self.row_query is None else self.row_query.comparisons
        return open_tables(
            inputs,
            self.kind,
            batch_bytes=batch_bytes,
            table=self.table,
            schema=self.asked,
            selection=Selection(self.read_columns, comparisons=comparisons),
        )


def make_shape(
    options: Options,
    inputs: Sequence[Input],
    kind: str,
    *,
    columns: "pa.Schema | None" = None,
    also: Sequence[str | None] = (),
) -> Shape:
    """Look at the inputs' columns and check the SQL.

    columns  of the typed rows of a store
    also     of --mix, the condition of each source
    Raises  QueryInvalid, SchemaMismatch, UsageError and what reading raises
    """
    if options.sql is not None and (options.where is not None or options.select is not None):
        raise UsageError(
            "--sql excludes --where and --select", hint="put their text into the SQL of --sql"
        )
    if options.allow_files and options.sql is None:
        raise UsageError(
            "--allow-files is for --sql, and there is none",
            hint="leave it out, or name an --sql FILE",
        )
    if columns is not None:
        return _queried(options, inputs, "store", columns)
    if kind == "lines" and not _has_sql(options) and not any(also):
        return Shape(kind, None, SAME, None, None, None, is_strict=False, parts=(None,) * len(also))
    return _queried(options, inputs, kind, also=also)


def _has_sql(options: Options) -> bool:
    return (options.where, options.select, options.sql) != (None, None, None)


def check_sql_early(options: Options) -> None:
    """Check SQL before standard input is waited for, which can only hold lines or CSV.

    Raises  QueryInvalid
    """
    is_piped = not options.inputs or "-" in options.inputs
    if is_piped and _has_sql(options) and options.input_format in (None, "lines"):
        _queried(options, (), "lines")


def _queried(
    options: Options,
    inputs: Sequence[Input],
    kind: str,
    columns: "pa.Schema | None" = None,
    also: Sequence[str | None] = (),
) -> Shape:
    from dbshuf.query.relation import LINES, with_place

    structure, keeps_json, relation, schema, written = None, False, LINES, None, None
    if kind == "json":
        structure, keeps_json = _json(options, inputs, has_filter=any(also))
    elif kind != "lines":
        schema, written = _own_columns(options, inputs, kind, columns)
        relation = with_place(schema)
    own = schema
    by_text = {
        text: _row_query(options, relation, structure, text, keeps_json=keeps_json)
        for text in dict.fromkeys(also or (None,))
    }
    row_query = next((one for text, one in by_text.items() if text), by_text.get(None))
    if row_query is not None:
        marks = None if keeps_json else structure
        schema, written = _of_row_query(row_query, options, schema, written, marks)
    whole_query = _whole_query(options, relation, schema)
    if whole_query is not None:
        schema = whole_query.schema
        written = _narrowed(written, schema, whole_query.passed)
    makes_text = options.select is not None or options.sql is not None or kind == "json"
    return Shape(
        kind=kind,
        table=options.table,
        asked=options.schema,
        row_query=row_query,
        whole_query=whole_query,
        schema=schema if schema is None or schema.names else None,  # of no JSON lines
        is_strict=makes_text and not options.binary,
        written=written,
        keeps_json=keeps_json,
        parts=tuple(by_text[text] for text in also),
        own=own,
    )


def _of_row_query(
    query: "RowQuery",
    options: Options,
    schema: "pa.Schema | None",
    written: "pa.Schema | None",
    structure: str | None,
) -> "tuple[pa.Schema | None, pa.Schema | None]":
    """Return the columns that --where and --select leave, and as an output is to have them.

    structure  of JSON lines whose values are columns
    """
    if structure is not None and _is_to_json(options):
        from dbshuf.base.json_values import marked

        written = marked(query.of_json, structure)
    schema = schema if query.schema is None else query.schema
    if options.select is not None:
        return schema, _narrowed(written, schema, query.passed)
    if written is None:
        return schema, None
    from dbshuf.source.schema.written import filtered

    return schema, filtered(written)


def _json(
    options: Options, inputs: Sequence[Input], *, has_filter: bool = False
) -> tuple[str, bool]:
    """Return the structure of JSON lines, and whether they are written as they are."""
    from dbshuf.query.json_scan import json_structure

    is_as_read = options.select is None and options.sql is None
    named = [options.split_by, options.number, options.per, options.stratify, options.weight]
    named += [options.group, options.spread]
    has_columns = any(one is not None for one in named) or bool(options.partition_by)
    keeps_json = is_as_read and not has_columns and _is_to_json(options)
    structure = json_structure(
        inputs,
        terminator_of(options),
        threads=options.threads or 2,
        needs="objects" if keeps_json else "keys" if is_as_read else "nothing",
        are_columns=not keeps_json or options.where is not None or has_filter,
        memory_bytes=memory_cap(options),
    )
    return structure, keeps_json


def _own_columns(
    options: Options, inputs: Sequence[Input], kind: str, columns: "pa.Schema | None"
) -> "tuple[pa.Schema, pa.Schema]":
    """Return the columns of typed rows, and as an output is to have them.

    columns  of a store
    """
    if columns is None:
        return _table_schema(options, inputs, kind)
    from dbshuf.source.schema.plain import plain_schema

    return plain_schema(columns, "the store"), columns


def _row_query(
    options: Options,
    relation: "pa.Schema",
    structure: str | None,
    also: str | None = None,
    *,
    keeps_json: bool,
) -> "RowQuery | None":
    """Return what --where, --select, a source's condition and the columns of JSON lines ask for."""
    if (options.where, options.select, structure, also) == (None, None, None, None):
        return None
    from dbshuf.query.row_filter import RowQuery

    return RowQuery(
        options.where,
        options.select,
        relation,
        json_structure=structure,
        keeps_json=keeps_json,
        seed=options.seed,
        also=also,
    )


def _whole_query(
    options: Options, relation: "pa.Schema", schema: "pa.Schema | None"
) -> "WholeQuery | None":
    """Return what --sql asks for, of rows of `schema`, or of `relation` as it is."""
    if options.sql is None:
        return None
    from dbshuf.query.relation import with_place
    from dbshuf.query.whole_statement import WholeQuery

    return WholeQuery(
        options.sql,
        relation if schema is None else with_place(schema),
        allow_files=options.allow_files,
        id_is_data=options.is_answer or _has_id(schema),
        seed=options.seed,
        option="query" if options.is_answer else "--sql",
    )


def memory_cap(options: Options) -> int:
    """Return what the process may have (bytes)."""
    if options.memory is None:
        return default_memory_bytes(options.threads or usable_cores())
    return parse_bytes(options.memory, "--memory")


def memory_and_readers(options: Options) -> tuple[int, int]:
    """Return what the process may have (bytes), and how many inputs it has open at once."""
    return memory_cap(options), (options.threads or usable_cores()) + 1


def _is_to_json(options: Options) -> bool:
    path = None if options.output in (None, "-") else Path(str(options.output))
    return format_of(path, options.format, options.compression).startswith("jsonl")


def _has_id(schema: "pa.Schema | None") -> bool:
    """Whether rows have a column of their own that SQL takes for `id`."""
    return schema is not None and any(name.lower() == "id" for name in schema.names)


def _narrowed(
    written: "pa.Schema | None", schema: "pa.Schema | None", passed: Mapping[str, Collection[str]]
) -> "pa.Schema | None":
    """Return what is written of the rows that a query makes.

    passed  column of the result -> the columns whose values it has as they are
    """
    if written is None or schema is None:
        return None
    from dbshuf.base.json_values import passed_on
    from dbshuf.source.schema.written import narrowed

    found = narrowed(written, schema)
    return passed_on(written, found or schema, passed) or found


def _table_schema(
    options: Options, inputs: Sequence[Input], kind: str
) -> "tuple[pa.Schema, pa.Schema]":
    """Return the columns of the inputs, and those that an output is to have."""
    from dbshuf.source.tables.reader import open_tables

    source = open_tables(inputs, kind, batch_bytes=MIB, table=options.table, schema=options.schema)
    try:
        return source.schema, source.written
    finally:
        source.close()
