"""Which columns of a result are columns of `lines` as they are, through whatever SQL names them.

Names are followed through aliases, joins, subqueries, common table expressions and set
operations, and through what chooses one of several values: coalesce, CASE, any_value and the
like. What is not sure to be columns' own values is of none of them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dbshuf.query.fence import RELATION
from dbshuf.query.parse import Node

Owners = frozenset[str]  # columns of `lines` whose values, or null, a value is; none: it is null
Column = tuple[str, Owners | None]  # its name, and whose values it has; None: others

# Functions of so many arguments that give one value of their first, or null.
_CHOOSING = {
    **dict.fromkeys(("any_value", "arbitrary", "first", "last", "min", "max", "mode"), 1),
    **dict.fromkeys(("arg_min", "arg_max", "min_by", "max_by", "nullif", "nth_value"), 2),
    **dict.fromkeys(("arg_min_null", "arg_max_null"), 2),
    **dict.fromkeys(("first_value", "last_value"), 1),
}
_CHOSEN = {"if": (1, 2), "iif": (1, 2)}  # arguments of which they give one
_NEIGHBOURS = ("lag", "lead")


@dataclass(frozen=True)
class _Relation:
    """What FROM names.

    name     in lower case
    columns  None: they are not known
    hidden   columns that `*` does not take
    """

    name: str
    columns: list[Column] | None
    hidden: frozenset[str] = frozenset()

    def find(self, name: str) -> Owners | None:
        return next((own for one, own in self.columns or () if one.lower() == name), None)


def passed_columns(
    items: list[Node], names: Collection[str], place: Collection[str], result: Sequence[str]
) -> dict[str, Owners]:
    """Return column of a result -> columns of `lines` whose values it has as they are.

    items   of a SELECT whose only relation is `lines`, which has the columns `names`
    place   those of them that `*` does not take
    result  what DuckDB calls the columns of the result
    """
    lines = _lines(names, place)
    return _known(_selected(items, [lines], {RELATION: lines}), result)


def passed_by_query(
    node: Node, names: Collection[str], place: Collection[str], result: Sequence[str]
) -> dict[str, Owners]:
    """Return what passed_columns does, of a whole query."""
    return _known(_of_query(node, {RELATION: _lines(names, place)}), result)


def _lines(names: Collection[str], place: Collection[str]) -> _Relation:
    return _Relation(RELATION, [(name, frozenset({name})) for name in names], frozenset(place))


def _known(columns: list[Column] | None, result: Sequence[str]) -> dict[str, Owners]:
    """Return the columns that are known; those that SQL gives no name are found by their places."""
    if columns is not None and len(columns) == len(result):
        columns = [(name, own) for name, (_, own) in zip(result, columns, strict=True)]
    return {name: own for name, own in columns or () if own is not None}


def _of_query(node: Node, tables: Mapping[str, _Relation]) -> list[Column] | None:
    """Return the columns of a query; `tables` are those that it may name."""
    tables = dict(tables)
    for entry in node.get("cte_map", {}).get("map", []):
        name, value = str(entry["key"]).lower(), entry["value"]
        inner = value.get("query", {}).get("node") or value.get("query_node") or {}
        columns = _renamed(_of_query(inner, tables), value.get("aliases", []))
        tables[name] = _Relation(name, columns)
    if node.get("type") == "SELECT_NODE":
        sources = list(_sources(node.get("from_table", {}), tables))
        return _selected(node["select_list"], sources, tables)
    if node.get("type") == "SET_OPERATION_NODE" and not str(node["setop_type"]).endswith("NAME"):
        sides = node.get("children") or [node["left"], node["right"]]
        found = [_of_query(side, tables) for side in sides]
        return _common([one for one in found if one is not None], len(found))
    return None


def _common(sides: list[list[Column]], count: int) -> list[Column] | None:
    """Return the columns of a set operation of `count` sides, if all are known."""
    if len(sides) < count or len({len(one) for one in sides}) > 1:
        return None
    places = zip(*sides, strict=True)
    return [(at[0][0], _any_of(own for _, own in at)) for at in places]


def _any_of(found: Iterable[Owners | None]) -> Owners | None:
    """Return whose values one of several values is; None where that is not known of all."""
    owners = list(found)
    return frozenset().union(*(one or () for one in owners)) if None not in owners else None


def _selected(
    items: list[Node], sources: list[_Relation], tables: Mapping[str, _Relation]
) -> list[Column] | None:
    """Return the columns of a SELECT, None where a `*` takes what is not known."""
    found: list[Column] = []
    for item in items:
        if item.get("class") == "STAR":
            taken = _starred(item, sources)
            if taken is None:
                return None
            found += taken
        elif item.get("class") == "COLUMN_REF":
            name, within, own = _referred(item, sources)
            found.append((str(item.get("alias") or _as_written(name, within)), own))
        else:
            found.append((str(item.get("alias", "")), _owners(item, sources, tables)))
    return found


def _referred(item: Node, sources: list[_Relation]) -> tuple[str, list[_Relation], Owners | None]:
    """Return the name of a column that is referred to, where it may be, and whose values it has."""
    *whole, name = (str(part) for part in item["column_names"])
    within = [one for one in sources if not whole or [one.name] == [whole[-1].lower()]]
    owners = [own for one in within if (own := one.find(name.lower())) is not None]
    return name, within, owners[0] if len(whole) < 2 and len(set(owners)) == 1 else None


def _owners(item: Node, sources: list[_Relation], tables: Mapping[str, _Relation]) -> Owners | None:
    """Return whose values an expression has; None: others, or nobody knows."""
    kind = item.get("class")
    if kind == "COLUMN_REF":
        return _referred(item, sources)[2]
    if kind == "CONSTANT":
        said = item.get("literal") or item.get("value") or {}
        return frozenset() if said.get("kind") == "NULL_LITERAL" or said.get("is_null") else None
    if kind == "SUBQUERY":
        columns = _of_query(item["subquery"]["node"], tables)
        is_one = item.get("subquery_type") == "SCALAR" and len(columns or ()) == 1
        return columns[0][1] if columns and is_one else None
    values = _chosen_from(item)
    return _any_of(_owners(one, sources, tables) for one in values) if values else None


def _chosen_from(item: Node) -> list[Node]:
    """Return the expressions of which one is what an expression gives, or null; else nothing."""
    kind, name = item.get("class"), str(item.get("function_name", "")).lower()
    if kind == "OPERATOR" and item.get("type") in ("OPERATOR_COALESCE", "OPERATOR_TRY"):
        return list(item["children"])
    if kind == "CASE":
        return [*(one["then_expr"] for one in item["case_checks"]), item["else_expr"]]
    if kind not in ("FUNCTION", "WINDOW") or item.get("schema"):
        return []
    given = item.get("arguments") or item.get("children") or ()
    values = [one.get("expression", one) for one in given]
    if _CHOOSING.get(name) == len(values):
        return values[:1]
    if name in _CHOSEN and len(values) == 3:
        return [values[place] for place in _CHOSEN[name]]
    return [values[0], *values[2:]] if name in _NEIGHBOURS and len(values) in (1, 2, 3) else []


def _starred(star: Node, sources: list[_Relation]) -> list[Column] | None:
    """Return the columns that a `*` takes; None where they are not known."""
    wanted = str(star.get("relation_name", "")).lower()
    taken = [one for one in sources if wanted in ("", one.name)]
    if star.get("expr") or star.get("columns") or any(one.columns is None for one in taken):
        return None
    left_out = {str(name).lower() for name in star.get("exclude_list", ())}
    left_out |= {str(one["column"]).lower() for one in star.get("qualified_exclude_list", ())}
    other = {str(one["key"]).lower() for one in star.get("replace_list", ())}
    other |= {str(one["key"]["column"]).lower() for one in star.get("rename_list", ())}
    return [
        (name, None if name.lower() in other else own)
        for one in taken
        for name, own in one.columns or ()
        if name not in one.hidden and name.lower() not in left_out
    ]


def _as_written(name: str, sources: list[_Relation]) -> str:
    """Return the name of a result's column that is called by `name`, as it is in FROM."""
    columns = (one for source in sources for one, _ in source.columns or ())
    return next((one for one in columns if one.lower() == name.lower()), name)


