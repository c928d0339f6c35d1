"""An output of which bytes, hash and rows are noted, for the manifest."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from dbshuf.base.window import Window
from dbshuf.sink.begun_file import Begun, Position
from dbshuf.sink.raw_file import ByteOutput, DiskFile
from dbshuf.sink.seal import WrittenFile
from dbshuf.units import KIB

_BESIDE_BYTES = 64 * KIB  # from here on a hash takes longer than to have a thread make it


class HashedOutput:
    """Passes bytes on, and hashes them in a thread while they are written.

    A file on a disk does that with its own blocks, so that nobody waits for it.
    """

    def __init__(self, output: ByteOutput, begun: Begun | None = None) -> None:
        self._output = output
        had = None if begun is None else begun.hash
        self._hash = hashlib.sha256() if had is None else had
        self._thread: ThreadPoolExecutor | None = None
        self.written_bytes = 0 if begun is None else begun.bytes
        self._hashes_itself = isinstance(output, DiskFile)
        if isinstance(output, DiskFile):
            output.hash_with(self._hash)

    def write(self, data: bytes | memoryview) -> None:
        self.written_bytes += memoryview(data).nbytes
        if self._hashes_itself:
            self._output.write(data)
            return
        if len(data) < _BESIDE_BYTES:
            self._hash.update(data)
            self._output.write(data)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="dbshuf-hash")
        hashing = self._thread.submit(self._hash.update, data)
        try:
            self._output.write(data)
        finally:
            hashing.result()  # then the caller may use the memory again

    def flush(self) -> int:
        return self._output.flush()

    def finish(self) -> None:
        self._output.finish()
        self._close()

    def abort(self) -> None:
        self._close()
        self._output.abort()

    def hexdigest(self) -> str:
        """Return the hash of all that was written, after `finish`."""
        return str(self._hash.hexdigest())

    def _close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None


class Encoder(Protocol):
    """Turns windows into the bytes of one file."""

    def write(self, window: Window) -> None:
        """Take the next rows."""

    def flush(self) -> int:
        """Write what is there, as rows of a block or group that ends here.

        Returns  the bytes that `finish` would add to the output
        """

    def position(self) -> Position:
        """Return how far it is; of a file that is sealed while it grows, between two windows."""

    def finish(self) -> None:
        """Write what is left and finish the output."""

    def abort(self) -> None:
        """End the threads and close the output; never raises."""


class NotingEncoder:
    """An encoder of which rows are counted; `written` after `finish`."""

    written: WrittenFile

    def __init__(self, encoder: Encoder, output: HashedOutput, rows: int = 0) -> None:
        self._encoder, self._output = encoder, output
        self._rows = rows

    def write(self, window: Window) -> None:
        self._encoder.write(window)
        self._rows += window.rows

    def flush(self) -> int:
        return self._encoder.flush()

    def position(self) -> Position:
        return self._encoder.position()._replace(rows=self._rows)

    def finish(self) -> None:
        self._encoder.finish()
        output = self._output
        self.written = WrittenFile(self._rows, output.written_bytes, output.hexdigest())

    def abort(self) -> None:
        self._encoder.abort()


def written_by(encoder: Encoder) -> WrittenFile | None:
    """Return what a finished encoder has noted; None if nobody asked for it."""
    return encoder.written if isinstance(encoder, NotingEncoder) else None
