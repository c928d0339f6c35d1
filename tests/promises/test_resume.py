"""--work-dir: whatever ends a run, the same command goes on to the same bytes."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from kept_runs import (
    LINE_INPUTS,
    LINES,
    SHARDS,
    Told,
    die_at,
    died,
    digest,
    finished_shards,
    lines_of,
    manifest_of,
    outputs_of,
    run,
    spans_in,
    spoil,
)
from recorded_writes import Recorder, clear, disks, lay_out

from dbshuf.api import shuffle
from dbshuf.cli.clean import clean
from dbshuf.cli.options import CleanArguments
from dbshuf.options import Options
from dbshuf.pipeline import resume
from dbshuf.pipeline.published import Mark
from dbshuf.plan.make_plan import plan_of


@pytest.mark.parametrize(
    "options",
    [
        {"inputs": LINE_INPUTS, "output": "out.txt", "header": 1, "manifest": "m.json"},
        SHARDS,
        {"inputs": LINE_INPUTS, "output": "out", "shard_rows": 2500, "where": "bytes > 40"},
        {"inputs": ("t.parquet",), "output": "out", "shards": 3, "format": "parquet", "card": True},
        {"inputs": ("t.parquet",), "output": "out", "shard_bytes": 64_000, "format": "csv"},
        {"inputs": ("t.parquet",), "output": "out.csv", "select": "n, upper(text) as text"},
        {"inputs": LINE_INPUTS, "output": "out", "shards": 2, "split": "a=0.5,b=0.5"},
        {"inputs": LINE_INPUTS, "output": "o.parquet", "where": "line_number % 2", "manifest": "m"},
        {"inputs": ("t.parquet",), "output": "out.parquet", "split": "a=0.7,b=0.3"},
        {"inputs": ("t.parquet",), "output": "out.arrow"},
        {"inputs": LINE_INPUTS, "output": "out.txt.gz", "manifest": "m.json"},
        {"inputs": LINE_INPUTS, "output": "out.txt", "sql": "select id, line from lines"},
    ],
    ids=lambda options: "-".join(str(one) for one in options.values()),
)
def test_a_run_that_dies_again_and_again_ends_with_the_same_bytes(options, folder):
    """Each run dies a few records after the one before began; what was sealed is not lost.

    What the run says of itself is the same too.
    """
    step, runs = 3, 0
    if options.get("header"):
        for name in ("a.txt", "small/0.txt", "small/1.txt", "small/2.txt"):
            (folder / name).write_bytes(b"head\n" + (folder / name).read_bytes())
        (folder / "b.txt.gz").write_bytes(gzip.compress(b"head\n" + b"".join(LINES[4500:])))
    run(**options)
    made = outputs_of(options)
    wanted, wanted_manifest = [digest(out) for out in made], manifest_of(options)
    (folder / "old").mkdir()
    for out in made:
        os.rename(out, folder / "old" / out.name)
    while die_at(step, work_dir="work", **options):
        runs += 1
        step += runs > 8  # what starts over needs a life that is long enough
        assert runs < 60
    assert runs
    assert [digest(out) for out in made] == wanted
    assert manifest_of(options) == wanted_manifest
    for out in filter(Path.is_dir, made):
        assert set(os.listdir(out)) == set(os.listdir(folder / "old" / out.name))
    left = {"a.txt", "b.txt.gz", "small", "t.parquet", "old", *(out.name for out in made)}
    assert set(os.listdir(folder)) == left | {options.get("manifest", "old")}


def open_shard(records: list[dict]) -> int | None:
    """Return the number of the file of the one that is open."""
    seals = [record for record in records if record["kind"] == "sealed"]
    return seals[-1]["parts"][0][-1][0] if seals else None


def test_what_is_sealed_is_neither_read_nor_made_again(folder):
    """Two lives seal every row once; a finished shard is the same file before and after."""
    before = spans_in(died(folder))
    assert before
    records = died(folder, 5, "sealed", memory="3GB", threads=1)
    spans = spans_in(records)
    assert set(before) <= set(spans)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
    (hidden,) = folder.glob(".out.dbshuf-????????")
    made = {path.name: path.stat().st_ino for path in hidden.iterdir()}
    finished = finished_shards(records)
    assert finished
    run(work_dir="work", **SHARDS)
    for number in range(len(finished)):
        assert (folder / f"out/part-0000{number}-of-00003.txt").stat().st_ino == made[str(number)]


@pytest.mark.parametrize("what", ["slice", "index", "rows", "shard", "begun", "journal"])
def test_a_flipped_byte_is_found_and_its_part_done_again(what, folder):
    """A sum is checked before anything is used again, and one line says what was found."""
    run(**SHARDS)
    wanted = digest(folder / "out")
    os.rename(folder / "out", folder / "old")
    is_written = what in ("shard", "begun")
    records = died(folder, *((6, "sealed") if is_written else (1, "output")))
    work = folder / "work"
    first = next(one for record in records if record["kind"] == "runs" for one in record["runs"])
    (hidden,) = list(folder.glob(".out.dbshuf-????????")) or [None]
    place = {
        "slice": (work / "dbshuf-rows", first[0] + first[1] // 2),
        "index": (work / "dbshuf-rows", first[0] + first[1] + 2),
        "shard": (hidden and hidden / "0", 1000),
        "begun": (hidden and hidden / str(open_shard(records)), 10),
        "journal": (work / "dbshuf-journal", sum(map(len, lines_of(work)[:4])) + 20),
        "rows": (work / "dbshuf-rows", None),
    }[what]
    spoil(*place)
    told = Told()
    run(told, work_dir="work", **SHARDS)
    assert digest(folder / "out") == wanted
    (said,) = [text for text in told.texts if not text.startswith("goes on")]
    assert "again" in said or "anew" in said


def test_damage_where_reading_starts_over_has_all_rows_read_again(folder):
    """Lines are numbered from the first one: no run is kept then beside those made anew."""
    options = {**SHARDS, "where": "line_number % 2"}
    run(**options)
    wanted, wanted_manifest = digest(folder / "out"), manifest_of(options)
    os.rename("out", "old")
    records = died(folder, 5, "sealed", **options)
    first = next(one for record in records if record["kind"] == "runs" for one in record["runs"])
    spoil(folder / "work" / "dbshuf-rows", first[0] + first[1] + 2)
    run(work_dir="work", **options)
    assert (digest(folder / "out"), manifest_of(options)) == (wanted, wanted_manifest)


def test_a_drawn_seed_is_kept(folder):
    """The rerun of a command without --seed goes on in the order of the first."""
    died(folder, seed=None)
    seed = json.loads(lines_of(folder / "work")[0])["seed"]
    assert run(work_dir="work", **{**SHARDS, "seed": None}).seed == seed
    got = digest(folder / "out")
    os.rename(folder / "out", folder / "old")
    run(**{**SHARDS, "seed": seed})
    assert digest(folder / "out") == got


def test_clean_lists_what_can_be_gone_on_with_and_removes_it_where_it_is_named(folder, capsys):
    """Nothing removes it by the way: neither another run nor `clean` of the folder above."""
    died(folder, 1, "sealed")
    hidden = set(folder.glob(".out.dbshuf-*"))
    assert hidden
    shuffle(["a.txt"], "out", shards=2, seed=1, memory="3GB")
    assert set(folder.glob(".out.dbshuf-*")) == hidden
    os.symlink("loop", "loop")  # which is no folder, and no bug
    clean(CleanArguments(folders=["."]))
    listed = capsys.readouterr()
    assert listed.out.count("can be gone on with") == 2
    assert listed.out.count(": kept") == 2
    assert "`dbshuf clean DIR`" in listed.err
    clean(CleanArguments(folders=[".", "work", "./work"]))
    assert capsys.readouterr().out.count(": removed\n") == 2
    assert not (folder / "work").exists()
    assert not set(folder.glob(".out.dbshuf-*"))


def test_plan_says_what_would_stay(folder):
    """And what would start over, as a SELECT over all rows must."""
    shown = plan_of(Options(**SHARDS, work_dir="work", memory="3GB")).describe()
    assert re.search(r"work dir: .*/work: rows are not read again; finished shards stay", shown)
    options = {"inputs": LINE_INPUTS, "output": "o.parquet", "sql": "select line from lines"}
    shown = plan_of(Options(**options, work_dir="work", memory="3GB")).describe()
    assert "reading starts over until all is read; what is written stays" in shown
    options = {**SHARDS, "split": "a=0.5,b=0.5"}
    shown = plan_of(Options(**options, work_dir="work", memory="3GB")).describe()
    assert "rows are not read again; finished shards stay" in shown


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("none", SHARDS),
        ("torn", SHARDS),
        ("none", {"output": "out.txt"}),
        ("torn", {"output": "out.parquet"}),
    ],
    ids=["none-shards", "torn-shards", "none-text", "torn-parquet"],
)
def test_every_disk_that_a_power_cut_could_leave_is_gone_on_from(
    loss, options, folder, monkeypatch
):
    """The writes of a run, in their order, up to each moment, the unsynced tail lost or torn."""
    options = {**options, "ranges": 3, "inputs": ("a.txt",), "memory": "3GB"}
    output = folder / options["output"]
    (folder / "a.txt").write_bytes(b"".join(LINES[:3000]))
    keep = {"a.txt"}
    clear(folder, keep)
    run(**options)
    wanted = digest(output)
    clear(folder, keep)
    monkeypatch.setattr(resume, "mark_of", content_mark)
    monkeypatch.setattr(resume, "is_at", lambda path, mark: content_mark(path) == mark)
    with monkeypatch.context() as patched:
        recorder = Recorder(folder, patched)
        run(work_dir="work", **options)
    count = 0
    for disk in disks(recorder.events, loss):
        clear(folder, keep)
        lay_out(disk)
        is_over = not (folder / "work/dbshuf-journal").exists() and output.exists()
        if not (is_over and output.is_dir()):  # else a rerun is refused, as after any run
            run(work_dir="work", **options)
        assert digest(output) == wanted
        assert set(os.listdir(folder)) <= {"a.txt", "work", output.name}
        count += 1
    assert count > 8


def content_mark(path: Path) -> Mark | None:
    """Return what stands for the mark of a file that was laid out again: what is in it."""
    if path.is_dir():
        return Mark(zlib.crc32(b"".join(sorted(one.read_bytes() for one in path.iterdir()))))
    return Mark(zlib.crc32(path.read_bytes())) if path.exists() else None


@pytest.mark.parametrize("kind", ["runs", "sealed", "publishing"])
def test_the_command_goes_on_after_kill_9(kind, home, cli, monkeypatch):
    """The real signal, at a record of each kind: nothing in the process has a say."""
    (home / "in.txt").write_bytes(b"".join(LINES) * 20)
    arguments = ["shuffle", "in.txt", "-o", "out", "--shards", "3", "--seed", "1"]
    arguments += ["--memory", "400MB"]
    text = KILLED.replace("KIND", repr(kind))
    kept = [*arguments, "--work-dir", "work"]
    child = subprocess.run(
        [sys.executable, "-c", text, *kept], cwd=home, check=False, capture_output=True
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert not (home / "out").exists()
    ran = cli(*kept)
    assert ran.code == 0, ran.err
    assert "dbshuf: goes on from" in ran.err
    assert not (home / "work").exists()
    got = digest(home / "out")
    shutil.rmtree(home / "out")
    assert cli(*arguments).code == 0
    assert digest(home / "out") == got
    assert sorted(os.listdir(home)) == ["in.txt", "out"]


KILLED = """
import os, signal
from dbshuf.base.journal import encoded
from dbshuf.base.work_dir import WorkDir
from dbshuf.order import run_seals
from dbshuf.cli import main
run_seals._SEAL_BYTES = 1
note = WorkDir.note
def noted(work, kind, /, **fields):
    note(work, kind, **fields)
    if kind == KIND:
        os.kill(os.getpid(), signal.SIGKILL)
WorkDir.note = noted
main()
"""
