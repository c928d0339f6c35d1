"""The store: ingest once into a DuckDB database, come back for any epoch with the same bytes."""

import contextlib
import gzip
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from pyarrow import feather

A = b"".join(b"%d words\n" % i for i in range(3000)) + b"\n\r\n\0\n" + "été 雪\n".encode()
B = b"".join(b"b %d\n" % (i % 50) for i in range(700)) + b"last"
C = b"one\ntwo\nthree\n"
ROWS, WIDTH = 400_000, 147  # 59 MB, long enough to be caught at work


def shuffled(*inputs: bytes, seed: str = "42") -> list[str]:
    """Return the lines of some inputs as text, in output order."""
    return [line.decode()[:-1] for _, line in reference.keyed(inputs, seed)]


def ask(store: Path, sql: str) -> list[tuple[object, ...]]:
    """Ask the database with DuckDB alone."""
    with duckdb.connect(str(store), read_only=True) as con:
        return con.sql(sql).fetchall()


def ask_order(store: Path, seed: str = "42") -> list[str]:
    sql = f"SELECT line FROM lines ORDER BY shuffle_key('{seed}', id)"
    return [line for (line,) in ask(store, sql)]


@pytest.fixture
def files(corpus) -> list[str]:
    """Three inputs, of which one is compressed."""
    for name, data in (("a.txt", A), ("b.txt.gz", gzip.compress(B)), ("c.txt", C)):
        corpus(name, data)
    return ["a.txt", "b.txt.gz", "c.txt"]


@pytest.fixture
def done(cli) -> Callable:
    """Run a command that must work."""

    def run(*args: object):
        ran = cli(*args)
        assert ran.code == 0, ran.err
        return ran

    return run


@pytest.fixture
def store(done, files, home) -> Path:
    """A store of all three inputs, made in two steps."""
    done("ingest", "corpus.duckdb", *files[:2])
    done("ingest", "corpus.duckdb", files[2])
    return home / "corpus.duckdb"


@pytest.fixture
def refused(cli, home, snapshot) -> Callable:
    """Run a command line that must end with one of some codes and change nothing on disk."""

    def run(codes: set[int], *args: object):
        before = snapshot(home)
        ran = cli(*args)
        assert ran.code in codes, ran.err
        assert ran.out == b""
        assert not re.search("Traceback|No such (option|command)", ran.err), ran.err
        assert snapshot(home) == before
        return ran

    return run


def test_any_duckdb_client_sees_lines_sources_and_the_order(store, home):
    """Tables `lines` and `sources`, and a macro that is dbshuf's order in plain SQL."""
    columns = {name: kind for name, kind, *_ in ask(store, "describe lines")}
    assert (columns["id"], columns["line"]) == ("UBIGINT", "VARCHAR")
    assert columns.keys() == {"id", "source", "line"}
    assert ask_order(store) == shuffled(A, B, C)
    assert ask_order(store, "it''s 雪") == shuffled(A, B, C, seed="it's 雪")
    keys = ask(store, "select id, shuffle_key('7', id), typeof(shuffle_key('7', id)) from lines")
    assert all(key == reference.key(row_id, "7") and of == "UBIGINT" for row_id, key, of in keys)
    sources = ask(store, "select path, digest, rows from sources order by path")
    assert [Path(path).name for path, *_ in sources] == ["a.txt", "b.txt.gz", "c.txt"]
    assert [rows for *_, rows in sources] == [3004, 701, 3]
    assert len({digest for _, digest, _ in sources}) == 3
    names = [name for name, *_ in ask(store, "describe sources")]
    assert any(re.search("size|bytes", name) for name in names)
    assert any(re.search("when|time|_at", name) for name in names)
    assert ask(store, "select count(distinct source) from lines") == [(3,)]
    assert {path.name for path in home.iterdir()} == {"corpus.duckdb", "a.txt", "b.txt.gz", "c.txt"}


