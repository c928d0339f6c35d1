"""--paired: row n of every file goes to one place, whatever orders the rows."""

import gzip
import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from paired_files import ALIGNED, OUTPUTS, PAIRED, ROWS, SOURCE, TARGET, paired_sides, text

import dbshuf

WAYS = (
    (),
    ("--strategy", "memory"),
    ("--strategy", "spill"),
    ("--strategy", "partition", "--threads", "1"),
    ("--engine", "sqlite"),
    ("--memory", "3GB", "--threads", "4"),
)


def shuffled(
    first: list[bytes], *others: list[bytes], seed: str = "7", end: bytes = b"\n", skip: int = 0
) -> list[list[bytes]]:
    """Return what the outputs are to hold: the order of the first side, taken by all."""
    position, keys = sum(len(line) + 1 for line in first[:skip]), []
    for line in first[skip:]:
        keys.append(reference.key(position, seed))
        position += len(line) + 1
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return [[side[skip + row] for row in order] for side in (first, *others)]


@pytest.fixture
def sides(corpus) -> list[Path]:
    return paired_sides(corpus)


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_every_strategy_engine_and_memory_writes_the_rows_together(cli, home, sides, way):
    """A user who moves to another machine gets the same files."""
    ran = cli("shuffle", *PAIRED, *OUTPUTS, *way)
    assert ran.code == 0, ran.err
    found = [(home / name).read_bytes() for name in OUTPUTS[1::2]]
    assert found == [text(side) for side in shuffled(SOURCE, TARGET, ALIGNED)]


def test_the_first_output_is_that_of_a_plain_shuffle(cli, home, sides):
    """Files can be paired later with what was shuffled before."""
    assert cli("shuffle", *PAIRED, *OUTPUTS).code == 0
    assert cli("shuffle", "a.txt", "-o", "plain.out", "--seed", "7").code == 0
    assert (home / "a.out").read_bytes() == (home / "plain.out").read_bytes()


def test_outputs_are_compressed_by_their_names(cli, home, sides):
    ran = cli("shuffle", *PAIRED, "-o", "a.gz", "-o", "b.txt", "-o", "c.parquet", "--binary")
    assert ran.code == 0, ran.err
    first, second, third = shuffled(SOURCE, TARGET, ALIGNED)
    assert gzip.decompress((home / "a.gz").read_bytes()) == text(first)
    assert (home / "b.txt").read_bytes() == text(second)
    assert pq.read_table(home / "c.parquet")["line"].to_pylist() == third


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("{name}.shuf", ["a.txt.shuf", "b.txt.shuf", "c.txt.shuf"]),
        ("out/{name}.gz", ["out/a.txt.gz", "out/b.txt.gz", "out/c.txt.gz"]),
    ],
)
def test_name_stands_for_each_file(cli, home, sides, template, names):
    (home / "out").mkdir()
    assert cli("shuffle", *PAIRED, "-o", template).code == 0
    for name, side in zip(names, shuffled(SOURCE, TARGET, ALIGNED), strict=True):
        data = (home / name).read_bytes()
        assert (gzip.decompress(data) if name.endswith(".gz") else data) == text(side)


def test_an_output_may_be_its_input(cli, home, sides):
    assert cli("shuffle", *PAIRED[:3], "--seed", "7", "-o", "a.txt", "-o", "b.txt").code == 0
    first, second = shuffled(SOURCE, TARGET)
    assert (home / "a.txt").read_bytes() == text(first)
    assert (home / "b.txt").read_bytes() == text(second)


def test_every_file_keeps_its_own_header(cli, home, corpus):
    corpus("a", text([b"source", *SOURCE]))
    corpus("b", text([b"target", *TARGET]))
    ran = cli("shuffle", "a", "--paired", "b", "--header", "1", "--seed", "7", "-o", "{name}.out")
    assert ran.code == 0, ran.err
    first, second = shuffled([b"source", *SOURCE], [b"target", *TARGET], skip=1)
    assert (home / "a.out").read_bytes() == text([b"source", *first])
    assert (home / "b.out").read_bytes() == text([b"target", *second])


