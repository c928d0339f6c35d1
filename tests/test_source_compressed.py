"""Compressed inputs: every member is read, and nothing that broke goes unnoticed."""

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import zlib
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dbshuf.errors import InputBroken
from dbshuf.source.compressed import BLOCK_BYTES, MAGIC_BYTES, Decompressor, codec_of

CODECS = ("gzip", "zstd", "bzip2", "xz", "lz4")
KINDS = st.sampled_from(CODECS)
EXACT = settings(derandomize=True, deadline=None, max_examples=300)

SKIPPABLE = b"\x53\x2a\x4d\x18" + b"\x07\0\0\0" + b"skipped"
LINES = b"a line\nanother line\n"
# By `zstd --check` and `lz4 -BX --content-size`: pyarrow writes no checksums.
ZSTD_LINES = "28b52ffd0458a1000061206c696e650a616e6f74686572206c696e650a228f1e01"
LZ4_LINES = "04224d187440bd140000806" + LINES.hex()[1:] + "ecd7b1b100000000ecd7b1b1"
CHECKED = {
    "gzip": gzip.compress(LINES, mtime=0),
    "zstd": bytes.fromhex(ZSTD_LINES),
    "bzip2": bz2.compress(LINES),
    "xz": lzma.compress(LINES, check=lzma.CHECK_CRC32),
    "lz4": bytes.fromhex(LZ4_LINES),
}
# In two of those: time and system (gzip), window (zstd), block size and the like (bzip2).
HARMLESS_BITS = {"gzip": 2 * 7 * 8, "zstd": 2 * 2 * 8, "bzip2": 64, "xz": 0, "lz4": 0}


def pack(codec: str, data: bytes) -> bytes:
    """Return `data` as one member, without any tool from PATH."""
    if codec == "gzip":
        return gzip.compress(data, mtime=0)
    if codec in ("bzip2", "xz"):
        return {"bzip2": bz2, "xz": lzma}[codec].compress(data)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


class Dribble(io.BytesIO):
    """A raw input whose reads are short, by a repeated list of sizes; the third may fail."""

    def __init__(self, data: bytes, sizes: tuple[int, ...], *failure: BaseException | None) -> None:
        super().__init__(data)
        self.sizes, self.failure, self.reads, self.largest = sizes, failure, 0, 0

    def read(self, size: int, /) -> bytes | None:
        if self.failure and self.reads == 2:
            if self.failure[0] is None:
                return None
            raise self.failure[0]
        self.reads += 1
        self.largest = max(self.largest, size)
        return super().read(min(size, self.sizes[self.reads % len(self.sizes)]))


def unpack(codec: str, data: bytes, view_bytes: int = 1 << 16, *sizes: int) -> bytes:
    """Read `data` to the end, its first bytes handed over as those of a sniffed pipe are."""
    raw = Dribble(data, sizes or (1 << 30,))
    reader = Decompressor(raw, codec, "in.txt", io.BytesIO.read(raw, MAGIC_BYTES))
    out = read_all(reader, view_bytes)
    assert reader.read_bytes == len(data)
    return out


def read_all(reader: Decompressor, view_bytes: int) -> bytes:
    out, view, filled = bytearray(), memoryview(bytearray(view_bytes)), view_bytes
    while count := reader.readinto(view):
        assert filled == view_bytes, "a view was left unfilled before the end"
        filled = count
        out += view[:count]
    reader.close()
    return bytes(out)


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_is_told_by_the_first_bytes_also_of_a_stump(codec):
    """Four bytes of an archive in the corpus would be a silent bad record."""
    for data in (pack(codec, b""), pack(codec, LINES)):
        for keep in range(4, MAGIC_BYTES + 1):
            assert codec_of(data[:keep]) == codec


def test_text_that_looks_like_a_magic_is_text():
    for text in (
        b"",
        b"\x1f",
        b"(",
        b"PK\3\4",
        b"P*M",
        b"BZh",
        b"BZhello",
        b"BZh9\n",
        b"BZh01AY&SY",
    ):
        assert codec_of(text) is None
        assert codec_of((text + b"\n" + LINES)[:MAGIC_BYTES]) is None


