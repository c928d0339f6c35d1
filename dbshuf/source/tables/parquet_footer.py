"""The footer of a Parquet file, as far as pyarrow does not look at it, or dies of it.

The output's footer is put together in sink/formats/parquet_footer.py; the numbers of fields
that both need stand in both.

FileMetaData  2 schema, 4 row_groups, 8 encryption_algorithm
RowGroup      1 columns
ColumnChunk   3 meta_data, 8 crypto_metadata, 9 encrypted_column_metadata
ColumnMetaData  5 num_values, 6 total_uncompressed_size, 7 total_compressed_size,
                9 data_page_offset, 11 dictionary_page_offset, 12 statistics
Statistics    3 null_count, 5 max_value, 6 min_value; 1 and 2, whose order is not said, are
                left alone
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dbshuf.base.parquet_types import notes_of, tree
from dbshuf.base.thrift import Reader
from dbshuf.errors import InputBroken, InputUnreadable

_MAGIC, _ENCRYPTED_MAGIC = b"PAR1", b"PARE"
_END_BYTES = 8  # the length of the footer, and the magic
_SIGNATURE_BYTES = 28  # behind a plain footer of a file with encrypted columns
_SCHEMA, _ROW_GROUPS, _ALGORITHM = 2, 4, 8
_GROUP_COLUMNS = 1
_CHUNK_META, _ENCRYPTED = 3, (8, 9)
_VALUES, _PLAIN_BYTES, _PACKED_BYTES, _DATA_PAGE, _DICTIONARY_PAGE, _STATISTICS = 5, 6, 7, 9, 11, 12
_NULLS, _MOST, _LEAST = 3, 5, 6


class SeekableFile(Protocol):
    """A file or an object, read from several places."""

    def read(self, size: int = -1, /) -> bytes: ...
    def seek(self, place: int, whence: int = 0, /) -> int: ...


def read_footer(name: str, file: SeekableFile) -> bytes:
    """Return the footer of a Parquet file.

    name    as messages show it
    Raises  InputUnreadable where it is encrypted, InputBroken where there is none, OSError
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _END_BYTES, 0))
    end = file.read(_END_BYTES)
    length = int.from_bytes(end[:4], "little")
    if end[4:] == _ENCRYPTED_MAGIC:
        raise _encrypted(name, "its footer")
    if end[4:] != _MAGIC or length + _END_BYTES > size:
        raise InputBroken(
            f"`{name}` is no sound Parquet file: it does not end with a footer",
            hint="it is cut short, or something else: fetch it or write it again",
        )
    file.seek(size - _END_BYTES - length)
    return file.read(length)


def check_plain(name: str, footer: bytes, seen_bytes: int) -> None:
    """Raise InputUnreadable if columns are encrypted: pyarrow ends the process at a look.

    seen_bytes  of the footer that pyarrow took for its own: all, unless it is signed
    """
    if len(footer) - seen_bytes != _SIGNATURE_BYTES:
        return
    whole = Reader(footer).struct()
    if _ALGORITHM not in whole:
        return
    for group in whole[_ROW_GROUPS][1][1]:
        for number, chunk in enumerate(group[_GROUP_COLUMNS][1][1]):
            if any(key in chunk for key in _ENCRYPTED):
                raise _encrypted(name, f"column {number}")


def _encrypted(name: str, what: str) -> InputUnreadable:
    return InputUnreadable(
        f"`{name}`: {what} is encrypted", hint="write it again without encryption, and shuffle that"
    )


def notes(footer: bytes) -> list[bytes]:
    """Return what the schema says of each column, as base/parquet_types.py keeps it."""
    head = Reader(footer).struct(before=_SCHEMA + 1)
    return [notes_of(column) for column in tree(head[_SCHEMA][1][1]).children]


@dataclass(frozen=True)
class Chunk:
    """A column of a row group.

    plain_bytes  of all its pages, decompressed
    place        the bytes of the file that it lies in: begin and end
    least, most  of its values, or beyond them, as they are written; None: unknown
    is_null      whether it says that there is nothing but null
    """

    plain_bytes: int
    place: tuple[int, int]
    least: bytes | None = None
    most: bytes | None = None
    is_null: bool = False


def chunks(footer: bytes) -> list[list[Chunk]]:
    """Return the columns of each row group."""
    groups = Reader(footer).struct()[_ROW_GROUPS][1][1]
    return [
        [_chunk(column[_CHUNK_META][1]) for column in group[_GROUP_COLUMNS][1][1]]
        for group in groups
    ]


def _chunk(said: Mapping[int, Any]) -> Chunk:
    first = said[_DATA_PAGE][1]
    dictionary = said[_DICTIONARY_PAGE][1] if _DICTIONARY_PAGE in said else 0
    if 0 < dictionary < first:
        first = dictionary
    known = said[_STATISTICS][1] if _STATISTICS in said else {}
    nulls = known[_NULLS][1] if _NULLS in known else -1
    return Chunk(
        said[_PLAIN_BYTES][1],
        (first, first + said[_PACKED_BYTES][1]),
        known[_LEAST][1] if _LEAST in known else None,
        known[_MOST][1] if _MOST in known else None,
        is_null=nulls == said[_VALUES][1],
    )
