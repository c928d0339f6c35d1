"""--weight: one weighted order, by every engine and in any memory, and what it refuses."""

import collections
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import ENGINES, shuffler

import dbshuf
from dbshuf.base.exponential import exponential_keys
from dbshuf.base.key import row_keys
from dbshuf.errors import QueryFailed, QueryInvalid, UsageError, VerifyFailed

WEIGHT = "split_part(line, ' ', 2)::double"
DATA = b"".join(b"%d %.2f\n" % (i, (i * i) % 31 / 4) for i in range(4000))


def weight_of(line):
    return float(line.split()[1])


@pytest.fixture(scope="module")
def lines():
    return reference.weighted([DATA], "42", weight_of)


@pytest.fixture
def run(home):
    """Shuffle a.txt with seed 42 by weight and return the lines that are written."""
    return shuffler(home, DATA, weight=WEIGHT)


def test_every_engine_gives_the_order_of_the_definition(run, lines):
    """By 50 digits; rows of weight 0 are last, by their keys; equal weights change nothing."""
    plain = [line for _, line in reference.keyed([DATA], "42")]
    zeros = [line for line in plain if weight_of(line) == 0]
    assert lines[-len(zeros) :] == zeros
    for options in ENGINES:
        assert run(**options) == lines
        assert run(weight="1", **options) == plain


def test_a_page_is_that_of_the_whole_order_by_every_engine(run, lines):
    """A weighted sample without replacement, also where it reaches rows of weight 0."""
    for options in ENGINES:
        assert run(take=50, **options) == lines[:50]
        assert run(take=25, skip=30, **options) == lines[30:55]
    assert run(take=3995) == lines[:3995]
    assert run(skip=3990) == lines[3990:]
    assert run(take=0) == []
    kept = [line for line in lines if line.startswith(b"1")]
    assert run(take=9, where="line like '1%'") == kept[:9]


@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(
    weights=st.lists(
        st.one_of(st.floats(0, 1e300), st.sampled_from([0.0, 1.0, 5e-324])), max_size=60
    ),
    memory=st.sampled_from(["3GB", "5GB"]),
    threads=st.integers(1, 4),
    engine=st.sampled_from(ENGINES),
)
def test_any_weights_leave_as_the_same_rows_in_one_order(weights, memory, threads, engine):
    """Nothing is lost, whatever the weights, memory, threads and strategy."""
    lines = [b"%d %r" % (number, weight) for number, weight in enumerate(weights)]
    data = b"".join(line + b"\n" for line in [b"first 2.5", *lines])
    with tempfile.TemporaryDirectory() as name:
        path, out = Path(name, "in.txt"), Path(name, "out.txt")
        path.write_bytes(data)
        told = {"seed": "7", "threads": threads, "memory": memory, "weight": WEIGHT} | engine
        dbshuf.shuffle([path], out, **told)
        found = out.read_bytes().splitlines(keepends=True)
    assert collections.Counter(found) == collections.Counter(data.splitlines(keepends=True))
    assert found == reference.weighted([data], "7", weight_of)


def test_tables_are_weighted_by_their_columns(home):
    """Integers and decimals, and the row's place; typed rows, numbered, by all engines."""
    rows = 3000
    columns = {
        "n": pa.array(range(rows), pa.int32()),
        "w": pa.array([i % 9 for i in range(rows)], pa.decimal128(9, 2)),
        "text": [f"row {i}" for i in range(rows)],
    }
    pq.write_table(pa.table(columns), home / "in.parquet")
    keys = row_keys(np.arange(rows, dtype=np.uint64), "1")
    prefixes = exponential_keys(keys, np.arange(rows) % 9.0)
    want = np.lexsort([keys, prefixes]).tolist()
    for options in ENGINES:
        told = {"seed": 1, "memory": "2GB", "weight": "w", "number": "at", **options}
        dbshuf.shuffle([home / "in.parquet"], home / "o.parquet", **told)
        found = pq.read_table(home / "o.parquet")
        assert found["n"].to_pylist() == want
        assert found["at"].to_pylist() == list(range(rows))
    told = {"seed": 1, "memory": "2GB", "weight": "n % 9", "take": 5, "skip": 2, "select": "n"}
    dbshuf.shuffle([home / "in.parquet"], home / "o.parquet", **told)
    assert pq.read_table(home / "o.parquet")["n"].to_pylist() == want[2:7]


