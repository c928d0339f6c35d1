"""Intervals in a store: they come back as they were, or are refused."""

from pathlib import Path

import pyarrow as pa
import pytest

import dbshuf
from dbshuf.errors import RowUnfit

MEMORY = "3GB"


def intervals(path: Path, values: list[object]) -> pa.Table:
    table = pa.table({"n": range(len(values)), "i": pa.array(values, pa.month_day_nano_interval())})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    return table


def exported(store: Path, out: Path) -> pa.Table:
    dbshuf.export(store, out, seed=1, memory=MEMORY)
    with pa.ipc.open_file(out) as file:
        return file.read_all().sort_by("n")


@pytest.mark.parametrize("store", ["s.duckdb", "s.sqlite"])
def test_intervals_of_microseconds_come_back(tmp_path, store):
    values = [(1, 2, 3000), None, (-1, 0, -5_000), (0, 0, 2_562_046 * 3600 * 10**9)]
    table = intervals(tmp_path / "in.arrow", values)
    dbshuf.ingest(tmp_path / store, tmp_path / "in.arrow", memory=MEMORY)
    assert exported(tmp_path / store, tmp_path / "out.arrow") == table


def test_nanoseconds_are_kept_by_sqlite_and_refused_by_duckdb(tmp_path):
    """DuckDB would cut them off without a word."""
    table = intervals(tmp_path / "in.arrow", [(0, 0, 1000), (0, 0, -1), None])
    dbshuf.ingest(tmp_path / "s.sqlite", tmp_path / "in.arrow", memory=MEMORY)
    assert exported(tmp_path / "s.sqlite", tmp_path / "out.arrow") == table
    with pytest.raises(RowUnfit, match=r"row 1 of .*in.arrow`: an interval in column `i` has nano"):
        dbshuf.ingest(tmp_path / "s.duckdb", tmp_path / "in.arrow", memory=MEMORY)
