"""Memory with SQL in the way: the peak RSS of the process stays at or under --memory."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference

CAP_BYTES, LARGE_CAP_BYTES = 512_000_000, 1_000_000_000
WIDTH = 147
ROWS = 2_800_000  # 0.41 GB: more than the small cap leaves for rows
DEDUP_ROWS, REPEATED_ROWS = 2_300_000, 500_000  # 0.34 GB of unique lines, 0.41 GB with repeats
TABLE_ROWS = 400_000


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Path]]:
    """Make each corpus once, delete all at the end of this file."""
    top = tmp_path_factory.mktemp("corpora")

    def make(rows: int) -> Path:
        path = top / f"{rows}.txt"
        return path if path.exists() else reference.write_numbered(path, rows, WIDTH)

    yield make
    shutil.rmtree(top)


@pytest.fixture
def capped(measured) -> Callable[..., None]:
    """Shuffle under a cap with seed 42 on two threads; it must work and stay under it."""

    def run(cap_bytes: int, *args: object) -> None:
        options = ("--memory", f"{cap_bytes}B", "--seed", "42", "--threads", 2)
        ran = measured("shuffle", *args, *options)
        assert ran.code == 0, ran.err
        assert ran.peak_rss_bytes <= cap_bytes

    return run


@pytest.mark.parametrize("strategy", ["auto", "spill"])
def test_a_filter_that_keeps_every_line_stays_under_the_cap(strategy, numbered, capped, home):
    """0.41 GB at 512 MB: chunks in the hands of the engine are counted too."""
    where = "bytes > 20 and line not like '%~%'"
    line = (numbered(ROWS), "-o", "out.txt", "--where", where, "--strategy", strategy)
    capped(CAP_BYTES, *line)
    reference.check_numbered(home / "out.txt", ROWS, WIDTH, "42")


def test_columns_made_of_lines_stay_under_the_cap(numbered, capped, home):
    """0.41 GB at 512 MB to Parquet: what --select makes is wider than what came in."""
    select = "line, upper(substr(line, 11, 100)) as u, position"
    line = (numbered(ROWS), "-o", "out.parquet", "--select", select, "--row-group-bytes", "16MB")
    capped(CAP_BYTES, *line)
    order = reference.keys_of(np.arange(ROWS) * WIDTH, "42").argsort()
    file, first = pq.ParquetFile(home / "out.parquet"), 0
    for batch in file.iter_batches(columns=["position"]):
        got = batch["position"].to_numpy()
        assert (got == order[first : first + len(got)] * WIDTH).all()
        first += len(got)
    assert first == ROWS


def test_an_exact_dedup_of_more_than_the_cap_stays_under_the_cap(numbered, capped, home):
    """0.41 GB at 512 MB, of which 0.34 GB are unique: the engine's state alone is as large."""
    (home / "dedup.sql").write_text("select line, min(id) as id from lines group by line\n")
    inputs = numbered(DEDUP_ROWS), numbered(REPEATED_ROWS)
    capped(CAP_BYTES, *inputs, "--sql", "dedup.sql", "-o", "out.txt")
    reference.check_numbered(home / "out.txt", DEDUP_ROWS, WIDTH, "42")


def test_a_table_of_parquet_stays_under_the_cap(capped, home):
    """0.40 GB of values at 512 MB, from Parquet to Parquet, filtered on the way."""
    block = np.random.default_rng(1).integers(97, 123, (TABLE_ROWS, 100), dtype=np.uint8)
    text = (
        pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(100), TABLE_ROWS, [None, pa.py_buffer(block)]
        )
        .cast(pa.binary())
        .cast(pa.string())
    )
    schema = pa.schema({"n": pa.int64(), **{f"t{i}": pa.string() for i in range(10)}})
    with pq.ParquetWriter(home / "in.parquet", schema) as writer:
        for first in range(0, TABLE_ROWS, 50_000):
            part = text.slice(first, 50_000)
            numbers = pa.array(range(first, first + 50_000))
            writer.write_table(pa.table([numbers, *[part] * 10], schema))
    del block, text
    capped(CAP_BYTES, "in.parquet", "-o", "out.parquet", "--where", "n >= 0 and t0 <> ''")
    order = reference.keys_of(np.arange(TABLE_ROWS), "42").argsort()
    assert (pq.read_table(home / "out.parquet", columns=["n"])["n"].to_numpy() == order).all()


