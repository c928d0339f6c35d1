"""JSON lines: a value leaves as the same JSON value, and what is no JSON is told with its place."""

import json

import pytest
from public_shapes import ALPHABETS, STRATEGIES, check_told, json_lines, multiset, refusal, shuffle

VALUES = (
    "0.1", "1e400", "-1e400", "-0", "-0.0", "1E2", "1.0", "1", "1e-400", "123456789012345678901",
    "18446744073709551616", "9007199254740993", "0.1000000000000000055511151231257827",
    "null", "true", '""', '"1"', '"\\u0000"', '"\\ud83e\\udd86"', '"\\u00e9"', '"\\/"', "[]", "{}",
    "[1,null]", '[{"a":1},"x"]', '{"":1}', '{"a":{"b":[0.1,1e400]}}', '"2024-01-01"', '"NaN"',
    '"[1]"', '"{\\"a\\":1}"', "  1  ", '"\\u2028"', "1.5e300", '"a\\nb"',
)  # fmt: skip
INVALID = (
    "[1,]", "0,", "[1", "]", "01", "+1", "1.", ".5", "1e", "0x1", "NaN", "Infinity", "-Infinity",
    "nul", "True", "'a'", '"\t"', '"\\x"', '"\\u12"', '"', "[,1]", "[1 2]", '{"a"}', '{"a":}',
    '{a:1}', '{"a":1,}', "{'a':1}", "1 2", "-", "--1", "1_0", "/* */ 1", "[1,,2]", "\u00a01", "",
)  # fmt: skip
READ = {"input_format": "json"}


def plain(value):
    """JSON has one kind of number, as Python's == has it: 1 is 1.0, and 2**53 + 1 no double."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def values_in(lines):
    return multiset(plain(json.loads(line)) for line in lines)


def values_of(path):
    return values_in(path.read_bytes().splitlines())


@pytest.mark.parametrize("value", VALUES)
def test_a_value_beside_a_plain_one_leaves_as_the_same_value(value, home):
    """What Python's json reads of every row is what it reads of the output."""
    lines = ['{"f":0.1,"n":1}', f'{{"f":{value},"n":2}}']
    source = json_lines(home / "in.jsonl", *lines)
    assert values_of(shuffle(source, home / "out.jsonl", **READ)) == values_in(lines)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_all_values_of_one_file_leave_as_they_are(strategy, home):
    lines = [f'{{"n":{n},"f":{value}}}' for n, value in enumerate(VALUES)]
    source = json_lines(home / "in.jsonl", *lines)
    made = shuffle(source, home / "out.jsonl", strategy=strategy, **READ)
    assert values_of(made) == values_in(lines)


@pytest.mark.parametrize("value", INVALID)
def test_what_is_no_json_is_an_error_with_its_place(value, home):
    """RFC 8259, and nothing beside it."""
    good = '{"id":1}'
    source = json_lines(home / "in.jsonl", good, f'{{"id":{value}}}', good)
    error = str(refusal(source, home / "out.jsonl", **READ))
    assert "in.jsonl" in error
    assert str(len(good) + 1) in error or "line 2" in error or "row 2" in error


@pytest.mark.parametrize(
    "line",
    [
        '{"a":0,"a":-0}', '{"a":1,"A":2}', '{"a\\u0000b":1}', '{"":1}', '{"\\u0000":{"x":1}}',
        *(f'{{"a":{"[" * n}{"]" * n}}}' for n in (119, 120, 121, 500, 5000)),
        '{"a":' * 130 + "1" + "}" * 130,
        '{"a":"\\ud800"}', '{"\\ud800":1}', '{"o":{"k":1,"k":2}}', '{"id":1,"source":2}',
    ],
    ids=lambda line: line[:24] + str(len(line)),
)  # fmt: skip
def test_odd_keys_and_depths_are_read_or_told_never_a_bug(line, cli, home):
    """Read where a column can hold it, else JSON text kept, else an error with its place."""
    source = json_lines(home / "in.jsonl", line)
    ran = cli("shuffle", source, "-o", "out.jsonl", "--from", "json")
    if ran.code:
        check_told(ran, "in.jsonl")
    else:
        made = (home / "out.jsonl").read_text()
        assert made.strip() == line or json.loads(made) == json.loads(line)


