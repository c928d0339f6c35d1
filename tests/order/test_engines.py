"""What every engine must do that orders rows, through the public functions alone.

A new engine is one more entry of ENGINES. What its own files do, and no other's, has tests of its
own beside this file.
"""

import gc
import gzip
import os
import random
import re
import tempfile
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
import typed_rows
from hypothesis import given, settings
from hypothesis import strategies as st

import dbshuf
from dbshuf.base.key import row_keys
from dbshuf.errors import (
    InputBroken,
    MemoryTooSmall,
    QueryFailed,
    StrategyUnfit,
    UsageError,
)

ENGINES = {
    "memory": {"strategy": "memory"},
    "partition": {"strategy": "partition"},
    "spill": {"strategy": "spill"},
    "sqlite": {"engine": "sqlite"},
}
COMMAND = {
    name: [word for option, value in options.items() for word in (f"--{option}", value)]
    for name, options in ENGINES.items()
}
# Types that DuckDB, where it carries the rows itself, would give back as others.
CHANGED = {"spill": {"instant", "lists", "digest", "nothing", "pair"}}
FEW = settings(max_examples=8, deadline=None, derandomize=True, database=None)

lines = st.one_of(
    st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"\r")),
    st.sampled_from([b"", b"\0", b"\r", b"\xff\xfe", b"same", b"x" * 9000, "été 雪".encode()]),
)


@pytest.fixture(params=ENGINES, scope="session")
def engine(request):
    """The name of an engine."""
    return request.param


def shuffled(inputs, output, engine, **options):
    """Shuffle by one engine, with the default memory of a small machine."""
    told = {"memory": "2GB", "seed": "42", "threads": 2, **ENGINES[engine], **options}
    return dbshuf.shuffle([str(path) for path in inputs], output, **told)


