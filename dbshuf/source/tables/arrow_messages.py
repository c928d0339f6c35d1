"""What the header of a record batch says of its buffers, which pyarrow does not tell.

A message is a flatbuffer (format/Message.fbs of Arrow): a table begins with how far before it its
slots are listed, each by how far behind the begin of the table it lies.
"""

import struct

import pyarrow as pa

_ROOT, _HEADER = 0, 2  # where the first table is told; slots of Message
_BUFFERS, _COMPRESSION = 2, 3  # of RecordBatch


def unpacked_bytes(message: pa.ipc.Message) -> int | None:
    """Return what the buffers of a record batch take decompressed; None if they are not compressed.

    Raises  struct.error where the header is damaged
    """
    header, body = memoryview(message.metadata), memoryview(message.body)
    batch = _followed(header, _slot(header, _followed(header, _ROOT), _HEADER))
    if not _slot(header, batch, _COMPRESSION):
        return None
    places = _followed(header, _slot(header, batch, _BUFFERS))
    (count,) = struct.unpack_from("<I", header, places)
    pairs = struct.unpack_from(f"<{2 * count}q", header, places + 4)
    return sum(_unpacked(body, pairs[i], pairs[i + 1]) for i in range(0, 2 * count, 2))


def _unpacked(body: memoryview, begin: int, length: int) -> int:
    """Return the bytes of a buffer: they stand before it, -1 for one that stays as it is."""
    if length < 8:
        return 0
    (size,) = struct.unpack_from("<q", body, begin)
    return int(size) if size >= 0 else length


def _slot(header: memoryview, table: int, slot: int) -> int:
    """Return where a slot of a table lies; 0: it has none."""
    (back,) = struct.unpack_from("<i", header, table)
    (listed_bytes,) = struct.unpack_from("<H", header, table - back)
    if 4 + 2 * slot >= listed_bytes:
        return 0
    (ahead,) = struct.unpack_from("<H", header, table - back + 4 + 2 * slot)
    return table + int(ahead) if ahead else 0


def _followed(header: memoryview, place: int) -> int:
    """Return the place that is told at another one, as so many bytes behind it."""
    (ahead,) = struct.unpack_from("<I", header, place)
    return place + int(ahead)
