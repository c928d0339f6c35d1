"""Outputs: text, compressed text, Parquet, stdout; published whole or not at all."""

import contextlib
import gzip
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from kept_runs import Told

import dbshuf
from dbshuf.errors import OutputUnwritable

LINES = b"".join(b"%d %s\n" % (i, "été 雪".encode()) for i in range(3000)) + b"\r\n\n\n\0\nlast"
WANT = reference.shuffled([LINES], "42")
AS_TEXT = [line.decode() for line in WANT.split(b"\n")[:-1]]


def zstd_text(path: Path) -> bytes:
    with pa.input_stream(str(path), compression="zstd") as stream:
        return stream.read()


def test_text_goes_to_stdout_without_an_output(cli, corpus):
    """stdout is data and nothing else; what there is to say goes to stderr."""
    ran = cli("shuffle", corpus("in.txt", LINES), "--seed", "42", "--progress", "always")
    assert (ran.code, ran.out) == (0, WANT)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("out.txt", Path.read_bytes),
        ("out", Path.read_bytes),
        ("out.txt.gz", lambda path: gzip.decompress(path.read_bytes())),
        ("out.txt.zst", zstd_text),
    ],
)
@pytest.mark.parametrize("strategy", ["memory", "spill", "partition"])
def test_a_file_holds_the_one_order_compressed_as_its_name_says(
    name, read, strategy, *, cli, corpus, home
):
    """out.txt.zst is zstd because a user who types it means it."""
    path = corpus("in.txt", LINES)
    ran = cli("shuffle", path, "-o", name, "--seed", "42", "--strategy", strategy)
    assert (ran.code, ran.out) == (0, b""), ran.err
    assert read(home / name) == WANT
    assert sorted(os.listdir(home)) == sorted(["in.txt", name])


@pytest.mark.parametrize("name", ["out.txt", "out.txt.gz", "out.txt.zst", "out.parquet"])
def test_empty_input_gives_a_valid_empty_output(name, cli, home):
    """No lines is a result, and the next program must be able to open it."""
    ran = cli("shuffle", "-o", name, "--seed", "42")
    assert ran.code == 0, ran.err
    if name.endswith(".parquet"):
        table = pq.read_table(home / name)
        assert (table.num_rows, table.column_names) == (0, ["line"])
    else:
        reads = {".gz": lambda p: gzip.decompress(p.read_bytes()), ".zst": zstd_text}
        assert reads.get(Path(name).suffix, Path.read_bytes)(home / name) == b""


@pytest.mark.parametrize("strategy", ["memory", "spill", "partition"])
def test_parquet_has_one_text_column_that_every_reader_opens(strategy, cli, corpus, home):
    """DuckDB, Polars and Arrow see the same lines, in order, without terminators."""
    path = corpus("in.txt", LINES)
    ran = cli("shuffle", path, "-o", "out.parquet", "--seed", "42", "--strategy", strategy)
    assert ran.code == 0, ran.err
    out = str(home / "out.parquet")
    table = pq.read_table(out)
    assert table.column_names == ["line"]
    assert table.schema.field("line").type in (pa.string(), pa.large_string())
    assert table["line"].to_pylist() == AS_TEXT
    frame = pl.read_parquet(out)
    assert frame.schema == {"line": pl.String}
    assert frame["line"].to_list() == AS_TEXT
    with duckdb.connect() as con:
        got = con.sql(f"SELECT line, typeof(line) FROM read_parquet('{out}')").fetchall()
    assert got == [(line, "VARCHAR") for line in AS_TEXT]
    meta = pq.read_metadata(out)
    assert meta.row_group(0).column(0).compression == "ZSTD"


def test_parquet_row_groups_are_bounded_by_bytes(cli, corpus, home):
    """Wide lines in groups of a fixed row count make groups nobody can read in memory."""
    rng = np.random.default_rng(1)
    block = rng.integers(97, 123, (10_000, 24_000), dtype=np.uint8)
    block[:, -1] = 10
    corpus("in.txt", block.tobytes())
    ran = cli("shuffle", "in.txt", "-o", "out.parquet", "--seed", "42", "--memory", "512MB")
    assert ran.code == 0, ran.err
    meta = pq.read_metadata(home / "out.parquet")
    groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
    assert sum(group.num_rows for group in groups) == 10_000
    assert max(group.total_byte_size for group in groups) <= 150_000_000


