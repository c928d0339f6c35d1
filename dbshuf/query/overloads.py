"""Which overload of a function DuckDB binds, where its stability depends on that.

DuckDB gives stability to overloads, and a later version may give it anew: 2.0.1 calls 120 of
them consistent within a query, of `+` those that take TIMESTAMPTZ, where 2.0.0 called 13. With
the time zone fixed, all overloads of a name that take as many arguments agree in both versions
(tests/query/test_functions.py goes through all), so that whichever binds, the answer is the
same and nothing is asked. Where they disagree, the bound plan names the overload.
"""

import json
from collections.abc import Collection, Iterator

from dbshuf.base.statements import statement
from dbshuf.query.binding import NO_FEED, Binder, make_view
from dbshuf.query.functions import Overload, undecided, unsteady
from dbshuf.query.parse import ENGINE_ERRORS, Node, SqlText, place_in, walk


def check_overloads(binder: Binder, sql: SqlText, query: str, tree: object, start: int) -> None:
    """Raise QueryInvalid if a call binds to what is not the same in every run.

    query  that the text is part of; it has been bound
    tree   of the text, which began at byte `start` of what was parsed
    """
    calls = list(undecided(binder.connection, sql, tree))
    if not calls:
        return
    bound = list(_bound(binder, query))
    for call in calls:
        picked = [
            _picked(types, call.overloads)
            for name, types in bound
            if name == call.name and any(one.takes(len(types)) for one in call.overloads)
        ]
        # one that is not in the plan was folded to a constant while it was bound
        if not picked or not all(one.is_steady for choice in picked for one in choice):
            raise unsteady(sql, call.name, place_in(call.node, start))


def _picked(types: tuple[str, ...], overloads: Collection[Overload]) -> Collection[Overload]:
    """Return the overload of just these types; all that it may be where none is."""
    return [one for one in overloads if one.types == types] or overloads


def _bound(binder: Binder, query: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield name and argument types of each function in a query's plan; none without a plan."""
    # a scan of Arrow data has no form as JSON; columns and types are enough
    make_view(binder.connection, binder.types, (), feed=NO_FEED)
    try:
        found = binder.connection.execute(statement("duckdb", "query_plan"), {"text": query})
        plan: Node = json.loads(found.fetchall()[0][0])
    except ENGINE_ERRORS:
        return
    finally:
        make_view(binder.connection, binder.types, binder.types.keys())
    for node in walk(plan):
        if node.get("expression_class") == "BOUND_FUNCTION" and node.get("qname"):
            types = tuple(_type(one) for one in node.get("arguments", ()))
            yield str(node["qname"]["path"][-1]).lower(), types


def _type(node: Node) -> str:
    """Return a type of a plan as the catalogue writes it."""
    info = node.get("type_info", {})
    if node.get("id") == "LIST" and "child_type" in info:
        return _type(info["child_type"]) + "[]"
    return str(node.get("id"))