def test_export_gives_the_bytes_of_shuffle(store, done, files, home, snapshot):
    """For text what Python computes, for every other format the very file of `shuffle`."""
    before = snapshot(home)
    run = ("--seed", "42")
    for strategy in ("memory", "spill", "partition"):
        ran = done("export", store, *run, "--strategy", strategy)
        assert ran.out == reference.shuffled([A, B, C], "42")
    assert snapshot(home) == before
    for name, options in (
        ("out.txt.gz", ()),
        ("out.parquet", ()),
        ("out.csv", ()),
        ("shards", ("--shards", 3)),
        ("split.jsonl", ("--split", "train=0.9,valid=0.1")),
        ("where.txt", ("--where", "bytes > 4 and line like '%7%'")),
        ("select.parquet", ("--select", "upper(line) as u, position, source")),
    ):
        (home / "one").mkdir()
        done("export", store, "-o", home / "one" / name, *run, *options)
        (home / "one").rename(home / "two")
        (home / "one").mkdir()
        done("shuffle", *files, "-o", home / "one" / name, *run, *options)
        made = [snapshot(home / folder) for folder in ("one", "two")]
        for one in made:
            one.pop(f"{name}/_manifest.json", None)  # which says what was read
        assert made[0] == made[1], name
        (home / "one").rename(home / f"shuffle of {name}")
        (home / "two").rename(home / f"export of {name}")
    table = pq.read_table(home / "export of out.parquet" / "out.parquet")
    assert table["line"].to_pylist() == shuffled(A, B, C)
    kept = [line for line in shuffled(A, B, C) if len(line.encode()) > 4 and "7" in line]
    assert (home / "export of where.txt/where.txt").read_text().splitlines() == kept


def test_sql_over_a_store_is_sql_over_its_lines(store, done, corpus):
    """An exact dedup that keeps the first of each."""
    corpus("q.sql", b"select line, min(id) as id from lines group by line")
    ran = done("export", store, "--sql", "q.sql", "--seed", "42")
    first: dict[bytes, int] = {}
    for ordinal, data in enumerate((A, B, C)):
        position = 0
        for line in data.removesuffix(b"\n").split(b"\n"):
            first.setdefault(line, ordinal << 44 | position)
            position += len(line) + 1
    want = sorted(first, key=lambda line: reference.key(first[line], "42"))
    assert ran.out == b"".join(line + b"\n" for line in want)


def test_an_input_already_there_is_skipped_and_told(store, cli, done, files, corpus):
    """`ingest corpus.duckdb new/*` again and again adds only what is new."""
    before = ask_order(store)
    ran = done("ingest", store, *files)
    assert ask_order(store) == before
    assert re.search(r"skip|already|unchanged", ran.err)
    corpus("d.txt", b"new\n")
    done("ingest", store, "a.txt", "d.txt", "b.txt.gz")
    assert ask_order(store) == shuffled(A, B, C, b"new\n")


def test_an_input_that_changed_is_told_and_not_mixed(store, cli, corpus):
    """Its rows are those of one version, and the user hears of it by name."""
    corpus("c.txt", b"four\nfive\n")
    ran = cli("ingest", store, "a.txt", "c.txt")
    assert "Traceback" not in ran.err
    assert "c.txt" in ran.err
    assert "changed" in ran.err.replace("unchanged", "")
    left = sorted(
        line for (line,) in ask(store, "select line from lines where source like '%c.txt'")
    )
    assert left in (["one", "three", "two"], ["five", "four"])
    assert len(ask_order(store)) == 3705 + len(left)


def test_an_input_that_is_no_utf8_is_refused_whole(cli, done, home, files, corpus):
    """With path and offset; inputs before it are there whole, of it nothing."""
    corpus("bad.txt", A + b"\xff\n" + A)
    ran = cli("ingest", "s.duckdb", "a.txt", "bad.txt", "c.txt")
    assert ran.code == 8, ran.err
    assert "bad.txt" in ran.err
    assert len(A) in ran.numbers(), ran.err
    assert "--binary" in ran.err
    if (home / "s.duckdb").exists():
        assert ask(
            home / "s.duckdb", "select count(*) from lines where source like '%bad.txt'"
        ) == [(0,)]
        assert len(ask_order(home / "s.duckdb")) in (0, 3004)
    done("ingest", "s.duckdb", "a.txt", "c.txt")
    assert ask_order(home / "s.duckdb") == shuffled(A, C)


