"""Text sinks: the bytes as they are, plain or compressed, to files and to pipes."""

import gzip
import os
import shutil
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths import HELPERS
from sink_windows import (
    borders,
    lines_of_any_bytes,
    row_windows_of,
    target_of,
    windows_of,
    write_all,
)

from dbshuf.errors import RowUnfit
from dbshuf.sink import open_sink
from dbshuf.sink.formats import compression as packed

LINES = [b"%d caf\xc3\xa9 \xff\0\r %s\n" % (i, b"word " * (i % 40)) for i in range(30_000)]
TEXT = b"".join(LINES)
SUFFIXES = {"txt": "", "txt.gz": ".gz", "txt.zst": ".zst"}

same_file = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, derandomize=True
)


def unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        with pa.input_stream(pa.py_buffer(data), compression="zstd") as stream:
            return stream.read()
    return data


def frame_end(data: bytes) -> int:
    """Return where the first zstd frame ends (RFC 8878, section 3.1.1)."""
    assert data[:4] == b"\x28\xb5\x2f\xfd"
    flags = data[4]
    single, checksum = flags >> 5 & 1, flags >> 2 & 1
    at = 5 + (not single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
    last = False
    while not last:
        head = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = bool(head & 1), head >> 1 & 3, head >> 3
        at += 3 + (1 if kind == 1 else size)
    return at + 4 * checksum


@pytest.mark.parametrize("format_", SUFFIXES)
def test_a_file_holds_the_header_and_then_every_byte_of_the_lines(format_, tmp_path):
    """CR, NUL and bytes that are no UTF-8 too; rows and bytes are counted."""
    path = tmp_path / f"out{SUFFIXES[format_]}"
    target = target_of(path, format_, header=b"id\ttext\n")
    sink = write_all(target, windows_of(LINES, range(0, 30_000, 700)))
    assert unpacked(path) == b"id\ttext\n" + TEXT
    assert (sink.rows, sink.text_bytes) == (len(LINES), len(TEXT))
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("format_", SUFFIXES)
@pytest.mark.parametrize("header", [b"", b"head\n"])
def test_no_rows_make_a_valid_file(format_, header, tmp_path):
    """The next program must be able to open it."""
    path = tmp_path / f"out{SUFFIXES[format_]}"
    write_all(target_of(path, format_, header=header), [])
    assert unpacked(path) == header


@pytest.mark.parametrize("format_", ["txt.gz", "txt.zst"])
@pytest.mark.parametrize("size", [0, 1, packed.BLOCK_BYTES - 1, packed.BLOCK_BYTES, 3_000_000])
def test_sizes_around_a_block_survive(format_, size, tmp_path):
    """The last block may be full, short or empty."""
    path = tmp_path / f"out{SUFFIXES[format_]}"
    lines = [b"x" * (size - 1) + b"\n"] if size else []
    write_all(target_of(path, format_), windows_of(lines))
    assert unpacked(path) == b"".join(lines)


@pytest.mark.parametrize("format_", SUFFIXES)
@same_file
@given(lines=lines_of_any_bytes, cuts=borders, wide=st.booleans(), threads=st.integers(1, 3))
def test_the_bytes_of_a_file_do_not_depend_on_windows_or_threads(
    format_, tmp_path, *, lines, cuts, wide, threads
):
    """One seed gives one file: a checksum of the output means something."""
    paths = [tmp_path / f"{name}{SUFFIXES[format_]}" for name in "ab"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "BLOCK_BYTES", 64)
        write_all(target_of(paths[0], format_, header=b"h\n"), windows_of(lines))
        target = target_of(paths[1], format_, header=b"h\n", threads=threads)
        write_all(target, windows_of(lines, cuts, wide=wide))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert unpacked(paths[0]) == b"h\n" + b"".join(lines)


def test_gzip_is_one_member_with_no_time_in_it(tmp_path):
    """Many readers stop after the first member, and a time would change the bytes."""
    path = tmp_path / "out.gz"
    write_all(target_of(path, "txt.gz"), windows_of(LINES, [5, 20_000]))
    data = path.read_bytes()
    reader = zlib.decompressobj(31)
    assert reader.decompress(data) == TEXT
    assert (reader.eof, reader.unused_data) == (True, b"")
    assert data[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def test_gzip_in_blocks_is_hardly_larger_than_gzip_in_one(tmp_path):
    """Every block knows the 32 KiB before it; without them 1.5 % is lost here."""
    path = tmp_path / "out.gz"
    write_all(target_of(path, "txt.gz"), windows_of(LINES))
    assert path.stat().st_size < 1.01 * len(gzip.compress(TEXT, 6))


def test_zstd_is_one_frame(tmp_path):
    """Common readers stop after the first frame, without a word."""
    path = tmp_path / "out.zst"
    write_all(target_of(path, "txt.zst"), windows_of(LINES, [5, 20_000]))
    assert frame_end(path.read_bytes()) == path.stat().st_size


@pytest.mark.parametrize(
    ("tool", "format_"), [("gzip", "txt.gz"), ("pigz", "txt.gz"), ("zstd", "txt.zst")]
)
def test_the_usual_tools_unpack_it(tool, format_, tmp_path):
    """What `zcat` prints is what counts for a user."""
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} on PATH")
    path = tmp_path / f"out{SUFFIXES[format_]}"
    write_all(target_of(path, format_), windows_of(LINES))
    assert subprocess.run([tool, "-dc", path], capture_output=True, check=True).stdout == TEXT


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from sink_windows import target_of, windows_of, write_all
lines = [b"%d\\n" % i for i in range(int(sys.argv[3]))]
try:
    write_all(target_of(None, sys.argv[2]), windows_of(lines, range(0, len(lines), 50_000)))
except BrokenPipeError:
    sys.stdout = None
    sys.exit(7)
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def child(format_: str, rows: int, **popen: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", CHILD, str(HELPERS), format_, str(rows)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **popen)


@pytest.mark.parametrize("format_", SUFFIXES)
def test_stdout_takes_any_format(format_, tmp_path):
    """`dbshuf ... --format txt.zst > f` and `| zcat` are as good as -o."""
    want = b"".join(b"%d\n" % i for i in range(200_000))
    piped = tmp_path / f"piped{SUFFIXES[format_]}"
    with child(format_, 200_000, stdout=subprocess.PIPE) as process:
        piped.write_bytes(process.communicate()[0])
        assert process.returncode == 0
    assert unpacked(piped) == want
    filed = tmp_path / f"filed{SUFFIXES[format_]}"
    with filed.open("wb") as file, child(format_, 200_000, stdout=file) as process:
        process.communicate()
    assert filed.read_bytes() == piped.read_bytes()


@pytest.mark.parametrize("format_", SUFFIXES)
def test_a_reader_that_leaves_early_is_a_broken_pipe_and_no_other_error(format_):
    """`| head` ends the run quietly, so the caller must be able to tell."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with child(format_, 500_000, stdout=write_end) as process:
        os.close(write_end)
        error = process.communicate(timeout=60)[1]
    assert (process.returncode, error) == (7, b"")


def test_a_pipe_that_does_not_wait_is_waited_for():
    """Node and some shells hand down pipes with O_NONBLOCK."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with child("txt", 1_000_000, stdout=write_end) as process, os.fdopen(read_end, "rb") as pipe:
        os.close(write_end)
        got = pipe.read()
        assert process.wait(60) == 0
    assert got == b"".join(b"%d\n" % i for i in range(1_000_000))


def test_a_full_disk_under_stdout_is_said_in_words():
    """No traceback for what a user can cause."""
    with open("/dev/full", "wb") as full, child("txt", 1000, stdout=full) as process:
        error = process.communicate()[1].decode()
    assert process.returncode == 1
    assert "OutputSpaceShort: `standard output`: disk full after 0 bytes" in error


def test_a_run_that_fails_before_its_first_row_leaves_a_pipe_empty(capfdbinary):
    """A header alone would look like an empty result."""
    sink = open_sink(target_of(None, header=b"id\n"))
    sink.abort()
    assert capfdbinary.readouterr().out == b""


@pytest.mark.parametrize(
    ("format_", "work"),
    [
        ("txt.gz", "dbshuf.sink.formats.compression._deflate"),
        ("txt.zst", "dbshuf.sink.encoder_threads.MemoryFile.write"),
    ],
)
def test_what_fails_on_a_thread_fails_the_run_and_ends_the_threads(
    format_, work, tmp_path, monkeypatch
):
    """An error on a thread must not be lost, nor hang the run."""

    def fail(*_: object) -> bytes:
        raise MemoryError("no room")

    monkeypatch.setattr(work, fail)
    with pytest.raises(MemoryError):
        write_all(target_of(tmp_path / "out", format_), windows_of(LINES, range(0, 30_000, 1000)))
    assert os.listdir(tmp_path) == []
    assert not [t for t in threading.enumerate() if t.name.startswith("dbshuf-sink")]


@pytest.mark.parametrize("format_", SUFFIXES)
@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()], ids=str
)
def test_rows_of_one_column_are_lines(format_, kind, tmp_path):
    """`--select "line->>'$.text'"` to text: the same file as of the lines themselves."""
    lines = [line for line in LINES[:3000] if pa.types.is_binary(kind) or decodes(line)]
    values = pa.array([line[:-1] for line in lines], pa.binary())
    rows = pa.record_batch({"anything": values.cast(pa.large_binary()).view(wide(kind)).cast(kind)})
    paths = [tmp_path / f"{name}{SUFFIXES[format_]}" for name in "ab"]
    write_all(target_of(paths[0], format_), windows_of(lines))
    target = target_of(paths[1], format_, schema=rows.schema)
    write_all(target, row_windows_of(rows, [0, 1, 2000]))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def decodes(line: bytes) -> bool:
    return b"\xff" not in line


