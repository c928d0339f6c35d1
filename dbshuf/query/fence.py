"""Databases that reach no file, network or setting, and what the user's SQL may name."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from dbshuf.base.statements import filled, quoted, quoted_list, shuffle_key_macro
from dbshuf.errors import InputMissing
from dbshuf.query.parse import Node, SqlText, place_in
from dbshuf.units import MIB

RELATION = "lines"
_TABLE_FUNCTIONS = {
    "range", "generate_series", "unnest", "json_each", "json_tree", "repeat", "repeat_row",
}  # fmt: skip
_READERS = {
    "read_csv", "read_csv_auto", "read_json", "read_json_auto", "read_json_objects",
    "read_json_objects_auto", "read_ndjson", "read_ndjson_auto", "read_ndjson_objects",
    "read_parquet", "parquet_scan", "read_text", "read_blob",
}  # fmt: skip
_QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_HARMLESS = {
    "JOIN", "SUBQUERY", "EXPRESSION_LIST", "EMPTY", "PIVOT", "ORDER_MODIFIER", "LIMIT_MODIFIER",
    "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER", "ORDER_DEFAULT", "ASCENDING", "DESCENDING",
}  # fmt: skip
_GLOB = "*?["


@dataclass(frozen=True)
class Allowed:
    """Files and directories that the user's SQL may read, as absolute real paths."""

    paths: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Sequence[str]) -> "Allowed":
        """Resolve what --allow-files names. Raises InputMissing."""
        for name in names:
            if not os.path.exists(name):
                raise InputMissing(
                    f"--allow-files `{name}` does not exist",
                    hint="name the file or directory that the SELECT reads",
                )
        real = [os.path.realpath(name) for name in names]
        return cls(
            tuple(path for path in real if not os.path.isdir(path)),
            tuple(path for path in real if os.path.isdir(path)),
        )

    def holds(self, name: str) -> bool:
        """Whether `name`, a path or a glob, names only what is allowed."""
        if "://" in name:
            return False
        fixed = next((i for i, c in enumerate(name) if c in _GLOB), len(name))
        if ".." in Path(name[fixed:]).parts:
            return False
        parent, _, last = os.path.abspath(name).rpartition("/")
        if fixed < len(name):
            parent, last = os.path.abspath(os.path.dirname(name[:fixed]) or "."), ""
        path = os.path.join(os.path.realpath(parent), last) if last else os.path.realpath(parent)
        if fixed == len(name):
            path = os.path.realpath(path)
        return path in self.paths or any(
            path == top or path.startswith(top.rstrip("/") + "/") for top in self.directories
        )


NOTHING = Allowed()


def macros_for(texts: Sequence[str | None], seed: str | None) -> str:
    """Return the statement that makes shuffle_key() where a text may call it, or nothing."""
    is_called = any("shuffle_key" in text.lower() for text in texts if text is not None)
    return shuffle_key_macro(seed) if is_called else ""


def connect(
    *,
    memory_bytes: int = 256 * MIB,
    threads: int = 1,
    folder: Path | None = None,
    database: Path | None = None,
    is_ordered: bool = True,
    keeps_sides: bool = False,
    macros: str = "",
) -> duckdb.DuckDBPyConnection:
    """Open a private database for the user's SQL; the fence is still open.

    folder       where it may spill; None for nowhere
    database     a file to keep tables in; None for memory
    is_ordered   whether results come in the order of what is read, where SQL does not say
    keeps_sides  whether joins are run as they are written, so that they keep that order, too
    macros       a statement that makes what the user's SQL may call beside DuckDB's own
    """
    connection = duckdb.connect(str(database) if database else ":memory:")
    settings = filled(
        "duckdb",
        "query_settings",
        memory=quoted(f"{max(memory_bytes, 16 * MIB)}B"),
        threads=str(max(threads, 1)),
        folder=quoted(str(folder or "")),
        is_ordered=str(is_ordered).lower(),
        optimizers=quoted("join_order,build_side_probe_side" if keeps_sides else ""),
    )
    connection.execute(settings.text)
    if macros:
        connection.execute(macros)
    return connection


def close_fence(connection: duckdb.DuckDBPyConnection, allowed: Allowed) -> None:
    """Let no SQL on this database reach a file that is not allowed, or a setting."""
    paths, directories = quoted_list(allowed.paths), quoted_list(allowed.directories)
    fence = filled("duckdb", "query_fence", paths=paths, directories=directories)
    connection.execute(fence.text)


