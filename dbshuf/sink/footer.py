"""The footer of a Parquet file, joined from those of files of one row group each.

pyarrow encodes the row groups of a file one after the other. Files of one group can be made
side by side; their pages know nothing of where they lie, only the footers do. A footer is
one struct in Thrift's compact protocol, as in parquet.thrift of the Apache Parquet format:

    FileMetaData  3 num_rows, 4 row_groups
    RowGroup      1 columns, 3 num_rows, 5 file_offset, 7 ordinal
    ColumnChunk   2 file_offset, 3 meta_data, 4 and 6 offsets of its indexes
    ColumnMetaData  9, 10, 11 and 14: offsets of its pages and of its filter
"""

from typing import Any

MAGIC = b"PAR1"

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)  # of 16, 32 and 64 bits
_I64 = 6

_NUM_ROWS, _ROW_GROUPS = 3, 4
_GROUP_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_ORDINAL = 1, 3, 5, 7
_CHUNK_OFFSETS, _CHUNK_META = (2, 4, 6), 3
_META_OFFSETS = (9, 10, 11, 14)

_Struct = dict[int, tuple[int, Any]]  # field -> (type, value), in the order of the fields


class Footer:
    """The footer of a file that grows by row groups."""

    def __init__(self, empty: bytes) -> None:
        """Begin with the footer of a file that has the schema and no group."""
        self._file = _Reader(empty).struct()
        self._groups: list[bytes] = []
        self._rows = 0

    def add(self, footer: bytes, moved_bytes: int) -> None:
        """Add the one group of a file whose pages now lie `moved_bytes` farther on."""
        _, (_, (group,)) = _Reader(footer).struct()[_ROW_GROUPS]
        _move(group, (_GROUP_OFFSET,), moved_bytes)
        for chunk in group[_GROUP_COLUMNS][1][1]:
            _move(chunk, _CHUNK_OFFSETS, moved_bytes)
            _move(chunk[_CHUNK_META][1], _META_OFFSETS, moved_bytes)
        group.pop(_GROUP_ORDINAL, None)  # pyarrow writes none, and readers need none
        self._rows += group[_GROUP_ROWS][1]
        self._groups.append(_value(_STRUCT, group))

    def to_bytes(self) -> bytes:
        """Return the footer of all groups, its length and the magic: the end of the file."""
        self._file[_NUM_ROWS] = (_I64, self._rows)
        self._file[_ROW_GROUPS] = (_LIST, (_STRUCT, self._groups))
        footer = _value(_STRUCT, self._file)
        return footer + len(footer).to_bytes(4, "little") + MAGIC


def _move(struct: _Struct, fields: tuple[int, ...], moved_bytes: int) -> None:
    """Move the offsets that there are; where a writer has none, some of them are 0."""
    for field in fields:
        kind, offset = struct.get(field, (_I64, 0))
        if offset:
            struct[field] = (kind, offset + moved_bytes)


class _Reader:
    """Values one after the other: numbers, bytes, structs, and (type, values) for lists."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self) -> _Struct:
        fields: _Struct = {}
        field = 0
        while head := self._byte():
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self._signed()
            fields[field] = (kind, kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind))
        return fields

    def _value(self, kind: int) -> Any:
        if kind in _INTEGERS:
            return self._signed()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind == _STRUCT:
            return self.struct()
        if kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return head & 15, [self._value(head & 15) for _ in range(count)]
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind == _DOUBLE:
            return self._take(8)
        raise ValueError(f"a Parquet footer with a value of type {kind}")

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]


def _value(kind: int, value: Any) -> bytes:
    if kind in _INTEGERS:
        return _signed(value)
    if kind == _BINARY:
        return _varint(len(value)) + bytes(value)
    if kind == _STRUCT:
        return value if isinstance(value, bytes) else _struct(value)
    if kind in (_LIST, _SET):
        of, values = value
        head = bytes([len(values) << 4 | of]) if len(values) < 15 else _long_head(of, len(values))
        return head + b"".join([_value(of, one) for one in values])
    return bytes([value]) if kind in (_TRUE, _FALSE, _BYTE) else bytes(value)


def _struct(fields: _Struct) -> bytes:
    parts, last = [], 0
    for field, (kind, value) in sorted(fields.items()):
        is_flag = kind in (_TRUE, _FALSE)
        short = 0 < field - last < 16
        parts.append(bytes([field - last << 4 | kind]) if short else bytes([kind]) + _signed(field))
        parts.append(b"" if is_flag else _value(kind, value))
        last = field
    return b"".join(parts) + b"\0"


def _long_head(of: int, count: int) -> bytes:
    return bytes([15 << 4 | of]) + _varint(count)


def _signed(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 128:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)
