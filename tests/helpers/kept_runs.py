"""Runs with --work-dir in this process, cut short on purpose, over buckets and runs of a few kB."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dbshuf.base.work_dir import WorkDir
from dbshuf.options import Options
from dbshuf.order import run_seals
from dbshuf.pipeline import shuffle
from dbshuf.pipeline.shuffle import Result
from dbshuf.plan.make_plan import make_plan


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


def run(told: Told | None = None, *, ranges: int = 8, **options: Any) -> Result:
    """Shuffle with options of `Options`, in small pieces."""
    plan = make_plan(Options(**{"seed": "1", "memory": "1GB", **options}))
    layout = replace(
        plan.layout,
        store_bytes=0,
        workers=2,
        buffer_bytes=64 << 10,
        bucket_bytes=64 << 10,
        ranges=ranges,
    )
    return shuffle.run(replace(plan, strategy="partition", layout=layout), told or Told())


def seal_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every run sealed at once, and no time lost by waiting for a disk."""
    monkeypatch.setattr(run_seals, "_SEAL_BYTES", 1)
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
