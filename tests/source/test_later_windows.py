"""Windows behind the first: known where that costs little, bounded where it does not."""

import io
import lzma
import random
import zlib

import pytest
from packed import CHECKED, LINES, SKIPPABLE, read_all

from dbshuf.errors import InputBroken, MemoryTooSmall
from dbshuf.source.compression.codecs import READER_BYTES
from dbshuf.source.compression.later_windows import FrameWalk, WindowLimit
from dbshuf.source.compression.readers import Decompressor
from dbshuf.source.inputs import resolve_inputs
from dbshuf.units import GIB, MIB

LEAST = 8 * MIB


def frame(log: int, blocks: int = 1) -> bytes:
    """Return a zstd frame by hand: its window's exponent, raw blocks of one letter."""
    body = b"\x08\0\0a" * (blocks - 1) + b"\x09\0\0a"
    return b"\x28\xb5\x2f\xfd\0" + bytes([log - 10 << 3]) + body


def stream(log: int) -> bytes:
    """Return LINES in xz, with a dictionary of that size in its header."""
    data = bytearray(CHECKED["xz"])
    data[16] = log - 12 << 1
    data[20:24] = zlib.crc32(data[12:20]).to_bytes(4, "little")
    return bytes(data)


FRAMES = SKIPPABLE + frame(20) + CHECKED["zstd"] * 2 + SKIPPABLE + frame(27, 3) + frame(10)


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
def test_every_frame_that_goes_by_is_told_before_its_end(size):
    """Where it begins and what window it asks for, wherever reads end."""
    found = []
    walk = FrameWalk(lambda *one: found.append(one))
    for at in range(0, len(FRAMES), size):
        walk.feed(FRAMES[at : at + size])
    windows = [MIB, 2 * MIB, 2 * MIB, 128 * MIB, 1024]
    named = [None, None, None, None, None]
    assert found == list(zip([15, 25, 58, 106, 124], windows, named, strict=True))


def test_what_is_no_frame_ends_the_walk():
    """It is the decoder's to tell."""
    walk = FrameWalk(lambda *one: None)
    noise = random.Random(2)
    for _ in range(200):
        walk.feed(frame(20) + noise.randbytes(99))


@pytest.mark.parametrize(
    ("data", "window"),
    [
        (FRAMES, 1 << 27),
        (frame(20) + frame(30), 1 << 30),
        (frame(10), 1 << 10),
        (frame(10) + frame(27) + frame(10, 99), 1 << 27),  # goes on behind what is looked at
        (frame(10, 99) + frame(27), LEAST),
        (stream(20) + bytes(8) + lzma.compress(b"") + stream(26) + stream(12), 1 << 26),
        (stream(16), 1 << 16),
        (stream(20) + stream(26)[:-1], LEAST),  # cut short: its end says nothing
        (stream(20) + stream(28), 1 << 27),  # refused as broken when it is read
    ],
)
def test_the_memory_of_a_file_is_that_of_its_largest_window(tmp_path, data, window):
    """So `plan` names the --memory that will do."""
    (tmp_path / "in").write_bytes(data)
    (one,) = resolve_inputs([str(tmp_path / "in")])
    assert one.window_bytes == window + READER_BYTES


@pytest.mark.parametrize(("codec", "part"), [("zstd", frame), ("xz", stream)])
def test_a_window_beyond_the_limit_is_refused_before_it_is_taken(codec, part):
    """With its place, and a --memory under which it is read."""
    first = part(12)
    for size in (1, 1 << 20):
        reader = Decompressor(io.BytesIO(first + part(26)), codec, "in", b"", WindowLimit(LEAST))
        with pytest.raises(MemoryTooSmall) as caught:
            read_all(reader, size)
        assert f"byte {len(first)} has a window of 67.1 MB" in caught.value.message
        assert caught.value.hint == "pass --memory 1074MB or more, or decompress it first"
        reader.close()
    limit = WindowLimit(LEAST).within(GIB, 1)
    reader = Decompressor(io.BytesIO(first + part(26)), codec, "in", b"", limit)
    assert reader.readinto(memoryview(bytearray(99))) in (2, 2 * len(LINES))


def test_a_limit_grows_with_memory_and_is_shared_by_readers():
    for cap, readers, most in (
        *((GIB - 1, 1, LEAST), (GIB, 1, 64 * MIB), (GIB, 4, 16 * MIB)),
        *((2 * GIB, 1, 128 * MIB), (64 * GIB, 4, 128 * MIB)),
    ):
        assert WindowLimit(LEAST).within(cap, readers).most_bytes == most
    assert WindowLimit(GIB).within(2 * GIB, 1).most_bytes == GIB
    assert WindowLimit(MIB, is_known=True).within(2 * GIB, 1).most_bytes == MIB


def test_a_later_frame_is_read_or_refused_by_memory(cli, home):
    """Of a file in the plan, of a pipe when it comes; nothing is written."""
    (home / "in.zst").write_bytes(frame(12) + frame(27))
    long = frame(12, 70_000) + frame(27)  # a pipe's first 64 KiB do not show it
    for words, memory, stdin, code in (
        (("plan", "in.zst", "-o", "out"), "256MB", b"", 11),
        (("ingest", "new.duckdb", "in.zst"), "300MB", b"", 11),
        (("shuffle", "-o", "out"), "1GiB", long, 11),
    ):
        ran = cli(*words, "--memory", memory, stdin=stdin)
        assert ran.code == code, ran.err
        assert [path.name for path in home.iterdir()] == ["in.zst"]
    assert "pass --memory 2148MB or more" in ran.err
    assert cli("shuffle", "in.zst", "--memory", "400MiB").out == b"aa\n"
    assert cli("shuffle", "--memory", "2GiB", stdin=long).out == b"a" * 70_001 + b"\n"


@pytest.mark.parametrize("named", [2, 3, (1 << 32) - 1])
def test_frames_that_hold_less_than_they_name_are_refused(named):
    """libzstd looks away where the last block is empty, and rows would be lost unseen."""
    data = b"\x28\xb5\x2f\xfd\x84\x58" + named.to_bytes(4, "little") + b"\x10\0\0ab\x01\0\0"
    data += b"\x61\x4a\xd0\x92"  # XXH64 of `ab`
    for size in (1, 2, 99):
        for windows in (None, WindowLimit(GIB)):
            reader = Decompressor(io.BytesIO(data), "zstd", "in", b"", windows)
            if named == 2:
                assert read_all(reader, size) == b"ab"
                continue
            with pytest.raises(InputBroken, match=rf"frames name {named}|corruption"):
                read_all(reader, size)
