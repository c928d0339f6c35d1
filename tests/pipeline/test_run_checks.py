"""A run that lost, doubled or mixed up rows fails loudly and publishes nothing."""

import numpy as np
import pyarrow as pa
import pytest

import dbshuf
from dbshuf.base.counters import Tally
from dbshuf.base.line_batch import Arena
from dbshuf.base.window import Window
from dbshuf.errors import CheckFailed
from dbshuf.order.run_format import LineBucket
from dbshuf.pipeline.run_checks import check_read, check_totals, checked


def window(*keys):
    lines = pa.array([b"x\n"] * len(keys), pa.binary())
    return Window.of_lines(lines, np.array(keys, np.uint64))


@pytest.mark.parametrize("keys", [[(3, 2)], [(1, 1)], [(1, 5), (5, 6)], [(4,), (3,)]])
def test_keys_must_ascend_within_and_between_windows(keys):
    """Equal keys mean a doubled row, descending ones a wrong order."""
    with pytest.raises(CheckFailed, match="out of order"):
        list(checked(iter([window(*some) for some in keys]), Tally()))


@pytest.mark.parametrize("changes", [{"rows": 4}, {"text_bytes": 9}, {"key_sum": 7}])
def test_rows_bytes_and_key_sum_must_agree(changes):
    """Each alone betrays a loss that the other two may hide."""
    before = {"rows": 3, "text_bytes": 6, "key_sum": 6}
    check_totals(Tally(**before), Tally(**before))
    with pytest.raises(CheckFailed):
        check_totals(Tally(**before), Tally(**(before | changes)))


def test_lines_must_make_up_the_inputs():
    """Reading a line twice would pass every check of what was read."""
    check_read(10, 10)
    with pytest.raises(CheckFailed, match="hold 10 bytes, but their lines 12"):
        check_read(12, 10)


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "in.txt"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(50_000)))
    (tmp_path / "out.txt").write_bytes(b"as it was\n")
    return path


def refused(corpus):
    with pytest.raises(CheckFailed):
        dbshuf.shuffle(corpus, corpus.parent / "out.txt", seed=1, memory="2GB")
    assert (corpus.parent / "out.txt").read_bytes() == b"as it was\n"
    assert sorted(path.name for path in corpus.parent.iterdir()) == ["in.txt", "out.txt"]


def test_a_dropped_window_is_caught(corpus, monkeypatch):
    """Fault in the order: rows that were read do not come out."""
    windows = LineBucket.windows
    monkeypatch.setattr(
        LineBucket, "windows", lambda *given, **named: list(windows(*given, **named))[1:]
    )
    refused(corpus)


def test_a_doubled_window_is_caught(corpus, monkeypatch):
    """Fault in the order: rows come out twice."""
    windows = LineBucket.windows
    monkeypatch.setattr(
        LineBucket,
        "windows",
        lambda *given, **named: [one for one in windows(*given, **named) for _ in range(2)],
    )
    refused(corpus)


def test_a_line_that_the_reader_skips_is_caught(corpus, monkeypatch):
    """Fault in the source: a line never becomes a row."""
    split = Arena.split

    def skip_first(self, begin, end, terminator):
        offsets, stop = split(self, begin, end, terminator)
        return offsets[1:], stop

    monkeypatch.setattr(Arena, "split", skip_first)
    refused(corpus)


@pytest.mark.parametrize(
    "rows",
    [
        [[(2, 1), (1, 5)]],
        [[(1, 5), (1, 4)]],
        [[(1, 5)], [(1, 5)]],
        [[(1, 5)], [(0, 9)]],
        [[(1, 5), (2, 1)], [(2, 0), (3, 1)]],
    ],
)
def test_rows_that_are_not_in_the_order_of_prefixes_and_keys_are_noticed(rows):
    """Within a window, and from one to the next; a smaller key after a greater prefix is right."""

    def windows(parts):
        for part in parts:
            prefixes, keys = np.array(part, np.uint64).T
            lines = pa.array([b"x\n"] * len(part), pa.binary())
            yield Window.of_lines(lines, keys.copy(), prefixes.copy())

    whole = sorted({row for part in rows for row in part})
    assert list(checked(windows([[row] for row in whole]), Tally()))
    assert list(checked(windows([whole]), Tally()))
    with pytest.raises(CheckFailed):
        list(checked(windows(rows), Tally()))