def wide(kind: pa.DataType) -> pa.DataType:
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return pa.large_string() if is_text else pa.large_binary()


texts = st.lists(st.none() | st.binary(max_size=5) | st.sampled_from([b"\n", b"a\0b", b""]))


@same_file
@given(values=texts, cuts=borders, terminator=st.sampled_from([b"\n", b"\0"]))
def test_a_value_that_is_no_line_is_named(tmp_path, *, values, cuts, terminator):
    """The first NULL or terminator within; without one, every value is a line."""
    path = tmp_path / "out.txt"
    rows = pa.record_batch({"c": pa.array(values, pa.binary())})
    target = target_of(path, terminator=terminator, schema=rows.schema)
    bad = [i for i, value in enumerate(values) if value is None or terminator in value]
    windows = row_windows_of(rows, cuts, keys=range(len(values)))
    if not bad:
        write_all(target, windows)
        assert path.read_bytes() == b"".join(value + terminator for value in values)
        return
    with pytest.raises(RowUnfit, match=f"at byte {bad[0]}: `c` ") as caught:
        write_all(target, windows)
    way = "coalesce" if values[bad[0]] is None else "replace"
    assert way in caught.value.hint


def test_rows_longer_than_a_step_are_lines_too(tmp_path):
    """A step ends before a value that does not fit, and a long value is a step alone."""
    path = tmp_path / "out.txt"
    values = ["a", "b" * 5_000_000, "", "c" * 1_048_575, "d"]
    rows = pa.record_batch({"c": values})
    write_all(target_of(path, schema=rows.schema), row_windows_of(rows))
    assert path.read_text().split("\n") == [*values, ""]