def test_lines_may_end_with_nul(cli, home, corpus):
    lines = [b"%d\nmore" % n for n in range(500)]
    corpus("a", text(lines, b"\0"))
    corpus("b", text(TARGET[:500], b"\0"))
    assert cli("shuffle", "a", "--paired", "b", "-z", "--seed", "7", "-o", "{name}.out").code == 0
    first, second = shuffled(lines, TARGET[:500])
    assert (home / "a.out").read_bytes() == text(first, b"\0")
    assert (home / "b.out").read_bytes() == text(second, b"\0")


def test_a_side_is_one_file_or_a_directory_of_them(cli, home, corpus):
    """Rows are counted over all files of a side, however they are cut."""
    for number in range(3):
        corpus(f"en/{number}.txt", text(SOURCE[number * 1000 : (number + 1) * 1000]))
    corpus("de/0.txt", text(TARGET[:10]))
    corpus("de/1.gz", gzip.compress(text(TARGET[10:]), 1))
    ran = cli("shuffle", "en/", "--paired", "de/", "--seed", "7", "-o", "{name}.out")
    assert ran.code == 0, ran.err
    assert cli("shuffle", "en/", "--seed", "7", "-o", "plain").code == 0
    first, second = ((home / name).read_bytes().split(b"\n")[:-1] for name in ("en.out", "de.out"))
    assert text(first) == (home / "plain").read_bytes()
    assert dict(zip(first, second, strict=True)) == dict(zip(SOURCE, TARGET, strict=True))


def test_one_side_may_come_from_a_pipe(cli, home, sides):
    ran = cli("shuffle", "-", *PAIRED[1:], *OUTPUTS, stdin=text(SOURCE))
    assert ran.code == 0, ran.err
    assert (home / "b.out").read_bytes() == text(shuffled(SOURCE, TARGET)[1])


@settings(max_examples=20)
@given(
    lengths=st.lists(
        st.tuples(*[st.sampled_from((0, 0, 1, 3, 200, 70_000, 1 << 20, 1_500_000))] * 3),
        max_size=12,
    ),
    order=st.tuples(st.integers(0, 99), st.integers(1, 4)),
    way=st.sampled_from(({}, {"strategy": "memory"}, {"strategy": "spill"}, {"engine": "sqlite"})),
    ended=st.booleans(),
)
def test_rows_stay_together_whatever_the_lengths_of_their_lines(
    tmp_path_factory, lengths, order, way, ended
):
    """Lines longer than what is read at a time stand beside empty ones."""
    seed, threads = order
    home = tmp_path_factory.mktemp("pairs")
    sides = [
        [bytes([65 + side + 3 * (row % 8)]) * size[side] for row, size in enumerate(lengths)]
        for side in range(3)
    ]
    for number, side in enumerate(sides):
        data = text(side)
        keeps_end = ended or not side or not side[-1]  # an empty last line is its end alone
        (home / f"{number}.txt").write_bytes(data if keeps_end else data[:-1])
    dbshuf.shuffle(
        home / "0.txt",
        [home / f"{number}.out" for number in range(3)],
        paired=[home / "1.txt", home / "2.txt"],
        seed=seed,
        threads=threads,
        memory="4GB",
        **way,
    )
    found = [(home / f"{number}.out").read_bytes() for number in range(3)]
    assert found == [text(side) for side in shuffled(*sides, seed=str(seed))]


