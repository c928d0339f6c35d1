"""Ended early: signals, closed pipes, full disks. The old output lives, the temporary is gone."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import reference
from disks import sized

from dbshuf import errors

LINES = b"".join(b"%d some words on a line\n" % i for i in range(20_000))
ROWS, WIDTH = 1_400_000, 147  # 206 MB, long enough to be caught at work
FULL = {errors.TempSpaceShort.exit_code, errors.OutputSpaceShort.exit_code}


def as_the_shell_sees(code: int) -> int:
    return code if code >= 0 else 128 - code


def hidden_in(top: Path) -> list[str]:
    """Return the hidden names under a directory, those in its `temp` left out."""
    return [
        name
        for directory, folders, files in os.walk(top)
        if "temp" not in Path(directory).parts
        for name in folders + files
        if name.startswith(".")
    ]


@pytest.fixture
def disk(home: Path) -> Iterator[Path]:
    """A file system of 20 MB, really full when it is full."""
    with sized(home.parent / "disk", "size=20m") as top:
        yield top


@pytest.mark.parametrize(
    ("moment", "output", "number"),
    [
        ("waiting for stdin", "out.txt", signal.SIGINT),
        ("waiting for stdin", "out.txt", signal.SIGTERM),
        ("temp in use", "out.txt", signal.SIGTERM),
        ("output in the making", "out.txt", signal.SIGINT),
        ("output in the making", "out.parquet", signal.SIGTERM),
        ("output in the making", "shards/", signal.SIGINT),
    ],
)
def test_a_signal_ends_a_run_and_leaves_nothing(
    number, moment, output, *, start, wait_for, home, corpus, snapshot
):
    """Ctrl-C, and SIGTERM of a batch system: temporary data gone, the old output untouched."""
    reference.write_numbered(home / "in.txt", ROWS, WIDTH)
    shards = ["--shards", 3, "--force"] if output == "shards/" else []
    corpus(output + "part-00000-of-00001.txt" if shards else output, b"old")
    (home / "temp").mkdir()
    before = snapshot(home)
    inputs = ["-"] if moment == "waiting for stdin" else ["in.txt"]
    child = start(
        "shuffle",
        *inputs,
        "-o",
        output,
        *shards,
        "--strategy",
        "partition",
        "--memory",
        "400MB",
        "--temp-dir",
        "temp",
    )
    if moment == "waiting for stdin":
        for _ in range(20):  # more than a pipe holds: the run has begun
            child.stdin.write(LINES)
        child.stdin.flush()
    elif moment == "temp in use":
        wait_for(lambda: any((home / "temp").rglob("*")), "a temporary file")
    else:
        wait_for(lambda: hidden_in(home), "a hidden output")
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert as_the_shell_sees(child.returncode) == 128 + number, err
    assert b"Traceback" not in err
    assert out == b""
    assert snapshot(home) == before


@pytest.mark.parametrize(
    ("strategy", "number"), [("memory", signal.SIGTERM), ("spill", signal.SIGINT)]
)
def test_a_signal_ends_the_engine_soon_too(number, strategy, start, wait_for, home):
    """A sort inside the engine must not hold Ctrl-C back, nor keep its spill."""
    reference.write_numbered(home / "in.txt", ROWS, WIDTH)
    child = start("shuffle", "in.txt", "-o", "out.txt", "--strategy", strategy, "--memory", "1GB")
    wait_for(lambda: len(os.listdir(home)) > 1, "work in the output directory")
    child.send_signal(number)
    _, err = child.communicate(timeout=10)
    assert as_the_shell_sees(child.returncode) == 128 + number, err
    assert b"Traceback" not in err
    assert os.listdir(home) == ["in.txt"]


@pytest.mark.parametrize("strategy", ["memory", "spill", "partition"])
def test_a_closed_pipe_ends_the_run_quietly(strategy, start, home):
    """`dbshuf shuffle big | head -n 1` is how people look at a corpus."""
    reference.write_numbered(home / "in.txt", 200_000, WIDTH)
    child = start("shuffle", "in.txt", "--seed", "42", "--strategy", strategy)
    first = child.stdout.readline()
    child.stdout.close()
    err = child.stderr.read()
    assert child.wait(timeout=30) == 0
    assert err == b""
    keys = reference.keys_of(np.arange(200_000) * WIDTH, "42")
    assert int(first[:10]) == keys.argmin()
    assert os.listdir(home) == ["in.txt"]


def test_a_pipe_closed_before_the_first_byte_ends_quietly_too(start, corpus):
    """`| head -n 0`, or a pager that was quit while the sort ran."""
    child = start("shuffle", "-", "--seed", "42")
    child.stdout.close()
    child.stdin.write(LINES)
    child.stdin.close()
    assert child.stderr.read() == b""
    assert child.wait(timeout=30) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("data", [LINES, b"one line\n"])
def test_a_full_standard_output_is_an_error(data, cli):
    """`> /mnt/full/out.txt`: also when all fits into a buffer and only the flush fails."""
    with open("/dev/full", "wb") as full:
        ran = cli("shuffle", "-", stdin=data, stdout=full)
    assert ran.code in {*FULL, errors.OutputUnwritable.exit_code}, ran.err
    assert "Traceback" not in ran.err
    assert re.search(r"space|full", ran.err)


def test_too_little_temp_space_is_known_before_work(cli, home, disk, snapshot):
    """Needed and free are named; an hour is not lost to find out."""
    reference.write_numbered(home / "in.txt", ROWS, WIDTH)
    before = snapshot(home)
    ran = cli("shuffle", "in.txt", "-o", "out.txt", "--temp-dir", disk, "--strategy", "partition")
    assert ran.code == errors.TempSpaceShort.exit_code, ran.err
    assert max(ran.amounts()) >= ROWS * WIDTH
    assert min(ran.amounts()) <= 21_000_000
    assert "hint:" in ran.err
    assert "--temp-dir" in ran.err
    assert snapshot(home) == before
    assert os.listdir(disk) == []


@pytest.mark.parametrize("options", [(), ("--shards", 4), ("--strategy", "memory")])
def test_too_little_output_space_is_known_before_work(options, cli, home, disk, snapshot):
    """The output needs room of its own, wherever the temporary files go."""
    reference.write_numbered(home / "in.txt", ROWS, WIDTH)
    (home / "temp").mkdir()
    before = snapshot(home)
    ran = cli("shuffle", "in.txt", "-o", disk / "out", "--temp-dir", home / "temp", *options)
    assert ran.code == errors.OutputSpaceShort.exit_code, ran.err
    assert max(ran.amounts()) >= ROWS * WIDTH
    assert min(ran.amounts()) <= 21_000_000
    assert "hint:" in ran.err
    assert snapshot(home) == before
    assert os.listdir(disk) == []


def test_temp_and_output_on_one_disk_need_room_for_both(cli, home, disk):
    """Each alone would fit in 20 MB; both do not."""
    reference.write_numbered(home / "in.txt", 100_000, WIDTH)
    ran = cli("shuffle", "in.txt", "-o", disk / "out.txt", "--strategy", "partition")
    assert ran.code in FULL, ran.err
    assert "Traceback" not in ran.err
    assert os.listdir(disk) == []
    fits = cli(
        "shuffle", "in.txt", "-o", disk / "out.txt", "--strategy", "partition", "--temp-dir", home
    )
    assert fits.code == 0, fits.err


@pytest.mark.fresh
@pytest.mark.parametrize("strategy", ["spill", "partition"])
def test_a_temp_disk_that_fills_during_the_run_leaves_nothing(strategy, cli, home, disk, smallest):
    """Unknown sizes cannot be checked before; a full disk is named, not taken for memory."""
    reference.write_numbered(home / "in.txt", ROWS, WIDTH)
    (home / "out.txt").write_bytes(b"old")
    line = ("shuffle", "-", "-o", "out.txt", "--temp-dir", disk, "--strategy", strategy)
    cap = smallest(*line, stdin=home / "in.txt")
    ran = cli(*line, "--memory", cap, stdin=home / "in.txt")
    assert ran.code == errors.TempSpaceShort.exit_code, ran.err
    assert str(disk) in ran.err
    assert "Traceback" not in ran.err
    assert "hint:" in ran.err
    assert os.listdir(disk) == []
    assert (home / "out.txt").read_bytes() == b"old"
    assert sorted(os.listdir(home)) == ["in.txt", "out.txt"]


@pytest.mark.parametrize("name", ["out.txt", "out.parquet", "out.txt.zst", "shards"])
@pytest.mark.parametrize("strategy", ["memory", "partition"])
def test_an_output_disk_that_fills_during_the_run_keeps_the_old_output(
    name, strategy, cli, home, disk
):
    """The half-written file goes, the old one stays, and the message says which disk."""
    rows = 400_000
    path = reference.write_numbered(home / "in.txt", rows, WIDTH)
    shards = ("--shards", 3, "--force") if name == "shards" else ()
    old = disk / name
    if shards:
        old.mkdir()
        old /= "part-00000-of-00001.txt"
    old.write_bytes(b"old")
    (home / "temp").mkdir()
    ran = cli(
        "shuffle",
        "-",
        "-o",
        disk / name,
        *shards,
        "--temp-dir",
        home / "temp",
        "--strategy",
        strategy,
        stdin=path,
    )
    assert ran.code == errors.OutputSpaceShort.exit_code, ran.err
    assert str(disk) in ran.err
    assert "Traceback" not in ran.err
    assert old.read_bytes() == b"old"
    left = sorted(path.name for path in disk.rglob("*") if path.is_file())
    assert left == [old.name]
    assert os.listdir(home / "temp") == []
