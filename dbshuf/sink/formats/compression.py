"""A stream of bytes as it is, in one gzip member, or in one zstd frame.

Many readers stop after the first member or frame of a file, so there is only one.
The stream is cut into blocks at fixed offsets before it is compressed: the bytes of
the file are the same however the stream comes in pieces.
"""

import contextlib
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import pyarrow as pa

from dbshuf.sink.begun_file import Begun, MadeAgain, Position
from dbshuf.sink.encoder_threads import EncoderThreads, MemoryFile
from dbshuf.sink.formats.zstd_checksum import FrameChecksum
from dbshuf.sink.memory import compressing_threads
from dbshuf.sink.output_format import gzip_level
from dbshuf.sink.raw_file import ByteOutput, FileDamaged, WithHead
from dbshuf.sink.target import Target
from dbshuf.units import KIB, MIB

BLOCK_BYTES = 512 * KIB  # compressed at a time; from 128 KiB to 1 MiB gzip's size moves 0.1 %

_DICTIONARY_BYTES = 32 * KIB  # deflate's window
# Magic, deflate, no name, mtime 0 (the same text makes the same file), unknown system.
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_GZIP_FOOT_BYTES = 10  # an empty block at the end, the checksum, the length
_ZSTD_FOOT_BYTES = 3  # an empty block

_READ_BYTES = 128 * KIB  # of a file that is gone on with
# What Arrow and zstd keep to themselves before it is written: 64 KiB, and a block of 128 KiB.
_ZSTD_HELD_BYTES = 1 * MIB


class TextStream(ByteOutput, Protocol):
    """Where text goes, to be compressed or not."""

    def position(self) -> Position:
        """Return how far it is, in bytes of text."""


def compressed(output: ByteOutput, target: Target, begun: Begun | None = None) -> TextStream:
    """Return where a stream goes so that it ends up in `output` as the target's format says.

    begun  what the output has already. Raises FileDamaged if it is not that
    """
    begun = begun or Begun()
    if target.format.endswith(".gz"):
        level = gzip_level(target.compression)
        return Gzip(output, compressing_threads(target), level, begun)
    return Zstd(output, begun) if target.format.endswith(".zst") else Plain(output)


class Plain:
    """A stream as it is; all that was written is in the output."""

    def __init__(self, output: ByteOutput) -> None:
        self.write, self.flush = output.write, output.flush
        self.finish, self.abort = output.finish, output.abort

    def position(self) -> Position:
        return Position()


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

    def __init__(self, output: ByteOutput, threads: int, level: int, begun: Begun) -> None:
        self._level = level
        self._output = WithHead(output, b"" if begun.bytes else _GZIP_HEAD)
        self._threads = EncoderThreads[bytes](threads, depth=threads + 1, write=self._put)
        self._blocks = Blocks(BLOCK_BYTES)
        self._dictionary = b""
        self._crc = 0
        self._text_bytes = 0  # in blocks
        self._taken, self._had = begun.taken, begun.written - begun.taken
        if begun.bytes:
            with contextlib.ExitStack() as undo:
                undo.callback(self.abort)
                self._go_on(begun)
                undo.pop_all()
        self._written = self._text_bytes

    def write(self, data: bytes | memoryview) -> None:
        self._taken += len(data)
        if self._had:
            had = min(self._had, len(data))
            self._had -= had
            data = memoryview(data)[had:]
        for block in self._blocks.add(data):
            self._compress(block, zlib.Z_SYNC_FLUSH)

    def position(self) -> Position:
        return Position(self._taken, self._written)

    def _go_on(self, begun: Begun) -> None:
        """Be behind the text that the output has, which is of whole blocks."""
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        with begun.content() as content:
            content.read(len(_GZIP_HEAD))
            while packed := content.read(_READ_BYTES):
                while packed:
                    self._note(inflate.decompress(packed, BLOCK_BYTES))
                    packed = inflate.unconsumed_tail
            self._note(inflate.flush())
        if self._text_bytes != begun.written:
            raise FileDamaged

    def _put(self, part: bytes) -> None:
        self._output.write(part)
        self._written += BLOCK_BYTES  # if it is shorter, no other comes

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
        self._note(block)

    def _note(self, text: bytes) -> None:
        self._crc = zlib.crc32(text, self._crc)
        self._text_bytes += len(text)
        self._dictionary = (self._dictionary + text[-_DICTIONARY_BYTES:])[-_DICTIONARY_BYTES:]


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

    def __init__(self, output: ByteOutput, begun: Begun) -> None:
        self._output: ByteOutput = MadeAgain(output, begun) if begun.bytes else output
        self._thread = EncoderThreads[list[bytes]](1, depth=2, write=self._put)
        self._blocks = Blocks(BLOCK_BYTES)
        self._file = MemoryFile()
        self._frame = pa.CompressedOutputStream(pa.PythonFile(self._file, "w"), "zstd")
        self._checksum = FrameChecksum()
        self._taken = self._packed_text = self._packed_bytes = self._written = 0
        self._recent: deque[tuple[int, int]] = deque()  # text that went in, bytes that came out
        if begun.bytes:
            with contextlib.ExitStack() as undo:
                undo.callback(self.abort)
                self._go_on(begun)
                undo.pop_all()

    def write(self, data: bytes | memoryview) -> None:
        self._taken += len(data)
        for block in self._blocks.add(data):
            self._thread.call(self._compress, block)

    def position(self) -> Position:
        """Return what is in the output for certain."""
        while self._recent and self._recent[0][1] + _ZSTD_HELD_BYTES <= self._packed_bytes:
            self._written = self._recent.popleft()[0]
        return Position(self._taken, self._written)

    def _go_on(self, begun: Begun) -> None:
        """Take the text that the output has once more: what a frame knows of it, none can read."""
        with begun.content() as content:
            packed = pa.PythonFile(content, "r")
            try:
                with pa.CompressedInputStream(packed, "zstd") as text:
                    while left := begun.taken - self._taken:
                        piece = text.read(min(left, BLOCK_BYTES))
                        if not piece:
                            raise FileDamaged
                        self.write(piece)
            except (OSError, pa.ArrowInvalid) as error:
                raise FileDamaged from error

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
            self._packed_bytes += len(piece)
        self._packed_text += BLOCK_BYTES  # if it was shorter, no other comes
        if pieces:
            self._recent.append((self._packed_text, self._packed_bytes))
