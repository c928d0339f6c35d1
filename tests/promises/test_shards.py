"""Shards: a directory of files that, read in the order of their names, are the one order."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from output_files import data_files

import dbshuf

LINES = b"".join(b"%d %s\n" % (i, b"x" * (i % 50)) for i in range(3000)) + b"\nlast"
ROWS = reference.keyed([LINES], "42")
WANT = reference.shuffled([LINES], "42")


def read_text(path: Path) -> bytes:
    if path.suffix == ".zst":
        with pa.input_stream(str(path), compression="zstd") as stream:
            return stream.read()
    if path.suffix == ".parquet":
        return "".join(f"{line}\n" for line in pq.read_table(path)["line"].to_pylist()).encode()
    return path.read_bytes()


def parts(directory: Path, suffix: str = ".txt") -> list[bytes]:
    """Return the shards' lines in the order of their names, which must say N of N."""
    names = [path.name for path in data_files(directory)]
    assert names == [f"part-{i:05}-of-{len(names):05}{suffix}" for i in range(len(names))]
    return [read_text(directory / name) for name in names]


def key_ranges(shards: int) -> list[bytes]:
    cut: list[list[bytes]] = [[] for _ in range(shards)]
    for key, line in ROWS:
        cut[key * shards >> 64].append(line)
    return [b"".join(lines) for lines in cut]


@pytest.mark.parametrize("strategy", ["memory", "spill", "partition"])
@pytest.mark.parametrize("shards", [1, 7, 64])
def test_shards_cut_at_equal_ranges_of_the_key(shards, strategy, cli, corpus, home):
    """Shard i holds keys in [i*2^64/N, (i+1)*2^64/N), so another machine can make it alone."""
    path = corpus("in.txt", LINES)
    ran = cli(
        "shuffle", path, "-o", "out/", "--shards", shards, "--seed", "42", "--strategy", strategy
    )
    assert ran.code == 0, ran.err
    assert parts(home / "out") == key_ranges(shards)


def test_shards_without_a_row_are_still_there(cli, corpus, home):
    """N means N files: a loader that opens part i of N must find it."""
    ran = cli("shuffle", corpus("in.txt", b"one\n"), "-o", "out", "--shards", 9, "--seed", "42")
    assert ran.code == 0, ran.err
    got = parts(home / "out")
    assert (len(got), b"".join(got)) == (9, b"one\n")
    assert got[reference.key(0, "42") * 9 >> 64] == b"one\n"


@pytest.mark.parametrize("format_", ["txt", "txt.zst", "parquet"])
@pytest.mark.parametrize("strategy", ["memory", "partition"])
def test_every_format_of_shards_holds_the_same_lines(format_, strategy, cli, corpus, home):
    """--format names what the shards are; their names say it too."""
    path = corpus("in.txt", LINES)
    for option, number in (("--shards", 4), ("--shard-rows", 700)):
        ran = cli(
            "shuffle",
            path,
            "-o",
            f"out{option}",
            option,
            number,
            "--seed",
            "42",
            "--format",
            format_,
            "--strategy",
            strategy,
        )
        assert ran.code == 0, ran.err
        got = parts(home / f"out{option}", f".{format_}")
        assert b"".join(got) == WANT
        assert option != "--shards" or got == key_ranges(4)


@pytest.mark.parametrize("strategy", ["memory", "spill", "partition"])
@pytest.mark.parametrize("rows", [1, 999, 5000])
def test_shard_rows_cuts_the_one_order_by_rows(rows, strategy, cli, corpus, home):
    """Every shard is full but the last."""
    data, text = (LINES, WANT) if rows > 1 else (b"c\nb\na\n", None)
    path = corpus("in.txt", data)
    ran = cli(
        "shuffle", path, "-o", "out", "--shard-rows", rows, "--seed", "42", "--strategy", strategy
    )
    assert ran.code == 0, ran.err
    got = parts(home / "out")
    assert b"".join(got) == (text or reference.shuffled([data], "42"))
    counts = [shard.count(b"\n") for shard in got]
    assert counts[:-1] == [rows] * (len(counts) - 1)
    assert 0 < counts[-1] <= rows


