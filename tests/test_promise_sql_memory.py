"""Memory with SQL in the way: the peak RSS of the process stays at or under --memory."""

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
ROWS = 4_500_000  # 0.66 GB: more than the small cap
DEDUP_ROWS, REPEATED_ROWS = 6_000_000, 1_200_000  # 0.88 GB of unique lines, 1.06 GB with repeats
TABLE_ROWS = 600_000


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
    """0.66 GB at 512 MB: chunks in the hands of the engine are counted too."""
    where = "bytes > 20 and line not like '%~%'"
    line = (numbered(ROWS), "-o", "out.txt", "--where", where, "--strategy", strategy)
    capped(CAP_BYTES, *line)
    reference.check_numbered(home / "out.txt", ROWS, WIDTH, "42")


def test_columns_made_of_lines_stay_under_the_cap(numbered, capped, home):
    """0.66 GB at 512 MB to Parquet: what --select makes is wider than what came in."""
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


def test_an_exact_dedup_of_a_gigabyte_stays_under_the_cap(numbered, capped, home):
    """1.06 GB at 1 GB, of which 0.88 GB are unique: the engine's state alone is as large."""
    (home / "dedup.sql").write_text("select line, min(id) as id from lines group by line\n")
    inputs = numbered(DEDUP_ROWS), numbered(REPEATED_ROWS)
    capped(LARGE_CAP_BYTES, *inputs, "--sql", "dedup.sql", "-o", "out.txt")
    reference.check_numbered(home / "out.txt", DEDUP_ROWS, WIDTH, "42")


def test_a_table_of_parquet_stays_under_the_cap(capped, home):
    """0.6 GB of values at 512 MB, from Parquet to Parquet, filtered on the way."""
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
