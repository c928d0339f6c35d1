"""JSON lines: whatever reads JSON reads the rows that were written."""

import contextlib
import datetime as dt
import json
import math
import os
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from unittest import mock

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sink_windows import borders, row_windows_of, target_of, windows_of, write_all
from typed_rows import JSON_SCHEMA, batches, many_rows

from dbshuf.errors import NotUtf8, RowUnfit
from dbshuf.sink.formats import row_text as stepwise
from dbshuf.sink.formats.jsonl import json_line_in_pieces, json_lines
from dbshuf.sink.single_file import open_encoder

few_files = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    derandomize=True,
    max_examples=25,
)


def read(path: Path) -> list[dict[str, object]]:
    """Read a file line by line; numbers with a point stay exact."""
    lines = path.read_bytes().decode().split("\n")
    assert lines.pop() == ""
    return [json.loads(line, parse_float=Decimal) for line in lines]


def wanted(value: object, kind: pa.DataType) -> object:
    """What JSON holds of a value, as `read` gives it."""
    if value is None or not (pa.types.is_nested(kind) or pa.types.is_temporal(kind)):
        return Decimal(repr(value)) if isinstance(value, float) else value
    if pa.types.is_temporal(kind):
        return wanted_time(value, kind)
    if pa.types.is_struct(kind):
        return {field.name: wanted(value[field.name], field.type) for field in kind}
    if pa.types.is_map(kind):
        return {str(key): wanted(item, kind.item_type) for key, item in value}
    return [wanted(item, kind.value_type) for item in value]


def wanted_time(value: dt.date | dt.time, kind: pa.DataType) -> str:
    if not pa.types.is_timestamp(kind):
        return value.isoformat(*["microseconds"] * isinstance(value, dt.time))
    text = value.astimezone(dt.UTC).replace(tzinfo=None) if kind.tz else value
    digits = {"ms": "milliseconds", "us": "microseconds"}[kind.unit]
    return text.isoformat("T", digits) + ("Z" if kind.tz else "")


@few_files
@given(rows=batches(JSON_SCHEMA), cuts=borders, step=st.integers(1, 400))
def test_json_reads_every_value_back(tmp_path, *, rows, cuts, step):
    """Of all types, nested ones and nulls too; windows and steps leave no trace."""
    paths = [tmp_path / name for name in "ab"]
    write_all(target_of(paths[0], "jsonl", schema=JSON_SCHEMA), row_windows_of(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stepwise, "_STEP_BYTES", step)
        target = target_of(paths[1], "jsonl", schema=JSON_SCHEMA, threads=2)
        write_all(target, row_windows_of(rows, cuts))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    for got, row in zip(read(paths[0]), rows.to_pylist(maps_as_pydicts=None), strict=True):
        single = got.pop("single"), row.pop("single")
        assert single[0] is single[1] is None or np.float32(single[0]) == np.float32(single[1])
        assert got == {name: wanted(row[name], JSON_SCHEMA.field(name).type) for name in row}


def one_column(values: pa.Array) -> str:
    return bytes(json_lines(pa.record_batch([values], names=["x"]))).decode()


def test_every_byte_that_needs_an_escape_has_one():
    """And no other: UTF-8 stays as it is."""
    text = "".join(map(chr, range(256))) + "\u2028雪🎲"
    made = one_column(pa.array([text]))
    assert json.loads(made) == {"x": text}
    assert made == json.dumps({"x": text}, ensure_ascii=False, separators=(",", ":")) + "\n"


def test_names_are_escaped_too():
    """A column may have any name."""
    rows = pa.record_batch([pa.array([1]), pa.array([2])], names=['a"\n\\', "é"])
    assert bytes(json_lines(rows)).decode() == '{"a\\"\\n\\\\":1,"é":2}\n'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (0.1, "0.1"),
        (1e15, "1e+15"),
        (1234567890.0, "1234567890.0"),
        (123456789012345.0, "1.23456789012345e+14"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
    ],
)
def test_a_float_is_the_shortest_text_that_reads_back_and_no_integer(value, text):
    """A reader that infers types must not take a column of floats for integers."""
    assert one_column(pa.array([value])) == f'{{"x":{text}}}\n'
    assert math.copysign(1, json.loads(text)) == math.copysign(1, value)


