"""Adding inputs: whole or not at all, once, in their order, whatever interrupts it."""

import contextlib
import gzip
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import disks
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from command import MEASURE
from line_sources import expected
from store_tools import added, ask, counts, read_lines, written

from dbshuf.api import ingest
from dbshuf.errors import (
    HeaderMismatch,
    InputChanged,
    InputMissing,
    InputUnreadable,
    MemoryTooSmall,
    NoInputFiles,
    NotUtf8,
    OutputSpaceShort,
    OutputUnwritable,
    SchemaMismatch,
    StoreInvalid,
    UsageError,
)
from dbshuf.pipeline.ingest_input import Digest, Intake
from dbshuf.store.opening import open_store
from dbshuf.units import parse_bytes

A, B, C = b"one\n\ntwo\r\n\0\n", b"b\n" * 50 + b"last", b"three\nfour\n"
ROWS, WIDTH = 350_000, 147  # 51 MB
CAP_BYTES = 360_000_000

INGEST = """
import sys
from dbshuf.errors import DbshufError
from dbshuf.api import ingest
try:
    ingest(sys.argv[1], sys.argv[2].split(","), memory=sys.argv[3])
except DbshufError as error:
    sys.exit(f"{type(error).__name__}: {error.message} ({error.hint})")
"""


@pytest.fixture
def child():
    """Start an ingest in a process of its own; killed if a test forgets it."""
    started = []

    def begin(store, inputs, memory="1GB"):
        command = [sys.executable, "-c", INGEST, str(store), ",".join(map(str, inputs)), memory]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE))
        return started[-1]

    yield begin
    for one in started:
        one.kill()
        one.wait()


@pytest.fixture
def measured(tmp_path):
    """Run an ingest into s.duckdb to its end; return its exit code and its peak RSS (bytes)."""

    def run(inputs, memory):
        report, names = tmp_path / "report", ",".join(map(str, inputs))
        command = [sys.executable, "-c", INGEST, str(tmp_path / "s.duckdb"), names, memory]
        outer = [sys.executable, "-I", "-S", "-c", MEASURE, str(report), *command]
        subprocess.run(outer, check=True)
        return json.loads(report.read_text())

    return run


def test_ids_are_those_of_one_shuffle_in_any_number_of_calls(tmp_path):
    """Ordinals count on; an empty input has one, and a compressed one byte offsets of its text."""
    paths = written(tmp_path, a=A, b=gzip.compress(B), c=b"", d=C)
    store = tmp_path / "s.duckdb"
    for part in (paths[:1], paths[:2], paths):
        ingest(store, part)
    assert read_lines(store) == expected([A, B, b"", C])
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "c", "d", "s.duckdb"}


def test_the_result_says_what_became_of_each_input(tmp_path):
    """Names as given, rows and bytes; an input named twice is one input."""
    a, b = written(tmp_path, a=A, b=B)
    store = tmp_path / "s.duckdb"
    result = ingest(store, [a, b, a])
    assert [(one.name, one.is_added, one.rows) for one in result.inputs] == [
        (a, True, 4), (b, True, 51), (a, False, 4),
    ]  # fmt: skip
    assert (result.rows, result.text_bytes) == (55, len(A) + len(B) + 1)
    assert ingest(store, b).rows == 0


def test_an_input_is_known_by_its_path_without_links(tmp_path, monkeypatch):
    """From any directory, by any link; a copy is another input."""
    (path,) = written(tmp_path, a=A)
    store = tmp_path / "s.duckdb"
    ingest(store, path)
    (tmp_path / "link").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    assert added(ingest(store, ["a", "./a", "link"])) == [False] * 3
    (tmp_path / "copy").write_bytes(A)
    assert added(ingest(store, "copy")) == [True]
    assert counts(store) == {path: 4, "copy": 4}


