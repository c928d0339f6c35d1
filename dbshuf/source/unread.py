"""Archives, compressed data and tables that are not read, told by their first bytes.

As lines they would be shuffled to nothing of use, and in silence.
"""

import re

FIRST_BYTES = 512  # looked at
LEAST_BYTES = 16  # in which all but tar is told

# How data begin, what they are, and what makes text of them.
_SIGNS = (
    (b"\x02\x21\x4c\x18", "lz4 data in the legacy format", "lz4 -dc"),
    (b"\x1f\x9d", "data of compress (.Z)", "gzip -dc"),
    (b"\x89LZO\0\r\n\x1a\n", "lzop data", "lzop -dc"),
    (b"LZIP\x01", "lzip data", "lzip -dc"),
    (b"\xff\x06\0\0sNaPpY", "snappy data", "snzip -dc"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "7z x -so"),
    (b"PK\x03\x04", "a zip archive", "unzip -p"),
    (b"PK\x05\x06", "a zip archive", "unzip -p"),
    (b"Rar!\x1a\x07", "a RAR archive", "unrar p -inul"),
    (b"\x37\xa4\x30\xec", "a dictionary of zstd", ""),
    *(
        (bytes([one]) + b"\xb5\x2f\xfd", "zstd data of before 1.0", "zstd -dc")
        for one in range(34, 40)
    ),
)
_ORC = b"ORC"
_TABLES = (
    (b"Obj\x01", "an Avro file"),
    (b"FEA1\0", "a Feather file of version 1"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"SEQ\x06", "a Hadoop sequence file"),
    (_ORC, "an ORC file"),  # if there is more of it than these letters
)
TABLES = frozenset(what for _, what in _TABLES)
_TAR = b"ustar"  # at byte 257, of all but the oldest ones
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")


def unread_format(head: bytes, name: str) -> tuple[str, str] | None:
    """Return what data are that are not read, and a command that gives their text or nothing.

    head     their first FIRST_BYTES, or all of them
    name     of the input: brotli has no magic, and is told by `.br` and bytes that are no text
    Returns  None for all else
    """
    for sign, what, command in _SIGNS:
        if head.startswith(sign):
            return what, command
    for sign, what in _TABLES:
        if head.startswith(sign) and (sign != _ORC or _CONTROL.search(head[:LEAST_BYTES])):
            return what, ""
    if head[257:262] == _TAR:
        return "a tar archive", "tar -xOf"
    if _is_lzma(head):
        return "data of lzma, the format before xz", "xz -dc"
    if name.endswith(".br") and _CONTROL.search(head):
        return "brotli data", "brotli -dc"
    return None


def _is_lzma(head: bytes) -> bool:
    """Whether the header is one that lzma's tools write: usual properties, and sizes in bounds."""
    dictionary, size = (int.from_bytes(head[at:end], "little") for at, end in ((1, 5), (5, 13)))
    is_usual = dictionary.bit_count() in (1, 2) and dictionary >= 4096
    is_bounded = size == (1 << 64) - 1 or size < 1 << 38
    return len(head) > 13 and head[0] == 0x5D and head[13] == 0 and is_usual and is_bounded
