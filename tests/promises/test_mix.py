"""A mix has the shares that it was asked for, to the row, by every engine and in any memory."""

import collections
import itertools
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

import dbshuf
from dbshuf.base.progress import NO_PROGRESS
from dbshuf.errors import InputChanged, QueryFailed, QueryInvalid, SchemaMismatch, UsageError
from dbshuf.options import Options
from dbshuf.pipeline.shuffle import planned, run

ENGINES = (
    {"strategy": "memory"},
    {"strategy": "partition", "threads": 1, "memory": "3GB"},
    {"strategy": "partition", "threads": 4},
    {"strategy": "spill"},
    {"engine": "sqlite"},
)
DATA = {
    name: b"".join(b"%b %d %b\n" % (name.encode(), i, b"x" * (i * i % 23)) for i in range(count))
    for name, count in (("web", 3000), ("books", 200), ("code", 900))
}
SEED = "42"


def chosen(inputs, counts, seed=SEED):
    """The output by its definition: of each input so many rows, by their ranks, as copies."""
    rows = []
    for ordinal, (data, count) in enumerate(zip(inputs, counts, strict=True)):
        position, ids = 0, {}
        for line in data.splitlines(keepends=True):
            ids[ordinal << 44 | position] = line
            position += len(line)
        ranked = sorted(ids, key=lambda row: reference.key(row, f"mix:{seed}"))
        for place in range(count):
            row = ranked[place % len(ranked)]
            copy = row + (place // len(ranked) * len(inputs) << 44)
            rows.append((reference.key(copy, seed), ids[row]))
    return b"".join(line for _, line in sorted(rows))


@pytest.fixture
def files(home):
    """The three sources, a directory each, to be named from there."""
    for name, data in DATA.items():
        (home / name).mkdir()
        (home / name / "a.txt").write_bytes(data)
    before = os.getcwd()
    os.chdir(home)
    yield home
    os.chdir(before)


def mixed(*mix, output="out.txt", **options):
    """Shuffle a mix; return the result and the bytes of a file."""
    told = {"seed": SEED, "memory": "2GB", "threads": 2, **options}
    result = dbshuf.shuffle(mix=mix, output=output, **told)
    return result, Path(output).read_bytes() if os.path.isfile(output) else b""


def lines_below(folder):
    """All different lines of a directory of shards."""
    parts = [file.read_bytes().splitlines() for file in folder.glob("part*")]
    return {line for part in parts for line in part}


def taken(result):
    """The rows that each source has given."""
    return [one["taken_rows"] for one in result.mix["sources"]]


def counts_of(text):
    """How many lines each source has in an output."""
    return collections.Counter(line.split()[0].decode() for line in text.splitlines())


def test_a_mix_is_what_its_definition_says_by_every_engine(files):
    """Shares, amounts and repeats; each of the strategies, any number of threads."""
    mix = ("web/=0.7", "books/=0.2x3", "code/=100rows")
    wanted = chosen(DATA.values(), [700, 200, 100])
    assert [mixed(*mix, **options)[1] == wanted for options in ENGINES] == [True] * len(ENGINES)
    wanted = chosen(DATA.values(), [1000, 500, 500])
    mix = ("web/=1/2", "books/=25%x3", "code/=0.25")
    for options in ENGINES[:4]:
        assert mixed(*mix, mix_size="2000rows", **options)[1] == wanted


def test_of_everything_once_it_is_the_shuffle_of_all(files):
    """So a mix is a shuffle, and a repeat is an input that was named again."""
    _, text = mixed("web/=all", "books/=all")
    assert text == reference.shuffled([DATA["web"], DATA["books"]], SEED)
    _, text = mixed("web/=allx2", "books/=allx2")
    assert text == reference.shuffled([DATA["web"], DATA["books"]] * 2, SEED)


@settings(max_examples=12)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=4, max_size=4),
    st.integers(0, 99),
    st.sampled_from(ENGINES),
)
def test_any_mix_has_its_rows_and_no_others(tmp_path_factory, sizes, shares, seed, options):
    """Each source its share of the largest whole, and no row more often than it may be."""
    home = tmp_path_factory.mktemp("mix")
    total = sum(weight for weight, _ in shares[: len(sizes)])
    inputs, mix = [], []
    for at, (size, (weight, cap)) in enumerate(zip(sizes, shares, strict=False)):
        inputs.append(b"".join(b"%d %d\n" % (at, row) for row in range(size)))
        (home / f"{at}.txt").write_bytes(inputs[-1])
        mix.append(f"{home / str(at)}.txt={weight}/{total}x{cap}")
    told = {"memory": "3GB", **options, "seed": seed}
    result = dbshuf.shuffle(mix=mix, output=home / "out.txt", **told)
    text, rows = (home / "out.txt").read_bytes(), taken(result)
    for size, (weight, cap), count in zip(sizes, shares, rows, strict=False):
        assert abs(count - weight * result.rows / total) < 1
        assert count <= size * cap
    found = collections.Counter(text.splitlines())
    for at, (size, count) in enumerate(zip(sizes, rows, strict=True)):
        often = [found[b"%d %d" % (at, row)] for row in range(size)]
        assert sum(often) == count
        assert max(often) - min(often) <= 1
    assert text == chosen(inputs, rows, str(seed))


