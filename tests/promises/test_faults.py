"""What goes wrong around a run: limits, folders that vanish, other runs, kills at any moment."""

import contextlib
import os
import random
import re
import resource
import shutil
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import reference

from dbshuf import errors

ROWS, WIDTH = 400_000, 147  # 59 MB
LIMITS = ("--memory", "400MB", "--strategy", "partition", "--temp-dir", "temp", "--seed", "1")


@pytest.fixture
def work(home: Path) -> Path:
    """A folder with an input and an empty `temp`."""
    reference.write_numbered(home / "in.txt", ROWS, WIDTH)
    (home / "temp").mkdir()
    return home


def limited(start, number: int, limit: int, *args: object) -> tuple[int, str]:
    """Run under a limit of the system; return the exit code and what was said."""
    child = start(*args, preexec_fn=lambda: resource.setrlimit(number, (limit, limit)))
    _, err = child.communicate(timeout=60)
    return child.returncode, err.decode()


@pytest.mark.parametrize(
    ("output", "options", "said"),
    [
        ("out.txt", LIMITS, {errors.TempUnusable.exit_code}),
        ("shards/", ("--shards", 2, *LIMITS), {errors.TempUnusable.exit_code}),
        ("out.txt", ("--strategy", "memory", "--seed", "1"), {errors.OutputUnwritable.exit_code}),
    ],
)
def test_a_limit_on_the_size_of_files_is_named_and_nothing_is_left(
    output, options, said, *, start, work, snapshot
):
    """`ulimit -f`: the error is the system's own, and the old output stays."""
    (work / "out.txt").write_bytes(b"old")
    before = snapshot(work)
    size = 20 << 20
    code, err = limited(
        start, resource.RLIMIT_FSIZE, size, "shuffle", "in.txt", "-o", output, *options
    )
    assert code in said, err
    assert "File too large" in err
    assert "Traceback" not in err
    assert snapshot(work) == before


@pytest.mark.parametrize("strategy", ["memory", "partition", "spill"])
def test_thirty_two_open_files_are_enough(strategy, start, work):
    """Buckets and shards take no descriptor each."""
    args = ("shuffle", "in.txt", "-o", "shards/", "--shards", 64, "--strategy", strategy)
    code, err = limited(start, resource.RLIMIT_NOFILE, 32, *args)
    assert code == 0, err
    assert len(list((work / "shards").glob("part-*"))) == 64


@pytest.mark.parametrize("strategy", ["partition", "spill"])
def test_memory_that_the_system_refuses_is_known_before_work(strategy, start, work, snapshot):
    """`ulimit -v` below what --memory needs: refused in words, and the limit that is named works.

    glibc ends a process, with code 127 and no way to be told, where a thread has no room.
    """
    before = snapshot(work)
    args = ("shuffle", "in.txt", "-o", "out.txt", *LIMITS, "--threads", 2, "--strategy", strategy)
    for room_mib in (300, 800):
        code, err = limited(start, resource.RLIMIT_AS, room_mib << 20, *args)
        assert code == errors.MemoryRefused.exit_code, err
        assert f"{room_mib}MiB" in err
        assert "ulimit -v" in err
        assert snapshot(work) == before
    (named,) = re.findall(r"ulimit -v (\d+)", err)
    code, err = limited(start, resource.RLIMIT_AS, int(named) << 10, *args)
    assert code == 0, err


@pytest.mark.parametrize("command", ["verify", "report"])
def test_memory_that_is_refused_is_known_before_files_are_compared(command, start, work):
    """As of a shuffle."""
    page = ("-o", "page.html") if command == "report" else ()
    args = (command, "in.txt", "in.txt", *page, "--memory", "400MB", "--threads", 2)
    code, err = limited(start, resource.RLIMIT_AS, 700 << 20, *args)
    assert code == errors.MemoryRefused.exit_code, err
    (named,) = re.findall(r"ulimit -v (\d+)", err)
    code, err = limited(start, resource.RLIMIT_AS, int(named) << 10, *args)
    assert code == 0, err
    assert (work / "page.html").exists() == (command == "report")


def test_memory_by_default_follows_the_limit_of_the_system(start, work):
    """Who names no --memory is not sent away for half of the machine's being too much."""
    code, err = limited(start, resource.RLIMIT_AS, 1200 << 20, "plan", "in.txt", "--threads", 2)
    assert code == 0, err