def test_rows_of_sql_json_and_a_store_have_weights(home, lines):
    """Wherever rows have ids they have keys, and so a weighted order."""
    (home / "a.txt").write_bytes(DATA)
    told = {"seed": "42", "memory": "2GB"}
    sql = f"select id, line, {WEIGHT} as w from lines where bytes > 3"
    dbshuf.shuffle([home / "a.txt"], home / "o.csv", sql=sql, weight="w", **told)
    found = [row.split(",")[0] for row in (home / "o.csv").read_text().splitlines()[1:]]
    assert found == [line.decode()[:-1] for line in lines if len(line) > 4]
    dbshuf.ingest(home / "s.duckdb", [home / "a.txt"])
    dbshuf.export(home / "s.duckdb", home / "o.txt", weight=WEIGHT, **told)
    assert (home / "o.txt").read_bytes() == b"".join(lines)
    (home / "a.jsonl").write_text("".join(f'{{"a": {i}, "w": {i % 3}}}\n' for i in range(300)))
    dbshuf.shuffle(
        [home / "a.jsonl"], home / "o.jsonl", input_format="json", weight="w", take=200, **told
    )
    rows = [json.loads(line) for line in (home / "o.jsonl").read_text().splitlines()]
    assert {row["w"] for row in rows} == {1, 2}


def test_shards_have_equal_counts_and_splits_keep_the_order(run, home, lines):
    """A weighted order is no range of keys: --shards counts the rows, once all are read."""
    for options in ({"strategy": "partition"}, {"strategy": "spill"}, {"engine": "sqlite"}):
        run("shards/", shards=3, force=True, **options)
        parts = [one.read_bytes() for one in sorted((home / "shards").glob("part-*"))]
        assert [part.count(b"\n") for part in parts] == [1334, 1333, 1333]
        assert b"".join(parts) == b"".join(lines)
    run("paged/", shards=3, skip=3000)
    parts = [one.read_bytes() for one in sorted((home / "paged").glob("part-*"))]
    assert b"".join(parts) == b"".join(lines[3000:])
    assert [part.count(b"\n") for part in parts] == [334, 333, 333]
    run("sized/", shard_rows=1500)
    parts = [one.read_bytes() for one in sorted((home / "sized").glob("part-*"))]
    assert b"".join(parts) == b"".join(lines)
    for how in ({}, {"stratify": "bytes"}):
        dbshuf.shuffle(
            [home / "a.txt"],
            home / "s.txt",
            seed="42",
            memory="3GB",
            weight=WEIGHT,
            split="a=0.7,b=0.3",
            **how,
        )
        both = [(home / f"s.{name}.txt").read_bytes().splitlines(True) for name in "ab"]
        for part in both:
            assert part == [line for line in lines if line in set(part)]
        assert sum(map(len, both)) == len(lines)


def test_the_manifest_and_the_plan_name_the_weight(run, home, cli):
    run("shards/", shards=2)
    manifest = json.loads((home / "shards" / "_manifest.json").read_text())
    assert manifest["options"]["weight"] == WEIGHT
    ran = cli("plan", "a.txt", "--weight", "bytes + 1")
    assert "order:        by -ln(u)/w, where w is bytes + 1" in ran.out.decode(), ran.err
    found = json.loads(cli("plan", "a.txt", "--weight", "bytes", "--json").out)
    assert found["order_by"] == {"option": "--weight", "expression": "bytes"}


