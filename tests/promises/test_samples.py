"""Samples are exact parts of the one order, by every engine and in any memory."""

import collections
import gzip
import json
import math
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from in_process import ENGINES, GROUPED_LINES, shuffler

import dbshuf
from dbshuf.cli.summary import summary
from dbshuf.errors import QueryInvalid, UsageError

DATA = GROUPED_LINES
ROWS = reference.keyed([DATA], "42")
LINES = [line for _, line in ROWS]
GROUP = "split_part(line, ' ', 2)"
PLACES = {line: DATA.index(b"\n" + line) + 1 for line in LINES if not line.startswith(b"0 ")}
COUNTS = collections.Counter(line.split()[1] for line in LINES)


@pytest.fixture
def run(home):
    """Shuffle a.txt with seed 42 and return the lines that are written."""
    return shuffler(home, DATA)


def in_order(lines):
    """Some lines, each once, in the order of all."""
    some = set(lines)
    return [line for line in LINES if line in some]


def below(share):
    """The lines of a sample by the definition: keys below that share of 2^64."""
    return [line for key, line in ROWS if key < share * 2**64]


def test_pages_are_the_first_rows_of_the_full_order_by_every_engine(run):
    """Two pages are what one of both would be; what is there is given, and said."""
    for options in ENGINES:
        assert run(take=50, **options) == LINES[:50]
        assert run(take=25, skip=30, **options) == LINES[30:55]
    assert run(skip=5990) == LINES[5990:]
    assert run(take=100, skip=5990) == LINES[5990:]
    assert run(take=0) == []


def test_lines_that_get_longer_than_they_seemed_are_read_again_for_the_first_rows(run, home):
    """The front alone is looked at, and lets a run guess that many times as many rows follow."""
    data = b"".join(b"%d\n" % i for i in range(12_000)) + (b"x" * 999 + b"\n") * 900
    (home / "a.txt").write_bytes(data)
    first = [line for _, line in reference.keyed([data], "42")[:12_000]]
    stages = []
    told = mock.Mock(stage=lambda name, _size: stages.append(name))
    for options in ({"strategy": "partition"}, {"strategy": "spill"}, {"engine": "sqlite"}):
        assert run(take=11_990, skip=10, progress=told, **options) == first[10:]
    assert stages == ["read", "read", "write", "publish"] * 3
    assert run(take=3, progress=told) == first[:3]
    assert stages[12:] == ["read", "write", "publish"]


def test_a_sample_is_what_the_keys_say_and_a_larger_one_holds_it(run):
    """In the order of the whole, by every engine; with --where it is of what is left."""
    assert 0 < len(below(0.01)) < len(below(0.02))
    for options in ENGINES:
        assert run(sample="1%", **options) == below(0.01)
    assert run(sample=0.02) == below(0.02)
    assert run(sample="100%") == LINES
    kept = [line for line in below(0.3) if b"g1" in line]
    assert run(sample="30%", where="line like '%g1%'") == kept
    assert run(sample="30%", take=20, where="line like '%g1%'") == kept[:20]


def test_samples_come_out_of_pipes_packed_files_tables_stores_and_sql(run, home):
    """Whatever gives the rows, they are dropped by their keys."""
    (home / "a.txt.gz").write_bytes(gzip.compress(DATA))
    assert run(inputs=["a.txt.gz"], take=40) == LINES[:40]
    assert run(take=40, sql="select id, line from lines") == LINES[:40]
    dbshuf.ingest(home / "a.duckdb", [home / "a.txt"])
    dbshuf.export(home / "a.duckdb", home / "out.txt", seed=42, take=40, skip=2)
    assert (home / "out.txt").read_bytes().splitlines(keepends=True) == LINES[2:42]
    with dbshuf.stream([home / "a.txt"], seed=42, take=40, number="n", skip=3) as reader:
        table = reader.read_all()
    assert [line.encode() + b"\n" for line in table["line"].to_pylist()] == LINES[3:43]
    assert table["n"].to_pylist() == list(range(3, 43))


def test_the_result_says_how_many_rows_there_were(run, home):
    """A sample that is smaller than asked for is no error, and no secret."""
    result = dbshuf.shuffle([home / "a.txt"], home / "out.txt", seed=42, take=7000)
    assert (result.rows, result.seen_rows, result.asked_rows) == (6000, 6000, 7000)
    assert "6,000 of 6,000 lines (7,000 were asked for), " in summary(result)
    result = dbshuf.shuffle([home / "a.txt"], home / "out.txt", seed=42, take=10, skip=10)
    assert (result.rows, result.seen_rows) == (10, 6000)
    assert "10 of 6,000 lines, " in summary(result)
    result = dbshuf.shuffle([home / "a.txt"], home / "out.txt", seed=42)
    assert result.seen_rows is None
    assert "dbshuf: 6,000 lines, " in summary(result)