def test_an_output_folder_that_vanishes_is_an_error(start, wait_for, work):
    """Somebody cleaned up; nothing is left elsewhere."""
    (work / "out").mkdir()
    child = start("shuffle", "-", "-o", "out/out.txt", *LIMITS)
    child.stdin.write(b"a line\n" * 30_000)  # more than is looked at before the plan
    child.stdin.flush()
    wait_for(lambda: any((work / "temp").iterdir()), "the run at work")
    shutil.rmtree(work / "out")
    _, err = child.communicate(timeout=60)
    assert child.returncode == errors.OutputUnwritable.exit_code
    assert b"out/out.txt" in err
    assert os.listdir(work / "temp") == []


def test_two_runs_with_one_output_leave_one_of_both_whole(start, work, cli):
    """The last one to end has its rows there, all of them, in its own order."""
    expected = set()
    for seed in "12":
        assert cli("shuffle", "in.txt", "-o", "one.txt", "--seed", seed).code == 0
        expected.add((work / "one.txt").read_bytes())
    children = [start("shuffle", "in.txt", "-o", "out.txt", "--seed", seed) for seed in "12"]
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    assert (work / "out.txt").read_bytes() in expected
    assert sorted(os.listdir(work)) == ["in.txt", "one.txt", "out.txt", "temp"]


def test_of_two_ingests_into_one_store_the_second_is_refused(start, wait_for, work, cli):
    """DuckDB lets one process write; the first is not disturbed."""
    assert cli("ingest", "s.duckdb", "in.txt").code == 0
    shutil.copy(work / "in.txt", work / "more.txt")
    first = start("ingest", "s.duckdb", "more.txt", "--temp-dir", "temp")
    wait_for(lambda: any((work / "temp").iterdir()), "the first at work")
    for command, code in (
        (("ingest", "s.duckdb", "more.txt"), errors.OutputUnwritable.exit_code),
        (("export", "s.duckdb", "-o", "out.txt"), errors.InputUnreadable.exit_code),
    ):
        ran = cli(*command)
        assert ran.code in {0, code}, ran.err
        assert ran.code == 0 or "another program has it open" in ran.err
    _, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    ran = cli("export", "s.duckdb", "-o", "out.txt", "--seed", 1)
    assert ran.code == 0, ran.err
    assert (work / "out.txt").stat().st_size == 2 * ROWS * WIDTH


def test_a_run_killed_at_any_moment_leaves_the_old_output_or_the_new(work, cli):
    """Fifty kills of runs at work: a reader never sees half, and the last run leaves nothing."""
    line = ("shuffle", "in.txt", "-o", "out.txt", *LIMITS)
    cli("--help", fresh=False)  # a run is a fork of what this loads
    begin_s = time.monotonic()
    assert cli("shuffle", "in.txt", "-o", "new.txt", *LIMITS, fresh=False).code == 0
    took_s = time.monotonic() - begin_s
    new = (work / "new.txt").read_bytes()
    out = work / "out.txt"
    chance = random.Random(7)
    seen = set()
    for _ in range(50):
        out.write_bytes(b"old")
        with contextlib.suppress(subprocess.TimeoutExpired):  # SIGKILL
            cli(*line, timeout_s=chance.uniform(0, 1.1 * took_s), fresh=False)
        found = out.read_bytes()
        assert found in (b"old", new)
        seen.add(found)
    assert b"old" in seen
    assert cli(*line).code == 0
    assert out.read_bytes() == new
    assert sorted(os.listdir(work)) == ["in.txt", "new.txt", "out.txt", "temp"]
    assert os.listdir(work / "temp") == []


def test_a_flipped_bit_in_what_was_written_to_parquet_is_found(work, cli):
    """Every page carries a checksum, also where nothing is compressed."""
    ran = cli("shuffle", "in.txt", "-o", "out.parquet", "--compression", "none", "--seed", 1)
    assert ran.code == 0, ran.err
    data = bytearray((work / "out.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (work / "bad.parquet").write_bytes(data)
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(work / "bad.parquet", page_checksum_verification=True)
    assert pq.read_table(work / "out.parquet", page_checksum_verification=True).num_rows == ROWS
