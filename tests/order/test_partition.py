"""The partition, with buffers so small that every border is crossed: one order all the same."""

import itertools
import threading

import numpy as np
import pytest
import reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dbshuf.base.key import seed_words
from dbshuf.base.layout import Layout
from dbshuf.base.window import text_of
from dbshuf.base.workers import in_order
from dbshuf.errors import LineTooLong
from dbshuf.order import partition
from dbshuf.order import run_format as cargo
from dbshuf.order.partition import PartitionOrder
from dbshuf.order.runs import Store
from dbshuf.pipeline.source_scan import LineScan
from dbshuf.source.compression.codecs import MAGIC_BYTES, codec_of
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.lines.long_lines import LineLimit
from dbshuf.source.lines.reader import LineSource

BLOCK = 4096


def shuffled(paths, folder, **changes):
    """Shuffle files with a layout of the test's making; return the bytes in order."""
    longest_bytes = changes.pop("longest_bytes", 1 << 20)
    layout = Layout(
        **{
            "base_bytes": 0,
            "store_bytes": 0,
            "workers": 2,
            "buffer_bytes": 8 * BLOCK,
            "bucket_bytes": 8 * BLOCK,
            "piece_rows": 1000,
            "long_bytes": 1 << 20,
            "ranges": 5,
            "is_split": False,
            "sort_bytes": 1 << 22,
            "ahead_bytes": 1 << 16,
        }
        | changes
    )
    inputs = resolve_inputs([str(path) for path in paths])
    source = LineSource(
        inputs,
        terminator=b"\n",
        header_bytes=0,
        layout=layout,
        limit=LineLimit(longest_bytes, lambda length: length),
    )
    store = Store(layout.store_bytes, folder / "rows")
    try:
        order = PartitionOrder(layout, seed_words("42"), store)
        feed = LineScan(source, inputs, lambda _: None)
        order.fill(feed)
        feed.check()
        return b"".join(bytes(text_of(window)) for window in order.windows())
    finally:
        store.close()
        source.close()


lines = st.one_of(
    st.binary(max_size=30),
    st.integers(0, 60_000).map(lambda size: b"x" * size),
    st.sampled_from([b"", b"\n" * 800, b"\xff" * BLOCK, b"\0\r", b"y" * (8 * BLOCK - 1)]),
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    files=st.lists(st.lists(lines, max_size=12), min_size=1, max_size=4),
    ends=st.sampled_from([b"", b"\n"]),
    workers=st.integers(1, 4),
    blocks=st.integers(4, 40),
    more=st.integers(0, 20),
    piece_rows=st.integers(1, 600),
    ranges=st.integers(1, 300),
    sort_bytes=st.sampled_from([1 << 12, 1 << 17, 1 << 22]),
    in_memory=st.booleans(),
    run_bytes=st.sampled_from([0, 1 << 8, 1 << 12, 1 << 20]),
)
def test_any_buffer_any_workers_any_ranges_give_the_reference_order(
    *,
    tmp_path_factory,
    files,
    ends,
    workers,
    blocks,
    more,
    piece_rows,
    ranges,
    sort_bytes,
    in_memory,
    run_bytes,
):
    """Pieces, batches, runs, buckets and their splits are about memory, never about the order."""
    folder = tmp_path_factory.mktemp("any")
    data = [b"\n".join(file) + (ends if file else b"") for file in files]
    assume(all(codec_of(content[:MAGIC_BYTES]) is None for content in data))
    paths = [folder / f"{number}.txt" for number in range(len(data))]
    for path, content in zip(paths, data, strict=True):
        path.write_bytes(content)
    found = shuffled(
        paths,
        folder,
        workers=workers,
        buffer_bytes=blocks * BLOCK,
        bucket_bytes=(blocks + more) * BLOCK,
        piece_rows=piece_rows,
        ranges=ranges,
        sort_bytes=sort_bytes,
        store_bytes=(64 << 20) if in_memory else 0,
        run_bytes=run_bytes,
    )
    assert found == reference.shuffled(data, "42")
    assert not (folder / "rows").exists()


def test_a_bucket_beyond_the_offsets_of_arrow_is_split(tmp_path, monkeypatch):
    """Two GiB under a cap of many; here the border is drawn at 50 kB."""
    monkeypatch.setattr(partition, "_INT32_BYTES", 50_000)
    loaded = []
    windows = cargo.LineBucket.windows
    monkeypatch.setattr(
        cargo.LineBucket,
        "windows",
        lambda self, *given, **named: loaded.append(self) or windows(self, *given, **named),
    )
    data = b"".join(b"%d %s\n" % (n, b"z" * (n % 90)) for n in range(9000))
    (tmp_path / "a").write_bytes(data)
    found = shuffled(
        [tmp_path / "a"], tmp_path, ranges=2, buffer_bytes=1 << 20, bucket_bytes=1 << 20
    )
    assert found == reference.shuffled([data], "42")
    assert len(loaded) > 8


def test_the_last_piece_of_a_file_gives_only_its_own_lines(tmp_path):
    """A short last piece begins inside a line that the piece before it owns."""
    data = b"".join(b"%d %s\n" % (n, b"z" * (n % 900)) for n in range(4000))
    (tmp_path / "a").write_bytes(data)
    assert shuffled([tmp_path / "a"], tmp_path) == reference.shuffled([data], "42")


def test_a_line_over_the_limit_is_named_with_its_place_and_length(tmp_path):
    """The one that a user must find among millions."""
    (tmp_path / "a").write_bytes(b"short\n" * 1000 + b"x" * 500_000 + b"\nshort\n")
    with pytest.raises(LineTooLong, match=r"a`: the line at byte 6000 .*500001 bytes"):
        shuffled([tmp_path / "a"], tmp_path, longest_bytes=100_000)


def test_results_leave_in_the_order_of_turns_whoever_is_first():
    """Late turns wait for early ones, and what waits is bounded."""
    waiting, most, lock = [0], [0], threading.Lock()
    slow = np.random.default_rng(5).random(40) / 500

    def work(turn, put, worker):
        threading.Event().wait(slow[turn])
        for item in range(3):
            with lock:
                waiting[0] += 1
                most[0] = max(most[0], waiting[0])
            put((turn, item), 1)

    found = []
    for pair in in_order(40, 4, 6, work, lambda: None):
        with lock:
            waiting[0] -= 1
        found.append(pair)
    assert found == list(itertools.product(range(40), range(3)))
    assert most[0] <= 6 + 1 + 4  # waiting, the current turn's own, one in each worker's hands


def test_the_first_error_of_a_worker_reaches_the_consumer():
    """And the other workers end: no thread is left behind."""

    def work(turn, put, worker):
        if turn == 3:
            raise ValueError("turn three")
        put(turn, 1)

    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="turn three"):
        list(in_order(50, 3, 10, work, lambda: None))
    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended
