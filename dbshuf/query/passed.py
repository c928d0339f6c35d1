"""Which columns of a result are columns of `lines` as they are, through whatever SQL names them.

Names are followed through aliases, joins, subqueries, common table expressions and set
operations. What is not sure to be a column's own values is none of its columns.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from dbshuf.query.fence import RELATION
from dbshuf.query.parse import Node

Column = tuple[str, str | None]  # its name, and the column of `lines` that it is


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

    def find(self, name: str) -> str | None:
        return next((own for one, own in self.columns or () if one.lower() == name), None)


def passed_columns(
    items: list[Node], names: Collection[str], place: Collection[str] = ()
) -> dict[str, str]:
    """Return column of a result -> column of `lines` whose values it has as they are.

    items  of a SELECT whose only relation is `lines`, which has the columns `names`
    place  those of them that `*` does not take
    """
    own = [(name, name) for name in names]
    lines = _Relation(RELATION, [*own], frozenset(place))
    return _known(_selected(items, [lines]))


def passed_by_query(
    node: Node, names: Collection[str], place: Collection[str] = ()
) -> dict[str, str]:
    """Return what passed_columns does, of a whole query."""
    lines = _Relation(RELATION, [(name, name) for name in names], frozenset(place))
    return _known(_of_query(node, {RELATION: lines}))


def _known(columns: list[Column] | None) -> dict[str, str]:
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
        return _selected(node["select_list"], list(_sources(node.get("from_table", {}), tables)))
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
    return [(at[0][0], at[0][1] if len({own for _, own in at}) == 1 else None) for at in places]


def _selected(items: list[Node], sources: list[_Relation]) -> list[Column] | None:
    """Return the columns of a SELECT, None where a `*` takes what is not known."""
    found: list[Column] = []
    for item in items:
        if item.get("class") == "STAR":
            taken = _starred(item, sources)
            if taken is None:
                return None
            found += taken
        elif item.get("class") == "COLUMN_REF":
            *whole, name = (str(part) for part in item["column_names"])
            within = [one for one in sources if not whole or [one.name] == [whole[-1].lower()]]
            owners = [own for one in within if (own := one.find(name.lower())) is not None]
            own = owners[0] if len(whole) < 2 and len(set(owners)) == 1 else None
            found.append((str(item.get("alias") or _as_written(name, within)), own))
        else:
            found.append((str(item.get("alias", "")), None))
    return found


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
    """Yield the relations of FROM."""
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