def test_a_binary_store_holds_any_bytes(done, cli, home, corpus):
    """BLOB, made with --binary; and out they come as they went in."""
    data = b"\xff\n\n\0\xc3\n\r\n" + A + b"\xed\xa0\x80"
    corpus("bad.txt", data)
    corpus("a.txt", A)
    done("ingest", "s.duckdb", "--binary", "bad.txt")
    done("ingest", "s.duckdb", "--binary", "a.txt")
    kinds = {name: kind for name, kind, *_ in ask(home / "s.duckdb", "describe lines")}
    assert kinds["line"] == "BLOB"
    assert done("export", "s.duckdb", "--seed", "42").out == reference.shuffled([data, A], "42")
    assert cli("export", "s.duckdb", "-o", "out.parquet").code == 8
    assert not (home / "out.parquet").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_ingest_can_be_repeated(number, *, start, done, wait_for, home, corpus):
    """Every input is there whole or not at all, and the second run makes it complete."""
    corpus("a.txt", C)
    reference.write_numbered(home / "big.txt", ROWS, WIDTH)
    store, inputs = home / "s.duckdb", ("a.txt", "big.txt")

    def at_work() -> bool:
        made = 0
        for path in home.iterdir():
            with contextlib.suppress(FileNotFoundError):  # a store in the making takes its name
                made += path.stat().st_size if path.name not in inputs else 0
        return made > 5_000_000 or child.poll() is not None

    child = start("ingest", store, *inputs)
    wait_for(at_work, "bytes of the store")
    child.send_signal(number)
    _, err = child.communicate(timeout=30)
    assert child.returncode in (0, -number, 128 + number), err
    assert b"Traceback" not in err
    if store.exists() and number != signal.SIGKILL:
        assert ask(store, "select count(*) from lines")[0][0] in (0, 3, 3 + ROWS)
    done("ingest", store, *inputs)
    assert ask(store, "select count(*) from lines") == [(3 + ROWS,)]
    left = {path.name for path in home.iterdir()}
    assert {name for name in left if name[0] != "." or number != signal.SIGKILL} == {
        "s.duckdb",
        *inputs,
    }
    rows = ask(store, "select line from lines where id >> 44 = 1 order by shuffle_key('42', id)")
    order = reference.keys_of(np.arange(ROWS) * WIDTH + (1 << 44), "42").argsort()
    assert [int(line[:10]) for (line,) in rows] == order.tolist()


def test_tables_are_kept_with_their_columns(done, cli, home):
    """Parquet in, the row's own columns in `lines`, and the order of `shuffle` out."""
    parts = [[{"n": i, "tags": ["a", None][: i % 3]} for i in range(k)] for k in (300, 100)]
    for name, rows in zip("ab", parts, strict=True):
        pq.write_table(pa.Table.from_pylist(rows), home / f"{name}.parquet", row_group_size=64)
    done("ingest", "s.duckdb", "a.parquet", "b.parquet")
    kinds = {name: kind for name, kind, *_ in ask(home / "s.duckdb", "describe lines")}
    want = {"id": "UBIGINT", "source": "VARCHAR", "n": "BIGINT", "tags": "VARCHAR[]"}
    assert kinds == want
    ids = [(k << 44 | i, row) for k, rows in enumerate(parts) for i, row in enumerate(rows)]
    rows = [row for _, row in sorted(ids, key=lambda pair: reference.key(pair[0], "42"))]
    done("export", "s.duckdb", "-o", "out.parquet", "--seed", "42")
    assert pq.read_table(home / "out.parquet").to_pylist() == rows
    done("export", "s.duckdb", "-o", "out.jsonl", "--seed", "42", "--where", "n % 2 = 0")
    got = [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()]
    assert got == [row for row in rows if row["n"] % 2 == 0]
    (home / "lines.txt").write_bytes(C)
    ran = cli("ingest", "s.duckdb", "lines.txt")
    assert ran.code == 21, ran.err
    assert ask(home / "s.duckdb", "select count(*) from lines") == [(400,)]


@pytest.mark.parametrize("kind", [pa.float16(), pa.list_(pa.float16()), pa.duration("ns")])
def test_a_column_that_duckdb_cannot_store_is_named_with_a_way_out(kind, refused, cli, home):
    """With its input; nothing is made."""
    rows = pa.table({"n": pa.array([1, 2]), "unfit": pa.nulls(2, kind)})
    feather.write_feather(rows, home / "in.arrow")
    told = refused({21}, "ingest", "s.duckdb", "in.arrow").err
    for words in ("`in.arrow`", "column `unfit`", "SQLite"):
        assert words in told
    assert not (home / "s.duckdb").exists()
    assert cli("ingest", "s.sqlite", "in.arrow").code == 0


