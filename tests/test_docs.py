"""The README is true: its commands are the ones that run, its tables those of the code."""

import contextlib
import gzip
import json
import re
import shlex
import sqlite3
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from paths import ROOT

from dbshuf import errors
from dbshuf.errors import DbshufError

README = (ROOT / "README.md").read_text("utf-8")


def commands() -> list[str]:
    return re.findall(r"^\(python3 -m venv .*$", README, re.MULTILINE)


def test_ci_runs_the_very_test_command_of_the_readme():
    """What a newcomer runs is what has been seen to pass."""
    main, tests = commands()
    assert tests in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert "\n" not in main


def test_the_main_command_prints_what_the_readme_shows():
    """The first thing that a newcomer sees must be what the page said."""
    arguments = commands()[0].partition(".venv/bin/dbshuf ")[2].split()
    found = subprocess.run(
        [sys.executable, "-m", "dbshuf", *arguments], cwd=ROOT, capture_output=True, check=True
    )
    shown = re.search(r"```text\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    lines = shown[1].splitlines(keepends=True)
    assert found.stdout.decode() == "".join(lines[:-1])
    summary = re.sub(r"[\d.]+ (s|bytes/s|kB/s|MB/s|MB)\b", "N", found.stderr.decode())
    assert summary == re.sub(r"[\d.]+ (s|bytes/s|kB/s|MB/s|MB)\b", "N", lines[-1])


def test_every_error_class_is_in_the_readme_with_its_own_code():
    """A script that checks exit codes reads this table."""
    classes = [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, DbshufError) and one is not DbshufError
    ]
    codes = [one.exit_code for one in classes]
    assert len(set(codes)) == len(codes)
    for one in classes:
        assert f"| {one.exit_code} | {one.__name__} | " in README
        assert re.search(rf"{one.__name__} +{one.exit_code}  ", errors.__doc__ or "")


@pytest.fixture
def documents(home):
    """The inputs that the README's SQL speaks of."""
    rows = [{"text": f"text {n}", "lang": ("en", "de")[n % 2], "n": n} for n in range(100)]
    (home / "corpus").mkdir()
    for name in ("a.txt", "b.txt"):
        lines = "".join(f"a line of {name} with the number {n}\n" for n in range(50))
        (home / "corpus" / name).write_text(lines + "lorem ipsum dolor sit amet\nshort\n")
    (home / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "table.csv").write_text('n,text\n1,one\n2,"two\nlines"\n')
    pq.write_table(pa.Table.from_pylist(rows), home / "docs.parquet")
    with contextlib.closing(sqlite3.connect(home / "docs.sqlite")) as connection:
        connection.execute("create table docs (text text, n integer)")
        connection.executemany("insert into docs values (:text, :n)", rows)
        connection.commit()
    (home / "sql").symlink_to(ROOT / "sql")
    return home


def test_the_commands_for_people_who_write_sql_do_what_they_say(cli, documents):
    """Each is run as it stands."""
    section = README.partition("## For people who write SQL")[2].partition("\n## ")[0]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    for line in block[1].splitlines():
        ran = cli(*shlex.split(line)[1:])
        assert ran.code == 0, (line, ran.err)
    assert len((documents / "long.txt").read_text().splitlines()) == 100
    assert pq.read_table(documents / "text.parquet").column_names == ["text", "source"]
    assert pq.read_table(documents / "typed.parquet").num_rows == 50
    assert len(list((documents / "english").glob("part-*"))) == 8
    assert len((documents / "unique.txt").read_text().splitlines()) == 102
    assert pq.read_table(documents / "epoch1.parquet").num_rows == 102
    assert len((documents / "langs.csv").read_text().splitlines()) == 3
    splits = {one.parent.name for one in (documents / "split").rglob("part-*")}
    assert splits == {"train", "valid"}


def test_the_commands_in_the_place_of_shuf_do_what_they_say(cli, documents):
    """Each but the link, which needs an installed command."""
    section = README.partition("## In the place of shuf")[2].partition("\n## ")[0]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    before = sorted((documents / "corpus" / "a.txt").read_bytes().splitlines())
    lines = [line for line in block[1].splitlines() if line.startswith("dbshuf ")]
    counts = [len(cli(*shlex.split(line)[1:]).out.splitlines()) for line in lines]
    assert counts == [3, 0, 3, 2, 5]
    assert sorted((documents / "corpus" / "a.txt").read_bytes().splitlines()) == before


def test_the_commands_for_samples_do_what_they_say(cli, documents):
    """Each row of the table is run as it stands."""
    section = README.partition("## Samples")[2].partition("\n## ")[0]
    lines = re.findall(r"\| `(dbshuf [^`]*)` \|$", section, re.MULTILINE)
    assert len(lines) == 12
    for line in lines:
        ran = cli(*shlex.split(line)[1:])
        assert ran.code == 0, (line, ran.err)
        assert re.search(r"dbshuf: ([\d,]+|[\d,]+( drawn)? of [\d,]+) (lines|rows)[ ,]", ran.err)
    assert len((documents / "some.txt").read_text().splitlines()) == 104
    assert (documents / "next.txt").read_bytes() == b""
    assert (documents / "epochs/epoch-2/_SUCCESS").exists()
    assert len((documents / "boot.txt").read_text().splitlines()) == 10_000
    assert pq.read_table(documents / "each.parquet").num_rows == 100
    assert pq.read_table(documents / "fair.parquet")["lang"].to_pylist().count("de") == 3
    assert pq.read_table(documents / "set.valid.parquet")["lang"].to_pylist().count("en") == 5
    assert pq.read_table(documents / "heavy.parquet")["n"].to_pylist()[-1] == 0  # its weight
    assert len((documents / "fifty.txt").read_text().splitlines()) == 50
    assert pq.read_table(documents / "placed.parquet")["place"].to_pylist() == list(range(104))


