"""The library: shuffle() gives a result, stream() gives batches, both clean up after themselves."""

import importlib.resources
import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest
import reference

import dbshuf
from dbshuf import api
from dbshuf.errors import UsageError

LINES = b"".join(b"%d words\n" % i for i in range(50_000)) + b"\r\n\nlast"
WANT = reference.shuffled([LINES], "42")
MEMORY = "2GB"  # for the whole process, and here that is the test run with all it has loaded

# Prints the temporary files and the threads that are left once the stream has ended. A thread
# of the engine that once ran Python stays listed as a dummy, long after its end: not counted.
END_EARLY = """
import dbshuf, gc, json, os, sys, threading, time
strategy, memory, end = sys.argv[1:]
reader = dbshuf.stream(["in.txt"], seed="42", memory=memory, strategy=strategy, temp_dir="temp")
if end != "closed at once":
    assert reader.read_next_batch().num_rows > 0
if end.startswith("closed"):
    reader.close()
if end != "left open":
    del reader
    gc.collect()
    end_s = time.monotonic() + 3
    while True:
        names = [t.name for t in threading.enumerate() if not t.name.startswith("Dummy-")]
        if names == ["MainThread"] or time.monotonic() > end_s:
            break
        time.sleep(0.01)
    print(json.dumps([os.listdir("temp"), names]))
"""


def lines_of(batches: object) -> list[bytes]:
    """Return the values of column `line` as bytes, whatever its Arrow type."""
    values = [value for batch in batches for value in batch.column("line").to_pylist()]
    return [value.encode() if isinstance(value, str) else value for value in values]


def test_every_public_name_exists_and_the_package_is_typed():
    """What is in __all__ is the promise; py.typed makes its types one too."""
    functions = {"shuffle", "stream", "ingest", "export", "report", "verify"}
    assert functions <= set(dbshuf.__all__)
    assert all(hasattr(dbshuf, name) for name in dbshuf.__all__)
    assert importlib.resources.files("dbshuf").joinpath("py.typed").is_file()
    assert all(getattr(dbshuf, name).__doc__ for name in functions)


def test_a_store_and_a_query_are_there_for_programs_too(home, monkeypatch):
    """ingest, export and query do what the commands of their names do."""
    monkeypatch.chdir(home)
    Path("in.txt").write_bytes(LINES)
    assert dbshuf.ingest("s.duckdb", "in.txt", memory=MEMORY).rows == LINES.count(b"\n") + 1
    result = dbshuf.export("s.duckdb", "out.txt", seed=42, memory=MEMORY)
    assert Path("out.txt").read_bytes() == WANT
    assert result.rows == LINES.count(b"\n") + 1
    sql = "select count(*) as n, min(shuffle_key(id)) as first from lines"
    with api.query("in.txt", sql, seed="42", memory=MEMORY) as reader:
        found = reader.read_all().to_pylist()
    assert found == [{"n": result.rows, "first": reference.keyed([LINES], "42")[0][0]}]
    with pytest.raises(dbshuf.DbshufError, match="query takes no `where`"):
        api.query("in.txt", sql, where="true")


def test_a_function_takes_no_option_of_another(home):
    """An export passed over what was said of inputs; a shuffle told of a store, over its inputs."""
    out = home / "out.txt"
    for option in ("header", "include", "input_format", "inputs", "is_answer", "mix", "table"):
        with pytest.raises(UsageError, match=f"export takes no `{option}`"):
            dbshuf.export("s.duckdb", out, **{option: None})
    for option in ("store", "is_answer", "more_outputs", "shard"):
        with pytest.raises(UsageError, match=f"shuffle takes no `{option}`"):
            dbshuf.shuffle("in.txt", out, **{option: None})
    assert os.listdir(home) == []


@pytest.mark.parametrize("strategy", ["memory", "spill", "partition"])
def test_shuffle_returns_what_it_did(strategy, corpus, home):
    """A program needs no parsing of stderr."""
    path = corpus("in.txt", LINES)
    result = dbshuf.shuffle([path], home / "out.txt", memory=MEMORY, seed="42", strategy=strategy)
    assert (home / "out.txt").read_bytes() == WANT
    assert result.rows == WANT.count(b"\n")
    assert result.text_bytes == len(WANT)
    assert result.seed == "42"
    assert result.strategy == strategy
    assert 0 < result.elapsed_s < 60
    assert 10_000_000 < result.peak_rss_bytes < 2**40
    assert sorted(os.listdir(home)) == ["in.txt", "out.txt"]


def test_shuffle_says_the_seed_that_it_drew(corpus, home):
    """The order can be made again."""
    path = corpus("in.txt", LINES)
    first = dbshuf.shuffle([path], home / "a.txt", memory=MEMORY)
    second = dbshuf.shuffle([path], home / "b.txt", memory=MEMORY)
    assert first.seed != second.seed
    assert (home / "a.txt").read_bytes() == reference.shuffled([LINES], first.seed)
    assert first.strategy in ("memory", "spill", "partition")