def test_blank_lines_a_bom_and_crlf_are_no_rows(cli, home):
    """Editors leave them: the rows are those of the values, or the place is told."""
    for name, data in (
        ("blank", b'\n{"a":1}\n\n \n{"a":2}\n\n'),
        ("crlf", b'{"a":1}\r\n\r\n{"a":2}\r\n'),
        ("bom", b'\xef\xbb\xbf{"a":1}\n{"a":2}'),
    ):
        (home / "in.jsonl").write_bytes(data)
        ran = cli("shuffle", "in.jsonl", "-o", f"{name}.jsonl", "--from", "json")
        if ran.code:
            check_told(ran, "in.jsonl")
        else:
            assert values_of(home / f"{name}.jsonl") == multiset([{"a": 1}, {"a": 2}])


def test_first_values_that_are_null_decide_no_type(home):
    lines = [*['{"a":null}'] * 5000, '{"a":"x"}', '{"a":"null"}']
    source = json_lines(home / "in.jsonl", *lines)
    assert values_of(shuffle(source, home / "out.jsonl", **READ)) == values_in(lines)
    first = json_lines(home / "two/a.jsonl", '{"a":null}')
    json_lines(home / "two/b.jsonl", '{"a":{"k":0.5}}')
    made = shuffle(first.parent, home / "both.jsonl", **READ)
    assert values_of(made) == multiset([{"a": None}, {"a": {"k": 0.5}}])


def test_one_value_of_20_mb_is_read_within_2_gb(measured, home):
    """One long row may take what the cap has left."""
    value = "é" * 10_000_000
    lines = [json.dumps({"t": value}, ensure_ascii=False), '{"t":"short"}']
    source = json_lines(home / "in.jsonl", *lines)
    ran = measured("shuffle", source, "-o", "out.jsonl", "--from", "json", "--memory", "2GB")
    assert ran.code == 0, ran.err[:500]
    assert ran.peak_rss_bytes < 2_000_000_000
    assert values_of(home / "out.jsonl") == values_in(lines)


def test_a_key_that_a_row_lacks_is_not_made_up(home):
    """A row equals what Python's json reads of it: no key is not null."""
    lines = ['{"a":1,"b":{"x":1}}', '{"b":{"y":null}}', '{"a":null}', "{}"]
    source = json_lines(home / "in.jsonl", *lines)
    assert values_of(shuffle(source, home / "out.jsonl", **READ)) == values_in(lines)


def test_keys_in_every_script_stay(home):
    lines = [json.dumps(dict.fromkeys(ALPHABETS, n)) for n in range(3)]
    source = json_lines(home / "in.jsonl", *lines)
    assert values_of(shuffle(source, home / "out.jsonl", **READ)) == values_in(lines)


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("select n, coalesce(v, w) as x from lines", [1, "x", {"a": [1.5, "q"]}, [2, "y"]]),
        (
            "select n, case when n = 1 then w else v end as x from lines",
            [1, 7, {"a": [1.5, "q"]}, None],
        ),
        ("select min(n) as n, any_value(w) as x from lines group by n", [None, 7, None, [2, "y"]]),
        (
            "select n, (select v from lines where n = 2) as x from lines where n = 0",
            [{"a": [1.5, "q"]}],
        ),
        ("select n, coalesce(v, '7') as x from lines where n = 2", ['{"a":[1.5,"q"]}']),
    ],
)
def test_a_json_value_that_sql_chooses_leaves_as_that_value(sql, wanted, home):
    """Whatever branch it comes from; beside a text it is text, which is said."""
    lines = [
        '{"n":0,"v":1}', '{"n":1,"v":"x","w":7}', '{"n":2,"v":{"a":[1.5,"q"]}}',
        '{"n":3,"w":[2,"y"]}',
    ]  # fmt: skip
    source = json_lines(home / "in.jsonl", *lines)
    made = shuffle(source, home / "out.jsonl", sql=sql, **READ)
    rows = sorted(map(json.loads, made.read_text().splitlines()), key=lambda row: row["n"])
    assert [row["x"] for row in rows] == wanted