# --- which rows -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        ("--take", "100"),
        ("--skip", "2500", "--take", "400"),
        ("--sample", "10%"),
        ("--with-replacement", "500"),
        ("--where", "position % 3 = 0"),
        ("--where", "line_number > 2900"),
    ],
    ids=" ".join,
)
def test_a_sample_takes_all_lines_of_its_rows(cli, home, sides, options):
    """The first output has what a plain sample has, and the others go with it."""
    assert cli("shuffle", *PAIRED, *OUTPUTS, *options).code == 0
    assert cli("shuffle", "a.txt", "--seed", "7", "-o", "plain", *options).code == 0
    first, second, third = ((home / name).read_bytes().split(b"\n") for name in OUTPUTS[1::2])
    assert first == (home / "plain").read_bytes().split(b"\n")
    known = dict(zip(SOURCE, zip(TARGET, ALIGNED, strict=True), strict=True))
    assert len(first) > 90
    assert [known[line] for line in first[:-1]] == list(zip(second, third, strict=True))[:-1]


def test_where_sees_the_lines_of_all_sides(cli, home, sides):
    where = "paired_1 <> '' and bytes > 20 and length(paired_2) < 12"
    assert cli("shuffle", *PAIRED, *OUTPUTS, "--where", where).code == 0
    kept = [
        (source, target)
        for source, target, aligned in zip(*shuffled(SOURCE, TARGET, ALIGNED), strict=True)
        if target and len(source) > 20 and len(aligned) < 12
    ]
    assert 0 < len(kept) < ROWS
    first, second = ((home / name).read_bytes().split(b"\n")[:-1] for name in OUTPUTS[1:4:2])
    assert list(zip(first, second, strict=True)) == kept


def test_splits_hold_the_same_rows_of_each_file(cli, home, sides):
    split = ("--split", "train=0.8,valid=0.2")
    ran = cli("shuffle", *PAIRED, "-o", "{name}", "-o", "b", "-o", "c", *split)
    assert ran.code == 0, ran.err
    known = dict(zip(SOURCE, TARGET, strict=True))
    rows = 0
    for part in ("train", "valid"):
        first = (home / f"a.{part}.txt").read_bytes().split(b"\n")[:-1]
        second = (home / f"b.{part}").read_bytes().split(b"\n")[:-1]
        assert [known[line] for line in first] == second
        rows += len(first)
    assert rows == ROWS


def test_numbers_are_the_places_of_rows_in_every_file(cli, home, sides):
    options = ("--number", "place", "--skip", "10", "--binary")
    assert cli("shuffle", *PAIRED, "-o", "{name}.parquet", *options).code == 0
    for name, side in zip("abc", shuffled(SOURCE, TARGET, ALIGNED), strict=True):
        found = pq.read_table(home / f"{name}.txt.parquet").to_pydict()
        assert found == {"line": side[10:], "place": list(range(10, ROWS))}


@pytest.mark.parametrize("where", [(), ("--where", "shuffle_key(id) % 2 = 0")], ids=str)
def test_epochs_follow_each_other_in_every_file(cli, home, sides, where):
    """The first output is that of the epochs of its file alone."""
    options = ("--epochs", "3", *where)
    ran = cli("shuffle", *PAIRED, *OUTPUTS, *options)
    assert ran.code == 0, ran.err
    assert cli("shuffle", "a.txt", "-o", "plain", "--seed", "7", *options).code == 0
    first, second = ((home / name).read_bytes().split(b"\n")[:-1] for name in OUTPUTS[1:4:2])
    assert text(first) == (home / "plain").read_bytes()
    known = dict(zip(SOURCE, TARGET, strict=True))
    assert [known[line] for line in first] == second
    assert len(first) == 3 * ROWS or where


@pytest.mark.parametrize("cut", [("--shards", "4"), ("--shard-rows", "1000")])
def test_shards_of_one_number_hold_the_same_rows(cli, home, sides, cut):
    ran = cli("shuffle", *PAIRED, "-o", "out/{name}", *cut)
    assert ran.code == 0, ran.err
    shards = [sorted((home / "out" / name).iterdir()) for name in ("a.txt", "b.txt", "c.txt")]
    counts = [[shard.read_bytes().count(b"\n") for shard in side] for side in shards]
    assert counts[0] == counts[1] == counts[2]
    assert len(counts[0]) == int(cut[1]) if cut[0] == "--shards" else counts[0] == [1000] * 3
    for side, lines in zip(shards, shuffled(SOURCE, TARGET, ALIGNED), strict=True):
        assert b"".join(shard.read_bytes() for shard in side) == text(lines)
    assert cli("verify", "out/").code == 0


