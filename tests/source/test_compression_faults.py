"""Compressed inputs that are cut short, damaged or followed by something else: all are noticed."""

import contextlib
import errno
import io
import random
import re
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packed import CHECKED, CODECS, LINES, Dribble, pack, pieces_of, unpack

from dbshuf.errors import InputBroken
from dbshuf.source.compression.readers import BLOCK_BYTES, Decompressor

KINDS = st.sampled_from(CODECS)
EXACT = settings(derandomize=True, deadline=None, max_examples=300)

# In two of those: time and system (gzip), window (zstd), block size and the like (bzip2).
HARMLESS_BITS = {"gzip": 2 * 7 * 8, "zstd": 2 * 2 * 8, "bzip2": 64, "xz": 0, "lz4": 0}


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


FAILURES = [OSError(errno.EIO, "broken disk"), RuntimeError("odd"), KeyboardInterrupt()]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("failure", FAILURES, ids=repr)
def test_what_the_raw_input_raises_is_passed_on(codec, failure):
    """A disk that fails is no damaged archive."""
    reader = Decompressor(Dribble(CHECKED[codec], (10,), failure), codec, "in.txt")
    with pytest.raises(type(failure)) as caught:
        reader.readinto(memoryview(bytearray(99)))
    assert caught.value is failure
    reader.close()
