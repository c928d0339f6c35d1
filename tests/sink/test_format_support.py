"""Columns and options that a format has no place for are refused before any work."""

import subprocess
import sys

import pyarrow as pa
import pytest
from sink_windows import target_of
from typed_rows import FLAT_SCHEMA, JSON_SCHEMA, SCHEMA

from dbshuf.errors import RowUnfit, UsageError
from dbshuf.sink import FORMATS, check_schema, open_sink

KINDS = ["txt", "csv.gz", "tsv", "jsonl.zst", "arrow", "parquet"]


def refusal(format_: str, *fields: object, **changes: object) -> RowUnfit | UsageError:
    target = target_of(None, format_, schema=pa.schema(fields) if fields else None, **changes)
    with pytest.raises((RowUnfit, UsageError)) as caught:
        check_schema(target)
    return caught.value


@pytest.mark.parametrize("format_", FORMATS)
def test_lines_fit_everywhere(format_):
    """Every format takes lines, with no options."""
    check_schema(target_of(None, format_))


@pytest.mark.parametrize(
    ("format_", "schema"),
    [
        ("csv", FLAT_SCHEMA),
        ("tsv.gz", FLAT_SCHEMA),
        ("jsonl", JSON_SCHEMA),
        ("arrow", SCHEMA),
        ("parquet", SCHEMA),
    ],
)
def test_all_types_that_a_format_has_a_form_for_pass(format_, schema):
    """The tests of each format write and read these."""
    check_schema(target_of(None, format_, schema=schema))


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()], ids=str
)
def test_text_takes_one_column_of_text_or_bytes(kind):
    """Under any name."""
    check_schema(target_of(None, "txt.gz", schema=pa.schema([("any", kind)])))


def test_text_lists_the_columns_that_it_cannot_hold():
    """The user sees what there is to choose from."""
    error = refusal("txt", ("text", pa.string()), ("n", pa.int64()))
    assert error.message.endswith("the rows have 2 columns: `text` string, `n` int64")
    assert "--select" in error.hint
    assert "one column: `n` int64" in refusal("txt.zst", ("n", pa.int64())).message
    many = refusal("txt", *((f"c{i}", pa.string()) for i in range(500))).message
    assert "500 columns" in many
    assert many.endswith("`c19` string and 480 more")


@pytest.mark.parametrize("format_", ["csv", "tsv"])
@pytest.mark.parametrize(
    ("kind", "way"),
    [
        (pa.list_(pa.int8()), "to_json(bad)::varchar"),
        (pa.struct([("a", pa.int8())]), "to_json(bad)::varchar"),
        (pa.map_(pa.string(), pa.int8()), "to_json(bad)::varchar"),
        (pa.binary(), "base64(bad)"),
        (pa.binary(4), "base64(bad)"),
        (pa.uuid(), "cast(bad as varchar)"),
        (pa.duration("s"), "cast(bad as varchar)"),
        (pa.month_day_nano_interval(), "cast(bad as varchar)"),
    ],
    ids=str,
)
def test_a_table_of_text_has_no_place_for_nested_or_binary_values(format_, kind, way):
    """One way out for each."""
    error = refusal(format_, ("fine", pa.string()), ("bad", kind), ("worse", kind))
    assert error.message == f"{format_.upper()} cannot hold `bad` {kind}, `worse` {kind}"
    assert way in error.hint


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        (pa.binary(), "base64(bad)"),
        (pa.list_(pa.struct([("a", pa.large_binary())])), "base64(bad)"),
        (pa.duration("s"), "cast(bad as varchar)"),
        (pa.map_(pa.list_(pa.int8()), pa.string()), "cast(bad as varchar)"),
        (pa.struct([("a", pa.int8()), ("a", pa.int8())]), "cast(bad as varchar)"),
    ],
    ids=str,
)
def test_json_has_no_place_for_binary_values_at_any_depth(kind, way):
    """A guess at an encoding would be read back as something else."""
    error = refusal("jsonl", ("bad", kind), ("fine", pa.int8()))
    assert error.message == f"JSON lines cannot hold `bad` {kind}"
    assert way in error.hint


def test_an_object_has_each_name_once():
    """Readers of JSON keep one of two, and not the same one."""
    error = refusal("jsonl", ("a", pa.int8()), ("b", pa.int8()), ("a", pa.string()))
    assert "two columns `a`" in error.message
    check_schema(target_of(None, "csv", schema=pa.schema([("a", pa.int8())] * 2)))


@pytest.mark.parametrize(
    "kind",
    [pa.month_day_nano_interval(), pa.list_(pa.struct([])), pa.list_(pa.binary(0))],
    ids=["interval", "no fields", "no bytes"],
)
def test_parquet_refuses_what_its_library_cannot_write(kind):
    """At the start, not with the first row group."""
    error = refusal("parquet", ("fine", pa.int8()), ("bad", kind))
    assert error.message == f"Parquet cannot hold `bad` {kind}"
    check_schema(target_of(None, "arrow", schema=pa.schema([("fine", kind)])))


@pytest.mark.parametrize("format_", KINDS[1:])
def test_header_lines_are_for_text(format_):
    """They would be rows, or lost."""
    assert "--header" in refusal(format_, header=b"id\n").message
    check_schema(target_of(None, "txt", header=b"id\n"))
    error = refusal("txt", ("c", pa.string()), header=b"id\n")
    assert isinstance(error, UsageError)


@pytest.mark.parametrize("format_", ["csv", "tsv.gz", "jsonl"])
def test_bytes_that_are_no_text_have_no_place_in_text_formats(format_):
    """--binary is for columns of BLOB, which these do not have."""
    assert "--binary" in refusal(format_, binary=True).message
    for other in ("txt", "arrow", "parquet"):
        check_schema(target_of(None, other, binary=True))


@pytest.mark.parametrize("format_", KINDS[:-1])
def test_row_groups_are_for_parquet(format_):
    """An option without effect is an option misunderstood."""
    assert "--row-group-bytes" in refusal(format_, row_group_bytes=1000).message
    check_schema(target_of(None, "parquet", row_group_bytes=1000))


def test_a_sink_does_not_open_for_rows_that_do_not_fit(tmp_path):
    """Nothing is created."""
    with pytest.raises(RowUnfit):
        open_sink(target_of(tmp_path / "out", "txt", schema=FLAT_SCHEMA))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format_", ["txt", "jsonl", "parquet"])
def test_lines_are_checked_without_loading_arrow(format_):
    """A plan for lines costs no memory of Arrow's."""
    code = (
        "import sys\n"
        "from dbshuf.sink import Target, check_schema\n"
        f"plain = (None, {format_!r}, b'', b'0', False, None, None, None, False, '', str)\n"
        "check_schema(Target(*plain))\n"
        "sys.exit('pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["c d", 'a"b', "1st", "é"])
def test_the_way_out_quotes_a_name_that_sql_takes_no_other_way(name):
    escaped = name.replace('"', '""')
    assert f'base64("{escaped}")' in refusal("csv", (name, pa.binary())).hint
