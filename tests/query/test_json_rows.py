"""JSON lines as typed rows: every value comes back, in columns that are the same everywhere."""

import decimal
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_readers import assert_holds
from query_tools import LINES, decoded, relation

from dbshuf.errors import QueryFailed, QueryInvalid
from dbshuf.query.json_columns import infer_json_structure
from dbshuf.query.row_filter import RowQuery

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**6), 10**6),
        st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 2**64, -(2**64)]),
        st.sampled_from([10**38 - 1, -(10**38), 10**50]),
        st.sampled_from([0.5, -2.25, 1e300, 0.1, 123456.789]),
        st.text("a\"\\é\n\0😀 1234567890123456", max_size=20),
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["x", "y", "X", "z z", 'q"'] ), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
objects = st.dictionaries(st.sampled_from(["a", "b", "é", "d d", "e'\""]), values, max_size=4)


def chunked(lines, size):
    """Batches of some lines each."""
    return [relation(lines[at : at + size], at) for at in range(0, len(lines), size)]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(rows=st.lists(objects, min_size=1, max_size=6), size=st.integers(1, 6))
def test_every_value_comes_back_whatever_it_is_mixed_with(rows, size):
    """Large integers, texts, lists and objects, in the types that hold them all."""
    lines = [json.dumps(row, ensure_ascii=bool(n % 2)) for n, row in enumerate(rows)]
    structure = infer_json_structure(chunked(lines, size), threads=2)
    assert structure == infer_json_structure([relation(lines)])
    kinds = json.loads(structure)
    kept, found = decoded(lines, structure)
    assert kept == list(range(len(rows)))
    assert found.schema.names == list(kinds)
    if kinds:
        for row, expected in zip(found.to_pylist(), rows, strict=True):
            assert_holds(row, expected, kinds)


KINDS = {
    ("1", "9223372036854775807", "-9223372036854775808"): "BIGINT",
    ("1", "9223372036854775808"): "UBIGINT",
    ("-1", "18446744073709551615"): "DECIMAL(38,0)",
    ("123456789012345678901234567890", "0"): "DECIMAL(38,0)",
    ("1" + "0" * 38,): "JSON",
    ("1", "2.5"): "DOUBLE",
    ("9007199254740992", "2.5"): "DOUBLE",
    ("9007199254740993", "2.5"): "JSON",
    ("18446744073709551616", "2.5"): "JSON",
    ("1e300", "1"): "DOUBLE",
    ("1e400", "1"): "JSON",
    ("1", '"x"'): "JSON",
    ("1", "true"): "JSON",
    ("{}",): "JSON",
    ("null",): "JSON",
    ("[]", "null"): ["JSON"],
    ("[1]", "[2.5]"): ["DOUBLE"],
    ("[1, 12345678901234567890]",): ["UBIGINT"],
    ('[1, "x"]',): ["JSON"],
    ('{"x": 1}', '{"y": "t"}', "{}"): {"x": "BIGINT", "y": "VARCHAR"},
    ('{"x": 1, "X": 2}',): "JSON",
    ('{"": 1}',): "JSON",
    ('[{"x": 1}, {"y": 12345678901234567}]',): [{"x": "BIGINT", "y": "BIGINT"}],
    ('"2020-01-01"', '"x"'): "VARCHAR",
    ('"1234567890123456789"',): "VARCHAR",
}


@pytest.mark.parametrize("texts", KINDS)
def test_types_hold_what_all_lines_have(texts):
    """Whichever line comes first."""
    for order in (texts, texts[::-1]):
        lines = [f'{{"a": {text}}}' for text in order]
        kinds = json.loads(infer_json_structure(chunked(lines, 1)))["a"]
        if isinstance(kinds, dict):  # whose keys come as they do in the lines
            assert dict(sorted(kinds.items())) == KINDS[texts]
        else:
            assert kinds == KINDS[texts]


def test_numbers_keep_their_value_to_the_last_digit():
    """In columns, and in the text of those that no number type holds."""
    lines = ['{"a": -1, "b": 9007199254740993, "c": 1e400}',
             '{"a": 18446744073709551615, "b": 0.5, "c": 1}']  # fmt: skip
    _, found = decoded(lines, infer_json_structure([relation(lines)]))
    assert found.to_pylist() == [
        {"a": decimal.Decimal(-1), "b": "9007199254740993", "c": "1e400"},
        {"a": decimal.Decimal(18446744073709551615), "b": "0.5", "c": "1"},
    ]


