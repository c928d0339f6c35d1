"""What the command loads: engines only for the work that needs them."""

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SCRIPT = """
import sys
from dbshuf.cli import process
process.prepare()
from dbshuf.cli.entry import run_command
code = run_command()
print("loaded", *sys.modules)
sys.exit(code)
"""


def loaded(*arguments: object, code: int = 0) -> set[str]:
    """Run the command and return the modules that it has loaded at its end."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    first, *names = ended.stdout.splitlines()[-1].split()
    assert first == "loaded"
    return set(names)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["shuffle", "--help"], 0),
        (["plan", "-h"], 0),
        (["--version"], 0),
        (["shuffle", "--bogus"], 2),
        (["bogus"], 2),
    ],
)
def test_no_engine_and_no_decoration_loads_for_help_or_a_plain_error(arguments, code):
    assert not loaded(*arguments, code=code) & {
        "duckdb", "pyarrow", "numpy", "rich", "dbshuf.plan", "dbshuf.source", "dbshuf.sink"
    }  # fmt: skip


@pytest.mark.parametrize("more", [[], ["--where", "bytes > 3"], ["--format", "parquet"]])
def test_pandas_is_not_loaded_by_a_run(more, tmp_path):
    """Pyarrow imports it where it can, and no plan has counted its 30 MB."""
    pytest.importorskip("pandas")
    (tmp_path / "in").write_bytes(b"one\ntwo\n")
    names = loaded("shuffle", tmp_path / "in", "-o", tmp_path / "out", *more)
    assert "pyarrow" in names
    assert "pandas" not in names


# What some option, format or command asks for. Each of these was once loaded by every run, and
# what is resident before the rows come is not there for them.
_ASKED_FOR = {
    "typer", "pydantic", "rich",  # help, and a wrong command line
    "ssl", "http", "multiprocessing", "obstore", "botocore", "urllib.request",
    "dbshuf.api", "dbshuf.pipeline.stream", "dbshuf.pipeline.verify", "dbshuf.pipeline.ingest",
    "dbshuf.manifest.document", "dbshuf.pipeline.manifest", "dbshuf.base.row_notes",
    "dbshuf.base.row_checksum", "dbshuf.source.hashing", "dbshuf.base.versions",
    "dbshuf.pipeline.resume", "dbshuf.order.run_seals", "dbshuf.sink.sealed_output",
    "dbshuf.sink.shards", "dbshuf.sink.splits", "dbshuf.sink.remote_place",
    "dbshuf.pipeline.drawn", "dbshuf.order.sampled", "dbshuf.order.strata",
    "dbshuf.order.sort_prefix", "dbshuf.pipeline.epochs", "dbshuf.pipeline.sql_scan",
    "dbshuf.sink.epochs", "dbshuf.sink.partitions",
    "dbshuf.order.sqlite", "dbshuf.order.spill", "dbshuf.store", "dbshuf.pipeline.spark",
    "dbshuf.query.parse", "dbshuf.query.row_filter", "dbshuf.query.whole_statement",
    "dbshuf.query.json_scan", "dbshuf.query.json_texts", "dbshuf.source.tables.reader",
    "dbshuf.sink.formats.parquet", "dbshuf.sink.formats.csv", "dbshuf.reporting",
}  # fmt: skip


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["-o", "out.txt", "--seed", "7", "--memory", "1GB", "--threads", "2", "-q"],
        ["--strategy", "partition", "--temp-dir", ".", "--progress", "never"],
    ],
)
def test_a_run_of_lines_loads_what_it_needs_alone(more, tmp_path, monkeypatch):
    """Memory named for rows is not taken by code for what nobody asked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").write_bytes(b"one\ntwo\n")
    assert not loaded("shuffle", "in", *more) & _ASKED_FOR


@pytest.mark.parametrize("strategy", ["memory", "partition", "spill"])
def test_every_strategy_orders_with_duckdb(strategy, tmp_path):
    """It is what puts rows in order."""
    pq.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "in.parquet")
    line = [tmp_path / "in.parquet", "-o", tmp_path / "out.parquet", "--strategy", strategy]
    assert "duckdb" in loaded("shuffle", *line)
