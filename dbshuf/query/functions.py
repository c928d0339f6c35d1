"""What DuckDB's catalogue says of functions: row-local or not, within the fence or not."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache

import duckdb

from dbshuf.base.statements import statement
from dbshuf.query.function_allowlist import ALLOWED
from dbshuf.query.parse import Node, SqlText, parse, place_in, walk

# Functions that show or change what lies outside the query, run text as SQL, or take raw
# engine memory, with the reason. What is neither here nor in ALLOWED is refused, too.
_FENCED = {
    "current_setting": "it shows a setting",
    "getvariable": "it shows a variable",
    "in_search_path": "it shows a setting",
    "write_log": "it writes",
    "setseed": "it changes the session",
    "setval": "it changes the database",
    "nextval": "it changes the database",
    "currval": "it reads the database",
    "index_key": "it reads the database",
    "json_serialize_plan": "it runs text as SQL",
    "json_serialize_sql": "it takes SQL as text",
    "json_deserialize_sql": "it takes SQL as text",
    "to_aggregate_state": "it takes raw memory",
    "sleep_ms": "it only waits",
}
_FENCED_PREFIX = "__internal"

# Overloads that read the clock whatever the catalogue calls them, by name and number of
# arguments; the one of age for TIMESTAMPTZ looks like one that only reads the time zone.
_CLOCKS = {("current_localtime", 0), ("current_localtimestamp", 0), ("age", 1)}
# Volatile by the catalogue only so that it is not run too early.
_STEADY = {"error"}
# The zone of the session is fixed (query_settings.sql), so what reads only that is steady.
_ZONED = re.compile("TIMESTAMPTZ|TIMESTAMP_TZ|WITH TIME ZONE")
_TABLES = {"table", "table_macro", "pragma"}  # fence.check_tables lets pass what it knows
# Names that mean a function when there is no such column.
_BARE = {
    "current_catalog", "current_date", "current_role", "current_schema", "current_time",
    "current_timestamp", "current_user", "localtime", "localtimestamp", "session_user", "user",
}  # fmt: skip
_UNKNOWN = "it is newer than this dbshuf"
_UNKNOWN_HINT = "only functions that were gone through are allowed: use others, or update dbshuf"
_UNSTEADY = "is not the same in every run, and one seed must give one result"
_KEY_HINT = (
    "shuffle_key(id) is a random number that a seed fixes, 0 to 2^64 - 1; now() and the like"
    " are for --sql"
)
_WAY_OUT = "run it over all rows with --sql"


@dataclass
class Known:
    """One name of the catalogue.

    kinds        scalar, aggregate, macro, ...
    overloads    of a scalar or window function: number of arguments, and whether it gives the
                 same in every run; -1 for one that takes any number
    definitions  of a macro
    """

    kinds: set[str] = field(default_factory=set)
    overloads: set[tuple[int, bool]] = field(default_factory=set)
    definitions: set[str] = field(default_factory=set)

    def is_steady(self, arguments: int) -> bool:
        """Whether what binds to so many arguments gives the same in every run."""
        fitting = {steady for count, steady in self.overloads if count in (-1, arguments)}
        return all(fitting or {steady for _, steady in self.overloads})


@cache
def _catalogue() -> dict[str, Known]:
    found: dict[str, Known] = defaultdict(Known)
    with duckdb.connect() as connection:
        rows = connection.execute(statement("duckdb", "query_functions")).fetchall()
    for name, kind, stability, types, is_open, definition in rows:
        found[name].kinds.add(kind)
        if kind in ("scalar", "window") and stability:
            arguments = len(types) - 1  # the last is that of the result
            steady = _is_steady_overload(name, stability, types)
            found[name].overloads.add((-1 if is_open else arguments, steady))
        if kind == "macro" and definition:
            found[name].definitions.add(definition)
    return dict(found)


def _is_steady_overload(name: str, stability: str, types: list[str]) -> bool:
    """Whether an overload of these types, its result's last, is the same in every run.

    One that is consistent within a query reads something of the session. With arguments, and
    with a type that has a zone, that is the time zone; without, it is the clock or a name.
    """
    if name in _STEADY:
        return True
    if (name, len(types) - 1) in _CLOCKS:
        return False
    if stability == "CONSISTENT_WITHIN_QUERY":
        return len(types) > 1 and any(_ZONED.search(kind) for kind in types)
    return stability == "CONSISTENT"


def called(node: Node, columns: Collection[str] = ()) -> str | None:
    """Return the name of the function that a node calls, in lower case, or None."""
    kind = node.get("class")
    if kind in ("FUNCTION", "WINDOW"):
        return str(node["function_name"]).lower()
    if kind == "COLUMN_REF" and len(node["column_names"]) == 1:
        name = str(node["column_names"][0]).lower()
        if name in _BARE and name not in columns:
            return name
    return None


def check_fence(
    connection: duckdb.DuckDBPyConnection, sql: SqlText, tree: object, start: int
) -> None:
    """Raise QueryInvalid if `tree` calls a function that reaches out of the query."""
    for node in walk(tree):
        name = called(node)
        if name is not None and (reason := _reaching_out(connection, name, frozenset())):
            hint = _UNKNOWN_HINT if reason == _UNKNOWN else ""
            message = f"{name}() is not allowed: {reason}"
            raise sql.invalid(message, place_in(node, start), hint=hint)


def _reaching_out(
    connection: duckdb.DuckDBPyConnection, name: str, seen: frozenset[str]
) -> str | None:
    """Say why a function is fenced off, or None; macros are looked into."""
    if name.startswith(_FENCED_PREFIX):
        return "it is internal to DuckDB"
    if name in _FENCED:
        return _FENCED[name]
    known = _catalogue().get(name)
    if name not in ALLOWED and known is not None and not known.kinds <= _TABLES:
        return _UNKNOWN
    for inner in _inside(connection, name, seen):
        if "class" not in inner and inner.get("type") in ("BASE_TABLE", "TABLE_FUNCTION"):
            return "it reads the catalogue"
        deeper = called(inner)
        if deeper and (reason := _reaching_out(connection, deeper, seen | {name})):
            return reason
    return None


def _inside(
    connection: duckdb.DuckDBPyConnection, name: str, seen: frozenset[str]
) -> Iterator[Node]:
    """Yield the nodes of a macro's definitions; nothing for any other function."""
    known = _catalogue().get(name)
    if known is None or name in seen:
        return
    for definition in sorted(known.definitions):
        yield from walk(parse(connection, SqlText(name, definition), "SELECT "))


