"""Compressed inputs: every member is read, in constant memory, whoever wrote it."""

import ctypes
import os
import random
import shutil
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import _duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packed import CHECKED, CODECS, LINES, SKIPPABLE, Dribble, pack, read_all, unpack

from dbshuf.errors import InputBroken
from dbshuf.source.compression.codecs import MAGIC_BYTES, codec_of
from dbshuf.source.compression.readers import BLOCK_BYTES, Decompressor

KINDS = st.sampled_from(CODECS)
EXACT = settings(derandomize=True, deadline=None, max_examples=300)


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
        from dbshuf.source.compression.readers import Decompressor
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


def zstd_frame(log: int, flags: bytes = b"\0", dictionary: bytes = b"") -> bytes:
    """Return a frame by hand (RFC 8878, 3.1.1): its window's exponent, one raw block `a`."""
    return b"\x28\xb5\x2f\xfd" + flags + bytes([log - 10 << 3]) + dictionary + b"\x09\0\0a"


def xz_stream(log: int) -> bytes:
    """Return LINES with another dictionary size (xz format 1.2, 3.1: byte 16, then a CRC)."""
    data = bytearray(CHECKED["xz"])
    data[16] = log - 12 << 1
    data[20:24] = zlib.crc32(data[12:20]).to_bytes(4, "little")
    return bytes(data)


def test_windows_are_read_up_to_a_bound_and_refused_above():
    """The data is sound then, so the hint is another one."""
    assert unpack("zstd", zstd_frame(20) + zstd_frame(27)) == b"aa"
    assert unpack("xz", xz_stream(26) + xz_stream(27)) == LINES * 2
    for size in (1, 3, 1 << 20):
        assert unpack("zstd", zstd_frame(28) + zstd_frame(10) + SKIPPABLE, size, size) == b"aa"
        assert unpack("zstd", SKIPPABLE + zstd_frame(28), size, size) == b"a"
    for codec, data, hint in (
        ("zstd", zstd_frame(32), "--long=27"),
        ("zstd", zstd_frame(20) + zstd_frame(28), "--long=27"),
        ("zstd", zstd_frame(20, b"\x01", b"\x07"), "dictionary file"),
        ("xz", xz_stream(28), "above 128 MiB"),
    ):
        with pytest.raises(InputBroken) as caught:
            unpack(codec, data)
        assert hint in caught.value.hint


def test_damage_in_a_frame_of_a_large_window_is_found():
    """As in any other: cut short anywhere, or followed by something else."""
    data = zstd_frame(28) * 2
    for size in range(len(data)):
        if size not in (0, len(data) // 2):
            cut = data[:size]
            with pytest.raises(InputBroken, match=r"cut short|cannot be decompressed|ends at"):
                unpack("zstd", cut)
    with pytest.raises(InputBroken, match="cannot be decompressed"):
        unpack("zstd", data + b"else")


@pytest.mark.fresh
def test_a_match_over_more_than_128_mib_is_read_where_the_plan_has_room(cli, home):
    """`zstd --long=28` and more; the cap that would do is named otherwise."""
    noise = random.Random(5).randbytes(200_000).hex().encode() + b"\n"
    text = noise + (b"x" * 999_999 + b"\n") * 140 + noise
    packed = long_zstd(text, window_log=28)
    assert len(packed) < 1.5 * len(noise), "the second one is no match"
    (home / "in.zst").write_bytes(packed)
    ran = cli("shuffle", "in.zst", "-o", "out", "--memory", "256MB")
    assert ran.code == 11, ran.err
    cap = ran.largest_amount()
    for memory in (cap, "1GB"):
        ran = cli("shuffle", "in.zst", "-o", "out", "--memory", memory)
        assert ran.code == 0, ran.err
    assert sorted((home / "out").read_bytes().splitlines()) == sorted(text.splitlines())
    assert cli("shuffle", stdin=packed, stdout=subprocess.DEVNULL).code == 0
    assert cli("query", "in.zst", "select count(*) from lines").out.split() == [
        b"count_star()",
        b"142",
    ]


def long_zstd(data: bytes, window_log: int) -> bytes:
    """Return one frame with long matches, by DuckDB's libzstd."""
    names = {
        "new": "15ZSTD_createCCtxEv",
        "set": "22ZSTD_CCtx_setParameterEPNS_11ZSTD_CCtx_sENS_15ZSTD_cParameterEi",
        "pack": "14ZSTD_compress2EPNS_11ZSTD_CCtx_sEPvmPKvm",
        "free": "13ZSTD_freeCCtxEPNS_11ZSTD_CCtx_sE",
    }
    library = ctypes.CDLL(_duckdb.__file__)
    made = {short: library[f"_ZN11duckdb_zstd{name}"] for short, name in names.items()}
    for function in made.values():
        function.restype = ctypes.c_void_p
    context = ctypes.c_void_p(made["new"]())
    for parameter, value in ((100, 1), (101, window_log), (160, 1), (201, 1)):
        made["set"](context, parameter, value)
    out = ctypes.create_string_buffer(4 << 20)
    size = made["pack"](context, out, ctypes.c_size_t(len(out)), data, ctypes.c_size_t(len(data)))
    made["free"](context)
    return out.raw[:size]


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
    from dbshuf.source.compression.readers import Decompressor
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
