"""The checksum of a zstd frame: other programs find a flipped bit by it."""

import random
import shutil
import subprocess

import pyarrow as pa
import pytest
from sink_windows import target_of, windows_of, write_all

from dbshuf.sink.formats.zstd_checksum import FrameChecksum

_NOISE = random.Random(1)
_PRINTABLE = bytes(32 + value % 95 for value in range(256))
LINES = [_NOISE.randbytes(80).translate(_PRINTABLE) + b"\n" for _ in range(20_000)]


@pytest.mark.parametrize("lines", [[], [b"\n"], LINES[:1], LINES], ids=len)
def test_a_frame_says_that_it_has_a_checksum_and_readers_accept_it(lines, tmp_path):
    """pyarrow checks it, and so does the zstd command where there is one."""
    path = tmp_path / "out.zst"
    write_all(target_of(path, "txt.zst"), windows_of(lines))
    data = path.read_bytes()
    assert data[4] & 0x04
    with pa.input_stream(pa.py_buffer(data), compression="zstd") as stream:
        assert stream.read() == b"".join(lines)
    if shutil.which("zstd"):
        told = subprocess.run(["zstd", "-lv", path], capture_output=True, text=True, check=True)
        assert "XXH64" in told.stdout
        subprocess.run(["zstd", "-tq", path], check=True)


def test_a_flipped_bit_is_found(tmp_path):
    """Also one in the text itself, which decompresses without it."""
    path = tmp_path / "out.zst"
    write_all(target_of(path, "txt.zst"), windows_of(LINES))
    data = bytearray(path.read_bytes())
    places = _NOISE.sample(range(20, len(data)), 50)
    for place in places:
        data[place] ^= 1
        with (
            pytest.raises(OSError, match="ZSTD"),
            pa.input_stream(pa.py_buffer(bytes(data)), compression="zstd") as stream,
        ):
            stream.read()
        data[place] ^= 1


def test_the_checksum_is_that_of_the_format():
    """XXH64 of nothing, seed 0, is ef46db3751d8e999: the vector of its author."""
    assert FrameChecksum().end().hex() == "99e9d851"