def check_row_local(
    connection: duckdb.DuckDBPyConnection, sql: SqlText, tree: object, start: int
) -> None:
    """Raise QueryInvalid if `tree` holds what one row alone does not decide."""
    columns = {name.lower() for name in sql.columns}
    for node in walk(tree):
        if reason := _not_row_local(connection, node, columns, frozenset()):
            raise sql.invalid(
                reason,
                place_in(node, start),
                hint=_KEY_HINT if reason.endswith(_UNSTEADY) else _WAY_OUT,
            )
        if node.get("class") == "PARAMETER":
            raise sql.invalid("parameters have no value here", place_in(node, start))


def _not_row_local(
    connection: duckdb.DuckDBPyConnection, node: Node, columns: set[str], seen: frozenset[str]
) -> str | None:
    """Say why a node is not row-local, or None."""
    name = called(node, columns)
    if node.get("class") == "SUBQUERY":
        return "a subquery sees more than one row"
    if name is None:
        return None
    if reason := _many_rows(node, name):
        return reason
    for inner in _inside(connection, name, seen):
        if reason := _not_row_local(connection, inner, columns, seen | {name}):
            return f"{name}() is made of others: {reason}"
    return None


def _many_rows(node: Node, name: str) -> str | None:
    """Say why one row does not decide what a function gives, or None."""
    known = _catalogue().get(name, Known())
    if node["class"] == "WINDOW":
        return f"{name}() over a window sees more than one row"
    if name == "unnest":
        return "unnest() makes several rows of one"
    if "aggregate" in known.kinds and not known.kinds & {"scalar", "macro"}:
        return f"{name.removesuffix('_star')}() is an aggregate, over more than one row"
    if name in _BARE or not known.is_steady(len(node.get("arguments", ()))):
        return f"{name}() {_UNSTEADY}"
    return None
