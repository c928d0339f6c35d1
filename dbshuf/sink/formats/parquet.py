"""Rows to a Parquet file; lines are its one column `line`."""

import contextlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dbshuf.base.thrift import STRUCT, Reader, Struct, value_bytes
from dbshuf.errors import RowUnfit
from dbshuf.sink.begun_file import Begun
from dbshuf.sink.encoder_threads import MemoryFile
from dbshuf.sink.formats.column_file import (
    PIECE_BYTES,
    ColumnFileEncoder,
    Group,
    Groups,
    batches_of,
    file_metadata,
)
from dbshuf.sink.formats.parquet_dictionaries import without_dictionary
from dbshuf.sink.formats.parquet_footer import MAGIC, Footer, chunks_of, only_group
from dbshuf.sink.formats.parquet_page_index import PageIndex, index_start
from dbshuf.sink.formats.record_batches import records_of
from dbshuf.sink.memory import grouping_threads, row_group_bytes
from dbshuf.sink.output_format import codec_of
from dbshuf.sink.raw_file import ByteOutput, FileDamaged, WithHead
from dbshuf.sink.schema_cast import SchemaCast, notes_in, reader_schema, stored_in_parquet
from dbshuf.sink.target import Target
from dbshuf.units import KIB, MIB

# As by default in pyarrow; DuckDB's groups have 122,880 rows, 16 MiB are 114,000 lines of
# 147 bytes.
ROW_GROUP_ROWS = 1 << 20

# Of a Bloom filter: of values that a group does not have, how many it lets through. As in
# DuckDB; 10 bits a row, up to twice that, since a filter is a power of two long.
_FALSE_POSITIVES = 0.01

_LONG_BYTES = 16 * MIB  # a row that is written without statistics

_SMALL_BYTES = 256 * KIB  # of a file that waits as a whole whether there are other groups

KeptGroup = tuple[int, str, str]  # bytes of its pages; base64 of what a footer says, and its index