def test_shuffle_takes_paths_text_globs_and_directories(corpus, home):
    """The library reads the same inputs as the command."""
    path = corpus("in/a.txt", LINES)
    for inputs in ([path], [str(path)], [home / "in"], [str(home / "in" / "*.txt")]):
        dbshuf.shuffle(inputs, str(home / "out.txt"), memory=MEMORY, seed="42")
        assert (home / "out.txt").read_bytes() == WANT


def test_shuffle_raises_the_errors_of_the_tree(corpus, home):
    """One base class to catch; message and hint as text."""
    from dbshuf.errors import DbshufError, InputMissing

    with pytest.raises(InputMissing) as caught:
        dbshuf.shuffle([home / "missing.txt"], home / "out.txt", memory=MEMORY)
    assert isinstance(caught.value, DbshufError)
    assert "missing.txt" in str(caught.value)
    assert os.listdir(home) == []


def test_shuffle_writes_nothing_to_the_terminal(corpus, home, capfd):
    """A library does not talk over its caller."""
    dbshuf.shuffle([corpus("in.txt", LINES)], home / "out.txt", memory=MEMORY, seed="42")
    assert capfd.readouterr() == ("", "")


def test_shuffles_run_side_by_side_in_threads(corpus, home):
    """No state of the process is shared: two runs, two right results."""
    inputs = [LINES, LINES[7:], LINES[: 1 << 18]]
    paths = [corpus(f"{i}.txt", data) for i, data in enumerate(inputs)]
    outs = [home / f"out-{i}" for i in range(3)]
    threads = [
        threading.Thread(
            target=dbshuf.shuffle,
            args=([path], out),
            kwargs={"memory": MEMORY, "seed": "42", "strategy": "partition"},
        )
        for path, out in zip(paths, outs, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [out.read_bytes() for out in outs] == [reference.shuffled([d], "42") for d in inputs]


@pytest.mark.parametrize("strategy", ["memory", "spill", "partition"])
def test_stream_gives_the_same_order_in_batches(strategy, corpus, home):
    """A training loop reads what the file would have held, without terminators."""
    path = corpus("in.txt", LINES)
    with dbshuf.stream(
        [path], seed="42", memory=MEMORY, strategy=strategy, temp_dir=home
    ) as reader:
        assert isinstance(reader, pa.RecordBatchReader)
        assert reader.schema.names == ["line"]
        assert lines_of(reader) == WANT.split(b"\n")[:-1]
    assert os.listdir(home) == ["in.txt"]


@pytest.mark.parametrize(
    ("end", "strategy", "memory"),
    [
        ("closed", "memory", "1GB"),
        ("closed", "spill", "600MB"),
        ("closed", "partition", "400MB"),
        ("closed at once", "partition", "400MB"),
        ("dropped", "spill", "600MB"),
        ("dropped", "partition", "400MB"),
        ("left open", "memory", "1GB"),
        ("left open", "partition", "400MB"),
    ],
)
def test_a_stream_that_ends_early_leaves_no_files_and_no_threads(end, strategy, memory, home):
    """An epoch is often cut short; then the program goes on, or ends without a word."""
    reference.write_numbered(home / "in.txt", 800_000, 147)
    (home / "temp").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", END_EARLY, strategy, memory, end],
        cwd=home,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    if end != "left open":
        assert json.loads(done.stdout) == [[], ["MainThread"]]
    assert os.listdir(home / "temp") == []
    assert sorted(os.listdir(home)) == ["in.txt", "temp"]


def test_a_batch_stays_valid_after_the_next_one_is_read(home):
    """Reused buffers must not show through: a loader may keep what it was given."""
    reference.write_numbered(home / "in.txt", 400_000, 147)
    with dbshuf.stream(
        [home / "in.txt"], seed="42", memory=MEMORY, strategy="partition", temp_dir=home
    ) as reader:
        kept = list(reader)
    with (home / "again.txt").open("wb") as file:
        file.writelines(line + b"\n" for line in lines_of(kept))
    reference.check_numbered(home / "again.txt", 400_000, 147, "42")


def test_a_stream_of_empty_input_is_empty_and_has_its_schema(corpus, home):
    """No lines is a valid stream."""
    with dbshuf.stream([corpus("in.txt", b"")], seed="42", memory=MEMORY) as reader:
        assert reader.schema.names == ["line"]
        assert lines_of(reader) == []


def test_stream_raises_for_a_missing_input_at_once(home):
    """Not in the middle of a training run."""
    from dbshuf.errors import InputMissing

    with pytest.raises(InputMissing):
        dbshuf.stream([home / "missing.txt"], memory=MEMORY)


def test_help_loads_no_engine_and_is_quick(home: Path):
    """Under 0.3 s: the best of five, in CPU time, so that a busy machine does not fail it."""
    command = [sys.executable, "-X", "importtime", "-m", "dbshuf", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    loaded = {name.split(".")[0] for name in names}
    assert "typer" in loaded
    assert not loaded & {"duckdb", "pyarrow", "_duckdb", "numpy", "polars"}

    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "dbshuf", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.3
