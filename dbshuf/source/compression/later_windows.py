"""Windows of frames and streams behind the first: how large they are, and how large they may be.

A file of zstd frames or xz streams says at its front what the first one takes. What comes later
is looked up where that takes a few looks, and else bounded while it is read: no memory is taken
that no plan has counted.
Source: RFC 8878 section 3.1.1 (zstd), the .xz file format 1.2.0 sections 2 to 4.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

from dbshuf.errors import MemoryTooSmall
from dbshuf.source.compression.codecs import (
    HEAD_BYTES,
    MOST_BYTES,
    readable_window,
    stated_window,
    xz_dictionary,
    zstd_window,
)
from dbshuf.units import GIB, MIB, cap_named, human

# Where it is not known: what `zstd -19` and `xz -6` ask for, and from a GiB of --memory on a share.
_LEAST_BYTES = 8 * MIB
SHARED_FROM_BYTES = GIB
SHARE = 16

_LOOKS = 64  # at headers of one input, before it is read
_MOST_INDEX_BYTES = 64 * 1024
_UNNAMED = (1 << 64) - 1  # taken for no size by libzstd
_ZSTD = b"\x28\xb5\x2f\xfd"

ReadAt = Callable[[int, int], bytes]  # place and size -> bytes, fewer at the end
Steps = Generator[tuple[int, int], bytes, None]  # gives how many bytes to skip, and then to send

# Is told where a frame begins, its window, and how many bytes it names, if it does; may raise.
Seen = Callable[[int, int, int | None], None]


@dataclass(frozen=True)
class WindowLimit:
    """How large the windows of one input may be.

    most_bytes         that the plan counts
    is_known           whether none is larger
    readers            that the plan counts so much for, each
    shared_from_bytes  the least --memory of which they have a share
    """

    most_bytes: int
    is_known: bool = False
    readers: int = 1
    shared_from_bytes: int = SHARED_FROM_BYTES

    def within(
        self, cap_bytes: int, readers: int, shared_from_bytes: int = SHARED_FROM_BYTES
    ) -> "WindowLimit":
        """Return the limit under a --memory, of which so many readers have their share."""
        if self.is_known:
            return self
        share = cap_bytes // (SHARE * readers) if cap_bytes >= shared_from_bytes else 0
        most_bytes = max(self.most_bytes, min(share, MOST_BYTES))
        return WindowLimit(most_bytes, False, readers, shared_from_bytes)

    def refusal(self, name: str, what: str, window: int) -> MemoryTooSmall:
        """Return the error for a window beyond it."""
        least = max(SHARE * self.readers * window, self.shared_from_bytes)
        more = f"pass --memory {cap_named(least)} or more, or " if window <= MOST_BYTES else ""
        return MemoryTooSmall(
            f"`{name}`: {what} has a window of {human(window)}, and of --memory"
            f" {human(self.most_bytes)} are counted for those behind the first",
            hint=f"{more}decompress it first",
        )


def limit_of(
    codec: str | None, head: bytes, size: int | None, read_at: ReadAt
) -> WindowLimit | None:
    """Return how large the windows of an input may be; None if its codec has but one size.

    head     its first HEAD_BYTES
    size     bytes of it, None where that is not known
    read_at  gives bytes of it; none of those that are not at hand
    """
    if codec not in ("zstd", "xz"):
        return None
    largest, is_known = stated_window(codec, head), False
    if codec == "xz" and size is not None and (found := _of_streams(size, read_at)) is not None:
        largest, is_known = found, True
    elif codec == "zstd":
        found, is_known = _of_frames(size, read_at)
        largest = found if is_known else max(found, largest)
    largest = readable_window(codec, largest if is_known else max(largest, _LEAST_BYTES))
    return WindowLimit(largest, is_known)


class FrameWalk:
    """Zstd frames that go by, each of which is told before what is in it."""

    def __init__(self, seen: Seen) -> None:
        self._steps = _frames(seen)
        self._skip, self._size = next(self._steps)
        self._part = b""

    def feed(self, data: bytes) -> None:
        """Follow the next bytes, as long as they are frames; raises what `seen` raises."""
        at, size = 0, len(data)
        while self._size:
            begin = at + self._skip
            end = begin + self._size - len(self._part)
            if end > size:
                self._part += data[begin:]
                self._skip = max(begin - size, 0)
                return
            part, self._part, at = self._part + data[begin:end], b"", end
            self._skip, self._size = _next(self._steps, part)


def _next(steps: Steps, data: bytes) -> tuple[int, int]:
    try:
        return steps.send(data)
    except StopIteration:
        return 0, 0


def _frames(seen: Seen) -> Steps:
    """Go from header to header; the end is where something is no frame."""
    skip = place = 0
    while True:
        head = yield skip, 8  # no frame has fewer bytes
        place += skip
        if head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:
            skip = int.from_bytes(head[4:], "little")
            place += 8
        elif head[:4] == _ZSTD:
            flags = head[4]
            head += yield 0, _rest_of_header(flags)  # and with that the first block's header
            seen(place, zstd_window(head) or 0, _named_bytes(head[:-3]))
            place += len(head)
            block = int.from_bytes(head[-3:], "little")
            while not block & 1:  # the last one
                skip = _size_of_block(block)
                block = int.from_bytes((yield skip, 3), "little")
                place += skip + 3
            skip = _size_of_block(block) + (flags & 4)  # a checksum
        else:
            return


def _size_of_block(block: int) -> int:
    return 1 if block >> 1 & 3 == 1 else block >> 3  # one byte, repeated, or so many


def _rest_of_header(flags: int) -> int:
    """Return how many bytes of a frame's header stand behind its flags: 1 or more."""
    return 1 - (flags >> 5 & 1) + (0, 1, 2, 4)[flags & 3] + _size_width(flags)


