"""What a killed run leaves: the next run removes it and says so; what is in use stays."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import reference
from output_files import MARKS

from dbshuf.base import leftovers
from dbshuf.base.leftovers import State, find_leftovers, remove_leftovers

ROWS, WIDTH = 700_000, 147  # 103 MB, long enough to be caught at work
RUN = ("--strategy", "partition", "--memory", "400MB", "--temp-dir", "temp", "--seed", "1")


@pytest.fixture
def work(home: Path) -> Path:
    """A folder with a large input and an empty `temp`."""
    reference.write_numbered(home / "in.txt", ROWS, WIDTH)
    (home / "temp").mkdir()
    return home


def hidden(top: Path) -> list[str]:
    """Return all hidden names of a folder and of its `temp`."""
    return sorted(
        f"{folder.name}/{name}"
        for folder in (top, top / "temp")
        if folder.is_dir()
        for name in os.listdir(folder)
        if name.startswith(".")
    )


def killed(
    start: Callable, wait_for: Callable, work: Path, *args: object, seen: str = ".dbshuf-*/*"
) -> None:
    """Begin a run, and kill it once there is something in `temp`."""
    child = start(*args)
    try:
        wait_for(lambda: any((work / "temp").glob(seen)), "temporary data")
    finally:
        child.kill()
    child.communicate()


@pytest.mark.parametrize("output", ["out.txt", "out.parquet", "shards/"])
def test_the_next_run_removes_what_a_killed_one_left_and_says_so(
    output, start, wait_for, work, cli
):
    """Two kills leave nothing that a third run does not take away."""
    shards = ["--shards", 3] if output == "shards/" else []
    for _ in range(2):
        killed(start, wait_for, work, "shuffle", "in.txt", "-o", output, *shards, *RUN)
        assert hidden(work)
    ran = cli("shuffle", "in.txt", "-o", output, *shards, *RUN)
    assert ran.code == 0, ran.err
    assert "that killed runs left in" in ran.err
    assert ran.err.count("killed runs") == 1
    assert hidden(work) == []


def test_a_run_inside_a_directory_of_shards_is_cleaned_up_after_too(start, wait_for, work, cli):
    """--force into a full directory grows hidden in it."""
    (work / "shards").mkdir()
    (work / "shards" / "part-00000-of-00001.txt").write_bytes(b"old\n")
    run = ("shuffle", "in.txt", "-o", "shards/", "--shards", 2, "--force", *RUN)
    killed(start, wait_for, work, *run)
    assert any(name.startswith(".") for name in os.listdir(work / "shards"))
    assert (work / "shards" / "part-00000-of-00001.txt").read_bytes() == b"old\n"
    assert cli(*run).code == 0
    names = [f"part-0000{n}-of-00002.txt" for n in (0, 1)]
    assert sorted(os.listdir(work / "shards")) == [*MARKS, *names]


def test_a_run_that_lives_is_never_touched(start, wait_for, work, cli):
    """Two runs in one folder, one of them stopped for long: both end with their rows."""
    child = start("shuffle", "in.txt", "-o", "slow.txt", *RUN)
    wait_for(lambda: any((work / "temp").glob(".dbshuf-*/*")), "temporary data")
    child.send_signal(signal.SIGSTOP)
    before = hidden(work)
    ran = cli("shuffle", "in.txt", "-o", "quick.txt", *RUN)
    assert ran.code == 0, ran.err
    assert "killed runs" not in ran.err
    assert hidden(work) == before
    listed = cli("clean", ".", "temp")
    assert listed.code == 0
    assert listed.out.count(b"in use") == 2
    assert hidden(work) == before
    child.send_signal(signal.SIGCONT)
    child.communicate(timeout=60)
    assert child.returncode == 0
    assert (work / "slow.txt").read_bytes() == (work / "quick.txt").read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="a pid space of its own needs root")
def test_a_run_in_another_pid_space_is_seen_to_live(start, wait_for, work):
    """In a container this run has pid 1, as some other process has outside: locks decide."""
    child = start("shuffle", "in.txt", "-o", "out.txt", *RUN)
    wait_for(lambda: any((work / "temp").glob(".dbshuf-*/*")), "temporary data")
    child.send_signal(signal.SIGSTOP)
    code = "from dbshuf.base.leftovers import remove_leftovers as r; from pathlib import Path; "
    script = f"{code}print(len(r([Path('temp'), Path('.')])))"
    command = ["unshare", "--pid", "--fork", "--mount-proc", child.args[0], "-c", script]
    looked = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    child.send_signal(signal.SIGCONT)
    child.communicate(timeout=60)
    if "unshare" in looked.stderr:
        pytest.skip("no pid spaces here")
    assert looked.stdout == "0\n", looked.stderr
    assert child.returncode == 0


def test_a_killed_ingest_leaves_no_half_store(start, wait_for, work, cli):
    """The store is there or not; the next ingest takes away what was hidden."""
    run = ("ingest", "s.duckdb", "in.txt", "--temp-dir", "temp")
    killed(start, wait_for, work, *run, seen=".dbshuf-*")
    ran = cli("ingest", "s.duckdb", "in.txt", "--temp-dir", "temp")
    assert ran.code == 0, ran.err
    assert hidden(work) == []
    counted = cli("query", "in.txt", "select count(*) as n from lines")
    assert counted.out.split() == [b"n", str(ROWS).encode()]


def leave(folder: Path, name: str = ".out.txt.dbshuf-0123abcd", **owner: object) -> Path:
    """Make what a dead run would have left."""
    path = folder / name
    path.mkdir(mode=0o700)
    (path / "rows").write_bytes(b"x" * 1000)
    record = {"pid": 7, "started": 1.7e9, "host": "elsewhere", "boot": "other"} | owner
    path.with_name(name + ".owner").write_text(json.dumps(record))
    return path


def test_what_another_machine_left_on_a_shared_disk_is_its_own(home, monkeypatch):
    """There a lock may not be seen from here: it is listed, with its host, and kept."""
    left = leave(home)
    monkeypatch.setattr(leftovers, "file_system", lambda device: "nfs4")
    assert remove_leftovers([home]) == []
    (found,) = find_leftovers(home)
    assert (found.state, found.size_bytes) == (State.ELSEWHERE, 1000)
    assert found.owner is not None
    assert found.owner.host == "elsewhere"
    monkeypatch.undo()
    assert [one.path for one in remove_leftovers([home])] == [left]  # a disk of this machine
    assert os.listdir(home) == []


def test_clean_lists_and_removes(cli, home):
    """--dry-run lists alone."""
    leave(home)
    for options in (["--dry-run"], []):
        ran = cli("clean", ".", *options)
        assert ran.code == 0, ran.err
        assert b"1 kB, left behind, of process 7 on elsewhere, begun 2023-11-1" in ran.out
        assert (home / ".out.txt.dbshuf-0123abcd").exists() == bool(options)
    assert os.listdir(home) == []
    ran = cli("clean", ".")
    assert (ran.code, ran.out) == (0, b"")
    assert "nothing was left behind" in ran.err
    assert cli("clean", "nowhere").code == 3


def test_clean_takes_a_directory_once_that_is_named_twice(cli, home):
    left = leave(home)
    (home / "link").symlink_to(home)
    ran = cli("clean", ".", "./", home, "link")
    assert (ran.code, ran.out.count(b": removed"), ran.out.count(b"\n")) == (0, 1, 1), ran.err
    assert not left.exists()


def test_no_link_is_followed(home):
    """Who may write into a shared folder cannot have other files removed."""
    kept = home / "kept"
    kept.mkdir()
    (kept / "file").write_bytes(b"mine")
    temp = home / "temp"
    temp.mkdir()
    left = leave(temp)
    shutil.rmtree(left)
    left.symlink_to(kept)
    (temp / ".dbshuf-89abcdef.owner").symlink_to(kept / "file")
    remove_leftovers([temp])
    assert (kept / "file").read_bytes() == b"mine"
    assert os.listdir(temp) == [".dbshuf-89abcdef.owner"]


def test_names_that_only_look_alike_stay(home):
    """Hidden files of other programs, and what has no record, are nobody's leftovers."""
    for name in (".dbshuf-0123abcd", ".env", ".x.dbshuf-0123.owner", "a.dbshuf-0123abcd.owner"):
        (home / name).write_bytes(b"1")
    before = sorted(os.listdir(home))
    assert remove_leftovers([home]) == []
    assert sorted(os.listdir(home)) == before
