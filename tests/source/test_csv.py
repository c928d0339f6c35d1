"""CSV and TSV: every value as Python's csv module reads it, nothing skipped, nothing guessed."""

import csv
import gzip
import io
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typed_sources import piped, read_rows

from dbshuf.errors import DbshufError, InputBroken, LineTooLong, NotUtf8, SchemaMismatch
from dbshuf.source import head
from dbshuf.source.tables import csv as delimited

EXACT = settings(derandomize=True, deadline=None, max_examples=150)
# Surrogates are no UTF-8, and a NUL is nothing special.
TEXT = st.text(st.one_of(st.sampled_from('a,"\n\r\t \0'), st.characters(exclude_categories=["Cs"])))


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 64 bytes, so that rows lie across their ends."""
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 64)


def as_csv(rows, **options):
    """Return rows as bytes of Python's writer, and what Python's reader makes of them."""
    text = io.StringIO(newline="")
    csv.writer(text, **options).writerows(rows)
    plain = {name: options[name] for name in options if name == "delimiter"}
    found = list(csv.reader(io.StringIO(text.getvalue(), newline=""), **plain))
    return text.getvalue().encode(), found


def values(data, kind="csv", **options):
    """Return the rows of some bytes as lists."""
    return [list(row.values()) for row in read_rows([piped(data)], kind, **options)]


@pytest.mark.parametrize("kind", ["csv", "tsv"])
@given(data=st.data())
@settings(EXACT)
def test_values_are_those_of_pythons_csv_module(kind, data):
    """Any text, quoted as needed or always, with either line end, across block ends.

    With LF as its line end, Python's writer leaves a CR without quotes.
    """
    columns = data.draw(st.integers(1, 4))
    row = st.lists(TEXT, min_size=columns, max_size=columns)
    rows = data.draw(st.lists(row, max_size=12))
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    end = data.draw(st.sampled_from(["\n", "\r\n"])) if quoting == csv.QUOTE_ALL else "\r\n"
    delimiter = "," if kind == "csv" else "\t"
    header = [f"c{i}" for i in range(columns)]
    text, found = as_csv([header, *rows], delimiter=delimiter, quoting=quoting, lineterminator=end)
    with mock.patch.object(delimited, "_BLOCK_BYTES", data.draw(st.integers(1, 80))):
        assert values(text, kind) == found[1:] == rows


@given(st.lists(st.sampled_from(list('ab",\n\r')), max_size=60).map("".join), st.integers(1, 9))
@settings(EXACT, max_examples=300)
@example(text='a"b,"c"', block_bytes=7)
@example(text='a"b,"c"\n"d""', block_bytes=8)
def test_where_blocks_end_changes_nothing(text, block_bytes):
    """Also for text that is no sound CSV: the same rows or the same kind of error."""
    outcomes = []
    for size in (block_bytes, 1 << 20):
        with mock.patch.object(delimited, "_BLOCK_BYTES", size):
            try:
                outcomes.append(values(b"c,d\n" + text.encode()))
            except DbshufError as error:
                outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


def test_nothing_is_converted():
    """Text that looks like a number, a date, a NULL or nothing stays as it is."""
    text = b"a,b,c,d\n007,1.10,NULL,\ntrue, x ,2020-01-01,NaN\n"
    assert values(text) == [["007", "1.10", "NULL", ""], ["true", " x ", "2020-01-01", "NaN"]]


def test_a_byte_order_mark_and_a_last_line_without_an_end_make_no_difference():
    """What spreadsheet programs write."""
    assert read_rows([piped(b'\xef\xbb\xbf"a b",c\r\n1,"2\r\n3"')], "csv") == [
        {"a b": "1", "c": "2\r\n3"}
    ]


def test_a_byte_order_mark_that_begins_a_row_is_part_of_its_value(small_blocks):
    """As where files that have one were put together; wherever a block begins, it stays."""
    rows = [["\ufeffa", "1"], ["\ufeff", ""], ['\ufeff"x"', "2"], ["\ufeff\ufeffé", "3"]]
    text = "".join(f"{a},{b}\n" for a, b in rows * 20)
    assert values(f"c,d\n{text}".encode()) == rows * 20


def test_empty_lines_are_rows_of_one_column_only(small_blocks):
    """Between rows of several columns they hold nothing; in one column, an empty value."""
    assert values(b"\n\na,b\n\n1,2\n\n\n" + b"\n" * 200 + b"3,4\n\n") == [["1", "2"], ["3", "4"]]
    assert values(b"a\n1\n\n2\n") == [["1"], [""], ["2"]]


def test_a_quote_within_an_unquoted_value_is_text(small_blocks):
    """Inches and the like; it neither opens a field nor hides the rows behind it."""
    rows = [[f'{i}" disk', 'say "hi"'] for i in range(50)]
    text = b"a,b\n" + "".join(f"{a},{b}\n" for a, b in rows).encode()
    assert values(text) == rows
    assert values(b'a,b\n5" disk,"x"') == [['5" disk', "x"]]


def test_a_field_that_goes_on_behind_its_quotes_is_refused_with_its_place():
    """Lenient readers drop the quotes and so change the value."""
    with pytest.raises(InputBroken, match=r"pipe-0.*closing quote at byte 16") as caught:
        values(b'a,b\n1,2\n3,"hello" she said\n')
    assert '""' in caught.value.hint


@pytest.mark.parametrize(
    ("row", "fields"), [(b"1", 1), (b"1,2,3", 3), (b"1,\xff,3", 3)], ids=["few", "many", "bytes"]
)
def test_a_row_with_another_number_of_fields_is_named(small_blocks, row, fields, capfd):
    """Rows count from 0, also those of earlier blocks and across line ends in values."""
    text = b"a,b\n" + b'"x\ny",2\n' * 70 + row + b"\n1,2\n"
    with pytest.raises(InputBroken, match=rf"pipe-0.*row 70: {fields} fields.*has 2"):
        values(text)
    assert capfd.readouterr() == ("", "")


def test_a_quote_without_its_partner_is_named(small_blocks):
    """The file ends inside it; nothing of the row is given out as if it were whole."""
    with pytest.raises(InputBroken, match=r"pipe-0.* quoted field that begins at byte 14"):
        values(b'a,b\n1,""\n"""",""",3\n' + b"4,5\n" * 100)
    with pytest.raises(InputBroken, match=r"pipe-0.* quoted field that begins at byte 6"):
        values(b'a,b\n1,"ab""\n')