def test_a_new_time_of_change_alone_is_no_change(tmp_path):
    """The bytes are read once, and not again."""
    (path,) = written(tmp_path, a=A)
    ingest(tmp_path / "s.duckdb", path)
    os.utime(path, ns=(1, 1))
    assert added(ingest(tmp_path / "s.duckdb", path)) == [False]
    assert open_store(tmp_path / "s.duckdb").sources[0].changed_ns == 1


@pytest.mark.parametrize(("content", "what"), [(A + b"x", "bytes"), (A.upper(), "SHA-256")])
def test_an_input_that_changed_is_named_and_not_added(content, what, tmp_path):
    """What was before it stays added; it and what is behind it is not."""
    paths = written(tmp_path, a=A, b=B, c=C)
    store = tmp_path / "s.duckdb"
    ingest(store, paths[0])
    Path(paths[0]).write_bytes(content)
    os.utime(paths[0], ns=(1, 1))
    with pytest.raises(StoreInvalid, match=f"`{paths[0]}` changed.*{what}"):
        ingest(store, [paths[1], paths[0], paths[2]])
    assert read_lines(store) == expected([A, B])


def test_text_that_is_no_utf8_is_refused_with_its_place(tmp_path):
    """And what was before it stays; a store of bytes takes it."""
    bad = C * 3 + b"ab\xffc\n" + C
    paths = written(tmp_path, a=A, bad=bad, c=C)
    with pytest.raises(NotUtf8, match=f"bad` at byte {3 * len(C)}: byte 2 ") as caught:
        ingest(tmp_path / "s.duckdb", paths)
    assert "--binary" in caught.value.hint
    assert read_lines(tmp_path / "s.duckdb") == expected([A])
    ingest(tmp_path / "b.duckdb", paths, binary=True)
    assert read_lines(tmp_path / "b.duckdb") == expected([A, bad, C])
    assert ask(tmp_path / "b.duckdb", "select distinct typeof(line) from lines") == [("BLOB",)]


def test_a_store_keeps_to_what_it_was_made_for(tmp_path):
    """Other options, kinds and headers are refused, and it says what it holds."""
    a, b = written(tmp_path, a=b"x,y\n1,2\n", b=b"x,z\n1,2\n")
    pq.write_table(pa.table({"n": [1]}), tmp_path / "p.parquet")
    store = tmp_path / "s.duckdb"
    ingest(store, a, header=1)
    for options, error, words in (
        ({"header": 1, "binary": True}, StoreInvalid, "without --binary"),
        ({"header": 1, "zero_terminated": True}, StoreInvalid, "without --zero-terminated"),
        ({}, StoreInvalid, "--header 1, not 0"),
        ({"header": 1}, HeaderMismatch, "x,z"),
        ({"input_format": "csv"}, SchemaMismatch, "holds lines, and the inputs are CSV"),
    ):
        with pytest.raises(error, match=words):
            ingest(store, b, **options)
    with pytest.raises(SchemaMismatch, match="holds lines"):
        ingest(store, tmp_path / "p.parquet")
    assert read_lines(store) == expected([b"x,y\n1,2\n"], header_bytes=4)


def test_lines_may_end_with_nul(tmp_path):
    """And hold line feeds; the store remembers."""
    texts = [b"a\nb\0\0c", b"\n\0"]
    store = tmp_path / "s.duckdb"
    ingest(store, written(tmp_path, a=texts[0], b=texts[1]), zero_terminated=True)
    assert read_lines(store) == expected(texts, terminator=b"\0")
    assert ask(store, "select line from lines order by id limit 1") == [("a\nb",)]


def test_what_cannot_be_known_again_is_no_input(tmp_path):
    """Standard input and pipes; and a store without inputs is not made."""
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"x\n",))
    writer.start()
    store = tmp_path / "s.duckdb"
    for names in ([], ["-"]):
        with pytest.raises(UsageError, match="made of files"):
            ingest(store, names)
    with pytest.raises(UsageError, match="is a pipe"):
        ingest(store, tmp_path / "pipe")
    writer.join()
    with pytest.raises(InputMissing):
        ingest(store, tmp_path / "absent")
    assert not store.exists()


