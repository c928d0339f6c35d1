"""--where and --select: the rows that plain Python would keep, however they are cut."""

import decimal
import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from query_tools import LINES, place, refused, relation, run_rows

from dbshuf.errors import QueryFailed
from dbshuf.query.row_filter import RowQuery

CONDITIONS = {
    "bytes > 3": lambda line: len(line.encode()) > 3,
    "line like '%ab%'": lambda line: "ab" in line,
    "not line like 'é%'": lambda line: not line.startswith("é"),
    "line in ('', 'ab', 'ba')": lambda line: line in ("", "ab", "ba"),
    "length(line) % 2 = 0 -- even": lambda line: len(line) % 2 == 0,
    "nullif(line, '') < 'b'": lambda line: line != "" and line < "b",
    "CASE WHEN line = '' THEN NULL ELSE true END": lambda line: line != "",
    "true": lambda line: True,
    "false": lambda line: False,
}


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    lines=st.lists(st.text("abé\n\0 ", max_size=6), max_size=30),
    first=st.sampled_from(sorted(CONDITIONS)),
    second=st.sampled_from(sorted(CONDITIONS)),
    is_and=st.booleans(),
    cut=st.integers(0, 30),
)
def test_where_keeps_what_python_keeps_in_order_however_chunks_are_cut(
    lines, first, second, is_and, cut
):
    """Ascending row numbers, NULL as false, any mixture of conditions."""
    text = f"({first}\n) {'and' if is_and else 'or'} ({second}\n)"
    both = all if is_and else any
    expected = [
        row
        for row, line in enumerate(lines)
        if both((CONDITIONS[first](line), CONDITIONS[second](line)))
    ]
    batch = relation(lines)
    query = RowQuery(text, None, LINES)
    evaluator = query.evaluator()
    found, start = [], 0
    for piece in (batch.slice(0, cut), batch.slice(cut)):
        kept, columns = evaluator.run(piece, place)
        assert columns is None
        assert kept.dtype == np.int64
        found += (kept + start).tolist()
        start += piece.num_rows
    evaluator.close()
    assert found == expected


def test_select_gives_the_columns_of_the_rows_that_where_keeps():
    """Both at once, with names, expressions and a star."""
    batch = relation(['{"text": "a"}', "no json", '{"text": "b"}'])
    kept, rows = run_rows("line like '{%'", "line->>'$.text' as text, source, id + 1 as n", batch)
    assert kept == [0, 2]
    assert rows == [
        {"text": "a", "source": "a.txt", "n": 1},
        {"text": "b", "source": "a.txt", "n": 3},
    ]
    _, rows = run_rows("bytes < 8", "* exclude (raw, id) replace (upper(line) as line)", batch)
    assert rows == [
        {"line": "NO JSON", "source": "a.txt", "position": 1, "bytes": 7, "line_number": 2}
    ]


def test_a_condition_guards_what_follows_it():
    """`json_valid(line) and ...` is how people write it; the second half must not fail."""
    batch = relation(['{"a": 1}', "no json"] * 3000)
    kept, _ = run_rows("json_valid(line) and line->>'$.a' = '1'", None, batch)
    assert kept == list(range(0, 6000, 2))


def test_only_the_columns_that_are_read_are_asked_for():
    """The caller makes no others, a star apart."""
    asked = {
        ("bytes > 3", None): {"bytes"},
        ("bytes > 3 or true", None): None,  # of no matter, but few
        (None, "upper(line) as u, source"): {"line", "source"},
        ("bytes > 3", "line"): {"bytes", "line"},
        (None, "* exclude (raw, line)"): set(LINES.names) - {"raw", "line"},
        (None, "COLUMNS('.*er$')"): {"line_number"},
        ("lines.bytes > LINE_number", None): {"bytes", "line_number"},
    }
    for (where, select), expected in asked.items():
        columns = RowQuery(where, select, LINES).columns
        assert len(columns) <= 1 if expected is None else columns == expected


def test_a_long_list_of_constants_keeps_the_order_of_rows():
    """DuckDB makes a join of it, and may turn a join round."""
    words = [str(n) for n in range(3000)]
    listed = ", ".join(f"'{word}'" for word in words[::3])
    kept, _ = run_rows(f"line in ({listed})", None, relation(words))
    assert kept == list(range(0, 3000, 3))
    _, rows = run_rows(None, f"line, line in ({listed}) as k", relation(words[:700]))
    assert rows == [{"line": word, "k": int(word) % 3 == 0} for word in words[:700]]


