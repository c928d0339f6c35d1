"""The --memory that a refusal of a long line names: a plan with it has room for that line."""

import re

import pytest

from dbshuf.errors import MemoryTooSmall, StrategyUnfit
from dbshuf.options import Options
from dbshuf.plan.make_plan import make_plan
from dbshuf.plan.memory_needed import cap_for_line, cap_for_spare, roomier
from dbshuf.units import MIB

LINE_BYTES = 900_000_000
SQL = "select id, line from lines"


def planned(path, memory, **options):
    return make_plan(Options(inputs=(str(path),), memory=memory, **options))


def longest(plan):
    """Of this run, or of the one that takes its place where a line is too long."""
    other = roomier(plan)
    return max(plan.longest_line_bytes, 0 if other is None else other.longest_line_bytes)


HOW = [
    *({}, {"where": "bytes > 1"}, {"engine": "sqlite"}, {"sql": SQL}, {"compressed": True}),
    *({"spread": "bytes"}, {"with_replacement": 9}, {"sql": SQL, "spread": "line"}),
    *({"take": 1, "per": "bytes"}, {"group": "bytes"}),
]


@pytest.mark.parametrize("output", ["o.parquet", "o.jsonl", "o.txt"])
@pytest.mark.parametrize("how", HOW)
def test_the_cap_that_is_named_for_a_line_will_do(output, how, tmp_path, pack):
    """Also where row groups, threads and DuckDB take more as there is more."""
    how = dict(how)
    data = b"a line\n" * 1000
    source = tmp_path / "in.txt"
    source.write_bytes(pack("gzip", data) if how.pop("compressed", False) else data)
    options = how | {"output": str(tmp_path / output), "seed": "1"}
    plan = planned(source, "3GB", **options)
    if longest(plan) >= LINE_BYTES:
        return
    cap = f"{-(-cap_for_line(plan, LINE_BYTES) // MIB)}MiB"
    assert longest(planned(source, cap, **options)) >= LINE_BYTES


@pytest.mark.parametrize(
    ("cap", "how"),
    [
        ("640MiB", ["--spread", "bytes", "--strategy", "spill"]),
        ("300MiB", ["--take", "1", "--per", "bytes", "--engine", "sqlite"]),
        ("300MiB", ["--take", "1", "--per", "bytes"]),
    ],
)
def test_the_cap_that_is_named_where_an_order_has_only_a_part_of_it_will_do(cap, how, home, cli):
    """What is added is shared with another order, or with the values of strata.

    In a process of its own, as what it holds already counts too.
    """
    (home / "in.txt").write_bytes((b"a" * 5000 + b"\n") * 1000)
    line = ["plan", "in.txt", "-o", "o.txt", *how, "--memory"]
    refused = cli(*line, cap, fresh=True)
    assert refused.code in (MemoryTooSmall.exit_code, StrategyUnfit.exit_code)
    named = re.findall(r"\d+MB", refused.err.partition("hint: ")[2])[0]
    assert cli(*line, named, fresh=True).code == 0


def test_the_cap_that_is_named_for_a_row_of_sql_will_do(tmp_path):
    """What SQL makes of one row may be many times the row."""
    source = tmp_path / "in.txt"
    source.write_bytes(b"a line\n" * 1000)
    options = {"output": str(tmp_path / "o.parquet"), "where": "bytes > 1", "seed": "1"}
    plan = planned(source, "3GB", **options)
    needed = 2 * plan.layout.spare_bytes
    cap = f"{-(-cap_for_spare(plan, needed) // MIB)}MiB"
    assert planned(source, cap, **options).layout.spare_bytes >= needed