def test_a_store_inside_the_directory_of_its_inputs_is_none_of_them(tmp_path):
    """`ingest corpus/store.duckdb corpus/` again and again."""
    written(tmp_path, a=A)
    store = tmp_path / "z.duckdb"
    assert len(ingest(store, tmp_path).inputs) == 1
    written(tmp_path, b=B)
    assert added(ingest(store, tmp_path)) == [False, True]
    with pytest.raises(NoInputFiles, match="the only input"):
        ingest(store, store)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_ingest_that_is_interrupted_can_be_repeated(number, *, child, wait_for, tmp_path):
    """In the middle of 51 MB: then each input is there once and whole."""
    reference.write_numbered(tmp_path / "big", ROWS, WIDTH)
    store, inputs = tmp_path / "s.duckdb", [*written(tmp_path, a=A), tmp_path / "big"]
    running = child(store, inputs)
    wait_for(lambda: store.exists() and store.stat().st_size > 6_000_000, "rows in the file")
    running.send_signal(number)
    _, err = running.communicate(timeout=30)
    assert running.returncode in (-number, 128 + number), err
    assert counts(store) == {inputs[0]: 4}
    assert added(ingest(store, inputs)) == [False, True]
    assert counts(store) == {inputs[0]: 4, str(inputs[1]): ROWS}
    rows = ask(store, "select line from lines where id >> 44 = 1 order by shuffle_key('42', id)")
    order = reference.keys_of(np.arange(ROWS) * WIDTH + (1 << 44), "42").argsort()
    assert [int(line[:10]) for (line,) in rows] == order.tolist()
    left = {path.name for path in tmp_path.iterdir() if path.name[0] != "."}
    assert left == {"a", "big", "s.duckdb"}
    if number == signal.SIGINT:
        assert not [path for path in tmp_path.iterdir() if path.name[0] == "."]


def test_commits_of_a_process_that_was_killed_are_kept(child, tmp_path, wait_for):
    """What one input has committed is in DuckDB's log when the next one is at work."""
    reference.write_numbered(tmp_path / "big", ROWS, WIDTH)
    (first,), store = written(tmp_path, a=B * 1000), tmp_path / "s.duckdb"
    ingest(store, written(tmp_path, c=C))
    running = child(store, [first, tmp_path / "big"])
    wait_for(lambda: store.stat().st_size > 6_000_000, "rows of the second input")
    assert (tmp_path / "s.duckdb.wal").stat().st_size > 100_000
    running.kill()
    running.communicate()
    assert counts(store)[first] == 50_001
    assert ingest(store, [first, tmp_path / "big"]).rows == ROWS


def test_a_full_disk_leaves_the_store_as_it_was(tmp_path):
    """And says so."""
    reference.write_numbered(tmp_path / "big", 40_000, WIDTH)
    a, c = written(tmp_path, a=A, c=C)
    with disks.mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=3m", "tmpfs") as disk:
        ingest(disk / "s.duckdb", a)
        with pytest.raises(OutputSpaceShort, match="full"):
            ingest(disk / "s.duckdb", [tmp_path / "big"])
        assert counts(disk / "s.duckdb") == {a: 4}
        ingest(disk / "s.duckdb", c)
        assert read_lines(disk / "s.duckdb") == expected([A, C])


def test_an_input_whose_last_check_fails_is_not_added(tmp_path, monkeypatch):
    """Its lines are in the database by then, and go again."""
    a, b = written(tmp_path, a=A, b=B * 4000)
    ingest(tmp_path / "s.duckdb", a)

    def fail(self):
        raise InputUnreadable("cannot read `b`")

    monkeypatch.setattr(Digest, "result", fail)
    with pytest.raises(InputUnreadable):
        ingest(tmp_path / "s.duckdb", b)
    assert counts(tmp_path / "s.duckdb") == {a: 4}
    monkeypatch.undo()
    ingest(tmp_path / "s.duckdb", b)
    assert read_lines(tmp_path / "s.duckdb") == expected([A, B * 4000])


