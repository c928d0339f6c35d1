"""--group and --spread: orders by the values of rows, the same on every engine."""

import collections
import hashlib
import itertools
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import ENGINES, GROUPED_LINES, shuffler

import dbshuf
from dbshuf.errors import DbshufError, QueryFailed, QueryInvalid, UsageError, VerifyFailed

DATA = GROUPED_LINES
GROUP = "split_part(line, ' ', 2)"
VALUE = "nullif(split_part(line, ' ', 1), '-')"  # of lines that begin with their value


def value_hash(seed: str, value: bytes | None) -> int:
    """A value's number: of text its own, NULL is a value of its own."""
    text = b"\x1e" if value is None else b"\x1f" + value
    return int.from_bytes(hashlib.sha256(seed.encode() + text).digest()[:8], "little")


def rows_of(data: bytes, seed: str):
    """The lines of one file with their ids and keys."""
    position = 0
    for line in data.splitlines(keepends=True):
        yield position, reference.key(position, seed), line
        position += len(line)


def value_of(line: bytes) -> bytes | None:
    first = line.rstrip(b"\n").split(b" ")[0]
    return None if first == b"-" else first


def grouped(data: bytes, seed: str, *, keep: bool = False, of=value_of) -> list[bytes]:
    """Lines by --group, from its definition alone."""
    rows = [
        (value_hash(f"group:{seed}", of(line)), place if keep else key, line)
        for place, key, line in rows_of(data, seed)
    ]
    return [line for _, _, line in sorted(rows)]


