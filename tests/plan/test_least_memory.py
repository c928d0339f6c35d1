"""The least --memory that an error names is enough for all that a command plans."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COMMANDS = {
    "verify": ("verify", "in.parquet", "in.parquet", "--seed", "1"),
    "report": ("report", "in.parquet", "in.parquet", "-o", "report.html"),
}


@pytest.fixture
def rows(home):
    """Columns that take more to be read than a line does."""
    columns = {f"c{number}": [f"{row * number:08}" for row in range(500)] for number in range(60)}
    pq.write_table(pa.table({**columns, "c0": range(500)}), home / "in.parquet")


@pytest.mark.fresh  # what a process begins with counts
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_named_first_is_enough(command, rows, cli):
    """Nobody tries twice; what a comparison looks at last may need the most."""
    refused = cli(*COMMANDS[command], "--memory", "20MB")
    assert refused.code == 11, refused.err
    named = re.findall(r"\d+(?:MB|MiB|[GT]B)", refused.err)
    assert named, refused.err
    assert {one.lstrip("0123456789") for one in named} == {"MB"}
    assert cli(*COMMANDS[command], "--memory", named[-1]).code != 11
