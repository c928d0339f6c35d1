"""Columns of Arrow as values of SQLite, and back with the same bits.

integers, booleans             INTEGER; below 2^64 but not below 2^63 their 8 bytes, BLOB
dates, times, durations        INTEGER, as Arrow counts them
floats                         REAL; NaN and -0.0, which SQLite would change, their bytes, BLOB
decimals                       TEXT
text                           TEXT
binary                         BLOB
anything else                  BLOB, as base/row_packing.py has it
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.nested_types import is_string
from dbshuf.base.row_packing import packed, unpacked

Value = int | float | str | bytes | None
_BEYOND = 1 << 63


@dataclass(frozen=True)
class _Codec:
    """How columns of some types lie in SQLite.

    declared  the type that a column is declared with; it changes no value
    to        a column -> its values
    of        values and the type -> the column
    """

    is_kind: Callable[[Any], bool]
    declared: str
    to: Callable[[pa.Array], list[Value]]
    of: Callable[[Sequence[Value], Any], pa.Array]


def declared_type(kind: Any) -> str:
    """Return the type that a column is declared with."""
    return _codec(kind).declared


def to_values(array: pa.Array) -> list[Value]:
    """Return a column as SQLite takes it."""
    return _codec(array.type).to(array)


def of_values(values: Sequence[Value], kind: Any) -> pa.Array:
    """Return a column of values as SQLite gives them, with text as bytes.

    Raises  pa.ArrowException, TypeError, ValueError, OverflowError for values that
            `to_values` did not make
    """
    return _codec(kind).of(values, kind)


def _codec(kind: Any) -> _Codec:
    return next(one for one in _CODECS if one.is_kind(kind))


def _listed(array: pa.Array) -> list[Value]:
    found: list[Value] = array.to_pylist()
    return found


def _is_bytes(kind: Any) -> bool:
    types = pa.types
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    ) and not types.is_decimal(kind)


def _is_whole(kind: Any) -> bool:
    types = pa.types
    checks: tuple[Callable[[Any], bool], ...] = (
        types.is_integer,
        types.is_date,
        types.is_time,
        types.is_timestamp,
        types.is_duration,
    )
    return any(check(kind) for check in checks)


def _whole(kind: Any) -> Any:
    """Return the integer type whose numbers the values of a type are."""
    if pa.types.is_integer(kind):
        return kind
    return pa.int32() if kind.bit_width == 32 else pa.int64()


def _beyond(value: Any) -> Value:
    return value if value is None or value < _BEYOND else int(value).to_bytes(8, "little")


def _whole_of(value: Any) -> int | None:
    return int.from_bytes(value, "little") if isinstance(value, bytes) else value


def _text_of(values: Sequence[Value], kind: Any) -> pa.Array:
    is_large = pa.types.is_large_string(kind)
    return pa.array(values, pa.large_binary() if is_large else pa.binary()).cast(kind)


def _of_unsigned(array: pa.Array) -> list[Value]:
    return [_beyond(value) for value in _listed(array)]


def _unsigned_of(values: Sequence[Value], kind: Any) -> pa.Array:
    return pa.array([_whole_of(value) for value in values], kind)


def _of_numbers(array: pa.Array) -> list[Value]:
    return _listed(array.view(_whole(array.type)))


def _numbers_of(values: Sequence[Value], kind: Any) -> pa.Array:
    return pa.array(values, _whole(kind)).view(kind)


def _of_any(array: pa.Array) -> list[Value]:
    cells = packed(pa.record_batch([array], names=["value"])).to_pylist()
    are_there = array.is_valid().to_pylist()
    return [cell if there else None for cell, there in zip(cells, are_there, strict=True)]


def _any_of(values: Sequence[Value], kind: Any) -> pa.Array:
    schema = pa.schema([("value", kind)])
    null = packed(pa.record_batch([pa.nulls(1, kind)], schema=schema))[0].as_py()
    cells = pa.array([null if value is None else value for value in values], pa.binary())
    return unpacked(cells, schema).column(0)


def _of_floats(array: pa.Array) -> list[Value]:
    width = array.type.bit_width // 8
    numbers = array.fill_null(pa.scalar(1, array.type)).to_numpy(zero_copy_only=False)
    values = _listed(array.cast(pa.float64()))
    odd = np.isnan(numbers) | ((numbers == 0) & np.signbit(numbers))
    data = np.ascontiguousarray(numbers).view(np.uint8)
    for at in np.flatnonzero(odd).tolist():
        values[at] = data[at * width : (at + 1) * width].tobytes()
    return values


def _floats_of(values: Sequence[Value], kind: Any) -> pa.Array:
    width = kind.bit_width // 8
    odd = {at: value for at, value in enumerate(values) if isinstance(value, bytes)}
    plain = [0.0 if isinstance(value, bytes) else value for value in values]
    array = pa.array(plain, pa.float64()).cast(kind)
    if not odd:
        return array
    numbers = array.fill_null(pa.scalar(0, kind)).to_numpy(zero_copy_only=False).copy()
    data = numbers.view(np.uint8)
    for at, value in odd.items():
        data[at * width : (at + 1) * width] = np.frombuffer(value, np.uint8, width)
    mask = pc.is_null(array).to_numpy(zero_copy_only=False)
    return pa.array(numbers, kind, mask=mask, from_pandas=False)


def _decimals_of(values: Sequence[Value], kind: Any) -> pa.Array:
    texts = pa.array(values, pa.binary()).cast(pa.string())
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:  # of more digits than the type says, which the bits may have
        wide = texts.cast(pa.decimal256(76, kind.scale))
        wide = pa.concat_arrays([wide])  # without an offset
        valid, numbers = wide.buffers()
        rows = np.frombuffer(numbers, np.uint8).reshape(-1, 32)[: len(wide), : kind.bit_width // 8]
        found = pa.Array.from_buffers(kind, len(wide), [valid, pa.py_buffer(rows.tobytes())])
        if not found.cast(pa.string()).equals(texts):
            raise
        return found


_CODECS = (
    _Codec(pa.types.is_null, "BLOB", _listed, lambda values, _: pa.nulls(len(values))),
    _Codec(is_string, "TEXT", _listed, _text_of),
    _Codec(_is_bytes, "BLOB", _listed, pa.array),
    _Codec(
        pa.types.is_boolean,
        "INTEGER",
        lambda array: _listed(array.cast(pa.uint8())),
        lambda values, kind: pa.array(values, pa.uint8()).cast(kind),
    ),
    _Codec(pa.types.is_uint64, "INTEGER", _of_unsigned, _unsigned_of),
    _Codec(_is_whole, "INTEGER", _of_numbers, _numbers_of),
    _Codec(pa.types.is_floating, "REAL", _of_floats, _floats_of),
    _Codec(
        pa.types.is_decimal,
        "TEXT",
        lambda array: _listed(array.cast(pa.string())),
        _decimals_of,
    ),
    _Codec(lambda _: True, "BLOB", _of_any, _any_of),
)
