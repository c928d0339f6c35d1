"""The user's SQL bound to the relation `lines`: what it reads, and what it gives."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from dbshuf.base.messages import printable
from dbshuf.base.nested_types import fields_of
from dbshuf.base.statements import Filled, filled, identifier, view_columns
from dbshuf.errors import QueryInvalid
from dbshuf.query.fence import NOTHING, RELATION, Allowed, close_fence, connect
from dbshuf.query.parse import ENGINE_ERRORS, Node, SqlText, walk
from dbshuf.query.relation import place_names
from dbshuf.query.result_types import Result, check_type

FEED = "chunk"  # the relation that `lines` is a view of
NO_FEED = "(SELECT 1)"  # a row of none of its columns, in the place of the feed
SCAN = "PYTHON_ARROW_SCAN"
_OF_A_ROW = {"COLUMN_REF", "STAR"}  # nodes of a text whose value may differ from row to row
# A list of many constants is looked up as a join with them: it keeps rows and their order.
_ROW_LOCAL = {"PROJECTION", "FILTER", "EMPTY_RESULT", "DUMMY_SCAN", "HASH_JOIN", "COLUMN_DATA_SCAN"}


@dataclass(frozen=True)
class Bound:
    """What a query reads and gives.

    columns   of `lines` that it reads
    scans     how often it reads them; more than one where it does so again and again
    operators of its plan
    """

    columns: frozenset[str]
    scans: int
    operators: frozenset[str]


class Binder:
    """A database without rows, in which `lines` has its columns; close it after use.

    types  column -> SQL type of `lines`
    place  the columns that only tell a row's place
    shown  those of them that `lines` has
    """

    def __init__(
        self, relation: pa.Schema, allowed: Allowed = NOTHING, *, option: str, macros: str = ""
    ) -> None:
        """Make `lines` of `relation`. Raises QueryInvalid for names that SQL takes for one."""
        _check_names(relation, option)
        self.columns = relation.names
        self.connection = connect(threads=2, macros=macros)
        self.unusable: list[str] = []
        try:
            self.types = self._types(relation)
            close_fence(self.connection, allowed)
            self.place = self.shown = place_names(relation) & self.types.keys()
            names = feed_names(relation, self.types)
            self._register(pa.schema([relation.field(name) for name in names]))
            make_view(self.connection, self.types, self.types.keys())
        except BaseException:
            self.connection.close()
            raise

    def __enter__(self) -> "Binder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()

    def show(self, place: Collection[str]) -> None:
        """Let `lines` have these columns of a row's place, and no others.

        Rows without columns of their own, as of JSON lines without a key, keep all of them: SQL
        has no table without a column.
        """
        is_bare = self.types.keys() <= self.place
        self.shown = self.place if is_bare else self.place & set(place)
        hidden = self.place - self.shown
        self.types = {name: kind for name, kind in self.types.items() if name not in hidden}
        make_view(self.connection, self.types, self.types.keys())

    def bind(self, sql: SqlText, query: Filled, part: str) -> Bound:
        """Bind a query, in which the user's text is `part`. Raises QueryInvalid."""
        explain = filled("duckdb", "query_explain", query=query.text)
        start = explain.starts["query"] + query.starts[part]
        try:
            rows = self.connection.execute(explain.text).fetchall()
        except ENGINE_ERRORS as error:
            failed = sql.failed(error, start)
            for name in self.unusable:
                if f'column "{name.split("`")[1]}" not found' in failed.message:
                    raise sql.invalid(
                        f"SQL has no type for the column {name} of the input",
                        hint="leave it out, or write the input with another type in its place",
                    ) from None
            raise failed from None
        return self._planned(json.loads(rows[0][1]))

    def constant(self, sql: SqlText, query: Filled, part: str, tree: object) -> list[Any]:
        """Return the one value of a bound query whose text names no column; empty if it does.

        tree    of the text
        Raises  QueryInvalid where it fails, as it would in every row
        """
        if _is_of_a_row(tree):
            return []
        return self._values(sql, query, query.starts[part])

    def check_constants(self, sql: SqlText, query: Filled, part: str, tree: list[Node]) -> None:
        """Raise QueryInvalid for an item of a bound list that fails in every row.

        tree    of the items
        """
        columns = len(self.connection.sql(query.text).columns)
        constant = _constant_columns(tree, columns)
        if not constant:
            return
        names = [identifier(f"item {place}") for place in range(columns)]
        some = filled(
            "duckdb",
            "row_items",
            items=", ".join(names[place] for place in constant),
            query=query.text,
            names=", ".join(names),
        )
        self._values(sql, some, some.starts["query"] + query.starts[part])

    def _values(self, sql: SqlText, query: Filled, start: int) -> list[Any]:
        """Return the values of a query, of which the user's text begins at `start`."""
        make_view(self.connection, self.types, (), feed=NO_FEED)
        try:
            return [row[0] for row in self.connection.execute(query.text).fetchall()]
        except duckdb.OutOfMemoryException:  # a run may have more
            return []
        except ENGINE_ERRORS as error:
            raise sql.failed(error, start) from None
        finally:
            make_view(self.connection, self.types, self.types.keys())

    def result(self, sql: SqlText, query: str, tree: object) -> Result:
        """Return the columns of a query that has been bound. Raises QueryInvalid."""
        try:
            relation = self.connection.sql(query)
            schema = relation.limit(0).to_arrow_table().schema
        except (*ENGINE_ERRORS, pa.ArrowException) as error:
            raise sql.failed(error, 0) from None
        kinds = dict(zip(relation.columns, relation.types, strict=True))
        if len(kinds) < len(relation.columns):
            names = list(relation.columns)
            twice = next(name for name in names if names.count(name) > 1)
            raise sql.invalid(
                f"the result has two columns `{twice}`",
                hint="give one another name with AS, or leave it out with * EXCLUDE",
            )
        if self.unusable and any(node.get("class") == "STAR" for node in walk(tree)):
            raise sql.invalid(
                f"SQL has no type for the column{'s' * (len(self.unusable) > 1)} "
                f"{', '.join(self.unusable)} of the input",
                hint="name the other columns one by one",
            )
        for name, kind in kinds.items():
            check_type(sql, name, kind, kind)
        wide = [name for name, kind in kinds.items() if kind.id == "hugeint"]
        return Result(schema.remove_metadata(), tuple(wide), {n: str(k) for n, k in kinds.items()})

    def _types(self, relation: pa.Schema) -> dict[str, str]:
        """Column -> SQL type, of those that DuckDB has a type for."""
        try:
            kinds = (
                [] if any(_has_twins(one.type) for one in relation) else self._register(relation)
            )
        except duckdb.Error:
            kinds = []
        if not kinds:
            for field in relation:
                if _has_twins(field.type):  # what Arrow brings in, no text of a type can say
                    self.unusable.append(f"`{field.name}` ({field.type})")
                    continue
                try:
                    kinds += self._register(pa.schema([field]))
                except duckdb.Error:
                    self.unusable.append(f"`{field.name}` ({field.type})")
        return {column: str(kind) for column, kind in kinds}

    def _register(self, schema: pa.Schema) -> list[tuple[str, Any]]:
        """Make the feed, without rows; return its columns and their types."""
        if not len(schema):
            return []
        empty: Iterator[pa.RecordBatch] = iter(())
        self.connection.register(FEED, pa.RecordBatchReader.from_batches(schema, empty))
        feed = self.connection.table(FEED)
        return list(zip(schema.names, feed.types, strict=True))

    def _planned(self, plan: list[Node]) -> Bound:
        columns: set[str] = set()
        operators: set[str] = set()
        scans = 0
        for node, is_repeated in _operators(plan, False):
            operators.add(node["name"].strip())
            if node["name"].strip() == SCAN:
                info = node.get("extra_info", {})
                read = info.get("Projections", [])
                names = {read} if isinstance(read, str) else set(read)
                # a name that a plan shows otherwise than it is: read everything
                known = names <= self.types.keys() and not any("Filter" in key for key in info)
                columns |= names if known else set(self.types)
                scans += 2 if is_repeated else 1
        return Bound(frozenset(columns), scans, frozenset(operators))


