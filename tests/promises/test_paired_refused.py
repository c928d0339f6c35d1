"""What --paired refuses, in a sentence, with nothing on disk changed."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from paired_files import OUTPUTS, PAIRED, ROWS, SOURCE, TARGET, paired_sides, text


@pytest.fixture
def sides(corpus) -> list[Path]:
    return paired_sides(corpus)


@pytest.fixture
def refused(cli, home, snapshot) -> Callable[..., str]:
    """Run a command line that must end with one exit code and change nothing on disk."""

    def run(code: int, *args: object) -> str:
        before = snapshot(home)
        ran = cli("shuffle", *args)
        assert (ran.code, ran.out) == (code, b""), ran.err
        assert not re.search("Traceback|No such option", ran.err), ran.err
        assert snapshot(home) == before
        return ran.err

    return run


# --- what is written ------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [ROWS - 1, ROWS + 1, 0, 2 * ROWS])
@pytest.mark.parametrize("way", [(), ("--strategy", "spill"), ("--engine", "sqlite")])
def test_files_of_other_lengths_are_refused_with_both_counts(refused, corpus, rows, way):
    corpus("a.txt", text(SOURCE))
    corpus("b.txt", text([*TARGET, *TARGET][:rows]))
    said = refused(34, "a.txt", "--paired", "b.txt", "-o", "a.out", "-o", "b.out", *way)
    assert f"`a.txt` has {ROWS:,} rows" in said
    assert f"`b.txt` has {rows:,}" in said


def test_a_long_line_too_many_is_counted(refused, corpus):
    corpus("a.txt", b"1\n2\n3\n")
    corpus("b.txt", b"1\n2\n3\n" + b"x" * 3_000_000 + b"\n" + b"y" * 3_000_000)
    said = refused(34, "a.txt", "--paired", "b.txt", "-o", "{name}.out")
    assert "has 3 rows" in said
    assert "has 5;" in said


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("-o", "a.out"), "3 files are paired, and -o names 1"),
        (("-o", "a.out", "-o", "b.out"), "3 files are paired, and -o names 2"),
        ((), "standard output is one"),
        (("-o", "-", "-o", "b", "-o", "c"), "standard output is one"),
        (("-o", "x", "-o", "x", "-o", "c"), "2 of the paired files would go to one output"),
        (("-o", "s3://bucket/{name}"), "in an object store"),
        ((*OUTPUTS, "--sql", "q.sql"), "--sql makes rows of its own"),
        ((*OUTPUTS, "--select", "line"), "--select writes expressions"),
        ((*OUTPUTS, "--engine", "spark"), "--engine spark reads files in parts"),
        ((*OUTPUTS, "--work-dir", "w"), "--work-dir goes on"),
        ((*OUTPUTS, "--from", "csv"), "--from csv reads other rows"),
        ((*OUTPUTS, "--number", "n"), "--number adds a column, and text has none"),
        ((*OUTPUTS, "--split", "a=0.5,b=0.5", "--split-by", "line"), "--split-by tells"),
        ((*OUTPUTS, "--take", "3", "--per", "line"), "--per and --stratify tell"),
        ((*OUTPUTS, "--mix", "a.txt=1"), "--mix"),
        ((*OUTPUTS, "--weight", "bytes"), "--weight goes by values of rows"),
        ((*OUTPUTS, "--partition-by", "line"), "--partition-by goes by values of rows"),
        (("-o", "out/{name}", "--shards", "2", "--epochs", "2"), "--epochs with --paired"),
        (("-o", "out/{name}/", "--epochs", "2"), "is a directory"),
        ((*OUTPUTS, "--shards", "4"), "in a folder for each file"),
        (("-o", "out/{name}", "--shard-bytes", "1MB"), "--shard-bytes would cut"),
        (("-o", "out/{name}", "--shards", "2", "--split", "a=0.5,b=0.5"), "--split with --paired"),
        ((*OUTPUTS, "--where", "sum(bytes) > 1"), "--where"),
        ((*OUTPUTS, "--where", "paired_3 = ''"), "paired_3"),
    ],
)
def test_what_means_nothing_is_refused_in_a_sentence(refused, sides, corpus, args, words):
    corpus("q.sql", b"select line from lines")
    code = 19 if words in ("--where", "paired_3") else 2
    assert words in refused(code, *PAIRED, *args)


def test_two_outputs_without_paired_are_refused(refused, sides):
    assert "-o is given 2 times" in refused(2, "a.txt", "-o", "x", "-o", "y")


def test_two_files_of_one_name_want_outputs_of_their_own(refused, corpus):
    corpus("en/train.txt", text(SOURCE))
    corpus("de/train.txt.gz", gzip.compress(text(TARGET)))
    said = refused(2, "en/train.txt", "--paired", "de/train.txt.gz", "-o", "{name}")
    assert "2 of the paired files would go to one output" in said


def test_tables_are_refused(refused, corpus, home):
    corpus("a.txt", text(SOURCE))
    pq.write_table(pa.table({"n": list(range(ROWS))}), home / "b.parquet")
    said = refused(2, "a.txt", "--paired", "b.parquet", "-o", "{name}.out")
    assert "`b.parquet` is a Parquet file" in said


def test_a_line_that_does_not_fit_names_its_own_file(refused, corpus):
    corpus("u1", b"ok1\nok2\n")
    corpus("u2", b"fine\n\xff\xfe\n")
    said = refused(8, "u1", "--paired", "u2", "-o", "{name}.parquet")
    assert "`u2`, in the row that goes with `u1` at byte 4" in said


def test_a_side_that_is_missing_is_named(refused, sides):
    assert "`d.txt`" in refused(3, "a.txt", "--paired", "d.txt", "-o", "{name}.out")


def test_a_pattern_has_no_name(refused, sides):
    assert "there is none for `*.txt`" in refused(2, "*.txt", "--paired", "*.txt", "-o", "{name}.x")