def test_the_commands_for_groups_do_what_they_say(cli, documents):
    """Each row of the table is run as it stands."""
    section = README.partition("## Groups")[2].partition("\n## ")[0]
    lines = re.findall(r"\| `(dbshuf [^`]*)` \|$", section, re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        ran = cli(*shlex.split(line)[1:])
        assert ran.code == 0, (line, ran.err)
    files = [(documents / "corpus" / name).read_bytes() for name in ("a.txt", "b.txt")]
    assert (documents / "files.txt").read_bytes() in (b"".join(files), b"".join(files[::-1]))
    grouped = pq.read_table(documents / "grouped.parquet")["lang"].to_pylist()
    assert grouped in (["en"] * 50 + ["de"] * 50, ["de"] * 50 + ["en"] * 50)
    assert len(list((documents / "whole").glob("part-*"))) == 5
    splits = [pq.read_table(documents / f"sets.{one}.parquet") for one in ("train", "valid")]
    assert sum(one.num_rows for one in splits) == 100
    even = pq.read_table(documents / "even.parquet")["lang"].to_pylist()
    assert all(even[at : at + 20].count("en") in range(8, 13) for at in range(0, 100, 20))


def test_the_commands_for_mixes_do_what_they_say(cli, home):
    """Each row of the table is run as it stands, and gives what it says."""
    for name, count in (("web", 900), ("books", 60), ("code", 30)):
        (home / name).mkdir()
        lines = [f"{name} {n} {'x' * (n % 40)}\n" for n in range(count)]
        (home / name / "a.txt").write_text("".join(lines))
    section = README.partition("## Mixes")[2].partition("\n## ")[0]
    found = []
    for line in re.findall(r"\| `(dbshuf [^`]*)` \|$", section, re.MULTILINE):
        ran = cli(*shlex.split(line)[1:])
        assert ran.code == 0, (line, ran.err)
        if line.startswith("dbshuf shuffle"):
            lines = (home / "mix.txt").read_text().splitlines()
            names = [one.split()[0] for one in lines]
            found.append([names.count(name) for name in ("web", "books", "code")])
    assert found.pop(5)[2] == 0
    assert found == [
        [140, 60, 0],
        [420, 180, 0],
        [70, 20, 10],
        [480, 120, 0],
        [70, 30, 0],
        [140, 60, 0],
    ]
    assert b"mix:          100 rows" in ran.out


def test_the_commands_for_parallel_files_do_what_they_say(cli, home):
    """Each row of the table is run as it stands."""
    lines = {name: [f"{name} {n} {'x' * (n % 40)}\n" for n in range(200)] for name in ("en", "de")}
    (home / "a.en").write_text("".join(lines["en"]))
    (home / "a.align").write_text("".join(f"{n}\n" for n in range(200)))
    with gzip.open(home / "a.de.gz", "wt") as file:
        file.writelines(lines["de"])
    for name in ("out", "sets"):
        (home / name).mkdir()
    section = README.partition("## Parallel files")[2].partition("\n## ")[0]
    commands = re.findall(r"\| `(dbshuf [^`]*)` \|$", section, re.MULTILINE)
    assert len(commands) == 6
    for line in commands:
        ran = cli(*shlex.split(line)[1:])
        assert ran.code == 0, (line, ran.err)
    numbers = [int(line.split()[1]) for line in (home / "en.out").read_text().splitlines()]
    assert sorted(numbers) == list(range(200))
    assert list(map(int, (home / "align.out").read_text().split())) == numbers
    with gzip.open(home / "de.out.gz", "rt") as file:
        assert [int(line.split()[1]) for line in file] == numbers
    assert {one.name for one in (home / "out").iterdir()} == {"a.en.zst", "a.de.zst"}
    for folder in ("a.en", "a.de"):
        assert len(list((home / "sets" / folder).iterdir())) == 4
    assert len((home / "de.some").read_text().splitlines()) == 50
    assert 0 < len((home / "de.long").read_text().splitlines()) < 200
    assert len((home / "de.valid.txt").read_text().splitlines()) > 5


def test_the_order_of_a_sqlite_store_in_plain_sql_is_that_of_export(cli, documents, monkeypatch):
    """The README's own lines, run as they stand, with Python's sqlite3 alone."""
    monkeypatch.chdir(documents)
    assert cli("ingest", "corpus.sqlite", "corpus/").code == 0
    block = re.search(r"```python\n(import hashlib.*?)```", README, re.DOTALL)
    assert block is not None
    found = {}
    exec(block[1], found)
    lines = [line for (line,) in found["rows"]]
    found["rows"].connection.close()
    ran = cli("export", "corpus.sqlite", "--seed", "42")
    assert ran.out.decode().splitlines() == lines


def test_every_recipe_is_in_the_readme():
    """A newcomer finds them there."""
    for path in (ROOT / "sql" / "recipes").glob("*.sql"):
        assert f"`{path.name}`" in README