def texts(folder, *files):
    """Write files of bytes and return their paths, in this order."""
    paths = [folder / f"{number}.txt" for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return paths


def in_key_order(table, seed="42"):
    """Return the rows of the only input in the order of their keys."""
    ids = np.arange(table.num_rows, dtype=np.uint64)
    return table.take(pa.array(np.argsort(row_keys(ids, seed))))


def left(folder):
    """Return what lies in a folder, hidden files too."""
    return sorted(os.listdir(folder))


# --- orders -----------------------------------------------------------------------------


@FEW
@given(
    files=st.lists(st.lists(lines, max_size=30), min_size=1, max_size=3), seed=st.text(max_size=4)
)
def test_lines_of_any_bytes_leave_in_the_order_of_the_definition(engine, files, seed):
    """Empty lines, NUL, CR, no UTF-8, no terminator at the end; a reference that is no engine."""
    with tempfile.TemporaryDirectory() as name:
        data = [b"\n".join([b"begins as text", *one]) for one in files]
        paths = texts(Path(name), *data)
        shuffled(paths, Path(name, "out"), engine, seed=seed, binary=True, input_format="lines")
        assert Path(name, "out").read_bytes() == reference.shuffled(data, seed)


def test_many_lines_leave_in_the_order_of_the_definition(engine, tmp_path):
    """Enough for every engine to have more than one of whatever it has."""
    rows, width = 300_000, 60
    path = reference.write_numbered(tmp_path / "in.txt", rows, width)
    result = shuffled([path], tmp_path / "out.txt", engine)
    reference.check_numbered(tmp_path / "out.txt", rows, width, "42")
    assert (result.rows, result.text_bytes, result.strategy) == (rows, rows * width, engine)


@pytest.mark.parametrize("files", [[b""], [b"", b"", b""], [b"\n"], [b"one"], [b"", b"one\n", b""]])
def test_nothing_and_one_row_are_orders_too(engine, files, tmp_path):
    shuffled(texts(tmp_path, *files), tmp_path / "out.txt", engine)
    assert (tmp_path / "out.txt").read_bytes() == reference.shuffled(files, "42")


@pytest.mark.parametrize("rows", [0, 1])
def test_no_typed_row_and_one_are_orders_too(engine, rows, tmp_path):
    table = pa.table({"n": pa.array(range(rows), pa.int32()), "t": pa.array(["x"] * rows)})
    pq.write_table(table, tmp_path / "in.parquet")
    shuffled([tmp_path / "in.parquet"], tmp_path / "out.parquet", engine)
    assert pq.read_table(tmp_path / "out.parquet").equals(table)


def test_equal_lines_have_keys_of_their_own(engine, tmp_path):
    """Ties cannot be: equal lines are as many in the output, and each pair of runs agrees."""
    files = [b"same\n" * 5000, b"same\nother\n" * 500, b"same"]
    paths = texts(tmp_path, *files)
    shuffled(paths, tmp_path / "out.txt", engine)
    assert (tmp_path / "out.txt").read_bytes() == reference.shuffled(files, "42")


# --- typed rows -------------------------------------------------------------------------


@FEW
@given(data=st.data())
def test_typed_rows_arrive_with_every_value(engine, data):
    """All types that Arrow files bring, nested ones, and nulls in each."""
    kept = [field for field in typed_rows.SCHEMA if field.name not in CHANGED.get(engine, ())]
    batch = data.draw(typed_rows.batches(pa.schema(kept)))
    with tempfile.TemporaryDirectory() as name:
        source, output = Path(name, "in.arrow"), Path(name, "out.arrow")
        with pa.ipc.new_file(source, batch.schema) as file:
            file.write_batch(batch)
        shuffled([source], output, engine)
        found = pa.ipc.open_file(output).read_all()
    assert found.equals(in_key_order(pa.Table.from_batches([batch])))


@pytest.mark.parametrize("kind", [field.type for field in typed_rows.SCHEMA], ids=str)
def test_a_column_of_nothing_but_nulls_arrives(engine, kind, tmp_path):
    """Or the engine says that it cannot do this type."""
    table = pa.table({"n": range(50), "c": pa.nulls(50, kind)})
    with pa.ipc.new_file(tmp_path / "in.arrow", table.schema) as file:
        file.write_table(table)
    try:
        shuffled([tmp_path / "in.arrow"], tmp_path / "out.arrow", engine)
    except StrategyUnfit:
        assert engine in CHANGED
        return
    assert pa.ipc.open_file(tmp_path / "out.arrow").read_all().equals(in_key_order(table))


def test_floats_keep_their_bits(engine, tmp_path):
    """NaN with a payload, the zero below zero, and what is infinite."""
    bits = [0x7FF8000000000001, 0xFFF8000000000000, 0x8000000000000000, 0, 0x7FF << 52, 1]
    table = pa.table({"x": np.array(bits * 9, np.uint64).view(np.float64)})
    with pa.ipc.new_file(tmp_path / "in.arrow", table.schema) as file:
        file.write_table(table)
    shuffled([tmp_path / "in.arrow"], tmp_path / "out.arrow", engine)
    found = pa.ipc.open_file(tmp_path / "out.arrow").read_all()["x"].to_numpy()
    assert found.tobytes() == in_key_order(table)["x"].to_numpy().tobytes()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.txt", {}),
        ("shards", {"shards": 7}),
        ("shards", {"shard_rows": 1000}),
        ("out.parquet", {}),
        ("out.jsonl", {"where": "bytes > 40"}),
        ("out.parquet", {"select": "upper(line) as u, position, source"}),
        ("out.parquet", {"sql": "select id, line, bytes from lines where bytes % 3 = 0"}),
        ("split", {"split": "train=0.9,valid=0.1", "shards": 2}),
    ],
)
def test_every_output_is_the_same_bytes_by_every_engine(engine, name, options, tmp_path, snapshot):
    """Text, shards, Parquet, splits, with SQL and without."""
    rng = random.Random(7)
    some = [b"".join(b"%d %s\n" % (n, b"w" * rng.randrange(90)) for n in range(4000)), b"last"]
    paths = texts(tmp_path, *some)
    written = {}
    for one in ("partition", engine):
        folder = tmp_path / one
        folder.mkdir(exist_ok=True)
        shuffled(paths, folder / name, one, force=True, **options)
        written[one] = snapshot(folder)
        written[one].pop(f"{name}/_manifest.json", None)  # it names the strategy
    assert written[engine] == written["partition"]


# --- faults -----------------------------------------------------------------------------


