"""Any bytes at all to what reads and parses: the right rows, or an error in words."""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import signal
import sys
import tempfile
from dataclasses import replace
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from line_sources import BLOCK, expected, make_source, read_all, streamed
from plain_readers import Unsound, assert_holds, csv_rows, json_objects
from query_tools import LINES, decoded
from typed_sources import piped, read_rows

from dbshuf.cli import entry
from dbshuf.errors import DbshufError, InputBroken
from dbshuf.query.json_scan import json_structure
from dbshuf.query.row_filter import RowQuery
from dbshuf.source.input import Input, Pipe
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.tables import csv as delimited

# A few seconds in CI, always the same; by hand as many new ones as there is time for.
EXAMPLES = int(os.environ.get("DBSHUF_FUZZ_EXAMPLES", "0"))
fuzzed = settings(
    max_examples=EXAMPLES or 60, derandomize=not EXAMPLES, deadline=None, database=None
)

PIECES = st.sampled_from(
    [b"\n", b"\0", b"\r\n", b"a", b"\xff", b"\xef\xbb\xbf", b"x" * 4095, b"\n\n"]
)
TEXTS = st.lists(st.one_of(PIECES, st.binary(max_size=40)), max_size=40).map(b"".join)
CODECS = {
    "gzip": lambda data: gzip.compress(data, 1),
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": lambda data: pa.compress(data, "zstd", asbytes=True),
    "lz4": lambda data: pa.compress(data, "lz4", asbytes=True),
}


@contextlib.contextmanager
def filed(data):
    """Give the inputs that a file of some bytes is."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield resolve_inputs([file.name], (), ())


@fuzzed
@given(TEXTS, st.integers(4, 7), st.sampled_from([b"\n", b"\0"]), st.integers(1, 3))
@example(b'\x04"M\x18\n\n\n', 4, b"\n", 1)
def test_lines_are_those_that_a_split_gives(text, blocks, terminator, workers):
    """Wherever buffers end; of text that begins as compressed data do, too."""
    with filed(text) as found:
        one = [replace(source, codec=None, window_bytes=0) for source in found]
        source = make_source(
            [*one, streamed(1, text[::-1], "gzip")],
            buffer_bytes=blocks * BLOCK,
            terminator=terminator,
        )
        with contextlib.closing(source):
            lines = read_all(source, workers)
        assert lines == expected([text, text[::-1]], terminator)


@pytest.mark.parametrize("codec", CODECS)
@fuzzed
@given(data=st.data())
def test_a_damaged_member_is_told_or_read_right(codec, data):
    """Cut, flipped, doubled, followed by anything; only zstd and lz4 may lack a checksum."""
    texts = data.draw(st.lists(TEXTS, min_size=1, max_size=3))
    packed = bytearray(b"".join(map(CODECS[codec], texts)))
    change = data.draw(st.sampled_from(["none", "cut", "flip", "append"]))
    at = data.draw(st.integers(0, len(packed) - 1))
    if change == "cut":
        del packed[at:]
    elif change == "flip":
        packed[at] ^= 1 << data.draw(st.integers(0, 7))
    elif change == "append":
        packed += data.draw(st.binary(min_size=1, max_size=20))
    raw = io.BytesIO(bytes(packed))
    source = make_source([Input(0, "in", None, codec, None, pipe=Pipe(raw, b""))])
    try:
        with contextlib.closing(source):
            rows = read_all(source)
    except InputBroken:
        assert change != "none"
        return
    except DbshufError:  # a line beyond the limit, from a flipped length
        assert change == "flip"
        return
    if change == "none" or (change == "flip" and codec in ("gzip", "bzip2", "xz")):
        assert rows == expected([b"".join(texts)])


OF_CSV = [b"a", b'"', b'""', b",", b"\n", b"\r\n", b"\r", b'",', b'\n"', "é".encode(), b" ", b"\0"]
CSV_TEXTS = st.lists(st.sampled_from(OF_CSV), max_size=30).map(b"".join)
HEADERS = st.sampled_from([b"c,d\n", b"c\n", b'\xef\xbb\xbf"c,\n1",d\r\n', b"\n\nc,d,e\r", b""])


@fuzzed
@given(HEADERS, st.one_of(CSV_TEXTS, CSV_TEXTS, TEXTS, st.binary(max_size=80)), st.integers(1, 80))
def test_any_bytes_are_the_rows_of_csv_or_an_error_in_words(header, text, block_bytes):
    """Those that a plain reading gives, wherever blocks end."""
    with mock.patch.object(delimited, "_BLOCK_BYTES", block_bytes):
        try:
            rows = read_rows([piped(header + text)], "csv")
        except DbshufError:
            rows = None
    try:
        wanted = csv_rows(header + text)
    except Unsound:
        wanted = None
    assert rows == wanted


OF_JSON = r"""{ } [ ] : , " "a" "\u00e9" "\ud800" 1 -0 1e999 tru true null NaN \
18446744073709551616 {"a":1} {"a":{"b":[]}} {"a":[1,"x",null]}"""
JSON_TOKENS = st.sampled_from([*OF_JSON.split(), " ", "\n"])