NOT_ROW_LOCAL = {
    "sum(bytes)": r"sum\(\) is an aggregate",
    "count(*)": r"count\(\) is an aggregate",
    "list(line)": r"list\(\) is an aggregate",
    "row_number() over ()": r"row_number\(\) over a window",
    "max(bytes) over (partition by source)": r"max\(\) over a window",
    "(select 1)": "subquery",
    "exists (select 1)": "subquery",
    "bytes in (select 1)": "subquery",
    "bytes = any([1])": "subquery",
    "unnest([1, 2])": r"unnest\(\) makes several rows",
    "generate_subscripts([1], 1)": r"generate_subscripts\(\) is made of others: unnest",
    "regexp_split_to_table(line, ' ')": r"unnest\(\) makes several rows",
    "json_group_array(line)": r"json_group_array\(\) is made of others: \w+\(\) is an aggregate",
    "random()": r"random\(\) is not the same in every run",
    "uuid()": r"uuid\(\) is not the same",
    "now()": r"now\(\) is not the same",
    "current_date": "current_date.* is not the same",
    "current_localtimestamp()": "is not the same",
    "age(timestamp '2020-01-01')": r"age\(\) is not the same",
    "ago(interval 1 day)": r"ago\(\) is made of others: current_timestamp",
    "system.main.sum(bytes)": r"sum\(\) is an aggregate",
}


@pytest.mark.parametrize("text", NOT_ROW_LOCAL)
def test_what_is_not_row_local_is_refused_by_name_with_the_way_out(text):
    """Before any work, in both options, and however deep it stands."""
    for where, select in ((f"[{text}] is null", None), (None, f"line, ({text}) as x")):
        error = refused(lambda w=where, s=select: RowQuery(w, s, LINES), NOT_ROW_LOCAL[text])
        assert "--sql" in error.hint


def test_functions_that_only_look_like_aggregates_are_row_local():
    """Over the elements of a list, or in the branch that fails on purpose."""
    batch = relation(["ab", "c"])
    _, rows = run_rows(None, "list_sum([bytes, 1]) as s, age(date '2020-01-02', date "
                       "'2020-01-01')::varchar as a, md5(line) = md5('c') as m", batch)  # fmt: skip
    assert rows == [{"s": 3, "a": "1 day", "m": False}, {"s": 2, "a": "1 day", "m": True}]
    run_rows("assert_true(bytes > 0) is null", None, batch)