def test_what_is_no_store_is_refused_and_left_alone(refused, corpus, home):
    """Another database, a text file, nothing at all: named, and not written to."""
    corpus("a.txt", C)
    corpus("junk.duckdb", b"no database " * 1000)
    for name, sql in (("empty", "select 1"), ("other", "create table lines as select 'x' as line")):
        with duckdb.connect(str(home / f"{name}.duckdb")) as con:
            con.execute(sql)
    for name in ("junk", "other"):
        assert f"{name}.duckdb" in refused({23}, "ingest", f"{name}.duckdb", "a.txt").err
    for name in ("junk", "other", "empty"):
        assert f"{name}.duckdb" in refused({23}, "export", f"{name}.duckdb", "-o", "out.txt").err
    assert "absent.duckdb" in refused({3, 23}, "export", "absent.duckdb").err
    assert "absent.txt" in refused({3}, "ingest", "new.duckdb", "absent.txt").err


@pytest.mark.parametrize("name", ["corpus.duckdb", "corpus.sqlite"])
def test_a_database_is_no_output_of_its_own(name, refused, done, corpus, home):
    """Nor with a link in between: its text is no store, and other tables would be lost."""
    corpus("a.txt", C)
    done("ingest", name, "a.txt")
    (home / "link").symlink_to(name)
    for output in (name, "link"):
        told = refused({2}, "export", name, "-o", output).err
        assert f"the output would replace the database `{name}`" in told
    for command in (["shuffle"], ["plan"]):
        asked = [name, "--table", "lines", "--format", "csv", "-o", name]
        assert "would replace" in refused({2}, *command, *asked).err
    asked = [name, "--table", "lines", "select 1 as one", "--format", "csv", "-o", "link"]
    assert "would replace" in refused({2}, "query", *asked).err


@pytest.mark.parametrize(
    ("name", "log"),
    [
        ("corpus.sqlite", "corpus.sqlite-wal"),
        ("corpus.sqlite", "corpus.sqlite-journal"),
        ("corpus.sqlite", "corpus.sqlite-shm"),
        ("corpus.duckdb", "corpus.duckdb.wal"),
    ],
)
def test_nothing_is_written_where_a_database_has_its_log(name, log, refused, cli, home):
    """It would be taken for what was added last; whatever writes it, and through a link too."""
    (home / "a.txt").write_bytes(C)
    assert cli("ingest", name, "a.txt").code == 0
    (home / "link").symlink_to(log)
    for output in (log, "link"):
        told = refused({2}, "shuffle", "a.txt", "-o", output).err
        assert name in told
        assert "log of the database" in told
    refused({2}, "shuffle", "a.txt", "--shards", "2", "-o", log)
    refused({2}, "shuffle", "a.txt", "-o", "out.txt", "--manifest", log)
    refused({2}, "shuffle", "a.txt", "-o", "out.txt", "--work-dir", log)
    refused({2}, "shuffle", "a.txt", "--paired", "a.txt", "-o", "out.txt", "-o", log)
    refused({2}, "report", "a.txt", "-o", log)
    refused({2}, "export", name, "-o", log)
    refused({2}, "ingest", log, "a.txt", "--engine", "sqlite")
    assert cli("shuffle", "a.txt", "-o", f"other{log}").code == 0


def test_an_empty_input_takes_its_place(done, home, corpus):
    """No line, yet an ordinal of its own, as in shuffle."""
    for name, data in (("a.txt", b""), ("b.txt", B)):
        corpus(name, data)
    done("ingest", "s.duckdb", "a.txt", "b.txt")
    assert ask_order(home / "s.duckdb") == shuffled(b"", B)
    assert done("export", "s.duckdb", "--seed", "42").out == reference.shuffled([b"", B], "42")


@pytest.mark.parametrize("option", [["-z"], ["--header", "1"], ["--binary"]])
def test_options_for_lines_are_refused_with_a_way_out_where_there_are_none(cli, home, option):
    pq.write_table(pa.table({"n": [1]}), home / "in.parquet")
    for store in ("new.duckdb", "new.sqlite"):
        ran = cli("ingest", store, "in.parquet", *option)
        assert ran.code == 2
        assert "for lines, and `in.parquet` is a Parquet file" in ran.err
        assert "hint: leave it out" in ran.err
        assert not (home / store).exists()


def test_an_option_of_duckdb_is_refused_for_sqlite_with_a_way_out(cli, corpus):
    ran = cli("ingest", "new.sqlite", corpus("in.txt", b"a\n"), "--pack")
    assert ran.code == 2
    assert "hint: leave it out" in ran.err
