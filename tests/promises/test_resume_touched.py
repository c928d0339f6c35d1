"""--work-dir: inputs that the system says may have been written to, of the same size and time."""

import contextlib
import json
import os
import shutil
import sqlite3
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from kept_runs import SHARDS, Death, Told, died, digest, dying, lines_of, run, spans_in

from dbshuf.base.key import POSITION_BITS
from dbshuf.base.spans import Spans
from dbshuf.errors import RunDiffers
from dbshuf.options import Options
from dbshuf.pipeline import identity
from dbshuf.plan.make_plan import plan_of

ORDINAL, BEGIN, END = range(3)  # of a stretch in the journal


@pytest.fixture
def folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, with more kinds of inputs, of which short ends alone are looked at."""
    monkeypatch.setattr(identity, "_SUMMED_BYTES", 2)
    table = [f"{n},{'x' * (n % 50)}" for n in range(6000)]
    (folder / "t.csv").write_text("\n".join(["n,text", *table]))
    (folder / "t.jsonl").write_text("\n".join(f'{{"n": {n}}}' for n in range(20_000)))
    numbers = pa.table({"n": range(6000), "m": range(6000)})
    for name, form, codec in (("t", "file", None), ("s", "stream", None), ("z", "file", "zstd")):
        packed = pa.ipc.IpcWriteOptions(compression=codec)
        new = getattr(pa.ipc, f"new_{form}")
        with new(f"{name}.arrow", numbers.schema, options=packed) as writer:
            writer.write_table(numbers, 500)
    with contextlib.closing(sqlite3.connect("t.sqlite")) as base, base:
        base.execute("create table t (n integer)")
        base.executemany("insert into t values (?)", [(n,) for n in range(5000)])
    return folder


def sums_in(records: list[dict]) -> list[list[int]]:
    """Return the stretches that were read, as the journal has them."""
    return [one for record in records if record["kind"] == "runs" for one in record["sums"]]


def write_unseen(path: Path, at: int) -> None:
    """Change one byte of a file and leave it the size and the time that it has."""
    found = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def wanted(folder: Path, options: dict) -> str:
    """Return what a run that nothing ends writes."""
    run(**options)
    os.rename(folder / options["output"], folder / "old")
    return digest(folder / "old")


TABLE = {"format": "csv"}
CASES = [
    ("a.txt", {"inputs": ("a.txt",)}, (2, "runs")),
    ("small/1.txt", {}, (1, "output")),
    ("b.txt.gz", {"inputs": ("b.txt.gz",)}, (2, "runs")),
    ("t.parquet", {**TABLE, "inputs": ("t.parquet",)}, (2, "runs")),
    ("t.parquet", {**TABLE, "inputs": ("t.parquet",), "select": "text"}, (2, "runs")),
    ("t.arrow", {**TABLE, "inputs": ("t.arrow",)}, (1, "sealed")),
    ("s.arrow", {**TABLE, "inputs": ("s.arrow",)}, (1, "sealed")),
    ("z.arrow", {**TABLE, "inputs": ("z.arrow",)}, (1, "sealed")),
    ("t.csv", {**TABLE, "inputs": ("t.csv",), "input_format": "csv"}, (1, "runs")),
    ("t.jsonl", {**TABLE, "inputs": ("t.jsonl",), "input_format": "json"}, (2, "runs")),
    ("a.txt", {"where": "line_number % 2"}, (1, "output")),
    ("a.txt", {"output": "out.txt", "shards": None}, (1, "publishing")),
]


@pytest.mark.parametrize(
    ("name", "change", "at"), CASES, ids=[f"{one[0]}-{one[2][1]}" for one in CASES]
)
def test_a_byte_that_changed_behind_a_run_is_found(name, change, at, folder):
    """In what was read; the input and the place are named. Changed back, all of it is kept."""
    options = {**SHARDS, **change}
    digest_wanted = wanted(folder, options)
    records = died(folder, *at, **options)
    names = [one[0] for record in records if record["kind"] == "inputs" for one in record["inputs"]]
    ordinal = [os.path.relpath(one, folder) for one in names].index(name)
    read = [one for one in sums_in(records) if one[ORDINAL] == ordinal]
    _, begin, end, *_ = max(read, key=lambda one: one[END] - one[BEGIN])
    place = (begin + end) // 2
    if name.endswith(".gz"):  # the time in its header: who looks at its first lines sees no damage
        place = 5
    elif name.endswith(".jsonl"):  # the last digit of a number
        place = (folder / name).read_bytes().index(b"}", place) - 1
    write_unseen(folder / name, place)
    before = lines_of(folder / "work")
    with pytest.raises(RunDiffers, match=rf"checksum of bytes .* of input `{name}` was .*, and is"):
        run(work_dir="work", **options)
    assert lines_of(folder / "work") == before
    write_unseen(folder / name, place)
    told = Told()
    run(told, work_dir="work", **options)
    assert [text for text in told.texts if text.startswith(f"`{name}` may have been written to")]
    assert not [text for text in told.texts if "again" in text]
    assert digest(folder / options["output"]) == digest_wanted


def test_a_corpus_that_was_copied_is_read_no_further_than_to_see_that_it_is_the_same(folder):
    """What is sealed stays, and the next process has nothing to look at."""
    digest_wanted = wanted(folder, SHARDS)
    before = died(folder, 2, "runs")
    for path in [folder / "a.txt", folder / "b.txt.gz", *(folder / "small").iterdir()]:
        shutil.copy2(path, folder / "copy")
        os.replace(folder / "copy", path)
    told = Told()
    with contextlib.suppress(Death), dying(2):
        run(told, work_dir="work", **SHARDS)
    (said,) = [text for text in told.texts if "may have been" in text]
    assert said.endswith("read are the same")
    assert "again" not in said
    after = [json.loads(line) for line in lines_of(folder / "work")]
    assert after[: len(before)] == before
    assert {one["kind"] for one in after[len(before) :]} <= {"same", "touched", "runs"}
    assert not [one for one in after if one["kind"] == "touched" and one["inputs"] == [[0]]]
    told = Told()
    run(told, work_dir="work", **SHARDS)
    assert not [text for text in told.texts if "may have been" in text]
    assert digest(folder / "out") == digest_wanted


def test_all_that_was_sealed_of_plain_files_has_a_checksum(folder):
    """No row is gone on with of which nobody could tell whether it still is what it was."""
    records = died(folder, 4, "runs")
    names = ("a.txt", "b.txt.gz", *(f"small/{number}.txt" for number in range(3)))
    sizes = [os.path.getsize(name) for name in names]
    summed = Spans(
        (one[ORDINAL] << POSITION_BITS | one[BEGIN], one[ORDINAL] << POSITION_BITS | one[END])
        for one in sums_in(records)
    )
    for begin, end in spans_in(records):
        ordinal = begin >> POSITION_BITS
        if ordinal != 1:  # of a compressed file they are bytes of something else
            file_end = (
                ordinal << POSITION_BITS | sizes[ordinal]
            )  # a last terminator may be behind it
            assert not summed.gaps(begin, min(end, file_end))


def test_a_change_of_what_was_not_read_is_read(folder):
    """The rows that are kept are those of the file as it is now."""
    records = died(folder, 1, "runs", inputs=("a.txt",), workers=1)
    end = max(one[END] for one in sums_in(records))
    path = folder / "a.txt"
    assert end + 100 < path.stat().st_size
    text = path.read_bytes()
    write_unseen(path, text.index(b"xx", end + 50))
    options = {**SHARDS, "inputs": ("a.txt",)}
    run(work_dir="work", **options)
    os.rename("out", "kept")
    run(**options)
    assert digest(folder / "kept") == digest(folder / "out")


QUERY = "select n from t order by random()"


@pytest.mark.parametrize("table", [QUERY, "shuffled", "t"])
@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_rows_of_a_database_that_come_in_another_order_are_read_again(engine, table, folder):
    """Of a query or a view nobody knows that: each row is there once all the same."""
    rows, name = 20_000, f"u.{engine}"
    connect = sqlite3.connect if engine == "sqlite" else duckdb.connect
    with contextlib.closing(connect(name)) as base:
        base.execute("create table t (n integer)")
        numbers = "with recursive c(n) as (select 0 union all select n + 1 from c where n + 1 < {})"
        base.execute(f"insert into t {numbers.format(rows)} select n from c")
        base.execute(f"create view shuffled as {QUERY}")
        base.commit()
    options = {"inputs": (name,), "output": "out.csv", "shards": None, "table": table}
    shown = plan_of(Options(**options, work_dir="work", memory="3GB")).describe()
    assert ("reading starts over until all is read" in shown) == (table != "t")
    died(folder, 1, "runs", **options)
    run(work_dir="work", **options)
    read = (folder / "out.csv").read_text().split()
    assert sorted(map(int, read[1:])) == list(range(rows))


def test_what_was_written_to_the_log_of_a_database_makes_another_run(folder):
    """The file itself is the same as before, up to the time that the system notes."""
    options = {"inputs": ("u.sqlite",), "output": "out.csv", "shards": None}
    with contextlib.closing(sqlite3.connect("u.sqlite")) as base:
        base.execute("pragma journal_mode = wal")
        base.execute("create table t (n integer)")
        base.executemany("insert into t values (?)", [(n,) for n in range(9000)])
        base.commit()
        base.execute("pragma wal_checkpoint(truncate)")
        died(folder, 1, "runs", **options)
        base.execute("update t set n = -n")
        base.commit()
        with pytest.raises(RunDiffers, match=r"the log .* of input `u.sqlite` was not given, and"):
            run(work_dir="work", **options)


@pytest.mark.parametrize(
    ("name", "kind", "more"), [("t.arrow", "sealed", {"select": "m"}), ("t.sqlite", "runs", {})]
)
def test_inputs_without_checksums_are_read_again(name, kind, more, folder):
    """Databases and some columns: what was made of them is made anew, and a line says so."""
    options = {**SHARDS, "inputs": (name,), "format": "csv", **more}
    digest_wanted = wanted(folder, options)
    died(folder, 1, kind, **options)
    (folder / name).chmod(0o600)
    told = Told()
    run(told, work_dir="work", **options)
    text = f"`{name}` may have been written to: what was read is read again"
    assert text in told.texts
    assert digest(folder / "out") == digest_wanted
