"""Errors: one class, one exit code, a message with what and where, a hint, nothing left behind."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from paths import ROOT

import dbshuf
from dbshuf import errors
from dbshuf.source import inputs

LINES = b"".join(b"%d some words on a line\n" % i for i in range(2000))
LARGE_ROWS, WIDTH = 1_400_000, 147  # 206 MB
CLASSES = {
    cls.__name__: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, errors.DbshufError)
}


@pytest.fixture
def refused(cli, home: Path, snapshot) -> Callable:
    """Run a command line that must fail with one class and change nothing on disk."""

    def run(error: str, *args: object, **options: object):
        before = snapshot(home)
        ran = cli(*args, **options)
        assert ran.code == CLASSES[error].exit_code, ran.err
        assert ran.out == b""
        assert "Traceback" not in ran.err
        assert snapshot(home) == before
        return ran

    return run


def test_every_class_has_its_own_exit_code_and_is_listed_in_the_readme():
    """Programs branch on exit codes, so each has one meaning and a line in the README."""
    readme = (ROOT / "README.md").read_text()
    codes = [cls.exit_code for cls in CLASSES.values()]
    assert len(set(codes)) == len(codes)
    for name, cls in CLASSES.items():
        if cls is not errors.DbshufError:
            assert re.search(
                rf"\b{cls.exit_code}\b[^\n]*{name}|{name}[^\n]*\b{cls.exit_code}\b", readme
            ), name


@pytest.mark.parametrize(
    "options",
    [
        ("--memory", "12parsecs"),
        ("--memory", "lots"),
        ("--memory", "-1GB"),
        ("--memory", ""),
        ("--memory", "1 GBB"),
        ("--strategy", "quick"),
        ("--threads", "0"),
        ("--threads", "-2"),
        ("--threads", "two"),
        ("--header", "-1"),
        ("--progress", "loud"),
        ("--no-such-option",),
        ("--format", "docx"),
        ("--shard-bytes", "3furlongs", "-o", "out"),
    ],
)
def test_an_option_that_is_no_value_of_its_kind_is_a_usage_error(options, refused, corpus):
    """A bad unit is found before a byte is read, and named."""
    ran = refused("UsageError", "shuffle", corpus("in.txt", LINES), *options)
    assert options[0].lstrip("-") in ran.err


def test_what_says_nothing_of_the_inputs_is_no_option_for_them(refused, corpus, home):
    """Rather than that it is passed over in silence."""
    ran = refused("UsageError", "shuffle", corpus("in.txt", LINES), "--schema", "union")
    assert "--schema union is for rows with columns" in ran.err
    pq.write_table(pa.table({"n": [1, 2]}), home / "in.parquet")
    ran = refused("UsageError", "shuffle", "in.parquet", "-z", "-o", "out.jsonl")
    assert "--zero-terminated is for lines, and `in.parquet` is a Parquet file" in ran.err


@pytest.mark.parametrize("name", ["missing.txt", "dir/missing.txt", b"\xff\xfe.txt", "a\nb", ""])
def test_a_missing_input_is_named(name, refused, corpus):
    """Also when its name is not text, and when another input is there."""
    ran = refused("InputMissing", "shuffle", corpus("in.txt", LINES), name)
    assert not isinstance(name, str) or "\n" in name or name in ran.err
    assert "in.txt" not in ran.err.replace("missing.txt", "")


def test_an_input_without_permission_is_unreadable(cli, corpus, home):
    """It is there, so the message must not say missing."""
    path, other = corpus("secret.txt", LINES), corpus("in.txt", LINES)
    path.chmod(0)
    before = os.stat(path).st_mode
    ran = cli("shuffle", other, path, "-o", "out.txt", permissions_count=True)
    assert ran.code == errors.InputUnreadable.exit_code, ran.err
    assert "secret.txt" in ran.err
    assert "Traceback" not in ran.err
    assert os.stat(path).st_mode == before
    assert sorted(os.listdir(home)) == ["in.txt", "secret.txt"]


def test_inputs_that_are_no_files_are_unreadable(refused, corpus, home, monkeypatch):
    """A socket: an error that names it, never a hang."""
    monkeypatch.chdir(home)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("socket.txt")
        path = corpus("in.txt", LINES)
        ran = refused("InputUnreadable", "shuffle", path, "socket.txt", timeout_s=20)
    assert "socket.txt" in ran.err


def test_a_directory_or_glob_without_files_is_an_error(refused, corpus, home):
    """An empty output would hide a wrong path."""
    (home / "empty" / "deeper").mkdir(parents=True)
    corpus("hidden/.only.txt", LINES)
    corpus("in.txt", LINES)
    for name in ("empty", "empty/", "hidden", "nothing/*.txt", "*.csv", "hidden/*"):
        ran = refused("NoInputFiles", "shuffle", "in.txt", name)
        assert name.rstrip("/") in ran.err
        assert "hint:" in ran.err


@pytest.mark.parametrize("codec", ["gzip", "zstd", "bz2", "xz", "lz4"])
@pytest.mark.parametrize("keep", [0.5, -1, -4, 12], ids=lambda keep: f"keep {keep}")
def test_a_compressed_input_that_is_cut_short_is_refused(codec, keep, refused, corpus, pack):
    """The lines before the cut are not the corpus; a download that broke must be noticed."""
    whole = pack(codec, LINES)
    data = whole[: int(len(whole) * keep)] if keep == 0.5 else whole[:keep]
    corpus("good.txt", LINES)
    corpus("cut.bin", data)
    ran = refused("InputBroken", "shuffle", "good.txt", "cut.bin", "-o", "out.txt")
    assert "cut.bin" in ran.err
    assert "good.txt" not in ran.err
    assert "hint:" in ran.err
    assert any(0 <= number <= len(LINES) for number in ran.numbers()), ran.err


@pytest.mark.parametrize("codec", ["gzip", "bz2", "xz"])
def test_a_compressed_input_that_is_damaged_is_refused(codec, refused, corpus, pack):
    """One wrong bit in the middle, one in the second member, one in the check sum."""
    whole = pack(codec, LINES)
    for at, name in (
        (len(whole) // 2, "middle"),
        (len(whole) + len(whole) // 2, "member"),
        (len(whole) * 2 - (6 if codec != "xz" else 20), "sum"),
    ):
        data = bytearray(whole * 2)
        data[at] ^= 0x10
        corpus(f"{name}.txt", bytes(data))
        ran = refused("InputBroken", "shuffle", f"{name}.txt", "-o", "out.txt")
        assert f"{name}.txt" in ran.err
        assert any(0 <= number <= 2 * len(LINES) for number in ran.numbers()), ran.err


def test_headers_that_differ_name_both_files(refused, corpus):
    """Two kinds of CSV in one directory must not become one file."""
    for name, head in (("a", b"id,text\n"), ("b", b"id,text\n"), ("c", b"id;text\n")):
        corpus(f"{name}.csv", head + LINES)
    ran = refused("HeaderMismatch", "shuffle", "a.csv", "b.csv", "c.csv", "--header", 1)
    assert "a.csv" in ran.err
    assert "c.csv" in ran.err
    assert "hint:" in ran.err


def test_more_inputs_than_an_ordinal_can_name_are_refused(corpus, home, monkeypatch):
    """An id has 20 bits for the input; one more would repeat an id and break the order."""
    assert inputs.ORDINAL_LIMIT == 2**20
    monkeypatch.setattr(inputs, "ORDINAL_LIMIT", 2**10)  # a million names take 8 s
    path = str(corpus("in.txt", b"1\n"))
    with pytest.raises(errors.InputBeyondBounds, match="1,025 inputs"):
        dbshuf.shuffle([path] * (2**10 + 1), home / "out.txt", seed="1")
    assert os.listdir(home) == ["in.txt"]


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a disk of huge sparse files")
def test_an_input_larger_than_a_position_can_name_is_refused(refused):
    """An id has 44 bits for the offset: 16 TiB an input."""
    path = Path(f"/dev/shm/dbshuf-test-{os.getpid()}.txt")
    try:
        path.write_bytes(b"1\n")
        os.truncate(path, 2**44 + 4096)
        refused("InputBeyondBounds", "shuffle", path, "-o", "out.txt", timeout_s=20)
    finally:
        path.unlink()


@pytest.mark.fresh
@pytest.mark.parametrize("strategy", ["auto", "spill"])
def test_too_little_memory_names_the_smallest_value_and_that_value_works(
    strategy, refused, measured, home
):
    """A number that is named must be true, for the run and for the peak."""
    reference.write_numbered(home / "in.txt", LARGE_ROWS, WIDTH)
    line = ("shuffle", "in.txt", "-o", "out.txt", "--seed", "42", "--strategy", strategy)
    ran = refused("MemoryTooSmall", *line, "--memory", "10MB")
    assert "hint:" in ran.err
    cap_bytes, cap = max(ran.amounts().items())
    done = measured(*line, "--memory", cap)
    assert done.code == 0, done.err
    assert ("partition" if strategy == "auto" else strategy) in done.err
    assert done.peak_rss_bytes <= cap_bytes
    reference.check_numbered(home / "out.txt", LARGE_ROWS, WIDTH, "42")


@pytest.mark.fresh
@pytest.mark.parametrize("length", [40_000_000, 150_000_000])
def test_a_line_too_long_names_file_offset_and_cap_and_that_cap_works(
    length, *, smallest, refused, cli, measured, corpus, home
):
    """The user learns which line it is, and what the machine must have."""
    before = (b"a line" * 200 + b"\n") * 10_000
    corpus("first.txt", LINES)
    corpus("long.txt", before + b"x" * length + b"\n" + before)
    line = ("shuffle", "first.txt", "long.txt", "-o", "out.txt", "--seed", "42")
    cap = smallest(*line) if length == 40_000_000 else "256MB"
    probe = cli(*line, "--memory", cap)
    if probe.code == 0:  # what the smallest cap can carry is no error
        assert length == 40_000_000
    else:
        (home / "out.txt").unlink(missing_ok=True)
        ran = refused("LineTooLong", *line, "--memory", cap)
        assert "long.txt" in ran.err
        assert len(before) in ran.numbers(), ran.err
        assert "hint:" in ran.err
        needed_bytes, needed = max(ran.amounts().items())
        done = measured(*line, "--memory", needed)
        assert done.code == 0, done.err
        assert done.peak_rss_bytes <= needed_bytes
    out = (home / "out.txt").read_bytes()
    texts = [LINES, before + b"x" * length + b"\n" + before]
    assert out == reference.shuffled(texts, "42")


def test_a_strategy_that_cannot_do_the_input_is_refused_not_tried(refused, home):
    """Asked for by name and unfit: say so before work, and what would do."""
    reference.write_numbered(home / "in.txt", 3_500_000, WIDTH)
    ran = refused(
        "StrategyUnfit",
        "shuffle",
        "in.txt",
        "-o",
        "out.txt",
        "--strategy",
        "memory",
        "--memory",
        "400MB",
    )
    assert "memory" in ran.err
    assert "hint:" in ran.err


def test_a_missing_output_directory_is_an_error(refused, corpus):
    """Made by nobody's wish: a typo would else become a directory."""
    ran = refused("OutputUnwritable", "shuffle", corpus("in.txt", LINES), "-o", "no/such/out.txt")
    assert "no/such" in ran.err


