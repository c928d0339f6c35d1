"""A stream of bytes as it is, in one gzip member, or in one zstd frame.

Many readers stop after the first member or frame of a file, so there is only one.
The stream is cut into blocks at fixed offsets before it is compressed: the bytes of
the file are the same however the stream comes in pieces.
"""

import zlib
from collections.abc import Callable, Iterator

import pyarrow as pa

from dbshuf.sink.encoder_threads import EncoderThreads, MemoryFile
from dbshuf.sink.formats.zstd_checksum import FrameChecksum
from dbshuf.sink.memory import compressing_threads
from dbshuf.sink.output_format import gzip_level
from dbshuf.sink.raw_file import ByteOutput, WithHead
from dbshuf.sink.target import Target
from dbshuf.units import KIB

BLOCK_BYTES = 512 * KIB  # compressed at a time; from 128 KiB to 1 MiB gzip's size moves 0.1 %

_DICTIONARY_BYTES = 32 * KIB  # deflate's window
# Magic, deflate, no name, mtime 0 (the same text makes the same file), unknown system.
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_GZIP_FOOT_BYTES = 10  # an empty block at the end, the checksum, the length
_ZSTD_FOOT_BYTES = 3  # an empty block


def compressed(output: ByteOutput, target: Target) -> ByteOutput:
    """Return where a stream goes so that it ends up in `output` as the target's format says."""
    if target.format.endswith(".gz"):
        level = gzip_level(target.compression)
        return Gzip(output, compressing_threads(target), level)
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

    def __init__(self, output: ByteOutput, threads: int, level: int) -> None:
        self._level = level
        self._output = WithHead(output, _GZIP_HEAD)
        self._threads = EncoderThreads[bytes](threads, depth=threads + 1, write=self._output.write)
        self._blocks = Blocks(BLOCK_BYTES)
        self._dictionary = b""
        self._crc = 0
        self._text_bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        for block in self._blocks.add(data):
            self._compress(block, zlib.Z_SYNC_FLUSH)

    def flush(self) -> int:
        if block := self._blocks.rest():
            self._compress(block, zlib.Z_SYNC_FLUSH)
        self._threads.drain()
        return self._output.flush() + _GZIP_FOOT_BYTES

    def finish(self) -> None:
        self._compress(self._blocks.rest(), zlib.Z_FINISH)
        self._threads.finish()
        size = self._text_bytes & 0xFFFFFFFF
        self._output.write(self._crc.to_bytes(4, "little") + size.to_bytes(4, "little"))
        self._output.finish()

    def abort(self) -> None:
        self._threads.abort()
        self._output.abort()

    def _compress(self, block: bytes, flush: int) -> None:
        self._threads.call(_deflate, block, self._dictionary, flush, self._level)
        self._crc = zlib.crc32(block, self._crc)
        self._text_bytes += len(block)
        self._dictionary = (self._dictionary + block[-_DICTIONARY_BYTES:])[-_DICTIONARY_BYTES:]


def _deflate(block: bytes, dictionary: bytes, flush: int, level: int) -> bytes:
    """Raw deflate of one block, as a part of a longer stream."""
    packer = zlib.compressobj(
        level, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, 0, dictionary
    )
    return packer.compress(block) + packer.flush(flush)


class Zstd:
    """One zstd frame with a checksum, compressed by one thread beside the caller.

    The level is Arrow's own for streams, 1: it takes no other there, and its one-shot
    codec, which does, makes a frame a call.
    """

    def __init__(self, output: ByteOutput) -> None:
        self._output = output
        self._thread = EncoderThreads[list[bytes]](1, depth=2, write=self._put)
        self._blocks = Blocks(BLOCK_BYTES)
        self._file = MemoryFile()
        self._frame = pa.CompressedOutputStream(pa.PythonFile(self._file, "w"), "zstd")
        self._checksum = FrameChecksum()

    def write(self, data: bytes | memoryview) -> None:
        for block in self._blocks.add(data):
            self._thread.call(self._compress, block)

    def flush(self) -> int:
        self._thread.call(self._compress, self._blocks.rest(), self._frame.flush)
        self._thread.drain()
        return self._output.flush() + _ZSTD_FOOT_BYTES + self._checksum.size_bytes

    def finish(self) -> None:
        self._thread.call(self._compress, self._blocks.rest(), self._frame.close)
        self._thread.finish()
        self._output.write(self._checksum.end())
        self._output.finish()

    def abort(self) -> None:
        self._thread.abort()
        self._checksum.close()
        self._output.abort()

    def _compress(self, block: bytes, end: Callable[[], None] | None = None) -> list[bytes]:
        self._frame.write(block)
        self._checksum.add(block)
        if end is not None:
            end()
        return self._file.take()

    def _put(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._output.write(self._checksum.marked(piece))
