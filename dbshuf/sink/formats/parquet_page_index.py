"""The page index of a Parquet file, joined from those of files of one row group each.

As in parquet.thrift: a ColumnIndex has the least and the greatest value of every page of a
column chunk, an OffsetIndex where these pages lie. Both wait until all pages are written, and
then lie side by side before the footer: a reader that takes the range from the first to the
last of them, as parquet-rs does, would read the whole file were they between the row groups.

    ColumnChunk   4 and 5 place and length of its OffsetIndex, 6 and 7 of its ColumnIndex
    OffsetIndex   1 page_locations
    PageLocation  1 offset, in the file
"""

from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from dbshuf.base.thrift import I32, I64, STRUCT, Reader, Struct, value_bytes
from dbshuf.sink.memory import PAGE_INDEX_BYTES
from dbshuf.sink.raw_file import ByteOutput
from dbshuf.units import MIB

_OFFSET_INDEX, _COLUMN_INDEX = (4, 5), (6, 7)  # fields of a chunk: place, length
_PAGE_LOCATIONS, _PAGE_OFFSET = 1, 1

_COPY_BYTES = MIB


class PageIndex:
    """The page index of a file that grows by row groups."""

    def __init__(self, folder: Path | None) -> None:
        """Begin an empty one; what is not held in memory waits in `folder`."""
        self._column_indexes = _waiting(folder)
        self._offset_indexes = _waiting(folder)

    @property
    def size_bytes(self) -> int:
        """How long it is by now."""
        return self._column_indexes.tell() + self._offset_indexes.tell()

    def add(self, chunks: list[Struct], encoded: memoryview, moved_bytes: int) -> None:
        """Take the index of the chunks of one row group.

        chunks       their places are changed: see `place`
        encoded      the index, from its first byte on
        moved_bytes  how much farther on their pages now lie
        """
        first = index_start(chunks)
        for chunk in chunks:
            for at, size in (_COLUMN_INDEX, _OFFSET_INDEX):
                if size not in chunk:
                    continue
                begin = chunk[at][1] - first
                index: bytes | memoryview = encoded[begin : begin + chunk[size][1]]
                waiting = self._column_indexes
                if at == _OFFSET_INDEX[0]:
                    waiting, index = self._offset_indexes, _moved(bytes(index), moved_bytes)
                chunk[at], chunk[size] = (I64, waiting.tell()), (I32, len(index))
                waiting.write(index)

    def place(self, chunk: Struct, first: int) -> None:
        """Say in a chunk where its index lies, if all of it begins at the byte `first`."""
        start = {_COLUMN_INDEX: first, _OFFSET_INDEX: first + self._column_indexes.tell()}
        for (at, size), begin in start.items():
            if size in chunk:
                chunk[at] = (I64, begin + chunk[at][1])

    def write(self, output: ByteOutput) -> None:
        for waiting in (self._column_indexes, self._offset_indexes):
            waiting.seek(0)
            while part := waiting.read(_COPY_BYTES):
                output.write(part)

    def close(self) -> None:
        self._column_indexes.close()
        self._offset_indexes.close()


def index_start(chunks: list[Struct]) -> int | None:
    """Return where the index of a row group begins in its file; None: there is none."""
    fields = (_COLUMN_INDEX, _OFFSET_INDEX)
    places = [chunk[at][1] for chunk in chunks for at, size in fields if size in chunk]
    return min(places, default=None)


def _waiting(folder: Path | None) -> IO[bytes]:
    """Return what holds a part: memory, and then a file without a name.

    Values of 4 kB, the longest that are kept, make 8 kB of index for a page of 1 MB, so that a
    file of 1 TB may have 8 GB of it; lines of 147 bytes make 300 MB.
    """
    return SpooledTemporaryFile(PAGE_INDEX_BYTES, dir=None if folder is None else str(folder))


def _moved(offset_index: bytes, moved_bytes: int) -> bytes:
    """Return an OffsetIndex of pages that now lie farther on."""
    if not moved_bytes:
        return offset_index
    fields = Reader(offset_index).struct()
    for page in fields[_PAGE_LOCATIONS][1][1]:
        page[_PAGE_OFFSET] = (I64, page[_PAGE_OFFSET][1] + moved_bytes)
    return value_bytes(STRUCT, fields)
