"""CSV and TSV: what readers of CSV read back is what the rows were."""

import csv
import gzip
import io
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sink_windows import borders, row_windows_of, target_of, windows_of, write_all
from typed_rows import FLAT, FLAT_SCHEMA, batches, many_rows

from dbshuf.errors import NotUtf8
from dbshuf.sink.formats import row_text as stepwise
from dbshuf.sink.formats.csv import delimited, delimited_in_pieces

few_files = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    derandomize=True,
    max_examples=20,
)
MARKS = {"csv": ",", "tsv": "\t"}


def by_duckdb(path: Path, delimiter: str) -> pa.Table:
    """Read a file with the types that the rows had."""
    columns = {name: kind[1] for name, kind in FLAT.items()}
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        query = """
            FROM read_csv($path, columns = $columns, header = true, auto_detect = false,
                delim = $delimiter, quote = '"', escape = '"', nullstr = '',
                allow_quoted_nulls = false)"""
        values = {"path": str(path), "columns": columns, "delimiter": delimiter}
        return con.sql(query, params=values).to_arrow_table()


def plain(rows: pa.RecordBatch | pa.Table) -> list[dict[str, object]]:
    """The rows as Python has them, moments in UTC."""
    to = rows.schema.get_field_index("instant")
    utc = rows.column(to).cast(pa.timestamp("us", "UTC"))
    return rows.set_column(to, "instant", utc).to_pylist()


@pytest.mark.parametrize("format_", MARKS)
@few_files
@given(rows=batches(FLAT_SCHEMA), cuts=borders, step=st.integers(1, 300))
def test_duckdb_reads_every_value_back(format_, tmp_path, *, rows, cuts, step):
    """Also NULL beside the empty text, and quotes, tabs and line ends in texts."""
    path = tmp_path / "out.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stepwise, "_STEP_BYTES", step)
        target = target_of(path, format_, schema=FLAT_SCHEMA, threads=2)
        write_all(target, row_windows_of(rows, cuts))
    assert plain(by_duckdb(path, MARKS[format_])) == plain(rows)


AS_TEXT = {
    "double": float,
    "single": lambda text: float(np.float32(text)),
    "decimal": Decimal,
    "bool": {"true": True, "false": False}.__getitem__,
    **dict.fromkeys(("int", "uint", "small"), int),
}


@few_files
@given(rows=batches(FLAT_SCHEMA.remove(FLAT_SCHEMA.get_field_index("instant"))))
def test_pythons_reader_finds_the_same_fields(tmp_path, *, rows):
    """Numbers by float() and Decimal(), dates and times by ISO form; NULL is empty there."""
    path = tmp_path / "out.csv"
    write_all(target_of(path, "csv", schema=rows.schema), row_windows_of(rows))
    with path.open(newline="") as file:
        head, *lines = list(csv.reader(file))
    assert head == rows.schema.names
    for line, row in zip(lines, rows.to_pylist(), strict=True):
        for text, (name, value) in zip(line, row.items(), strict=True):
            if value is None:
                assert text == ""
            elif name in AS_TEXT:
                assert AS_TEXT[name](text) == value
            elif name == "text":
                assert text == value
            else:
                assert type(value).fromisoformat(text) == value


def test_quotes_are_where_rfc_4180_has_them_and_nowhere_else(tmp_path):
    """Delimiter, quote, LF, CR; NULL and the empty text differ; numbers have none."""
    path = tmp_path / "out.csv"
    names = ["plain", 'a "b", c', "", "#x"]
    texts = [
        "x",
        'say "hi"',
        "a,b",
        "two\nlines",
        "cr\rhere",
        " lead",
        "",
        None,
        "t\tb",
        "\u2028\0",
    ]
    rows = pa.record_batch(
        [pa.array(range(10)), pa.array(texts), pa.array(["é"] * 10), pa.array([None] * 10)],
        names=names,
    )
    write_all(target_of(path, "csv", schema=rows.schema), row_windows_of(rows, [3]))
    assert path.read_bytes().decode() == (
        'plain,"a ""b"", c","",#x\n'
        '0,x,é,\n1,"say ""hi""",é,\n2,"a,b",é,\n3,"two\nlines",é,\n4,"cr\rhere",é,\n'
        '5, lead,é,\n6,"",é,\n7,,é,\n8,t\tb,é,\n9,\u2028\0,é,\n'
    )
    write_all(target_of(path, "tsv", schema=rows.schema), row_windows_of(rows))
    lines = path.read_bytes().decode().replace("two\nlines", "").split("\n")
    assert lines[0] == 'plain\t"a ""b"", c"\t""\t#x'
    assert (lines[3], lines[9]) == ("2\ta,b\té\t", '8\t"t\tb"\té\t')


