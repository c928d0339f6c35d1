"""What --where asks of single columns: parts of an input where that cannot be need no reading.

Only what all rows must meet is taken, and of that comparisons of a column with constants whose
meaning is beyond doubt; any other part of the condition is for DuckDB alone.
"""

import datetime
from collections.abc import Iterator, Mapping

import pyarrow as pa

from dbshuf.base.bounds import Comparison, Value
from dbshuf.query.fence import RELATION
from dbshuf.query.parse import Node

_OPERATORS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}
_TURNED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def comparisons_of(condition: Node, columns: pa.Schema) -> tuple[Comparison, ...]:
    """Return comparisons that are true for every row for which a condition is.

    condition  as DuckDB parses it
    columns    of `lines`; a name is one of them in any case of its letters
    """
    fields = {field.name.lower(): field for field in columns}
    return tuple(_found(condition, fields))


def _found(node: Node, fields: Mapping[str, pa.Field]) -> Iterator[Comparison]:
    kind = node.get("type")
    if kind == "CONJUNCTION_AND":
        for child in node["children"]:
            yield from _found(child, fields)
    elif kind in _OPERATORS:
        left, right, operator = node["left"], node["right"], _OPERATORS[kind]
        yield from _compared(left, operator, [right], fields)
        yield from _compared(right, _TURNED[operator], [left], fields)
    elif kind == "COMPARE_BETWEEN":
        yield from _compared(node["input"], ">=", [node["lower"]], fields)
        yield from _compared(node["input"], "<=", [node["upper"]], fields)
    elif kind == "COMPARE_IN":
        column, *values = node["children"]
        yield from _compared(column, "=", values, fields)


def _compared(
    column: Node, operator: str, values: list[Node], fields: Mapping[str, pa.Field]
) -> Iterator[Comparison]:
    names = [name.lower() for name in column.get("column_names", [])]
    if names[:1] == [RELATION] and len(names) == 2:
        names = names[1:]
    field = fields.get(names[0]) if len(names) == 1 else None
    if field is None or column.get("type") != "COLUMN_REF":
        return
    constants = [_constant(value, field.type) for value in values]
    known = tuple(one for one in constants if one is not None)
    if known and len(known) == len(constants):
        yield Comparison(field.name, operator, known)


def _constant(node: Node, kind: pa.DataType) -> Value | None:
    """Return a constant as a value of a column's type; None unless it is one."""
    is_date = pa.types.is_date32(kind)
    if is_date and node.get("type") == "OPERATOR_CAST" and not node.get("try_cast"):
        to = node.get("type_expr", {}).get("type_name", "")
        node = node["child"] if str(to).lower() == "date" else {}
    literal = node.get("literal", {}) if node.get("type") == "VALUE_CONSTANT" else {}
    text, is_text = literal.get("text"), literal.get("kind") == "STRING"
    if not isinstance(text, str):
        return None
    if is_date and is_text:
        try:
            return (datetime.date.fromisoformat(text) - datetime.date(1970, 1, 1)).days
        except ValueError:
            return None
    if pa.types.is_integer(kind) and literal.get("kind") == "INTEGER":
        return int(text)
    if is_text and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return text.encode()
    return None