def _sources(ref: Node, tables: Mapping[str, _Relation]) -> Iterator[_Relation]:
    kind, alias = ref.get("type"), str(ref.get("alias", "")).lower()
    if kind == "JOIN":
        joined = {str(name).lower() for name in ref.get("using_columns", [])}
        is_left = ref.get("join_type") in ("INNER", "LEFT", "SEMI", "ANTI")
        for one in _sources(ref["left"], tables):
            mixed = set() if is_left else joined  # such a column has values of both sides
            columns = one.columns and [
                (n, None if n.lower() in mixed else o) for n, o in one.columns
            ]
            yield _Relation(one.name, columns, one.hidden)
        if ref.get("join_type") not in ("SEMI", "ANTI"):
            for one in _sources(ref["right"], tables):
                taken = [(n, own) for n, own in one.columns or () if n.lower() not in joined]
                is_known = one.columns is not None and ref.get("ref_type") != "NATURAL"
                yield _Relation(one.name, taken if is_known else None, one.hidden)
        return
    columns, hidden = None, frozenset[str]()
    name = str(ref.get("table_name", "")).lower()
    if kind == "SUBQUERY":
        columns = _of_query(ref["subquery"]["node"], tables)
    elif kind == "BASE_TABLE" and not ref.get("schema_name") and name in tables:
        columns, hidden = tables[name].columns, tables[name].hidden
    names = ref.get("column_name_alias", [])
    yield _Relation(alias or name, _renamed(columns, names), frozenset() if names else hidden)


def _renamed(columns: list[Column] | None, names: list[str]) -> list[Column] | None:
    """Return columns whose first have other names."""
    if columns is None:
        return None
    rest = columns[len(names) :]
    return [(name, own) for name, (_, own) in zip(names, columns, strict=False)] + rest
