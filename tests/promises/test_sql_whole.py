"""--sql: one SELECT over all lines, run once; the fence around it; the recipes."""

import collections
import itertools
import json
import re
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from paths import RECIPES

STRATEGIES = ("memory", "spill", "partition")
A = b"".join(b"%d %s\n" % (i % 90, b"ab" * (i % 7)) for i in range(300))
B = b"".join(b"%d %s\n" % (i % 40, b"xyz" * (i % 3)) for i in range(200)) + b"\nlast"
SECRET = "the-words-of-another-user"


def in_order(values: Sequence[object], seed: str = "42") -> list[object]:
    """Return the rows of a result in output order, where a row's number is its id."""
    order = sorted(range(len(values)), key=lambda number: reference.key(number, seed))
    return [values[number] for number in order]


def lines_with_ids() -> list[tuple[int, str]]:
    """Return (id, line) of both inputs, in input order."""
    found = []
    for ordinal, data in enumerate((A, B)):
        position = 0
        for line in data.removesuffix(b"\n").split(b"\n"):
            found.append((ordinal << 44 | position, line.decode()))
            position += len(line) + 1
    return found


def pointed_at(err: str) -> str:
    """Return the user's SQL from the place that the caret points at."""
    for above, below in itertools.pairwise(err.splitlines()):
        if "^" in below and not below.strip(" ^~|│"):
            return above[below.index("^") :]
    pytest.fail(f"no caret in: {err}")


@pytest.fixture
def files(corpus) -> list[str]:
    corpus("a.txt", A)
    corpus("b.txt", B)
    return ["a.txt", "b.txt"]


@pytest.fixture
def whole(cli, files, corpus) -> Callable:
    """Run `shuffle a.txt b.txt --sql` with SQL from a file."""

    def run(sql: str, *options: object, inputs: Sequence[object] = ()):
        corpus("q.sql", sql.encode())
        return cli("shuffle", *(inputs or files), "--sql", "q.sql", "--seed", "42", *options)

    return run


@pytest.fixture
def refused(whole, corpus, home, snapshot) -> Callable:
    """Run SQL that must end with one exit code, tell no secret, and change nothing on disk."""

    def run(code: int, sql: str, *options: object):
        corpus("q.sql", sql.encode())
        before = snapshot(home)
        ran = whole(sql, *options)
        assert (ran.code, ran.out) == (code, b""), (sql, ran.err)
        assert not re.search(f"Traceback|No such option|{SECRET}", ran.err), ran.err
        assert snapshot(home) == before
        return ran

    return run


def test_rows_of_a_result_have_the_ids_of_their_numbers(whole):
    """Window, QUALIFY, CTE, subquery, unnest: whatever DuckDB can do in one SELECT."""
    sql = """-- words of at least two digits, each once
        with words as (select unnest(string_split(line, ' ')) as word, position from lines)
        select word from words where word in (select word from words where length(word) > 1)
        qualify row_number() over (partition by word order by position) = 1
        order by word desc; -- done
    """
    words = {word for _, line in lines_with_ids() for word in line.split(" ") if len(word) > 1}
    ran = whole(sql)
    assert ran.code == 0, ran.err
    assert ran.out.decode().splitlines() == in_order(sorted(words, reverse=True))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_result_that_carries_ids_keeps_the_order_of_the_lines(strategy, whole):
    """An exact dedup that keeps the first of each: the rest stand as they would without it."""
    first = dict(reversed([(line, row_id) for row_id, line in lines_with_ids()]))
    want = sorted(first, key=lambda line: reference.key(first[line], "42"))
    sql = "select line, min(id) as id from lines group by line"
    ran = whole(sql, "--strategy", strategy)
    assert ran.code == 0, ran.err
    assert ran.out.decode().split("\n") == [*want, ""]


def test_lines_has_the_columns_that_it_should(whole, home):
    """A column `id` of type UBIGINT is the row's id and is not written; others are data."""
    sql = """select id, id as row_id, line, raw, position, bytes, line_number, id::int as "ID2",
        source from lines where source like '%a.txt'"""
    ran = whole(sql, "-o", "out.parquet")
    assert ran.code == 0, ran.err
    table = pq.read_table(home / "out.parquet")
    names = ["row_id", "line", "raw", "position", "bytes", "line_number", "ID2", "source"]
    assert table.column_names == names
    rows = [row for row in lines_with_ids() if row[0] < 1 << 44]
    want = [
        (row_id, line, line.encode(), row_id, len(line), number, row_id)
        for number, (row_id, line) in enumerate(rows, 1)
    ]
    got = [tuple(row.values())[:-1] for row in table.to_pylist()]
    assert got == sorted(want, key=lambda row: reference.key(row[0], "42"))


