"""Errors that point at a place, in lines of any length and script."""

import duckdb
import pytest

from dbshuf.base.statements import filled, identifier, quoted_list
from dbshuf.query.parse import SqlText, details, first_sentence, pointed, shown, unterminated


def caret(text, needle):
    """What is shown for a text with a place in it."""
    return pointed(text, len(text[: text.index(needle)].encode()))


def test_the_caret_stands_under_the_place():
    """Behind wide, combining and many-byte letters, tabs and line ends."""
    assert caret("a + b", "b") == "\n  a + b\n      ^"
    assert caret("ä + b", "b") == "\n  ä + b\n      ^"
    assert caret("日本 + b", "b") == "\n  日本 + b\n         ^"
    assert caret("e\u0301 + b", "b") == "\n  e\u0301 + b\n      ^"
    assert caret("a\n\tb\r\nc", "b") == "\n   b\n   ^"
    assert pointed("ab", 2) == "\n  ab\n    ^"


def test_a_long_line_is_shown_around_the_place():
    """At its beginning, middle and end."""
    for before, after in ((0, 5000), (5000, 5000), (5000, 0)):
        text = "x" * before + "!" + "y" * after
        line, mark = caret(text, "!").strip("\n").split("\n")
        assert len(line) < 120
        assert line[mark.index("^")] == "!"


def test_a_place_that_is_none_is_not_shown():
    """Outside the user's text, or unknown."""
    assert pointed("abc", None) == pointed("abc", -3) == pointed("abc", 4) == ""
    assert SqlText("--where", "abc").invalid("bad", -1).message == "--where: bad"


def test_what_an_error_says_is_read_in_either_form():
    """DuckDB words some in JSON and some not."""
    text = '{"exception_type":"Binder","exception_message":"No x!","position":"7"}'
    for error in (f"Binder Error: {text}", text):
        found = details(duckdb.Error(error))
        assert (found.message, found.at) == ("No x!", 7)
    assert details(duckdb.Error("Binder Error: No x!\n\nLINE 1: select x\n  ^")).message == "No x!"
    assert details(OSError("gone")).message == "gone"
    assert details(duckdb.Error("Binder Error: {no json")).message == "{no json"


def test_a_message_is_one_short_printable_line():
    """Although it quotes a value of the user's, of any size."""
    error = duckdb.Error(
        "Conversion Error: Could not convert 'a\x1b[31m. B' to INT32. Use TRY(...)"
    )
    assert first_sentence(error) == "Could not convert '...' to INT32"
    assert len(shown("x" * 10_000)) < 400
    assert first_sentence(duckdb.Error("Error: one\ntwo")) == "one"


@pytest.mark.parametrize(
    ("text", "bare"),
    [("select 1", "select 1"), ("select 1 ; ;", "select 1 "), ("select ';'; -- x;", "select ';'"),
     ("select 'ä' -- ;", "select 'ä' -- ;"),
     ("/*;*/ select 'é' /*;*/ ;\n", "/*;*/ select 'é' /*;*/ ")],
)  # fmt: skip
def test_a_statement_loses_its_end_mark_only(text, bare):
    """Not one inside a text or a comment."""
    assert unterminated(text) == bare


def test_a_part_of_a_statement_is_put_in_once_and_its_place_is_known():
    """What looks like a part in the user's text is text."""
    made = filled("duckdb", "row_where", row="{where}", where="'ä{row}' = line")
    assert made.text == "SELECT {where} FROM lines WHERE (\n'ä{row}' = line\n)\n"
    assert made.text.encode()[made.starts["where"] :].startswith("'ä{row}'".encode())
    with pytest.raises(KeyError):
        filled("duckdb", "row_where", row="1")


def test_names_and_texts_are_quoted():
    """Whatever is in them."""
    assert identifier('a "b"') == '"a ""b"""'
    assert quoted_list(["it's", "x"]) == "['it''s', 'x']"
    assert quoted_list([]) == "[]"