def test_shards_of_a_sample_are_parts_of_the_sample(run, home):
    """Not one full shard and empty ones; they read back as the sample."""
    for name, options in (("s", {"sample": "10%"}), ("t", {"take": 400})):
        run(name, shards=4, **options)
        parts = [
            one.read_bytes().splitlines(keepends=True)
            for one in sorted(home.glob(f"{name}/part-*"))
        ]
        assert [line for part in parts for line in part] == run(**options)
        assert min(map(len, parts)) > 0.6 * max(map(len, parts))
    assert len(parts[0]) == 100


def test_so_many_rows_of_each_value_are_taken_and_stand_anywhere(run):
    """All of a value that has fewer; common values do not come before rare ones."""
    lines = run(take=100, per=GROUP)
    found = collections.Counter(line.split()[1] for line in lines)
    assert found == {group: min(count, 100) for group, count in COUNTS.items()}
    assert lines == in_order(lines)
    for options in ENGINES[1:]:
        assert run(take=100, per=GROUP, **options) == lines
    # One value of 5,500 rows, and 500 of one row: ranks of 300 and 500 rows, by Mann-Whitney.
    lines = run(take=300, per="case when position < 47000 then 'common' else line end")
    is_common = np.array([PLACES[line] < 47000 for line in lines])
    rare = int((~is_common).sum())
    assert is_common.sum() == 300
    assert rare > 300
    mean, spread = 300 * (len(lines) + 1) / 2, math.sqrt(300 * rare * (len(lines) + 1) / 12)
    assert abs((np.flatnonzero(is_common) + 1).sum() - mean) < 3.5 * spread


def test_strata_have_their_share_to_the_row(run):
    """Rounded to the nearest, a half up; a larger share holds a smaller one."""
    lines = run(sample="5%", stratify=GROUP)
    found = collections.Counter(line.split()[1] for line in lines)
    assert found == {group: int(count * 0.05 + 0.5) for group, count in COUNTS.items()}
    assert lines == in_order(lines)
    more = run(sample="10%", stratify=GROUP, strategy="partition", threads=1)
    assert set(lines) < set(more)


def test_every_split_has_the_same_share_of_each_value(run, home):
    """Less than a row away from it; a row stays in its split whatever the seed."""
    homes = []
    for seed in ("42", "7"):
        dbshuf.shuffle(
            [home / "a.txt"], home / "o.txt", seed=seed, split="a=0.7,b=0.2,c=0.1", stratify=GROUP
        )
        parts = {name: (home / f"o.{name}.txt").read_bytes().splitlines() for name in "abc"}
        assert sorted(line for part in parts.values() for line in part) == sorted(DATA.splitlines())
        for (name, lines), share in zip(parts.items(), (0.7, 0.2, 0.1), strict=True):
            found = collections.Counter(line.split()[1] for line in lines)
            assert all(abs(found[group] - share * count) <= 1 for group, count in COUNTS.items()), (
                name
            )
        homes.append({line: name for name, lines in parts.items() for line in lines})
    assert homes[0] == homes[1]


def test_draws_are_as_many_as_asked_for_and_each_row_is_equally_likely(run):
    """Chi-square of the rows, and of rows by their places, at a fixed seed."""
    draws = run(with_replacement=60_000)
    counts = collections.Counter(draws)
    assert len(draws) == 60_000
    assert set(draws) <= set(LINES)
    chi = sum((counts[line] - 10) ** 2 / 10 for line in LINES)
    assert abs(chi - 5999) < 3.1 * math.sqrt(2 * 5999)
    numbers = {line: number for number, line in enumerate(LINES)}
    rows = [numbers[line] for line in draws]
    cells = np.histogram2d(rows, range(60_000), bins=[20, 20])[0]  # of row and place: no trend
    assert abs(((cells - 150) ** 2 / 150).sum() - 380) < 3.1 * math.sqrt(2 * 380)
    for options in ENGINES[1:]:
        assert run(with_replacement=60_000, **options) == draws
    assert run(with_replacement=5) != run(with_replacement=5, seed="43")


def test_numbers_are_the_places_in_the_order_over_shards_and_splits(run, home):
    """From 0, and from what was skipped; splits are told apart by the rows as they were."""
    run("n.parquet", number="place", take=100, skip=20)
    table = pq.read_table(home / "n.parquet")
    assert table["place"].to_pylist() == list(range(20, 120))
    assert table.schema.field("place").type == pa.int64()
    assert table["line"].to_pylist() == [line.decode()[:-1] for line in LINES[20:120]]
    run("n", number="n", shard_rows=2500, format="jsonl")
    rows = [
        json.loads(line)
        for one in sorted(home.glob("n/part-*"))
        for line in one.read_text().splitlines()
    ]
    assert [row["n"] for row in rows] == list(range(6000))
    assert dbshuf.verify_files(home / "n")  # as the manifest has them
    options = {"number": "n", "split": "a=0.5,b=0.5", "split_by": "bytes % 7"}
    dbshuf.shuffle([home / "a.txt"], home / "o.csv", seed=42, **options)
    found = []
    for name in "ab":
        rows = (home / f"o.{name}.csv").read_text().splitlines()[1:]
        found += [(int(row.rpartition(",")[2]), row.rpartition(",")[0]) for row in rows]
    assert [n for n, _ in sorted(found)] == list(range(6000))
    assert [line.encode() + b"\n" for _, line in sorted(found)] == LINES


