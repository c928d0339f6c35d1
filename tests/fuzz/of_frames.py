"""Compressed inputs built by their formats, with headers that lie and checksums that are right.

Damage alone mostly ends at a checksum; here that is made after the lie, so that what lies behind
it is read too. Sources: RFC 8878 (zstd), the LZ4 frame format 1.6.2, the .xz file format 1.2.0.
"""

import bz2
import lzma
import random
import zlib
from collections.abc import Callable

import lz4.block
import zstandard
from mutation import Target, damaged, joined
from of_codecs import _checked

_PIECES = [b"a", b"line\n", b"\n", b"0123456789" * 9, b"x" * 300, b"\xff\x00", b"{}\n" * 40]
_TEXTS = [joined(random.Random(seed), _PIECES, 12) for seed in range(40)]
_SIZES = (7, 999, 1 << 16)  # of what is asked for at once
_M32, _M64 = (1 << 32) - 1, (1 << 64) - 1
_P32 = (2654435761, 2246822519, 3266489917, 668265263, 374761393)
_P64 = (
    *(11400714785074694791, 14029467366897019727, 1609587929392839161),
    *(9650029242287828579, 2870177450012600261),
)


def _rotated(value: int, count: int, bits: int) -> int:
    return (value << count | value >> (bits - count)) & ((1 << bits) - 1)


def _words(data: bytes, size: int) -> list[int]:
    return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]


def xxh32(data: bytes) -> int:
    """Return XXH32 with seed 0."""
    p1, p2, p3, p4, p5 = _P32
    whole = len(data) // 16 * 16
    lanes = [(p1 + p2) & _M32, p2, 0, -p1 & _M32]
    for number, word in enumerate(_words(data[:whole], 4)):
        lane = number % 4
        lanes[lane] = _rotated((lanes[lane] + word * p2) & _M32, 13, 32) * p1 & _M32
    found = p5
    if whole:
        found = sum(_rotated(*one, 32) for one in zip(lanes, (1, 7, 12, 18), strict=True))
    found = (found + len(data)) & _M32
    end = whole + (len(data) - whole) // 4 * 4
    for word in _words(data[whole:end], 4):
        found = _rotated((found + word * p3) & _M32, 17, 32) * p4 & _M32
    for byte in data[end:]:
        found = _rotated((found + byte * p5) & _M32, 11, 32) * p1 & _M32
    for shift, factor in ((15, p2), (13, p3), (16, 1)):
        found = (found ^ found >> shift) * factor & _M32
    return found


def xxh64(data: bytes) -> int:
    """Return XXH64 with seed 0."""
    p1, p2, p3, p4, p5 = _P64

    def lane_of(lane: int, word: int) -> int:
        return _rotated((lane + word * p2) & _M64, 31, 64) * p1 & _M64

    whole = len(data) // 32 * 32
    lanes = [(p1 + p2) & _M64, p2, 0, -p1 & _M64]
    for number, word in enumerate(_words(data[:whole], 8)):
        lanes[number % 4] = lane_of(lanes[number % 4], word)
    found = p5
    if whole:
        found = sum(_rotated(*one, 64) for one in zip(lanes, (1, 7, 12, 18), strict=True)) & _M64
        for lane in lanes:
            found = ((found ^ lane_of(0, lane)) * p1 + p4) & _M64
    found = (found + len(data)) & _M64
    end = whole + (len(data) - whole) // 8 * 8
    for word in _words(data[whole:end], 8):
        found = (_rotated(found ^ lane_of(0, word), 27, 64) * p1 + p4) & _M64
    if len(data) - end >= 4:
        found = (_rotated(found ^ _words(data[end : end + 4], 4)[0] * p1 & _M64, 23, 64)) * p2 + p3
        found, end = found & _M64, end + 4
    for byte in data[end:]:
        found = _rotated(found ^ byte * p5 & _M64, 11, 64) * p1 & _M64
    for shift, factor in ((33, p2), (29, p3), (32, 1)):
        found = (found ^ found >> shift) * factor & _M64
    return found