def test_narrow_floats_have_their_own_shortest_text():
    """0.1 of 32 bits is not 0.10000000149011612 for people."""
    assert one_column(pa.array([0.1, None], pa.float32())) == '{"x":0.1}\n{"x":null}\n'
    half = pa.array(np.array([0.1, 1, 65504], np.float16))
    values = [json.loads(line)["x"] for line in one_column(half).splitlines()]
    assert np.array(values).astype(np.float16).tolist() == half.to_numpy().tolist()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("nested", [False, True])
def test_what_is_no_number_in_json_is_refused_and_the_row_named(bad, nested, tmp_path):
    """NaN in a JSON file breaks its readers, so the run fails and shows nothing."""
    numbers = pa.array([1.5, None] * 5000 + [bad] + [2.5] * 100 + [bad])
    bounds = pa.array(np.arange(len(numbers) + 1, dtype=np.int32))
    values = pa.ListArray.from_arrays(bounds, numbers) if nested else numbers
    rows = pa.record_batch([pa.array(range(len(numbers))), values], names=["n", "share"])
    target = target_of(tmp_path / "out", "jsonl", schema=rows.schema, threads=2)
    with pytest.raises(RowUnfit, match="at byte 10000: `share`: JSON has no NaN") as caught:
        write_all(target, row_windows_of(rows, [700, 9000], keys=range(len(numbers))))
    assert "isfinite(share)" in caught.value.hint
    assert os.listdir(tmp_path) == []
    assert not [t for t in threading.enumerate() if t.name.startswith("dbshuf-sink")]


NEVER = {
    "moment": pa.array([2**63 - 1]).view(pa.timestamp("us")),
    "instant": pa.array([-(2**63)]).view(pa.timestamp("s", "UTC")),
    "date": pa.array([2**31 - 1], pa.int32()).view(pa.date32()),
    "date64": pa.array([2**62]).view(pa.date64()),
    "time": pa.array([86_400_000_000]).view(pa.time64("us")),
}


@pytest.mark.parametrize("kind", NEVER)
@pytest.mark.parametrize("format_", ["jsonl", "csv"])
def test_a_time_without_a_date_is_refused_and_the_row_named(format_, kind, tmp_path):
    """DuckDB's infinity; Arrow would write `<value out of range>` and say nothing."""
    values = pa.concat_arrays([pa.nulls(7, NEVER[kind].type), NEVER[kind], NEVER[kind]])
    rows = pa.record_batch([values], names=["at"])
    target = target_of(tmp_path / "out", format_, schema=rows.schema)
    with pytest.raises(RowUnfit, match="at byte 7: `at`: infinity") as caught:
        write_all(target, row_windows_of(rows, keys=range(9)))
    assert "isfinite(at)" in caught.value.hint


def test_of_several_flaws_the_first_row_is_told_with_its_own(tmp_path):
    """A column to the left has another flaw farther down: its words are not for this value."""
    numbers = pa.array([1.0, 2.0, 3.0, math.nan])
    times = pa.array([0, 2**63 - 1, 0, 0]).view(pa.timestamp("us"))
    rows = pa.record_batch([numbers, times], names=["share", "at"])
    target = target_of(tmp_path / "out", "jsonl", schema=rows.schema)
    with pytest.raises(RowUnfit, match="at byte 1: `at`: infinity"):
        write_all(target, row_windows_of(rows, keys=range(4)))


@pytest.mark.parametrize("year", ["-32767-01-01", "9999-12-31", "32767-12-31"])
def test_the_first_and_the_last_day_have_a_text(year):
    """The border is where Arrow has it."""
    day = np.array([year], "M8[D]")
    for kind in (pa.date32(), pa.timestamp("s"), pa.timestamp("us")):
        unit = "D" if pa.types.is_date(kind) else kind.unit
        text = json.loads(one_column(pa.array(day.astype(f"M8[{unit}]"), kind)))["x"]
        assert text.startswith(year)