def test_pyarrow_is_imported_for_zstd_and_lz4_only():
    code = """if True:
        import sys, io, gzip
        from dbshuf.source.compressed import Decompressor
        reader = Decompressor(io.BytesIO(gzip.compress(b"text")), "gzip", "in")
        assert reader.readinto(memoryview(bytearray(9))) == 4
        assert "pyarrow" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@EXACT
@given(
    KINDS,
    st.lists(st.binary(max_size=2000), min_size=1, max_size=5),
    st.lists(st.integers(1, 3000), max_size=4),
    st.integers(1, 5000),
)
@example("gzip", [b"", b"", b"x", b""], [1], 1)
def test_any_bytes_in_any_members_come_back_at_any_read_size(codec, parts, sizes, view_bytes):
    data = b"".join(pack(codec, part) for part in parts)
    assert unpack(codec, data, view_bytes, *sizes) == b"".join(parts)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("view_bytes", [1 << 12, 1 << 20, 24 << 20])
def test_members_larger_than_every_buffer_come_back(codec, view_bytes):
    """Members end anywhere in a block, a piece, or pyarrow's 64 KiB."""
    noise = random.Random(7)
    parts = [noise.randbytes(noise.randrange(700_000)) + bytes(2_000_000) for _ in range(4)]
    data = b"".join(pack(codec, part) for part in parts)
    assert unpack(codec, data, view_bytes) == b"".join(parts)


@pytest.mark.parametrize("codec", CODECS)
def test_a_pipe_is_read_to_its_end(codec):
    part = random.Random(3).randbytes(300_000)
    ends = os.pipe()
    with open(ends[0], "rb", buffering=0) as raw, open(ends[1], "wb") as sink:
        writer = threading.Thread(target=lambda: (sink.write(pack(codec, part) * 3), sink.close()))
        writer.start()
        reader = Decompressor(raw, codec, "in.txt", raw.read(MAGIC_BYTES))
        assert read_all(reader, 1 << 20) == part * 3
        writer.join()


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_skippable_frames_are_skipped_wherever_they_are(codec):
    """A file that starts with one is taken for zstd: pzstd writes such files."""
    data = (SKIPPABLE + CHECKED[codec] + SKIPPABLE) * 2
    assert codec_of(data) == "zstd"
    for size in (1, 2, 3, 1 << 30):
        assert unpack(codec, data, 7, size) == LINES * 2


@pytest.mark.parametrize("zeros", [1, 2, 511, BLOCK_BYTES * 2 + 1])
def test_zeros_after_the_last_gzip_member_are_padding(zeros):
    """gzip(1) accepts them: tapes and block devices pad files."""
    assert unpack("gzip", CHECKED["gzip"] * 2 + bytes(zeros)) == LINES * 2


def test_xz_streams_may_be_padded_by_multiples_of_four():
    stream = CHECKED["xz"]
    for size in (1, 1 << 30):
        assert unpack("xz", stream + bytes(4) + stream + bytes(BLOCK_BYTES), 99, size) == LINES * 2
    for zeros in (1, 2, 3, 5):
        for rest in (b"", stream):
            with pytest.raises(InputBroken, match=f"ends at compressed byte {len(stream)}, but"):
                unpack("xz", stream + bytes(zeros) + rest)


def pieces_of(codec: str) -> list[bytes]:
    """Return members, empty members, skippable frames and padding: a small file in parts."""
    parts = [CHECKED[codec], pack(codec, b""), pack(codec, b"xyz" * 99), CHECKED[codec]]
    if codec in ("zstd", "lz4"):
        return [*parts[:2], SKIPPABLE, *parts[2:], SKIPPABLE]
    return [*parts[:2], bytes(8), *parts[2:], bytes(4)] if codec == "xz" else parts


@pytest.mark.parametrize("view_bytes", [1, 20, 1 << 16])
@pytest.mark.parametrize("size", [1, 3, 1 << 30])
@pytest.mark.parametrize("codec", CODECS)
def test_a_cut_anywhere_but_between_members_is_refused(codec, size, view_bytes):
    """Also right before the last byte, and in the checksum behind all of the data."""
    parts = pieces_of(codec)
    data, borders = b"".join(parts), {0, *accumulate(map(len, parts))}
    if codec == "xz":
        borders |= {end - 4 for end in borders if data[:end].endswith(bytes(8))}
    whole = LINES + b"xyz" * 99 + LINES
    assert unpack(codec, data) == whole
    for cut in range(len(data)):
        if cut in borders:
            assert whole.startswith(unpack(codec, data[:cut], view_bytes, size))
        else:
            with pytest.raises(InputBroken) as caught:
                unpack(codec, data[:cut], view_bytes, size)
            assert caught.value.message.startswith(f"in.txt: the {codec} data ends at ")
            assert str(cut) in caught.value.message or codec == "xz"
            assert caught.value.hint


@pytest.mark.parametrize("codec", CODECS)
def test_a_cut_of_a_large_file_is_refused(codec):
    """At the borders of blocks, of pyarrow's 64 KiB, and of members, within large members."""
    part = random.Random(5).randbytes(150_000) + bytes(3_000_000)
    member = pack(codec, part)
    data = member * 2
    near = (0, 65_536, 131_072, BLOCK_BYTES, len(member), len(data))
    for cut in {at + step for at in near for step in (-9, -4, -1, 1, 4, 9)}:
        if 0 < cut < len(data):
            with pytest.raises(InputBroken, match=f"ends at compressed byte {cut}, inside"):
                unpack(codec, data[:cut])