def test_copies_and_rows_of_all_sources_stand_anywhere(files):
    """Chi-squared over ten parts of the output, p > 1e-6 at this seed; also within one source."""
    _, text = mixed("web/=0.5", "books/=0.3x8", "code/=0.2x2", mix_size="5000rows")
    lines = text.splitlines()
    for one in ("web", "books", "code"):
        places = [at for at, line in enumerate(lines) if line.startswith(one.encode())]
        parts = [sum(at * 10 // len(lines) == part for at in places) for part in range(10)]
        expected = len(places) / 10
        assert sum((count - expected) ** 2 / expected for count in parts) < 45
    seen = collections.defaultdict(list)
    for at, line in enumerate(lines):
        seen[line].append(at)
    gaps = [two - one for places in seen.values() for one, two in itertools.pairwise(places)]
    assert sum(gap < 50 for gap in gaps) < 0.2 * len(gaps)  # copies do not follow each other


def test_the_rows_that_are_taken_are_as_likely_anywhere_in_a_source(files):
    """Not its front; and with another seed they are others."""
    _, text = mixed("web/=1000rows")
    numbers = [int(line.split()[1]) for line in text.splitlines()]
    assert len(set(numbers)) == 1000
    parts = [sum(number // 300 == part for number in numbers) for part in range(10)]
    assert sum((count - 100) ** 2 / 100 for count in parts) < 45
    _, other = mixed("web/=1000rows", seed="43")
    assert set(other.splitlines()) != set(text.splitlines())


def test_shares_of_bytes_are_exact_to_half_a_row(files):
    """Nearer to what was asked for than with one row more or less."""
    result, text = mixed("web/=0.7", "books/=0.3x9", mix_by="bytes", mix_size="60kB")
    assert result.mix["by"] == "bytes"
    sizes = [one["taken_bytes"] for one in result.mix["sources"]]
    assert sum(sizes) == len(text) == result.text_bytes
    for size, wanted in zip(sizes, (42_000, 18_000), strict=True):
        assert abs(size - wanted) <= 40 / 2
    result, text = mixed("web/=0.7", "books/=5kBx2")
    assert abs(len(text) - 5000 / 0.3) <= 40


def test_a_source_has_a_filter_of_its_own_beside_where_and_select(files):
    """Its share is of the rows that are left; the others are not touched."""
    mix = ("web/=0.75 where line like '%7 %'", "code/=0.25")
    results = [mixed(*mix, **options) for options in ENGINES]
    assert len({text for _, text in results}) == 1
    result, text = results[0]
    assert [one["rows"] for one in result.mix["sources"]] == [300, 900]
    assert counts_of(text) == {"web": 300, "code": 100}
    assert all(b"7 " in line for line in text.splitlines() if line.startswith(b"web"))
    _, text = mixed(*mix, where="line like '%1%'", select="upper(line) as line")
    counts = counts_of(text)
    assert counts["WEB"] == 3 * counts["CODE"]
    assert all(b"1" in line for line in text.splitlines())
    assert all(b"7 " in line for line in text.splitlines() if line.startswith(b"WEB"))
    with pytest.raises(QueryInvalid, match=r"--mix: .*byts"):
        mixed("web/=1 where byts > 3")
    with pytest.raises(QueryFailed, match=r"`web/a.txt` at byte \d+: --mix: "):
        mixed("code/=0.5", "web/=0.5 where cast(line as int) > 3")
    with pytest.raises(QueryInvalid, match="--mix: syntax error"):
        mixed("web/=1 where bytes > 1) or (bytes > 2")


def test_typed_rows_are_mixed_by_their_columns(files):
    """Parquet with an `id` of its own, filters, a union of columns; counts need no reading."""
    table = pa.table({"id": range(1000), "lang": ["en", "de"] * 500})
    pq.write_table(table, "a.parquet", row_group_size=100)
    pq.write_table(table.append_column("n", pa.array(range(1000))).slice(0, 500), "b.parquet")
    mix = ("a.parquet=0.5 where lang = 'de'", "b.parquet=0.5x2 where id < 300")
    with pytest.raises(SchemaMismatch):
        mixed(*mix)
    told = {"schema": "union", "format": "arrow", "output": "out.arrow"}
    found = {mixed(*mix, **told, **options)[1] for options in ENGINES}
    assert len(found) == 1
    rows = pa.ipc.open_file(found.pop()).read_all().to_pylist()
    of_a = [row for row in rows if row["n"] is None]
    assert (len(rows), len(of_a)) == (1000, 500)
    assert {row["lang"] for row in of_a} == {"de"}
    often = collections.Counter(row["id"] for row in rows if row["n"] is not None)
    assert sorted(often) == list(range(300))
    assert sorted(often.values()) == [1] * 100 + [2] * 200
    result, _ = mixed("a.parquet=0.5", "a.parquet=0.5 where id < 200", **told)
    assert taken(result) == [200, 200]
    assert result.mix["sources"][0]["bytes"] is None
    result, _ = mixed("a.parquet=1", mix_by="bytes", **told)
    assert result.mix["bytes"] == result.text_bytes == 1000 * (8 + 2)


def test_json_lines_leave_as_they_are_and_as_columns(files):
    """With a filter over their keys."""
    for name, count in (("a", 100), ("b", 50)):
        with open(f"{name}.jsonl", "w") as file:
            file.writelines(f'{{"k":  {i}, "from": "{name}"}}\n' for i in range(count))
    mix = ("a.jsonl=0.5 where k % 2 = 0", "b.jsonl=0.5")
    _, text = mixed(*mix, input_format="json", output="out.jsonl")
    lines = text.decode().splitlines()
    assert collections.Counter(json.loads(line)["from"] for line in lines) == {"a": 50, "b": 50}
    assert all('"k":  ' in line for line in lines)
    mixed(*mix, input_format="json", output="out.parquet", where="k >= 10")
    rows = pq.read_table("out.parquet").to_pylist()
    assert collections.Counter(row["from"] for row in rows) == {"a": 40, "b": 40}
    assert min(row["k"] for row in rows) == 10


def test_all_copies_of_a_row_are_in_one_split(files):
    """Else a validation set would have rows of the training set."""
    for by in ({}, {"split_by": "bytes % 5"}):
        mixed("web/=0.5", "books/=0.5x9", output="s/", split="a=0.5,b=0.5", force=True, **by)
        parts = [lines_below(files / "s" / name) for name in ("a", "b")]
        assert all(parts)
        assert not parts[0] & parts[1]
        mixed("web/=1", output="all/", split="a=0.5,b=0.5", force=True, **by)
        of_web = {line for line in parts[0] if line.startswith(b"web")}
        assert of_web <= lines_below(files / "all/a")


def test_folders_of_values_hold_the_rows_of_a_mix(files):
    """--partition-by orders by values first, and what is mixed is the same."""
    told = {"select": "split_part(line, ' ', 1) as name, line", "format": "csv"}
    mixed("web/=0.5", "books/=0.5x3", output="p/", partition_by="name", **told)
    for name in ("web", "books"):
        parts = [file.read_bytes() for file in files.glob(f"p/name={name}/*")]
        assert sum(part.count(name.encode() + b" ") for part in parts) == 600


def test_a_manifest_says_what_each_source_gave(files):
    """And its sums are those of the rows, copies too; `verify` checks the files."""
    result, _ = mixed("web/=0.5", "books/=0.5x3", output="out/", shards=3, number="n", format="csv")
    manifest = json.loads((files / "out/_manifest.json").read_text())
    assert manifest["mix"] == result.mix
    assert taken(result) == [600, 600]
    assert manifest["options"]["mix"] == ["web/=0.5", "books/=0.5x3"]
    assert [one["rows"] for one in manifest["inputs"]] == [3000, 200]
    assert all(one["sha256"] for one in manifest["inputs"])
    assert dbshuf.verify_files("out/").files == 3
    mixed("web/=0.5", "books/=0.5x3", output="one.txt", manifest="one.json")
    sums = json.loads((files / "one.json").read_text())["row_sums"]
    assert sums["sum_in"] == sums["sum_out"]
    assert sums["rows_out"] == 1200


def test_the_plan_shows_the_counts_and_the_run_has_them(files, cli):
    """For people and for programs, on standard output alone."""
    line = ("--mix", "web/=0.7", "--mix", "books/=0.2x3", "--mix", "code/=60rows where bytes > 20")
    ran = cli("plan", *line, "--seed", SEED)
    assert ran.code == 0
    assert "count" in ran.err
    lines = ran.out.decode().splitlines()
    said = [one.split(":", 1)[1].strip() for one in lines if one.startswith("  source")]
    assert [one.split(" (")[0] for one in said] == [
        "web/: 420 rows",
        "books/: 120 rows",
        "code/ where bytes > 20: 60 rows",
    ]
    planned = json.loads(cli("plan", *line, "--seed", SEED, "--json", "-q").out)["mix"]
    ran = cli("shuffle", *line, "--seed", SEED, "-o", "o.txt", "--progress", "json")
    assert json.loads(ran.err.splitlines()[-1])["mix"] == planned
    assert counts_of((files / "o.txt").read_bytes()) == {"web": 420, "books": 120, "code": 60}


def test_epochs_and_ranks_stream_a_mix_and_go_on_with_it(files):
    """Of each epoch the rows are others, and the shares the same; all ranks share one mix."""
    told = {"mix": ["web/=0.7", "books/=0.3x3"], "seed": SEED, "memory": "2GB"}
    first, second = (
        [line for batch in dbshuf.stream(**told, epoch=epoch) for line in batch["line"].to_pylist()]
        for epoch in (0, 1)
    )
    assert set(first) != set(second)
    assert "\n".join(first).encode() + b"\n" == mixed(*told["mix"])[1]
    for lines in (first, second):
        assert counts_of("\n".join(lines).encode()) == {"web": 1400, "books": 600}
    state = None
    with dbshuf.stream(**told, batch_rows=100) as stream:
        begun = [line for _ in range(3) for line in next(stream)["line"].to_pylist()]
        state = json.loads(json.dumps(stream.state_dict()))
    with dbshuf.stream(**told, batch_rows=100) as stream:
        stream.load_state_dict(state)
        rest = [line for batch in stream for line in batch["line"].to_pylist()]
    assert begun + rest == first


def test_a_source_that_changes_after_it_was_counted_ends_the_run(files):
    """Nothing is published that is not the mix of the plan."""
    plan = planned(Options(mix=("web/=1",), output="o.txt", seed=SEED, memory="2GB"))
    with open("web/a.txt", "ab") as file:
        file.write(b"one more\n")
    with pytest.raises(InputChanged):
        run(plan, NO_PROGRESS)
    assert not os.path.exists("o.txt")


def test_what_cannot_be_mixed_is_refused_before_any_work(files, cli):
    """Each with a sentence; the output stays as it was."""
    (files / "o.txt").write_text("old")
    for arguments, message in (
        (("a.txt", "--mix", "web/=1"), "--mix does not go with inputs beside it"),
        (("--mix", "web/=1", "--take", "5"), "--mix does not go with --take"),
        (("--mix", "web/=1", "--epochs", "2"), "--mix does not go with --epochs"),
        (("--mix", "web/=0.9"), "sum to 0.9, not to 1"),
        (("--mix", "web/=1", "--mix-size", "4000rows"), "1,000 rows are missing"),
        (("--mix", "/dev/stdin=1"), "is no file, and a source is read several times"),
        (("--mix-by", "bytes", "web/"), "--mix-by is for --mix"),
    ):
        ran = cli("shuffle", *arguments, "-o", "o.txt", stdin=b"a\n")
        assert (ran.code, ran.out) == (2, b"")
        assert message in ran.err
        assert "hint: " in ran.err
    assert (files / "o.txt").read_text() == "old"
    with pytest.raises(UsageError, match="export takes no `mix`"):
        dbshuf.export("s.duckdb", "o.txt", mix=["web/=1"])


def test_the_memory_that_is_named_is_enough_for_large_sources(measured, home):
    """400 MB, of which some is taken once and some eight times, by counting and by shuffling."""
    block = b"".join(b"%d %b\n" % (i, b"x" * (i % 1000)) for i in range(10_000))
    with open(home / "web.txt", "wb") as file:
        for _ in range(80):
            file.write(block)
    (home / "books.txt").write_bytes(block)
    ran = measured(
        *("shuffle", "--mix", "web.txt=0.5", "--mix", "books.txt=0.5x8 where bytes > 9"),
        *("--mix-by", "bytes", "-o", "o.txt", "--memory", "380MB", "--seed", "1", "--threads", "2"),
    )
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes < 380_000_000
    assert (home / "o.txt").stat().st_size > 78_000_000
