"""Long texts of JSON lines: left out of sight of SQL, and put back as they were."""

import json
import random

import pyarrow as pa
import pytest

import dbshuf
from dbshuf.query import json_arrays, json_texts
from dbshuf.query.json_texts import LeftOut, without_long_texts

_PIECES = ["a", "é", "\\", '"', "\n", "😀", "x" * 5, "€", "/", "\x01"]


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """What is long, and read at a time, is small here."""
    monkeypatch.setattr(json_texts, "LONG_LINE_BYTES", 200)
    monkeypatch.setattr(json_texts, "_LONG_BYTES", 40)
    monkeypatch.setattr(json_texts, "_STEP_BYTES", 64)
    monkeypatch.setattr(json_arrays, "_STEP_BYTES", 64)


def _value(draw: random.Random, level: int) -> object:
    kind = draw.random()
    if level and kind < 0.3:
        ends = [draw.choice(["", "k" * 60]) for _ in range(3)]
        return {f"{_text(draw, 3)}{n}{end}": _value(draw, level - 1) for n, end in enumerate(ends)}
    if level and kind < 0.5:
        return [_value(draw, level - 1) for _ in range(3)]
    return _text(draw, draw.choice([2, 30, 60, 100])) if kind < 0.8 else draw.choice([1, 2.5, None])


def _text(draw: random.Random, size: int) -> str:
    return "".join(draw.choice(_PIECES) for _ in range(size))


def _is_json(text: str) -> bool:
    try:  # half a pair of surrogates is none, as for DuckDB
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    return [_shape(inner) for inner in value] if isinstance(value, list) else type(value)


def test_lines_without_long_texts_have_the_same_shape_and_the_same_flaws():
    """Types are found in what is left, and what is no JSON stays so, wherever the flaw is."""
    draw = random.Random(3)
    for _ in range(300):
        value = {"a": _value(draw, 3), "b": _value(draw, 2)}
        text = json.dumps(value, ensure_ascii=draw.random() < 0.5)
        at = draw.randrange(len(text))
        broken = text[:at] + draw.choice(['"', "\\", "\x02", "u", "x"]) + text[at + 1 :]
        first, left, last = without_long_texts(pa.array(["{}", text, broken])).to_pylist()
        assert first == "{}"
        assert _shape(json.loads(left)) == _shape(value)
        assert _is_json(last) == _is_json(broken)


def test_a_text_is_put_back_where_its_mark_is():
    """As a text without its escapes, in JSON as it was; in columns, lists and objects."""
    draw = random.Random(4)
    for _ in range(100):
        texts = [_text(draw, 100) for _ in range(2)]
        line = json.dumps({"a": texts[0], "b": [{"c": texts[1]}]}, ensure_ascii=draw.random() < 0.5)
        left_out = LeftOut()
        short = without_long_texts(pa.array(["", line]), left_out)
        marks = json.loads(short[1].as_py())
        assert len(short[1].as_py()) < 200 < len(line)
        row = [None, {"t": marks["a"], "l": marks["b"], "json": short[1].as_py()}]
        back = left_out.put_back(pa.array([*row, {"t": "t", "l": [], "json": None}])[1:])
        assert back.to_pylist() == [
            {"t": texts[0], "l": [{"c": texts[1]}], "json": line},
            {"t": "t", "l": [], "json": None},
        ]


def test_half_of_an_escape_is_not_decoded():
    """However the steps fall: surrogates, quotes and backslashes in long runs."""
    for text in ("😀" * 50, '"' * 90, "\\" * 91, "é\n" * 40, "x" + "\\\n" * 45):
        for shift in range(8):
            line = json.dumps({"a": "y" * shift + text, "b": "z" * 200})
            left_out = LeftOut()
            short = without_long_texts(pa.array([line]), left_out)
            mark = json.loads(short[0].as_py())["a"]
            assert left_out.put_back(pa.array([mark])).to_pylist() == ["y" * shift + text]


_NUMBERS = {
    "integers": ["1", "-7", "0", "9007199254740993", "-0"],
    "unsigned": ["1", "18446744073709551615"],
    "large": ["1", "-99999999999999999999999999999999999999"],
    "huge": ["1" * 60, "2"],
    "doubles": ["0.1", "-0.0", "1e-400", "12", "2.5E+3", "0.1000000000000000055"],
    "infinite": ["0.5", "1e400"],
    "mixed": ["0.5", "9007199254740993"],
}


def _rows_of(lines: list[str], path, **options) -> list[object]:
    source = path / "in.jsonl"
    source.write_text("".join(line + "\n" for line in lines))
    made = path / "out.jsonl"
    dbshuf.shuffle(source, made, input_format="json", memory="4GB", seed=1, **options)
    return [json.loads(line) for line in made.read_text().splitlines()]


@pytest.mark.parametrize("name", _NUMBERS)
@pytest.mark.parametrize("others", ["", '{"n":8,"v":["a"]}', '{"n":8,"v":0.25}', '{"n":8,"v":[]}'])
def test_long_arrays_of_numbers_leave_as_their_values(name, others, tmp_path):
    """Whatever type their column has: numbers, the text of each, or JSON; at any depth."""
    draw = random.Random(name)
    texts = _NUMBERS[name] + [draw.choice(_NUMBERS[name]) for _ in range(60)]
    numbers = " ,\t".join(texts)
    lines = [
        f'{{"n":0,"v":[{numbers}],"t":"[{",".join(texts)}]","d":{{"e":[[{numbers}],[3],[{numbers}]]}}}}',
        f'{{"n":1,"v":[ {numbers}\r],"d":null}}',
        f'{{"n":2,"v":[7],"t":"{"x" * 300}","d":{{"e":[[4,5]]}}}}',
        '{"n":3,"v":null}',
        *([others] if others else []),
    ]
    wanted = [json.loads(line) for line in lines]
    found = sorted(_rows_of(lines, tmp_path, select="n, v, t, d"), key=lambda row: row["n"])
    for row, want in zip(found, wanted, strict=True):
        assert [row[key] for key in "nvt"] == [want.get(key) for key in "nvt"]
        assert (row["d"] or {}).get("e") == (want.get("d") or {}).get("e")
    assert [type(one) for one in found[0]["v"]] == [type(one) for one in found[1]["v"]]


@pytest.mark.parametrize(
    "flaw", ["1,", ",1", "1,,2", "01", "1.", "-", "+1", "1e", "1 2", ".5", "1-1", "1e5e5"]
)
def test_a_long_array_that_is_no_json_is_refused(flaw, tmp_path):
    """Wherever in it the flaw is; what it says is told as of any other."""
    plain = ",".join(map(str, range(100)))
    for content in (f"{flaw},{plain}", f"{plain},{flaw}", f"{plain},{flaw},{plain}"):
        with pytest.raises(dbshuf.DbshufError) as caught:
            _rows_of([f'{{"a":[{content}]}}'], tmp_path)
        assert caught.value.exit_code == 20, content


def test_a_long_array_costs_no_more_than_a_text_of_its_size():
    """Not DuckDB's 78 bytes a number: what it sees of the line is short."""
    line = f'{{"a":[{",".join(["123"] * 5000)}],"b":"[{"1," * 500}]"}}'
    left_out = LeftOut()
    [short] = without_long_texts(pa.array([line]), left_out).to_pylist()
    assert len(short) < 200
    assert without_long_texts(pa.array([line])).to_pylist() == ['{"a":[123,123],"b":""}']
