"""The footer of a Parquet file, joined from those of files of one row group each.

Written by hand: pyarrow's writer (26.0.1) encodes the row groups of a file one after the other,
on the thread that calls it; only its readers take threads. Files of one group can be made side
by side; their pages know nothing of where they lie, only the footers do. 300 MB of lines of 147
bytes took 1.2-1.4 CPU seconds and 34 MB with one pyarrow writer, 1.2-1.6 and 43 with one thread
here, 1.3-1.6 and 83 with two (2 busy cores): joining costs nothing that can be seen, and the
second thread is what memory buys.

A footer is one struct in Thrift's compact protocol, as in parquet.thrift of the Apache Parquet
format:

    FileMetaData  2 schema, 3 num_rows, 4 row_groups, 5 key_value_metadata
    RowGroup      1 columns, 3 num_rows, 5 file_offset, 7 ordinal
    ColumnChunk   2 file_offset, 3 meta_data; its indexes: see parquet_page_index.py
    ColumnMetaData  9, 10, 11 and 14: offsets of its pages and of its filter
    KeyValue      1 key, 2 value

What pyarrow has no words for is written here too: annotations of columns, see
parquet_types.py, and keys and values.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from dbshuf.base.parquet_types import (
    annotate,
    has_integer_decimals,
    leaf_paths,
    tree,
    unordered_leaves,
)
from dbshuf.base.thrift import BINARY, I64, LIST, STRUCT, Reader, Struct, value_bytes
from dbshuf.sink.formats.parquet_page_index import PageIndex

MAGIC = b"PAR1"

_SCHEMA, _KEY_VALUES = 2, 5
_NUM_ROWS, _ROW_GROUPS = 3, 4
_GROUP_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_ORDINAL = 1, 3, 5, 7
_CHUNK_OFFSET, _CHUNK_META = 2, 3
_META_OFFSETS = (9, 10, 11, 14)

# Of the fields behind the schema, one after the other: number less the last one, and type; then
# of the list how many groups, and their type.
_ROWS_HEAD = bytes([1 << 4 | I64])
_NO_GROUP_HEAD, _ONE_GROUP_HEAD = (bytes([1 << 4 | LIST, n << 4 | STRUCT]) for n in (0, 1))


class Footer:
    """The footer of a file that grows by row groups."""

    def __init__(self, empty: bytes) -> None:
        """Begin with the footer of a file that has the schema and no group."""
        self._file = Reader(empty).struct()
        self._before, self._after = _around(empty)
        self._groups: list[bytes] = []  # all but the last one
        self._last: Struct | None = None  # many files have no other
        self.rows = 0  # of all groups

    def anew(self) -> "Footer":
        """Return a footer of another file that says the same, and has no group yet."""
        found = copy(self)
        for field in (_SCHEMA, _KEY_VALUES):
            if field in self._file:
                parts = [value_bytes(STRUCT, part) for part in self._file[field][1][1]]
                self._file[field] = (LIST, (STRUCT, parts))
        found._file, found._groups, found._last = dict(self._file), [], None
        return found

    def add(self, group: Struct, moved_bytes: int) -> None:
        """Add the one group of a file whose pages now lie `moved_bytes` farther on."""
        if moved_bytes:
            _move(group, (_GROUP_OFFSET,), moved_bytes)
            for chunk in chunks_of(group):
                _move(chunk, (_CHUNK_OFFSET,), moved_bytes)
                _move(chunk[_CHUNK_META][1], _META_OFFSETS, moved_bytes)
        group.pop(_GROUP_ORDINAL, None)  # pyarrow writes none, and readers need none
        self.rows += group[_GROUP_ROWS][1]
        if self._last is not None:
            self._groups.append(value_bytes(STRUCT, self._last))
        self._last = group

    def leaves(self) -> list[str]:
        """Return the path of every column that holds values."""
        return list(leaf_paths(tree(self._file[_SCHEMA][1][1])))

    def options_for(self, notes: Sequence[bytes]) -> dict[str, Any]:
        """Return how pyarrow is to write columns of which parquet_types.py knows `notes`."""
        elements = self._file[_SCHEMA][1][1]
        options: dict[str, Any] = {}
        if has_integer_decimals(notes):
            options["store_decimal_as_integer"] = True
        if odd := set(unordered_leaves(notes, elements)):
            paths = set(leaf_paths(tree(elements)))
            options["write_statistics"] = sorted(paths - odd)
        return options

    def describe(self, notes: Sequence[bytes], pairs: Mapping[bytes, bytes]) -> None:
        """Put annotations into the schema, and keys with their values in place of all others.

        notes  what parquet_types.py knows of each column
        """
        annotate(self._file[_SCHEMA][1][1], notes)
        entries = [{1: (BINARY, key), 2: (BINARY, value)} for key, value in pairs.items()]
        self._file[_KEY_VALUES] = (LIST, (STRUCT, entries))

    def to_bytes(self, index: PageIndex, first: int) -> bytes:
        """Return the footer of all groups, its length and the magic: the end of the file.

        index, first  the page index of all groups, and the byte at which it begins
        """
        groups = [_placed(Reader(group).struct(), index, first) for group in self._groups]
        if self._last is not None:
            groups.append(_placed(self._last, index, first))
        return self._end(self.rows, groups)

    def of_only(self, encoded: bytes, rows: int) -> bytes | None:
        """Return the footer of a whole file that has one group, for that file, as `to_bytes`.

        Nothing in it moves, so that its group is taken as it is: to read and to write it again
        took a fifth of the work of a small file.
        encoded, rows  the footer of the file, and the rows in it
        Returns  None where it is not put together as expected
        """
        head = self._before + _ROWS_HEAD + value_bytes(I64, rows) + _ONE_GROUP_HEAD
        if not (self._before and encoded.startswith(head) and encoded.endswith(self._after)):
            return None
        return self._end(rows, [encoded[len(head) : len(encoded) - len(self._after)]])

    def _end(self, rows: int, groups: list[bytes]) -> bytes:
        self._file[_NUM_ROWS] = (I64, rows)
        self._file[_ROW_GROUPS] = (LIST, (STRUCT, groups))
        footer = value_bytes(STRUCT, self._file)
        return footer + len(footer).to_bytes(4, "little") + MAGIC


def _around(empty: bytes) -> tuple[bytes, bytes]:
    """Return what a footer without groups has before its number of rows, and behind its groups.

    Both are empty where these are not what they should be.
    """
    start = Reader(empty)
    start.struct(before=_NUM_ROWS)
    before, behind = start.at - len(_ROWS_HEAD), start.at + 1 + len(_NO_GROUP_HEAD)
    expected = _ROWS_HEAD + b"\0" + _NO_GROUP_HEAD
    return (empty[:before], empty[behind:]) if empty[before:behind] == expected else (b"", b"")


def only_group(footer: bytes) -> Struct | None:
    """Return the row group of a file that has one; None: it has none."""
    groups = Reader(footer).struct(before=_KEY_VALUES)[_ROW_GROUPS][1][1]
    return groups[0] if groups else None


def chunks_of(group: Struct) -> list[Struct]:
    """Return the column chunks of a row group."""
    chunks: list[Struct] = group[_GROUP_COLUMNS][1][1]
    return chunks


def _placed(group: Struct, index: PageIndex, first: int) -> bytes:
    """Return a row group, which stays as it is, that knows where its page index is."""
    chunks = [dict(chunk) for chunk in chunks_of(group)]
    for chunk in chunks:
        index.place(chunk, first)
    return value_bytes(STRUCT, {**group, _GROUP_COLUMNS: (LIST, (STRUCT, chunks))})


def _move(struct: Struct, fields: tuple[int, ...], moved_bytes: int) -> None:
    """Move the offsets that there are; where a writer has none, some of them are 0."""
    for field in fields:
        kind, offset = struct.get(field, (I64, 0))
        if offset:
            struct[field] = (kind, offset + moved_bytes)
