"""Faults of disks and files that no test can order: put in where Python asks the system.

EDQUOT and EIO are injected as errors of the system's calls; inputs are changed, and folders made
read-only, at a stage of the run.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import Ran, child_environment
from fork_server import Call

from dbshuf import errors
from dbshuf.base.process_memory import cgroup_limits

LINES = b"".join(b"%07d some words on a line\n" % n for n in range(20_000))
SHUFFLE = ("shuffle", "in.txt", "-o", "out.txt", "--temp-dir", "temp", "--seed", "1")
PARTITION = (*SHUFFLE, "--strategy", "partition")

# Let one of the system's calls fail for files whose name has a part.
FAILING = """
import errno, os
given = os.{call}

def failing(fd, *rest):
    if {part!r} in os.readlink(f"/proc/self/fd/{{fd}}"):
        raise OSError(errno.{error}, os.strerror(errno.{error}))
    return given(fd, *rest)

os.{call} = failing
"""
AT_STAGE = """
import os
from dbshuf.base.progress import NoProgress

def stage(self, name, total_bytes):
    if name == {stage!r}:
        {action}

NoProgress.stage = stage
"""


@pytest.fixture
def work(home: Path) -> Path:
    (home / "temp").mkdir()
    (home / "in.txt").write_bytes(LINES)
    (home / "out.txt").write_bytes(b"old")
    return home


@pytest.fixture
def run(work: Path, fork_server):
    """Run the command in a fork, after some Python."""

    def begin(prelude: str, *args: str) -> Ran:
        script = work.parent / "prelude.py"
        script.write_text(prelude)
        arguments = tuple(os.fsencode(str(one)) for one in args)
        call = Call(arguments, work, child_environment(work), script=str(script))
        done = fork_server.run(call)
        return Ran(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

    return begin


@pytest.mark.parametrize(
    ("call", "part", "error", "expected", "said"),
    [
        ("pwrite", "/temp/", "EDQUOT", errors.TempSpaceShort, "temp"),
        ("pwrite", ".out.txt", "EDQUOT", errors.OutputSpaceShort, "out.txt"),
        ("pwrite", ".out.txt", "EIO", errors.OutputUnwritable, "out.txt"),
        ("fsync", ".out.txt", "EIO", errors.OutputUnwritable, "out.txt"),
        ("preadv", "/in.txt", "EIO", errors.InputUnreadable, "in.txt"),
        ("preadv", "/temp/", "EIO", errors.TempUnusable, "temp"),
        ("pwrite", "/temp/", "EIO", errors.TempUnusable, "temp"),
    ],
)
def test_an_error_of_the_disk_is_told_with_its_place(
    call, part, error, expected, said, *, run, work, snapshot
):
    """A quota, and a disk that fails in the middle: nothing is left, and the old output stays."""
    before = snapshot(work)
    ran = run(FAILING.format(call=call, part=part, error=error), *PARTITION)
    assert ran.code == expected.exit_code, ran.err
    assert said in ran.err
    assert os.strerror(getattr(__import__("errno"), error)).lower() in ran.err.lower() or (
        "full" in ran.err
    )
    assert "Traceback" not in ran.err
    assert snapshot(work) == before


@pytest.mark.parametrize("strategy", ["memory", "partition", "spill"])
@pytest.mark.parametrize(
    "action",
    [
        "os.unlink('in.txt')",
        "os.rename('in.txt', 'moved')",
        "open('in.txt', 'r+b').write(b'X')",
        "open('in.txt', 'ab').write(b'more')",
        "os.truncate('in.txt', 1000)",
        "open('new', 'wb').write(open('in.txt', 'rb').read()); os.replace('new', 'in.txt')",
    ],
)
def test_an_input_that_is_not_what_it_was_is_told(action, strategy, run, work):
    """Gone, another one, or another text: half of two versions is no corpus."""
    ran = run(AT_STAGE.format(stage="read", action=action), *SHUFFLE, "--strategy", strategy)
    codes = {errors.InputChanged.exit_code, errors.InputMissing.exit_code}
    assert ran.code in {*codes, errors.InputUnreadable.exit_code}, ran.err
    assert "in.txt" in ran.err
    assert (work / "out.txt").read_bytes() == b"old"
    assert os.listdir(work / "temp") == []
    assert [name for name in os.listdir(work) if name.startswith(".")] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_becomes_read_only_is_told(run, work):
    """The rename is refused; what is hidden there cannot be removed, and the next run does it."""
    (work / "out").mkdir()
    action = "os.chmod('out', 0o500)"
    args = ("shuffle", "in.txt", "-o", "out/o.txt", "--temp-dir", "temp")
    ran = run(AT_STAGE.format(stage="write", action=action), *args)
    (work / "out").chmod(0o700)
    assert ran.code == errors.OutputUnwritable.exit_code, ran.err
    assert "out/o.txt" in ran.err
    assert os.listdir(work / "temp") == []
    assert run("", *args).code == 0
    assert os.listdir(work / "out") == ["o.txt"]


def test_limits_of_cgroups_are_seen_in_both_versions(tmp_path):
    """Of every level above the process, the least counts."""
    facts = tmp_path / "cgroup"
    facts.write_text("0::/a/b\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "memory.max").write_text("900000000\n")
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    assert cgroup_limits(facts, tmp_path) == [900_000_000]
    facts.write_text("4:cpu:/x\n3:hugetlb,memory:/c\n1:name=systemd:/\n0::/\n")
    (tmp_path / "memory" / "c").mkdir(parents=True)
    (tmp_path / "memory" / "c" / "memory.limit_in_bytes").write_text("700000000\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert min(cgroup_limits(facts, tmp_path)) == 700_000_000
    assert cgroup_limits(tmp_path / "none", tmp_path) == []


def test_memory_by_default_is_half_of_a_real_cgroups(work):
    """In a container nobody has to say how much there is."""
    group = Path("/sys/fs/cgroup/memory/dbshuf-test")
    if not (group.parent / "memory.limit_in_bytes").exists():
        group = Path("/sys/fs/cgroup/dbshuf-test")
    v1, v2 = group / "memory.limit_in_bytes", group / "memory.max"
    try:
        group.mkdir(exist_ok=True)
        (v1 if v1.exists() else v2).write_text(str(800 << 20))
    except OSError:
        if group.is_dir():
            group.rmdir()
        pytest.skip("cgroups may not be made here")
    try:
        plan = subprocess.run(
            [sys.executable, "-m", "dbshuf", "plan", "in.txt", "-o", "o.txt"],
            cwd=work,
            preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        group.rmdir()
    assert "memory:       419 MB:" in plan.stdout
