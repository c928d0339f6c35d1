"""The SHA-256 of inputs is that of their bytes, however they are read: nothing twice, no gap."""

import gzip
import hashlib
import random
import threading
from dataclasses import replace

import pyarrow as pa
import pytest
from line_sources import BLOCK, make_source, read_all

from dbshuf.errors import InputChanged
from dbshuf.source import digest
from dbshuf.source.hashing import CatchUp, with_digests
from dbshuf.source.inputs import resolve_inputs


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def lines(count: int, longest: int, seed: int = 1) -> bytes:
    draw = random.Random(seed)
    return b"".join(
        draw.randbytes(draw.randrange(longest)).replace(b"\n", b"") + b"\n" for _ in range(count)
    )


SHORT = lines(2000, 200)
TEXTS = {
    "in ranges": SHORT,
    "without a last terminator": SHORT[:-1],
    "with lines across ranges": lines(40, 7 * BLOCK),
    "with lines longer than a buffer": lines(12, 30 * BLOCK) + SHORT,
    "of one line": b"x" * (20 * BLOCK),
    "small": b"one\ntwo\n",
    "empty": b"",
}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("header", [b"", b"head\n", b"h" * (2 * BLOCK) + b"\n"])
@pytest.mark.parametrize("name", TEXTS)
def test_files_of_lines_are_hashed_whole(name, header, workers, tmp_path, monkeypatch):
    """By readers as far as they get to it in turn, and the rest by a second reading."""
    monkeypatch.setattr(digest, "PATIENCE_S", 0.05)
    data = header + TEXTS[name]
    (tmp_path / "in").write_bytes(data)
    inputs = with_digests(resolve_inputs([str(tmp_path / "in")]), in_columns=None)
    behind = CatchUp(inputs, at_once=False)
    rows = read_all(make_source(inputs, header_bytes=len(header)), workers)
    assert b"".join(line for _, line in rows).rstrip(b"\n") == TEXTS[name].rstrip(b"\n")
    behind.join()
    assert inputs[0].digest.sha256 == sha256(data)


def test_readers_need_no_second_reading_of_ranges(tmp_path):
    """Lines of a usual length are hashed out of the memory that they were read into."""
    (tmp_path / "in").write_bytes(SHORT)
    inputs = with_digests(resolve_inputs([str(tmp_path / "in")]), in_columns=None)
    read_all(make_source(inputs), 3)
    assert inputs[0].digest.sha256 == sha256(SHORT)


def test_a_range_that_does_not_come_is_waited_for_no_longer_than_said():
    one = digest.InputDigest(8)
    one.take_turns(0.05)
    one.feed(4, memoryview(b"late"))
    one.feed(0, memoryview(b"soon"))
    assert one.sha256 is None


def test_ranges_in_any_order_are_hashed_in_order():
    data = random.Random(3).randbytes(64 * 100)
    one = digest.InputDigest(len(data))
    one.take_turns(60)
    order = list(range(64))
    random.Random(4).shuffle(order)
    feeds = [
        threading.Thread(target=one.feed, args=(100 * n, memoryview(data)[100 * n : 100 * n + 150]))
        for n in order
    ]
    for feed in feeds:
        feed.start()
    for feed in feeds:
        feed.join()
    assert one.sha256 == sha256(data)


@pytest.mark.parametrize("codec", [None, "zstd", "gzip"])
def test_streams_are_hashed_as_they_lie_there(codec, tmp_path):
    """The second reading begins anew; one that stops early has no hash."""
    data = {
        None: SHORT,
        "zstd": pa.compress(SHORT, "zstd", asbytes=True),
        "gzip": gzip.compress(SHORT),
    }[codec]
    (tmp_path / "in").write_bytes(data)
    one = with_digests(resolve_inputs([str(tmp_path / "in")]), in_columns=None)[0]
    for size in (100, len(SHORT) + 1):
        reader = one.open_stream()
        reader.readinto(memoryview(bytearray(size)))
        reader.close()
        assert one.digest.sha256 == (None if size == 100 else sha256(data))


def test_a_file_that_changes_before_its_second_reading_fails_the_run(tmp_path):
    (tmp_path / "in").write_bytes(SHORT)
    inputs = with_digests(resolve_inputs([str(tmp_path / "in")]), in_columns="")
    (tmp_path / "in").write_bytes(SHORT + b"more\n")
    with pytest.raises(InputChanged):
        CatchUp(inputs, at_once=True).join()
    inputs = (replace(inputs[0], digest=digest.InputDigest(None, "a reason")),)
    CatchUp(inputs, at_once=True).join()
