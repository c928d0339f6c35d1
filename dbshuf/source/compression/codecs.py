"""What the first bytes of an input tell: how it is compressed, and the memory of its reader."""

from dbshuf.units import KIB, MIB

HEAD_BYTES = 64  # enough for the headers below

MAGIC_BYTES = 10
MAGIC = {"gzip": b"\x1f\x8b\x08", "bzip2": b"BZh", "xz": b"\xfd7zXZ\x00"}

# Codec, how a file of it begins, and how many bytes of that a shorter file must have to be
# taken for a stump of it. Two bytes do where they cannot begin a UTF-8 text.
_SIGNS = [
    ("gzip", MAGIC["gzip"], 2),
    ("zstd", b"\x28\xb5\x2f\xfd", 2),
    *(("zstd", bytes([low]) + b"\x2a\x4d\x18", 4) for low in range(0x50, 0x60)),
    ("lz4", b"\x04\x22\x4d\x18", 4),
    ("xz", MAGIC["xz"], 2),
    *(("bzip2", b"BZh%d1AY&SY" % level, 4) for level in range(1, 10)),
    *(("bzip2", b"BZh%d\x17rE8P\x90" % level, 4) for level in range(1, 10)),
]

_FIXED = {"gzip": MIB, "bzip2": 8 * MIB, "lz4": 12 * MIB}
# A header in a form that is rare: what `xz -9` takes; of zstd what pyarrow's reader takes.
_UNKNOWN_BYTES = {"xz": 64 * MIB, "zstd": 128 * MIB}
MOST_BYTES = 128 * MIB  # larger windows of xz are refused when they are read
_WIDEST_BYTES = 2048 * MIB  # of zstd, `--long=31`
READER_BYTES = 2 * MIB  # buffers beside the window


def codec_of(head: bytes) -> str | None:
    """Return how a file that begins with `head` is compressed, or None.

    head     the first MAGIC_BYTES of the file, or all of a shorter one
    Returns  "gzip", "zstd", "bzip2", "xz", "lz4" or None

    zstd and lz4 share the magic of skippable frames. It counts as zstd, since pzstd
    puts such a frame first and no lz4 tool does. bzip2 is told by its first block as
    well, since "BZh" alone could begin a text.
    """
    for codec, sign, least in _SIGNS:
        size = max(least, min(len(head), len(sign)))
        if head[:size] == sign[:size]:
            return codec
    return None


def window_bytes(codec: str, head: bytes) -> int:
    """Return the memory (bytes) of one reader of a compressed input.

    codec   as `codec_of` names it
    head    the first HEAD_BYTES of the input
    Source  RFC 8878 section 3.1.1.1 (zstd), the .xz file format 1.2.0 sections 3.1 and 5.3.1
    """
    if codec in _FIXED:
        return _FIXED[codec]
    return stated_window(codec, head) + READER_BYTES


def stated_window(codec: str, head: bytes) -> int:
    """Return the window (bytes) of the first frame or stream of a zstd or xz input."""
    window = zstd_window(head) if codec == "zstd" else xz_dictionary(head)
    return readable_window(codec, window if window is not None else _UNKNOWN_BYTES[codec])


def readable_window(codec: str, window: int) -> int:
    """Return a window (bytes), or the largest of zstd or xz that is read."""
    return min(window, _WIDEST_BYTES if codec == "zstd" else MOST_BYTES)


def is_wide(codec: str, head: bytes) -> bool:
    """Whether the window of a zstd input is above what pyarrow's reader takes."""
    return codec == "zstd" and (zstd_window(head) or 0) > MOST_BYTES


def zstd_window(head: bytes) -> int | None:
    """Return the window (bytes) of the first frame; None if it is not told by `head`."""
    while head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:  # skippable: pzstd begins so
        head = head[8 + int.from_bytes(head[4:8], "little") :]
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return None
    descriptor = head[4]
    if not descriptor & 0x20:
        exponent, mantissa = head[5] >> 3, head[5] & 7
        base = 1 << (10 + exponent)
        return base + base // 8 * mantissa
    start = 5 + (0, 1, 2, 4)[descriptor & 3]
    size = (1, 2, 4, 8)[descriptor >> 6]
    if len(head) < start + size:
        return None
    content = int.from_bytes(head[start : start + size], "little")
    return max(content + (256 if size == 2 else 0), KIB)


def xz_dictionary(head: bytes) -> int | None:
    """Return the dictionary (bytes) of a stream's first block; None if `head` does not tell."""
    if len(head) < 24 or not head[12]:
        return None
    block = head[12 : 12 + 4 * (head[12] + 1)]
    place = block.find(b"\x21\x01", 2)  # filter LZMA2, one byte of properties
    if place < 0 or place + 2 >= len(block):
        return None
    bits = block[place + 2]
    return (2 | (bits & 1)) << (bits // 2 + 11) if bits <= 40 else None