def _lie(rng: random.Random, truth: int, most: int) -> int:
    """Return the truth, mostly, or what is near it or far away."""
    others = (truth + 1, max(truth - 1, 0), 0, most, rng.randrange(most + 1), 1 << 31)
    return rng.choice((*(truth,) * 90, *others)) & most


def _skippable(rng: random.Random) -> bytes:
    data = b"\x28\xb5\x2f\xfd\n"[: rng.randrange(6)] + bytes(rng.choice((0, 0, 3, 70)))
    size = _lie(rng, len(data), _M32)
    return bytes([0x50 + rng.randrange(16)]) + b"\x2a\x4d\x18" + size.to_bytes(4, "little") + data


def _zstd_block(rng: random.Random, last: bool) -> tuple[bytes, bytes]:
    """Return a block, and what it holds."""
    text = rng.choice(_TEXTS)
    kind = rng.choice((0, 1, 2)) if rng.random() < 0.99 else 3
    size, data = len(text), text
    if kind == 1:
        size = rng.choice((1, 50, 300, 1000))
        data, text = b"r", b"r" * size
    elif kind == 2:
        frame = zstandard.ZstdCompressor(1, write_content_size=False).compress(text)
        data = frame[9:]  # magic, descriptor, window, and the head of the only block
        kind = frame[6] >> 1 & 3
        size = len(data) if kind != 1 else len(text)
    size = _lie(rng, size, (1 << 21) - 1)
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + data, text


def _zstd_frame(rng: random.Random) -> bytes:
    count = rng.choice((1, 1, 2, 3))
    ends = [number == count - 1 or rng.random() < 0.01 for number in range(count)]
    blocks = [_zstd_block(rng, last and rng.random() < 0.99) for last in ends]
    text = b"".join(one for _, one in blocks)
    single, checksum, named = rng.randrange(2), rng.randrange(4) > 0, rng.randrange(4)
    identity = rng.choice((0,) * 9 + (1, 2, 3))
    flags = named << 6 | single << 5 | checksum << 2 | identity
    flags |= rng.choice((0,) * 30 + (8, 16))
    header = bytes([flags])
    if not single:
        log = rng.choice((*range(12, 24), *range(12, 24), 27, 28, 31, 32, 41))  # no block is larger
        header += bytes([log - 10 << 3 | rng.randrange(8) * (log < 27)])
    header += rng.choice((b"\0", b"\0", b"\7")) * (0, 1, 2, 4)[identity]
    width = (1 if single else 0, 2, 4, 8)[named]
    size = _lie(rng, max(len(text) - 256 * (width == 2), 0), (1 << 8 * width) - 1)
    header += size.to_bytes(width, "little")
    total = (xxh64(text) & _M32).to_bytes(4, "little") if checksum else b""
    return b"\x28\xb5\x2f\xfd" + header + b"".join(one for one, _ in blocks) + total


def _lz4_frame(rng: random.Random) -> bytes:
    sums, size, whole = rng.randrange(2), rng.randrange(2), rng.randrange(2)
    flags = 0x40 | rng.randrange(2) << 5 | sums << 4 | size << 3 | whole << 2
    flags ^= rng.choice((0,) * 30 + (1, 2, 0x80, 0x40))
    texts = rng.choices(_TEXTS, k=rng.choice((0, 1, 1, 2, 3)))
    header = bytes([flags, _lie(rng, rng.randrange(4, 8) << 4, 255)])
    if size:
        header += _lie(rng, sum(map(len, texts)), _M64).to_bytes(8, "little")
    header += bytes(4) * (flags & 1)
    total = xxh32(header) >> 8 & 255
    frame = b"\4\x22\x4d\x18" + header + bytes([_lie(rng, total, 255)])
    for text in texts:
        is_plain = rng.randrange(2)
        data = text if is_plain else lz4.block.compress(text, store_size=False)
        length = _lie(rng, len(data), _M32 >> 1) | is_plain << 31
        frame += length.to_bytes(4, "little") + data
        frame += _lie(rng, xxh32(data), _M32).to_bytes(4, "little") * sums
    frame += b"" if rng.random() < 0.02 else bytes(4)
    return frame + _lie(rng, xxh32(b"".join(texts)), _M32).to_bytes(4, "little") * whole


