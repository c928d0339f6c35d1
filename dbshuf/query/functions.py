"""What DuckDB's catalogue says of functions: row-local or not, within the fence or not."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache

import duckdb

from dbshuf.base.statements import statement
from dbshuf.errors import QueryInvalid
from dbshuf.query.function_allowlist import ALLOWED, FENCED
from dbshuf.query.parse import Node, SqlText, parse, place_in, walk

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


@dataclass(frozen=True)
class Overload:
    """One overload of the catalogue.

    types      of its arguments, as DuckDB names them
    is_open    whether it takes any number of them
    is_steady  whether it gives the same in every run
    """

    types: tuple[str, ...]
    is_open: bool
    is_steady: bool

    def takes(self, arguments: int) -> bool:
        """Whether it may bind to so many arguments."""
        return self.is_open or len(self.types) == arguments


@dataclass
class Known:
    """One name of the catalogue.

    kinds        scalar, aggregate, macro, ...
    overloads    of a scalar or window function
    definitions  of a macro
    """

    kinds: set[str] = field(default_factory=set)
    overloads: set[Overload] = field(default_factory=set)
    definitions: set[str] = field(default_factory=set)

    def of(self, arguments: int) -> set[Overload]:
        """Return the overloads for so many arguments; all where none is."""
        return {one for one in self.overloads if one.takes(arguments)} or self.overloads


@cache
def _catalogue() -> dict[str, Known]:
    found: dict[str, Known] = defaultdict(Known)
    with duckdb.connect() as connection:
        rows = connection.execute(statement("duckdb", "query_functions")).fetchall()
    for name, kind, stability, types, is_open, definition in rows:
        found[name].kinds.add(kind)
        if kind in ("scalar", "window") and stability:
            is_steady = _is_steady_overload(name, stability, types)
            found[name].overloads.add(Overload(tuple(types[:-1]), is_open, is_steady))
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
    columns = {name.lower() for name in sql.columns} | _made_columns(tree)
    for node in walk(tree):
        name = called(node, columns)
        if name is not None and (reason := _reaching_out(connection, name, frozenset())):
            hint = _UNKNOWN_HINT if reason == _UNKNOWN else ""
            if node.get("class") == "COLUMN_REF":
                hint = f"a column of this name is meant with its table before it: t.{name}"
            message = f"{name}() is not allowed: {reason}"
            raise sql.invalid(message, place_in(node, start), hint=hint)


def _made_columns(tree: object) -> set[str]:
    """Return the names that a query gives to columns and tables, in lower case.

    A file that it reads may have any column, even one that is named like a function.
    """
    found: set[str] = set()
    for node in walk(tree):
        found |= {str(node[key]).lower() for key in ("alias", "key") if key in node}
        for key in ("column_name_alias", "aliases", "using_columns"):
            found |= {str(name).lower() for name in node.get(key, ())}
        if "class" not in node and (
            node.get("type") == "TABLE_FUNCTION" or "." in str(node.get("qualified_name"))
        ):
            found |= _BARE
    return found


def _reaching_out(
    connection: duckdb.DuckDBPyConnection, name: str, seen: frozenset[str]
) -> str | None:
    """Say why a function is fenced off, or None; macros are looked into."""
    if name.startswith(_FENCED_PREFIX):
        return "it is internal to DuckDB"
    if name in FENCED:
        return FENCED[name]
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
    overloads = known.of(len(node.get("arguments", ())))
    if name in _BARE or (overloads and not any(one.is_steady for one in overloads)):
        return f"{name}() {_UNSTEADY}"
    return None


@dataclass(frozen=True)
class Undecided:
    """A call that is the same in every run with some overloads and not with others."""

    name: str
    node: Node  # in the user's text: the call itself, or that of a macro around it
    overloads: frozenset[Overload]


def undecided(
    connection: duckdb.DuckDBPyConnection, sql: SqlText, tree: object
) -> Iterator[Undecided]:
    """Yield the calls of which only what binds tells whether they are row-local."""
    columns = {name.lower() for name in sql.columns}
    for node in walk(tree):
        for inner in (node, *_deep_inside(connection, called(node, columns), frozenset())):
            name = called(inner, columns)
            if name is None:  # to ask the catalogue takes 45 ms
                continue
            known = _catalogue().get(name, Known())
            overloads = known.of(len(inner.get("arguments", ())))
            if len({one.is_steady for one in overloads}) > 1:
                yield Undecided(name, node, frozenset(overloads))


def _deep_inside(
    connection: duckdb.DuckDBPyConnection, name: str | None, seen: frozenset[str]
) -> Iterator[Node]:
    """Yield the nodes of a macro's definitions, and of those of the macros in them."""
    for inner in () if name is None else _inside(connection, name, seen):
        yield inner
        yield from _deep_inside(connection, called(inner), seen | {str(name)})


def unsteady(sql: SqlText, name: str, at: int | None) -> QueryInvalid:
    """Return the error for a function that does not give the same in every run."""
    return sql.invalid(f"{name}() {_UNSTEADY}", at, hint=_KEY_HINT)