def test_an_input_that_changes_while_it_is_read_is_not_added(tmp_path, monkeypatch):
    """Neither what it was nor what it became."""
    (path,) = written(tmp_path, a=A * 10)
    count = Intake._count

    def changing(self, sizes):
        Path(path).write_bytes(B)
        count(self, sizes)

    monkeypatch.setattr(Intake, "_count", changing)
    with pytest.raises(InputChanged):
        ingest(tmp_path / "s.duckdb", path)
    assert counts(tmp_path / "s.duckdb") == {}


def test_the_peak_stays_under_the_cap(measured, tmp_path):
    """Of 100 MB of usual lines and of wide ones, at the least cap that is accepted."""
    reference.write_numbered(tmp_path / "usual", 550_000, WIDTH)
    reference.write_numbered(tmp_path / "wide", 1700, 12_000)
    with pytest.raises(MemoryTooSmall):
        ingest(tmp_path / "s.duckdb", tmp_path / "usual", memory="10MB")
    code, peak = measured([tmp_path / "usual", tmp_path / "wide"], f"{CAP_BYTES}B")
    assert (code, peak <= CAP_BYTES) == (0, True)
    assert sorted(counts(tmp_path / "s.duckdb").values()) == [1700, 550_000]


def test_rows_too_wide_for_a_cap_are_refused_with_one_that_does(child, measured, tmp_path):
    """DuckDB packs 2,048 rows at a time, and dies of what does not fit."""
    reference.write_numbered(tmp_path / "wide", 400, 200_000)
    store = tmp_path / "s.duckdb"
    refused = child(store, [tmp_path / "wide"], "450MB").communicate()[1].decode()
    assert refused.startswith("MemoryTooSmall")
    assert "2,048 rows" in refused
    assert counts(store) == {}
    cap = re.search(r"pass --memory (\w+)", refused)[1]
    code, peak = measured([tmp_path / "wide"], cap)
    assert (code, peak <= parse_bytes(cap)) == (0, True)
    assert counts(store) == {str(tmp_path / "wide"): 400}


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    """Before any work."""
    (path,) = written(tmp_path, a=A)
    with pytest.raises(OutputUnwritable, match="absent"):
        ingest(tmp_path / "absent" / "s.duckdb", path)
    with pytest.raises(UsageError, match="--temp-dir"):
        ingest(tmp_path / "s.duckdb", path, temp_dir=tmp_path / "absent")
    with pytest.raises(UsageError, match="--threads 0"):
        ingest(tmp_path / "s.duckdb", path, threads=0)


def test_names_of_any_bytes_are_inputs(tmp_path):
    """A path that is no UTF-8 shows as text, and is known again."""
    path = os.fsencode(tmp_path) + b"/\xff.txt"
    with open(path, "wb") as file:
        file.write(A)
    store = tmp_path / "s.duckdb"
    for is_added in (True, False):
        assert added(ingest(store, os.fsdecode(path))) == [is_added]
    ((source, known),) = ask(store, "select source, path from sources")
    assert source.endswith("/\ufffd.txt")
    assert known.endswith("/\\xff.txt")


def test_a_database_that_has_changes_in_its_log_is_not_taken_for_what_it_was(tmp_path):
    """The file itself has the size, time and bytes that it had, be it named by a link."""
    store, path = str(tmp_path / "s.duckdb"), tmp_path / "u.sqlite"
    link = tmp_path / "link"
    link.symlink_to(path)
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.execute("pragma journal_mode = wal")
        base.execute("create table t (n integer)")
        base.commit()
        base.execute("pragma wal_checkpoint(truncate)")
        assert ingest(store, [str(path)]).inputs[0].is_added
        assert not ingest(store, [str(path)]).inputs[0].is_added
        ingest(store, [str(link)])
        base.execute("insert into t values (1)")
        base.commit()
        for one in (path, link):
            with pytest.raises(StoreInvalid, match=rf"`{one}` has changes in a log"):
                ingest(store, [str(one)])
