"""Plain columns: every type that rows can have keeps its values, in slices too."""

import datetime
import decimal

import pyarrow as pa
import pytest

from dbshuf.base.row_batch import row_bytes
from dbshuf.errors import InputBroken, NotUtf8, SchemaMismatch
from dbshuf.source.schema.plain import check_alike, plain_batch, plain_schema

DICTIONARY = pa.dictionary(pa.int8(), pa.string())
WORDS = ["a", None, "bcd", "", "e"]
LISTS = [["a", None], None, ["bcd"], [], ["", "e"]]
ENDED = pa.RunEndEncodedArray.from_arrays(
    pa.array([1, 2, 5], pa.int32()), pa.array(["a", None, "e"])
)


def extension(kind, values):
    return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))


CASES = {
    "large_string": (pa.array(WORDS, pa.large_string()), pa.string()),
    "string_view": (pa.array(WORDS, pa.string_view()), pa.string()),
    "large_binary": (pa.array([b"\xff", None], pa.large_binary()), pa.binary()),
    "binary_view": (pa.array([b"\xff", None], pa.binary_view()), pa.binary()),
    "dictionary": (pa.array(WORDS, DICTIONARY), pa.string()),
    "dictionary_of_numbers": (pa.array([7, None, 7]).dictionary_encode(), pa.int64()),
    "run_ends": (ENDED, pa.string()),
    "large_list": (pa.array(LISTS, pa.large_list(pa.large_string())), pa.list_(pa.string())),
    "list_view": (pa.array(LISTS, pa.list_view(pa.string())), pa.list_(pa.string())),
    "large_list_view": (
        pa.array(LISTS, pa.large_list_view(pa.large_string())),
        pa.list_(pa.string()),
    ),
    "list_of_dictionary": (pa.array(LISTS, pa.list_(DICTIONARY)), pa.list_(pa.string())),
    "fixed_size_list": (
        pa.array([["a", "b"], None], pa.list_(pa.large_string(), 2)),
        pa.list_(pa.string(), 2),
    ),
    "map": (
        pa.array([[("k", "v")], None, []], pa.map_(pa.string(), DICTIONARY)),
        pa.map_(pa.string(), pa.string()),
    ),
    "struct": (
        pa.array(
            [{"x": ["a"], "y": "b"}, None, {"x": None, "y": None}],
            pa.struct([("x", pa.list_view(pa.large_string())), ("y", DICTIONARY)]),
        ),
        pa.struct([("x", pa.list_(pa.string())), ("y", pa.string())]),
    ),
    "uuid": (extension(pa.uuid(), [b"x" * 16, None]), pa.uuid()),
    "json": (extension(pa.json_(pa.large_string()), ['{"a": 1}', None]), pa.json_()),
    "bool8": (extension(pa.bool8(), [1, None, 0]), pa.bool8()),
    "tensor": (
        extension(pa.fixed_shape_tensor(pa.int32(), [2, 2]), [[1, 2, 3, 4], [5, 6, 7, 8]]),
        pa.fixed_shape_tensor(pa.int32(), [2, 2]),
    ),
    "decimal": (pa.array([decimal.Decimal("1.50"), None]), pa.decimal128(3, 2)),
    "duration": (pa.array([datetime.timedelta(1), None]), pa.duration("us")),
    "half": (pa.array([1.5, None], pa.float16()), pa.float16()),
    "null": (pa.nulls(3), pa.null()),
}


@pytest.mark.parametrize(("array", "plain"), CASES.values(), ids=CASES)
def test_every_type_becomes_a_plain_one_with_the_same_values(array, plain):
    """Plain rows can be counted, taken and joined, which the types as read often cannot."""
    batch = pa.record_batch({"c": array})
    schema = plain_schema(batch.schema, "f")
    assert schema.field("c").type == plain
    for part in (batch, batch.slice(1), batch.slice(1, 1), batch.slice(0, 0)):
        found = plain_batch(part, schema, "f", 0)
        found.validate(full=True)
        assert found.to_pylist() == part.to_pylist()
        assert len(row_bytes(found)) == len(part)
        order = pa.array(range(len(part) - 1, -1, -1), pa.int64())
        assert found.take(order).to_pylist() == part.to_pylist()[::-1]


@pytest.mark.parametrize(
    "kind",
    [
        pa.sparse_union([pa.field("a", pa.int8())]),
        pa.map_(pa.string(), pa.list_view(pa.int8())),
        pa.list_(pa.int8(), 0),  # pyarrow divides by the length of a list
        pa.list_(pa.fixed_shape_tensor(pa.int8(), [0])),
        pa.struct([("u", pa.dense_union([pa.field("a", pa.int8())]))]),
    ],
)
def test_a_type_that_rows_cannot_have_is_refused_by_name(kind):
    """Before any work."""
    with pytest.raises(SchemaMismatch, match=r"`f`: column `c` has type .*, which is not read"):
        plain_schema(pa.schema([("a", pa.int8()), ("c", kind)]), "f")


def test_names_must_differ_and_there_must_be_one():
    """Columns are called by name from here on."""
    with pytest.raises(SchemaMismatch, match="`f` has 2 columns `a`"):
        plain_schema(pa.schema([("a", pa.int8()), ("b", pa.int8()), ("a", pa.int8())]), "f")
    with pytest.raises(SchemaMismatch, match="`f` has no columns"):
        plain_schema(pa.schema([]), "f")


def test_metadata_nullability_and_encodings_make_no_difference():
    """One schema of values is what counts."""
    first = pa.schema([pa.field("a", pa.string(), nullable=False, metadata={"k": "v"})], {"m": "n"})
    other = pa.schema([pa.field("a", DICTIONARY)])
    schema = plain_schema(first, "f")
    assert schema.equals(plain_schema(other, "g"), check_metadata=True)
    required = pa.list_(pa.field("element", pa.int8(), nullable=False))
    listed = plain_schema(pa.schema([("l", required)]), "f")
    assert listed == pa.schema([("l", pa.list_(pa.int8()))])


def test_differing_columns_are_shown_with_both_types():
    """The first five of them, and which inputs."""
    first = pa.schema([("a", pa.int64()), ("b", pa.string()), ("c", pa.string())])
    other = pa.schema([("c", pa.string()), ("a", pa.string()), ("d", pa.int8())])
    with pytest.raises(SchemaMismatch) as caught:
        check_alike("one", first, "two", other)
    assert caught.value.message == (
        "the columns of `one` and `two` differ: `a` is int64 and string;"
        " `b` is string and missing; `d` is missing and int8"
    )
    check_alike("one", first, "two", pa.schema(list(first)[::-1]))
    with pytest.raises(SchemaMismatch, match="; 4 more"):
        check_alike(
            "one", pa.schema([(f"x{i}", pa.int8()) for i in range(9)]), "two", pa.schema([])
        )


def test_bad_text_in_nested_values_is_named_by_row():
    """Also deep inside."""
    bad = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"b"]).buffers())
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), bad)
    batch = pa.record_batch({"l": lists})
    with pytest.raises(NotUtf8, match="`f` at row 11: column `l`"):
        plain_batch(batch, plain_schema(batch.schema, "f"), "f", 10)


def test_a_batch_without_a_promised_column_is_no_sound_one():
    """A file that was replaced while it was read."""
    batch = pa.record_batch({"b": pa.array([1])})
    with pytest.raises(InputBroken, match="column `a` is missing"):
        plain_batch(batch, pa.schema([("a", pa.int64())]), "f", 0)