def spread(data: bytes, seed: str, of=value_of) -> list[bytes]:
    """Lines by --spread, from its definition alone."""
    values = collections.defaultdict(list)
    for _, key, line in rows_of(data, seed):
        values[value_hash(f"spread:{seed}", of(line))].append((key, line))
    placed = []
    for value, rows in values.items():
        count = len(rows)
        offset = reference.key(value, f"offset:{seed}") // count
        for rank, (key, line) in enumerate(sorted(rows)):
            jitter = reference.key(key, f"jitter:{seed}") // (2 * count)
            place = (reference.MASK // count * rank + offset + jitter) & reference.MASK
            placed.append((place, key, line))
    return [line for _, _, line in sorted(placed)]


@pytest.fixture
def run(home):
    """Shuffle a.txt with seed 42 and return the lines that are written."""
    return shuffler(home, DATA)


def of_group(line: bytes) -> bytes:
    return line.split()[1]


def shards_of(folder) -> list[list[bytes]]:
    return [one.read_bytes().splitlines(keepends=True) for one in sorted(folder.glob("part-*"))]


some_lines = st.lists(
    st.tuples(st.sampled_from([b"-", b"a", b"b", b"0", b"\xc3\xa9"]), st.integers(0, 10**6)),
    max_size=60,
).map(lambda rows: b"".join(b"%s %d\n" % row for row in rows))


@settings(max_examples=25)
@given(
    some_lines,
    st.sampled_from(["group", "keep", "spread"]),
    st.sampled_from(ENGINES),
    st.sampled_from(["1", "2", "x"]),
)
def test_rows_leave_as_the_definition_says_by_every_engine(
    tmp_path_factory, data, mode, engine, seed
):
    """Any rows and values, NULL among them: all of them, each once, in the one order."""
    top = tmp_path_factory.mktemp("any")
    (top / "a.txt").write_bytes(data)
    options = {
        "group": {"group": VALUE},
        "keep": {"group": VALUE, "within": "keep"},
        "spread": {"spread": VALUE},
    }[mode]
    dbshuf.shuffle(
        [top / "a.txt"], top / "out.txt", seed=seed, **{"memory": "2GB", **engine}, **options
    )
    found = (top / "out.txt").read_bytes().splitlines(keepends=True)
    want = spread(data, seed) if mode == "spread" else grouped(data, seed, keep=mode == "keep")
    assert found == want


def test_groups_of_every_size_stay_together_and_are_the_same_everywhere(run):
    """Memory, threads, strategy and engine change nothing."""
    for keep in (False, True):
        want = grouped(DATA, "42", keep=keep, of=of_group)
        options = {"group": GROUP, "within": "keep" if keep else "shuffle"}
        for engine in ENGINES:
            assert run(**options, **engine) == want
        runs = [group for group, _ in itertools.groupby(want, of_group)]
        assert len(runs) == len(set(runs))
    assert run(group=GROUP) == grouped(DATA, "42", of=of_group)
    assert run(group=GROUP, seed="43") != run(group=GROUP)


def test_kept_rows_stand_as_they_came_over_files_too(run, home):
    """Inputs as they are named, then places in them."""
    (home / "b.txt").write_bytes(b"".join(b"b%d g%d\n" % (i, i % 9) for i in range(500)))
    both = b"\n" + (home / "b.txt").read_bytes() + DATA
    for engine in ENGINES:
        found = run(inputs=("b.txt", "a.txt"), group=GROUP, within="keep", **engine)
        for _, rows in itertools.groupby(found, of_group):
            places = [both.index(b"\n" + line) for line in rows]
            assert places == sorted(places)


def test_every_value_is_spread_evenly_by_every_engine(run):
    """Between two rows of a value are at most twice as many rows as if it were spaced exactly."""
    want = spread(DATA, "42", of=of_group)
    for engine in ENGINES:
        assert run(spread=GROUP, **engine) == want
    assert sorted(want) == sorted(DATA.splitlines(keepends=True))
    places = collections.defaultdict(list)
    for place, line in enumerate(want):
        places[of_group(line)].append(place)
    for value, own in places.items():
        mean = len(want) / len(own)
        gaps = np.diff([-1, *own, len(want)])
        assert gaps.max() <= 2 * mean, value
        assert np.diff(own).min() > 1, value


def test_all_orders_of_groups_and_of_rows_inside_are_equally_likely():
    """Chi-square at 6,000 fixed seeds: 120 orders of five groups, and 24 of four rows inside."""
    data = b"".join(
        b"%s %d\n" % (value, i) for i in range(4) for value in (b"a", b"b", b"c", b"d", b"-")
    )
    groups, inside = collections.Counter(), collections.Counter()
    for seed in range(6000):
        order = grouped(data, str(seed))
        groups[tuple(line[:1] for line in order[::4])] += 1
        inside[tuple(line[2:3] for line in order if line.startswith(b"a"))] += 1
    for counts, orders in ((groups, 120), (inside, 24)):
        mean = 6000 / orders
        chi_square = sum((count - mean) ** 2 / mean for count in counts.values())
        chi_square += (orders - len(counts)) * mean
        assert abs(chi_square - (orders - 1)) < 3.3 * math.sqrt(2 * (orders - 1))


def test_rows_of_a_spread_value_are_in_any_order():
    """Chi-square at 6,000 fixed seeds: 24 orders of four rows; where they stand, see test_slots."""
    data = b"a 0\na 1\nb 9\na 2\na 3\n"
    seen = collections.Counter(
        tuple(line[2:3] for line in spread(data, str(seed)) if line.startswith(b"a"))
        for seed in range(6000)
    )
    chi_square = sum((seen[order] - 250) ** 2 / 250 for order in seen)
    assert len(seen) == 24
    assert abs(chi_square - 23) < 3.3 * math.sqrt(2 * 23)


def test_no_shard_is_cut_through_a_group(run, home):
    """Equal ranges, or a size that waits for the end of the group; all rows are there."""
    want = grouped(DATA, "42", of=of_group)
    cuts = {
        "n": {"shards": 4},
        "r": {"shard_rows": 700},
        "b": {"shard_bytes": 9000},
        "z": {"shard_bytes": 4000, "compression": "gzip"},
    }
    for name, cut in cuts.items():
        run(name, group=GROUP, format="txt", **cut)
        if name == "z":
            continue
        parts = shards_of(home / name)
        assert [line for part in parts for line in part] == want
        ends = [(part[0], part[-1]) for part in parts if part]
        assert len(parts) > 2
        for (_, last), (first, _) in itertools.pairwise(ends):
            assert of_group(last) != of_group(first)
    sizes = [len(part) for part in shards_of(home / "r")[:-1]]
    assert min(sizes) >= 700
    run(
        "p",
        group="g",
        sql=f"select id, line, {GROUP} as g from lines",
        shard_bytes=9000,
        format="parquet",
    )
    values = [
        set(pq.read_table(one)["g"].to_pylist()) for one in sorted((home / "p").glob("part-*"))
    ]
    assert len(values) > 1
    assert (
        sum(map(len, values)) == len(set().union(*values)) == len({of_group(one) for one in want})
    )


def test_spread_shards_have_their_share_of_every_value(run, home):
    """Each of four shards has a quarter of the rows of a value, but for two."""
    run("s", spread=GROUP, shards=4)
    parts = shards_of(home / "s")
    counts = collections.Counter(of_group(line) for line in DATA.splitlines())
    for part in parts:
        own = collections.Counter(map(of_group, part))
        assert all(abs(own[value] - count / 4) <= 2 for value, count in counts.items())


def test_a_group_is_in_one_split(run, home):
    """By its value, whatever the seed; a --split-by of one's own may not cut it."""
    homes = []
    for seed in ("42", "7"):
        told = {"group": GROUP, "split": "a=0.6,b=0.4", "memory": "2GB"}
        dbshuf.shuffle([home / "a.txt"], home / "o.txt", seed=seed, **told)
        parts = {n: (home / f"o.{n}.txt").read_bytes().splitlines(keepends=True) for n in "ab"}
        assert not {of_group(x) for x in parts["a"]} & {of_group(x) for x in parts["b"]}
        order = grouped(DATA, seed, of=of_group)
        for lines in parts.values():
            own = set(lines)
            assert lines == [line for line in order if line in own]
        homes.append({line: name for name, lines in parts.items() for line in lines})
    assert homes[0] == homes[1]
    dbshuf.shuffle([home / "a.txt"], home / "o.txt", split_by=f"right({GROUP}, 1)", **told)
    with pytest.raises(QueryFailed, match="two splits"):
        dbshuf.shuffle([home / "a.txt"], home / "o.txt", split_by="position", **told)


def test_typed_rows_are_grouped_and_spread_in_every_format(home):
    """Parquet, CSV and JSON lines in and out; nulls are one value."""
    table = pa.table({"n": range(900), "g": [None if i % 7 == 3 else i % 7 for i in range(900)]})
    pq.write_table(table, home / "in.parquet")
    (home / "in.csv").write_text("n,g\n" + "".join(f"{i},x{i % 7}\n" for i in range(900)))
    (home / "in.jsonl").write_text("".join(f'{{"n": {i}, "g":  {i % 7}}}\n' for i in range(900)))
    told = {"seed": 1, "memory": "2GB"}
    inputs = (
        ("in.parquet", None, ("parquet", "csv")),
        ("in.csv", "csv", ("arrow", "jsonl")),
        ("in.jsonl", "json", ("jsonl", "parquet")),
    )
    for name, kind, suffixes in inputs:
        for suffix in suffixes:
            out = home / f"out.{suffix}"
            dbshuf.shuffle([home / name], out, group="g", within="keep", input_format=kind, **told)
            numbers = numbers_in(out, suffix)
            assert sorted(numbers) == list(range(900))
            runs = [group for group, _ in itertools.groupby(numbers, lambda n: n % 7)]
            assert len(runs) == 7
            for _, group in itertools.groupby(numbers, lambda n: n % 7):
                own = list(group)
                assert own == sorted(own)
            dbshuf.shuffle([home / name], out, spread="g", input_format=kind, **told)
            numbers = numbers_in(out, suffix)
            assert sorted(numbers) == list(range(900))
            firsts = [numbers.index(next(n for n in numbers if n % 7 == r)) for r in range(7)]
            assert max(firsts) < 25


def numbers_in(path, suffix):
    if suffix == "parquet":
        return [int(n) for n in pq.read_table(path)["n"].to_pylist()]
    if suffix == "arrow":
        with pa.ipc.open_file(path) as file:
            return [int(n) for n in file.read_all()["n"].to_pylist()]
    if suffix == "csv":
        return [int(line.split(",")[0]) for line in path.read_text().splitlines()[1:]]
    return [int(json.loads(line)["n"]) for line in path.read_text().splitlines()]


def test_stores_streams_sql_pages_and_numbers_have_the_same_order(run, home):
    """The order is of the rows, wherever they come from and whatever is written of them."""
    want = grouped(DATA, "42", of=of_group)
    dbshuf.ingest(home / "a.duckdb", [home / "a.txt"])
    told = {"seed": 42, "memory": "2GB"}
    dbshuf.export(home / "a.duckdb", home / "out.txt", group=GROUP, **told)
    assert (home / "out.txt").read_bytes().splitlines(keepends=True) == want
    assert run(group=GROUP, sql="select id, line from lines") == want
    assert run(group=GROUP, take=100, skip=50) == want[50:150]
    apart = spread(DATA, "42", of=of_group)
    assert run(spread=GROUP, take=100, skip=50) == apart[50:150]
    dbshuf.shuffle([home / "a.txt"], home / "out.txt", spread=GROUP, epochs=2, **told)
    again = spread(DATA, "42/epoch-1", of=of_group)
    assert (home / "out.txt").read_bytes().splitlines(keepends=True) == apart + again
    with dbshuf.stream([home / "a.txt"], spread=GROUP, number="n", **told) as reader:
        table = reader.read_all()
    assert [line.encode() + b"\n" for line in table["line"].to_pylist()] == apart
    assert table["n"].to_pylist() == list(range(6000))
    stream = dbshuf.stream([home / "a.txt"], batch_rows=100, group=GROUP, **told)
    first = next(stream)["line"].to_pylist()
    again = dbshuf.stream([home / "a.txt"], batch_rows=100, group=GROUP, **told)
    again.load_state_dict(stream.state_dict())
    rest = [line for batch in again for line in batch["line"].to_pylist()]
    assert [line.encode() + b"\n" for line in first + rest] == want


def test_the_order_is_verified_with_its_option(run, home):
    """Without the option it is another order, and that is said."""
    run("s", spread=GROUP, shards=3)
    inputs = [home / "a.txt"]
    assert dbshuf.verify(inputs, home / "s", order=True, spread=GROUP).order == "same"
    with pytest.raises(UsageError, match="rows were ordered by --spread"):
        dbshuf.verify(inputs, home / "s", order=True)
    assert dbshuf.verify(inputs, home / "s", seed=42, spread=GROUP).order == "same"
    told = json.loads((home / "s/_manifest.json").read_text())["options"]
    assert told["spread"] == GROUP
    with pytest.raises(VerifyFailed) as caught:
        dbshuf.verify(inputs, home / "s", seed=42)
    assert "--spread" in caught.value.hint
    with pytest.raises(UsageError, match="the order is not checked"):
        dbshuf.verify(inputs, home / "s", spread=GROUP)


def test_the_plan_says_how_rows_stand(cli, corpus):
    corpus("a.txt", DATA)
    for options, words in (
        (("--group", "bytes"), "rows of one value of bytes together, shuffled; groups shuffled"),
        (("--group", "bytes", "--within", "keep"), "together, as they came; groups shuffled"),
        (("--spread", "bytes"), "rows of one value of bytes far apart, evenly; ordered twice"),
    ):
        ran = cli("plan", "a.txt", *options)
        assert words in ran.out.decode(), ran.err
    found = json.loads(cli("plan", "a.txt", "--group", "bytes", "--json").out)
    assert found["order_by"] == {"option": "--group", "expression": "bytes"}


REFUSED = [
    ({"group": "line", "spread": "line"}, "--group puts rows of one value together"),
    ({"within": "keep"}, "there is no --group"),
    ({"group": "line", "within": "some"}, "one of shuffle, keep"),
    ({"group": "line", "weight": "1"}, "are two orders"),
    ({"group": "n", "partition_by": "n", "format": "csv"}, "--partition-by writes rows folder"),
    ({"group": "line", "work_dir": "w"}, "--work-dir keeps rows by their keys alone"),
    ({"group": "line", "sample": "1%"}, "--sample keeps rows by their keys"),
    ({"spread": "line", "with_replacement": 3}, "--with-replacement"),
    ({"group": "line", "take": 3, "per": "bytes"}, "--per"),
    ({"group": "line", "split": "a=1", "stratify": "line"}, "--stratify"),
    ({"spread": "line", "split": "a=1"}, "split first, and spread each split"),
    ({"group": "line", "take": 5, "shards": 3}, "--take with --shards"),
    ({"group": "line_number"}, "line_number is not known"),
    ({"group": "count(*)"}, "--group: "),
    ({"spread": "nothing"}, "--spread: "),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=lambda one: str(one)[:60])
def test_what_means_nothing_is_refused_with_a_sentence(options, words, run, home):
    """And nothing is written."""
    with pytest.raises((UsageError, QueryInvalid)) as caught:
        run("x/" if "shards" in options else "x.txt", **options)
    assert words in f"{caught.value.message}\n{caught.value.hint}"
    assert [one.name for one in home.iterdir()] == ["a.txt"]


def test_a_value_that_fails_ends_the_run_with_its_place(run, home):
    with pytest.raises(DbshufError) as caught:
        run("x.txt", group=f"cast({GROUP} as int)")
    assert caught.value.exit_code == 20
    assert "at byte 0" in caught.value.message
    assert [one.name for one in home.iterdir()] == ["a.txt"]
