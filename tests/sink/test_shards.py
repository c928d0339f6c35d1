"""Shards: files that, read in the order of their names, are the one order."""

import os
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from output_files import lines_in
from sink_windows import (
    borders,
    keys_for,
    lines_of_any_bytes,
    parts_by_size,
    row_windows_of,
    target_of,
    windows_of,
    write_all,
)

from dbshuf.sink import FORMATS, open_sink, shard_names

LINES = [b"%d %s\n" % (i, b"x" * (i % 50)) for i in range(3000)]
TEXT = b"".join(LINES)

same_file = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, derandomize=True
)


def shards_of(directory: Path, form: str = "txt") -> list[bytes]:
    """Return the shards' lines in the order of their names, which must say N of N."""
    names = sorted(os.listdir(directory))
    assert names == [f"part-{i:05}-of-{len(names):05}.{form}" for i in range(len(names))]
    return [lines_in(directory / name) for name in names]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [1, 7])
def test_shards_are_equal_ranges_of_the_key(form, count, tmp_path):
    """Shard i holds keys in [i*2^64/N, (i+1)*2^64/N), so another machine can make it alone."""
    out = tmp_path / "out"
    sink = write_all(target_of(out, form, shards=count), windows_of(LINES, [5, 1000, 2900]))
    want: list[list[bytes]] = [[] for _ in range(count)]
    for key, line in zip(keys_for(LINES), LINES, strict=True):
        want[key * count >> 64].append(line)
    assert shards_of(out, form) == [b"".join(lines) for lines in want]
    assert (sink.rows, sink.text_bytes) == (len(LINES), len(TEXT))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("keys", [[], [0], [2**64 - 1], [2**63]])
def test_shards_without_a_row_are_still_there_and_can_be_read(form, keys, tmp_path):
    """N means N files: a loader that opens part i of N must find it."""
    lines = [b"one\n"] * len(keys)
    write_all(target_of(tmp_path / "out", form, shards=9), windows_of(lines, keys=keys))
    want = [b""] * 9
    for key in keys:
        want[key * 9 >> 64] = b"one\n"
    assert shards_of(tmp_path / "out", form) == want


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "cut", [{"shards": 7}, {"shard_rows": 800}, {"shard_bytes": 2000}], ids=min
)
def test_typed_rows_of_one_column_have_the_shards_of_lines(form, cut, tmp_path):
    """The same files, byte for byte: the export of a store is the shuffle of its inputs."""
    rows = pa.record_batch({"line": [line[:-1].decode() for line in LINES]})
    write_all(target_of(tmp_path / "lines", form, **cut), windows_of(LINES, [5, 1000]))
    target = target_of(tmp_path / "rows", form, schema=rows.schema, **cut)
    write_all(target, row_windows_of(rows, [2900]))
    names = sorted(os.listdir(tmp_path / "lines"))
    assert names == sorted(os.listdir(tmp_path / "rows"))
    counts = {"shards": {7}, "shard_rows": {4}, "shard_bytes": range(2, 200)}
    assert len(names) in counts[min(cut)]
    for name in names:
        assert (tmp_path / "lines" / name).read_bytes() == (tmp_path / "rows" / name).read_bytes()


@pytest.mark.parametrize("form", ["txt", "txt.gz", "txt.zst"])
@pytest.mark.parametrize("cut", [{"shards": 70}, {"shard_rows": 800}, {"shard_bytes": 9000}])
def test_the_header_is_at_the_head_of_every_shard(form, cut, tmp_path):
    """Each shard can be read alone; a header counts as part of its file."""
    head = b"id\ttext\n#\n"
    target = target_of(tmp_path / "out", form, header=head, **cut)
    write_all(target, windows_of(LINES[:2000], [999]))
    got = shards_of(tmp_path / "out", form)
    assert all(shard.startswith(head) for shard in got)
    assert b"".join(shard.removeprefix(head) for shard in got) == b"".join(LINES[:2000])
    largest = max(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert largest <= 1.15 * cut.get("shard_bytes", 1 << 30)


@same_file
@given(
    lines=lines_of_any_bytes,
    cuts=borders,
    most_bytes=st.integers(1, 200) | st.none(),
    most_rows=st.integers(1, 30),
)
def test_size_cuts_the_one_order_and_windows_do_not_matter(
    tmp_path_factory, *, lines, cuts, most_bytes, most_rows
):
    """Greedy in order: no shard could have taken one line more."""
    most_rows = None if most_bytes else most_rows
    out = tmp_path_factory.mktemp("shards") / "out"
    target = target_of(out, shard_bytes=most_bytes, shard_rows=most_rows)
    write_all(target, windows_of(lines, cuts))
    assert shards_of(out) == [
        b"".join(part) for part in parts_by_size(lines, most_bytes, most_rows)
    ]


@pytest.mark.parametrize("cut", [{"shard_rows": 10}, {"shard_bytes": 10}])
def test_no_rows_make_one_empty_shard(cut, tmp_path):
    """A directory without files would look like a run that never happened."""
    write_all(target_of(tmp_path / "out", "parquet", **cut), [])
    assert shards_of(tmp_path / "out", "parquet") == [b""]


@pytest.mark.parametrize("cut", [{"shards": 100}, {"shard_rows": 40}])
@pytest.mark.parametrize("form", ["txt", "csv.gz", "jsonl.zst", "arrow", "parquet"])
def test_one_shard_is_open_at_a_time(cut, form, tmp_path):
    """A thousand shards need no thousand descriptors."""
    sink = open_sink(target_of(tmp_path / "out", form, **cut))
    before = len(os.listdir("/proc/self/fd"))
    most = before
    for window in windows_of(LINES, range(0, 3000, 100)):
        sink.write(window)
        most = max(most, len(os.listdir("/proc/self/fd")))
    sink.finish()
    assert most <= before + 2
    assert len(os.listdir("/proc/self/fd")) <= before
    assert b"".join(shards_of(tmp_path / "out", form)) == TEXT


def test_names_sort_as_the_order_does_at_any_number_of_shards():
    """`cat part-*` is the whole output."""
    for count in (1, 99_999, 100_001):
        names = shard_names.shard_names(count, "txt")
        assert (names, len(set(names))) == (sorted(names), count)
    assert shard_names.shard_names(64, "txt.zst")[0] == "part-00000-of-00064.txt.zst"
    assert shard_names.shard_names(100_001, "txt")[7] == "part-000007-of-100001.txt"
