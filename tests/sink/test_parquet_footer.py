"""Row groups that were made apart are the file that pyarrow makes of them in one go."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typed_rows import many_rows

from dbshuf.sink.formats.parquet import taken_apart
from dbshuf.sink.formats.parquet_footer import MAGIC, Footer, chunks_of
from dbshuf.sink.formats.parquet_page_index import PageIndex


def made(schema: pa.Schema, groups: list[pa.Table], **options: object) -> bytes:
    file = io.BytesIO()
    with pq.ParquetWriter(file, schema, **options) as writer:
        for group in groups:
            writer.write_table(group)
    return file.getvalue()


def joined(schema: pa.Schema, groups: list[pa.Table], **options: object) -> bytes:
    footer = Footer(taken_apart([made(schema, [], **options)]).footer)
    index, pages = PageIndex(None), b""
    for group in groups:
        own = taken_apart([made(schema, [group], **options)])
        index.add(chunks_of(own.group), memoryview(own.index), len(pages))
        footer.add(own.group, len(pages))
        pages += b"".join(own.pages)
    end = io.BytesIO()
    index.write(end)
    data = MAGIC + pages + end.getvalue() + footer.to_bytes(index, len(MAGIC) + len(pages))
    index.close()
    return data


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
        {"write_page_index": True, "data_page_size": 500, "write_batch_size": 20},
        {"write_page_index": True, "write_statistics": ["c7"]},
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