def check_tables(sql: SqlText, tree: Node, allowed: Allowed) -> None:
    """Raise QueryInvalid unless `tree` is a query over `lines` and what is allowed."""
    _Scope(sql, allowed).query(tree, frozenset())


class _Scope:
    """A walk that knows which names of common table expressions are in reach."""

    def __init__(self, sql: SqlText, allowed: Allowed) -> None:
        self._sql, self._allowed = sql, allowed

    def query(self, node: Node, names: frozenset[str]) -> None:
        """Check one query; `names` are the common table expressions around it."""
        if node.get("type") not in _QUERIES:
            kind = str(node.get("type")).replace("_QUERY_NODE", "").replace("_NODE", "")
            raise self._sql.invalid(f"exactly one SELECT is run, and this holds {kind}")
        for entry in node.get("cte_map", {}).get("map", []):
            name, inner = str(entry["key"]).lower(), entry["value"]["query_node"]
            is_recursive = inner.get("type") == "RECURSIVE_CTE_NODE"
            self.query(inner, names | {name} if is_recursive else names)
            names |= {name}
        if "cte_name" in node:
            names |= {str(node["cte_name"]).lower()}
        for key, child in node.items():
            if key != "cte_map":
                self.visit(child, names)

    def visit(self, node: object, names: frozenset[str]) -> None:
        """Check whatever stands in a query."""
        if isinstance(node, list):
            for child in node:
                self.visit(child, names)
            return
        if not isinstance(node, dict):
            return
        kind = node.get("type")
        if "class" not in node and isinstance(kind, str):
            if kind.endswith("_NODE"):
                return self.query(node, names)
            self._table(node, kind, names)
        for child in node.values():
            self.visit(child, names)

    def _table(self, node: Node, kind: str, names: frozenset[str]) -> None:
        if kind == "BASE_TABLE":
            self._named(node, names)
        elif kind == "TABLE_FUNCTION":
            self._function(node)
        elif kind == "SHOW_REF":
            raise self._refused(node, "DESCRIBE, SHOW and SUMMARIZE are not allowed")
        elif kind not in _HARMLESS:
            raise self._refused(node, f"{kind} is not allowed")

    def _named(self, node: Node, names: frozenset[str]) -> None:
        path = [str(part) for part in node["qualified_name"]["path"]]
        if len(path) == 1 and path[0].lower() in {RELATION, *names}:
            return
        if len(path) == 1 and any(mark in path[0] for mark in "/.*"):
            return self._path(node, path[0])
        raise self._refused(
            node,
            f"there is no table `{'.'.join(path)}`",
            hint="the only table is `lines`; files are read by their path, with --allow-files",
        )

    def _function(self, node: Node) -> None:
        function = node["function"]
        name = str(function["function_name"]).lower()
        if name in _TABLE_FUNCTIONS:
            return
        if name not in _READERS:
            raise self._refused(node, f"the table function {name}() is not allowed")
        paths = [path for one in function.get("arguments", []) for path in _paths(one)]
        for path in paths or [None]:
            if path is None:
                raise self._refused(node, f"{name}() needs its paths as plain strings")
            self._path(node, path)

    def _path(self, node: Node, path: str) -> None:
        if self._allowed.holds(path):
            return
        raise self._refused(
            node,
            f"the file `{path}` is not allowed to be read",
            hint="name it, or its directory, with --allow-files",
        )

    def _refused(self, node: Node, message: str, hint: str = "") -> Exception:
        return self._sql.invalid(message, place_in(node, 0), hint=hint)


def _paths(argument: Node) -> list[str | None]:
    """Return the paths that an argument names; none for an option such as header = true."""
    expression = argument["expression"]
    is_option = "name" in argument or (
        expression.get("type") == "COMPARE_EQUAL" and expression["left"]["class"] == "COLUMN_REF"
    )
    return [] if is_option else _constants(expression)


def _constants(node: Node) -> list[str | None]:
    """Return the strings of a constant or of a list of them; None for anything else."""
    if node.get("class") == "CONSTANT":
        literal = node.get("literal", {})
        return [str(literal["text"]) if literal.get("kind") == "STRING" else None]
    if node.get("class") == "FUNCTION" and node["function_name"] == "list_value":
        return [path for one in node.get("arguments", []) for path in _constants(one["expression"])]
    return [None]
