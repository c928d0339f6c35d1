"""The type that holds the values of others, and values as that type."""

import datetime as dt
import itertools
from decimal import Decimal

import pyarrow as pa
import pytest

from dbshuf.errors import SchemaMismatch
from dbshuf.source.schema.union import common_type, union_of, widened

I8, I16, I32, I64 = pa.int8(), pa.int16(), pa.int32(), pa.int64()
U8, U32, U64 = pa.uint8(), pa.uint32(), pa.uint64()
F16, F32, F64 = pa.float16(), pa.float32(), pa.float64()


@pytest.mark.parametrize(
    ("kinds", "common"),
    [
        ([I8, I64], I64),
        ([U8, I8], I16),
        ([U32, I8], I64),
        ([U8, U64], U64),
        ([U64, I8], None),
        ([F32, F64], F64),
        ([I16, F32], F32),
        ([I32, F32], F64),
        ([U32, I32, F64], F64),
        ([I64, F64], None),
        ([I8, F16], F16),
        ([pa.null(), pa.string()], pa.string()),
        ([pa.decimal128(5, 2), pa.decimal128(6, 4)], pa.decimal128(7, 4)),
        ([pa.decimal128(38, 0), pa.decimal128(38, 38)], pa.decimal256(76, 38)),
        ([pa.decimal256(76, 0), pa.decimal128(3, 1)], None),
        ([pa.timestamp("s", "UTC"), pa.timestamp("ns", "UTC")], pa.timestamp("ns", "UTC")),
        ([pa.timestamp("s"), pa.timestamp("s", "UTC")], None),
        ([pa.time32("s"), pa.time64("us")], pa.time64("us")),
        ([pa.date32(), pa.timestamp("s")], None),
        ([pa.bool_(), I8], None),
        ([pa.string(), pa.binary()], None),
        ([pa.list_(I8), pa.list_(pa.null())], pa.list_(I8)),
        ([pa.struct([("a", I8)]), pa.struct([("b", F32)])], pa.struct([("a", I8), ("b", F32)])),
        ([pa.struct([("a", I8)]), pa.struct([("a", pa.string())])], None),
        ([pa.map_(pa.string(), I8), pa.map_(pa.string(), I32)], pa.map_(pa.string(), I32)),
        ([pa.list_(I8, 2), pa.list_(I16, 2)], pa.list_(I16, 2)),
    ],
)
def test_types_widen_only_where_nothing_is_lost(kinds, common):
    """In whatever order the inputs come."""
    for some in itertools.permutations(kinds):
        found = common_type(some)
        if found is not None and pa.types.is_struct(found):
            found = pa.struct(sorted(found, key=lambda field: field.name))
        assert found == common


NESTED = [
    ([1, None, -3], I8, F32),
    ([Decimal("1.25"), None], pa.decimal128(3, 2), pa.decimal256(60, 30)),
    ([dt.datetime(2024, 1, 1), None], pa.timestamp("s"), pa.timestamp("ns")),
    ([[1, None], None, [], [2]], pa.list_(I8), pa.list_(I64)),
    ([[1, 2], None, [3, None]], pa.list_(I8, 2), pa.list_(I64, 2)),
    (
        [[("a", 1), ("b", None)], None, []],
        pa.map_(pa.string(), I8),
        pa.map_(pa.string(), I64),
    ),
    (
        [{"a": [{"x": 1}, None]}, None, {"a": None}],
        pa.struct([("a", pa.list_(pa.struct([("x", I8)])))]),
        pa.struct([("b", pa.string()), ("a", pa.list_(pa.struct([("x", I32), ("y", F64)])))]),
    ),
    ([None, None], pa.null(), pa.list_(I8)),
    ([{}, None], pa.struct([]), pa.struct([("a", I8)])),
]


def filled(value, kind):
    """Return a value with the fields of structs that it lacks."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {field.name: filled(value.get(field.name), field.type) for field in kind}
    if pa.types.is_list(kind):
        return [filled(one, kind.value_type) for one in value]
    return value


@pytest.mark.parametrize(("values", "kind", "wide"), NESTED)
def test_values_are_the_same_in_the_wider_type(values, kind, wide):
    """Whole arrays and slices of them."""
    array = pa.array(values * 3, kind)
    for first, count in ((0, len(array)), (1, len(array) - 1), (2, 1), (len(array), 0)):
        part = widened(array.slice(first, count), wide)
        part.validate(full=True)
        assert part.type == wide
        wanted = [filled(value, wide) for value in (values * 3)[first : first + count]]
        assert [filled(value, wide) for value in part.to_pylist()] == wanted


def test_what_lies_below_a_null_need_not_fit():
    """Such values are no values."""
    hidden = pa.array([2**60, 1], pa.int64()).view(pa.timestamp("s"))
    mask = pa.array([True, False])
    pair = pa.StructArray.from_arrays([hidden], ["a"], mask=mask)
    wide = pa.struct([("a", pa.timestamp("ns"))])
    assert widened(pair, wide).to_pylist() == [None, {"a": dt.datetime(1970, 1, 1, 0, 0, 1)}]
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), hidden, mask=mask)
    found = widened(lists, pa.list_(pa.timestamp("ns")))
    assert found.to_pylist() == [None, [dt.datetime(1970, 1, 1, 0, 0, 1)]]


def test_columns_stand_as_they_come_first():
    """Those of the first input, then what is new in each."""
    schemas = [pa.schema([("b", I8), ("a", I8)]), pa.schema([("c", I8), ("a", I16), ("d", I8)])]
    assert union_of(["x", "y"], schemas) == pa.schema([("b", I8), ("a", I16), ("c", I8), ("d", I8)])


def test_the_error_names_two_inputs_and_their_types():
    """Those that cannot be one, not those beside them."""
    schemas = [pa.schema([("n", kind)]) for kind in (I8, I16, pa.string())]
    with pytest.raises(SchemaMismatch) as caught:
        union_of(["one", "two", "three"], schemas)
    assert "`n`" in caught.value.message
    assert "string in `three`" in caught.value.message
