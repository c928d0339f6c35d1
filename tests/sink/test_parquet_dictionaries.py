"""Dictionaries of Parquet files: for values that repeat, and for no others."""

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sink_windows import row_windows_of, target_of, write_all

from dbshuf.sink.formats.parquet_dictionaries import without_dictionary

ROWS = 150_000


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Columns of values that differ, that repeat, and that were repeated when they came."""
    rng = np.random.default_rng(7)
    short, many = rng.integers(0, 40_000, ROWS), rng.integers(0, 2**50, ROWS)
    return pa.table(
        {
            "id": pa.array(many),
            "url": [f"https://example.org/{number:x}" for number in many],
            "lang": pa.array([("de", "en", "fr")[number % 3] for number in many]),
            "n": pa.array(many % 1_000, pa.int32()),
            "often": [f"one of forty thousand, {number}" for number in short],
            "code": pa.array([("x", "y")[number % 2] for number in many]).dictionary_encode(),
            "flag": pa.array(many % 2 == 0),
            "none": pa.nulls(ROWS, pa.string()),
            "tags": pa.array([[int(number)] for number in many]),
        }
    )


def in_pieces(table: pa.Table, rows: int = 7_000) -> pa.Table:
    batches = table.combine_chunks().to_batches(max_chunksize=rows)
    return pa.Table.from_batches([pa.concat_batches([batch]) for batch in batches])


def test_a_dictionary_that_would_be_given_up_is_not_begun(table):
    """It would be 1 MiB of the file, in front of values that are written in full."""
    assert without_dictionary(in_pieces(table)) == {"id", "url", "often"}


@pytest.mark.parametrize("rows", [1, 1_023, 1_024, 20_000])
def test_values_that_are_in_few_rows_need_none(rows, table):
    """Where all differ, it is the values once more, and a number for each."""
    found = without_dictionary(
        in_pieces(table.slice(0, rows).select(["id", "url", "lang", "none"]))
    )
    assert found == ({"id", "url"} if rows >= 1_024 else set())


def test_files_are_smaller_for_it_and_hold_the_same(tmp_path, table):
    path, plain = tmp_path / "out.parquet", tmp_path / "plain.parquet"
    batch = table.drop_columns("code").combine_chunks().to_batches()[0]
    write_all(target_of(path, "parquet", schema=batch.schema), row_windows_of(batch, [10, 70_001]))
    pq.write_table(pa.table(batch), plain, compression="zstd", compression_level=1)
    assert pq.read_table(path).equals(pa.table(batch))
    assert path.stat().st_size < 0.95 * plain.stat().st_size
    chunks = duckdb.sql(f"select path_in_schema, encodings from parquet_metadata('{path}')")
    has_dictionary = {name: "DICTIONARY" in encodings for name, encodings in chunks.fetchall()}
    assert {name for name, has in has_dictionary.items() if has} >= {"lang", "n"}
    assert not {name for name, has in has_dictionary.items() if has} & {"id", "url", "often"}