# --- what is said ---------------------------------------------------------------------------


def test_the_manifest_has_the_inputs_and_outputs_of_all_sides(cli, home, sides):
    (home / "out").mkdir()
    outputs = ("-o", "a.out", "-o", "out/b.out", "-o", "out/c.out")
    assert cli("shuffle", *PAIRED, *outputs, "--manifest", "run.json").code == 0
    manifest = json.loads((home / "run.json").read_text())
    assert [one["name"] for one in manifest["inputs"]] == ["a.txt", "b.txt", "c.txt.gz"]
    assert [one["rows"] for one in manifest["inputs"]] == [ROWS] * 3
    assert all(one["sha256"] for one in manifest["inputs"])
    names = [one["name"] for one in manifest["outputs"]]
    assert names == ["a.out", "out/b.out", "out/c.out"]
    assert manifest["row_sums"]["sum_in"] == manifest["row_sums"]["sum_out"]
    assert cli("verify", "--manifest", "run.json", ".").code == 0
    (home / "out/c.out").write_bytes(b"another")
    assert cli("verify", "--manifest", "run.json", ".").code == 31


def test_plan_shows_all_sides(cli, home, sides):
    ran = cli("plan", *PAIRED, *OUTPUTS)
    assert ran.code == 0, ran.err
    for name in ("a.txt", "b.txt", "c.txt.gz", "a.out", "b.out", "c.out"):
        assert name in ran.out.decode()
    told = json.loads(cli("plan", *PAIRED, *OUTPUTS, "--json").out)
    assert [side["output"] for side in told["paired"]] == ["a.out", "b.out", "c.out"]
    assert not (home / "a.out").exists()


# --- memory ---------------------------------------------------------------------------------


def random_lines(path: Path, rows: int, width: int) -> None:
    data = random.Random(width).randbytes(rows * width // 2).hex().encode()
    with open(path, "wb") as file:
        for row in range(rows):
            file.write(b"%d %s\n" % (row, data[row * width : (row + 1) * width]))


def test_memory_is_kept_where_lines_of_a_row_differ_much(measured, home):
    """A source of 30 kB and a target of 3 bytes are read at one pace."""
    random_lines(home / "a.txt", 3000, 30_000)
    (home / "b.txt").write_bytes(b"".join(b"%d\n" % (row % 90) for row in range(3000)))
    line = ("shuffle", "a.txt", "--paired", "b.txt", "--seed", "7", "-o", "{name}.out")
    ran = measured(*line, "--memory", "300MB")
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes < 300_000_000
    with open(home / "a.txt.out", "rb") as first, open(home / "b.txt.out", "rb") as second:
        numbers = [int(row.split(b" ", 1)[0]) for row in first]
        assert sorted(numbers) == list(range(3000))
        assert [int(row) for row in second] == [number % 90 for number in numbers]


def test_memory_is_kept_with_lines_of_many_megabytes(measured, home):
    long = b"l" * 60_000_000
    (home / "a.txt").write_bytes(b"first\n" + long + b"\nlast\n")
    (home / "b.txt").write_bytes(b"\n\n" + long + b"\n")
    line = ("shuffle", "a.txt", "--paired", "b.txt", "--seed", "7", "-o", "{name}.out")
    ran = measured(*line, "--memory", "600MB")
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes < 600_000_000
    rows = [b"first", long, b"last"], [b"", b"", long]
    for name, side in zip(("a", "b"), shuffled(*rows), strict=True):
        assert (home / f"{name}.txt.out").read_bytes() == text(side)
    ran = measured(*line, "--memory", "150MB")
    assert ran.code in (9, 11), ran.err
