"""Keys that come twice: found by pyarrow where it can, and by Python where it cannot."""

import json

import pyarrow as pa
import pytest
from query_tools import decoded

from dbshuf.query import json_columns
from dbshuf.query.json_columns import infer_json_structure
from dbshuf.query.json_keys import TWICE, may_have_twice

_MANY = [json.dumps({"a": [{"x": n}, {"x": n, "y": "z"}]}) for n in range(50)]


@pytest.mark.parametrize(
    "line",
    [
        '{"a":[{"x":0,"x":-0}]}',
        '{"a":[{"x":1,"\\u0078":2},{"x":3}]}',
        '{"a":[{"y":null,"x":1,"y":null}]}',
        '{"a":[{"x":1}],"a":[{"x":2}]}',
        '{"a":[{"x":1,"y":{"z":1,"z":1}}]}',
        '{"b":[[[{"x":1,"x":1}]]]}',
    ],
)
def test_a_key_that_comes_twice_is_found_among_lists_of_objects(line):
    """Wherever it is, and however it is written."""
    lines = [*_MANY, line, *_MANY]
    assert may_have_twice(pa.array(lines), 9)
    chunks = [pa.record_batch({"line": lines})]
    assert TWICE in json.loads(infer_json_structure(chunks))


def test_lists_of_objects_are_not_looked_at_one_by_one(monkeypatch):
    """They have more keys than their shape; only what pyarrow refuses is read by Python."""
    monkeypatch.setattr(json_columns, "has_twice", lambda lines: pytest.fail("looked at"))
    found = infer_json_structure([pa.record_batch({"line": _MANY})])
    assert json.loads(found) == {"a": [{"x": "BIGINT", "y": "VARCHAR"}]}


def test_lines_of_many_levels_are_left_to_python(monkeypatch):
    """pyarrow's parser goes as deep as its stack does."""
    monkeypatch.setattr(json_columns, "may_have_twice", lambda lines, keys: keys > 64)
    seen = []
    monkeypatch.setattr(json_columns, "has_twice", lambda lines: seen.append(list(lines)))
    deep = '{"a":[{"x":1},{"x":2}],"d":' + "[" * 20_000 + "]" * 20_000 + "}"
    infer_json_structure([pa.record_batch({"line": [*_MANY, deep]})])
    assert len(seen) == 1


@pytest.mark.parametrize(
    "line", ['{"a":{"y":1},"a":5}', '{"\\u0061":5,"a":[[]]}', '{"a":[],"a":""}']
)
@pytest.mark.parametrize("nested", [False, True])
def test_the_last_of_equal_keys_keeps_a_value_that_other_lines_have_no_type_for(line, nested):
    """Where they have objects, it was null: DuckDB's shape of such a line is that of `{}`."""
    lines = ['{"a":{"x":1}}', line, '{"a":{"x":2}}']
    wanted = [json.loads(one)["a"] for one in lines]
    if nested:
        lines = [f'{{"o":{one}}}' for one in lines]
    structure = infer_json_structure([pa.record_batch({"line": lines})])
    _, rows = decoded(lines, structure)
    found = [row["o"]["a"] if nested else row["a"] for row in rows.to_pylist()]
    assert list(map(json.loads, found)) == wanted
