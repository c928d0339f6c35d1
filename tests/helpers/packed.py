"""Compressed members for tests, made and read back without any tool from PATH."""

import bz2
import gzip
import io
import lzma

import pyarrow as pa

from dbshuf.source.compression.codecs import MAGIC_BYTES
from dbshuf.source.compression.readers import Decompressor

CODECS = ("gzip", "zstd", "bzip2", "xz", "lz4")

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

    def __init__(self, data: bytes, sizes: tuple[int, ...], *failure: BaseException) -> None:
        super().__init__(data)
        self.sizes, self.failure, self.reads, self.largest = sizes, failure, 0, 0

    def read(self, size: int, /) -> bytes:
        if self.failure and self.reads == 2:
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


def pieces_of(codec: str) -> list[bytes]:
    """Return members, empty members, skippable frames and padding: a small file in parts."""
    parts = [CHECKED[codec], pack(codec, b""), pack(codec, b"xyz" * 99), CHECKED[codec]]
    if codec in ("zstd", "lz4"):
        return [*parts[:2], SKIPPABLE, *parts[2:], SKIPPABLE]
    return [*parts[:2], bytes(8), *parts[2:], bytes(4)] if codec == "xz" else parts