def _size_width(flags: int) -> int:
    return (0, 2, 4, 8)[flags >> 6] or flags >> 5 & 1


def _named_bytes(header: bytes) -> int | None:
    """Return how many bytes a frame says that it holds; None if it does not say."""
    width = _size_width(header[4])
    size = int.from_bytes(header[len(header) - width :], "little")
    if not width or size == _UNNAMED:
        return None
    return size + 256 * (width == 2)


def _of_frames(size: int | None, read_at: ReadAt) -> tuple[int, bool]:
    """Return the largest window of the first frames, and whether there are no others."""
    largest = place = 0

    def seen(_: int, window: int, __: int | None) -> None:
        nonlocal largest
        largest = max(largest, window)

    steps = _frames(seen)
    skip, wanted = next(steps)
    for _ in range(_LOOKS):
        place += skip
        data = read_at(place, wanted)
        if place == size or len(data) < wanted:
            return largest, place == size
        place += wanted
        skip, wanted = _next(steps, data)
        if not wanted:
            break
    return largest, False


def _of_streams(size: int, read_at: ReadAt) -> int | None:
    """Return the largest dictionary of all streams, from the last index to the first.

    None if that takes more than a few looks.
    """
    largest, end, looks = 0, size, 0
    while end >= 32 and looks < _LOOKS:
        footer = read_at(end - 12, 12)
        if footer[8:] == bytes(4):  # padding
            end, looks = end - 4, looks + 1
            continue
        index_bytes = 4 * (int.from_bytes(footer[4:8], "little") + 1)
        if footer[10:] != b"YZ" or index_bytes > min(_MOST_INDEX_BYTES, end - 24):
            return None
        blocks = _block_sizes(read_at(end - 12 - index_bytes, index_bytes))
        place = end - 12 - index_bytes - sum(blocks)
        end, looks = place - 12, looks + 1 + len(blocks)
        if end < 0 or looks > _LOOKS:
            return None
        for block in blocks:
            dictionary = xz_dictionary(bytes(12) + read_at(place, HEAD_BYTES))
            if dictionary is None:
                return None
            largest, place = max(largest, dictionary), place + block
    return None if end else largest


def _block_sizes(index: bytes) -> list[int]:
    """Return the bytes of each block, of an index that is damaged any; that is told later."""
    numbers, value, shift = [0], 0, 0
    for byte in index[1:-4]:
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            numbers.append(value)
            value = shift = 0
    count = numbers[1] if len(numbers) > 1 else 0
    return [-(-one // 4) * 4 for one in numbers[2 : 2 + 2 * count : 2]]
