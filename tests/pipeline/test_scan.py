"""What the order stage is fed with: the same rows, whichever way they come."""

import pyarrow.parquet as pq
import pytest

import dbshuf

WAYS = [
    {"where": "bytes >= 0"},
    {"select": "line"},
    {"sql": "select id, line from lines"},
    {"sql": "select a.id, b.line from lines a join lines b on a.id = b.id"},
    {"where": "line_number > 0"},
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """More than one buffer of any reader, a line longer than some of them, and a last end."""
    path = tmp_path_factory.mktemp("feed") / "in.txt"
    lines = [f"{n} {'x' * (n % 300)}" for n in range(60_000)]
    lines[30_000] = "y" * 6_000_000
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_sql_that_keeps_everything_changes_nothing(corpus, tmp_path, way):
    """Row by row, or through one query over files of several buffers: the bytes of a plain run."""
    plain = dbshuf.shuffle(corpus, tmp_path / "plain.txt", seed=1, memory="4GB")
    found = dbshuf.shuffle(corpus, tmp_path / "sql.txt", seed=1, memory="4GB", **way)
    assert found.rows == plain.rows == 60_000
    assert (tmp_path / "sql.txt").read_bytes() == (tmp_path / "plain.txt").read_bytes()


def test_sql_that_keeps_all_rows_of_a_table_changes_nothing(corpus, tmp_path):
    """Parquet in row groups, straight and through a query."""
    dbshuf.shuffle(corpus, tmp_path / "in.parquet", seed=2, memory="4GB")
    dbshuf.shuffle(tmp_path / "in.parquet", tmp_path / "plain.parquet", seed=1, memory="4GB")
    sql = "select id, line from lines"
    dbshuf.shuffle(tmp_path / "in.parquet", tmp_path / "sql.parquet", seed=1, memory="4GB", sql=sql)
    plain, found = (pq.read_table(tmp_path / name) for name in ("plain.parquet", "sql.parquet"))
    assert found.column("line").equals(plain.column("line"))


def test_a_limit_is_content_with_less_than_all_rows(corpus, tmp_path):
    """The check that everything was read is for queries that read everything."""
    sql = "select id, line from lines limit 10"
    assert dbshuf.shuffle(corpus, tmp_path / "o.txt", seed=1, memory="4GB", sql=sql).rows == 10