def test_many_chunks_are_one_relation(cli, corpus, home):
    """22 MB: rows and their numbers are whole, whoever read which part."""
    reference.write_numbered(home / "in.txt", 150_000, 147)
    corpus("q.sql", b"select line, id from lines where line_number = id // 147 + 1")
    ran = cli("shuffle", "in.txt", "--sql", "q.sql", "-o", "out.txt", "--seed", "42")
    assert ran.code == 0, ran.err
    reference.check_numbered(home / "out.txt", 150_000, 147, "42")


def test_an_id_of_another_type_is_a_column_like_any_other(whole, home):
    """A corpus has ids of its own, and they must not vanish."""
    sql = "select line_number::int as id, line from lines where bytes > 12 order by source, id"
    ran = whole(sql, "-o", "out.parquet", inputs=["a.txt"])
    assert ran.code == 0, ran.err
    rows = [(n, text) for n, (_, text) in enumerate(lines_with_ids()[:300], 1) if len(text) > 12]
    got = [tuple(row.values()) for row in pq.read_table(home / "out.parquet").to_pylist()]
    assert got == in_order(rows)


def test_aggregates_become_rows_of_a_table(whole, home):
    """One line a source, counted in Python too; then no row at all, which is a result."""
    sql = "select source, count(*) as n, sum(bytes)::bigint as b from lines group by 1 order by 1"
    assert whole(sql, "-o", "out.parquet").code == 0
    got = [tuple(row.values())[1:] for row in pq.read_table(home / "out.parquet").to_pylist()]
    texts = [[line for row, line in lines_with_ids() if row >> 44 == n] for n in (0, 1)]
    assert got == in_order([(len(part), sum(map(len, part))) for part in texts])
    assert whole("select line, 1.5 as x from lines where false", "-o", "out.parquet").code == 0
    table = pq.read_table(home / "out.parquet")
    assert (table.num_rows, table.column_names) == (0, ["line", "x"])


def test_sql_comes_from_standard_input_too(cli, files):
    """`echo ... | dbshuf shuffle a.txt --sql -`; then standard input holds no lines."""
    sql = b"select line from lines order by id limit 5"
    ran = cli("shuffle", *files, "--sql", "-", "--seed", "42", stdin=sql)
    assert ran.code == 0, ran.err
    assert ran.out.decode().split("\n")[:-1] == in_order([line for _, line in lines_with_ids()][:5])
    both = cli("shuffle", "-", "--sql", "-", stdin=sql)
    assert both.code == 2
    assert "--sql" in both.err
    assert "No such option" not in both.err


def test_two_ways_to_choose_columns_contradict_each_other(refused, cli, files):
    """--sql says all; --select and --where beside it would be read in two ways."""
    for option in (("--select", "line"), ("--where", "bytes > 3")):
        refused(2, "select line from lines", *option)
    missing = cli("shuffle", *files, "--sql", "missing.sql")
    assert missing.code in (2, 3)
    assert "missing.sql" in missing.err


@pytest.mark.parametrize(
    "statements",
    [
        ("drop table lines", "insert into lines select * from lines"),
        ("create table x as select 1", "copy (select 1) to 'x.csv'"),
        ("attach 'x.duckdb'", "set threads = 1"),
        ("load httpfs", "export database 'x'"),
        ("select line from lines; select line from lines", "-- nothing"),
        ("select line from lines; drop table lines", "explain select 1"),
    ],
)
def test_anything_but_one_select_is_refused(statements, refused):
    """Nothing is written, made, loaded or set by the user's SQL."""
    for sql in statements:
        assert "hint:" in refused(19, sql).err


@pytest.mark.parametrize(
    "queries",
    [
        ("select * from read_csv('secret.csv')", "select * from 'secret.csv'"),
        ("from read_text('secret.csv')", "from 'secret.parquet'"),
        ("from parquet_schema('secret.parquet')", "from glob('*')"),
        ("from query('from ''secret.csv''')", "from query_table('secret.csv')"),
        ("select (select content from read_text('secret.csv')) as line from lines",),
        ("with w as (from 'secret.parquet') select * from w", "from read_text('temp/**')"),
        ("from json_execute_serialized_sql(json_serialize_sql('from ''secret.csv'''))",),
        ("from 'http://127.0.0.1:9/x.csv'", "from read_duckdb('x.duckdb')", "from 'a.txt'"),
        ("select l.line from lines l, read_text(l.source)", "from batch", "from reader"),
    ],
)
def test_no_file_and_nothing_else_outside_is_readable(queries, refused, corpus, home):
    """Inputs, temporary files and old outputs neither: only `lines` is there."""
    corpus("secret.csv", f"x\n{SECRET}\n".encode())
    corpus("temp/left.txt", SECRET.encode())
    pq.write_table(pa.table({SECRET: [SECRET]}), home / "secret.parquet")
    for sql in queries:
        refused(19, sql, "--temp-dir", "temp", "-o", "out.parquet")


