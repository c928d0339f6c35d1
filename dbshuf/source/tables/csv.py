"""CSV and TSV by RFC 4180: a header row with names, and every value is text.

Nothing is converted, so that `007` and `1.10` stay what they are, and an empty value is
the empty string. An empty line is no row, but where there is one column it is an empty
value. A CR alone ends a row too.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from dbshuf.base.block_io import U8
from dbshuf.base.column_names import told_apart
from dbshuf.errors import InputBroken, NotUtf8, SchemaMismatch
from dbshuf.source.head import MOST_HEADER_BYTES, fronts
from dbshuf.source.input import Input
from dbshuf.source.tables.csv_records import BadQuote, Records, Unended, row_end
from dbshuf.source.tables.interface import RecordBatches, RowRange, first_line
from dbshuf.units import MIB, human

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_UNFIT = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")  # pyarrow's words
_BOM = b"\xef\xbb\xbf"
_BLOCK_BYTES = MIB  # parsed at a time
_MOST_ROW_BYTES = 1 << 30  # pyarrow counts the bytes of a block in 31 bits


class DelimitedInput:
    """One CSV or TSV input; see interface.TableInput."""

    rows: int | None = None
    least_bytes = 0
    is_steady = True

    def __init__(self, source: Input, kind: str) -> None:
        """Read the header row.

        kind    "csv" or "tsv"
        Raises  SchemaMismatch, NotUtf8, InputBroken, InputUnreadable
        """
        self.input = source
        self._delimiter = _DELIMITERS[kind]
        names, self._header_bytes = _header(source, self._delimiter)
        self.schema = told_apart(pa.schema([(name, pa.string()) for name in names]))
        self._names: list[str] = self.schema.names

    def row_ranges(self, names: Sequence[str]) -> Iterator[RowRange]:
        yield RowRange(0, lambda batch_size: self._read(names))

    def _read(self, names: Sequence[str]) -> RecordBatches:
        reader, row = self.input.open_stream(), 0
        try:
            records = Records(reader, self.input, self._delimiter, _BLOCK_BYTES, _MOST_ROW_BYTES)
            records.skip(self._header_bytes)
            for block in records.blocks():
                for batch in self._parsed(block, names, row):
                    row += len(batch)
                    yield batch
        finally:
            reader.close()

    def _parsed(self, block: U8, names: Sequence[str], row: int) -> list[pa.RecordBatch]:
        """Return the rows of a block, of which the first one is number `row`."""
        if len(self._names) > 1 and not block[0] > ord("\r") and not block.tobytes().strip(b"\r\n"):
            return []
        if block[:3].tobytes() == _BOM:  # pyarrow takes one off the front, and it is the row's
            block = np.concatenate([block[:3], block])
        try:
            table = pa_csv.read_csv(
                pa.BufferReader(pa.py_buffer(block)),
                pa_csv.ReadOptions(
                    use_threads=False, block_size=len(block) + 1, column_names=self._names
                ),
                pa_csv.ParseOptions(
                    delimiter=self._delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=len(self._names) > 1,
                ),
                pa_csv.ConvertOptions(
                    check_utf8=False,
                    default_column_type=pa.binary(),
                    strings_can_be_null=False,
                    include_columns=list(names),
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._unfit(row, error) from None
        columns = [column.combine_chunks().view(pa.string()) for column in table.columns]
        return [pa.RecordBatch.from_arrays(columns, list(names))]

    def _unfit(self, row: int, error: Exception) -> InputBroken:
        found = _UNFIT.search(str(error))  # a handler for such rows fails where one is no UTF-8
        if found is None:
            return InputBroken(
                f"`{self.input.name}` near row {row}: {first_line(error)}",
                hint="it is no sound CSV: write it again",
            )
        number, wanted, got = map(int, found.groups())
        return InputBroken(
            f"`{self.input.name}` at row {row + number - 1}: {got} fields, and the header has"
            f" {wanted}",
            hint="rows count from 0 after the header; a value that holds"
            f" {self._delimiter!r} or a line end must be in quotes",
        )

    def stop(self) -> None:
        """Do nothing: a reader that waits for a pipe is left to it."""

    def close(self) -> None:
        """Do nothing: nothing stays open."""


def whole_rows(text: bytes, kind: str) -> bytes:
    """Return the rows of the front of an input that are there as a whole."""
    text = text.removeprefix(_BOM)
    try:
        return text[: row_end(np.frombuffer(text, np.uint8), ord(_DELIMITERS[kind]), False)]
    except (Unended, BadQuote):
        return b""


def _header(source: Input, delimiter: str) -> tuple[list[str], int]:
    """Return the names in the first row, and its bytes with all that lies before it."""
    for text, is_all in fronts(source, MOST_HEADER_BYTES):
        start = len(_BOM) if text.startswith(_BOM) else 0
        fault = "it is cut short"
        try:
            row, used = _first_row(text[start:], delimiter)
            if is_all or start + used < len(text):
                return _checked_names(source, row), start + used
        except csv.Error as error:
            fault = first_line(error)
    raise SchemaMismatch(
        f"the header row of `{source.name}` cannot be read: {fault}, within {human(len(text))}",
        hint="the first row must hold the names of the columns; check its quotes",
    )


def _first_row(text: bytes, delimiter: str) -> tuple[list[str], int]:
    """Return the fields of the first row that is no empty line, and the bytes to its end."""
    used = 0

    def lines() -> Iterator[str]:
        nonlocal used
        for line in io.StringIO(text.decode("utf-8", "surrogateescape"), newline=""):
            used += len(line.encode("utf-8", "surrogateescape"))
            yield line

    rows = csv.reader(lines(), delimiter=delimiter, strict=True)
    return next(filter(None, rows), []), used


def _checked_names(source: Input, names: list[str]) -> list[str]:
    hint = "the first row must hold a name for every column"
    if not names:
        raise SchemaMismatch(f"`{source.name}` has no header row", hint=hint)
    for number, name in enumerate(names, 1):
        try:
            name.encode()
        except UnicodeEncodeError:
            raise NotUtf8(
                f"`{source.name}`: name {number} of the header row is no UTF-8",
                hint="convert the file to UTF-8",
            ) from None
        if not name:
            raise SchemaMismatch(
                f"`{source.name}`: column {number} of {len(names)} has no name", hint=hint
            )
    return names