def is_object(line: str) -> bool:
    """Whether Python's json module takes a line for an object."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        return isinstance(json.loads(line, parse_constant=refuse), dict)
    except (ValueError, RecursionError):
        return False


@fuzzed
@given(st.lists(JSON_TOKENS, min_size=1, max_size=14).map("".join))
def test_json_lines_are_taken_if_python_takes_them(text):
    """A line that is no object is told."""
    lines = [line for line in text.split("\n") if line.strip(" \t\r")]
    with contextlib.suppress(DbshufError), filed(text.encode()) as one:
        json_structure(one, b"\n", needs="nothing")
        assert all(map(is_object, lines)), text


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text('a"\\é\n\0😀 \u2028', max_size=8),
)
JSON_VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyé ", max_size=2), inner),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(st.sampled_from("abcé"), JSON_VALUES, max_size=3), min_size=1)
STYLES = st.tuples(st.booleans(), st.sampled_from([(",", ":"), (" , ", "\t:  ")]))


@fuzzed
@given(ROWS, STYLES, st.data())
def test_json_lines_are_the_values_that_python_gives(rows, style, data):
    """Or an error in words, where a line is damaged."""
    is_ascii, separators = style
    lines = [json.dumps(row, ensure_ascii=is_ascii, separators=separators) for row in rows]
    is_damaged = data.draw(st.booleans())
    if is_damaged:
        number = data.draw(st.integers(0, len(lines) - 1))
        line, at = lines[number], data.draw(st.integers(0, len(lines[number])))
        put = data.draw(st.sampled_from([*'{}[]:,"\\ 1e-.0nu', ""]))
        lines[number] = line[:at] + put + line[at + data.draw(st.integers(0, 2)) :]
    try:
        with filed("\n".join(lines).encode()) as one:
            structure = json_structure(one, b"\n", needs="nothing")
        lines = [line for line in lines if line.strip(" \t\r")]
        _, found = decoded(lines, structure)
    except DbshufError:
        assert is_damaged
        return
    kinds = json.loads(structure)
    wanted = json_objects(lines)
    if kinds:
        for row, value in zip(found.to_pylist(), wanted, strict=True):
            assert_holds(row, value, kinds)


OF_SQL = r"""line raw bytes select from lines ( ) ' " , ; -- /* * = > 1 '' x count(*) over and ::
int case when end [ ] { } ->> $1 ? \ é pragma read_text('/etc/passwd')"""
WORDS = st.sampled_from([*OF_SQL.split(), "\0"])


@fuzzed
@given(st.lists(WORDS, min_size=1, max_size=10), st.booleans())
def test_any_sql_is_one_expression_or_an_error_in_words(words, is_where):
    """No text gets through the fence, and none makes a bug of dbshuf."""
    text = " ".join(words)
    with contextlib.suppress(DbshufError):
        RowQuery(text if is_where else None, None if is_where else text, LINES)
        assert "read_text" not in text or any(mark in text for mark in ("'", '"', "--", "/*"))


OF_PLAN = """--memory --seed --threads --strategy --shards --shard-bytes --split -z --where --select
--from --format --header --table --hive -o --sql --include --engine --schema --compression --force
--json - -- -q"""
OPTIONS = st.sampled_from(OF_PLAN.split())
KNOWN = "1 0 -1 1GB 900MB json csv a=0.5 a=1,b=2 x.parquet"
VALUES = st.one_of(st.sampled_from(KNOWN.split()), st.text(max_size=6))


@fuzzed
@given(st.lists(st.one_of(OPTIONS, VALUES), max_size=7))
def test_any_command_line_has_a_documented_exit_code(words):
    """Never 1, which is a bug, and never a traceback."""
    handlers = {number: signal.getsignal(number) for number in entry._STOPPING}
    arguments = ["dbshuf", "plan", *(word.replace("\0", "") for word in words)]
    out = io.TextIOWrapper(io.BytesIO())
    try:
        with (
            mock.patch.object(sys, "argv", arguments),
            mock.patch.object(sys, "stdin", None),
            mock.patch.object(sys, "stdout", out),
            mock.patch.object(sys, "stderr", io.StringIO()) as err,
        ):
            code = entry.run_command()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert code != 1, (arguments, err.getvalue())
    assert code < 30
