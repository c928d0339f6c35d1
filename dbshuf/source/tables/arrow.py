"""Arrow IPC, which Feather version 2 is: files and streams, plain, compressed or piped.

A plain file is mapped into memory, so that a batch of any size is read as it is handed
out; the pages are given back as it goes on. Whatever comes front to back is read batch by
batch, and a batch of it must fit in memory.
"""

import contextlib
import mmap
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

import pyarrow as pa

from dbshuf.base.column_names import told_apart
from dbshuf.errors import LineTooLong
from dbshuf.source.byte_reader import ByteReader
from dbshuf.source.head import fronts
from dbshuf.source.input import Input, check_unchanged, mapped_file, unreadable
from dbshuf.source.read_sums import ReadSums
from dbshuf.source.schema.plain import narrowest, own_slice, plain_schema
from dbshuf.source.schema.written import DICTIONARY_BYTES, DICTIONARY_VALUES
from dbshuf.source.tables.arrow_messages import unpacked_bytes
from dbshuf.source.tables.interface import BatchSize, RecordBatches, RowRange, read_error
from dbshuf.units import MIB, human

_FILE_MAGIC = b"ARROW1\0\0"
_END_BYTES = 10  # of the file form: the length of the footer, and the magic without its padding
_GOES_ON = "it goes on behind the end of its stream, and several streams are not read as one"
_MOST_SCHEMA_BYTES = 64 * MIB
_MAPPED_BYTES = 16 * MIB  # of a mapped file, after which its pages are given back
_SUMMED_BYTES = MIB  # of batches at a time, or one
_MOST_BATCH_BYTES = 1 << 30  # of an input that is read front to back


