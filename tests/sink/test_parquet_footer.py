"""Row groups that were made apart are the file that pyarrow makes of them in one go."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typed_rows import many_rows

from dbshuf.sink.formats.parquet_footer import MAGIC, Footer


def taken_apart(data: bytes) -> tuple[bytes, bytes]:
    """Return the pages and the footer of a Parquet file."""
    size = int.from_bytes(data[-8:-4], "little")
    assert data[:4] == data[-4:] == MAGIC
    return data[4 : -8 - size], data[-8 - size : -8]


def made(schema: pa.Schema, groups: list[pa.Table], **options: object) -> bytes:
    file = io.BytesIO()
    with pq.ParquetWriter(file, schema, **options) as writer:
        for group in groups:
            writer.write_table(group)
    return file.getvalue()


def joined(schema: pa.Schema, groups: list[pa.Table], **options: object) -> bytes:
    footer, pages = Footer(taken_apart(made(schema, [], **options))[1]), b""
    for group in groups:
        own_pages, own_footer = taken_apart(made(schema, [group], **options))
        footer.add(own_footer, len(pages))
        pages += own_pages
    return MAGIC + pages + footer.to_bytes()


def wide(rows: int) -> pa.Table:
    """Return more columns than a short list of Thrift has, some of them nested."""
    columns = {f"c{n}": pa.array([n * row for row in range(rows)]) for n in range(40)}
    columns["pairs"] = pa.array([[{"a": row, "b": [True, None]}] for row in range(rows)])
    columns["none"] = pa.nulls(rows)
    return pa.table(columns).replace_schema_metadata({"own": "words"})


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd"},
        {"compression": "none", "use_dictionary": False, "write_statistics": False},
        {"write_page_checksum": True, "store_schema": False, "version": "1.0"},
    ],
    ids=str,
)
def test_the_file_is_the_one_that_pyarrow_makes(options):
    """Byte for byte: pages, statistics, offsets, metadata."""
    for whole, rows in ((wide(60), 3), (pa.Table.from_batches([many_rows(5_000)]), 1_100)):
        groups = [whole.slice(at, rows) for at in range(0, len(whole), rows)]
        assert joined(whole.schema, groups, **options) == made(whole.schema, groups, **options)


def test_a_file_without_groups_and_one_without_rows():
    schema = pa.schema([("a", pa.string())])
    assert joined(schema, []) == made(schema, [])
    assert pq.read_table(io.BytesIO(joined(schema, []))).schema == schema


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(st.lists(st.lists(st.none() | st.text(max_size=5), min_size=1, max_size=4), max_size=40))
def test_any_values_come_back(groups):
    """With statistics of any bytes, and more groups than a short list has."""
    schema = pa.schema([("a", pa.string())])
    tables = [pa.table({"a": pa.array(values, pa.string())}) for values in groups]
    data = joined(schema, tables)
    assert data == made(schema, tables)
    read = pq.read_table(io.BytesIO(data))["a"].to_pylist()
    assert read == [value for values in groups for value in values]