def test_verify_checks_the_weighted_order(run, home):
    run()
    told = {"seed": "42", "memory": "3GB"}
    dbshuf.verify([home / "a.txt"], home / "out.txt", weight=WEIGHT, **told)
    with pytest.raises(VerifyFailed):
        dbshuf.verify([home / "a.txt"], home / "out.txt", weight="bytes", **told)
    with pytest.raises(UsageError, match="the order is not checked"):
        dbshuf.verify([home / "a.txt"], home / "out.txt", weight=WEIGHT, memory="3GB")
    run("shards/", shards=2)
    told = {"order": True, "memory": "3GB"}
    dbshuf.verify([home / "a.txt"], home / "shards", weight=WEIGHT, **told)
    with pytest.raises(UsageError, match="the rows were ordered by --weight"):
        dbshuf.verify([home / "a.txt"], home / "shards", **told)


def test_a_stream_goes_on_within_the_weighted_order(home, lines):
    (home / "a.txt").write_bytes(DATA)
    told = {"seed": "42", "memory": "3GB", "weight": WEIGHT, "batch_rows": 700}
    with dbshuf.stream([home / "a.txt"], **told) as stream:
        first = [next(stream) for _ in range(2)]
        state = json.loads(json.dumps(stream.state_dict()))
    again = dbshuf.stream([home / "a.txt"], **told)
    again.load_state_dict(state)
    found = pa.Table.from_batches([*first, *again])["line"].to_pylist()
    assert found == [line.decode()[:-1] for line in lines]


BAD = [
    ("case when position = 7 then null else 1 end", "byte 7: --weight: NULL", "coalesce"),
    ("case when position = 7 then -0.5 else 1 end", "byte 7: --weight: -0.5", "0 or more"),
    ("case when position = 7 then 'nan'::float else 1 end", "byte 7: --weight: nan", "0 or more"),
    ("case when position = 7 then 'inf'::float else 1 end", "byte 7: --weight: inf", "0 or more"),
    ("case when position = 7 then line[1:0]::int else 1 end", "byte 7: --weight: Could not", ""),
]


@pytest.mark.parametrize(("weight", "words", "hint"), BAD, ids=[words for _, words, _ in BAD])
def test_what_is_no_weight_ends_the_run_at_its_row(weight, words, hint, run, home):
    for options in ENGINES:
        with pytest.raises(QueryFailed, match=re.escape(words)) as caught:
            run(weight=weight, **options)
        assert str(home / "a.txt") in caught.value.message
        assert hint in caught.value.hint
        assert [one.name for one in home.iterdir()] == ["a.txt"]


def test_rows_that_are_left_out_need_no_weight(run, lines):
    kept = [line for line in lines if not line.endswith(b" 0.00\n")]
    weight = f"case when {WEIGHT} = 0 then -1 else {WEIGHT} end"
    assert run(weight=weight, where=f"{WEIGHT} > 0") == kept


REFUSED = [
    ({"engine": "spark", "take": 9, "shards": 2}, "--take with --shards counts all rows"),
    ({"work_dir": "w"}, "--work-dir keeps rows by their keys alone"),
    ({"sample": "1%"}, "use --take N"),
    ({"with_replacement": 3}, "--with-replacement draws every row with the same chance"),
    ({"take": 1, "per": "bytes"}, "--per takes rows of each value by keys of their own"),
    ({"shards": 2, "split": "a=0.5,b=0.5"}, "use --shard-rows or --shard-bytes"),
    ({"weight": "line"}, "a weight is a number, and this is VARCHAR"),
    ({"weight": "[bytes]"}, "a weight is a number, and this is"),
    ({"weight": "bytes > 3"}, "a weight is a number, and this is BOOLEAN"),
    ({"weight": "line_number"}, "line_number is not known"),
    ({"weight": "sum(bytes)"}, "sum() is an aggregate"),
    ({"weight": "random()"}, "is not the same in every run"),
    ({"weight": "nothing"}, "--weight: "),
    ({"weight": ""}, "--weight: "),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=lambda one: str(one)[:60])
def test_what_means_nothing_with_weights_is_refused_with_a_sentence(options, words, run, home):
    with pytest.raises((UsageError, QueryInvalid)) as caught:
        run("x/" if "shards" in options else "x.txt", **options)
    assert words in f"{caught.value.message}\n{caught.value.hint}"
    assert [one.name for one in home.iterdir()] == ["a.txt"]
