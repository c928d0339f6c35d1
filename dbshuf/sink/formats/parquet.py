"""Rows to a Parquet file; lines are its one column `line`."""

import contextlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dbshuf.base.window import AnyWindow
from dbshuf.errors import RowUnfit
from dbshuf.sink.encoder_threads import Ahead
from dbshuf.sink.formats.column_file import PIECE_BYTES, Group, Groups, gathered, marked
from dbshuf.sink.formats.parquet_footer import MAGIC, Footer
from dbshuf.sink.formats.record_batches import records_of
from dbshuf.sink.output_format import codec_of
from dbshuf.sink.raw_file import ByteOutput
from dbshuf.sink.target import Target, grouping_threads, row_group_bytes
from dbshuf.sink.written_types import Form, notes_in, shown, stored_in_parquet

# As by default in pyarrow; DuckDB's groups have 122,880 rows, 16 MiB are 114,000 lines of
# 147 bytes.
ROW_GROUP_ROWS = 1 << 20

_FOOT_BYTES = 4 + len(MAGIC)  # at the end of a file: the length of the footer, and this


class ParquetEncoder:
    """One Parquet file, its dictionaries and statistics as pyarrow makes them by default.

    Groups are encoded by several threads, each as a file in memory; the pages of these,
    one after the other, and a footer for all of them are the file.

    Random order leaves little to prune, but values may repeat. For lines of 147 bytes
    the dictionary that is tried and the statistics cost 3 % of the time and 0.3 % of the
    size; of 9 bytes 13 and 1.8 %; of 3 kB 1 and 0.6 %; of 24 kB nothing. A group has 8 kB
    of footer at most a column: pyarrow leaves out what is longer than 4 kB (pyarrow
    26.0.1, 256 MiB of text). DELTA_LENGTH_BYTE_ARRAY made files 0.5-16 % smaller, and
    3 % more work.
    """

    def __init__(self, output: ByteOutput, target: Target) -> None:
        self._records = records = records_of(target)
        self._output = output
        self._groups = Groups(
            records.schema,
            group_bytes=row_group_bytes(target),
            group_rows=ROW_GROUP_ROWS,
            piece_bytes=PIECE_BYTES,
        )
        self._codec, self._level = codec_of("parquet", target.compression)
        self._says = marked(records.schema, target)
        self._schema = records.schema.with_metadata(self._says)
        self._form: Form | None = None
        self._options: dict[str, Any] = {}
        notes = notes_in(target.written)
        if target.written is not None:
            seen = shown(target.written).with_metadata(self._says)
            self._form = Form(stored_in_parquet(seen))
            self._schema = self._form.schema
            self._says = {**self._says, b"ARROW:schema": b64encode(seen.serialize())}
            self._options = {"store_schema": False}
        threads = grouping_threads(target)
        self._threads = Ahead[_Encoded](threads, depth=threads)
        self._footer = Footer(self._encode([]).footer)
        if target.written is not None:
            self._options |= self._footer.options_for(notes)
            self._footer = Footer(self._encode([]).footer)
            self._footer.describe(notes, self._says)
        self._written = 0

    def write(self, window: AnyWindow) -> None:
        for group in self._groups.add(window):
            self._begin(group)

    def flush(self) -> int:
        if group := self._groups.cut_here():
            self._begin(group)
        self._put(self._threads.drain())
        return len(self._footer.to_bytes()) + (0 if self._written else len(MAGIC))

    def finish(self) -> None:
        if group := self._groups.rest():
            self._begin(group)
        self._put(self._threads.rest())
        self._write(self._footer.to_bytes())
        self._output.finish()

    def abort(self) -> None:
        with contextlib.suppress(Exception):
            self._threads.stop()
        self._output.abort()

    def _begin(self, group: Group) -> None:
        # A row beyond a piece is held many times while it is encoded, so it is alone then.
        is_long = any(piece[0].text_bytes > PIECE_BYTES for piece in group)
        if is_long:
            self._put(self._threads.drain())
        self._put(self._threads.call(self._encode, group))
        if is_long:
            self._put(self._threads.drain())

    def _put(self, made: Iterator["_Encoded"]) -> None:
        for group in made:
            self._footer.add(group.footer, max(self._written - len(MAGIC), 0))
            for page in group.pages:
                self._write(page)

    def _write(self, part: bytes) -> None:
        if not self._written:
            self._output.write(MAGIC)
            self._written = len(MAGIC)
        self._output.write(part)
        self._written += len(part)

    def _encode(self, group: Group) -> "_Encoded":
        made = _Parts()
        file = pq.ParquetWriter(
            made,
            self._schema,
            compression=self._codec,
            compression_level=self._level,
            **self._options,
        )
        try:
            if group:
                batches = gathered(group, self._records)
                if self._form is not None:
                    batches = list(map(self._form.of, batches))
                rows = pa.Table.from_batches(batches)
                file.write_table(rows, row_group_size=rows.num_rows)
        except pa.ArrowInvalid as error:  # a value beyond 2 GiB, a second beyond its milliseconds
            with contextlib.suppress(Exception):
                file.close()
            raise RowUnfit(f"Parquet cannot hold a row: {error}") from error
        file.close()
        return made.group()


@dataclass(frozen=True)
class _Encoded:
    """A row group: its pages as they lie in a file, and the footer of a file of it alone."""

    pages: list[bytes]
    footer: bytes


class _Parts:
    """A Parquet file in memory, as pyarrow writes it."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """What is written stays."""

    def group(self) -> _Encoded:
        """Take the file apart: magic, pages, footer, its length in four bytes, magic."""
        pages = self._parts
        end = b""
        while len(end) < (size := _FOOT_BYTES + int.from_bytes(end[-_FOOT_BYTES:-4], "little")):
            end = pages.pop() + end
        pages.append(end[:-size])
        pages[0] = pages[0].removeprefix(MAGIC)
        return _Encoded(pages, end[-size:-_FOOT_BYTES])
