"""Values of Thrift's compact protocol, in which the footer of a Parquet file is written.

Written by hand: pyarrow (26.0.1) and DuckDB (2.0.1) show a footer in their own words, without
the elements that they do not know, and neither writes one that it was given. The `thrift`
package would be one more dependency and needs code made from parquet.thrift, all of it, where
six structs are looked at; values here keep the fields that nobody asked for.
"""

from typing import Any

TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
INTEGERS = (4, 5, 6)  # of 16, 32 and 64 bits
I32, I64 = 5, 6

_DEEPEST = 64  # structs and lists one in the other; pyarrow (26.0.1) takes no more

Struct = dict[int, tuple[int, Any]]  # field -> (type, value), in the order of the fields

_BYTES = [bytes([value]) for value in range(256)]  # most numbers are small, and most heads one


class Reader:
    """Values one after the other: numbers, bytes, structs, and (type, values) for lists."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._level = 0

    @property
    def at(self) -> int:
        """How many bytes were read."""
        return self._at

    def struct(self, *, before: int | None = None) -> Struct:
        """Return the next struct; or its first fields, those whose number is below `before`."""
        fields: Struct = {}
        field, data = 0, self._data
        while head := data[self._at]:
            self._at += 1
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self._signed()
            if before is not None and field >= before:
                break
            if kind in INTEGERS:
                fields[field] = (kind, self._signed())
            else:
                fields[field] = (kind, kind == TRUE if kind in (TRUE, FALSE) else self._value(kind))
        else:
            self._at += 1
        return fields

    def _value(self, kind: int) -> Any:
        if kind in INTEGERS:
            return self._signed()
        if kind == BINARY:
            return self._take(self._varint())
        if kind in (STRUCT, LIST, SET):
            if self._level == _DEEPEST:
                raise ValueError("a Parquet footer of too many levels")
            self._level += 1
            inner = self.struct() if kind == STRUCT else self._values()
            self._level -= 1
            return inner
        if kind in (TRUE, FALSE, BYTE):
            return self._byte()
        if kind == DOUBLE:
            return self._take(8)
        raise ValueError(f"a Parquet footer with a value of type {kind}")

    def _values(self) -> tuple[int, list[Any]]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        return head & 15, [self._value(head & 15) for _ in range(count)]

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        data, at = self._data, self._at
        value, shift = data[at], 7
        if value > 127:
            value &= 127
            while (byte := data[at := at + 1]) > 127:
                value |= (byte & 127) << shift
                shift += 7
            value |= byte << shift
        self._at = at + 1
        return value

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, size: int) -> bytes:
        self._at += size
        if self._at > len(self._data):
            raise ValueError("a value that ends beyond its footer")
        return self._data[self._at - size : self._at]


def value_bytes(kind: int, value: Any) -> bytes:
    if kind in INTEGERS:
        return _signed(value)
    if kind == BINARY:
        return _varint(len(value)) + bytes(value)
    if kind == STRUCT:
        return value if isinstance(value, bytes) else _struct(value)
    if kind in (LIST, SET):
        of, values = value
        head = _BYTES[len(values) << 4 | of] if len(values) < 15 else _long_head(of, len(values))
        return head + b"".join([value_bytes(of, one) for one in values])
    return bytes([value]) if kind in (TRUE, FALSE, BYTE) else bytes(value)


def _struct(fields: Struct) -> bytes:
    parts, last = [], 0
    for field, (kind, value) in sorted(fields.items()):
        short = 0 < field - last < 16
        parts.append(_BYTES[field - last << 4 | kind] if short else _BYTES[kind] + _signed(field))
        if kind in INTEGERS:
            parts.append(_signed(value))
        elif kind not in (TRUE, FALSE):
            parts.append(value_bytes(kind, value))
        last = field
    return b"".join(parts) + b"\0"


def _long_head(of: int, count: int) -> bytes:
    return _BYTES[15 << 4 | of] + _varint(count)


def _signed(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _varint(value: int) -> bytes:
    if value < 128:
        return _BYTES[value]
    parts = bytearray()
    while value >= 128:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)
