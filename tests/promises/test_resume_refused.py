"""--work-dir: what is no longer the run that was begun is refused, by what differs."""

import os

import pytest
from kept_runs import SHARDS, died, lines_of, run

from dbshuf.api import ingest
from dbshuf.base.work_dir import WorkDir
from dbshuf.errors import RunDiffers, UsageError, WorkDirUnfit
from dbshuf.options import Options
from dbshuf.pipeline import identity
from dbshuf.plan.make_plan import plan_of
from dbshuf.units import utc_time


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": "2"}, ["--seed", "`1`", "`2`"]),
        ({"where": "bytes > 3"}, ["--where", "not given", "`bytes > 3`"]),
        ({"shards": 4}, ["--shards", "`3`", "`4`"]),
        ({"output": "elsewhere"}, ["--output", "/out`", "/elsewhere`"]),
        ({"inputs": ("a.txt",)}, ["number of inputs", "`5`", "`1`"]),
        ({"inputs": ("b.txt.gz", "a.txt", "small")}, ["name of input", "a.txt`", "b.txt.gz`"]),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_another_command_is_refused_by_the_name_of_what_differs(change, named, folder):
    """Nobody gets half of one run and half of another; memory and threads may differ."""
    died(folder)
    before = lines_of(folder / "work")
    with pytest.raises(RunDiffers) as raised:
        run(work_dir="work", **{**SHARDS, **change})
    assert all(word in str(raised.value) for word in named), raised.value
    assert "dbshuf clean" in raised.value.hint
    assert lines_of(folder / "work") == before


def test_an_input_that_changed_is_refused_by_what_changed_of_it(folder, monkeypatch):
    """By its size, its time, or, where both stayed, by its first and last bytes."""
    died(folder)
    path = folder / "a.txt"
    data, found = path.read_bytes(), path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 10))
    with pytest.raises(
        RunDiffers, match=rf"time of change.*`{utc_time(found.st_mtime_ns)}`, and is"
    ):
        run(work_dir="work", **SHARDS)
    path.write_bytes(b"Y" + data[1:])
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    with pytest.raises(RunDiffers, match=r"first and last bytes of input `a\.txt`"):
        run(work_dir="work", **SHARDS)
    path.write_bytes(data + b"more")
    with pytest.raises(RunDiffers, match=rf"size .*`{len(data)}`.*`{len(data) + 4}`"):
        run(work_dir="work", **SHARDS)
    path.write_bytes(data)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    was = identity._FORMAT
    with monkeypatch.context() as patched:
        patched.setattr(identity, "_FORMAT", 99)
        with pytest.raises(RunDiffers, match=f"the version of journal was `{was}`, and is `99`"):
            run(work_dir="work", **SHARDS)
    run(work_dir="work", **SHARDS)


def test_a_store_that_was_added_to_is_another_one(folder):
    """By its size or its time."""
    ingest("s.duckdb", "a.txt", memory="3GB")
    options = {"inputs": (), "store": "s.duckdb", "output": "out", "shards": 3}
    died(folder, 1, "runs", **options)
    os.utime("s.duckdb", ns=(0, 1))
    with pytest.raises(
        RunDiffers, match=r"of change of the store was .*, and is `1970-01-01T00:00"
    ):
        run(work_dir="work", **options)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"strategy": "memory"}, "--strategy is memory"),
        ({"engine": "sqlite"}, "--engine is sqlite"),
        ({"engine": "spark"}, "--engine is spark"),
        ({"temp_dir": "."}, "--temp-dir"),
        ({"output": None, "shards": None}, "standard output"),
        ({"output": "/dev/null", "shards": None}, "`/dev/null` is none"),
        ({"inputs": ("a.txt", "/dev/null")}, "`/dev/null` is no file"),
        ({"work_dir": "no/such/place"}, "cannot be made"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_what_cannot_be_gone_on_with_is_refused(options, why, folder):
    """Before any work, with the reason."""
    with pytest.raises(UsageError, match=why):
        plan_of(Options(**{**SHARDS, "work_dir": "work", **options}))
    assert not (folder / "work").exists()


def test_plan_refuses_the_work_dir_that_a_run_would_and_changes_none(folder):
    """A plan that says nothing of it would promise a run that cannot be."""
    (folder / "link").symlink_to("nowhere")
    for name, why in (("link", "symbolic link"), ("small", "holds other"), ("a.txt", "is no dir")):
        with pytest.raises(WorkDirUnfit, match=why):
            plan_of(Options(**{**SHARDS, "work_dir": name}))
    (folder / "there").mkdir(0o755)
    plan_of(Options(**{**SHARDS, "work_dir": "there"}))
    assert (folder / "there").stat().st_mode & 0o777 == 0o755


def test_a_work_dir_is_one_runs_alone(folder):
    """It is private, locked while in use, and no link; a directory that was there stays."""
    died(folder)
    work = folder / "work"
    assert work.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in work.iterdir()} == {0o600}
    held = WorkDir(work)
    with pytest.raises(WorkDirUnfit, match=f"in use by process {os.getpid()} on"):
        run(work_dir="work", **SHARDS)
    held.leave()
    (folder / "link").symlink_to(work)
    with pytest.raises(WorkDirUnfit, match="symbolic link"):
        run(work_dir="link", **SHARDS)
    with pytest.raises(WorkDirUnfit, match=r"holds other files, `0\.txt`"):
        run(work_dir="small", **SHARDS)
    (folder / "there").mkdir(0o755)
    run(work_dir="there", **{**SHARDS, "output": "other"})
    assert os.listdir(folder / "there") == []
    rows = work / "dbshuf-rows"
    rows.unlink()
    rows.symlink_to(folder / "a.txt")
    with pytest.raises(WorkDirUnfit, match="`dbshuf-rows` that no run has made"):
        run(work_dir="work", **SHARDS)