def test_an_output_directory_without_permission_is_an_error_before_work(refused, corpus, home):
    """Better known now than after an hour."""
    path = corpus("in.txt", LINES)
    (home / "locked").mkdir(mode=0o500)
    for options in (("-o", "locked/out.txt"), ("-o", "locked/shards", "--shards", 2)):
        ran = refused("OutputUnwritable", "shuffle", path, *options, permissions_count=True)
        assert "locked" in ran.err


def test_a_missing_temp_directory_is_an_error(cli, corpus, home, snapshot):
    """The user named it, so the user hears that it is not there."""
    path = corpus("in.txt", LINES)
    before = snapshot(home)
    ran = cli("shuffle", path, "-o", "out.txt", "--temp-dir", "no/such", "--strategy", "partition")
    assert ran.code in {cls.exit_code for cls in CLASSES.values()} - {1}
    assert "no/such" in ran.err
    assert "Traceback" not in ran.err
    assert snapshot(home) == before


@pytest.mark.parametrize("change", ["grew", "shrank"])
def test_an_input_that_changes_during_the_run_is_noticed(change, start, corpus, home):
    """Half of one version and half of another is no corpus."""
    path = corpus("in.txt", LINES * 20)
    child = start("shuffle", "-", path, "-o", "out.txt", "--threads", 1)
    child.stdin.write(LINES * 600)  # more than a look at the input takes: the run has begun
    child.stdin.flush()
    if change == "grew":
        with path.open("ab") as file:
            file.write(b"one more\n")
    else:
        os.truncate(path, 1000)
    out, err = child.communicate(timeout=60)
    assert child.returncode == errors.InputChanged.exit_code, err
    assert b"in.txt" in err
    assert b"Traceback" not in err
    assert out == b""
    assert os.listdir(home) == ["in.txt"]


def test_messages_end_with_a_hint_on_a_line_of_its_own(cli, corpus):
    """What, where, how much; then what to do. No colour codes in a pipe."""
    ran = cli("shuffle", corpus("in.txt", LINES), "--memory", "1MB")
    lines = ran.err.strip().splitlines()
    assert any(line.strip().startswith("hint:") for line in lines)
    assert "\x1b" not in ran.err


@pytest.mark.parametrize(
    "name", ["https://x.org/o?sig=secret", "hf://datasets/o/n/x", "file:///tmp/x/o"]
)
def test_an_output_where_none_can_be_is_refused_before_any_work(name, cli, home):
    """And no directory `https:` is asked for."""
    (home / "in.txt").write_bytes(b"a\n")
    for command in (
        ("shuffle", "in.txt", "-o", name),
        ("plan", "in.txt", "-o", name),
        ("query", "in.txt", "select 1", "-o", name),
        ("ingest", name, "in.txt"),
    ):
        ran = cli(*command)
        assert ran.code == 15, ran.err
        assert ("a store is a file" if command[0] == "ingest" else "no place for an") in ran.err
        assert "secret" not in ran.err
    assert sorted(path.name for path in home.iterdir()) == ["in.txt"]
