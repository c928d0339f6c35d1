"""A few inputs of each target of the long fuzzing, so that it can be run whenever it is wanted."""

import importlib
import os
import random
import signal
import sys
import zlib
from pathlib import Path

import pytest

from dbshuf.cli import entry

HERE = str(Path(__file__).parent)
EXAMPLES = int(os.environ.get("DBSHUF_FUZZ_EXAMPLES", "0"))
MOST = 60  # in CI, of what is fast
NAMED = {
    "of_records": ["journal", "journal-line", "manifest", "heads", "thrift"],
    "of_words": ["sizes", "splits", "mixes", "globs", "hive", "getopt", "plan"],
    "of_codecs": ["gzip", "bzip2", "xz", "zstd", "lz4", "wide-zstd"],
    "of_frames": ["zstd-frames", "lz4-frames", "xz-frames", "bzip2-frames"],
    "of_text": ["lines", "csv", "tsv", "json"],
    "of_sql": ["sql", "sql-whole"],
    "of_tables": ["parquet-page", "parquet", "arrow-file", "arrow-stream"],
    "of_databases": ["sqlite", "duckdb", "sqlite-store", "duckdb-store"],
    "of_rows": ["json-rows", "sql-rows"],
}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return what loads a module of targets; they work in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [HERE, *sys.path])
    handlers = {number: signal.getsignal(number) for number in entry._STOPPING}
    limit = sys.getrecursionlimit()
    yield importlib.import_module
    sys.setrecursionlimit(limit)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("module", NAMED)
def test_every_target_of_the_long_fuzzing_reads_its_inputs(module, load):
    """As many as take a second or less; by hand as many as are asked for."""
    if module in ("of_codecs", "of_frames"):
        pytest.importorskip("lz4.frame")
        pytest.importorskip("zstandard")
    targets = load(module).TARGETS
    assert list(targets) == NAMED[module]
    for name, target in targets.items():
        salt = zlib.crc32(name.encode()) << 64 | 1 << 96
        for number in range(EXAMPLES or max(min(int(target.share * 10_000), MOST), 3)):
            given = target.make(random.Random(salt | number))
            assert target.check(given) in (True, False), (name, number, given)
