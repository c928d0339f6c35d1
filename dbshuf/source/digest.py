"""The SHA-256 of an input's bytes as they lie there, taken beside the reading of them.

front to back    a compressed file, a pipe, CSV: `stream` hashes what goes by
whole            a small file: `feed` of all of it
in ranges        a large file of lines: workers read ranges of it in any order, but take them in
                 order, so each waits a little for the one before it, and hashes what it has just
                 read. One that waits too long, or must (for a long line), leaves the rest of the
                 file to `catch_up`, which reads it again
in columns       Parquet, Arrow: all of it by `catch_up`, in a thread beside the readers
"""

import hashlib
import os
import threading
from typing import Any

from dbshuf.source.byte_reader import RawInput, SeenInput
from dbshuf.units import MIB

PATIENCE_S = 0.5  # a range of 16 MiB is read and hashed in a tenth of it


class InputDigest:
    """The hash of one input while it grows.

    sha256    hexadecimal, once all was hashed; None before
    unhashed  why there will be none; empty if there will
    read_bytes  of a stream, so far
    """

    def __init__(self, size_bytes: int | None, unhashed: str = "") -> None:
        """Begin; `size_bytes` is None where only the end of the input tells."""
        self._size, self.unhashed = size_bytes, unhashed
        self.sha256: str | None = None
        self._hash: Any = None
        self._next = self.read_bytes = 0  # byte that comes next
        self._is_left = False  # to `catch_up`
        self._turn: threading.Condition | None = None
        self._patience_s = PATIENCE_S
        if size_bytes == 0:
            self._done()

    def stream(self, raw: RawInput, head: bytes) -> RawInput:
        """Return `raw`, of which `head` was read already, with what is read of it hashed."""
        self._hash, self._next, self.sha256 = hashlib.sha256(head), len(head), None
        self.read_bytes = len(head)
        return SeenInput(raw, self.add)

    def add(self, data: bytes | memoryview) -> None:
        """Hash the next bytes of a stream; no bytes are its end."""
        if len(data):
            self._hash.update(data)
            self._next += len(data)
            self.read_bytes = self._next
        elif self._hash is not None:
            self._done()

    def take_turns(self, patience_s: float = PATIENCE_S) -> None:
        """Be ready for several workers that feed ranges."""
        self._turn, self._patience_s = threading.Condition(), patience_s

    def feed(self, begin: int, data: memoryview) -> None:
        """Hash data[...] of the file from its byte `begin` on, in its turn.

        What was hashed already is left out. If the bytes before it do not come soon, the rest
        is left to `catch_up`.
        """
        if self._turn is None:
            self._add(begin, data)
            return
        with self._turn:
            came = self._turn.wait_for(
                lambda: self._next >= begin or self._is_left, self._patience_s
            )
            self._is_left |= not came
            if not self._is_left:
                self._add(begin, data)
                self._turn.notify_all()

    def leave(self) -> None:
        """Leave the rest to `catch_up`, and let nobody wait."""
        self._is_left = True
        if self._turn is not None:
            with self._turn:
                self._turn.notify_all()

    def _add(self, begin: int, data: memoryview) -> None:
        if begin > self._next:  # an earlier process has read what is before: it is left
            return
        if self._hash is None and self.sha256 is None:
            self._hash = hashlib.sha256()
        new = data[self._next - begin :]
        if self.sha256 is None and len(new):
            self._hash.update(new)
            self._next += len(new)
            if self._next == self._size:
                self._done()

    def _done(self) -> None:
        self.sha256 = (self._hash or hashlib.sha256()).hexdigest()
        self._hash = None

    def catch_up(self, path: str, stop: threading.Event) -> None:
        """Read and hash what is left of a file. Raises OSError."""
        self._turn = None
        view = memoryview(bytearray(MIB))
        with open(path, "rb", buffering=0) as file:
            while self.sha256 is None and not stop.is_set():
                count = os.preadv(file.fileno(), [view], self._next)
                if not count:
                    if self._size is None:  # a compressed one that an earlier process has read
                        self._done()
                    break
                self._add(self._next, view[:count])
