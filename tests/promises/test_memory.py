"""Memory: the peak RSS of the process, as the kernel counts it, stays at or under --memory."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from command import DBSHUF, Ran
from pyarrow import feather

MEDIUM = (3_575_000, 147)  # 0.53 GB
WIDE = (12_500, 24_000)  # 0.30 GB
SHORT = (9_000_000, 9)  # 81 MB, and three times that in keys and places
MODEST = (2_050_000, 147)  # 0.30 GB


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Path]]:
    """Make each corpus once, delete all at the end of this file."""
    top = tmp_path_factory.mktemp("corpora")

    def make(shape: tuple[int, int]) -> Path:
        path = top / f"{shape[0]}x{shape[1]}.txt"
        return path if path.exists() else reference.write_numbered(path, *shape)

    yield make
    shutil.rmtree(top)


@pytest.fixture
def capped(numbered, measured, home) -> Callable[..., Ran]:
    """Shuffle a corpus under a cap, which holds; what comes out is in the one order."""

    def run(shape: tuple[int, int], strategy: str, cap_bytes: int) -> Ran:
        options = ("--memory", f"{cap_bytes}B", "--strategy", strategy, "--threads", 2)
        ran = measured("shuffle", numbered(shape), "-o", "out.txt", "--seed", "42", *options)
        assert ran.peak_rss_bytes <= cap_bytes
        if ran.code == 0:
            reference.check_numbered(home / "out.txt", *shape, "42")
        return ran

    return run


@pytest.mark.parametrize(
    ("shape", "strategy", "cap_bytes"),
    [
        (MODEST, "auto", 256_000_000),
        (MEDIUM, "spill", 400_000_000),
    ],
)
def test_more_than_the_cap_in_medium_lines_stays_under_the_cap(shape, strategy, cap_bytes, capped):
    """147-byte lines, more than a cap leaves for them, each in its place of the one order."""
    ran = capped(shape, strategy, cap_bytes)
    assert ran.code == 0, ran.err
    assert ("partition" if strategy == "auto" else strategy) in ran.err


def test_the_memory_strategy_stays_under_a_cap_that_it_accepts(capped):
    """0.30 GB in memory; a cap that it refuses is no failure, one that it breaks is."""
    for cap_bytes in (500_000_000, 800_000_000, 1_250_000_000):
        ran = capped(MODEST, "memory", cap_bytes)
        if ran.code == 0:
            break
        assert ran.code == 16, ran.err
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("shape", "strategy", "cap_bytes"),
    [
        (WIDE, "auto", 256_000_000),
        (SHORT, "partition", 275_000_000),
    ],
    ids=["24 kB", "9 bytes"],
)
def test_wide_and_short_lines_stay_under_the_cap(shape, strategy, cap_bytes, capped):
    """Buffers counted in rows break on wide lines, those a row costs break on short ones."""
    ran = capped(shape, strategy, cap_bytes)
    assert ran.code == 0, ran.err


def test_spill_on_wide_lines_works_within_the_cap_or_is_refused(capped):
    """The engine pins rows by number, so this must be known before it dies of it."""
    ran = capped(WIDE, "spill", 256_000_000)
    assert ran.code in (0, 11, 16), ran.err  # done, too little memory, or unfit


@pytest.mark.parametrize("threads", [1, 4])
def test_the_smallest_workable_cap_holds(threads, numbered, measured, smallest, home):
    """The value that the refusal names, on 0.3 GB, with few threads and with many."""
    line = ("shuffle", numbered(MODEST), "-o", "out.txt", "--seed", "42", "--threads", threads)
    cap = smallest(*line)
    ran = measured(*line, "--memory", cap)
    assert ran.code == 0, ran.err
    number = float(cap.rstrip("BiKMGk"))
    scale = {"MB": 10**6, "MiB": 2**20, "GB": 10**9, "B": 1}[cap.lstrip("0123456789.")]
    assert ran.peak_rss_bytes <= number * scale
    reference.check_numbered(home / "out.txt", *MODEST, "42")


@pytest.mark.parametrize(
    ("is_piped", "caps"), [(False, (300, 370, 450, 630, 1000)), (True, (300, 400))]
)
def test_one_long_line_is_refused_or_carried_within_the_cap(is_piped, caps, measured, corpus, home):
    """40 MB in one line among short ones; and what a cap can carry, a larger one can too.

    A pipe cannot be read again, and carries them under caps as small as a file does.
    """
    short = b"a line of some length\n" * 400_000
    path = corpus("in.txt", short + b"x" * 40_000_000 + b"\n" + short)
    carried = False
    piped = ("/bin/sh", "-c", 'cat in.txt | "$@"', "sh", *DBSHUF)
    for cap_mb in caps:
        options = ("-o", "out.txt", "--memory", f"{cap_mb}MB")
        if is_piped:
            ran = measured("shuffle", "-", *options, by=piped)
        else:
            ran = measured("shuffle", path, *options)
        assert ran.peak_rss_bytes <= cap_mb * 1_000_000
        assert ran.code in (0, 9), ran.err
        assert ran.code == 0 or not carried, f"{ran.err}, yet less memory was enough"
        carried = ran.code == 0
    assert carried
    assert sorted((home / "out.txt").read_bytes().split(b"\n"))[-1] == b"x" * 40_000_000


@pytest.mark.parametrize(
    ("name", "options"),
    [("out.parquet", ()), ("out.txt.zst", ()), ("shards", ("--shards", 64))],
)
def test_every_kind_of_output_stays_under_the_cap(name, options, numbered, measured, home):
    """Compressors and column writers hold buffers too; 0.3 GB at 400 MB."""
    ran = measured(
        "shuffle",
        numbered(MODEST),
        "-o",
        name,
        "--memory",
        "400MB",
        "--seed",
        "42",
        "--threads",
        2,
        *options,
    )
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes <= 400_000_000
    if name.endswith(".parquet"):
        assert pq.read_metadata(home / name).num_rows == MODEST[0]


def test_compressed_input_and_many_files_stay_under_the_cap(measured, home, pack):
    """A compressed file does not tell its size, and files come by the thousand."""
    part = reference.write_numbered(home / "part.txt", 100_000, 147).read_bytes()
    packed = pack("zstd", part)
    (home / "in").mkdir()
    for number in range(20):
        (home / "in" / f"{number:02}.zst").write_bytes(packed)
    for number in range(2000):
        (home / "in" / f"tiny-{number:04}.txt").write_bytes(b"tiny\n")
    ran = measured("shuffle", "in", "-o", "out.txt", "--memory", "300MB", "--seed", "42")
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes <= 300_000_000
    assert (home / "out.txt").stat().st_size == 20 * len(part) + 2000 * 5


@pytest.mark.parametrize("kind", ["lines", "json"])
def test_a_long_row_goes_through_under_the_cap_that_its_refusal_names(kind, measured, home):
    """A sixth of it is the row itself; not twice what would do, and no more is taken."""
    text = 'é "quoted"\n' * 4_500_000  # 63 MB as JSON
    rows = [{"n": n, "text": "short" if n != 20 else text} for n in range(40)]
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (home / "in.jsonl").write_text(data, encoding="utf-8")
    run = ("shuffle", "in.jsonl", "--from", kind, "-o", "out.csv", "--seed", "42", "--memory")
    ran = measured(*run, "400MB")
    assert ran.code in (9, 11), ran.err
    cap = int(re.findall(r"--memory (\d+)MB", ran.err)[-1])
    while (ran := measured(*run, f"{cap}MB")).code == 11:  # first what any run needs
        cap = int(re.findall(r"--memory (\d+)MB", ran.err)[-1])
    if ran.code == 9:
        cap = int(re.findall(r"--memory (\d+)MB", ran.err)[-1])
        ran = measured(*run, f"{cap}MB")
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes <= cap * 10**6 < 840_000_000


@pytest.mark.parametrize("name", ["wide.parquet", "wide.arrow"])
def test_a_refusal_of_wide_rows_stays_under_the_cap_too(name, measured, home):
    """One look at the first rows of 400 columns would decompress 128 MB."""
    column = pa.array(np.arange(40_000))
    rows = pa.table({f"c{number}": column for number in range(400)})
    if name == "wide.parquet":
        pq.write_table(rows, home / name, use_dictionary=False, compression="zstd")
    else:
        feather.write_feather(rows, home / name, compression="zstd", chunksize=len(rows))
    ran = measured("shuffle", name, "-o", "out.parquet", "--memory", "170MB")
    assert ran.code == 11, ran.err
    assert ran.peak_rss_bytes <= 170_000_000


def test_a_group_larger_than_the_cap_stays_under_it(numbered, measured, home):
    """0.42 GB in one group at 370 MB, in the order in which it came, and the others behind."""
    source, end = numbered(MEDIUM), 2_860_000 * MEDIUM[1]
    group = ("--group", f"position < {end}", "--within", "keep")
    options = (*group, "--seed", "1", "--memory", "370MB", "--threads", 2)
    ran = measured("shuffle", source, "-o", "out.txt", *options)
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes <= 370_000_000
    rows, found = np.memmap(source, np.uint8), np.memmap(home / "out.txt", np.uint8)
    first = end if found[0] == rows[0] and np.array_equal(found[:10], rows[:10]) else None
    parts = [rows[:end], rows[end:]] if first else [rows[end:], rows[:end]]
    assert np.array_equal(found[: len(parts[0])], parts[0])
    assert np.array_equal(found[len(parts[0]) :], parts[1])


@pytest.mark.parametrize(
    ("option", "cap_bytes"), [("--group", 370_000_000), ("--spread", 520_000_000)]
)
def test_a_million_values_take_no_more_memory_than_one(option, cap_bytes, measured, corpus, home):
    """1,000,000 groups, or 500,000 values of two rows each to be kept apart."""
    rows = 1_000_000
    corpus("in.txt", b"".join(b"%d\n" % number for number in range(rows)))
    expression = "line" if option == "--group" else "cast(line as int) // 2"
    options = (option, expression, "--seed", "1", "--memory", f"{cap_bytes}B", "--threads", 2)
    ran = measured("shuffle", "in.txt", "-o", "out.txt", *options)
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes <= cap_bytes
    found = np.array((home / "out.txt").read_bytes().split(), np.int64)
    assert np.array_equal(np.sort(found), np.arange(rows))
    if option == "--spread":
        places = np.empty(rows, np.int64)
        places[found] = np.arange(rows)
        apart = np.abs(places[0::2] - places[1::2])
        assert 0.24 * rows < apart.min()
        assert apart.max() < 0.76 * rows
