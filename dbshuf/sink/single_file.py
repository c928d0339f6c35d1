"""Sinks of one file (or stdout) and of several parts, and the encoder of every file and shard."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from dbshuf.base.window import Window
from dbshuf.sink.begun_file import Begun, Position
from dbshuf.sink.hashed_output import Encoder, HashedOutput, NotingEncoder, written_by
from dbshuf.sink.publish import Directory, FilePlace, HiddenFile, Place, place_of
from dbshuf.sink.raw_file import ByteOutput
from dbshuf.sink.seal import NamedFile, Seal
from dbshuf.sink.target import Target


def open_encoder(output: ByteOutput, target: Target, begun: Begun | None = None) -> Encoder:
    """Return the encoder of the target's format; only its own libraries are loaded.

    Where the target is noted, `written_by` tells of it once it is finished.
    begun  what the output has already, if it is sealed while it grows
    """
    if begun is not None and begun.bytes:
        target = replace(target, header=b"")
    if not target.is_noted:
        return _encoder(output, target, begun)
    hashed = HashedOutput(output, begun)
    rows = 0 if begun is None else begun.rows
    return NotingEncoder(_encoder(hashed, target, begun), hashed, rows)


def _encoder(output: ByteOutput, target: Target, begun: Begun | None) -> Encoder:
    kind = target.format.partition(".")[0]
    if kind == "parquet":
        from dbshuf.sink.formats.parquet import ParquetEncoder

        return ParquetEncoder(output, target, begun)
    if kind == "arrow":
        from dbshuf.sink.formats.arrow import ArrowEncoder

        return ArrowEncoder(output, target, begun)
    from dbshuf.sink.formats.compression import compressed

    stream = compressed(output, target, begun)
    if kind == "txt" and target.schema is None:
        from dbshuf.sink.formats.row_text import LineEncoder

        return LineEncoder(stream, target)
    from dbshuf.sink.formats.row_text import RowTextEncoder

    encode, head = row_text(target)
    if begun is not None and begun.bytes:
        head = b""
    return RowTextEncoder(stream, target, encode, head=head, encode_long=_in_pieces(target))


def row_text(target: Target) -> tuple[Callable[[Any], Any], bytes]:
    """Return what makes text of the rows of a batch, and what stands before them in a file.

    The function may raise row_text.ValueUnfit.
    """
    kind = target.format.partition(".")[0]
    if kind == "txt" or target.holds_json:
        from dbshuf.sink.formats.row_text import as_lines

        end = b"\n" if target.holds_json else target.terminator
        return partial(as_lines, terminator=end), b""
    if kind == "jsonl":
        from dbshuf.base.json_values import structures_in
        from dbshuf.sink.formats.jsonl import json_lines

        structures = structures_in(target.written)
        return (partial(json_lines, structures=structures) if structures else json_lines), b""
    from dbshuf.sink.formats.csv import delimited, head_of

    delimiter = "\t" if kind == "tsv" else ","
    names = ["line"] if target.schema is None else target.schema.names
    return partial(delimited, delimiter=delimiter), head_of(names, delimiter)


def _in_pieces(target: Target) -> Callable[[Any], Any] | None:
    """Return what makes pieces of text of one long row; None where a format has none."""
    kind = target.format.partition(".")[0]
    if kind == "txt" or target.holds_json:
        return None
    if kind == "jsonl":
        from dbshuf.base.json_values import structures_in
        from dbshuf.sink.formats.jsonl import json_line_in_pieces

        return partial(json_line_in_pieces, structures=structures_in(target.written))
    from dbshuf.sink.formats.csv import delimited_in_pieces

    return partial(delimited_in_pieces, delimiter="\t" if kind == "tsv" else ",")


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
    def flush(self) -> None:
        """Encode all rows so far; those that come begin a row group or a block of their own."""

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

    @property
    def directory(self) -> Directory | None:
        """The directory that is all of the output, if it is one."""
        return None

    @property
    @abstractmethod
    def files(self) -> list[NamedFile]:
        """What was noted of the files, in the order of the rows; after `complete`."""

    def finish(self, seal: Seal | None = None) -> None:
        self.complete()
        if seal is not None:
            seal.write(self.files, self.directory)
        self.check_places()
        for place in self.places:
            place.publish()
        if seal is not None:
            seal.publish()

    def check_places(self) -> None:
        """Raise OutputUnwritable where one of the files cannot be shown, before the first is."""
        for place in self.places:
            if isinstance(place, HiddenFile):
                place.check()

    def abort(self) -> None:
        self.stop()
        for place in self.places:
            place.discard()


class FileSink(PlacedSink):
    """All rows to one file, or to stdout."""

    def __init__(
        self, target: Target, place: FilePlace | None = None, begun: Begun | None = None
    ) -> None:
        """Write to the target's place, or to the file of another one; as `open_encoder`."""
        place = place or place_of(target)
        super().__init__([place])
        self._name = "-" if target.path is None else target.path.name
        try:
            self._encoder = open_encoder(place.output, target, begun)
        except BaseException:
            place.discard()
            raise

    def encode(self, window: Window) -> None:
        self._encoder.write(window)

    @property
    def files(self) -> list[NamedFile]:
        written = written_by(self._encoder)
        return [] if written is None else [(self._name, written)]

    def flush(self) -> None:
        self._encoder.flush()

    def position(self) -> Position:
        """Return how far the file is; see there."""
        return self._encoder.position()

    def complete(self) -> None:
        self._encoder.finish()

    def stop(self) -> None:
        self._encoder.abort()


class PartsSink(PlacedSink):
    """A sink made of several, each of which takes a part of the rows: all are published, or none.

    They are those that `_open` adds to `_parts`, and the places are those of all of them.
    """

    def __init__(self, target: Target) -> None:
        self._parts: list[PlacedSink] = []
        self._directory: Directory | None = None
        self._places: list[Place] = []
        super().__init__(self._places)
        try:
            self._open(target)
        except BaseException:
            self.abort()
            raise

    @abstractmethod
    def _open(self, target: Target) -> None:
        """Fill `_parts` and `_places`, and name the `_directory` if there is one for all."""

    @property
    def directory(self) -> Directory | None:
        return self._directory

    @property
    def files(self) -> list[NamedFile]:
        return [file for part in self._parts for file in part.files]

    def flush(self) -> None:
        for part in self._parts:
            part.flush()

    def complete(self) -> None:
        for part in self._parts:
            part.complete()

    def stop(self) -> None:
        for part in self._parts:
            part.stop()
