"""`*` over `lines`: a row's own columns; those of its place are there where they are named.

`lines` has only those columns of a row's place that a query names somewhere. Where it names some
and has a `*` over `lines`, too, the query is run as DuckDB writes it out from the parse, with
EXCLUDE at each such `*`; any other query is run as the user wrote it.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import duckdb

from dbshuf.base.statements import Filled, filled, identifier, statement
from dbshuf.query.binding import Binder
from dbshuf.query.fence import RELATION
from dbshuf.query.parse import Node, SqlText, parse, place_in, walk, without_places

_ID = "id"
_SUBJECT_KEYS = ("column_names", "using_columns", "exclude_list", "groups", "column", "key")
_CARRYING = {  # clauses that leave rows what they are
    "type", "cte_map", "select_list", "from_table", "where_clause", "qualify", "sample",
    "modifiers", "aggregate_handling",
}  # fmt: skip
_ONE_SIDED = {"SEMI", "ANTI"}  # joins of whose right side `*` takes nothing


def own_stars(
    binder: Binder, sql: SqlText, query: Filled, part: str, *, carries_id: bool = False
) -> tuple[SqlText, Filled]:
    """Let each `*` of a query over `lines` give the rows' own columns.

    query       a SELECT, in which the user's text is `part`
    carries_id  whether a `*` of the outermost SELECT takes `id` along where each row of the
                result is one of `lines`, so that their order is that of the ids
    Returns     the text and the query to bind and run; and lets `lines` of `binder` have its
                own columns and those that are named
    """
    if not binder.place:
        return sql, query
    tree = parse(binder.connection, replace(sql, text=query.text))
    node: Node = tree[0]["node"]
    carrying = _carrying(node) if carries_id and _ID in binder.place else None
    named = _named(tree, binder.place)
    binder.show(named if carrying is None else named | {_ID})
    rewrite = _Rewrite(binder.connection, sorted(binder.shown), carrying)
    rewrite.query(node, frozenset())
    if not rewrite.is_changed:
        return sql, query
    text = _unparsed(binder.connection, tree)
    again = parse(binder.connection, replace(sql, text=text))
    places = _moved(list(walk(again)), list(walk(tree)), query.starts[part])
    return replace(sql, places=places), Filled(text, {part: 0})


def _moved(after: list[Node], before: list[Node], start: int) -> dict[int, int]:
    """Return where what is written out was written by the user, whose text began at `start`."""
    places: dict[int, int] = {}
    for new, old in zip(after, before, strict=True) if len(after) == len(before) else ():
        there, here = place_in(new, 0), place_in(old, start)
        if there is not None and here is not None:
            places.setdefault(there, here)
    return places


def _unparsed(connection: duckdb.DuckDBPyConnection, statements: list[Node]) -> str:
    tree = json.dumps({"error": False, "statements": statements})
    rows = connection.execute(statement("duckdb", "query_unparse"), {"tree": tree}).fetchall()
    return str(rows[0][0])


def _named(tree: object, place: Collection[str]) -> frozenset[str]:
    """Return those columns of a row's place that a query names; perhaps more."""
    found: set[str] = set()
    for node in walk(tree):
        for key in _SUBJECT_KEYS:
            value = node.get(key, ())
            texts = [value] if isinstance(value, str) else value
            found |= {text.lower() for text in texts if isinstance(text, str)}
    return frozenset(found & set(place))


def _carrying(node: Node) -> Node | None:
    """Return the `*` of an outermost SELECT that may take the ids of its rows along, or None."""
    ref = node.get("from_table", {})
    ctes = {str(entry["key"]).lower() for entry in node.get("cte_map", {}).get("map", [])}
    is_plain = set(node) <= _CARRYING and node["aggregate_handling"] == "STANDARD_HANDLING"
    modifiers = node.get("modifiers", [])
    orders = [order["expression"] for one in modifiers for order in one.get("orders", ())]
    is_plain &= all(one["type"] != "DISTINCT_MODIFIER" for one in modifiers)
    is_plain &= all(one["class"] not in ("CONSTANT", "STAR") for one in orders)  # ORDER BY 3, ALL
    if not is_plain or not _is_lines(ref, ctes):
        return None
    for item in node["select_list"]:
        names = [item["alias"]] if item.get("alias") else item.get("column_names", [""])[-1:]
        if names[-1].lower() == _ID:
            return None
    stars = (one for one in node["select_list"] if one["class"] == "STAR" and "expr" not in one)
    star = next((one for one in stars if _is_over(one, ref)), None)
    return None if star is None or _ID in _settled(star) else star


def _is_lines(ref: Node, ctes: Collection[str]) -> bool:
    if ref.get("type") != "BASE_TABLE" or RELATION in ctes:
        return False
    path = ref["qualified_name"]["path"]
    return len(path) == 1 and str(path[0]).lower() == RELATION


def _name_of(ref: Node) -> str:
    return str(ref.get("alias") or ref["qualified_name"]["path"][0])


