"""What Parquet says of a column beside its physical type, from an input to an output.

Logical types that pyarrow does not know (Geometry, Variant, what is yet to come) or leaves
out (a 32-bit integer that says so) are copied as they stand where the column is written as
the same physical type. Both schemas are lists of

    SchemaElement  1 type, 2 type_length, 3 repetition_type, 4 name, 5 num_children,
                   6 converted_type, 7 scale, 8 precision, 10 logicalType

depth first, which are walked side by side: lists have two or three levels in one, and names
of their own, and always three in the other.

Written by hand: an Arrow schema, which is all that pyarrow's writer (26.0.1) takes, has no place
for what is copied here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dbshuf.base.thrift import STRUCT, Reader, Struct, value_bytes

NOTES_KEY = b"dbshuf.parquet"  # in the metadata of a field: its elements, one after the other

_TYPE, _TYPE_LENGTH, _REPETITION, _NAME, _CHILDREN = 1, 2, 3, 4, 5
_CONVERTED, _SCALE, _PRECISION, _LOGICAL = 6, 7, 8, 10
_SAID = (_CONVERTED, _SCALE, _PRECISION, _LOGICAL)
_REPEATED = 2
_LIST_LIKE = {1, 2, 3}  # converted types MAP, MAP_KEY_VALUE, LIST
_LOGICAL_LISTS = {2, 3}  # MAP, LIST of the union LogicalType
_INTERVAL, _DECIMAL = 21, 5
_INT_TYPES = (1, 2)
# Of the union LogicalType, those whose order of values readers and pyarrow agree on: up to
# FLOAT16, but for what has no number.
_LAST_ORDERED = 15


@dataclass
class Node:
    """An element of a schema and those below it."""

    element: Struct
    children: list["Node"] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(bytes(self.element[_NAME][1]), "utf-8", "surrogateescape")

    @property
    def logical(self) -> int | None:
        """The number of the logical type in its union, None if there is none."""
        return next(iter(self.element[_LOGICAL][1]), None) if _LOGICAL in self.element else None

    @property
    def converted(self) -> int | None:
        return self.element[_CONVERTED][1] if _CONVERTED in self.element else None

    @property
    def is_list_like(self) -> bool:
        return self.converted in _LIST_LIKE or self.logical in _LOGICAL_LISTS

    def flat(self) -> Iterator["Node"]:
        yield self
        for child in self.children:
            yield from child.flat()


def tree(elements: Sequence[Struct]) -> Node:
    """Return the root of a schema. Raises ValueError if its elements are no tree."""
    rest = iter(elements)

    def take() -> Node:
        node = Node(next(rest))
        for _ in range(node.element.get(_CHILDREN, (0, 0))[1]):
            node.children.append(take())
        return node

    try:
        root = take()
    except (StopIteration, RuntimeError):
        raise ValueError("a schema whose elements are no tree") from None
    if next(rest, None) is not None:
        raise ValueError("a schema whose elements are no tree")
    return root


def notes_of(column: Node) -> bytes:
    """Return what is to be known of a column of an input."""
    return b"".join(value_bytes(STRUCT, node.element) for node in column.flat())


def _column(notes: bytes) -> Node:
    reader, elements = Reader(notes), []
    while reader.at < len(notes):
        elements.append(reader.struct())
    return tree(elements)


def annotate(elements: Sequence[Struct], notes: Sequence[bytes]) -> None:
    """Change the elements of an output's schema to say what those of the input said.

    notes   of each column; nothing of some
    """
    for column, note in zip(tree(elements).children, notes, strict=True) if any(notes) else ():
        for found, made in _pairs(_column(note), column) if note else ():
            _copy(found.element, made)


def _copy(found: Struct, made: Node) -> None:
    is_leaf = not made.children
    alike = all(found.get(key) == made.element.get(key) for key in (_TYPE, _TYPE_LENGTH))
    if (is_leaf and not alike) or (not is_leaf and made.is_list_like):
        return
    for key in _SAID:
        made.element.pop(key, None)
        if key in found:
            made.element[key] = found[key]


def _pairs(found: Node, made: Node) -> Iterator[tuple[Node, Node]]:
    """Yield the nodes of an input and of an output that hold the same values."""
    if made.children and made.is_list_like:
        yield from _in_lists(found, made)
        return
    if bool(found.children) != bool(made.children):
        return
    yield found, made
    named = {child.name: child for child in found.children}
    for child in made.children:
        if child.name in named:
            yield from _pairs(named[child.name], child)


def _in_lists(found: Node, made: Node) -> Iterator[tuple[Node, Node]]:
    entries = made.children[0].children
    repeated = found
    if found.element.get(_REPETITION, (0, 0))[1] != _REPEATED or found.is_list_like:
        if len(found.children) != 1:
            return
        repeated = found.children[0]
    values = repeated.children
    if len(entries) == 1 and len(values) != 1:
        values = [repeated]  # two levels: what is repeated is the element
    if len(values) == len(entries):
        for one, other in zip(values, entries, strict=True):
            yield from _pairs(one, other)


def unordered_leaves(notes: Sequence[bytes], elements: Sequence[Struct]) -> list[str]:
    """Return the dotted paths of the columns whose values readers may order differently."""
    paths: list[str] = []
    for column, note in zip(tree(elements).children, notes, strict=True) if any(notes) else ():
        pairs = _pairs(_column(note), column) if note else ()
        odd = {id(made) for found, made in pairs if _is_unordered(found)}
        paths += [path for path, node in _leaves(column, "") if id(node) in odd]
    return paths


def leaf_paths(root: Node) -> list[str]:
    """Return the dotted paths of all columns."""
    return [path for column in root.children for path, _ in _leaves(column, "")]


def _leaves(node: Node, above: str) -> Iterator[tuple[str, Node]]:
    path = above + node.name
    if not node.children:
        yield path, node
    for child in node.children:
        yield from _leaves(child, path + ".")


def _is_unordered(node: Node) -> bool:
    return node.converted == _INTERVAL or (node.logical or 0) > _LAST_ORDERED


def has_integer_decimals(notes: Sequence[bytes]) -> bool:
    """Whether a column holds decimals as integers of 32 or 64 bits."""
    return any(
        _DECIMAL in (node.converted, node.logical)
        and node.element.get(_TYPE, (0, -1))[1] in _INT_TYPES
        for one in filter(None, notes)
        for node in _column(one).flat()
    )