def test_typed_rows_are_sampled_like_lines(home):
    """JSON lines as they came, and Parquet with its types."""
    table = pa.table({"n": range(5000), "g": [f"g{i % 7}" for i in range(5000)]})
    pq.write_table(table, home / "in.parquet")
    told = {"seed": 1, "memory": "2GB"}
    dbshuf.shuffle([home / "in.parquet"], home / "all.parquet", **told)
    whole = pq.read_table(home / "all.parquet")
    dbshuf.shuffle([home / "in.parquet"], home / "o.parquet", take=30, skip=4, number="i", **told)
    assert pq.read_table(home / "o.parquet").drop(["i"]).equals(whole.slice(4, 30))
    dbshuf.shuffle([home / "in.parquet"], home / "o.parquet", sample="2%", stratify="g", **told)
    assert set(
        pq.read_table(home / "o.parquet")["g"].value_counts().field("counts").to_pylist()
    ) == {14}
    dbshuf.shuffle([home / "in.parquet"], home / "o.parquet", with_replacement=9000, **told)
    assert set(pq.read_table(home / "o.parquet")["n"].to_pylist()) < set(range(5000))
    (home / "in.jsonl").write_text("".join(f'{{"a": {i}, "b":  {i % 3}}}\n' for i in range(900)))
    dbshuf.shuffle(
        [home / "in.jsonl"], home / "o.jsonl", input_format="json", take=5, per="b", **told
    )
    rows = [json.loads(line) for line in (home / "o.jsonl").read_text().splitlines()]
    assert collections.Counter(row["b"] for row in rows) == {0: 5, 1: 5, 2: 5}


REFUSED = [
    ({"sample": "0"}, "is no share above 0"),
    ({"sample": "101%"}, "is no share above 0"),
    ({"sample": "1e-999"}, "is no share above 0"),
    ({"sample": "some"}, "as in --sample 1%"),
    ({"take": -1}, "--take -1 must be at least 0"),
    ({"per": "line"}, "add --take N"),
    ({"take": 1, "per": "line", "skip": 2}, "--skip counts rows of the one order"),
    ({"take": 1, "per": "line", "stratify": "line"}, "--per takes as many rows of each value"),
    ({"stratify": "line"}, "--stratify is for --sample and --split"),
    ({"sample": 0.5, "stratify": "line", "take": 1}, "use --take N --per EXPR"),
    (
        {"split": "a=1", "stratify": "line", "split_by": "line"},
        "--split-by keeps rows of one value",
    ),
    ({"with_replacement": 3, "take": 3}, "--with-replacement draws from all rows"),
    ({"with_replacement": 3, "sample": "1%"}, "--where says which rows"),
    ({"with_replacement": 3, "split": "a=1"}, "split first, and draw from a split"),
    ({"with_replacement": 3, "where": "false"}, "there are no rows to draw from"),
    ({"number": "n"}, "--number adds a column, and text has none"),
    ({"number": "line", "format": "csv"}, "the rows have a column `line` already"),
    ({"number": "", "format": "csv"}, "the name is empty"),
    ({"sample": "1%", "stratify": "line_number"}, "line_number is not known"),
    ({"sample": "1%", "stratify": "nothing"}, "--stratify: "),
    ({"skip": 5, "shards": 3}, "use --shard-rows"),
    ({"take": 5, "work_dir": "w"}, "--work-dir keeps the order of all rows"),
    ({"number": "n", "format": "csv", "work_dir": "w"}, "--number counts from the first row"),
    ({"take": 5, "engine": "spark", "shards": 2}, "take a share with --sample"),
    ({"take": 5, "engine": "spark", "per": "bytes"}, "leave out --engine"),
    ({"number": "n", "engine": "spark", "shards": 2, "format": "csv"}, "--number counts the rows"),
    ({"take": "x"}, "--take `x` is no whole number"),
    ({"epochs": 1.5}, "--epochs `1.5` is no whole number"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=lambda one: str(one)[:60])
def test_what_means_nothing_is_refused_with_a_sentence(options, words, run, home):
    """And nothing is written."""
    with pytest.raises((UsageError, QueryInvalid)) as caught:
        run("x/" if "shards" in options else "x.txt", **options)
    assert words in f"{caught.value.message}\n{caught.value.hint}"
    assert [one.name for one in home.iterdir()] == ["a.txt"]


def test_the_plan_says_what_a_sample_does(cli, home):
    (home / "a.txt").write_bytes(DATA)
    for options, words in (
        (("--take", 10, "--skip", 5), "10 rows of the order after 5"),
        (("--sample", "2%"), "0.02 of all rows, each by its key"),
        (("--with-replacement", 9), "9 draws from all rows, with replacement"),
        (("--take", 3, "--per", "bytes"), "3 rows of each value of bytes"),
    ):
        ran = cli("plan", "a.txt", *options)
        assert f"sample:       {words}" in ran.out.decode(), ran.err
    found = json.loads(cli("plan", "a.txt", "--take", 3, "--json").out)
    assert found["sample"]["take"] == 3
    assert found["output"]["needed_bytes"] < 1000