def test_files_that_the_user_allows_can_be_joined_and_no_others(whole, refused, corpus, home):
    """Parquet and CSV by name, each named; not what lies beside them."""
    good = {f"{i} " + "ab" * (i % 7) for i in range(0, 90, 5)}
    (home / "ok").mkdir()
    pq.write_table(pa.table({"text": sorted(good)}), home / "ok" / "good.parquet")
    corpus("bad.csv", b"text\n" + b"".join(b"%d \n" % i for i in range(90)))
    corpus("ok/secret.csv", f"text\n{SECRET}\n".encode())
    allow = ("--allow-files", "ok/good.parquet", "--allow-files", "bad.csv")
    sql = """select l.line, l.id from lines l join 'ok/good.parquet' g on g.text = l.line
        where l.line not in (from read_csv('bad.csv', all_varchar = true))"""
    ran = whole(sql, *allow)
    assert ran.code == 0, ran.err
    kept = [(i, line) for i, line in lines_with_ids() if line in good and line[-1] != " "]
    kept.sort(key=lambda row: reference.key(row[0], "42"))
    assert ran.out.decode().splitlines() == [line for _, line in kept]
    for name in ("ok/secret.csv", "ok/../ok/secret.csv", "ok/*.csv", str(home / "ok/secret.csv")):
        refused(19, f"select * from read_csv('{name}')", *allow)
    refused(19, "copy (select 1) to 'bad.csv'", *allow)


def test_wrong_sql_is_pointed_at_in_its_own_line(refused, cli, files):
    """With the columns that exist; for syntax, names and functions."""
    names = ("line", "raw", "source", "position", "bytes", "line_number")
    ran = refused(19, "select line\nfrom lines\n  where nope > 1 -- é\n")
    assert pointed_at(ran.err).startswith("nope > 1")
    assert all(re.search(rf"\b{name}\b", ran.err) for name in names)
    ran = refused(19, "-- é\nselect line,\n  lenght(line) as n from lines")
    assert pointed_at(ran.err).startswith("lenght(line)")
    assert pointed_at(refused(19, "select line\nfrom lines wehre 2 > 1").err)


def test_a_value_that_fails_writes_nothing(refused, corpus):
    """A bad cast somewhere in the whole: the old output stays."""
    corpus("out.parquet", b"old")
    ran = refused(20, "select line::int as n from lines where bytes > 0", "-o", "out.parquet")
    assert "hint:" in ran.err


def test_bytes_that_are_no_utf8_are_refused_where_line_is_used(cli, corpus, home):
    """With path and offset; --select likewise. What reads `raw` alone works."""
    data = b"fine\n" * 5000 + b"\xff bad\n" + b"fine\n" * 10
    corpus("bad.txt", data)
    corpus("line.sql", b"select line, id from lines")
    corpus("raw.sql", b"select raw, id from lines")
    line = ("shuffle", "bad.txt", "-o", "out.txt", "--seed", "42")
    for option in (("--sql", "line.sql"), ("--select", "upper(line)")):
        ran = cli(*line, *option)
        assert ran.code == 8, ran.err
        assert "bad.txt" in ran.err
        assert {25_000, 25_001} & ran.numbers(), ran.err
        assert "hint:" in ran.err
        assert not (home / "out.txt").exists()
    for option in (("--sql", "raw.sql"), ("--select", "raw")):
        ran = cli(*line, *option)
        assert ran.code == 0, ran.err
        assert (home / "out.txt").read_bytes() == reference.shuffled([data], "42")


def test_every_recipe_runs_as_it_is(cli, corpus, home):
    """Filters a user can pass with --sql; one of them drops exact repeats and nothing else."""
    recipes = sorted(RECIPES.glob("*.sql"))
    assert len(recipes) >= 6
    texts = ["Hello, World!", "hello world", "x", "word " * 400, "A sentence of some length."]
    objects = [
        {"text": texts[i % 5] + str(i % 40), "lang": ["en", "de"][i % 2]} for i in range(300)
    ]
    lines = [json.dumps(value) for value in objects]
    for name, part in (("a.jsonl", lines[:200]), ("b.jsonl", lines[200:])):
        corpus(name, "".join(f"{line}\n" for line in part).encode())
    exact = []
    for recipe in recipes:
        assert recipe.read_text().startswith("--"), "a .sql file opens with its purpose"
        run = ("shuffle", "a.jsonl", "b.jsonl", "--sql", recipe, "-o", "out.parquet")
        ran = cli(*run, "--seed", "42")
        ran = ran if ran.code == 0 else cli(*run, "--seed", "42", "--from", "json")
        assert ran.code == 0, (recipe.name, ran.err)
        table = pq.read_table(home / "out.parquet")
        assert table.num_rows <= len(lines), recipe.name
        if "line" in table.column_names:
            counts = collections.Counter(table["line"].to_pylist())
            assert counts <= collections.Counter(lines), recipe.name
            exact.append(counts == collections.Counter(set(lines)))
    assert any(exact)