@pytest.mark.parametrize("name", ["\ufeffline", "", "a,b", '"', "two\nlines"])
@pytest.mark.parametrize("texts", [["", None, "x"], ["a,b", '"', ""], ["\ufeff", "\r", "#"]])
def test_readers_tell_null_from_empty_under_any_name(name, texts, tmp_path):
    """A BOM that is a name's first character stays there."""
    path = tmp_path / "out.csv"
    rows = pa.record_batch([pa.array(["a"] * 3), pa.array(texts)], names=[name, "t"])
    write_all(target_of(path, "csv", schema=rows.schema), row_windows_of(rows))
    options = pa.csv.ParseOptions(newlines_in_values=True)
    convert = pa.csv.ConvertOptions(
        column_types={name: pa.string(), "t": pa.string()},
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    table = pa.csv.read_csv(path, parse_options=options, convert_options=convert)
    assert table.to_pydict() == {name: ["a"] * 3, "t": texts}
    assert pl.read_csv(path, infer_schema=False).to_series(1).to_list() == texts
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [[name, "t"], *(["a", text or ""] for text in texts)]


def test_moments_of_a_time_zone_are_written_in_utc(tmp_path):
    """At the end of summer a local time is two moments."""
    path = tmp_path / "out.csv"
    moments = pa.array([1729987200, 1729990800], pa.timestamp("s", "Europe/Berlin"))
    rows = pa.record_batch([moments], names=["at"])
    write_all(target_of(path, "csv", schema=rows.schema), row_windows_of(rows))
    assert path.read_text() == "at\n2024-10-27 00:00:00Z\n2024-10-27 01:00:00Z\n"


def test_lines_are_one_column(tmp_path):
    """With its name at the head, and nothing lost."""
    path = tmp_path / "out.csv"
    texts = ["", "a,b", '"', "\r", "\0", "é"] + [f"line {i}" for i in range(50_000)]
    lines = [text.encode() + b"\n" for text in texts]
    write_all(target_of(path, "csv"), windows_of(lines, [3, 20_000]))
    with path.open(newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["line", *texts]
    with pytest.raises(NotUtf8) as caught:
        write_all(target_of(path, "csv"), windows_of([b"\xff\n"]))
    assert caught.value.hint == "text output takes any bytes, and Parquet does with --binary"


@pytest.mark.parametrize("format_", ["csv.gz", "csv.zst", "tsv.gz", "tsv.zst"])
def test_the_whole_file_is_compressed_and_every_reader_opens_it(format_, tmp_path):
    """One stream; rows by many threads, the same bytes on every run and by any window."""
    rows = many_rows(30_000).select(["text", "number", "share"])
    paths = [tmp_path / f"{name}.{format_}" for name in "ab"]
    for path, cuts, threads in zip(paths, ([], [9, 20_000]), (1, 3), strict=True):
        target = target_of(path, format_, schema=rows.schema, threads=threads)
        write_all(target, row_windows_of(rows, cuts))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    data = paths[0].read_bytes()
    if format_.endswith("gz"):
        text = gzip.decompress(data)
    else:
        with pa.input_stream(pa.py_buffer(data), compression="zstd") as stream:
            text = stream.read()
    delimiter = MARKS[format_[:3]]
    read = pl.read_csv(
        io.BytesIO(text), separator=delimiter, schema=pl.Schema(pl.from_arrow(rows).schema)
    )
    assert read.equals(pl.from_arrow(rows))
    options = pa.csv.ParseOptions(delimiter=delimiter)
    table = pa.csv.read_csv(io.BytesIO(text), parse_options=options)
    assert table["share"].to_pylist() == rows["share"].to_pylist()


@pytest.mark.parametrize("schema", [FLAT_SCHEMA, None], ids=["rows", "lines"])
def test_no_rows_make_a_head(schema, tmp_path):
    """The columns' names are known without rows."""
    path = tmp_path / "out.csv"
    write_all(target_of(path, "csv", schema=schema), [])
    names = ["line"] if schema is None else schema.names
    assert path.read_text() == ",".join(names) + "\n"


def by_the_rule(rows: pa.RecordBatch, delimiter: str) -> str:
    """The plain twin of the encoder, for texts and whole numbers."""

    def shown(value) -> str:
        if not isinstance(value, str):
            return "" if value is None else str(value)
        is_plain = value and not {delimiter, '"', "\n", "\r"} & set(value)
        return value if is_plain else '"{}"'.format(value.replace('"', '""'))

    columns = [column.to_pylist() for column in rows.columns]
    return "".join(delimiter.join(map(shown, row)) + "\n" for row in zip(*columns, strict=True))


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize(
    "texts",
    [
        ["plain", "é", "x" * 300],
        ["plain", None, "t"],
        ["a,\tb", '"', "\n", "\r"],
        ["a,\tb", None, ""],
        ["plain", 'say "hi"', None, "", "a,\tb", "x"],
        [""],
        [None],
    ],
    ids=["none", "none-null", "all", "all-null", "some", "empty", "null"],
)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_every_way_to_write_a_column_follows_the_same_rule(texts, kind, delimiter):
    """Columns without marks, with nothing else, and with some; alone and beside others."""
    many = pa.array((texts * 60)[:60], kind)
    behind = pa.array([b"," if text is None else text for text in ["x", None] * 30], pa.binary())
    buffers = [pa.array(["x", None] * 30).buffers()[0], *behind.buffers()[1:]]
    hidden = pa.Array.from_buffers(pa.string(), 60, buffers)  # commas behind its nulls
    for columns in ([many], [pa.array(range(60)), many], [many, pa.array(["x"] * 60), many]):
        for beside in ([], [hidden]):
            both = [*columns, *beside]
            rows = pa.record_batch(both, names=[str(n) for n in range(len(both))])
            for part in (rows, rows.slice(7, 31), rows.slice(5, 1)):
                assert str(delimited(part, delimiter), "utf-8") == by_the_rule(part, delimiter)


def test_a_row_in_pieces_is_the_same_text(monkeypatch):
    """Where a long text is cut shows nowhere; a mark in one piece puts quotes around them all."""
    monkeypatch.setattr(stepwise, "_LONG_STEP_BYTES", 3)
    texts = ["", "é€😀" * 3, 'plain and then a "', "a,b", "no mark at all", None, "line\nends"]
    rows = pa.record_batch({"t": texts, "n": [1, None, 3, 4, 5, 6, 7], "u": texts[::-1]})
    for delimiter in ",\t":
        pieces = [delimited_in_pieces(rows.slice(row, 1), delimiter) for row in range(len(texts))]
        assert b"".join(b"".join(one) for one in pieces) == bytes(delimited(rows, delimiter))
