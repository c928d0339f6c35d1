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
    assert not loaded(*arguments, code=code) & {"duckdb", "pyarrow", "numpy", "rich"}


@pytest.mark.parametrize("more", [[], ["--where", "bytes > 3"], ["--format", "parquet"]])
def test_pandas_is_not_loaded_by_a_run(more, tmp_path):
    """Pyarrow imports it where it can, and no plan has counted its 30 MB."""
    pytest.importorskip("pandas")
    (tmp_path / "in").write_bytes(b"one\ntwo\n")
    names = loaded("shuffle", tmp_path / "in", "-o", tmp_path / "out", *more)
    assert "pyarrow" in names
    assert "pandas" not in names


@pytest.mark.parametrize("strategy", ["memory", "partition", "spill"])
def test_every_strategy_orders_with_duckdb(strategy, tmp_path):
    """It is what puts rows in order."""
    pq.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "in.parquet")
    line = [tmp_path / "in.parquet", "-o", tmp_path / "out.parquet", "--strategy", strategy]
    assert "duckdb" in loaded("shuffle", *line)
