"""An object as a file to seek in, for readers of formats that are read from several places.

Where it is known which ranges will be read, each of them by its own reader front to back (the
columns of a row group), they are had in blocks, the next one of a range ahead of its reader. Small
ranges that lie side by side are one request.
"""

import os
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from dbshuf.base.block_io import U8
from dbshuf.source.remote_object import REQUEST_BYTES, RemoteObject, requested
from dbshuf.units import KIB, MIB

HELD_BYTES = 16 * MIB  # of blocks, if no more than 32 ranges are read side by side
_LEAST_BLOCK_BYTES = 256 * KIB
_GAP_BYTES = 64 * KIB  # read for nothing rather than asked for apart
_END_BYTES = 64 * KIB  # of the file, had with the first read near its end: footers lie there

Range = tuple[int, int]


@dataclass
class _Ahead:
    """A range that will be read, in blocks; those before the last one read are dropped."""

    begin: int
    end: int
    block_bytes: int
    blocks: "dict[int, Future[U8]]" = field(default_factory=dict)


class RemoteFile:
    """What `pa.PythonFile` reads from; for one thread."""

    closed = False

    def __init__(self, remote: RemoteObject) -> None:
        self._remote, self._size = remote, remote.size_bytes
        self._at = 0
        self._is_look = False
        self._ahead: list[_Ahead] = []
        self._begins: list[int] = []
        self._end: tuple[int, bytes] = (self._size, b"")

    def expect(self, ranges: Sequence[Range], *, is_look: bool = False) -> None:
        """Be told what will be read: ranges of bytes, each by its own reader.

        is_look  whether that may be no more than the front of each
        """
        self._is_look = is_look
        ordered = sorted(one for one in ranges if 0 <= one[0] < one[1] <= self._size)
        count = max(len(ordered), 1)
        block = max(min(HELD_BYTES // (2 * count), REQUEST_BYTES), _LEAST_BLOCK_BYTES)
        if is_look:
            block = _LEAST_BLOCK_BYTES
        self._ahead = [_Ahead(*one, block) for one in _joined(ordered, block)]
        self._begins = [one.begin for one in self._ahead]
        for one in self._ahead:
            self._block(one, 0)

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        left = self._size - self._at
        size = max(min(size, left) if size >= 0 else left, 0)
        data = self._data(self._at, size)
        self._at += len(data)
        return data

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + place
        return self._at

    def tell(self) -> int:
        return self._at

    def size(self) -> int:
        return self._size

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Let go of all blocks."""
        for one in self._ahead:
            for future in one.blocks.values():
                future.cancel()
        self._ahead, self._begins, self._end = [], [], (self._size, b"")
        self.closed = True

    def __enter__(self) -> "RemoteFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _data(self, start: int, size: int) -> bytes:
        place = bisect_right(self._begins, start) - 1
        if place >= 0 and start + size <= self._ahead[place].end:
            return self._expected(self._ahead[place], start, size)
        if start + size > self._size - _END_BYTES and size <= _END_BYTES:
            if start < self._end[0]:
                begin = max(self._size - _END_BYTES, 0)
                begin = min(begin, start)
                self._end = (begin, self._remote.bytes_at(begin, self._size - begin))
            begin, text = self._end
            return text[start - begin : start - begin + size]
        return self._remote.bytes_at(start, size)

    def _expected(self, ahead: _Ahead, start: int, size: int) -> bytes:
        pieces = []
        while size:
            number, inside = divmod(start - ahead.begin, ahead.block_bytes)
            block = self._block(ahead, number).result()
            if not self._is_look:
                self._block(ahead, number + 1)
            for old in [one for one in ahead.blocks if one < number]:
                del ahead.blocks[old]
            piece = block[inside : inside + size]
            pieces.append(piece.tobytes())
            start, size = start + len(piece), size - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _block(self, ahead: _Ahead, number: int) -> "Future[U8]":
        """Return a block, asked for now or before; behind the last one there is nothing."""
        if number not in ahead.blocks:
            begin = ahead.begin + number * ahead.block_bytes
            size = max(min(ahead.block_bytes, ahead.end - begin), 0)
            if size:
                ahead.blocks[number] = requested(self._remote, begin, size)
            else:
                nothing: Future[U8] = Future()
                nothing.set_result(np.empty(0, np.uint8))
                return nothing
        return ahead.blocks[number]


def _joined(ordered: Sequence[Range], most_bytes: int) -> list[Range]:
    """Return ranges of which those that lie side by side are one, up to `most_bytes`."""
    joined: list[Range] = []
    for begin, end in ordered:
        if joined and begin - joined[-1][1] <= _GAP_BYTES and end - joined[-1][0] <= most_bytes:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined
