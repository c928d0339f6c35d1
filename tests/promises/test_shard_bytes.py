"""--shard-bytes: shards are files of the size that was asked for, in every format."""

import hashlib
import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from output_files import MARKS, data_files, lines_in

SIZE = 100_000
TEXTS = ("csv", "jsonl", "tsv", "txt")
FORMATS = [
    *([text + packing] for text in TEXTS for packing in ("", ".gz", ".zst")),
    ["arrow"],
    *(["arrow", "--compression", codec] for codec in ("lz4", "zstd")),
    ["parquet"],
    *(["parquet", "--compression", codec] for codec in ("none", "snappy", "gzip", "brotli")),
    ["parquet", "--row-group-bytes", "20KB"],
]


def words() -> bytes:
    """Text that compresses, in lines of all lengths."""
    draw = random.Random(3)
    known = [f"{draw.getrandbits(28):x}" for _ in range(2000)]
    lines = [" ".join(draw.choices(known, k=draw.randint(0, 40))) for _ in range(12_000)]
    return "\n".join(lines).encode()


def noise() -> bytes:
    """Digits of chance beside lines that are all the same."""
    draw = random.Random(4)
    lines = [
        "ab" * 200 if draw.random() < 0.5 else f"{draw.getrandbits(1200):x}" for _ in range(5000)
    ]
    return "\n".join(lines).encode()


KINDS = {"words": words(), "noise": noise()}


def files(directory: Path) -> list[Path]:
    """The shards in the order of their names, which must say N of N."""
    found = data_files(directory)
    assert [path.name.split(".")[0] for path in found] == [
        f"part-{i:05}-of-{len(found):05}" for i in range(len(found))
    ]
    return found


def assert_sizes(directory: Path, size: int = SIZE) -> None:
    sizes = [path.stat().st_size for path in files(directory)]
    assert len(sizes) > 2
    assert all(0.85 * size <= one <= 1.15 * size for one in sizes[:-1]), sizes
    assert 0 < sizes[-1] <= 1.15 * size


def digests(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in data_files(directory)
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS, ids=" ".join)
def test_files_have_the_size_asked_for_and_hold_the_one_order(form, kind, cli, corpus, home):
    """Within 15 % but for the last: who uploads parts of 5 MB counts files, not text."""
    path = corpus("in.txt", KINDS[kind])
    ran = cli("shuffle", path, "-o", "out", "--shard-bytes", SIZE, "--seed", 42, "--format", *form)
    assert ran.code == 0, ran.err
    assert_sizes(home / "out")
    got = b"".join(map(lines_in, files(home / "out")))
    assert got == reference.shuffled([KINDS[kind]], "42")


@pytest.mark.parametrize("form", ["csv", "jsonl.gz", "txt.zst", "arrow", "parquet"])
def test_one_seed_gives_the_same_files_whatever_the_memory_threads_and_strategy(
    form, cli, corpus, home
):
    """Byte for byte: what a machine has decides no border of a shard."""
    path = corpus("in.txt", KINDS["words"])
    ways = {
        "a": ("--strategy", "memory", "--threads", 1),
        "b": ("--strategy", "memory", "--threads", 4),
        "c": ("--strategy", "partition", "--memory", "500MB", "--threads", 2),
        "d": ("--strategy", "spill", "--memory", "700MB", "--threads", 3),
    }
    made = []
    for name, way in ways.items():
        cut = ("--shard-bytes", SIZE, "--format", form, "--seed", 42)
        ran = cli("shuffle", path, "-o", name, *cut, *way)
        assert ran.code == 0, ran.err
        made.append(digests(home / name))
    assert made[1:] == made[:1] * 3


@pytest.mark.parametrize("form", ["csv.gz", "jsonl", "arrow", "parquet"])
def test_typed_rows_are_cut_by_the_size_of_the_files_too(form, cli, home):
    """Numbers, repeated values and nulls become other sizes than their text has."""
    draw = random.Random(5)
    rows = [
        {"n": n, "x": draw.random(), "lang": draw.choice("abc"), "t": None if n % 3 else f"{n:x}"}
        for n in range(60_000)
    ]
    pq.write_table(pa.Table.from_pylist(rows), home / "in.parquet")
    ran = cli("shuffle", "in.parquet", "-o", "out", "--format", form, "--shard-bytes", SIZE)
    assert ran.code == 0, ran.err
    assert_sizes(home / "out")


@pytest.mark.parametrize("form", ["csv", "txt.gz", "jsonl.zst", "arrow", "parquet"])
def test_a_row_larger_than_a_shard_is_a_shard_of_its_own(form, cli, corpus, home):
    """It is one row, and a row is never cut; the other shards stay as large as asked for."""
    draw = random.Random(6)
    long = f"{draw.getrandbits(2_400_000):x}".encode()
    data = KINDS["noise"] + b"\n" + long
    ran = cli(
        *("shuffle", corpus("in.txt", data), "-o", "out", "--shard-bytes", SIZE),
        *("--seed", 42, "--format", form),
    )
    assert ran.code == 0, ran.err
    found = files(home / "out")
    texts = list(map(lines_in, found))
    assert b"".join(texts) == reference.shuffled([data], "42")
    assert long + b"\n" in texts
    at = texts.index(long + b"\n")
    others = [path for n, path in enumerate(found) if n not in (at - 1, at, len(found) - 1)]
    assert all(0.85 * SIZE <= path.stat().st_size <= 1.15 * SIZE for path in others)


@pytest.mark.parametrize("form", ["csv.zst", "parquet"])
def test_the_shards_of_every_split_have_the_size(form, cli, corpus, home):
    """A split is cut as if it were alone."""
    path = corpus("in.txt", KINDS["words"])
    cut = ("--shard-bytes", SIZE // 2, "--split", "train=0.5,test=0.5", "--format", form)
    ran = cli("shuffle", path, "-o", "out", *cut, "--seed", 42)
    assert ran.code == 0, ran.err
    assert sorted(os.listdir(home / "out")) == [*MARKS, "test", "train"]
    for name in ("test", "train"):
        assert_sizes(home / "out" / name, SIZE // 2)


@pytest.mark.parametrize("form", ["txt", "csv", "jsonl.gz", "arrow", "parquet"])
def test_no_rows_make_one_file_that_can_be_read(form, cli, corpus, home):
    """A directory without files would look like a run that never happened."""
    cut = ("--shard-bytes", SIZE, "--format", form)
    ran = cli("shuffle", corpus("in.txt", b""), "-o", "out", *cut)
    assert ran.code == 0, ran.err
    assert [lines_in(path) for path in files(home / "out")] == [b""]


@pytest.mark.parametrize("form", ["csv", "jsonl.gz", "arrow", "parquet"])
def test_a_size_below_a_files_own_head_makes_files_of_one_row(form, cli, corpus, home):
    """No size is refused, none makes a file without rows, and every row is there once."""
    data = b"a\nb\nc\n\nd\n"
    cut = ("--shard-bytes", 1, "--format", form, "--seed", 42)
    ran = cli("shuffle", corpus("in.txt", data), "-o", "out", *cut)
    assert ran.code == 0, ran.err
    got = [lines_in(path) for path in files(home / "out")]
    assert b"".join(got) == reference.shuffled([data], "42")
    assert [text.count(b"\n") for text in got] == [1] * 5
