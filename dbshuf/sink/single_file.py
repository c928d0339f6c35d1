"""One file (or stdout), and the encoder that every file and shard is written with."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from dbshuf.base.window import Window
from dbshuf.sink.publish import FilePlace, Place, place_of
from dbshuf.sink.raw_file import ByteOutput
from dbshuf.sink.target import Target


class Encoder(Protocol):
    """Turns windows into the bytes of one file."""

    def write(self, window: Window) -> None:
        """Take the next rows."""

    def flush(self) -> int:
        """Write what is there, as rows of a block or group that ends here.

        Returns  the bytes that `finish` would add to the output
        """

    def finish(self) -> None:
        """Write what is left and finish the output."""

    def abort(self) -> None:
        """End the threads and close the output; never raises."""


def open_encoder(output: ByteOutput, target: Target) -> Encoder:
    """Return the encoder of the target's format; only its own libraries are loaded."""
    kind = target.format.partition(".")[0]
    if kind == "parquet":
        from dbshuf.sink.formats.parquet import ParquetEncoder

        return ParquetEncoder(output, target)
    if kind == "arrow":
        from dbshuf.sink.formats.arrow import ArrowEncoder

        return ArrowEncoder(output, target)
    if kind == "txt" and target.schema is None:
        from dbshuf.sink.formats.text import LineEncoder

        return LineEncoder(output, target)
    from dbshuf.sink.formats.row_text import RowTextEncoder

    if kind == "txt" or target.holds_json:
        from dbshuf.sink.formats.text import as_lines

        end = b"\n" if target.holds_json else target.terminator
        return RowTextEncoder(output, target, partial(as_lines, terminator=end))
    if kind == "jsonl":
        from dbshuf.base.json_values import structures_in
        from dbshuf.sink.formats.jsonl import json_line_in_pieces, json_lines

        structures = structures_in(target.written)
        to_json = partial(json_lines, structures=structures) if structures else json_lines
        in_pieces = partial(json_line_in_pieces, structures=structures)
        return RowTextEncoder(output, target, to_json, encode_long=in_pieces)
    from dbshuf.sink.formats.csv import delimited, delimited_in_pieces, head_of

    delimiter = "\t" if kind == "tsv" else ","
    names = ["line"] if target.schema is None else target.schema.names
    encode = partial(delimited, delimiter=delimiter)
    in_pieces = partial(delimited_in_pieces, delimiter=delimiter)
    head = head_of(names, delimiter)
    return RowTextEncoder(output, target, encode, head=head, encode_long=in_pieces)


class PlacedSink(ABC):
    """A sink of rows that are hidden until `finish` publishes its places, all or none."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = places
        self.text_bytes = 0
        self.rows = 0

    @abstractmethod
    def encode(self, window: Window) -> None:
        """Take the next rows."""

    @abstractmethod
    def complete(self) -> None:
        """Write what is left and make it durable, still hidden."""

    @abstractmethod
    def stop(self) -> None:
        """End the encoders; never raises."""

    def write(self, window: Window) -> None:
        self.encode(window)
        self.text_bytes += window.text_bytes
        self.rows += window.rows

    def finish(self) -> None:
        self.complete()
        for place in self.places:
            place.publish()

    def abort(self) -> None:
        self.stop()
        for place in self.places:
            place.discard()


class FileSink(PlacedSink):
    """All rows to one file, or to stdout."""

    def __init__(self, target: Target, place: FilePlace | None = None) -> None:
        """Write to the target's place, or to the file of another one."""
        place = place or place_of(target)
        super().__init__([place])
        try:
            self._encoder = open_encoder(place.output, target)
        except BaseException:
            place.discard()
            raise

    def encode(self, window: Window) -> None:
        self._encoder.write(window)

    def complete(self) -> None:
        self._encoder.finish()

    def stop(self) -> None:
        self._encoder.abort()
