"""Typed rows for tests of sinks: all kinds of columns, and what hides below their nulls."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

# Columns that CSV has a form for, and how DuckDB is told to read them.
FLAT = {
    "text": (pa.string(), "VARCHAR", st.text(max_size=12)),
    "int": (pa.int64(), "BIGINT", st.integers(-(2**63), 2**63 - 1)),
    "uint": (pa.uint64(), "UBIGINT", st.integers(0, 2**64 - 1)),
    "small": (pa.int8(), "TINYINT", st.integers(-128, 127)),
    "double": (pa.float64(), "DOUBLE", st.floats(allow_nan=False, allow_infinity=False)),
    "single": (
        pa.float32(),
        "FLOAT",
        st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    "decimal": (
        pa.decimal128(38, 10),
        "DECIMAL(38,10)",
        st.integers(-(10**30), 10**30).map(lambda n: Decimal(n).scaleb(-10)),
    ),
    "bool": (pa.bool_(), "BOOLEAN", st.booleans()),
    "date": (pa.date32(), "DATE", st.dates(dt.date(1000, 1, 1))),
    "time": (pa.time64("us"), "TIME", st.times()),
    "moment": (
        pa.timestamp("us"),
        "TIMESTAMP",
        st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9999, 12, 31)),
    ),
    "instant": (
        pa.timestamp("us", "Europe/Berlin"),
        "TIMESTAMPTZ",
        st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC)),
    ),
}

_texts, _ints = st.text(max_size=5), st.integers(-(2**31), 2**31 - 1)
NESTED = {
    "list": (pa.list_(pa.int32()), st.lists(st.none() | _ints, max_size=3)),
    "lists": (
        pa.large_list(pa.list_(pa.string())),
        st.lists(st.none() | st.lists(st.none() | _texts, max_size=2), max_size=3),
    ),
    "pair": (pa.list_(pa.int32(), 2), st.lists(_ints, min_size=2, max_size=2)),
    "struct": (
        pa.struct(
            [
                ("a", pa.int32()),
                ('"b', pa.string()),
                ("c", pa.struct([("d", pa.timestamp("ms"))])),
            ]
        ),
        st.fixed_dictionaries(
            {
                "a": st.none() | _ints,
                '"b': st.none() | _texts,
                "c": st.none()
                | st.fixed_dictionaries(
                    {"d": st.none() | st.just(dt.datetime(2024, 2, 29, 12, 30, 0, 500_000))}
                ),
            }
        ),
    ),
    "map": (
        pa.map_(pa.string(), pa.int32()),
        st.dictionaries(_texts, st.none() | _ints, max_size=3).map(lambda d: list(d.items())),
    ),
    "numbered": (
        pa.map_(pa.int32(), pa.string()),
        st.dictionaries(_ints, _texts, max_size=2).map(lambda d: list(d.items())),
    ),
    "nothing": (pa.null(), st.none()),
}
BINARY = {
    "blob": (pa.binary(), st.binary(max_size=6)),
    "digest": (pa.binary(3), st.binary(min_size=3, max_size=3)),
}

FLAT_SCHEMA = pa.schema([(name, kind[0]) for name, kind in FLAT.items()])
JSON_SCHEMA = pa.schema([*FLAT_SCHEMA, *((name, kind[0]) for name, kind in NESTED.items())])
SCHEMA = pa.schema([*JSON_SCHEMA, *((name, kind[0]) for name, kind in BINARY.items())])
_VALUES = {name: kind[-1] for name, kind in (FLAT | NESTED | BINARY).items()}


@st.composite
def batches(draw: st.DrawFn, schema: pa.Schema, max_rows: int = 12) -> pa.RecordBatch:
    """Draw rows of a part of SCHEMA, with nulls."""
    rows = draw(st.integers(0, max_rows))
    columns = []
    for field in schema:
        values = st.lists(st.none() | _VALUES[field.name], min_size=rows, max_size=rows)
        columns.append(pa.array(draw(values), field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def many_rows(rows: int) -> pa.RecordBatch:
    """A few kinds of columns at full size, a third of the texts null."""
    rng = np.random.default_rng(rows)
    numbers = rng.integers(0, 2**50, rows)
    return pa.record_batch(
        {
            "text": pa.array([f"row {n} " + "x" * (n % 200) if n % 3 else None for n in numbers]),
            "number": pa.array(numbers, mask=numbers % 7 == 0),
            "share": pa.array(rng.random(rows)),
            "tags": pa.array([["a", str(n % 10)][: n % 3] for n in numbers]),
        }
    )


def with_other_bytes_below_nulls(column: pa.Array, garbage: int) -> pa.Array:
    """Return equal values whose buffers differ where the values are null.

    column   of a fixed width, with nulls
    garbage  a byte
    """
    width = column.type.bit_width // 8
    data = np.frombuffer(column.buffers()[1], np.uint8)[: len(column) * width].copy()
    data.reshape(len(column), width)[column.is_null().to_numpy(zero_copy_only=False)] = garbage
    buffers = [column.buffers()[0], pa.py_buffer(data)]
    return pa.Array.from_buffers(column.type, len(column), buffers)