@pytest.mark.parametrize("codec", CODECS)
def test_every_flipped_bit_is_refused_or_harmless(codec):
    """With checksums in the file no other line can come out than went in."""
    data = CHECKED[codec] * 2
    harmless = 0
    for bit in range(len(data) * 8):
        flawed = bytearray(data)
        flawed[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(InputBroken):
            assert unpack(codec, bytes(flawed)) == LINES * 2
            harmless += 1
    assert harmless <= HARMLESS_BITS[codec]


@EXACT
@given(KINDS, st.integers(0, 1 << 20), st.binary(min_size=1, max_size=9))
def test_any_damage_is_an_error_of_ours_or_goes_unseen(codec, at, patch):
    """No other exception, and no endless loop, whatever the bytes are."""
    data = bytearray(b"".join(pieces_of(codec)))
    at %= len(data)
    data[at : at + len(patch)] = patch
    with contextlib.suppress(InputBroken):
        unpack(codec, bytes(data))


@pytest.mark.parametrize("size", [1, 1 << 30])
@pytest.mark.parametrize("codec", CODECS)
def test_anything_else_after_the_last_member_is_refused(codec, size):
    """gzip(1) and bzip2(1) drop it with a warning, even members after zeros."""
    data = CHECKED[codec] * 2
    padding = [] if codec in ("gzip", "xz") else [b"\0", bytes(4), bytes(512)]
    for rest in [b"x", b"text\n" * 9, b"\xff" * 999, b"\0\0\0x", bytes(9) + data, *padding]:
        with pytest.raises(InputBroken) as caught:
            unpack(codec, data + rest, 99, size)
        if codec not in ("zstd", "lz4"):
            assert f"ends at compressed byte {len(data)}, but" in caught.value.message
            assert f"head -c {len(data)}" in caught.value.hint


@pytest.mark.parametrize("codec", ["gzip", "bzip2", "xz"])
def test_a_message_names_the_member_and_the_byte(codec):
    member = CHECKED[codec]
    first = len(member)
    with pytest.raises(InputBroken) as caught:
        unpack(codec, member * 2 + member[:-1])
    assert caught.value.message == (
        f"in.txt: the {codec} data ends at compressed byte {first * 3 - 1}, "
        f"inside the member that starts at byte {first * 2}"
    )
    with pytest.raises(InputBroken) as caught:
        unpack(codec, member + member[:-9] + b"\xff" * 9)
    where = r"bytes (\d+) and (\d+), in the member that starts at byte (\d+)"
    low, high, start = map(int, re.findall(where, caught.value.message)[0])
    assert low <= start == first < high <= first * 2


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_message_names_the_64_kib_in_which_a_frame_broke(codec):
    frame = pack(codec, random.Random(1).randbytes(300_000))
    with pytest.raises(InputBroken, match="in a frame") as caught:
        unpack(codec, frame + CHECKED[codec][:-1] + b"\xff")
    low, high = map(int, re.findall(r"bytes (\d+) and (\d+)", caught.value.message)[0])
    assert low <= len(frame) + len(CHECKED[codec]) <= high <= low + 65_536


@pytest.mark.parametrize("codec", CODECS)
def test_a_flaw_behind_the_last_byte_of_text_is_final(codec):
    """All of the text fits the view, its checksum was not yet read: no clean end follows."""
    reader = Decompressor(io.BytesIO(CHECKED[codec][:-1]), codec, "in.txt")
    view = memoryview(bytearray(len(LINES)))
    assert reader.readinto(view) == len(LINES)
    for _ in range(3):
        with pytest.raises(InputBroken):
            reader.readinto(view)


def zstd_frame(log: int, flags: bytes = b"\0", dictionary: bytes = b"") -> bytes:
    """Return a frame by hand (RFC 8878, 3.1.1): its window's exponent, one raw block `a`."""
    return b"\x28\xb5\x2f\xfd" + flags + bytes([log - 10 << 3]) + dictionary + b"\x09\0\0a"


def xz_stream(log: int) -> bytes:
    """Return LINES with another dictionary size (xz format 1.2, 3.1: byte 16, then a CRC)."""
    data = bytearray(CHECKED["xz"])
    data[16] = log - 12 << 1
    data[20:24] = zlib.crc32(data[12:20]).to_bytes(4, "little")
    return bytes(data)


def test_windows_are_read_up_to_128_mib_and_refused_above():
    """The data is sound then, so the hint is another one."""
    assert unpack("zstd", zstd_frame(20) + zstd_frame(27)) == b"aa"
    assert unpack("xz", xz_stream(26) + xz_stream(27)) == LINES * 2
    for codec, data, hint in (
        ("zstd", zstd_frame(28), "--long=27"),
        ("zstd", zstd_frame(20, b"\x01", b"\x07"), "dictionary file"),
        ("xz", xz_stream(28), "above 128 MiB"),
    ):
        with pytest.raises(InputBroken) as caught:
            unpack(codec, data)
        assert hint in caught.value.hint


@pytest.mark.parametrize("codec", CODECS)
def test_input_is_not_read_far_ahead_of_what_was_asked_for(codec):
    """2 MB of noise, of which 1 kB is wanted; bzip2 needs a block of 900 kB for that."""
    raw = Dribble(pack(codec, random.Random(9).randbytes(2_000_000)), (1 << 30,))
    reader = Decompressor(raw, codec, "in.txt")
    assert reader.readinto(memoryview(bytearray(1000))) == 1000
    assert raw.largest <= BLOCK_BYTES
    assert reader.read_bytes == raw.tell() <= (910_000 if codec == "bzip2" else 0) + BLOCK_BYTES
    reader.close()


PEAK = """if True:
    import sys
    import pyarrow
    from dbshuf.source.compressed import Decompressor
    def peak_kb():
        with open("/proc/self/status") as status:
            return int(next(line for line in status if line.startswith("VmHWM")).split()[1])
    reader = Decompressor(open(sys.argv[2], "rb", buffering=0), sys.argv[1], "in")
    view, before, total = memoryview(bytearray(1 << 20)), peak_kb(), 0
    while count := reader.readinto(view):
        total += count
    print(total, peak_kb() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("codec", CODECS)
def test_a_decompression_bomb_takes_no_more_memory_than_other_files(codec, tmp_path):
    """120 MB of zeros in one member. The bound is the window (8 MiB for xz) and buffers."""
    (tmp_path / "bomb").write_bytes(pack(codec, bytes(120_000_000)))
    command = [sys.executable, "-c", PEAK, codec, str(tmp_path / "bomb")]
    done = subprocess.run(command, capture_output=True, check=True)
    total, grown_kb = map(int, done.stdout.split())
    assert total == 120_000_000
    assert grown_kb < 24_000


FAILURES = [OSError(errno.EIO, "broken disk"), RuntimeError("odd"), KeyboardInterrupt(), None]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("failure", FAILURES, ids=repr)
def test_what_the_raw_input_raises_is_passed_on(codec, failure):
    """A disk that fails is no damaged archive; None is a read that would block, no end."""
    reader = Decompressor(Dribble(CHECKED[codec], (10,), failure), codec, "in.txt")
    with pytest.raises(type(failure) if failure else BlockingIOError) as caught:
        reader.readinto(memoryview(bytearray(99)))
    assert failure in (None, caught.value)
    reader.close()


@pytest.mark.parametrize("codec", CODECS)
def test_the_end_of_a_raw_input_is_asked_for_once(codec):
    """A terminal or a growing file could go on after its end."""
    raw = Dribble(CHECKED[codec], (1 << 30,))
    reader = Decompressor(raw, codec, "in.txt")
    view = memoryview(bytearray(99))
    assert reader.readinto(view[:0]) == 0
    assert reader.readinto(view) == len(LINES)
    reads = raw.reads
    assert reader.readinto(view) == reader.readinto(view) == reader.readinto(view[:0]) == 0
    assert raw.reads == reads
    for _ in range(2):
        reader.close()
    assert raw.closed
    with pytest.raises(ValueError, match="closed"):
        reader.readinto(view)


TOOLS = {
    "gzip": ["gzip -1", "pigz -p 2 -b 128"],
    "zstd": ["zstd -q --no-check -T2 -19", "zstd -q --long=27", "pzstd -q -p 2"],
    "bzip2": ["bzip2 -1"],
    "xz": ["xz -1 -T2 --block-size=300000", "xz --check=none --x86 --lzma2=preset=1"],
    "lz4": ["lz4 -q -BD -B4 -BX", "lz4 -q -9 --content-size --no-frame-crc"],
}


@pytest.mark.parametrize("command", [tool for tools in TOOLS.values() for tool in tools])
def test_what_the_tools_write_is_read(command):
    if shutil.which(command.split()[0]) is None:
        pytest.skip("not installed")
    noise = random.Random(11)
    text = b"".join(b"%d words %x\n" % (n, noise.getrandbits(64)) for n in range(40_000))
    run = subprocess.run([*command.split(), "-c"], input=text, capture_output=True, check=True)
    member = run.stdout
    codec = codec_of(member[:MAGIC_BYTES])
    assert command in TOOLS[codec]
    assert unpack(codec, member * 2) == text * 2
    with pytest.raises(InputBroken):
        unpack(codec, member * 2 + member[:-1])
