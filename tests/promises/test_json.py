"""JSON lines: what is JSON is read and leaves as the same value, and what is not is an error."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import dbshuf
from dbshuf.errors import DbshufError, NotUtf8, QueryFailed, QueryInvalid

SOUND = [
    "1", "-0", "0", "1.0", "-0.0", "1e400", "-1E+400", "0.1", "1e-400", "0.1000000000000000055",
    "9007199254740993", "18446744073709551616", "12345678901234567890123", "1" * 60, "1E5",
    "true", "null", '""', '"1"', '"true"', '"2020-01-01"', '"\\u0000"', '"\\u00e9\\ud83d\\ude00"',
    '"\\/\\b\\f\\n\\r\\t\\"\\\\"', '"nan, inf ], NaN ] ,]"', '"é\u2028\x7f"', "[]", "{}", "[[]]",
    "[{}]",
    "[1,\"x\",null,{\"y\":[1.5]}]", "[1,-1]", "[1,1.5,9007199254740993]", '{"x":{"a":0,"a":-0}}',
    '{"":1,"a":2,"A":3}', '{"\\u0000":1,"b\\u0000":{"c.d":null}}', '{"q\\"":" ] , }"}',
    '{"a":1,"b":2}', '{"b":1,"c":"x"}', "[" * 130 + "]" * 130, '{"x":' * 130 + "1" + "}" * 130,
    "[" * 3000 + "1234567890123456" + "]" * 3000,
]  # fmt: skip
NO_JSON = [
    "[1,]", "[1, ]", "[,1]", "[1 2]", "[", "]", "[NaN]", "[-Infinity]", "inf", "nan", "NaN", "-nan",
    "01", "+1", "1.", ".5", "1e", "0x1", "1_0", "True", "nul", "'x'", "\"\t\"", '"\\x41"', "{a:1}",
    '{"a":1,}', '{"a" 1}', '{"a":1 "b":2}', "{1:1}", "[1]]", "// x\n1", "/**/1", "[1]}", "",
    "[12345678901234567890,]", "[" * 3000 + "1," + "]" * 3000, "[" * 3000 + "1" + "]" * 2999,
]  # fmt: skip


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").split("\n")[:-1]


def same(got: list[str], want: list[str]) -> bool:
    """Whether lines hold the same values as Python reads them, to the type of each number."""
    return sorted(repr(json.loads(line)) for line in got) == sorted(
        repr(json.loads(line)) for line in want
    )


@pytest.fixture(name="shuffled")
def shuffled_(tmp_path: Path) -> Callable[..., list[str]]:
    """Shuffle JSON lines to JSON lines; return these."""

    def run(data: str | bytes, **options: object) -> list[str]:
        data = data.encode() if isinstance(data, str) else data
        (tmp_path / "in.jsonl").write_bytes(data)
        output = tmp_path / "out.jsonl"
        dbshuf.shuffle(tmp_path / "in.jsonl", output, input_format="json", seed=1, **options)
        return lines_of(output)

    return run


@pytest.mark.parametrize("strategy", ["memory", "partition", "spill"])
def test_every_value_leaves_as_the_same_value_whatever_is_beside_it(strategy, shuffled):
    """In one column all of them, keys missing here and there, null elsewhere."""
    sound = [text for text in SOUND if len(text) < 900]
    lines = [f'{{"v": {text}, "k{number % 7}": null}}' for number, text in enumerate(sound)]
    lines += [f'{{"v":{text}}}' for text in sound] + ["{}", '{"w": 1}']
    random.Random(1).shuffle(lines)
    got = shuffled("\n".join(lines), strategy=strategy)
    assert same(got, lines)


@pytest.mark.parametrize("text", SOUND)
def test_what_is_json_is_read_into_columns_and_rows(text, shuffled, tmp_path):
    """Deep values too; in Parquet as columns, or as the text that they are."""
    line = f'{{"v": {text}}}'
    assert shuffled(line, where="position = 0") == [line]
    dbshuf.shuffle(tmp_path / "in.jsonl", tmp_path / "out.parquet", input_format="json")
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 1


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
@pytest.mark.parametrize("text", NO_JSON)
def test_what_is_no_json_is_an_error_with_its_place(text, name, tmp_path):
    """As RFC 8259 has it, wherever in the line, and among lines that are sound."""
    before = '{"v": 1}\0' * 9
    (tmp_path / "in.jsonl").write_text(before + f'{{"v": {text}}}' + "\0" + before)
    with pytest.raises(QueryFailed, match=rf"in\.jsonl` at byte {len(before)}: --from json: "):
        dbshuf.shuffle(
            tmp_path / "in.jsonl", tmp_path / name, input_format="json", zero_terminated=True
        )
    assert not (tmp_path / name).exists()


def test_a_comma_after_the_last_member_of_a_line_is_an_error(shuffled):
    for line in ('{"id":0,}', '{"id":0 ,\t}', '{"id":"x","y":[],}'):
        with pytest.raises(QueryFailed, match=r"in\.jsonl` at byte 9: --from json: no JSON"):
            shuffled('{"id":1}\n' + line + "\n")


def test_line_ends_marks_and_blank_lines_are_no_part_of_a_value(shuffled):
    """CRLF, a BOM at the head, lines of white space, a last line without an end."""
    data = b'\xef\xbb\xbf{"a":1}\r\n\r\n \t\n  {"a":2} \r\n{"a":3}'
    assert sorted(shuffled(data)) == ['{"a":1}', '{"a":2}', '{"a":3}']
    assert sorted(shuffled(data, where="a > 1")) == ['{"a":2}', '{"a":3}']
    assert shuffled(data, where="a = 1", select="a") == ['{"a":1}']
    assert shuffled(b'{"a":\n1\n}\0\n', zero_terminated=True) == ['{"a": 1 }']
    with pytest.raises(NotUtf8, match=r"in\.jsonl` at byte 8"):
        shuffled(b'{"a":1}\n{"a":"\xff"}\n')


def test_keys_that_no_column_can_have_stay_keys_of_json_lines(shuffled, tmp_path):
    """Where SQL is to see columns, the error names the place of the first such key."""
    for line in ('{"a":1,"A":2}', '{"":1}', '{"a\\u0000b":1}'):
        assert shuffled(line) == [line]
        for name, options in (("out.parquet", {}), ("out.jsonl", {"where": "true"})):
            with pytest.raises(QueryInvalid, match=r"in\.jsonl` at byte 0: --from json"):
                dbshuf.shuffle(
                    tmp_path / "in.jsonl", tmp_path / name, input_format="json", **options
                )


def test_ten_thousand_keys_are_read(shuffled):
    """All in one object, and one an object."""
    keys = [f"k{number}" for number in range(10_000)]
    lines = [json.dumps(dict.fromkeys(keys, 1)), json.dumps({"k1": 2})]
    assert same(shuffled("\n".join(lines)), lines)


def test_columns_hold_null_where_a_row_has_no_such_key(shuffled, tmp_path):
    """Parquet cannot tell them apart; JSON lines stay as they were."""
    lines = ['{"a":1}', '{"b":null}']
    assert sorted(shuffled("\n".join(lines))) == lines
    dbshuf.shuffle(tmp_path / "in.jsonl", tmp_path / "out.parquet", input_format="json", seed=1)
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert sorted(map(str, rows)) == ["{'a': 1, 'b': None}", "{'a': None, 'b': None}"]


def test_no_json_ends_as_a_bug(tmp_path):
    """Random texts of JSON's own bytes are read, or refused with their place."""
    rng = random.Random(7)
    parts = [*'[]{},:"0-1.eE ', "null", "nan", '"a":', "1e999", "\\u0000"]
    for turn in range(80):
        line = f'{{"v":{"".join(rng.choices(parts, k=9))}}}'
        (tmp_path / "in.jsonl").write_text(line)
        output = tmp_path / ("out.parquet" if turn % 2 else "out.jsonl")
        assert outcome(tmp_path / "in.jsonl", output) == is_json(line), line


