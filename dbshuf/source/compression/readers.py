"""Compressed inputs, read to the last byte in constant memory.

gzip, bzip2 and xz go through the standard library, zstd and lz4 frames through
pyarrow. A file may hold any number of members (gzip), streams (bzip2, xz) or frames
(zstd, lz4); all are read. Whatever is cut short, damaged or followed by something
else is an InputBroken that names a compressed byte; nothing is dropped.

Held in memory: 256 KiB of compressed input, 1 MiB of output (in pyarrow), and what the
codec needs for its window: at most 128 MiB for xz, larger ones are refused, and 2 GiB for
zstd, whose large ones need libzstd (see wide_zstd.py).
Of gzip and bzip2 pyarrow reads as fast (2.05 CPU seconds for 250 MB of gzip, 2.07 here; 26.0.1),
but refuses the zeros that tapes pad with, cannot say where the data end, and has no xz.
A flaw in a zstd or lz4 frame that was written without a checksum can go unnoticed.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from dbshuf.errors import InputBroken
from dbshuf.source.byte_reader import RawInput, when_ready
from dbshuf.source.compression.codecs import (
    HEAD_BYTES,
    MAGIC,
    MOST_BYTES,
    is_wide,
    readable_window,
    xz_dictionary,
)
from dbshuf.source.compression.later_windows import FrameWalk, WindowLimit
from dbshuf.source.compression.wide_zstd import WideFrameFault, WideFrames, functions

# One read of the input, and what of it a decompressor gets at once: that copies the rest
# of a piece at the end of each member, which costs 5 % with 2.5 kB members and whole
# blocks. 32 KiB costs 6 % with one large member (gunzip, zlib 1.2.13, EPYC, 2 cores).
BLOCK_BYTES = 256 << 10
PIECE_BYTES = 32 << 10
OUT_BYTES = 1 << 20

# Of xz's decoder beside its dictionary, which may have what libzstd allows a streaming reader
# by itself (ZSTD_WINDOWLOG_LIMIT_DEFAULT, 27), where no plan allows less.
XZ_STATE_BYTES = 1 << 20

# What a library says of sound data that it cannot decompress, and what to do then.
_HINTS = {
    # Of pyarrow for a frame behind the first one, or where no libzstd can be called.
    "too much memory": "its window is above 128 MiB: compress it with `zstd --long=27` or less",
    "usage limit": "its dictionary is above 128 MiB: compress it with `xz -9` or less",
    "Dictionary mismatch": "frames that need a dictionary file are not read: decompress it first",
}


_DAMAGED = "the file is damaged: fetch it or compress it again"


class Decompressor:
    """The bytes that a compressed input holds, in order, to the end of its last member."""

    def __init__(
        self,
        raw: RawInput,
        codec: str,
        name: str,
        head: bytes = b"",
        windows: WindowLimit | None = None,
    ) -> None:
        """Read from `raw`, of which `head` was read already.

        raw      is closed by close(); one that does not block is waited for
        codec    as codecs.codec_of returns it
        name     path of the input, for messages
        windows  how large those behind the first may be; None: as large as are read
        """
        self._input = _Input(raw, codec, name, head, windows)
        self._stream: _Frames | _Members | _Wide | None = None
        self._failure: Exception | None = None
        self._text_bytes = 0

    @property
    def read_bytes(self) -> int:
        """Compressed bytes taken from the input so far, `head` among them."""
        return self._input.read_bytes

    def readinto(self, view: memoryview) -> int:
        """Fill `view` as far as the input goes and return the bytes written.

        Returns  len(view), or less at the end; 0 is the clean end of all members
        Raises   InputBroken when the data is cut short, damaged, or followed by
                 something else; MemoryTooSmall for a window beyond the limit; whatever
                 `raw` raises. A failure is final: the next call raises it again
        """
        if self._failure is not None:
            raise self._failure
        try:
            if self._stream is None:
                self._stream = _stream_of(self._input)
            count = self._stream.readinto(view)
            self._text_bytes += count
            if count < len(view):
                self._input.check_end(self._text_bytes)
            return count
        except Exception as failure:
            self._failure = failure
            raise

    def close(self) -> None:
        """Free the decompressor and close `raw`; a second call does nothing."""
        self._failure = ValueError("read of a closed input")
        if self._stream is not None:
            self._stream.close()
        self._input.close()


def _stream_of(source: _Input) -> _Frames | _Members | _Wide:
    """Return what decompresses an input, as its codec and its first bytes need it."""
    if source.codec not in ("zstd", "lz4"):
        return _Members(source)
    is_large = source.codec == "zstd" and (
        source.windows.most_bytes > MOST_BYTES
        if source.windows is not None
        else is_wide(source.codec, source.peek(HEAD_BYTES))
    )
    return _Wide(source) if is_large and functions() is not None else _Frames(source)


class _Input:
    """Compressed bytes as they come, counted; a file for pyarrow; the errors' wording."""

    def __init__(
        self,
        raw: RawInput,
        codec: str,
        name: str,
        head: bytes,
        windows: WindowLimit | None = None,
    ) -> None:
        self._raw, self._head, self._name = raw, head, name
        self.codec, self.windows = codec, windows
        self._walk = FrameWalk(self._see_frame) if codec == "zstd" else None
        self._is_first = True  # whose window is in the plan, or above what is read
        self._named_bytes = 0  # by those frames that say how many they hold
        self.closed = self.ended = False
        self.failure: OSError | None = None
        self.read_bytes = self.last_at = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` next bytes, at least one before the end."""
        data = b""
        try:
            if self._head:
                data, self._head = self._head[:size], self._head[size:]
            elif not self.ended:
                data = when_ready(self._raw, lambda: self._raw.read(size))
        except OSError as failure:
            self.failure = failure
            raise
        self.ended = not data
        self.last_at = self.read_bytes
        self.read_bytes += len(data)
        if self._walk is not None:
            self._walk.feed(data)
        return data

    def _see_frame(self, place: int, window: int, named_bytes: int | None) -> None:
        if not self._is_first:
            self.check_window(f"the frame at compressed byte {place}", window)
        self._is_first = False
        self._named_bytes += named_bytes or 0

    def check_end(self, text_bytes: int) -> None:
        """Raise InputBroken where frames hold less than they name.

        libzstd looks away where the last block of a frame is empty, and `zstd` with it, if the
        frame is larger than its buffers (1.5.4 and DuckDB's, 2.0.1).
        """
        if text_bytes < self._named_bytes:
            what = f"holds {text_bytes} bytes, and its frames name {self._named_bytes}"
            raise self.broken(what, _DAMAGED)

    def check_window(self, what: str, window: int) -> None:
        """Raise MemoryTooSmall for the window (bytes) of a later part that no plan has counted.

        One that is above what is read at all is left to the decoder.
        """
        most_bytes = window if self.windows is None else self.windows.most_bytes
        if most_bytes < window == readable_window(self.codec, window):
            assert self.windows is not None
            raise self.windows.refusal(self._name, what, window)

    def peek(self, size: int) -> bytes:
        """Return the first `size` bytes, fewer at the end; they are read again."""
        while len(self._head) < size and (more := when_ready(self._raw, self._some(size))):
            self._head += more
        return self._head[:size]

    def _some(self, size: int) -> Callable[[], bytes | None]:
        return lambda: self._raw.read(size - len(self._head))

    def close(self) -> None:
        """Close the raw input once."""
        if not self.closed:
            self.closed = True
            self._raw.close()

    def cut_short(self, place: str) -> InputBroken:
        """Return the error for an input that ends too early, inside `place`."""
        what = f"ends at compressed byte {self.read_bytes}, inside {place}"
        return self.broken(what, "the file is cut short: fetch it or compress it again")

    def damaged(self, fault: Exception, first: int, last: int, place: str) -> InputBroken:
        """Return the error for data refused by the library that was given [first, last)."""
        words = str(fault).rpartition(": ")[2]
        found = f"found between compressed bytes {first} and {last}, in {place}"
        hints = [hint for sign, hint in _HINTS.items() if sign in words]
        hints.append(_DAMAGED)
        return self.broken(f"cannot be decompressed: {found}: {words}", hints[0])

    def broken(self, what: str, hint: str) -> InputBroken:
        return InputBroken(f"{self._name}: the {self.codec} data {what}", hint=hint)


class _Frames:
    """zstd or lz4 frames. pyarrow asks for 64 KiB at a time and checks their ends."""

    def __init__(self, source: _Input) -> None:
        import pyarrow as pa

        self._input = source
        self._stream: Any = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), source.codec)

    def readinto(self, view: memoryview) -> int:
        source = self._input
        try:
            return int(self._stream.readinto(view))
        except OSError as fault:
            if fault is source.failure:
                raise
            if source.ended:
                raise source.cut_short("a frame") from None
            raise source.damaged(fault, source.last_at, source.read_bytes, "a frame") from None

    def close(self) -> None:
        self._stream.close()


class _Wide:
    """zstd frames, some of which have a window that pyarrow refuses."""

    def __init__(self, source: _Input) -> None:
        self._input = source
        self._frames = WideFrames(source.read)

    def readinto(self, view: memoryview) -> int:
        source = self._input
        try:
            return self._frames.readinto(view)
        except EOFError:
            raise source.cut_short("a frame") from None
        except WideFrameFault as fault:
            raise source.damaged(fault, source.last_at, source.read_bytes, "a frame") from None

    def close(self) -> None:
        self._frames.close()


class _Members:
    """gzip members, bzip2 streams or xz streams, one after another."""

    def __init__(self, source: _Input) -> None:
        self._input = source
        most_bytes = MOST_BYTES if source.windows is None else source.windows.most_bytes
        self._new, self._fault = _library(source.codec, most_bytes)
        self._member: Any = None
        self._place = ""
        self._block, self._at, self._piece_at = b"", 0, 0

    def readinto(self, view: memoryview) -> int:
        done = 0
        while out := self._some(min(len(view) - done, OUT_BYTES)):
            view[done : done + len(out)] = out
            done += len(out)
        return done

    def close(self) -> None:
        self._member, self._block = None, b""

    def _offset(self) -> int:
        """Return the compressed offset of the next byte to be decompressed."""
        return self._input.read_bytes - len(self._block) + self._at

    def _some(self, limit: int) -> bytes:
        """Return 1 to `limit` next bytes, or none after the last member."""
        while limit:
            if (self._member is None or self._member.eof) and not self._next_member():
                return b""
            member = self._member
            piece = self._piece() if member.needs_input else b""
            try:
                out: bytes = member.decompress(piece, limit)
            except self._fault as fault:
                first, last = self._piece_at, self._offset()
                raise self._input.damaged(fault, first, last, self._place) from None
            if member.eof:
                self._at -= len(member.unused_data)
            if out:
                return out
        return b""

    def _piece(self) -> memoryview:
        """Return the next piece of the member, and step over it."""
        if not self._peek(1):
            raise self._input.cut_short(self._place)
        self._piece_at = self._offset()
        piece = memoryview(self._block)[self._at : self._at + PIECE_BYTES]
        self._at += len(piece)
        return piece

    def _next_member(self) -> bool:
        """Step over padding to the next member; False at the end of the input."""
        codec, magic, end = self._input.codec, MAGIC[self._input.codec], self._offset()
        later = self._member is not None
        while later and codec != "bzip2" and self._peek(1) == b"\0":
            self._at = len(self._block) - len(self._block[self._at :].lstrip(b"\0"))
        padding, head = self._offset() - end, self._peek(len(magic))
        # xz pads to a multiple of four, anywhere; gzip(1) takes any zeros, at the end only.
        unsound = padding % 4 if codec == "xz" else padding and head
        if unsound or (later and not magic.startswith(head)):
            raise self._input.broken(
                f"ends at compressed byte {end}, but the file goes on with something else",
                f"if what follows is not wanted, keep the first {end} bytes (head -c {end})",
            )
        if head:
            self._member = self._new()
            self._place = f"the member that starts at byte {self._offset()}"
            if later and codec == "xz":
                self._input.check_window(self._place, xz_dictionary(self._peek(HEAD_BYTES)) or 0)
        return bool(head)

    def _peek(self, size: int) -> bytes:
        """Return the next `size` bytes without a step, fewer at the end of the input."""
        while len(self._block) - self._at < size and (more := self._input.read(BLOCK_BYTES)):
            self._block, self._at = self._block[self._at :] + more, 0
        return self._block[self._at : self._at + size]


class _Inflate:
    """One gzip member in the shape of bz2's decompressors; zlib checks CRC and length."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)
        self.needs_input, self.eof, self.unused_data = True, False, b""

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        out = self._zlib.decompress(data or self._zlib.unconsumed_tail, max_length)
        self.needs_input = len(out) < max_length and not self._zlib.unconsumed_tail
        self.eof, self.unused_data = self._zlib.eof, self._zlib.unused_data
        return out


def _library(codec: str, most_bytes: int) -> tuple[Callable[[], Any], type[Exception]]:
    """Return what decompresses one member of `codec`, and what it raises for damage.

    most_bytes  of xz's dictionary
    """
    if codec == "gzip":
        return _Inflate, zlib.error
    if codec == "bzip2":
        import bz2

        return bz2.BZ2Decompressor, OSError
    import lzma

    memory_bytes = most_bytes + XZ_STATE_BYTES
    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memory_bytes), lzma.LZMAError