def _xz_seeds() -> list[bytes]:
    """Return streams of one block, of all checks and several filters."""
    seeds = []
    for number, text in enumerate(_TEXTS):
        size = 1 << 12 + number % 9
        filters = [{"id": lzma.FILTER_LZMA2, "preset": number % 3, "dict_size": size}]
        if number % 3 == 1:
            filters.insert(0, {"id": lzma.FILTER_DELTA, "dist": 1 + number})
        if number % 3 == 2:
            filters.insert(0, {"id": (lzma.FILTER_X86, lzma.FILTER_ARM)[number % 2]})
        seeds.append(lzma.compress(text, check=(0, 1, 4, 10)[number % 4], filters=filters))
    return seeds


_XZ = _xz_seeds()


def _xz_stream(rng: random.Random) -> bytes:
    """Return a stream of which one of the four checked parts lies, and has the right CRC."""
    data = bytearray(rng.choice(_XZ))
    index = len(data) - 12 - 4 * (int.from_bytes(data[-8:-4], "little") + 1)
    block = 12 + 4 * (data[12] + 1)
    end = len(data)
    parts = [(6, 8, 8), (index, end - 16, end - 16), (end - 8, end - 2, end - 12)]
    if data[12]:
        parts.append((12, block - 4, block - 4))
    for begin, end, place in rng.choices(parts, k=rng.choice((0, 0, 1, 1, 2))):
        at = rng.randrange(begin, end)
        data[at] = rng.choice((data[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0))
        data[place : place + 4] = zlib.crc32(data[begin:end]).to_bytes(4, "little")
    if rng.random() < 0.3:  # flags of both ends alike
        data[-4:-2] = data[6:8]
        data[-12:-8] = zlib.crc32(data[-8:-2]).to_bytes(4, "little")
    return bytes(data)


_BZIP2 = [bz2.compress(text, 1 + number % 9) for number, text in enumerate(_TEXTS)]
_BZIP2_LONG = bz2.compress(random.Random(1).randbytes(60_000).hex().encode(), 1)  # two blocks


def _bzip2_stream(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(_BZIP2) if rng.random() < 0.98 else _BZIP2_LONG)
    if rng.random() < 0.2:
        data[3] = rng.choice(b"0123456789:")
    if rng.random() < 0.3:  # bits of the block's head: CRC, randomised, origin, symbols in use
        at = rng.randrange(4, min(len(data), 30))
        data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


def _made(frame: Callable[[random.Random], bytes], pads: tuple[bytes, ...], skips: bool):
    """Return what makes frames one behind the other, padded, cut, or followed by something."""

    def make(rng: random.Random) -> tuple[bytes, int]:
        data = b""
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
            if skips and rng.random() < 0.15:
                data += _skippable(rng)
            data += frame(rng) + (rng.choice(pads) if rng.random() < 0.15 else b"")
        if rng.random() < 0.1:
            data = data[: rng.randrange(len(data))]
        elif rng.random() < 0.1:
            data = damaged(rng, data, pads, frame(rng))
        return data, rng.choice(_SIZES)

    return make


_PADS = (
    b"\0",
    b"\0" * 4,
    b"\n",
    b"\x28\xb5\x2f\xfd",
    b"\4\x22\x4d\x18",
    b"\2\x21\x4c\x18",
    b"BZh9",
)
TARGETS = {
    f"{codec}-frames": Target(share, _made(frame, pads, skips), _checked(codec))
    for codec, share, frame, pads, skips in (
        ("zstd", 0.03, _zstd_frame, _PADS, True),
        ("lz4", 0.03, _lz4_frame, _PADS, True),
        ("xz", 0.03, _xz_stream, (*_PADS, b"\0" * 8, b"\0" * 3), False),
        ("bzip2", 0.01, _bzip2_stream, _PADS, False),
    )
}
