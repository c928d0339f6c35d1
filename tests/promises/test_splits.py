"""--split: every row in one split, the same one in every epoch, whatever else is shuffled."""

import gzip
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import reference
from output_files import MARKS

STRATEGIES = ("memory", "spill", "partition")
SPLIT = ("--split", "train=0.8,valid=0.15,test=0.05")
NAMES = ("train", "valid", "test")
DATA = b"".join(b"%d of group %d\n" % (i, i % 60) for i in range(4000))
MORE = b"".join(b"more %d of group %d\n" % (i, i % 60) for i in range(500))

Splits = dict[str, list[bytes]]


def text_splits(top: Path, suffix: str = ".txt") -> Splits:
    """Return each split's lines, from out.train.txt and its like."""
    return {
        name: (top / f"out.{name}{suffix}").read_bytes().splitlines(keepends=True) for name in NAMES
    }


def shuffled(*inputs: bytes, seed: str = "42") -> list[bytes]:
    return [line for _, line in reference.keyed(inputs, seed)]


def homes(splits: Splits) -> dict[bytes, str]:
    """Return which split each line is in; one line in two of them is a failure."""
    where = {line: name for name, lines in splits.items() for line in lines}
    assert len(where) == sum(map(len, splits.values()))
    return where


def check(splits: Splits, rows: Iterable[bytes]) -> dict[bytes, str]:
    """Assert that the splits hold the rows, each once, and each split in their order."""
    rows, where = list(rows), homes(splits)
    assert where.keys() == set(rows)
    for name, lines in splits.items():
        assert lines == [line for line in rows if where[line] == name]
    return where


@pytest.fixture
def split(cli, corpus, home) -> Callable[..., Splits]:
    """Split a.txt (and more inputs) into text files with seed 42, or as told."""
    corpus("a.txt", DATA)
    corpus("b.txt", MORE)

    def run(*args: object, seed: str = "42", parts: tuple[str, str] = SPLIT) -> Splits:
        inputs = [a for a in args if str(a).endswith(".txt")] or ["a.txt"]
        options = [a for a in args if a not in inputs]
        line = ("shuffle", *inputs, "-o", "out.txt", "--seed", seed, *parts, *options)
        ran = cli(*line)
        assert ran.code == 0, ran.err
        assert not (home / "out.txt").exists()
        return text_splits(home)

    return run


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_row_is_in_one_split_of_about_the_size_asked_for(strategy, split):
    """Each split keeps the one order; sizes differ from what was asked by 4.5 sigma at most."""
    splits = split("--strategy", strategy)
    check(splits, shuffled(DATA))
    for name, share in zip(NAMES, (0.8, 0.15, 0.05), strict=True):
        assert abs(len(splits[name]) - 4000 * share) < 4.5 * (4000 * share * (1 - share)) ** 0.5


def test_a_row_stays_in_its_split_in_every_epoch_and_as_inputs_are_appended(split):
    """Neither --seed, nor memory, nor more inputs behind move a row from train to test."""
    first = check(split(), shuffled(DATA))
    epoch = check(split("--threads", 1, seed="7"), shuffled(DATA, seed="7"))
    assert epoch == first
    grown = check(split("a.txt", "b.txt"), shuffled(DATA, MORE))
    assert {line: name for line, name in grown.items() if line in first} == first
    assert set(grown.values()) == {grown[line] for line in MORE.splitlines(keepends=True)}


def test_the_split_seed_is_what_moves_rows_and_its_default_is_fixed(split):
    """A second draw of the validation set is a choice, told by its own option."""
    other = check(split("--split-seed", "other"), shuffled(DATA))
    again = check(split("--split-seed", "other", seed="7"), shuffled(DATA, seed="7"))
    assert other == again
    default = check(split(), shuffled(DATA))
    moved = sum(default[line] != other[line] for line in default)
    assert abs(moved - 4000 * 0.335) < 4.5 * (4000 * 0.335 * 0.665) ** 0.5


def test_a_split_is_no_range_of_the_order(split):
    """Also where both seeds are one: rows of each split come from all over the order."""
    order = shuffled(DATA)
    for parts in ((), ("--split-seed", "42")):
        where = homes(split(*parts))
        places = [place for place, line in enumerate(order) if where[line] == "valid"]
        middle = sum(places) / len(places)
        assert abs(middle - 2000) < 4.5 * 4000 / (12 * len(places)) ** 0.5


def test_membership_is_the_same_for_filters_strategies_and_formats(split, cli, home):
    """It depends on the row's id alone."""
    where = homes(split())
    kept = [line for line in shuffled(DATA) if line.strip().endswith(b"7")]
    some = check(split("--where", "line like '%7'", "--strategy", "spill"), kept)
    assert some == {line: where[line] for line in kept}
    for name in ("out.parquet", "out.jsonl", "out.txt.gz"):
        ran = cli("shuffle", "a.txt", "-o", name, "--seed", "42", *SPLIT)
        assert ran.code == 0, ran.err
        assert not (home / name).exists()
    for name in NAMES:
        want = [line.decode()[:-1] for line in shuffled(DATA) if where[line] == name]
        assert pq.read_table(home / f"out.{name}.parquet")["line"].to_pylist() == want
        rows = (home / f"out.{name}.jsonl").read_text().splitlines()
        assert [json.loads(row)["line"] for row in rows] == want
        packed = (home / f"out.{name}.txt.gz").read_bytes()
        assert gzip.decompress(packed).decode().splitlines() == want


