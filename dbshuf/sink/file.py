"""One file (or stdout), and the encoder that every file and shard is written with."""

from collections.abc import Callable
from typing import Protocol

from dbshuf.order.window import Window
from dbshuf.sink.publish import place_of
from dbshuf.sink.raw import ByteOutput
from dbshuf.sink.target import Target


class Encoder(Protocol):
    """Turns windows into the bytes of one file."""

    def write(self, window: Window) -> None:
        """Take the next rows."""

    def finish(self) -> None:
        """Write what is left and finish the output."""

    def abort(self) -> None:
        """End the threads and close the output; never raises."""


def open_encoder(output: ByteOutput, target: Target) -> Encoder:
    """Return the encoder of the target's format."""
    if target.format == "parquet":
        from dbshuf.sink.parquet import ParquetEncoder

        return ParquetEncoder(output, target)
    from dbshuf.sink import text

    encoders: dict[str, Callable[[ByteOutput, Target], Encoder]]
    encoders = {"txt": text.PlainText, "txt.gz": text.Gzip, "txt.zst": text.Zstd}
    return encoders[target.format](output, target)


class FileSink:
    """All rows to one file, or to stdout."""

    def __init__(self, target: Target) -> None:
        self.text_bytes = 0
        self.rows = 0
        self._place = place_of(target.path)
        try:
            self._encoder = open_encoder(self._place.output, target)
        except BaseException:
            self._place.discard()
            raise

    def write(self, window: Window) -> None:
        self._encoder.write(window)
        self.text_bytes += window.text_bytes
        self.rows += len(window.lines)

    def finish(self) -> None:
        self._encoder.finish()
        self._place.publish()

    def abort(self) -> None:
        self._encoder.abort()
        self._place.discard()