def test_a_row_beyond_the_limit_is_refused(monkeypatch):
    """A quote that is never closed would take the memory of the whole file."""
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 64)
    monkeypatch.setattr(delimited, "_MOST_ROW_BYTES", 1000)
    with pytest.raises(LineTooLong, match="row at byte 8 has more than 1 kB") as caught:
        values(b'a,b\n1,2\n3,"' + b"4,5\n" * 1000)
    assert "byte 10" in caught.value.hint
    assert values(b'a,b\n1,2\n3,"' + b"x" * 900 + b'"\n')[1] == ["3", "x" * 900]


def test_bytes_that_are_no_utf8_are_named_by_row_and_column(small_blocks):
    """Also when the row lies in a later block."""
    text = b"a,b\n" + b"1,2\n" * 40 + b"1,\xe9t\xe9\n" + b"1,2\n"
    with pytest.raises(NotUtf8, match=r"pipe-0` at row 40: column `b`"):
        values(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no header"),
        (b"\n\n", "no header"),
        (b"a,,b\n1,2,3\n", "column 2 of 3 has no name"),
        (b'a,"b\n1,2\n', "header row"),
        (b'a,"b"c\n1,2\n', "header row"),
    ],
)
def test_a_header_that_does_not_name_every_column_is_refused(text, words):
    """Names are what SQL and the output call the columns."""
    with pytest.raises(SchemaMismatch, match=words) as caught:
        values(text)
    assert caught.value.hint


def test_a_header_that_is_no_utf8_is_refused():
    """A name must be text."""
    with pytest.raises(NotUtf8, match="name 2 of the header"):
        values(b"a,\xff\n1,2\n")


def test_a_long_header_is_read_to_its_end(monkeypatch):
    """Longer than what is looked at first, with a line end inside a name."""
    monkeypatch.setattr(head, "_FRONT_BYTES", 1024)
    names = [f"column {i}" for i in range(300)]
    names[200] = "two\nlines"
    text, found = as_csv([names, names])
    assert values(text) == found[1:]


def test_compressed_files_and_pipes_read_alike(tmp_path):
    """Ids follow the rows, not the bytes."""
    text = b"a,b\n" + b"".join(b'%d,"x,%d"\n' % (i, i) for i in range(5000))
    (tmp_path / "a.csv").write_bytes(text)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text))
    rows = read_rows([tmp_path / "a.csv"], "csv")
    assert len(rows) == 5000
    assert read_rows([tmp_path / "a.csv.gz"], "csv", workers=3, batch_bytes=500) == rows
    assert read_rows([piped(gzip.compress(text), codec="gzip")], "csv") == rows


def test_a_cr_alone_ends_a_row():
    """As Python's csv module has it."""
    assert values(b"a,b\r1,2\r3,4\r") == [["1", "2"], ["3", "4"]]


def test_columns_are_read_by_name():
    """Those that are not asked for are not made."""
    rows = read_rows([piped(b"a,b,c\n1,2,3\n")], "csv", columns=frozenset(["c", "a", "x"]))
    assert rows == [{"a": "1", "c": "3"}]
