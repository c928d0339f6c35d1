"""A stream of bytes as it is, in one gzip member, or in one zstd frame.

Many readers stop after the first member or frame of a file, so there is only one.
The stream is cut into blocks at fixed offsets before it is compressed: the bytes of
the file are the same however the stream comes in pieces.
"""

import contextlib
import zlib
from collections.abc import Iterator

import pyarrow as pa

from dbshuf.sink.encoder_threads import Ahead, Beside, Made
from dbshuf.sink.raw_file import ByteOutput
from dbshuf.sink.target import Target, compressing_threads
from dbshuf.units import KIB

BLOCK_BYTES = 512 * KIB  # compressed at a time; from 128 KiB to 1 MiB gzip's size moves 0.1 %

_GZIP_LEVEL = 6
_DICTIONARY_BYTES = 32 * KIB  # deflate's window
# Magic, deflate, no name, mtime 0 (the same text makes the same file), unknown system.
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_GZIP_FOOT_BYTES = 10  # an empty block at the end, the checksum, the length
_ZSTD_FOOT_BYTES = 3  # an empty block


def packed(output: ByteOutput, target: Target) -> ByteOutput:
    """Return where a stream goes so that it ends up in `output` as the target's format says."""
    if target.format.endswith(".gz"):
        return Gzip(output, compressing_threads(target))
    return Zstd(output) if target.format.endswith(".zst") else output


class Blocks:
    """A stream of bytes, cut into blocks of one size; every block is a copy."""

    def __init__(self, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self._part = bytearray()

    def add(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Yield the blocks that `data` fills."""
        view = memoryview(data)
        done = 0
        if self._part:
            done = min(self._block_bytes - len(self._part), len(view))
            self._part += view[:done]
            if len(self._part) < self._block_bytes:
                return
            yield bytes(self._part)
            self._part.clear()
        while len(view) - done >= self._block_bytes:
            yield bytes(view[done : done + self._block_bytes])
            done += self._block_bytes
        self._part += view[done:]

    def rest(self) -> bytes:
        """Return the last, short block; it may be empty. What follows begins a new one."""
        block = bytes(self._part)
        self._part.clear()
        return block


class Gzip:
    """One gzip member, its blocks deflated by several threads, as pigz does it.

    A block ends on a byte border (Z_SYNC_FLUSH) and starts with the 32 KiB before it
    as dictionary, so the parts join into one deflate stream that any gzip reads.
    """

    def __init__(self, output: ByteOutput, threads: int) -> None:
        self._output = output
        self._ahead = Ahead[Made](threads, depth=threads + 1)
        self._blocks = Blocks(BLOCK_BYTES)
        self._dictionary = b""
        self._crc = 0
        self._text_bytes = 0
        self._head = _GZIP_HEAD

    def write(self, data: bytes | memoryview) -> None:
        for block in self._blocks.add(data):
            self._compress(block, zlib.Z_SYNC_FLUSH)

    def flush(self) -> int:
        if block := self._blocks.rest():
            self._compress(block, zlib.Z_SYNC_FLUSH)
        for piece in self._ahead.drain():
            self._put(piece)
        return len(self._head) + _GZIP_FOOT_BYTES

    def finish(self) -> None:
        self._compress(self._blocks.rest(), zlib.Z_FINISH)
        for piece in self._ahead.rest():
            self._put(piece)
        size = self._text_bytes & 0xFFFFFFFF
        self._put(self._crc.to_bytes(4, "little") + size.to_bytes(4, "little"))
        self._output.finish()

    def abort(self) -> None:
        with contextlib.suppress(Exception):
            self._ahead.stop()
        self._output.abort()

    def _compress(self, block: bytes, flush: int) -> None:
        for piece in self._ahead.call(_deflate, block, self._dictionary, flush):
            self._put(piece)
        self._crc = zlib.crc32(block, self._crc)
        self._text_bytes += len(block)
        self._dictionary = (self._dictionary + block[-_DICTIONARY_BYTES:])[-_DICTIONARY_BYTES:]

    def _put(self, piece: Made) -> None:
        self._output.write(self._head + piece)
        self._head = b""


def _deflate(block: bytes, dictionary: bytes, flush: int) -> bytes:
    """Raw deflate of one block, as a part of a longer stream."""
    packer = zlib.compressobj(
        _GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, 0, dictionary
    )
    return packer.compress(block) + packer.flush(flush)


class Zstd:
    """One zstd frame, compressed by one thread beside the caller.

    The level is Arrow's own for streams, 1: it takes no other there, and its one-shot
    codec, which does, makes a frame a call.
    """

    def __init__(self, output: ByteOutput) -> None:
        self._output = output
        self._thread = Beside(depth=2)
        self._blocks = Blocks(BLOCK_BYTES)
        self._frame = pa.CompressedOutputStream(pa.PythonFile(self._thread, "w"), "zstd")

    def write(self, data: bytes | memoryview) -> None:
        for block in self._blocks.add(data):
            self._put(self._thread.call(self._frame.write, block))

    def flush(self) -> int:
        if block := self._blocks.rest():
            self._put(self._thread.call(self._frame.write, block))
        self._put(self._thread.call(self._frame.flush))
        self._put(self._thread.drain())
        return _ZSTD_FOOT_BYTES

    def finish(self) -> None:
        self._put(self._thread.call(self._frame.write, self._blocks.rest()))
        self._put(self._thread.call(self._frame.close))
        self._put(self._thread.rest())
        self._output.finish()

    def abort(self) -> None:
        with contextlib.suppress(Exception):
            self._thread.stop()
        self._output.abort()

    def _put(self, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            self._output.write(piece)
