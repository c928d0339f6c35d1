"""Runs with --work-dir in this process, cut short on purpose, over buckets and runs of a few kB."""

import contextlib
import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dbshuf.api import verify_files
from dbshuf.base.work_dir import WorkDir
from dbshuf.manifest.document import Manifest
from dbshuf.options import Options
from dbshuf.order import run_seals
from dbshuf.pipeline import shuffle
from dbshuf.pipeline.shuffle import Result
from dbshuf.plan.make_plan import make_plan
from dbshuf.sink.formats import arrow, compression, parquet

LINES = [b"%d %s\n" % (number, b"x" * (number * 37 % 120)) for number in range(9000)]
LINE_INPUTS = ("a.txt", "b.txt.gz", "small")
SHARDS = {"inputs": LINE_INPUTS, "output": "out", "shards": 3}


class Death(BaseException):
    """What ends a run at a place that a test chose."""


class Told:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def tell(self, text: str) -> None:
        self.texts.append(text)

    def stage(self, name: str, total_bytes: int | None) -> None:
        pass

    def advance(self, count: int) -> None:
        pass

    def close(self) -> None:
        pass


def run(told: Told | None = None, *, ranges: int = 8, workers: int = 2, **options: Any) -> Result:
    """Shuffle with options of `Options`, in small pieces."""
    plan = make_plan(Options(**{"seed": "1", "memory": "3GB", **options}))
    layout = replace(
        plan.layout,
        store_bytes=0,
        workers=workers,
        buffer_bytes=64 << 10,
        bucket_bytes=64 << 10,
        ranges=ranges,
    )
    return shuffle.run(replace(plan, strategy="partition", layout=layout), told or Told())


def seal_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every run sealed at once, in small pieces, and no time lost by waiting for a disk."""
    monkeypatch.setattr(run_seals, "_SEAL_BYTES", 1)
    monkeypatch.setattr(compression, "BLOCK_BYTES", 5_000)
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 300)
    monkeypatch.setattr(arrow, "BATCH_ROWS", 300)
    for name in ("fsync", "fdatasync"):  # a process that dies loses nothing that was written
        monkeypatch.setattr(os, name, _unsynced)


@contextlib.contextmanager
def dying(at: int, kind: str | None = None) -> Iterator[list[str]]:
    """Let the run die behind record number `at`, of a kind, that it adds to the journal.

    Yields  the kinds of the records, those of this run alone
    """
    kinds: list[str] = []
    note = WorkDir.note

    def noted(work: WorkDir, made: str, /, **fields: Any) -> None:
        note(work, made, **fields)
        kinds.append(made)
        if (kinds.count(kind) if kind else len(kinds)) == at:
            raise Death

    WorkDir.note = noted  # type: ignore[method-assign]
    try:
        yield kinds
    finally:
        WorkDir.note = note  # type: ignore[method-assign]


def die_at(at: int, kind: str | None = None, **options: Any) -> list[str]:
    """Begin a run and let it die; return the kinds of the records it wrote. [] : it did not."""
    with dying(at, kind) as kinds, contextlib.suppress(Death):
        run(**options)
        return []
    return kinds


def _unsynced(fd: int) -> None:
    pass


def digest(path: Path) -> str:
    """Return the sum of a file, or of the names and bytes of all shards of a folder."""
    files = sorted(path.rglob("part-*")) if path.is_dir() else [path]
    found = hashlib.sha256()
    for file in files:
        if file.is_file():
            found.update(str(file.relative_to(path)).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()


def kept_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with inputs of every kind, where all is sealed at once."""
    monkeypatch.chdir(tmp_path)
    seal_everything(monkeypatch)
    half = len(LINES) // 2
    (tmp_path / "a.txt").write_bytes(b"".join(LINES[:half])[:-1])  # no end of the last line
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"".join(LINES[half:]), 1))
    (tmp_path / "small").mkdir()
    for number in range(3):
        (tmp_path / "small" / f"{number}.txt").write_bytes(LINES[number])
    table = pa.table({"n": range(6000), "text": [f"row {n}" * (n % 9) for n in range(6000)]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=700)
    return tmp_path


def died(folder: Path, at: int = 3, kind: str = "runs", **options: object) -> list[dict]:
    """Begin a run of `SHARDS` that dies; return the records of its journal."""
    assert die_at(at, kind, work_dir="work", **{**SHARDS, **options})
    return [json.loads(line) for line in lines_of(folder / "work")]


def lines_of(work: Path) -> list[bytes]:
    return (work / "dbshuf-journal").read_bytes().splitlines(keepends=True)


def spans_in(records: list[dict]) -> list[tuple[int, int]]:
    """Return the ranges of rows that sealed runs were made of, as the journal has them."""
    runs = [one for record in records if record["kind"] == "runs" for one in record["runs"]]
    return sorted((begin, end) for *_, spans in runs for begin, end in spans)


def outputs_of(options: dict) -> list[Path]:
    """Return the files, or the directory, that a run makes."""
    out = Path(options["output"]).absolute()
    if "split" not in options or not out.suffix:
        return [out]
    return [out.with_suffix(f".{name}{out.suffix}") for name in ("a", "b")]


def manifest_of(options: dict) -> Manifest | None:
    """Return what a run said of itself, all but where it was kept; what lies there is that."""
    path = options.get("manifest")
    if Path(options["output"]).is_dir():
        path = Path(options["output"], "_manifest.json")
        verify_files(str(path.parent))
        assert (path.parent / "_SUCCESS").exists()
    if path is None:
        return None
    found = Manifest.read(path)
    found.options.pop("work_dir", None)
    assert all(one.sha256 for one in found.inputs), found.inputs
    return found


def finished_shards(records: list[dict]) -> list[int]:
    """Return the numbers of the files of shards that are finished, as the journal has them."""
    news = [part for record in records if record["kind"] == "sealed" for part in record["news"]]
    return [number for part in news for number, *_ in part]


def spoil(path: Path, at: int | None) -> None:
    """Change one byte of a file; None: remove it."""
    if at is None:
        path.unlink()
        return
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