def letters(rows: int, width: int) -> pa.Array:
    """Rows of random letters, all of one length."""
    block = np.random.default_rng(rows).integers(97, 123, (rows, width), dtype=np.uint8)
    values = [None, pa.py_buffer(np.arange(rows + 1, dtype=np.int32) * np.int32(width))]
    return pa.Array.from_buffers(pa.string(), rows, [*values, pa.py_buffer(block)])


def write_long_rows(path: Path) -> int:
    """Write rows of 20 kB; pyarrow's pages of them have 20 MB."""
    pq.write_table(pa.table({"t": letters(15_000, 20_000)}), path, compression="zstd")
    return 15_000


def write_sorted_rows(path: Path) -> int:
    """Write 400,000 rows of 100 bytes and then 12,000 of 20 kB, in one row group."""
    rows = pa.chunked_array([letters(400_000, 100), letters(12_000, 20_000)])
    pq.write_table(pa.table({"t": rows}), path, row_group_size=500_000, use_dictionary=False)
    return 412_000


def write_many_columns(path: Path) -> int:
    """Write 80 columns of doubles, for each of which a reader holds pages of 1 MB."""
    random = np.random.default_rng(1)
    pq.write_table(pa.table({f"c{i}": random.random(200_000) for i in range(80)}), path)
    return 200_000


@pytest.mark.parametrize(
    ("write", "output", "more"),
    [
        (write_long_rows, "out.txt", 1),
        (write_long_rows, "out.parquet", 1.5),
        (write_sorted_rows, "out.txt", 1.5),
        (write_sorted_rows, "out.jsonl", 1),
        (write_many_columns, "out.parquet", 1),
        (write_many_columns, "out.csv", 1.5),
    ],
)
def test_the_smallest_cap_for_a_table_is_enough_and_half_as_much_again_too(
    write, output, more, *, measured, smallest, home
):
    """And what is said to be enough is taken."""
    rows = write(home / "in.parquet")
    line = ("shuffle", "in.parquet", "-o", output, "--seed", "42", "--threads", 2, "--force")
    least = int(smallest(*line).removesuffix("MB")) + 8  # the base of a run varies
    for cap in sorted({least, int(least * more)}):
        ran = measured(*line, "--memory", f"{cap}MB")
        assert ran.code == 0, ran.err
        assert ran.peak_rss_bytes <= cap * 10**6
        assert f"{rows:,} rows" in ran.err
    (home / output).unlink()


def test_long_rows_of_json_and_columns_made_of_long_lines_fit_under_a_large_cap(capped, home):
    """More memory means larger chunks, whose results did not fit in what SQL has."""
    lines = letters(10_000, 20_000).to_pylist()
    objects = [f'{{"t":"{line}"}}' for line in lines]
    (home / "in.txt").write_text("\n".join(lines) + "\n")
    (home / "in.jsonl").write_text("\n".join(objects) + "\n")
    capped(LARGE_CAP_BYTES, "in.jsonl", "--from", "json", "-o", "out.jsonl")
    assert sorted((home / "out.jsonl").read_text().splitlines()) == sorted(objects)
    capped(LARGE_CAP_BYTES, "in.txt", "--select", "upper(line)", "-o", "out.txt")
    upper = sorted(line.upper() for line in lines)
    assert sorted((home / "out.txt").read_text().splitlines()) == upper


TEXT = '{"t":"' + "x" * 20_000_000 + '"}'
DIGITS = '{"t":[' + "1," * 10_000_000 + "1]}"  # of which SQL makes 39 times as much
FROM_JSON = ("--from", "json")