@pytest.mark.parametrize(
    ("bad", "strategy"),
    [
        (b"\xff", "memory"),
        (b"\xff", "spill"),
        (b"\xff", "partition"),
        (b"\xc3(", "memory"),
        (b"\xed\xa0\x80", "partition"),
        (b"\xc0\x80", "memory"),
        (b"\xf4\x90\x80\x80", "partition"),
        (b"\xe9\x9b", "memory"),
    ],
)
def test_a_line_that_is_no_utf8_is_refused_with_its_path_and_offset(
    bad, strategy, cli, corpus, home
):
    """Replacing a byte would lose it, and skipping the line would lose more."""
    good, broken = corpus("good.txt", LINES), corpus("broken.txt", LINES + b"\n" + bad + b"\nok\n")
    old = corpus("out.parquet", b"old")
    ran = cli("shuffle", good, broken, "-o", old, "--strategy", strategy)
    assert ran.code == 8
    assert "broken.txt" in ran.err
    assert "good.txt" not in ran.err
    assert len(LINES) + 1 in ran.numbers(), ran.err
    assert "hint:" in ran.err
    assert "--binary" in ran.err
    assert old.read_bytes() == b"old"
    assert sorted(os.listdir(home)) == ["broken.txt", "good.txt", "out.parquet"]


@pytest.mark.parametrize("seed", range(4))
def test_halves_of_a_character_in_two_lines_do_not_heal_each_other(seed, cli, corpus):
    """Each line must be UTF-8 by itself, whatever the shuffle puts beside it."""
    ran = cli("shuffle", corpus("in.txt", b"\xc3\n\xa9\n"), "-o", "out.parquet", "--seed", seed)
    assert ran.code == 8, ran.err


@pytest.mark.parametrize("strategy", ["memory", "spill", "partition"])
def test_binary_parquet_carries_any_bytes(strategy, cli, corpus, home):
    """With --binary the column is BLOB and nothing is refused."""
    data = b"\xff\n\xc3\n\xa9\n\0\n\n" + bytes(range(256)).replace(b"\n", b"")
    corpus("in.bin", data)
    ran = cli(
        "shuffle", "in.bin", "-o", "out.parquet", "--binary", "--seed", "42", "--strategy", strategy
    )
    assert ran.code == 0, ran.err
    table = pq.read_table(home / "out.parquet")
    assert table.schema.field("line").type in (pa.binary(), pa.large_binary())
    assert table["line"].to_pylist() == reference.shuffled([data], "42").split(b"\n")[:-1]


def test_zero_terminated_lines_go_to_parquet_with_their_line_feeds(cli, corpus, home):
    """Only the terminator is taken off, and here it is NUL."""
    data = b"a\nb\0c\r\n\0\0d"
    corpus("in", data)
    assert cli("shuffle", "in", "-z", "-o", "out.parquet", "--seed", "42").code == 0
    want = reference.shuffled([data], "42", b"\0").decode().split("\0")[:-1]
    assert pq.read_table(home / "out.parquet")["line"].to_pylist() == want


@pytest.mark.parametrize("strategy", ["memory", "spill", "partition"])
def test_in_and_out_may_be_the_same_file(strategy, cli, corpus):
    """`dbshuf shuffle a.txt -o a.txt` must not eat its own input."""
    path = corpus("a.txt", LINES)
    ran = cli("shuffle", "a.txt", "-o", "./a.txt", "--seed", "42", "--strategy", strategy)
    assert ran.code == 0, ran.err
    assert path.read_bytes() == WANT


def test_the_output_may_lie_in_an_input_directory(cli, corpus):
    """Temporary and hidden files beside the inputs are not inputs."""
    path, other = corpus("in/a.txt", LINES), corpus("in/b.txt", b"b\n")
    for _ in range(2):
        inputs = [p.read_bytes() for p in sorted(path.parent.iterdir())]
        assert cli("shuffle", "in/", "-o", "in/out.txt", "--seed", "42").code == 0
        assert (path.parent / "out.txt").read_bytes() == reference.shuffled(inputs, "42")
    assert sorted(os.listdir(path.parent)) == ["a.txt", "b.txt", "out.txt"]
    assert other.read_bytes() == b"b\n"


@pytest.mark.parametrize("name", ["out.txt", "out.txt.zst", "out.parquet"])
def test_an_existing_output_is_replaced_only_at_the_end(name, start, corpus, wait_for, home):
    """Whoever reads the old file during the run reads a whole file."""
    old = corpus(name, b"old")
    inode = old.stat().st_ino
    child = start("shuffle", "-o", name, "--seed", "42")
    for _ in range(30):
        child.stdin.write(LINES + b"\n")
        child.stdin.flush()
        assert old.read_bytes() == b"old"
        assert all(entry.startswith(".") for entry in os.listdir(home) if entry != name)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert old.stat().st_ino != inode
    assert os.listdir(home) == [name]
    assert old.stat().st_size > 1000