def _is_of_a_row(tree: object) -> bool:
    """Whether what a text says may differ from row to row."""
    return any(node.get("class") in _OF_A_ROW for node in walk(tree))


def _constant_columns(tree: list[Node], columns: int) -> list[int]:
    """Return the places of columns that are one value in every row, as far as they are known.

    A star is any number of columns, so places are known before the first and behind the last.
    """
    is_star = [any(node.get("class") == "STAR" for node in walk(item)) for item in tree]
    found = []
    for place, item in enumerate(tree):
        if _is_of_a_row(item):
            continue
        if not any(is_star[:place]):
            found.append(place)
        elif not any(is_star[place:]):
            found.append(columns - len(tree) + place)
    return found if any(is_star) or columns == len(tree) else []


def _operators(nodes: list[Node], is_repeated: bool) -> Iterator[tuple[Node, bool]]:
    """Yield the operators of a plan, and whether each is run again and again."""
    for node in nodes:
        inner = is_repeated or node["name"].startswith("REC")
        yield node, inner
        yield from _operators(node.get("children", []), inner)


def check_plan(sql: SqlText, bound: Bound) -> None:
    """Raise QueryInvalid unless a plan takes row by row: what the parse did not show."""
    other = bound.operators - _ROW_LOCAL - {SCAN}
    if other:
        raise sql.invalid(
            f"this is not decided by one row alone: DuckDB plans {', '.join(sorted(other))}",
            hint="run it over all rows with --sql",
        )