def is_json(line: str) -> bool:
    """Whether Python takes a line for JSON, without NaN and infinities."""

    def refuse(text: str) -> None:
        raise ValueError(text)

    try:
        json.loads(line, parse_constant=refuse)
    except ValueError:
        return False
    return True


def outcome(source: Path, output: Path) -> bool:
    """Whether a file is taken; an error must name it."""
    try:
        dbshuf.shuffle(source, output, input_format="json")
    except DbshufError as error:
        if source.name in error.message:
            return False
        raise
    return True


MIXED = [
    '{"n":1,"f":1e400,"deep":{"x":[1,"a",{"y":[]}],"s":"t"},"t":"plain","e":{}}',
    '{"n":2,"f":0.1,"deep":{"x":[null],"s":"u"},"t":"{}","e":{}}',
    '{"n":3,"f":"1e400","deep":{"x":["\\"\\n",-0.0],"s":"1"},"t":"1e400","e":{}}',
]


def _values(lines):
    """Each row as Python's json reads it, numbers as their texts; in the order of n."""
    rows = [json.loads(line, parse_float=lambda text: ("float", text)) for line in lines]
    return sorted(rows, key=lambda row: row["n"])


@pytest.mark.parametrize(
    "option",
    [["--select", "*"], ["--select", "deep, n, e, f, t"], ["--where", "n > 0"],
     ["--select", "lines.*"], ["--sql", "from lines"],
     ["--sql", "select n, lines.f, deep, t, e from lines where n < 9"]],
)  # fmt: skip
@pytest.mark.parametrize("strategy", ["memory", "partition", "spill"])
def test_a_value_that_no_type_holds_leaves_as_it_came_through_sql(option, strategy, cli, home):
    (home / "in.jsonl").write_text("\n".join(MIXED) + "\n")
    if option[0] == "--sql":
        (home / "q.sql").write_text(option[1])
        option = ["--sql", "q.sql"]
    ran = cli(
        "shuffle", "in.jsonl", "--from", "json", "--format", "jsonl", "--seed", "1",
        "--strategy", strategy, *option,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert _values(ran.out.splitlines()) == _values(MIXED)


def test_a_value_that_no_type_holds_leaves_a_store_and_splits_as_it_came(cli, home):
    (home / "in.jsonl").write_text("\n".join(MIXED) + "\n")
    assert cli("ingest", "s.duckdb", "in.jsonl", "--from", "json").code == 0
    for more in ([], ["--select", "* exclude (n), n"]):
        ran = cli("export", "s.duckdb", "--format", "jsonl", *more)
        assert ran.code == 0, ran.err
        assert _values(ran.out.splitlines()) == _values(MIXED)
    ran = cli(
        "shuffle", "in.jsonl", "--from", "json", "--split", "a=0.5,b=0.5", "--split-by", "n",
        "-o", "out.jsonl",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    found = [
        line for path in home.glob("out*/**/*.jsonl") for line in path.read_bytes().splitlines()
    ]
    found += [line for path in home.glob("out*.jsonl") for line in path.read_bytes().splitlines()]
    assert _values(found) == _values(MIXED)


def test_text_that_sql_makes_stays_text(cli, home):
    """Only values that pass as they are are JSON; in Parquet the column is text."""
    (home / "in.jsonl").write_text("\n".join(MIXED) + "\n")
    select = "n, f || '' as f, t, * exclude (n, f, t) replace (e::varchar as e)"
    ran = cli("shuffle", "in.jsonl", "--from", "json", "--format", "jsonl", "--select", select)
    assert ran.code == 0, ran.err
    rows = _values(ran.out.splitlines())
    assert [row["f"] for row in rows] == ["1e400", "0.1", '"1e400"']
    assert {row["e"] for row in rows} == {"{}"}
    assert rows[0]["deep"] == _values(MIXED)[0]["deep"]


TWICE = [
    '{"a":1,"a":2}',
    '{"a":null,"b":{"c":1,"c":"x","d":[{"e":1,"e":2},{"e":3}]}}',
    '{"a":5,"b":{"c":"y","d":[]},"b":{"d":[],"c":"z"}}',
    '{"a":1234567890123456789, "\\u0061" :0,"b":null}',
    '{"a":7,"b":{"c":":\\":{","d":null}}',
]


@pytest.mark.parametrize("options", [("--where", "a >= 0"), ("--select", "a, b"), ("--sql",)])
def test_of_equal_keys_the_last_counts_as_in_python(options, cli, home):
    """In columns too, at every depth, and however the key is written."""
    (home / "in.jsonl").write_text("\n".join(TWICE) + "\n")
    if options == ("--sql",):
        (home / "all.sql").write_text("select a, b from lines\n")
        options = ("--sql", "all.sql")
    ran = cli("shuffle", "in.jsonl", "--from", "json", "-o", "out.jsonl", *options)
    assert ran.code == 0, ran.err
    rows = [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()]
    kept = [json.loads(line) for line in TWICE if json.loads(line)["a"] is not None]
    wanted = kept if "--where" in options else [json.loads(line) for line in TWICE]
    if "--where" not in options:
        wanted = [{"a": one["a"], "b": one.get("b")} for one in wanted]
    assert sorted(map(repr, map(canonical, rows))) == sorted(map(repr, map(canonical, wanted)))


def canonical(value):
    """The same for values that differ in the order of keys, or in keys that are null."""
    if isinstance(value, dict):
        return sorted((key, canonical(one)) for key, one in value.items() if one is not None)
    return [canonical(one) for one in value] if isinstance(value, list) else value


def test_of_equal_keys_the_last_is_in_a_store(cli, home):
    """Whether the first input has such an object, or a later one."""
    for name, line in (("a", '{"a":1,"b":"x"}'), ("b", '{"a":1,"b":"x","a":2}')):
        (home / f"{name}.jsonl").write_text(line + "\n")
        ran = cli("ingest", "rows.db", f"{name}.jsonl", "--from", "json")
        if ran.code == 3:  # the store comes last
            ran = cli("ingest", f"{name}.jsonl", "rows.db", "--from", "json")
        assert ran.code == 0, ran.err
    ran = cli("export", "rows.db", "-o", "out.csv")
    assert ran.code == 0, ran.err
    assert sorted((home / "out.csv").read_text().splitlines()[1:]) == ["1,x", "2,x"]
