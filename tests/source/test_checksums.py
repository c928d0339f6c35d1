"""Which inputs carry a checksum over their content: what damage is found in, and what not."""

import bz2
import gzip
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dbshuf.source.checksums import has_checksum, without_checksum
from dbshuf.source.inputs import resolve_inputs

TEXT = b"a line\n" * 1000


def zstd_frame(*, checked: bool) -> bytes:
    """A frame of one raw block, with the bit or without; the checksum itself is not looked at."""
    head = b"\x28\xb5\x2f\xfd" + bytes([0x20 | (0x04 if checked else 0), 4])
    return head + (4 << 3 | 1).to_bytes(3, "little") + b"abc\n" + (b"\0" * 4 if checked else b"")


def lz4_frame(flags: int) -> bytes:
    return b"\x04\x22\x4d\x18" + bytes([0x40 | flags, 0x40, 0]) + b"\0" * 4


SKIPPED = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"abcd"
FRAMES = {
    "gzip": (gzip.compress(TEXT), True),
    "bzip2": (bz2.compress(TEXT), True),
    "xz": (lzma.compress(TEXT), True),
    "xz unchecked": (lzma.compress(TEXT, check=lzma.CHECK_NONE), False),
    "zstd": (zstd_frame(checked=True), True),
    "zstd unchecked": (zstd_frame(checked=False), False),
    "zstd behind a skipped frame": (SKIPPED + zstd_frame(checked=True), True),
    "zstd of arrow": (pa.compress(TEXT, "zstd", asbytes=True), False),
    "lz4 of a frame": (lz4_frame(0x04), True),
    "lz4 of blocks": (lz4_frame(0x10), True),
    "lz4 unchecked": (lz4_frame(0), False),
    "text": (TEXT, False),
}


@pytest.mark.parametrize("name", FRAMES)
def test_the_header_tells_of_a_checksum(name, tmp_path):
    data, wanted = FRAMES[name]
    path = tmp_path / "in"
    path.write_bytes(data)
    assert has_checksum(resolve_inputs([str(path)])[0], "lines") is wanted


@pytest.mark.parametrize("checked", [True, False])
def test_a_parquet_page_tells_of_a_checksum(checked, tmp_path):
    rows = pa.table({"n": range(1000), "t": ["x"] * 1000})
    pq.write_table(rows, tmp_path / "in.parquet", write_page_checksum=checked)
    assert has_checksum(resolve_inputs([str(tmp_path / "in.parquet")])[0], "parquet") is checked


@pytest.mark.parametrize("header", [b"\x1c" * 4096, b"\x1c" + b"\xff" * 40, b"\x19\xff" * 99])
def test_a_damaged_parquet_page_tells_nothing(header, tmp_path):
    """Levels without an end among it; the run that reads it will say what is wrong."""
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"t": [f"{n:09}" for n in range(2000)]}), path, compression="none")
    data = path.read_bytes()
    path.write_bytes(data[:4] + header + data[4 + len(header) :])
    assert has_checksum(resolve_inputs([str(path)])[0], "parquet") is None


def test_one_line_says_how_many_carry_none(tmp_path):
    for number in range(12):
        (tmp_path / f"{number:02}.txt").write_bytes(TEXT)
    (tmp_path / "z").write_bytes(zstd_frame(checked=False))
    (tmp_path / "zz").write_bytes(gzip.compress(TEXT))
    inputs = resolve_inputs([str(tmp_path)])
    assert without_checksum(inputs, "lines") == (
        f"none over the content of 12 of plain text, 1 of zstd, such as `{tmp_path}/00.txt`"
    )
    assert without_checksum(inputs[-1:], "lines") == ""