def make_view(
    connection: duckdb.DuckDBPyConnection,
    types: Mapping[str, str],
    present: Any,
    *,
    feed: str = FEED,
    hidden: str = "",
) -> None:
    """Make `lines` over what is registered: all its columns, of which `present` are read."""
    columns = view_columns(types, present)
    if hidden:
        columns = f"{columns}, {identifier(hidden)}" if columns else identifier(hidden)
    connection.execute(filled("duckdb", "query_view", columns=columns, feed=feed).text)


def feed_names(relation: pa.Schema, columns: Any) -> list[str]:
    """Return the columns to feed, narrow ones first: DuckDB takes the first to count rows."""
    named = [field for field in relation if field.name in columns]
    return [field.name for field in sorted(named, key=lambda field: not _is_narrow(field.type))]


def _has_twins(kind: pa.DataType) -> bool:
    """Whether a struct of a type has two fields that SQL takes for one."""
    if isinstance(kind, pa.BaseExtensionType) or not pa.types.is_nested(kind):
        return False
    fields = fields_of(kind)
    is_twin = pa.types.is_struct(kind) and len({f.name.lower() for f in fields}) < len(fields)
    return is_twin or any(_has_twins(field.type) for field in fields)


def _is_narrow(kind: pa.DataType) -> bool:
    return pa.types.is_primitive(kind) and not pa.types.is_null(kind)


def _check_names(relation: pa.Schema, option: str) -> None:
    seen: dict[str, str] = {}
    for name in relation.names:
        if not name:
            raise QueryInvalid(
                f"{option}: a column of the input has no name",
                hint="name it in the input, or shuffle without SQL",
            )
        if "\0" in name:  # an identifier ends there
            raise QueryInvalid(
                f"{option}: SQL has no name for the column `{printable(name)}` of the input,"
                " which holds NUL",
                hint="rename it in the input, or shuffle without SQL",
            )
        other = seen.setdefault(name.lower(), name)
        if other is not name:
            raise QueryInvalid(
                f"{option}: SQL takes the columns `{other}` and `{name}` of the input for one",
                hint="rename one in the input, or shuffle without SQL",
            )


assert RELATION == "lines"  # as sql/duckdb/*.sql name it
