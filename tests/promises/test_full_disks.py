"""Disks that are really full, of bytes and of files, wherever a run writes: nothing is left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from disks import sized

from dbshuf import errors

LINES = b"".join(b"%07d is a line of some length, as lines are\n" % n for n in range(20_000))
TEMP, OUTPUT = errors.TempSpaceShort.exit_code, errors.OutputSpaceShort.exit_code
SHUFFLE = ("shuffle", "-", "--memory", "400MB", "--seed", "1")
IS_TRIED_AGAIN = "DBSHUF_MOUNTS_IN_A_NAMESPACE"

# What writes where, with the sizes at which it is stopped at its first and at its last steps.
WRITERS = {
    "scatter": (*SHUFFLE, "-o", "out.txt", "--temp-dir", "DISK", "--strategy", "partition"),
    "sqlite": (*SHUFFLE, "-o", "out.txt", "--temp-dir", "DISK", "--engine", "sqlite"),
    "text": (*SHUFFLE, "-o", "DISK/out.txt", "--temp-dir", "temp"),
    "gzip": (*SHUFFLE, "-o", "DISK/out.txt.gz", "--temp-dir", "temp"),
    "parquet": (*SHUFFLE, "-o", "DISK/out.parquet", "--temp-dir", "temp"),
    "arrow": (*SHUFFLE, "-o", "DISK/out.arrow", "--temp-dir", "temp"),
    "shards": (*SHUFFLE, "-o", "DISK/out/", "--shards", 3, "--temp-dir", "temp"),
    "shard rows": (*SHUFFLE, "-o", "DISK/out/", "--shard-rows", 9000, "--temp-dir", "temp"),
    "split": (*SHUFFLE, "-o", "DISK/out.txt", "--split", "a=0.5,b=0.5", "--temp-dir", "temp"),
    "query": ("query", "in.txt", "select line from lines", "-o", "DISK/out.csv", "--quiet"),
    "duckdb store": ("ingest", "DISK/s.duckdb", "in.txt", "--temp-dir", "temp"),
    "sqlite store": ("ingest", "DISK/s.sqlite", "in.txt", "--temp-dir", "temp"),
}
SIZES = ["size=4k", "size=64k", "nr_inodes=1", "nr_inodes=2"]


@pytest.fixture
def work(home: Path) -> Path:
    (home / "temp").mkdir()
    (home / "in.txt").write_bytes(LINES)
    (home / "out.txt").write_bytes(b"old")
    return home


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_told_and_nothing_is_left(writer, work, cli, snapshot):
    """Of no bytes or no more files: the code says which folder, and old files are as they were."""
    before, seen = snapshot(work), set()
    for size in SIZES:
        with sized(work.parent / "disk", size) as disk:
            args = [str(part).replace("DISK", str(disk)) for part in WRITERS[writer]]
            ran = cli(*args, stdin=LINES)
            left = [str(path.relative_to(disk)) for path in disk.rglob("*")]
        is_denied = "sqlite store" in writer and size.startswith("nr")  # as SQLite calls it
        codes = {TEMP, OUTPUT} | ({errors.OutputUnwritable.exit_code} if is_denied else set())
        assert ran.code in codes, (size, ran.err)
        assert str(disk) in ran.err
        assert "Traceback" not in ran.err
        if "store" in writer:  # an empty one, with DuckDB's log of what it may do yet
            assert set(left) <= {"s.duckdb", "s.duckdb.wal", "s.sqlite"}
        else:
            assert left == [], size
        seen.add(ran.code)
    assert writer not in ("scatter", "sqlite") or TEMP in seen
    assert snapshot(work) == before


@pytest.mark.parametrize("name", ["s.duckdb", "s.sqlite"])
def test_a_store_on_a_full_disk_is_whole(name, work, cli):
    """What was added before is there, all of it; where space was freed, more goes in."""
    (work / "a.txt").write_bytes(b"first\n")
    (work / "c.txt").write_bytes(b"last\n")
    (work / "large.txt").write_bytes(LINES * 30)
    with sized(work.parent / "disk", "size=5m") as disk:
        store = disk / name
        assert cli("ingest", store, "a.txt").code == 0
        # As much memory as will do: SQLite writes what its cache does not hold.
        ran = cli("ingest", store, "large.txt", "--memory", "400MB", "--temp-dir", "temp")
        assert ran.code == OUTPUT, ran.err
        assert str(store) in ran.err
        assert sorted(cli("export", store, "--seed", 1).out.splitlines()) == [b"first"]
        # DuckDB's file stays as large as it grew, and its log wants room too.
        subprocess.run(["mount", "-o", "remount,size=6m", disk], check=True)
        assert cli("ingest", store, "c.txt").code == 0
        assert sorted(cli("export", store, "--seed", 1).out.splitlines()) == [b"first", b"last"]
        assert os.listdir(disk) == [name]
    assert os.listdir(work / "temp") == []


def test_a_full_disk_in_publish_keeps_the_shards_that_were_there(work, cli):
    """All but the last shard are written and synced by then."""
    with sized(work.parent / "disk", "size=860k") as disk:
        (disk / "out").mkdir()
        (disk / "out" / "part-00000-of-00001.txt").write_bytes(b"old")
        options = ("--shards", 4, "--force", "--temp-dir", "temp")
        ran = cli(*SHUFFLE, "-o", disk / "out", *options, stdin=LINES)
        assert ran.code == OUTPUT, ran.err
        found = [path for path in disk.rglob("*") if path.is_file()]
        assert [path.name for path in found] == ["part-00000-of-00001.txt"]
        assert found[0].read_bytes() == b"old"


@pytest.mark.skipif(
    os.geteuid() == 0 or IS_TRIED_AGAIN in os.environ, reason="root mounts without a namespace"
)
def test_the_same_as_another_user_than_root(tmp_path):
    """Who may not mount may do it in a namespace of mounts, where the system lets them make one."""
    within = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces here")
    command = [*within, sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'pytest'}", __file__, "-k", "scatter or parquet"],
        env={**os.environ, IS_TRIED_AGAIN: "1", "DBSHUF_REQUIRE_MOUNT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