TEXTS = {
    "bytes > 3; drop table x": "this is DROP",
    "bytes > 3;": "complete by itself",
    "bytes > 3) or (true": r"syntax error at or near \"\)\"",
    "1) union select (2": r"syntax error at or near \"\)\"",
    "bytes > 3 order by 1": "expressions only",
    "bytes from lines": "expressions only",
    "distinct bytes": "expressions only",
    "bytes > 3 union select true": "expressions only",
    "": "empty",
    " \n": "empty",
    "bytes > 3 /* open": "unterminated",
    "line = 'open": "unterminated",
    "bytes > $1": "parameters",
    "bytes, line": "one expression",
    "bytes > 3 as x": "without a name",
    "columns(*) is not null": "all columns at once",
    "length(to_json(lines)) > 3": "all columns at once",
    "current_setting('threads') = '1'": "current_setting",
    "dbshuf_row > 3": "dbshuf_row.* not found",
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_condition_is_one_expression_and_nothing_else(text):
    """Whatever the text is put into, it cannot become more than it is by itself."""
    refused(lambda: RowQuery(text, None, LINES), TEXTS[text], "^--where: ")


def test_comments_and_line_ends_in_a_text_are_harmless():
    """A comment to the end of the text does not take what follows it."""
    batch = relation(["ab", "c"])
    assert run_rows("bytes > 1 -- long", None, batch)[0] == [0]
    assert run_rows("-- long\nbytes > 1\n\n", None, batch)[0] == [0]
    assert run_rows(None, "bytes, -- how long\n line --", batch)[1][1] == {"bytes": 1, "line": "c"}


def test_an_error_points_at_the_place_and_names_the_columns():
    """In the user's own text, also behind letters of more than one byte."""
    error = refused(lambda: RowQuery("line = 'ää'\n  and lin > 3", None, LINES), "lin")
    assert error.message.endswith("\n    and lin > 3\n        ^")
    assert "line, raw, source, position, bytes, line_number, id" in error.hint
    error = refused(lambda: RowQuery(None, "upper(line), foo(line)", LINES), "foo")
    assert error.message.endswith("\n  upper(line), foo(line)\n               ^")
    error = refused(lambda: RowQuery("bytes >> ", None, LINES), "syntax error")
    assert error.message.endswith("\n  bytes >>\n        ^")


@pytest.mark.parametrize("bad", [0, 617, 4999])
def test_a_value_that_fails_is_named_by_its_place(bad):
    """The first of them, whichever step it fails in."""
    lines = ["12"] * 5000
    lines[bad] = lines[4999] = "twelve. Not 12"
    batch = relation(lines)
    for where, select in (
        ("line::int > 0", None),
        (None, "line::int as n"),
        ("bytes > 0", "line::int as n"),
    ):
        with pytest.raises(QueryFailed) as caught:
            run_rows(where, select, batch)
        assert caught.value.message.startswith(f"`a.txt` at row {bad}: --")
        assert "'...' to INT32" in caught.value.message
        assert "LINE 1" not in caught.value.message
    with pytest.raises(QueryFailed, match="at row 3: --select"):
        run_rows("id >= 3", "if(id = 3, error('boom'), 1) as x", relation(["x"] * 9))


@pytest.mark.parametrize("shift", range(4))
def test_what_is_no_json_is_named_where_its_letters_have_several_bytes(shift):
    """DuckDB quotes it as far as some byte, maybe within a letter, and 2.0.0 then says nothing."""
    said = "Malformed JSON at byte|DuckDB's ConversionException has no words"
    batch = relation(["1", "z" * shift + "é😀" * 90])
    for where, select in (("line::json = '1'", None), (None, "line::json AS n")):
        with pytest.raises(QueryFailed, match=rf"^`a\.txt` at row 1: --\w+: ({said})"):
            run_rows(where, select, batch)


def test_nothing_is_written_however_wide_the_values(tmp_path, monkeypatch):
    """Rows are evaluated in memory, and no temporary directory is made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    words = ", ".join(f"'{n}'" for n in range(5000))
    batch = relation([str(n) for n in range(3000)])
    kept, _ = run_rows(f"line in ({words}) and length(repeat(line, 9999)) > 0", None, batch)
    assert len(kept) == 3000
    assert list(tmp_path.iterdir()) == []


KINDS = {
    "true": (pa.bool_(), True),
    "1::utinyint": (pa.uint8(), 1),
    "-1::hugeint": (pa.decimal128(38, 0), decimal.Decimal(-1)),
    "1.5::decimal(5, 2)": (pa.decimal128(5, 2), decimal.Decimal("1.50")),
    "1.5::double": (pa.float64(), 1.5),
    "'a'": (pa.string(), "a"),
    "'a'::blob": (pa.binary(), b"a"),
    "'[1]'::json": (pa.string(), "[1]"),
    "'00000000-0000-0000-0000-000000000001'::uuid": (
        pa.string(),
        "00000000-0000-0000-0000-000000000001",
    ),
    "timestamptz '2020-01-01 02:00:00+02'": (pa.timestamp("us", "UTC"), None),
    "date '2020-01-01'": (pa.date32(), None),
    "[1, 2]": (pa.list_(pa.int32()), [1, 2]),
    "{'a': 1, 'b': ['x']}": (
        pa.struct([("a", pa.int32()), ("b", pa.list_(pa.string()))]),
        {"a": 1, "b": ["x"]},
    ),
    "map(['a'], [1])": (pa.map_(pa.string(), pa.int32()), [("a", 1)]),
    "[1, 2]::int[2]": (pa.list_(pa.int32(), 2), [1, 2]),
    "NULL": (pa.null(), None),
}


@pytest.mark.parametrize("text", KINDS)
def test_the_schema_is_true_for_every_chunk(text):
    """With values, all NULL, and without rows; the types are plain ones."""
    kind, value = KINDS[text]
    query = RowQuery("bytes < 3", f"if(bytes = 1, {text}, NULL) as x", LINES)
    assert query.schema.field("x").type == kind
    evaluator = query.evaluator()
    for lines, rows in ((["a", "ab"], 2), (["ab"] * 5, 5), (["abc"], 0), ([], 0)):
        _, found = evaluator.run(relation(lines), place)
        assert found.schema.equals(query.schema)
        found.validate(full=True)
        assert found.num_rows == rows
        if rows == 2 and value is not None:
            assert found["x"].to_pylist() == [value, None]
    evaluator.close()


@pytest.mark.parametrize(
    "text",
    ["'12:00'::timetz", "'101'::bit", "1::bignum", "interval 1 day", "'a'::enum('a', 'b')",
     "1::union(a int, b varchar)", "1::uhugeint", "1::variant", "[1::hugeint]",
     "{'a': [interval 1 day]}"],
)  # fmt: skip
def test_a_type_that_no_output_holds_is_refused_with_a_cast(text):
    """Rather than written as bytes that nobody reads, or cut."""
    error = refused(lambda: RowQuery(None, f"{text} as x", LINES), "the column `x` of the result")
    assert "cast it" in error.hint


def test_a_number_of_more_than_38_digits_is_named_not_written_wrong():
    """HUGEINT has 39, Arrow's decimals have 38."""
    batch = relation(["1", "99999999999999999999999999999999999999", "-3"])
    _, rows = run_rows(None, "line::hugeint as h", batch)
    assert [str(row["h"]) for row in rows] == ["1", "9" * 38, "-3"]
    for value in ("100000000000000000000000000000000000000", "-1" + "0" * 38):
        with pytest.raises(QueryFailed, match=r"at row 2: --select: .*`h` has more than 38 digits"):
            run_rows(None, "line::hugeint as h", relation(["0", "1", value]))


def test_two_columns_of_one_name_are_refused():
    """No output can tell them apart."""
    refused(lambda: RowQuery(None, "line, upper(line) as line", LINES), "two columns `line`")
    schema = pa.schema([("a", pa.int8()), ("A", pa.int8())])
    refused(lambda: RowQuery("a > 1", None, schema), "`a` and `A` of the input for one")


def test_a_column_that_sql_has_no_type_for_is_in_the_way_of_a_star_only():
    """Where rows are only kept or dropped, it leaves as it came."""
    schema = pa.schema([("a", pa.int64()), ("half", pa.float16())])
    assert RowQuery("a > 1", None, schema).columns == {"a"}
    assert RowQuery(None, "a + 1 as b", schema).schema.names == ["b"]
    refused(lambda: RowQuery(None, "*", schema), "no type for the column `half`")
    refused(lambda: RowQuery("half > 1", None, schema), "no type for the column `half`")


def test_names_that_need_quotes_or_look_like_ours_are_fine():
    """Columns of tables are named by people."""
    schema = pa.schema([(name, pa.int64()) for name in ('a "b"', "select", "dbshuf_row", "Straße")])
    batch = pa.RecordBatch.from_pydict({name: [1, 2, 3] for name in schema.names}, schema=schema)
    query = RowQuery('"a ""b""" > 1 and "select" < 3 and dbshuf_row = 2', "*", schema)
    evaluator = query.evaluator()
    kept, found = evaluator.run(batch, place)
    evaluator.close()
    assert kept.tolist() == [1]
    assert found.to_pylist() == [dict.fromkeys(schema.names, 2)]


def test_workers_share_a_query_each_in_its_own_thread():
    """What one does, no other sees."""
    query = RowQuery("bytes > 1", "line", LINES)
    results = {}

    def work(number):
        evaluator = query.evaluator()
        for turn in range(5):
            batch = relation([f"{number}-{turn}-{n}" for n in range(500)] + ["x"])
            results[number, turn] = evaluator.run(batch, place)[1].num_rows
        evaluator.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {(number, turn): 500 for number in range(3) for turn in range(5)}


def test_values_depend_on_no_time_zone_of_the_machine(monkeypatch):
    """One seed, one result, wherever it runs."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    _, rows = run_rows(
        None, "(timestamptz '2020-01-01 00:00:00+00')::varchar as t", relation(["x"])
    )
    assert rows == [{"t": "2020-01-01 00:00:00+00"}]


@pytest.fixture
def small(monkeypatch):
    """Have SQL evaluated in 16 MB."""
    monkeypatch.setattr("dbshuf.query.row_filter.EVALUATION_BYTES", 16 << 20)


def test_rows_whose_result_does_not_fit_at_once_are_run_in_pieces(small):
    """Of 100 MB, in 16 MB; a row is longer than half of the rest of its chunk."""
    lines = [chr(97 + i % 26) * 50_000 for i in range(1000)]
    lines[400] = "z" * 1_000_000
    batch = relation(lines)
    kept, rows = run_rows("line > 'b'", "upper(line) AS u, position", batch)
    expected = [row for row, line in enumerate(lines) if line > "b"]
    assert kept == expected
    assert rows == [{"u": lines[row].upper(), "position": row} for row in expected]


def test_a_row_that_does_not_fit_alone_is_named(small):
    lines = ["a"] * 10 + ["b" * 30_000_000] + ["c"]
    with pytest.raises(QueryFailed, match=r"at row 10: --select: the row does not fit") as caught:
        run_rows(None, "upper(line)", relation(lines))
    assert "--sql" in caught.value.hint


def test_a_row_that_fails_is_named_behind_pieces_too(small):
    lines = ["1" + " " * 50_000] * 700 + ["no number"] + ["2"] * 5
    with pytest.raises(QueryFailed, match="at row 700: --select"):
        run_rows(None, "upper(line) AS u, line::INT AS n", relation(lines))