def _is_over(star: Node, ref: Node) -> bool:
    return star.get("relation_name", "").lower() in ("", _name_of(ref).lower())


def _settled(star: Node) -> set[str]:
    """Return the columns that a `*` says itself what to do with."""
    names = list(star.get("exclude_list", ()))
    names += [one["column"] for one in star.get("qualified_exclude_list", ())]
    names += [one["key"] for one in star.get("replace_list", ())]
    names += [one["key"]["column"] for one in star.get("rename_list", ())]
    return {str(name).lower() for name in names}


class _Rewrite:
    """A walk that changes the tree, and knows which names mean a common table expression."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, hidden: list[str], carrying: Node | None
    ) -> None:
        """Take the columns of `lines` to hide, and the `*` that takes `id` along."""
        self._connection, self._hidden, self._carrying = connection, hidden, carrying
        self.is_changed = False

    def query(self, node: Node, ctes: frozenset[str]) -> None:
        """Change one query; `ctes` are the common table expressions around it."""
        for entry in node.get("cte_map", {}).get("map", []):
            name, inner = str(entry["key"]).lower(), entry["value"]["query_node"]
            is_recursive = inner.get("type") == "RECURSIVE_CTE_NODE"
            self.query(inner, ctes | {name} if is_recursive else ctes)
            ctes |= {name}
        if "cte_name" in node:
            ctes |= {str(node["cte_name"]).lower()}
        if node.get("type") == "SELECT_NODE" and self._hidden:
            refs = list(self._refs(node, "from_table", ctes))
            expressions = {k: v for k, v in node.items() if k in _EXPRESSIONS}
            for star in [one for one in _within(expressions) if one.get("class") == "STAR"]:
                self._exclude(star, [ref for ref in refs if _is_over(star, ref)])
        for key, child in node.items():
            if key != "cte_map":
                self._visit(child, ctes)

    def _visit(self, node: object, ctes: frozenset[str]) -> None:
        if isinstance(node, dict):
            if _is_query(node):
                return self.query(node, ctes)
            node = list(node.values())
        if isinstance(node, list):
            for child in node:
                self._visit(child, ctes)

    def _refs(self, parent: Node, key: str, ctes: frozenset[str]) -> Iterator[Node]:
        """Yield where FROM names `lines`, if `*` takes its columns."""
        ref = parent.get(key, {})
        if _is_lines(ref, ctes):
            yield ref
        elif ref.get("type") == "JOIN":
            yield from self._refs(ref, "left", ctes)
            if ref.get("join_type") not in _ONE_SIDED:
                yield from self._refs(ref, "right", ctes)
        elif ref.get("type") == "PIVOT" and _is_lines(ref.get("source", {}), ctes):
            named = _named({**ref, "source": None}, self._hidden)
            self._narrow(ref, [name for name in self._hidden if name not in named])

    def _narrow(self, pivot: Node, hidden: list[str]) -> None:
        """Let a PIVOT, which groups by all other columns, see `lines` without some."""
        if hidden:
            columns = ", ".join(identifier(name) for name in hidden)
            text = filled("duckdb", "query_narrow", columns=columns).text
            source = self._tree(text)["from_table"]
            source["alias"] = _name_of(pivot["source"])
            pivot["source"] = source
            self.is_changed = True

    def _exclude(self, star: Node, refs: list[Node]) -> None:
        if refs and star.get("expr", {}).get("class") == "CONSTANT":
            star["expr"] = self._matching(star)
            star.pop("relation_name", None)
            for one in walk(star["expr"]):
                if one.get("class") == "STAR":
                    self._exclude(one, refs)
        elif "expr" not in star:
            settled = _settled(star)
            if star is self._carrying:
                settled.add(_ID)
            more = [
                {"catalog": "", "schema": "", "table": _name_of(ref), "column": name}
                for ref in refs
                for name in self._hidden
                if name not in settled
            ]
            if more:
                star["qualified_exclude_list"] = star.get("qualified_exclude_list", []) + more
                self.is_changed = True

    def _tree(self, text: str) -> Node:
        tree: Any = without_places(parse(self._connection, SqlText("", text)))
        node: Node = tree[0]["node"]
        return node

    def _matching(self, star: Node) -> Node:
        """Return COLUMNS('pattern') as a choice among the names of a `*`, to be changed next."""
        node = self._tree(filled("duckdb", "query_matching").text)
        choice: Node = node["select_list"][0]["expr"]
        for node in walk(choice):
            if node.get("class") == "STAR":
                node["relation_name"] = star.get("relation_name", "")
            if node.get("function_name") == "regexp_matches":
                node["arguments"][1]["expression"] = star["expr"]
        return choice


_EXPRESSIONS = (
    "select_list", "where_clause", "group_expressions", "having", "qualify",
)  # fmt: skip


def _is_query(node: Node) -> bool:
    return "class" not in node and str(node.get("type")).endswith("_NODE")


def _within(node: object) -> Iterator[Node]:
    """Yield the nodes of expressions, without those of the queries in them."""
    if isinstance(node, dict):
        if _is_query(node):
            return
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _within(child)