_FOOT_BYTES = 4 + len(MAGIC)  # at the end of a file: the length of the footer, and this


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file of its own.

    pages   as they lie in the file, and the Bloom filters behind them
    index   the page index, as it lies behind these
    group   what the footer says of it; None: there are no rows
    footer  of the file
    """

    pages: list[bytes]
    index: bytes
    group: Struct | None
    footer: bytes


@dataclass(frozen=True)
class SmallFile:
    """A whole file of one row group with rows, small enough to wait for others."""

    data: bytes
    rows: int


class Form:
    """How rows are written, which is the same for all files of a target.

    schema  as pyarrow is told it
    leaves  the paths of its columns, those within nested ones too
    cast    what makes rows of it; None: they have it
    """

    def __init__(self, target: Target, rows: pa.Schema) -> None:
        self._codec, self._level = codec_of("parquet", target.compression)
        self._cdc = target.cdc
        says = file_metadata(rows, target)
        self.schema = rows.with_metadata(says)
        self.cast: SchemaCast | None = None
        self._options: dict[str, Any] = {}
        notes = notes_in(target.written)
        if target.written is not None:
            seen = reader_schema(target.written).with_metadata(says)
            self.cast = SchemaCast(stored_in_parquet(seen))
            self.schema = self.cast.schema
            says = {**says, b"ARROW:schema": b64encode(seen.serialize())}
            self._options = {"store_schema": False}
        self._footer = self._empty_footer()
        if target.written is not None:
            self._options |= self._footer.options_for(notes)
            self._footer = self._empty_footer()
            self._footer.describe(notes, says)
        self.leaves = self._footer.leaves()

    def footer(self) -> Footer:
        """Return the footer of a new file."""
        return self._footer.anew()

    def _empty_footer(self) -> Footer:
        made, file = self.opened({})
        file.close()
        return Footer(taken_apart(made.take()).footer)

    def opened(self, more: dict[str, Any]) -> tuple[MemoryFile, pq.ParquetWriter]:
        """Return a file of one group in memory, and what writes it."""
        made = MemoryFile()
        writer = pq.ParquetWriter(
            made,
            self.schema,
            compression=self._codec,
            compression_level=self._level,
            write_page_checksum=True,
            write_page_index=True,
            use_content_defined_chunking=self._cdc,
            **self._options | more,
        )
        return made, writer


class ParquetEncoder(ColumnFileEncoder[RowGroup | SmallFile]):
    """One Parquet file, its statistics as pyarrow makes them by default, and its dictionaries too
    where they are worth it; see parquet_dictionaries.py.

    Groups are encoded by several threads, each as a file in memory; the pages of these,
    one after the other, and a footer for all of them are the file.

    Random order leaves little to prune, but values may repeat. For lines of 147 bytes
    a dictionary that is tried and the statistics cost 3 % of the time and 0.3 % of the
    size; of 9 bytes 13 and 1.8 %; of 3 kB 1 and 0.6 %; of 24 kB nothing. A group has 8 kB
    of footer at most a column: pyarrow leaves out what is longer than 4 kB (pyarrow
    26.0.1, 256 MiB of text). DELTA_LENGTH_BYTE_ARRAY made files 0.5-16 % smaller, and
    3 % more work.
    """

    def __init__(self, output: ByteOutput, target: Target, begun: Begun | None = None) -> None:
        self._records = records = records_of(target)
        groups = Groups(
            records.schema,
            group_bytes=row_group_bytes(target),
            group_rows=ROW_GROUP_ROWS,
            piece_bytes=PIECE_BYTES,
        )
        threads = grouping_threads(target)
        head = b"" if begun is not None and begun.bytes else MAGIC
        super().__init__(WithHead(output, head), groups, threads=threads, begun=begun)
        if "parquet" not in target.shared:
            target.shared["parquet"] = Form(target, records.schema)
        self._form: Form = target.shared["parquet"]
        self._footer: Footer = self._form.footer()
        self._bloom = target.bloom
        self._index = PageIndex(target.temp_dir)
        self._page_bytes = 0  # written so far
        self._only: SmallFile | None = None  # the first group, while there is no other
        self._has_groups = False
        self._kept: list[KeptGroup] | None = None if begun is None else []
        self._go_on_with(begun)

    def _go_on(self, begun: Begun) -> None:
        """Know of the groups that the output has; Raises FileDamaged if there are others."""
        for page_bytes, encoded, index in begun.parts:
            self._add(Reader(b64decode(encoded)).struct(), b64decode(index), page_bytes)
            self._has_groups = True
        if (len(MAGIC) + self._page_bytes, self._footer.rows) != (begun.bytes, begun.written):
            raise FileDamaged

    def _parts(self) -> tuple[KeptGroup, ...]:
        kept, self._kept = self._kept or [], None if self._kept is None else []
        return tuple(kept)

    def _begin(self, group: Group) -> None:
        # A row beyond a piece is held many times while it is encoded, so it is alone then.
        is_long = any(piece[0].text_bytes > PIECE_BYTES for piece in group)
        begin = self._threads.call_alone if is_long else self._threads.call
        begin(self._encode, group)

    def _put(self, encoded: RowGroup | SmallFile) -> None:
        if isinstance(encoded, SmallFile):
            if not self._has_groups:
                self._only, self._has_groups = encoded, True
                return
            encoded = taken_apart([encoded.data])
        self._put_only()
        self._has_groups = True
        self._put_group(encoded)

    def _put_only(self) -> None:
        """Write the first group, if it waits for others."""
        if self._only is not None:
            encoded, self._only = self._only, None
            self._put_group(taken_apart([encoded.data]))

    def _put_group(self, encoded: RowGroup) -> None:
        assert encoded.group is not None
        page_bytes = sum(map(len, encoded.pages))
        if self._kept is not None:
            group, index = value_bytes(STRUCT, encoded.group), encoded.index
            self._kept.append((page_bytes, b64encode(group).decode(), b64encode(index).decode()))
        self._add(encoded.group, encoded.index, page_bytes)
        for page in encoded.pages:
            self._output.write(page)
        self._written = self._footer.rows

    def _add(self, group: Struct, index: bytes, page_bytes: int) -> None:
        """Add a group behind all others to what is said of them."""
        self._index.add(chunks_of(group), memoryview(index), self._page_bytes)
        self._footer.add(group, self._page_bytes)
        self._page_bytes += page_bytes

    def _end_bytes(self) -> int:
        self._put_only()
        return self._index.size_bytes + len(self._footer_bytes())

    def _write_end(self) -> None:
        if not self._is_only_written():
            self._put_only()
            footer = self._footer_bytes()
            self._index.write(self._output)
            self._output.write(footer)
        self._index.close()

    def _is_only_written(self) -> bool:
        """Write the file as pyarrow made it, but for its footer, where that can be."""
        if self._only is None:
            return False
        data = self._only.data
        begin = footer_start(data)
        footer = self._footer.of_only(data[begin:-_FOOT_BYTES], self._only.rows)
        if footer is not None:
            self._output.write(data[len(MAGIC) : begin] + footer)
        return footer is not None

    def _footer_bytes(self) -> bytes:
        return self._footer.to_bytes(self._index, len(MAGIC) + self._page_bytes)

    def abort(self) -> None:
        super().abort()
        self._index.close()

    def _encode(self, group: Group) -> RowGroup | SmallFile:
        try:
            rows = self._table(group)
            made, file = self._form.opened(self._options_for(rows))
            try:
                file.write_table(rows, row_group_size=rows.num_rows)
            except pa.ArrowInvalid:
                with contextlib.suppress(Exception):
                    file.close()
                raise
        except pa.ArrowInvalid as error:  # a value beyond 2 GiB, a second beyond its milliseconds
            raise RowUnfit(f"Parquet cannot hold a row: {error}") from error
        file.close()
        pieces = made.take()
        if sum(map(len, pieces)) < _SMALL_BYTES and rows.num_rows:
            return SmallFile(b"".join(pieces), rows.num_rows)
        return taken_apart(pieces)

    def _table(self, group: Group) -> pa.Table:
        batches = batches_of(group, self._records)
        if self._form.cast is not None:
            batches = list(map(self._form.cast.cast, batches))
        return pa.Table.from_batches(batches)

    def _options_for(self, rows: pa.Table) -> dict[str, Any]:
        """Return how the rows of a group are written.

        pyarrow keeps four copies of a long text for its minimum and maximum, and then leaves
        them out: 7.8 copies of it at once, and 3.6 without (pyarrow 26.0.1, zstd).
        """
        is_long = rows.num_rows == 1 and rows.nbytes > _LONG_BYTES
        bloom = {"ndv": max(rows.num_rows, 1), "fpp": _FALSE_POSITIVES}
        options: dict[str, Any] = {"bloom_filter_options": dict.fromkeys(self._bloom, bloom)}
        if plain := without_dictionary(rows):
            options["use_dictionary"] = [path for path in self._form.leaves if path not in plain]
        return options | ({"write_statistics": False} if is_long else {})


def footer_start(end: bytes) -> int:
    """Return where the footer begins in the end of a file that holds it."""
    return len(end) - _FOOT_BYTES - int.from_bytes(end[-_FOOT_BYTES:-4], "little")


def taken_apart(pieces: list[bytes]) -> RowGroup:
    """Return the group of a whole file: magic, pages, footer, its length in four bytes, magic."""
    end = b""
    while len(end) < (size := _FOOT_BYTES + int.from_bytes(end[-_FOOT_BYTES:-4], "little")):
        end = pieces.pop() + end
    pieces.append(end[:-size])
    pieces[0] = pieces[0].removeprefix(MAGIC)
    footer = end[-size:-_FOOT_BYTES]
    group = only_group(footer)
    start = None if group is None else index_start(chunks_of(group))
    if start is None:
        return RowGroup(pieces, b"", group, footer)
    index_bytes = len(MAGIC) + sum(map(len, pieces)) - start
    index = b""
    while len(index) < index_bytes:
        index = pieces.pop() + index
    pieces.append(index[:-index_bytes])
    return RowGroup(pieces, index[-index_bytes:], group, footer)