@pytest.mark.parametrize("options", [("-o", "out/"), ("-o", "there"), ("-o", "new")])
def test_a_directory_gets_a_directory_a_split(options, cli, split, corpus, home):
    """out/train/part-....: what a loader takes as a data set with splits."""
    where = homes(split())
    (home / "there").mkdir()
    cut = ("--shards", 2) if options[1] == "new" else ()
    ran = cli("shuffle", "a.txt", *options, *cut, "--seed", "42", *SPLIT)
    assert ran.code == 0, ran.err
    top = home / options[1]
    assert sorted(path.name for path in top.iterdir()) == sorted([*NAMES, *MARKS])
    for name in NAMES:
        parts = sorted((top / name).iterdir())
        assert all(re.match(r"part-\d{5}-of-\d{5}\.txt$", part.name) for part in parts)
        got = b"".join(part.read_bytes() for part in parts)
        assert got == b"".join(line for line in shuffled(DATA) if where[line] == name)
        if cut:
            keys = [key for key, line in reference.keyed([DATA], "42") if where[line] == name]
            counts = [sum(key >> 63 == half for key in keys) for half in (0, 1)]
            assert [part.read_bytes().count(b"\n") for part in parts] == counts


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_split_by_keeps_all_rows_of_one_value_together(strategy, split):
    """Pages of one site in train and in test would leak; over files, seeds and appended inputs."""
    by = ("--split-by", "regexp_extract(line, 'group (\\d+)', 1)", "--strategy", strategy)
    parts = ("--split", "train=0.5,valid=0.3,test=0.2")
    grown = check(split("a.txt", "b.txt", *by, parts=parts), shuffled(DATA, MORE))
    groups: dict[bytes, set[str]] = {}
    for line, name in grown.items():
        groups.setdefault(line.split()[-1], set()).add(name)
    assert len(groups) == 60
    assert all(len(names) == 1 for names in groups.values())
    assert set.union(*groups.values()) == set(NAMES)
    alone = check(split(*by, seed="7", parts=parts), shuffled(DATA, seed="7"))
    assert alone == {line: grown[line] for line in alone}


def test_split_by_is_one_row_local_expression(refused, corpus):
    """The same rules as --where; and without --split there is nothing to divide."""
    line = (corpus("a.txt", DATA), "-o", "out.txt")
    assert "count" in refused(19, *line, *SPLIT, "--split-by", "count(*)").err
    assert "nope" in refused(19, *line, *SPLIT, "--split-by", "nope").err
    for option in (("--split-by", "line"), ("--split-seed", "x")):
        assert "--split" in refused(2, *line, *option).err


def test_a_split_without_rows_is_still_there(split, corpus):
    """A loader that opens out.test.txt must find it."""
    corpus("a.txt", b"one\n")
    splits = split()
    assert sorted(map(len, splits.values())) == [0, 0, 1]
    assert check(splits, [b"one\n"])


def test_shares_are_read_as_people_write_them(split):
    """0.7 + 0.2 + 0.1 is not 1 in floating point, and is meant to be."""
    splits = split(parts=("--split", "train=0.7,valid=.2,test=0.1"))
    check(splits, shuffled(DATA))
    assert 2650 < len(splits["train"]) < 2950


@pytest.mark.parametrize(
    "text",
    [
        "train",
        "train=0.9,valid=0.2",
        "train=0.5,valid=0.4",
        "train=0.5,train=0.5",
        "train=1.5,valid=-0.5",
        "../train=0.5,valid=0.5",
        "train=nan,valid=0.5",
    ],
)
def test_shares_that_are_none_are_refused(text, refused, corpus):
    """Names that can be file names, each once; shares above zero that add up to one."""
    ran = refused(2, corpus("a.txt", DATA), "-o", "out.txt", "--split", text)
    assert "--split" in ran.err


def test_splits_need_an_output_that_can_be_named(refused, corpus):
    """Standard output is one stream."""
    assert re.search("-o|--output", refused(2, corpus("a.txt", DATA), *SPLIT).err)


@pytest.mark.parametrize("output", ["out.parquet", "out/"])
def test_a_failed_run_leaves_all_splits_as_they_were(output, refused, split, corpus, home):
    """All splits are published together or none is."""
    for name in NAMES:
        corpus(f"out.{name}.parquet", b"old")
    corpus("a.txt", DATA + b"\xff\n")
    refused(8, "a.txt", "-o", output, "--format", "parquet", *SPLIT)
    if output == "out/":
        corpus("out/notes.md", b"mine")
        assert "--force" in refused(14, "b.txt", "-o", output, *SPLIT).err