@pytest.mark.parametrize("strategy", ["memory", "spill", "partition"])
def test_everything_in_the_making_has_a_hidden_name_and_private_temp(
    strategy, start, home, wait_for
):
    """Nobody picks up half a file, and spilled lines are the user's data: mode 0700."""
    reference.write_numbered(home / "in.txt", 600_000, 147)
    (home / "temp").mkdir()
    child = start(
        "shuffle",
        "in.txt",
        "-o",
        "out.txt",
        "--strategy",
        strategy,
        "--memory",
        "500MB",
        "--temp-dir",
        "temp",
        "--progress",
        "never",
    )
    modes, seen = set(), set()

    def over() -> bool:
        names = set(os.listdir(home)) - {"in.txt", "temp"}
        seen.update(names - {"out.txt"})
        assert "out.txt" not in names or (home / "out.txt").stat().st_size == 600_000 * 147
        for entry in os.scandir(home / "temp"):
            with contextlib.suppress(FileNotFoundError):  # the run is at its end
                mode = stat.S_IMODE(entry.stat().st_mode)
                is_record = ".owner" in entry.name and mode == 0o600
                if not is_record:
                    modes.add(mode if entry.is_dir() else entry.name)
        return child.poll() is not None

    wait_for(over, "the end of the run", timeout_s=60)
    assert child.returncode == 0, child.stderr.read()
    assert seen
    assert all(name.startswith(".") for name in seen)
    assert modes <= {0o700}
    assert modes or strategy != "partition"
    assert os.listdir(home / "temp") == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_output_has_the_mode_that_the_umask_says(umask, mode, cli, corpus, home):
    """A file made under a temporary name must not keep a temporary file's mode."""
    corpus("in.txt", LINES)
    for name in ("out.txt", "out.txt.gz", "out.parquet"):
        assert cli("shuffle", "in.txt", "-o", name, umask=umask).code == 0
        assert stat.S_IMODE((home / name).stat().st_mode) == mode
    assert cli("shuffle", "in.txt", "-o", "shards/", "--shards", 2, umask=umask).code == 0
    want = mode | (mode & 0o444) >> 2
    assert stat.S_IMODE((home / "shards").stat().st_mode) == want
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (home / "shards").iterdir()}
    assert modes == {mode}


def test_the_last_line_of_stderr_tells_lines_bytes_seconds_peak_and_seed(cli, corpus):
    """One line for a log: what was done, how long, and how to do it again."""
    ran = cli("shuffle", corpus("in.txt", LINES), "-o", "out.txt", "--seed", "corpus-7")
    assert ran.err.count("\n") == 1
    plain = ran.err.lower().replace(",", "").replace("_", "")
    assert re.search(rf"\b{len(AS_TEXT)}\b", plain)
    assert "corpus-7" in plain
    assert "lines" in plain
    assert "seed" in plain
    assert re.search(r"\d\s?(s|sec|seconds)\b", plain)
    assert re.search(r"peak|rss", plain)
    assert len(ran.amounts()) >= 1


class AtPublish(Told):
    """A progress that does something just before the output is put in place."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action

    def stage(self, name: str, total_bytes: int | None) -> None:
        if name == "publish":
            self._action()


@pytest.mark.parametrize(
    ("output", "options"),
    [
        (("a/x", "b/y"), {"paired": "in.txt"}),
        ("a/x", {"manifest": "b/y"}),
        ("a/new", {"manifest": "b/y", "shards": 2}),
        ("a/x", {"manifest": "b/y", "work_dir": "work"}),
        ("a/x", {"manifest": "b/y", "epochs": 2}),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_gone", [True, False])
def test_of_several_files_none_is_shown_where_one_cannot_be(
    output, options, is_gone, home, monkeypatch
):
    """Else the first would be a new one and the others old, and their rows would not belong."""
    monkeypatch.chdir(home)
    Path("in.txt").write_bytes(LINES)
    for folder, name in (("a", "x"), ("b", "other")):
        Path(folder).mkdir()
        Path(folder, name).write_bytes(b"old")
    act = AtPublish(lambda: shutil.rmtree("b") if is_gone else Path("b/y").mkdir())
    with pytest.raises(OutputUnwritable, match=r"`b/y`|`.*/b`"):
        dbshuf.shuffle("in.txt", output, memory="3GB", threads=1, progress=act, **options)
    assert Path("a/x").read_bytes() == b"old"
    kept = [name for name in os.listdir("a") if name.startswith(".")]
    assert sorted(os.listdir("a")) == sorted(["x", *(kept if "work_dir" in options else [])])