@pytest.mark.parametrize(
    ("row", "options", "strategy"),
    [
        (TEXT, (*FROM_JSON, "--where", "t is not null"), "memory"),
        (TEXT, (*FROM_JSON, "--select", "t"), "partition"),
        (TEXT, (*FROM_JSON, "--select", "t"), "spill"),
        (TEXT, ("--where", "upper(line) <> ''", "--format", "txt"), "partition"),
        (TEXT, ("--select", "replace(line, 'y', 'z')", "--format", "txt"), "memory"),
        (TEXT, ("--select", "replace(line, 'y', 'z')", "--format", "txt"), "spill"),
        (DIGITS, FROM_JSON, "memory"),
        (DIGITS, FROM_JSON, "partition"),
        (DIGITS, FROM_JSON, "spill"),
    ],
)
def test_one_row_of_20_mb_may_take_what_the_cap_has_left(row, options, strategy, measured, home):
    """Among short ones, with every strategy and every kind of SQL."""
    rows = ['{"t":null}', row, '{"t":null}']
    (home / "in.jsonl").write_text("\n".join(rows) + "\n")
    line = ("shuffle", "in.jsonl", "-o", "out.jsonl", *options)
    line = (*line, "--strategy", strategy, "--threads", 2)
    ran = measured(*line, "--memory", "2GB")
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes <= 2_000_000_000
    got = (home / "out.jsonl").read_text().splitlines()
    assert sorted(got) == sorted(rows if len(got) == 3 else [row])


def test_a_row_that_does_not_fit_is_told_the_cap_that_does(measured, home):
    """And at that cap it fits."""
    mixed = DIGITS.replace("]", ",null]")  # an array of numbers alone is left out before SQL
    (home / "in.jsonl").write_text(mixed + "\n")
    line = ("shuffle", "in.jsonl", *FROM_JSON, "-o", "out.parquet", "--threads", 2)
    ran = measured(*line, "--memory", "700MB")
    assert ran.code == 20, ran.err
    assert "`in.jsonl` at byte 0" in ran.err
    cap = int(re.search(r"--memory (\d+)MB would do", ran.err)[1])
    ran = measured(*line, "--memory", f"{cap}MB")
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes <= cap * 10**6


@pytest.mark.parametrize(
    ("width", "caps"), [(1_000, [600]), (10_000, []), (43_000, [600]), (200_000, [])]
)
def test_rows_that_are_much_wider_than_their_lines_stay_under_the_cap(
    width, caps, measured, smallest, home
):
    """The smallest cap is enough, and more is kept too: DuckDB makes 2,048 rows at once."""
    count = min(300_000_000 // width, 30_000)
    reference.write_numbered(home / "in.txt", count, 100)
    query = f"select id, repeat(line, {width // 100}) as line from lines where position >= 300"
    (home / "wide.sql").write_text(query + "\n")
    line = ("shuffle", "in.txt", "--sql", "wide.sql", "-o", "out.txt", "--seed", "42", "--force")
    least = int(smallest(*line).removesuffix("MB")) + 8  # the base of a run varies
    for cap in (least, *caps):
        ran = measured(*line, "--threads", 2, "--memory", f"{cap}MB")
        assert ran.code == 0, ran.err
        assert ran.peak_rss_bytes <= cap * 10**6
        assert f"{count - 3:,} rows" in ran.err
    (home / "out.txt").unlink()


def test_a_select_with_too_wide_rows_is_told_the_cap_that_does(measured, home):
    """Where DuckDB makes them of groups, nobody can have it make fewer at a time."""
    reference.write_numbered(home / "in.txt", 3000, 100)
    query = "select min(id) as id, repeat(line, 430) as line from lines group by line"
    (home / "wide.sql").write_text(query + "\n")
    line = ("shuffle", "in.txt", "--sql", "wide.sql", "-o", "out.txt", "--threads", 2)
    ran = measured(*line, "--memory", "520MB")
    assert ran.code == 20, ran.err
    assert ran.peak_rss_bytes <= 520_000_000
    cap = int(re.search(r"--memory (\d+)MB would do", ran.err)[1])
    ran = measured(*line, "--memory", f"{cap}MB")
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes <= cap * 10**6


def test_one_row_of_40_mb_goes_into_a_store_and_a_larger_one_is_told_its_cap(measured, home):
    """As in a shuffle: it may take what the cap has left."""
    for size, name in ((40_000_000, "fits.jsonl"), (300_000_000, "large.jsonl")):
        (home / name).write_text('{"t":null}\n{"t":"' + "x" * size + '"}\n{"t":null}\n')
    ran = measured("ingest", "rows.db", "fits.jsonl", *FROM_JSON, "--memory", "2GB")
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes <= 2_000_000_000
    assert "3 rows" in ran.err
    ran = measured("ingest", "other.db", "large.jsonl", *FROM_JSON, "--memory", "1GB")
    assert ran.code in (9, 20), ran.err
    assert ran.peak_rss_bytes <= 1_000_000_000
    assert re.search(r"--memory \d+MB", ran.err), ran.err
