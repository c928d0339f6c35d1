"""How much memory a compressed input asks of whoever reads it, from its first bytes."""

from dbshuf.units import KIB, MIB

HEAD_BYTES = 64  # enough for the headers below

_FIXED = {"gzip": MIB, "bzip2": 8 * MIB, "lz4": 12 * MIB}
_UNKNOWN_BYTES = 64 * MIB  # a header in a form that is rare: what `xz -9` takes
_MOST_BYTES = 128 * MIB  # larger windows of xz are refused when they are read
_WIDEST_BYTES = 2048 * MIB  # of zstd, `--long=31`
_READER_BYTES = 2 * MIB  # buffers beside the window


def window_bytes(codec: str, head: bytes) -> int:
    """Return the memory (bytes) of one reader of a compressed input.

    codec   as `readers.codec_of` names it
    head    the first HEAD_BYTES of the input
    Source  RFC 8878 section 3.1.1.1 (zstd), the .xz file format 1.2.0 sections 3.1 and 5.3.1
    """
    if codec in _FIXED:
        return _FIXED[codec]
    window = _zstd_window(head) if codec == "zstd" else _xz_dictionary(head)
    most = _WIDEST_BYTES if codec == "zstd" else _MOST_BYTES
    return min(window if window is not None else _UNKNOWN_BYTES, most) + _READER_BYTES


def is_wide(codec: str, head: bytes) -> bool:
    """Whether the window of a zstd input is above what pyarrow's reader takes."""
    return codec == "zstd" and (_zstd_window(head) or 0) > _MOST_BYTES


def _zstd_window(head: bytes) -> int | None:
    if len(head) < 15 or head[:4] != b"\x28\xb5\x2f\xfd":
        return None
    descriptor = head[4]
    if not descriptor & 0x20:
        exponent, mantissa = head[5] >> 3, head[5] & 7
        base = 1 << (10 + exponent)
        return base + base // 8 * mantissa
    start = 5 + (0, 1, 2, 4)[descriptor & 3]
    size = (1, 2, 4, 8)[descriptor >> 6]
    content = int.from_bytes(head[start : start + size], "little")
    return max(content + (256 if size == 2 else 0), KIB)


def _xz_dictionary(head: bytes) -> int | None:
    if len(head) < 24 or not head[12]:
        return None
    block = head[12 : 12 + 4 * (head[12] + 1)]
    place = block.find(b"\x21\x01", 2)  # filter LZMA2, one byte of properties
    if place < 0 or place + 2 >= len(block):
        return None
    bits = block[place + 2]
    return (2 | (bits & 1)) << (bits // 2 + 11) if bits <= 40 else None
