"""Damaged compressed inputs, and what other readers of the same bytes make of them."""

import bz2
import gzip
import io
import lzma
import random
import zlib

import lz4.frame
import zstandard
from mutation import Target, damaged, joined

from dbshuf.errors import InputBroken
from dbshuf.source.compression.codecs import codec_of
from dbshuf.source.compression.later_windows import WindowLimit
from dbshuf.source.compression.readers import Decompressor

_WINDOW = 1 << 31

_PIECES = [b"a", b"line\n", b"\n", b"0123456789" * 9, b"x" * 300, b"\xff\x00", b"{}\n" * 40]
_TEXTS = [joined(random.Random(seed), _PIECES, 12) for seed in range(24)]
_TOKENS = {
    "gzip": [b"\0", b"\0" * 9, b"\x1f\x8b", b"\x1f\x8b\x08\x1c", b"\xff" * 4, gzip.compress(b"")],
    "bzip2": [b"BZh9", b"BZh", b"\x17\x72\x45\x38\x50\x90", b"1AY&SY", b"\0", bz2.compress(b"")],
    "xz": [b"\0" * 4, b"\0", b"\xfd7zXZ\0", b"YZ", lzma.compress(b"")],
    "zstd": [b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18\3\0\0\0abc", b"\x20\0\1\0\0", b"\xff" * 4],
    "lz4": [b"\4\x22\x4d\x18", b"\x5f\x2a\x4d\x18\0\0\0\0", b"\0" * 4, b"\xff" * 4],
}


def _gzip(text: bytes, n: int) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile("name" if n & 1 else "", "wb", n % 9, out, mtime=n) as file:
        file.write(text)
    return out.getvalue()


def _zstd(text: bytes, n: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        1 + n % 19, write_checksum=n & 1, write_content_size=n & 2, window_log=10 + n % 8
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(text)


def _lz4(text: bytes, n: int) -> bytes:
    return lz4.frame.compress(
        text,
        compression_level=n % 5,
        content_checksum=bool(n & 1),
        block_checksum=bool(n & 2),
        store_size=bool(n & 4),
        block_linked=bool(n & 8),
    )


def _xz(text: bytes, n: int) -> bytes:
    check = (lzma.CHECK_NONE, lzma.CHECK_CRC32, lzma.CHECK_CRC64, lzma.CHECK_SHA256)[n % 4]
    return lzma.compress(text, check=check, preset=0)


def _bzip2(text: bytes, n: int) -> bytes:
    return bz2.compress(text, 1 + (n == 7))


_PACKED = {
    name: [pack(text, n) for n, text in enumerate(_TEXTS)]
    for name, pack in (
        ("gzip", _gzip),
        ("bzip2", _bzip2),
        ("xz", _xz),
        ("zstd", _zstd),
        ("lz4", _lz4),
    )
}


def _by_gzip(data: bytes) -> bytes:
    return gzip.GzipFile(fileobj=io.BytesIO(data)).read()


def _member_by_member(data: bytes, new, pad: bytes = b"") -> bytes:
    """Return what decompressors of one member each make of all of `data`; strict."""
    out = []
    while data:
        member = new()
        out.append(member.decompress(data))
        if not member.eof:
            raise EOFError
        data = member.unused_data
        if pad:
            rest = data.lstrip(pad)
            if (len(data) - len(rest)) % 4:
                raise ValueError("padding")
            data = rest
    return b"".join(out)


def _new_zstd():
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()


_REFERENCES = {
    "gzip": _by_gzip,
    "bzip2": lambda data: _member_by_member(data, bz2.BZ2Decompressor),
    "xz": lambda data: _member_by_member(
        data, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=129 << 20), b"\0"
    ),
    "zstd": lambda data: _member_by_member(data, _new_zstd),
    "lz4": lambda data: _member_by_member(data, lz4.frame.LZ4FrameDecompressor),
}
_FAULTS = (
    *(EOFError, OSError, ValueError, RuntimeError, zlib.error, lzma.LZMAError),
    zstandard.ZstdError,
)


def _made(codec: str):
    packed, tokens = _PACKED[codec], _TOKENS[codec]

    def make(rng: random.Random) -> tuple[bytes, int]:
        members = b"".join(rng.choices(packed, k=rng.choice((1, 1, 2, 3))))
        return damaged(rng, members, tokens, rng.choice(packed)), rng.choice((7, 999, 1 << 16))

    return make


def _read(reader, size: int) -> bytes:
    out, view = [], memoryview(bytearray(size))
    while count := reader.readinto(view):
        out.append(bytes(view[:count]))
    return b"".join(out)


def _is_unchecked(data: bytes) -> bool:
    """Whether a zstd frame may be among the bytes that says it has no checksum."""
    return not all(one[:1] and one[0] & 4 for one in data.split(b"\x28\xb5\x2f\xfd")[1:])


def _is_unnamed(data: bytes) -> bool:
    """Whether a frame may name more bytes than it has, and another not say how many it has.

    In the first one, libzstd takes a last block of nothing for the end.
    """
    flags = [one[0] for one in data.split(b"\x28\xb5\x2f\xfd")[1:] if one]
    return _has_empty_block(data) and len(flags) > 1 and any(not one & 0xE0 for one in flags)


def _has_empty_block(data: bytes) -> bool:
    """Whether the last block of a frame may be empty."""
    return b"\1\0\0" in data or b"\3\0\0" in data


def _checked(codec: str):
    def check(given: tuple[bytes, int]) -> bool:
        data, size = given
        if codec_of(data[:10]) != codec:
            return False
        try:
            wanted = _REFERENCES[codec](data)
        except _FAULTS:
            wanted = None
        reader = Decompressor(io.BytesIO(data), codec, "in")
        try:
            found = _read(reader, size)
        except InputBroken as error:
            if "window" in error.hint:  # of a frame behind the first one, above 128 MiB
                return False
            if "its frames name" in error.message:  # libzstd tells that of small frames alone
                assert _has_empty_block(data)
                return False
            found = None
        finally:
            reader.close()
        if codec == "gzip" and found is None:  # Python's module looks away here
            return False
        if codec == "zstd" and wanted is None and (_is_unchecked(data) or _is_unnamed(data)):
            return found is not None  # libzstd tells other damage when it reads in other pieces
        assert found == wanted, (codec, found, wanted)
        return found is not None

    return check


def _check_wide(given: tuple[bytes, int]) -> bool:
    """Frames by libzstd, as those of large windows are read: what the other reader makes of it."""
    data, size = given[0], 1 << 16
    found = []
    for windows in (None, WindowLimit(2048 << 20, is_known=True)):
        reader = Decompressor(io.BytesIO(data), "zstd", "in", b"", windows)
        try:
            found.append(_read(reader, size))
        except InputBroken as error:
            found.append("window" if "window" in error.hint else None)
        reader.close()
    if None in found and _is_unnamed(data):
        return False
    assert found[0] in (found[1], "window"), found
    return found[1] is not None


TARGETS = {
    name: Target(share, _made(name), _checked(name))
    for name, share in (
        ("gzip", 0.08),
        ("bzip2", 0.04),
        ("xz", 0.04),
        ("zstd", 0.06),
        ("lz4", 0.06),
    )
} | {"wide-zstd": Target(0.02, _made("zstd"), _check_wide)}
