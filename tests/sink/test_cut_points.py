"""Cuts: parts depend on the rows alone."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sink_windows import (
    borders,
    exact,
    lines_of_any_bytes,
    parts_by_size,
    row_windows_of,
    windows_of,
)

from dbshuf.base.window import Window
from dbshuf.sink.cut_points import FileCut, GroupEnds, KeyCut, PlaceCut, SizeCut


def parts_of(cut, lines: Sequence[bytes], windows: Iterable[Window]) -> list[list[bytes]]:
    parts: dict[int, list[bytes]] = {}
    for window in windows:
        rows = window.lines.to_pylist()
        for part, first, last in cut.runs(window.counted_bounds, window.keys):
            assert first < last
            parts.setdefault(part, []).extend(rows[first:last])
    assert list(parts) == sorted(parts)
    return [parts.get(part, []) for part in range(cut.parts)]


@exact
@given(
    lines_of_any_bytes,
    borders,
    st.integers(1, 100) | st.none(),
    st.integers(1, 20) | st.none(),
    st.booleans(),
)
def test_a_part_is_closed_when_the_next_row_would_not_fit(lines, cuts, most_bytes, most_rows, wide):
    """Windows of any size and type give the parts of the line-by-line rule."""
    cut = SizeCut(most_bytes, most_rows)
    got = parts_of(cut, lines, windows_of(lines, cuts, wide=wide))
    assert got == parts_by_size(lines, most_bytes, most_rows)


groups_of_rows = st.lists(st.integers(1, 9), max_size=30).map(
    lambda sizes: [group for group, size in enumerate(sizes) for _ in range(size)]
)


@exact
@given(groups_of_rows, borders, st.integers(1, 60) | st.none(), st.integers(1, 20) | st.none())
def test_a_full_part_waits_for_the_end_of_its_group(groups, cuts, most_bytes, most_rows):
    """Windows of any size give the parts of the row-by-row rule."""
    lines = [b"x" * (number * 7 % 11) + b"\n" for number in range(len(groups))]
    cut = SizeCut(most_bytes, most_rows, groups=GroupEnds())
    want: list[list[bytes]] = [[]]
    for number, line in enumerate(lines):
        size = sum(map(len, want[-1])) + len(line)
        full = (most_bytes and size > most_bytes) or (most_rows and len(want[-1]) >= most_rows)
        if full and want[-1] and groups[number] != groups[number - 1]:
            want.append([])
        want[-1].append(line)
    assert parts_of(cut, lines, windows_of(lines, cuts, keys=groups)) == want


@exact
@given(groups_of_rows, borders, st.floats(0.01, 20), st.integers(1, 300))
def test_no_file_is_cut_within_a_group_wherever_windows_end(groups, cuts, ratio, size):
    """And only the last group of a file goes beyond what another file would have."""
    lines = [b"%d %s\n" % (group, b"x" * (number * 7 % 31)) for number, group in enumerate(groups)]
    given = {"ratio": ratio, "size": size, "head": 5, "groups": groups}
    parts, sizes = files_of(lines, cuts, **given)
    assert (parts, sizes) == files_of(lines, [], **given)
    assert [line for part in parts for line in part] == lines
    firsts = [part[0].split()[0] for part in parts]
    assert len(set(firsts)) == len(firsts)
    assert all(
        before[-1].split()[0] != part[0].split()[0] for before, part in itertools.pairwise(parts)
    )


def files_of(
    lines: Sequence[bytes],
    cuts: Iterable[int],
    *,
    ratio: float,
    size: int,
    head: int,
    groups: Sequence[int] | None = None,
):
    """The parts of a FileCut in a format that makes `ratio` bytes of every byte of text."""
    parts: dict[int, list[bytes]] = {}

    def measure(part: int) -> int:
        return head + int(ratio * sum(map(len, parts.get(part, []))))

    ends = None if groups is None else GroupEnds()
    cut = FileCut(size, probe_rows=max(size // 100, 1), measure=measure, groups=ends)
    for window in windows_of(lines, cuts, keys=groups):
        rows = window.lines.to_pylist()
        for part, first, last in cut.runs(window.counted_bounds, window.keys):
            assert first < last
            parts.setdefault(part, []).extend(rows[first:last])
    assert list(parts) == list(range(cut.parts if lines else 0))
    return list(parts.values()), [measure(part) for part in parts]


@pytest.mark.parametrize("ratio", [0.001, 0.3, 1.0, 9.0])
@pytest.mark.parametrize("head", [0, 300])
def test_files_have_the_size_asked_for_whatever_becomes_of_rows(ratio, head):
    """Within 15 %, the first file too, of which nothing was known before; the last apart."""
    lines = [b"%d %s\n" % (i, b"x" * (i * 7919 % 90)) for i in range(int(1200 / ratio**0.5))]
    size = int(sum(map(len, lines)) * ratio / 4)
    parts, sizes = files_of(lines, [], ratio=ratio, size=max(size, 2000), head=head)
    assert [line for part in parts for line in part] == lines
    assert all(0.85 <= got / max(size, 2000) <= 1.15 for got in sizes[:-1]), sizes


@exact
@given(lines_of_any_bytes, borders, st.floats(0.01, 20), st.integers(1, 300))
def test_windows_move_no_border_of_a_file(lines, cuts, ratio, size):
    """One seed gives the same shards at every memory cap."""
    want = files_of(lines, [], ratio=ratio, size=size, head=5)
    assert files_of(lines, cuts, ratio=ratio, size=size, head=5) == want


def test_a_row_beyond_the_size_is_a_file_of_its_own():
    """It makes no other file larger than was asked for."""
    lines = [b"x" * 9 + b"\n"] * 1000
    lines[500] = b"y" * 1500 + b"\n"
    parts, _ = files_of(lines, [], ratio=1, size=1000, head=0)
    assert [lines[500]] in parts


@exact
@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=40), borders, st.integers(1, 50))
def test_part_i_holds_the_keys_of_the_ith_equal_range(keys, cuts, count):
    """Exact at every border, whatever the number of parts."""
    keys = sorted(keys)
    lines = [b"%d\n" % key for key in keys]
    got = parts_of(KeyCut(count), lines, windows_of(lines, cuts, keys=keys))
    want: list[list[bytes]] = [[] for _ in range(count)]
    for key, line in zip(keys, lines, strict=True):
        want[key * count >> 64].append(line)
    assert got == want


@exact
@given(lines_of_any_bytes, borders, st.integers(1, 9), st.integers(0, 40))
def test_places_are_shared_out_evenly_and_a_cut_below_an_end_has_all_parts(
    lines, cuts, count, more
):
    """Row r of n goes to part r*parts/n; where rows are fewer than said, the last parts lack."""
    rows = len(lines) + more
    got = parts_of(PlaceCut(count, rows), lines, windows_of(lines, cuts))
    want: list[list[bytes]] = [[] for _ in range(count)]
    for place, line in enumerate(lines):
        want[place * count // max(rows, 1)].append(line)
    assert got == want
    end, keys = 1000 + rows, sorted(range(1000, 1000 + len(lines)))
    got = parts_of(KeyCut(count, end), lines, windows_of(lines, cuts, keys=keys))
    assert [line for part in got for line in part] == list(lines)
    assert all(
        bool(part) == any(key * count // end == i for key in keys) for i, part in enumerate(got)
    )


@pytest.mark.parametrize("count", [1, 3, 64, 99_999])
def test_keys_on_a_border_belong_to_the_range_that_starts_there(count):
    """ceil(i*2^64/N) is the first key of part i, and the key before it is not."""
    part = count - 1
    start = -(-(part << 64) // count)
    keys = [start - 1, start] if start else [0]
    lines = [b"x\n"] * len(keys)
    runs = list(KeyCut(count).runs(np.arange(len(keys) + 1), np.array(keys, np.uint64)))
    assert [run[0] for run in runs] == [part - 1, part][-len(keys) :]
    assert len(lines) == runs[-1][2]


@exact
@given(lines_of_any_bytes, borders, st.integers(1, 100))
def test_a_typed_row_counts_as_the_line_that_it_would_be(lines, cuts, most_bytes):
    """A store's export of lines must have the shards and row groups of a shuffle."""
    texts = [line[:-1] for line in lines]
    rows = pa.record_batch({"line": pa.array(texts, pa.binary())})
    as_rows, as_lines = SizeCut(most_bytes, None), SizeCut(most_bytes, None)
    for window in row_windows_of(rows, cuts):
        list(as_rows.runs(window.counted_bounds))
    assert [len(part) for part in parts_of(as_lines, lines, windows_of(lines))] == [
        len(part) for part in parts_by_size(lines, most_bytes, None)
    ]
    assert as_rows.parts == as_lines.parts


def test_a_window_without_rows_has_one_bound():
    """Arrow may leave out the buffers of an empty array."""
    for empty in (pa.array([], pa.binary()), pa.array([b"a\n"], pa.binary()).slice(1, 0)):
        assert len(Window.of_lines(empty, np.zeros(0, np.uint64)).counted_bounds) == 1
