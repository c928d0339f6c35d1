"""`dbshuf verify`: what it prints, and how it exits."""

import gzip
import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import DBSHUF
from paths import HELPERS

from dbshuf.errors import VerifyFailed
from dbshuf.units import parse_bytes


@pytest.fixture
def shuffled(cli, corpus):
    """A corpus in two files, and three shards of its long lines."""
    corpus("in/a.txt", b"".join(b"line %d\n" % n for n in range(1000)))
    corpus("in/b.gz", gzip.compress(b"".join(b"%d\n" % n for n in range(1000))))
    options = ("--where", "bytes > 4")
    ran = cli("shuffle", "in", "-o", "out", "--shards", 3, "--seed", 7, *options)
    assert ran.code == 0, ran.err
    return options


def test_a_run_that_finds_nothing_says_so_in_one_line(cli, shuffled):
    ran = cli("verify", "in", "out", *shuffled, "--seed", 7)
    assert (ran.code, ran.out) == (0, b"")
    assert "the same 1,000 rows in inputs and outputs, in the order of the seed" in ran.err
    assert ran.err.count("\n") == 1
    assert cli("verify", "in", "out", *shuffled, "-q").err == ""


def test_what_a_run_wrote_is_as_its_manifest_says_until_a_bit_is_another_one(cli, shuffled, home):
    """The seed in the manifest is that of the order."""
    ran = cli("verify", "out")
    assert ran.code == 0
    assert "3 files as `out/_manifest.json` has them" in ran.err
    ran = cli("verify", "in", "out", *shuffled, "--order")
    assert ran.code == 0
    assert "in the order of the seed" in ran.err
    shard = home / "out" / "part-00002-of-00003.txt"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    ran = cli("verify", "out", "--json")
    assert ran.code == VerifyFailed.exit_code
    assert [one["file"] for one in json.loads(ran.out)["problems"]] == [shard.name]
    assert f"`{shard.name}` has the SHA-256" in ran.err


def test_a_run_that_finds_something_says_where_and_shows_no_rows(cli, shuffled, home):
    shard = home / "out" / "part-00001-of-00003.txt"
    first, *others = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(b"".join(others) + b"more\x1b[31m\n")
    ran = cli("verify", "in", "out", *shuffled)
    assert ran.code == VerifyFailed.exit_code
    assert "1 row is missing and 1 row is added, of 1,000" in ran.err
    assert "missing: `in/a.txt` at byte" in ran.err
    assert f"added: `out/{shard.name}` at byte {sum(map(len, others))}\n" in ran.err
    assert first.decode().strip() not in ran.err
    assert "more" not in ran.err
    ran = cli("verify", "in", "out", *shuffled, "--show-rows", "--json")
    assert ran.code == VerifyFailed.exit_code
    assert f": {first.decode()}" in ran.err
    assert "more\\x1b[31m" in ran.err
    found = json.loads(ran.out)
    assert (found["same"], found["missing"], found["added"]) == (False, 1, 1)
    assert found["first_missing"][0]["row"] == first.decode().strip()
    assert found["first_added"][0]["file"] == f"out/{shard.name}"


def test_standard_input_can_be_compared_but_not_read_again(cli, shuffled, corpus):
    corpus("out.txt", b"b\na\n")
    assert cli("verify", "-", "out.txt", stdin=b"a\nb\n").code == 0
    ran = cli("verify", "-", "out.txt", stdin=b"a\nc\n")
    assert ran.code == VerifyFailed.exit_code
    assert "write it to a file to be told which rows differ" in ran.err


def test_what_makes_no_sense_is_told_before_any_work(cli, shuffled):
    for arguments, said in (
        ((), "nothing is named"),
        (("out", "--where", "true"), "--where is for rows, and no inputs are named"),
        (("out", "--header", "1"), "--header is for rows, and no inputs are named"),
        (("out", "--from", "csv"), "--from is for rows, and no inputs are named"),
        (("out", "--exclude", "x"), "--exclude is for rows, and no inputs are named"),
        (("out", "--schema", "union"), "--schema is for rows, and no inputs are named"),
        (("in", "in", "--order"), "no _manifest.json"),
        (("in", "out", "--sample", "7"), "--sample `7` is no share"),
        (("https://host/out/",), "does not tell which files there are"),
        (("in",), "has no _manifest.json and no SHA256SUMS"),
    ):
        ran = cli("verify", *arguments)
        assert ran.code not in (0, 1, VerifyFailed.exit_code), arguments
        assert said in ran.err
        assert "hint: " in ran.err


@pytest.mark.fresh
@pytest.mark.parametrize(
    ("cap", "by"),
    [("300MB", DBSHUF), ("260MB", (sys.executable, str(HELPERS / "threads_apart.py")))],
)
def test_memory_stays_under_the_cap_where_every_row_differs(home, measured, cap, by):
    """The differences of 1.2 million rows take 190 MB, and wait on disk."""
    numbers = pa.array(range(600_000), pa.int64())
    pq.write_table(pa.table({"n": numbers}), home / "in.parquet")
    pq.write_table(pa.table({"n": pa.array(range(600_000, 1_200_000))}), home / "out.parquet")
    ran = measured("verify", "in.parquet", "out.parquet", "--memory", cap, "-q", by=by)
    assert ran.code == VerifyFailed.exit_code, ran.err
    assert "600,000 rows are missing and 600,000 rows are added" in ran.err
    assert ran.peak_rss_bytes < parse_bytes(cap)


@pytest.mark.fresh
def test_memory_stays_under_the_cap_where_rows_are_lists_of_small_numbers(home, measured):
    """A value of a byte has a hash of 16, and a batch has millions of them."""
    values = np.arange(30_000_000, dtype=np.uint8)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.view(np.int8)), 10_000)
    table = pa.table({"v": lists.cast(pa.list_(pa.int8()))})
    pq.write_table(table, home / "in.parquet", row_group_size=500)
    pq.write_table(table.slice(1), home / "out.parquet", row_group_size=500)
    ran = measured("verify", "in.parquet", "out.parquet", "--memory", "260MB", "-q")
    assert ran.code == VerifyFailed.exit_code, ran.err
    assert "1 row is missing and 0 rows are added" in ran.err
    assert ran.peak_rss_bytes < 260_000_000