def test_a_source_that_fails_midway_leaves_nothing(engine, tmp_path):
    """A compressed file that is cut short: no output, no temporary data, no thread."""
    rng = random.Random(3)
    data = gzip.compress(b"".join(b"%030d\n" % rng.randrange(10**29) for _ in range(200_000)), 1)
    (tmp_path / "in.gz").write_bytes(data[: len(data) // 2])
    (tmp_path / "temp").mkdir()
    for options, error in (
        ({}, InputBroken),
        ({"where": "bytes > 3"}, InputBroken),
    ):
        with pytest.raises(error):
            shuffled(
                [tmp_path / "in.gz"],
                tmp_path / "out.txt",
                engine,
                temp_dir=tmp_path / "temp",
                **options,
            )
        assert left(tmp_path) == ["in.gz", "temp"]
        assert left(tmp_path / "temp") == []


def test_a_query_that_fails_midway_leaves_nothing(engine, tmp_path):
    (tmp_path / "in.txt").write_bytes(b"1\n" * 200_000 + b"no number\n" + b"2\n" * 1000)
    (tmp_path / "temp").mkdir()
    with pytest.raises(QueryFailed):
        shuffled(
            [tmp_path / "in.txt"],
            tmp_path / "out.txt",
            engine,
            temp_dir=tmp_path / "temp",
            where="cast(line as int) > 0",
        )
    assert (left(tmp_path), left(tmp_path / "temp")) == (["in.txt", "temp"], [])


def test_closing_a_stream_early_ends_all_of_it(engine, tmp_path, wait_for):
    """No temporary data and no thread stays behind; nor if nothing was read at all."""
    path = reference.write_numbered(tmp_path / "in.txt", 300_000, 60)
    temp = tmp_path / "temp"
    temp.mkdir()
    told = {"memory": "2GB", "seed": "42", "temp_dir": temp, **ENGINES[engine]}
    dbshuf.stream([path], **told).close()
    assert left(temp) == []
    threads = set(threading.enumerate())
    reader = dbshuf.stream([path], **told)
    first = reader.read_next_batch()
    assert [one.stat().st_mode & 0o777 for one in temp.iterdir() if one.is_dir()] == [0o700]
    keys = reference.keys_of(np.arange(300_000, dtype=np.uint64) * np.uint64(60), "42")
    at = int(np.argmin(keys)) * 60
    assert first["line"][0].as_py().encode() == path.read_bytes()[at : at + 59]
    reader.close()
    del reader, first

    def is_over():
        gc.collect()
        names = {one.name for one in set(threading.enumerate()) - threads}
        return not left(temp) and all(name.startswith("Dummy-") for name in names)

    wait_for(is_over, "the end of the stream")


def test_a_cap_that_is_too_small_is_refused_before_any_work(engine, tmp_path):
    """And the size that the error names is enough."""
    path = reference.write_numbered(tmp_path / "in.txt", 10_000, 60)
    with pytest.raises((MemoryTooSmall, StrategyUnfit)) as caught:
        shuffled([path], tmp_path / "out.txt", engine, memory="20MB")
    assert re.search(r"--memory \d+MB", caught.value.hint)
    assert left(tmp_path) == ["in.txt"]


def test_the_peak_stays_under_the_cap(engine, measured, home):
    """More text than there is memory for rows, in lines of 147 bytes."""
    if engine in ("memory", "partition", "spill"):
        pytest.skip("promises/test_memory.py looks at the strategies of DuckDB")
    rows, width = 2_000_000, 147
    path = reference.write_numbered(home / "in.txt", rows, width)
    cap = 400_000_000
    ran = measured(
        "shuffle", path, "-o", "out.txt", "--seed", "42", "--memory", f"{cap}B", *COMMAND[engine]
    )
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes <= cap
    reference.check_numbered(home / "out.txt", rows, width, "42")


# --- what an engine is asked for ----------------------------------------------------------


def test_another_engine_has_no_strategies(tmp_path):
    path = reference.write_numbered(tmp_path / "in.txt", 10, 60)
    with pytest.raises(UsageError, match="--strategy spill is one of DuckDB's"):
        dbshuf.shuffle([path], tmp_path / "out", engine="sqlite", strategy="spill")
    with pytest.raises(UsageError, match="--engine `postgres` is unknown"):
        dbshuf.shuffle([path], tmp_path / "out", engine="postgres")


def test_the_plan_and_the_summary_name_the_engine(cli, corpus):
    corpus("in.txt", b"a\nb\n")
    ran = cli("plan", "in.txt", "-o", "out.txt", "--engine", "sqlite", "--memory", "1GB")
    assert ran.code == 0, ran.err
    assert b"sqlite: SQLite orders the rows" in ran.out
    ran = cli("shuffle", "in.txt", "-o", "out.txt", "--engine", "sqlite", "--seed", "42")
    assert ran.code == 0, ran.err
    assert ", sqlite, seed 42" in ran.err