@pytest.mark.parametrize("strategy", ["memory", "spill", "partition"])
@pytest.mark.parametrize("size", ["1", "10KB", "10KiB"])
def test_shard_bytes_cuts_the_one_order_by_size(size, strategy, cli, corpus, home):
    """No shard is larger than asked for unless one line alone is; none could take more."""
    data = LINES if size != "1" else b"ccc\nb\n\naaaaa\n"
    path = corpus("in.txt", data)
    ran = cli(
        "shuffle", path, "-o", "out", "--shard-bytes", size, "--seed", "42", "--strategy", strategy
    )
    assert ran.code == 0, ran.err
    got = parts(home / "out")
    assert b"".join(got) == reference.shuffled([data], "42")
    limit = {"1": 1, "10KB": 10_000, "10KiB": 10_240}[size]
    assert all(len(shard) <= limit or shard.count(b"\n") == 1 for shard in got)
    nexts = [shard.split(b"\n")[0] + b"\n" for shard in got[1:]]
    assert all(len(a) + len(b) > limit for a, b in zip(got, nexts, strict=False))


@pytest.mark.parametrize("cut", [("--shards", 5), ("--shard-rows", 800), ("--shard-bytes", "20KB")])
@pytest.mark.parametrize("strategy", ["memory", "partition"])
def test_the_header_is_at_the_head_of_every_shard(cut, strategy, cli, corpus, home):
    """Each shard can be read alone; also a shard without rows."""
    head = b"id\ttext\n#\n"
    files = [corpus("a.tsv", head + LINES), corpus("b.tsv", head + b"b\n")]
    ran = cli(
        "shuffle", *files, "-o", "out", *cut, "--header", 2, "--seed", "42", "--strategy", strategy
    )
    assert ran.code == 0, ran.err
    got = parts(home / "out")
    assert all(shard.startswith(head) for shard in got)
    body = b"".join(shard.removeprefix(head) for shard in got)
    assert body == reference.shuffled([head + LINES, head + b"b\n"], "42", header=2)


def test_shards_go_to_a_new_directory_and_to_an_empty_one(cli, corpus, home):
    """Both hold nothing that could be lost."""
    path = corpus("in.txt", LINES)
    (home / "empty").mkdir()
    for name in ("empty", "new"):
        assert cli("shuffle", path, "-o", name, "--shards", 2, "--seed", "42").code == 0
        assert b"".join(parts(home / name)) == WANT


@pytest.mark.parametrize("hidden", ["notes.md", ".hidden"])
def test_a_directory_that_is_not_empty_needs_force(hidden, cli, corpus, home, snapshot):
    """Shards of two runs in one directory would be read as one corpus."""
    path = corpus("in.txt", LINES)
    corpus(f"out/{hidden}", b"mine")
    before = snapshot(home)
    ran = cli("shuffle", path, "-o", "out", "--shards", 2, "--seed", "42")
    assert ran.code == 14
    assert "out" in ran.err
    assert "hint:" in ran.err
    assert "--force" in ran.err
    assert snapshot(home) == before
    forced = cli("shuffle", path, "-o", "out", "--shards", 2, "--seed", "42", "--force")
    assert forced.code == 0, forced.err


def test_force_leaves_no_shards_of_an_earlier_run_to_be_read_as_these(cli, corpus, home):
    """Five old parts beside two new ones would repeat most lines to whoever globs part-*."""
    path = corpus("in.txt", LINES)
    assert cli("shuffle", path, "-o", "out", "--shards", 5, "--seed", "1").code == 0
    ran = cli("shuffle", path, "-o", "out", "--shards", 2, "--seed", "42", "--force")
    assert ran.code == 0, ran.err
    found = sorted((home / "out").glob("part-*"))
    assert b"".join(map(read_text, found)) == WANT


LAYOUTS = [
    {"shards": 2},
    {"shards": 1, "split": "train=0.5,test=0.5"},
    {"shards": 1, "split": "train=0.5,valid=0.5"},
    {"partition_by": "n"},
    {"shards": 1, "split": "train=0.5,test=0.5"},
    {"shards": 1, "epochs": 2},
    {"shards": 3},
]