class IpcInput:
    """One Arrow IPC input; see interface.TableInput."""

    is_steady = True

    def __init__(self, source: Input) -> None:
        """Read the schema. Raises InputBroken, InputUnreadable."""
        self.input = source
        self.rows: int | None = None
        self.least_bytes = 0
        try:
            if source.is_mappable:
                schema, self.rows = _look(source)
            else:
                schema = _piped_schema(source)
            self.schema = told_apart(schema)
        except Exception as error:
            raise read_error(source, error, "Arrow IPC data") from None

    def row_ranges(self, names: Sequence[str]) -> Iterator[RowRange]:
        fields = [i for i, field in enumerate(self.schema) if field.name in names]
        read = self._mapped if self.input.is_mappable else self._streamed
        yield RowRange(0, lambda batch_size: read(fields, batch_size), holds=self._holds)

    def _holds(self) -> dict[str, int]:
        """Return what a column of the first batch takes on average, where it is decompressed."""
        if not self.input.is_mappable:
            return {}
        size = _unpacked_bytes(mapped_file(self.input)) or 0
        return dict.fromkeys(self.schema.names, size // len(self.schema)) if size else {}

    def _mapped(self, fields: Sequence[int], batch_size: BatchSize) -> RecordBatches:
        mapped, given_bytes = mapped_file(self.input), 0
        batches = _batches(mapped, fields)
        if self.input.sums is not None and len(fields) == len(self.schema):
            batches = self._summed(self.input.sums, mapped, batches)
        try:
            for batch in _checked(batches):
                for piece in _slices(batch, batch_size):
                    yield self._named(piece, fields)
                    check_unchanged(self.input)  # pages beyond a new end would end the process
                    given_bytes += piece.nbytes  # its structure is known to be sound by now
                    if given_bytes >= _MAPPED_BYTES:
                        given_bytes = 0
                        mapped.madvise(mmap.MADV_DONTNEED)
        finally:
            if batch_size.is_look:
                mapped.madvise(mmap.MADV_DONTNEED)

    def _summed(
        self, sums: ReadSums, mapped: mmap.mmap, batches: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """Have the bytes of batches, and those before them, summed before they are taken."""
        for begin, end, count in _stretches(mapped):
            sums.add_read(self.input.ordinal, self.input.name, [(begin, end)])
            yield from islice(batches, count)

    def _streamed(self, fields: Sequence[int], batch_size: BatchSize) -> RecordBatches:
        reader = self.input.open_stream()
        try:
            file = _File(reader, self.input)
            batches = pa.ipc.open_stream(pa.PythonFile(file, mode="r"), options=_options(fields))
            for batch in _checked(batches):
                for piece in _slices(batch, batch_size):
                    yield self._named(piece, fields)
            file.check_end()
        finally:
            reader.close()

    def _named(self, batch: pa.RecordBatch, fields: Sequence[int]) -> pa.RecordBatch:
        """Return rows, all columns or some, with the names that they have here."""
        is_all = batch.num_columns == len(self.schema)
        names = self.schema.names
        return batch.rename_columns(names if is_all else [names[place] for place in fields])

    def stop(self) -> None:
        """Do nothing: a reader that waits for a pipe is left to it."""

    def close(self) -> None:
        """Do nothing: nothing stays open."""


class _File:
    """What pyarrow reads from: an input front to back, the magic of the file form left out."""

    closed = False

    def __init__(self, reader: ByteReader, source: Input) -> None:
        self._reader, self._source = reader, source
        head = self._take(len(_FILE_MAGIC))
        self._is_file = head == _FILE_MAGIC
        self._head = b"" if self._is_file else head

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        if size > _MOST_BATCH_BYTES:
            raise LineTooLong(
                f"`{self._source.name}` holds a record batch of {human(size)}; one that comes from"
                f" a pipe or a compressed file may have {human(_MOST_BATCH_BYTES)}",
                hint="write it as a plain file, or with smaller batches",
            )
        head, self._head = self._head[:size], self._head[size:]
        return head + self._take(size - len(head)) if head else self._take(size)

    def check_end(self) -> None:
        """Raise pa.ArrowInvalid unless the input ends where its stream does.

        The file form goes on with a footer, its length and the magic again: without it the
        input is cut short, behind a batch maybe.
        """
        size, end = len(self._head), self._head
        while more := self._take(MIB):
            size, end = size + len(more), (end + more)[-_END_BYTES:]
        if not self._is_file and size:
            raise pa.ArrowInvalid(_GOES_ON)
        length = int.from_bytes(end[:4], "little")
        is_whole = end[4:] == _FILE_MAGIC[:6] and length == size - _END_BYTES
        if self._is_file and not is_whole:
            raise pa.ArrowInvalid("it does not end with the footer of its batches")

    def _take(self, size: int) -> bytes:
        buffer = bytearray(size)
        try:
            count = self._reader.readinto(memoryview(buffer))
        except OSError as error:
            raise unreadable(self._source.name, error) from error
        return bytes(buffer) if count == size else bytes(buffer[:count])

    def close(self) -> None:
        """Leave the input to whoever opened it."""


def _checked(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pass batches on whose sizes are sound; each dictionary is checked in full, once."""
    checked: dict[int, pa.Array] = {}  # kept, so that its memory is not used again
    for batch in batches:
        batch.validate()  # sizes only; the values are looked at piece by piece
        for place, column in enumerate(batch.columns):
            if pa.types.is_dictionary(column.type):
                found, last = column.dictionary, checked.get(place)
                if last is None or _places(found) != _places(last):
                    found.validate(full=True)
                    checked[place] = found
        yield batch


def _places(array: pa.Array) -> list[int]:
    """Return where the values of an array lie, and how many there are."""
    return [len(array), *(part.address if part else 0 for part in array.buffers())]


def _slices(batch: pa.RecordBatch, batch_size: BatchSize) -> RecordBatches:
    """Yield a batch in small pieces."""
    begin = 0
    while begin < len(batch):
        piece = batch.slice(begin, batch_size.rows)
        begin += len(piece)
        if len(piece) < len(batch):
            columns = [own_slice(column) for column in piece.columns]
            piece = pa.RecordBatch.from_arrays(columns, schema=batch.schema)
        yield piece


@lru_cache(maxsize=4096)
def _look(source: Input) -> tuple[pa.Schema, int]:
    """Return the schema of a plain file and the number of its rows."""
    mapped = mapped_file(source)
    if mapped[: len(_FILE_MAGIC)] == _FILE_MAGIC:
        reader = pa.ipc.open_file(pa.py_buffer(mapped))
        return _with_plain(reader.schema, mapped), int(reader.count_rows())
    schema = pa.ipc.open_stream(pa.py_buffer(mapped)).schema
    plain_schema(told_apart(schema), source.name)  # of other types no batch can be looked at
    rows = sum(map(len, _batches(mapped, [narrowest(schema)] if len(schema) else [])))
    return _with_plain(schema, mapped), rows


def _with_plain(schema: pa.Schema, mapped: mmap.mmap) -> pa.Schema:
    """Return a schema with plain values where a dictionary is too large to be written as one."""
    places = [place for place, kind in enumerate(schema.types) if pa.types.is_dictionary(kind)]
    batch = next(_batches(mapped, places), None) if places else None
    if batch is None:
        return schema
    for number, place in enumerate(places):
        column = batch.column(place if batch.num_columns == len(schema) else number)
        values = column.dictionary
        size = values.get_total_buffer_size()
        if len(values) > DICTIONARY_VALUES or size > DICTIONARY_BYTES:
            plain = schema.field(place).with_type(values.type)
            schema = schema.set(place, plain)
    return schema


def _piped_schema(source: Input) -> pa.Schema:
    """Return the schema of what can only be read front to back, from its first bytes."""
    for text, _ in fronts(source, _MOST_SCHEMA_BYTES):
        fault: Exception | None = None
        try:
            return pa.ipc.open_stream(text.removeprefix(_FILE_MAGIC)).schema
        except (pa.ArrowException, OSError) as error:
            fault = error
    assert fault is not None, "there is always a front"
    raise fault


def _batches(mapped: mmap.mmap, fields: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Yield all batches of a mapped file; they lie in it unless they are compressed.

    fields  the top-level columns to decompress; those that lie in the file cost nothing
    """
    is_compressed = _unpacked_bytes(mapped) is not None
    return _opened(pa.py_buffer(mapped), fields if is_compressed else [])


def _unpacked_bytes(mapped: mmap.mmap) -> int | None:
    """Return what the first batch takes decompressed; None if there is none that is compressed."""
    for message, _ in _messages(mapped):
        if message.type == "record batch":
            return unpacked_bytes(message)
    return None


def _stretches(mapped: mmap.mmap) -> Iterator[tuple[int, int, int]]:
    """Yield where the batches of a mapped file begin and end, and how many they are.

    Several at a time where they are small. They follow each other as they were written; the last
    stretch goes to the end of the file, and has all that are left.
    """
    begin = count = 0
    for message, end in _messages(mapped):
        count += message.type == "record batch"
        if count and end - begin >= _SUMMED_BYTES:
            yield begin, end, count
            begin, count = end, 0
    yield begin, len(mapped), sys.maxsize


def _messages(mapped: mmap.mmap) -> Iterator[tuple[pa.ipc.Message, int]]:
    """Yield the messages of a mapped file, each with its end."""
    reader = pa.BufferReader(pa.py_buffer(mapped))
    if mapped[: len(_FILE_MAGIC)] == _FILE_MAGIC:
        reader.seek(len(_FILE_MAGIC))
    with contextlib.suppress(EOFError, pa.ArrowException):  # the end, and then maybe a footer
        while True:
            message = pa.ipc.read_message(reader)
            yield message, reader.tell()


def _opened(buffer: pa.Buffer, fields: Sequence[int]) -> Iterator[pa.RecordBatch]:
    if buffer.slice(0, len(_FILE_MAGIC)).to_pybytes() == _FILE_MAGIC:
        reader = pa.ipc.open_file(buffer, options=_options(fields))
        yield from map(reader.get_batch, range(reader.num_record_batches))
    else:
        stream = pa.BufferReader(buffer)
        yield from pa.ipc.open_stream(stream, options=_options(fields))
        if stream.tell() < buffer.size:
            raise pa.ArrowInvalid(_GOES_ON)


def _options(fields: Sequence[int]) -> pa.ipc.IpcReadOptions:
    """Return how to read the top-level columns with these places; none stands for all.

    A choice makes pyarrow copy what it reads, also out of memory.
    """
    return pa.ipc.IpcReadOptions(use_threads=False, included_fields=list(fields))
