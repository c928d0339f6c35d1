"""What is shown is on the disk before, and a disk that fails is told of."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dbshuf
from dbshuf.base import durable
from dbshuf.errors import OutputUnwritable


def test_what_the_system_could_not_write_of_many_files_ends_the_run(home, monkeypatch):
    """One call makes all durable; nothing is shown that may not be there after a power cut."""
    called = []

    def fails(system_fd):
        called.append(os.fstat(system_fd).st_dev)
        return -1

    monkeypatch.setattr(durable, "_SYNCFS", fails)
    monkeypatch.setattr(durable.ctypes, "get_errno", lambda: 5)
    pq.write_table(pa.table({"v": range(120), "t": range(120)}), home / "in.parquet")
    with pytest.raises(OutputUnwritable, match="Input/output error"):
        dbshuf.shuffle(home / "in.parquet", f"{home}/out/", memory="3GB", partition_by="v")
    assert called == [os.stat(home).st_dev]
    assert os.listdir(home) == ["in.parquet"]


def test_without_that_call_each_file_and_folder_is_made_durable(home, monkeypatch):
    """On an old system, and of few files."""
    (home / "a").mkdir()
    (home / "a/b").write_bytes(b"x")
    (home / "c").write_bytes(b"y")
    synced = []
    monkeypatch.setattr(durable, "_SYNCFS", None)
    monkeypatch.setattr(durable.os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    durable.sync_all(home, ["a/b", "c"] * 60, ["a"], 0)
    names = [*["a/b", "c"] * 60, ".", "a"]
    assert synced == [os.stat(home / name).st_ino for name in names]