@pytest.mark.parametrize("format_", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_duckdb_and_polars_read_the_rows(format_, tmp_path):
    """By the suffix alone."""
    path = tmp_path / f"out.{format_}"
    rows = many_rows(20_000)
    write_all(target_of(path, format_, schema=rows.schema), row_windows_of(rows, [7, 9000]))
    with duckdb.connect() as con:
        read = con.sql("FROM read_json($path)", params={"path": str(path)}).to_arrow_table()
    assert read.to_pylist() == rows.to_pylist()
    if format_ == "jsonl":
        assert pl.read_ndjson(path).equals(pl.from_arrow(rows))


def test_lines_are_objects_of_one_field(tmp_path):
    """A line is checked to be UTF-8, as for every typed output."""
    path = tmp_path / "out.jsonl"
    texts = ["", '"\\', "\t", "é\r"] + [f"line {i}" for i in range(20_000)]
    lines = [text.encode() + b"\n" for text in texts]
    write_all(target_of(path, "jsonl"), windows_of(lines, [3, 9000]))
    assert read(path) == [{"line": text} for text in texts]
    with pytest.raises(NotUtf8):
        write_all(target_of(path, "jsonl"), windows_of([b"\xff\n"]))


def test_a_long_row_is_made_text_alone(monkeypatch):
    """A nested one is held several times: two of them at once would break the promised memory."""
    running: list[int] = []
    most = [0]

    @contextlib.contextmanager
    def counted() -> Iterator[None]:
        running.append(1)
        most[0] = max(most[0], len(running))
        time.sleep(0.02)
        yield
        running.pop()

    def slow(rows: pa.RecordBatch) -> memoryview:
        with counted():
            return json_lines(rows)

    def slow_pieces(row: pa.RecordBatch, **named: object) -> Iterator[bytes | memoryview]:
        with counted():
            yield from json_line_in_pieces(row, **named)

    monkeypatch.setattr("dbshuf.sink.formats.jsonl.json_lines", slow)
    monkeypatch.setattr("dbshuf.sink.formats.jsonl.json_line_in_pieces", slow_pieces)
    texts = ["x" * 1_100_000] * 3 + ["y" * 300_000] * 6
    for values, at_once in ((texts[:3], 1), (texts[3:], 3)):
        rows = pa.record_batch({"t": values})
        target = target_of(None, "jsonl", schema=rows.schema, threads=3)
        encoder = open_encoder(mock.Mock(), target)
        for window in row_windows_of(rows):
            encoder.write(window)
        encoder.finish()
        assert (most[0] == 1) == (at_once == 1)


def test_a_row_in_pieces_is_the_same_text(monkeypatch):
    """Where a long text is cut shows nowhere: not in a character, an escape, JSON or a null."""
    monkeypatch.setattr(stepwise, "_LONG_STEP_BYTES", 3)
    texts = ["", "é€😀" * 3, 'a"\\\n\x01' * 4, None]
    rows = pa.record_batch(
        {
            "t": texts,
            "large": pa.array(texts[::-1], pa.large_string()),
            "json": ['{"a":\n[1,"\\n"]}', "1", "null", None],
            "n": [1, None, 3, 4],
            "tags": [["x", None], [], None, ["y" * 9]],
        }
    )
    structures = {"json": "JSON"}
    pieces = [json_line_in_pieces(rows.slice(row, 1), structures) for row in range(4)]
    assert b"".join(b"".join(one) for one in pieces) == bytes(json_lines(rows, structures))


def test_no_rows_make_an_empty_file(tmp_path):
    """There is nothing to say without a row."""
    write_all(target_of(tmp_path / "out", "jsonl", schema=JSON_SCHEMA), [])
    assert (tmp_path / "out").read_bytes() == b""


def test_no_terminator_of_lines_comes_between_the_rows(tmp_path):
    """-z is for the lines that are read; JSON lines end with LF."""
    rows = pa.record_batch({"x": ["a\0b"]})
    target = target_of(tmp_path / "out", "jsonl", schema=rows.schema, terminator=b"\0")
    write_all(target, row_windows_of(rows))
    assert (tmp_path / "out").read_text() == '{"x":"a\\u0000b"}\n'
