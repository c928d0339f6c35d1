"""Parquet files that were made in parts say truly where pages are, and what is not in them."""

import io
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sink_windows import row_windows_of, target_of, write_all

from dbshuf.base.thrift import Reader, Struct
from dbshuf.errors import UsageError
from dbshuf.sink import check_schema, sink_memory_bytes
from dbshuf.sink.formats import parquet_page_index
from dbshuf.sink.memory import fitting_row_group_bytes
from dbshuf.units import GIB, KIB, MIB

ROWS = 60_000
NUMBERS = [(row * 48_271) % 1_000_003 for row in range(ROWS)]
TABLE = pa.table(
    {
        "number": pa.array(NUMBERS),
        "text": [f"{number} " + "x" * (number % 70) for number in NUMBERS],
        "lang": pa.array([("de", "en", "fr")[n % 3] for n in NUMBERS]).dictionary_encode(),
        "rare": pa.array([7 if row == 41_000 else row % 2 for row in range(ROWS)], pa.int32()),
        "tags": pa.array([[n % 7] * (n % 3) for n in NUMBERS]),
    }
).combine_chunks()
PLAIN = 0  # the encoding
BATCH = TABLE.to_batches()[0]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A file of several groups, some of the index beyond what waits in memory."""
    path = tmp_path_factory.mktemp("parquet") / "out.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_page_index, "PAGE_INDEX_BYTES", 500)
        target = target_of(
            path,
            "parquet",
            schema=BATCH.schema,
            row_group_bytes=600 * KIB,
            bloom=("number", "text"),
            temp_dir=path.parent,
        )
        write_all(target, row_windows_of(BATCH, range(0, ROWS, 7_000)))
    assert [file.name for file in path.parent.iterdir()] == ["out.parquet"]
    return path


def chunks(data: bytes) -> list[tuple[int, Struct]]:
    """Return every column chunk of a file, as its footer has it, and the rows of its group."""
    size = int.from_bytes(data[-8:-4], "little")
    groups = Reader(data[-8 - size : -8]).struct()[4][1][1]
    return [(group[3][1], chunk) for group in groups for chunk in group[1][1][1]]


def part(data: bytes, chunk: Struct, at: int) -> Struct:
    """Return the struct whose place and length are two fields of a chunk; it fills them."""
    begin, size = chunk[at][1], chunk[at + 1][1]
    reader = Reader(data[begin : begin + size])
    found = reader.struct()
    assert reader.at == size
    return found


def test_the_index_says_where_every_page_is(written):
    """Page after page, from the first of the chunk to its end, each with a header that fits."""
    data = written.read_bytes()
    found = chunks(data)
    assert len(found) >= 5 * len(TABLE.column_names)
    for rows, chunk in found:
        meta = chunk[3][1]
        pages = part(data, chunk, 4)[1][1][1]
        at = meta[9][1]
        for page in pages:
            assert page[1][1] == at
            header = Reader(data[at : at + 10_000])
            assert header.struct()[3][1] + header.at == page[2][1]
            at += page[2][1]
        assert at == meta.get(11, meta[9])[1] + meta[7][1]
        firsts = [page[3][1] for page in pages]
        assert firsts == sorted({0, *firsts})
        assert firsts[-1] < rows
        assert len(part(data, chunk, 6)[1][1][1]) == len(pages)  # of the ColumnIndex


def test_the_bounds_of_pages_hold_their_values(written):
    """The one row that has 7 is in a page whose index admits it, and in no other."""
    data, column = written.read_bytes(), TABLE.column_names.index("rare")
    numbers = [pair for pair in chunks(data) if pair[1][3][1][3][1][1] == [b"rare"]]
    admitting, first = [], 0
    for rows, chunk in numbers:
        index, places = part(data, chunk, 6), part(data, chunk, 4)[1][1][1]
        ends = [page[3][1] for page in places[1:]] + [rows]
        for page, end, most in zip(places, ends, index[3][1][1], strict=True):
            if int.from_bytes(most, "little") >= 7:
                admitting.append((first + page[3][1], first + end))
        first += rows
    [(begin, end)] = admitting
    assert begin <= 41_000 < end
    assert pq.ParquetFile(written).metadata.row_group(0).column(column).has_column_index


def test_a_filter_skips_row_groups_and_finds_its_rows(written):
    """By statistics, and by Bloom filters, which let every value through that there is."""
    groups = pq.ParquetFile(written).metadata.num_row_groups
    name, number = str(written), NUMBERS[33_333]
    with duckdb.connect() as con:
        probe = "SELECT count(*) FILTER (bloom_filter_excludes) FROM parquet_bloom_probe(?, ?, ?)"
        for column, value in (("number", number), ("text", TABLE["text"][33_333].as_py())):
            assert con.execute(probe, [name, column, value]).fetchall()[0][0] >= groups - 2
        absent = sum(
            con.execute(probe, [name, "number", -n]).fetchall()[0][0] for n in range(1, 21)
        )
        assert absent >= 19 * groups
        every = con.execute(
            f"SELECT count(*) FROM '{name}' WHERE number IN {tuple(NUMBERS[::600])}"
        ).fetchall()
        assert every == [(100,)]
        scanned = con.sql(f"EXPLAIN ANALYZE SELECT text FROM '{name}' WHERE rare = 7")
        assert f"Row Groups Scanned: 1 / {groups}" in scanned.fetchall()[0][1]
    assert pl.scan_parquet(written).filter(pl.col("rare") == 7).collect()["number"].to_list() == [
        NUMBERS[41_000]
    ]
    assert pq.read_table(written, filters=[("number", "==", number)])["number"].to_pylist() == [
        number
    ]


def test_what_a_file_says_of_itself(written):
    """Dictionaries stay, checksums and the order are noted, and nothing claims to be sorted."""
    file = pq.ParquetFile(written, page_checksum_verification=True)
    assert file.read().equals(TABLE.unify_dictionaries())
    assert pa.types.is_dictionary(file.schema_arrow.field("lang").type)
    assert file.metadata.row_group(0).sorting_columns == ()
    said = file.metadata.metadata
    assert (said[b"dbshuf.seed"], said[b"dbshuf.order_version"]) == (b"42", b"1")


def test_content_defined_chunks_meet_again_behind_rows_that_are_missing(tmp_path):
    """Pages behind a few rows that are left out are the same bytes."""

    def pages(rows: pa.RecordBatch, *, cdc: bool) -> set[bytes]:
        path = tmp_path / "cdc.parquet"
        schema = rows.schema
        write_all(target_of(path, "parquet", schema=schema, cdc=cdc), row_windows_of(rows))
        data = path.read_bytes()
        places = [page for _, chunk in chunks(data) for page in part(data, chunk, 4)[1][1][1]]
        found = [data[page[1][1] : page[1][1] + page[2][1]] for page in places]
        # Numbers in a dictionary of values that differ all are the same everywhere.
        return {page for page in found if Reader(page).struct()[5][1][2][1] == PLAIN}

    rows = BATCH.select(["text"])
    some = rows.slice(777)
    assert pages(rows, cdc=True) & pages(some, cdc=True)
    assert not pages(rows, cdc=False) & pages(some, cdc=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bloom": ("tags",)}, "--bloom `tags`: list"),
        ({"bloom": ("number", "nmbr")}, "--bloom `nmbr`: the output has no such column"),
        ({"bloom": ("line",), "schema": None, "format_": "csv"}, "--bloom is for Parquet"),
        ({"cdc": True, "format_": "arrow"}, "--cdc is for Parquet"),
    ],
)
def test_what_has_no_filter_is_refused_before_any_work(changes, said):
    plain = {"format_": "parquet", "schema": BATCH.schema}
    with pytest.raises(UsageError) as caught:
        check_schema(target_of(None, **(plain | changes)))
    assert caught.value.message.startswith(said)


def test_lines_have_one_column_to_filter(tmp_path):
    check_schema(target_of(None, "parquet", bloom=("line",)))
    with pytest.raises(UsageError, match="no such column"):
        check_schema(target_of(None, "parquet", bloom=("text",)))


def test_pyarrow_knows_filters_for_all_that_is_not_refused():
    """What check_schema lets pass does not fail after the rows are ordered."""
    kinds = [pa.int8(), pa.uint64(), pa.float16(), pa.large_string(), pa.binary(4), pa.date64()]
    kinds += [pa.decimal256(50, 2), pa.time64("ns"), pa.duration("us"), pa.string_view(), pa.null()]
    schema = pa.schema([(f"c{n}", kind) for n, kind in enumerate(kinds)])
    check_schema(target_of(None, "parquet", schema=schema, bloom=tuple(schema.names)))
    options = {name: {"ndv": 5, "fpp": 0.01} for name in schema.names}
    with pq.ParquetWriter(io.BytesIO(), schema, bloom_filter_options=options) as writer:
        writer.write_table(pa.table([pa.nulls(3, kind) for kind in kinds], schema=schema))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_row_groups_are_as_large_as_memory_allows(threads):
    """From 16 to 128 MiB, in a fifth of the memory, with no thread less for it."""
    sizes = []
    for memory in (256 * MIB, 800 * MIB, 2 * GIB, 4 * GIB, 16 * GIB):
        target = target_of(None, "parquet", threads=threads, memory_bytes=memory)
        sizes.append(fitting_row_group_bytes(target))
        small = sink_memory_bytes(target_of(None, "parquet", threads=threads, memory_bytes=memory))
        large = target_of(
            None, "parquet", threads=threads, memory_bytes=memory, row_group_bytes=sizes[-1]
        )
        assert sink_memory_bytes(large) <= small + memory // 5
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (16 * MIB, 128 * MIB)
    by_size = target_of(Path("x"), "parquet", memory_bytes=16 * GIB, shard_bytes=10**9)
    assert fitting_row_group_bytes(by_size) == 16 * MIB