def test_force_leaves_no_rows_of_an_older_run_whatever_its_folders_were(home):
    """Of splits, epochs and values, too; what no run wrote stays."""
    (home / "in.csv").write_text("n,x\n" + "".join(f"{i % 3},{i}\n" for i in range(40)))
    (home / "out/mine").mkdir(parents=True)
    (home / "out/mine/part-00000-of-00001.csv").touch()

    def made(out, **told):
        told |= {"input_format": "csv", "format": "csv", "seed": 42, "memory": "2GB"}
        dbshuf.shuffle(home / "in.csv", f"{home}/{out}/", **told)
        return {str(path.relative_to(home / out)) for path in (home / out).rglob("*.*")}

    for number, layout in enumerate(LAYOUTS):
        new = made(f"new-{number}", **layout)
        assert made("out", **layout, force=True) == {*new, "mine/part-00000-of-00001.csv"}


def test_a_failed_forced_run_leaves_the_earlier_shards_as_they_were(cli, corpus, home, snapshot):
    """--force allows to replace, not to destroy."""
    path = corpus("in.txt", LINES)
    assert cli("shuffle", path, "-o", "out", "--shards", 3, "--format", "parquet").code == 0
    corpus("bad.txt", LINES + b"\n\xff\n")
    before = snapshot(home)
    for cut in (("--shards", 3), ("--shard-rows", 100)):
        ran = cli("shuffle", "bad.txt", "-o", "out", *cut, "--format", "parquet", "--force")
        assert ran.code == 8, ran.err
        assert snapshot(home) == before


def test_a_failed_run_leaves_no_new_directory(cli, corpus, home, snapshot):
    """Nothing half-written stays, an empty directory neither."""
    corpus("bad.txt", LINES + b"\n\xff\n")
    before = snapshot(home)
    ran = cli("shuffle", "bad.txt", "-o", "out", "--shards", 3, "--format", "parquet")
    assert ran.code == 8, ran.err
    assert snapshot(home) == before


def test_more_shards_than_open_files_work(cli, corpus, home):
    """Hundreds of shards must not need hundreds of descriptors at once."""
    path = corpus("in.txt", LINES)
    for format_ in ("txt", "txt.zst"):
        ran = cli(
            "shuffle",
            path,
            "-o",
            format_,
            "--shards",
            300,
            "--seed",
            "42",
            "--format",
            format_,
            nofile=(64, 64),
        )
        assert ran.code == 0, ran.err
        assert b"".join(parts(home / format_, f".{format_}")) == WANT


@pytest.mark.parametrize(
    "options",
    [
        ("--shards", "2", "--shard-rows", "5"),
        ("--shards", "2", "--shard-bytes", "5KB"),
        ("--shard-rows", "2", "--shard-bytes", "5KB"),
        ("--shards", "0"),
        ("--shard-rows", "0"),
        ("--shard-bytes", "0"),
        ("--shards", "2", "--format", "docx"),
        ("--shards", "-3"),
    ],
)
def test_options_that_cannot_be_met_are_refused_before_any_work(
    options, cli, corpus, home, snapshot
):
    """Two ways to cut cannot both hold; zero of anything is no cut."""
    path = corpus("in.txt", LINES)
    before = snapshot(home)
    ran = cli("shuffle", path, "-o", "out", *options)
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err
    assert snapshot(home) == before


def test_shards_to_stdout_or_over_a_file_are_refused(cli, corpus, home, snapshot):
    """Shards need a directory; a file of that name is somebody's."""
    path, _ = corpus("in.txt", LINES), corpus("out", b"mine")
    before = snapshot(home)
    for options in (("--shards", 2), ("-o", "out", "--shards", 2)):
        ran = cli("shuffle", path, *options)
        assert ran.code in (2, 14, 15), ran.err
        assert re.search("out|director|-o|--output", ran.err)
        assert "Traceback" not in ran.err
        assert ran.out == b""
        assert snapshot(home) == before