def test_columns_come_in_the_order_of_their_first_line_however_chunks_are_cut():
    """A smaller machine gets the same file."""
    lines = ['{"c": 1}', '{"b": 1234567890123456789, "c": 2}', '{"a": 1, "b": 3}'] * 4
    for size in (1, 2, 7, 100):
        assert infer_json_structure(chunked(lines, size), threads=3) == (
            '{"c": "BIGINT", "b": "BIGINT", "a": "BIGINT"}'
        )


def test_lines_of_white_space_hold_no_row():
    """And the numbers of the others are told."""
    lines = ['{"a": 1}', "", " \t\r", '  {"a": 2}  ']
    kept, found = decoded(lines, infer_json_structure([relation(lines)]))
    assert kept == [0, 3]
    assert found.to_pylist() == [{"a": 1}, {"a": 2}]
    kept, found = decoded(lines, '{"a": "BIGINT"}', "a > 1", "a, position")
    assert kept == [3]
    assert found.to_pylist() == [{"a": 2, "position": 3}]


def test_sql_sees_keys_as_columns_and_the_place_where_no_key_hides_it():
    """With --where alone, the columns are the keys."""
    lines = ['{"a": 1, "id": "x"}', '{"a": 2, "id": "y"}', '{"a": 3}']
    structure = infer_json_structure([relation(lines)])
    assert decoded(lines, structure, "a >= 2")[1].to_pylist() == [
        {"a": 2, "id": "y"},
        {"a": 3, "id": None},
    ]
    kept, found = decoded(lines, structure, "a >= 2 and position < 2", "id, source, position")
    assert kept == [1]
    assert found.to_pylist() == [{"id": "y", "source": "a.txt", "position": 1}]
    assert RowQuery(None, "a", LINES, json_structure=structure).columns == {"line"}
    with pytest.raises(QueryInvalid, match=r"line.* not found"):
        RowQuery(None, "line", LINES, json_structure=structure)


LONG = '{"a" "' + "é" * 150  # DuckDB quotes it as far as some byte, which may lie within a letter


@pytest.mark.parametrize(
    "bad",
    [
        "[1]",
        "null",
        "1",
        "{",
        '{"a": 1} x',
        '{"a": 1234567890123456789',
        "no",
        '{"a": "\\ud800"}',
        LONG,
        f"z{LONG}",
    ],
)
def test_a_line_that_is_no_object_is_named_by_its_place(bad):
    """When types are looked for, and when rows are made."""
    lines = ['{"a": 1}'] * 50 + [bad] + ['{"a": 1}', bad]
    with pytest.raises(QueryFailed, match=r"`a\.txt` at byte 50: --from json: "):
        infer_json_structure([relation(lines)])
    with pytest.raises(QueryFailed, match=r"`a\.txt` at row 50: --from json: "):
        decoded(lines, '{"a": "BIGINT"}')


def test_keys_that_cannot_be_columns_are_refused_with_the_way_out():
    """SQL does not tell `a` from `A`."""
    for lines, reason in ((['{"a": 1}', '{"A": 1}'], "`a` and `A`"), (['{"": 1}'], "empty key")):
        with pytest.raises(
            QueryInvalid, match=rf"a\.txt` at byte {len(lines) - 1}: .*{reason}"
        ) as caught:
            infer_json_structure([relation(lines)])
        assert "line->>" in caught.value.hint


def test_no_lines_and_objects_without_keys_have_no_columns():
    """And their rows are counted all the same."""
    assert infer_json_structure([]) == "{}"
    lines = ["{}", "{}"]
    structure = infer_json_structure([relation(lines)])
    kept, found = decoded(lines, structure)
    assert (kept, found.num_rows, found.num_columns) == ([0, 1], 2, 0)
    assert decoded(lines, structure, None, "position")[1]["position"].to_pylist() == [0, 1]


def test_a_schema_is_the_same_for_a_chunk_without_values():
    """All NULL, or no rows at all."""
    structure = infer_json_structure([relation(['{"a": [{"x": 1.5}], "b": {"y": "t"}}'])])
    for lines in (["{}"], [""], []):
        _, found = decoded(lines, structure)
        assert found.schema == pa.schema(
            [
                ("a", pa.list_(pa.struct([("x", pa.float64())]))),
                ("b", pa.struct([("y", pa.string())])),
            ]
        )
        found.validate(full=True)
