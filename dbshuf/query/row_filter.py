"""--where and --select: row-local SQL, chunk by chunk, by several workers at once."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.bounds import Comparison
from dbshuf.base.row_batch import I64, arrow_numbers
from dbshuf.base.statements import filled, identifier
from dbshuf.errors import QueryInvalid
from dbshuf.query.binding import Binder, check_plan
from dbshuf.query.column_origins import passed_columns
from dbshuf.query.comparisons import comparisons_of
from dbshuf.query.evaluator import (
    ChunkDatabase,
    ChunkRunner,
    ChunkStep,
    Place,
    Spare,
    check_wide,
    row_column,
)
from dbshuf.query.fence import RELATION, macros_for
from dbshuf.query.functions import check_fence, check_row_local
from dbshuf.query.json_rows import TEXTS, JsonRows, decoded, object_texts, without_marks
from dbshuf.query.overloads import check_overloads
from dbshuf.query.parse import Node, SqlText, parse, place_in, walk, without_places
from dbshuf.query.result_types import Result
from dbshuf.query.star_columns import own_stars
from dbshuf.units import MIB

# DuckDB's limit, of all workers together: rows are read where they are, without a copy, and
# nothing is spilled.
EVALUATION_BYTES = 64 * MIB
PREFIX = "SELECT "
# Types that DuckDB binds as a condition, and fails to cast in every row (2.0.1); times are others.
_NO_TRUTH = {"struct", "list", "array", "map", "union", "blob", "uuid", "interval", "date"}
_PLAIN = {"type", "cte_map", "select_list", "from_table", "aggregate_handling"}


class RowQuery:
    """Which rows are kept, and what of them; checked before any work.

    columns  of `lines` that the caller makes; it may make more
    schema   of the result's rows; None where rows stay as they are
    passed   with --select, column of the result -> the columns whose values it has as they are
    comparisons  of columns with constants, which are true for every row that is kept
    """

    comparisons: tuple[Comparison, ...] = ()
    _wide: tuple[str, ...] = ()

    def __init__(
        self,
        where: str | None,
        select: str | None,
        relation: pa.Schema,
        *,
        json_structure: str | None = None,
        keeps_json: bool = False,
        seed: str | None = None,
        also: str | None = None,
    ) -> None:
        """Parse, bind and check.

        where, select   the texts of --where and --select
        relation        the columns that `lines` has: of lines, or of a table's rows
        json_structure  of infer_json_structure, where each line is a row; SQL then sees the
                        keys as columns, and source, position and id
        keeps_json      whether rows of JSON lines are the texts of their objects, as TEXTS;
                        without `where` their types do not matter
        seed            of the run, for shuffle_key(id)
        also            the text of a --mix: a condition that is to be true as well
        Raises          QueryInvalid, with the place in the text
        """
        named: dict[str, Any] = {"json_structure": json_structure, "keeps_json": keeps_json}
        self._again = partial(RowQuery, where, select, relation, seed=seed, also=also, **named)
        conditions = (("--where", where), ("--mix", also))
        wheres = [(option, text) for option, text in conditions if text is not None]
        if keeps_json and not wheres:
            json_structure = "{}"
        self._json = None if json_structure is None else JsonRows(json_structure)
        seen = relation if self._json is None else self._json.relation
        macros = macros_for((where, also, select), seed)
        self._database = ChunkDatabase(EVALUATION_BYTES, macros)
        self._steps: list[ChunkStep] = []
        self.passed: dict[str, frozenset[str]] = {}
        self.schema: pa.Schema | None = self.of_json
        self._bind(wheres, select, seen, macros)
        self._note_read(seen.names, makes_columns=select is None and not keeps_json)
        self._text = _text_column(seen.names) if keeps_json else None
        self.schema = TEXTS if keeps_json else self.schema

    @property
    def of_json(self) -> pa.Schema | None:
        """The columns of JSON lines, before --select; None: other rows are read."""
        return None if self._json is None else self._json.schema

    def __reduce__(self) -> Any:
        """What another process makes it of: texts and columns, since no engine can be sent."""
        return self._again, ()

    def _bind(
        self,
        wheres: list[tuple[str, str]],
        select: str | None,
        relation: pa.Schema,
        macros: str,
    ) -> None:
        if not wheres and select is None:
            return
        first = wheres[0][0] if wheres else "--select"
        with Binder(relation, option=first, macros=macros) as binder:
            for option, where in wheres:
                step, condition = _where_step(option, where, binder)
                self._steps.append(step)
                if self._json is None:
                    self.comparisons += comparisons_of(condition, relation)
            if select is not None:
                step, result, items = _select_step(select, binder)
                self._steps.append(step)
                names = result.schema.names
                self.passed = passed_columns(items, binder.columns, binder.place, names)
                self.schema, self._wide = result.schema, result.wide

    def _note_read(self, names: Sequence[str], *, makes_columns: bool) -> None:
        """Keep which columns of `names` are read, and which of `lines` these are made of.

        makes_columns  whether those of JSON lines are the rows, where there are such
        """
        read = {name for step in self._steps for name in step.columns}
        if makes_columns and self._json is not None:
            read |= set(self._json.schema.names)
        self._read = [name for name in names if name in read]
        self.columns = frozenset(read)
        if self._json is not None:
            self.columns = frozenset({"line", *(read & self._json.place)})

    def has_spare(self, spare: Spare) -> None:
        """Let a row that needs much memory have it."""
        self._database.spare = spare

    def evaluator(self) -> "RowEvaluator":
        """Return what evaluates this in one thread; close it after use."""
        is_decoded = self._json is not None and bool(self._steps or self._text is None)
        first = [self._json.step(self._read)] if self._json is not None and is_decoded else []
        runners = [ChunkRunner(self._database, step) for step in (*first, *self._steps)]
        return RowEvaluator(
            runners, self._read, self.schema, self._wide, is_json=is_decoded, text=self._text
        )


class RowEvaluator:
    """A RowQuery in one thread, which does all the work itself."""

    def __init__(
        self,
        runners: list[ChunkRunner],
        read: list[str],
        schema: pa.Schema | None,
        wide: Collection[str],
        *,
        is_json: bool,
        text: str | None,
    ) -> None:
        """Take over `runners`: the JSON step if `is_json`, --where and --select if any.

        text  the name under which texts of JSON objects go through the steps
        """
        self._runners, self._read, self._schema = runners, read, schema
        self._wide, self._is_json, self._text = wide, is_json, text
        self._result = [text] if text is not None else schema.names if schema is not None else []

    def run(self, relation: pa.RecordBatch, place: Place) -> tuple[I64, pa.RecordBatch | None]:
        """Keep rows of one chunk.

        relation  pyarrow RecordBatch, shape (rows,), with the query's columns in any order
        place     row number -> its place, for messages
        Returns   int64, ascending: the rows that are kept; and their result, of the query's
                  schema, in that order, or None where rows stay as they are
        Raises    QueryFailed, with the place of the first row that fails
        """
        kept, batch = np.arange(relation.num_rows, dtype=np.int64), relation
        if self._is_json or self._text is not None:
            batch = without_marks(batch)
        if self._text is not None:
            texts = object_texts(batch.column("line"))
            batch = batch.append_column(self._text, texts)
            if not self._is_json:
                kept = np.flatnonzero(pc.binary_length(texts).to_numpy())
                batch = _taken(batch, kept, [self._text])
        for number, runner in enumerate(self._runners):
            here = _placed(place, kept)
            if self._is_json and number == 0:
                rows, batch = decoded(
                    runner, batch, [*self._read, *([self._text] if self._text else [])], here
                )
                kept = kept[rows]
            elif runner.step.shows_row:
                rows = runner.run(batch, here).column(0).to_numpy().astype(np.int64)
                later = [one.step for one in self._runners[number + 1 :]]
                if (later or self._schema is not None) and len(rows) < len(kept):
                    batch = _taken(batch, rows, self._wanted(later))
                kept = kept[rows]
            else:
                batch = runner.run(batch, here)
                check_wide(batch, self._wide, runner.step.option, here)
        if self._schema is None:
            return kept, None
        if not len(self._schema):  # JSON objects without keys
            return kept, batch.select([])
        columns = [batch.column(name) for name in self._result]
        return kept, pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _wanted(self, later: list[ChunkStep]) -> set[str]:
        """Return the columns that later steps read, or the result has of rows that stay."""
        names: set[str] = set()
        for step in later:
            names |= set(step.columns)
            if not step.shows_row:
                return names
        return names | set(self._result)

    def close(self) -> None:
        """Give the connections back; harmless when repeated."""
        for runner in self._runners:
            runner.close()


def _placed(place: Place, kept: I64) -> Place:
    return lambda row: place(int(kept[row]) if len(kept) else 0)


def _taken(batch: pa.RecordBatch, rows: I64, names: Collection[str]) -> pa.RecordBatch:
    """Return some rows and columns; without columns, only as many rows."""
    batch = batch.select([name for name in batch.schema.names if name in names])
    return batch.take(arrow_numbers(rows)) if batch.num_columns else batch.slice(0, len(rows))


def _text_column(names: Collection[str]) -> str:
    """Return a name for the column of texts, beside that of row numbers."""
    return row_column([*names, row_column(names)])


def _where_step(option: str, text: str, binder: Binder) -> tuple[ChunkStep, Node]:
    sql, row = SqlText(option, text, binder.columns), row_column(binder.columns)
    tree = expressions(binder.connection, sql)
    condition = single(sql, tree)
    for node in walk(tree):
        if node.get("class") == "STAR" or node.get("column_names") == [RELATION]:
            message = "a condition cannot take all columns at once: name them"
            raise sql.invalid(message, place_in(node, len(PREFIX)))
    query = filled("duckdb", "row_where", where=text, row=identifier(row))
    check_complete(binder.connection, sql, query.text, "where_clause", condition)
    shape = filled("duckdb", "row_where", where=text, row="1")
    bound = binder.bind(sql, shape, "where")
    check_plan(sql, bound)
    check_overloads(binder, sql, shape.text, tree, len(PREFIX))
    _check_condition(binder, sql)
    binder.constant(sql, shape, "where", tree)
    step = ChunkStep(sql.option, query.text, bound.columns, binder.types, row, shows_row=True)
    return step, condition


def _check_condition(binder: Binder, sql: SqlText) -> None:
    """Raise QueryInvalid for a value that is never true or false: DuckDB says so of each row."""
    query = filled("duckdb", "row_value", expression=sql.text)
    kind = binder.connection.sql(query.text).types[0]
    if kind.id in _NO_TRUTH or kind.id.startswith("time"):
        raise sql.invalid(
            f"a condition is true or false, and this is {kind}",
            hint='compare it with something, as in --where "bytes > 20"',
        )


def _select_step(text: str, binder: Binder) -> tuple[ChunkStep, Result, list[Node]]:
    sql, row = SqlText("--select", text, binder.columns), row_column(binder.columns)
    tree = expressions(binder.connection, sql)
    query = filled("duckdb", "row_select", select=text)
    check_complete(binder.connection, sql, query.text, "select_list", tree)
    written = sql
    sql, query = own_stars(binder, sql, query, "select")
    bound = binder.bind(sql, query, "select")
    check_plan(sql, bound)
    check_overloads(binder, written, query.text, tree, len(PREFIX))
    binder.check_constants(sql, query, "select", tree)
    result = binder.result(sql, query.text, tree)
    return ChunkStep(sql.option, query.text, bound.columns, binder.types, row), result, tree


def expressions(connection: duckdb.DuckDBPyConnection, sql: SqlText) -> list[Node]:
    """Return the expressions that a text is. Raises QueryInvalid unless row-local."""
    if not sql.text.strip():
        raise sql.invalid("the text is empty")
    statements = parse(connection, sql, PREFIX)
    node = statements[0]["node"]
    is_plain = node["type"] == "SELECT_NODE" and set(node) <= _PLAIN and not node.get("cte_map")
    if len(statements) > 1 or not is_plain or node["from_table"]["type"] != "EMPTY":
        raise sql.invalid(
            "takes expressions only: no FROM, WHERE, ORDER BY, UNION and the like",
            hint="a whole SELECT is run over all rows with --sql",
        )
    found: list[Node] = node["select_list"]
    check_row_local(connection, sql, found, len(PREFIX))
    check_fence(connection, sql, found, len(PREFIX))
    return found


def single(sql: SqlText, tree: list[Node]) -> Node:
    """Return the one expression that a text must be. Raises QueryInvalid."""
    if len(tree) > 1:
        raise sql.invalid("takes one expression", place_in(tree[1], len(PREFIX)))
    if "alias" in tree[0]:
        raise sql.invalid("takes an expression without a name for it")
    return tree[0]


def check_complete(
    connection: duckdb.DuckDBPyConnection, sql: SqlText, query: str, clause: str, tree: object
) -> None:
    """Raise QueryInvalid unless a text is in its query what it is by itself."""
    try:
        statements = parse(connection, replace(sql, text=query))
        found = statements[0]["node"].get(clause) if len(statements) == 1 else None
    except QueryInvalid:
        found = None
    if without_places(found) != without_places(tree):
        raise sql.invalid("must be complete by itself, and without `;`")
