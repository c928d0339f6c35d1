"""What `*` gives in SQL: a row's own columns; those of its place where they are named."""

import itertools
import json
import sqlite3

import pytest
from public_shapes import json_lines, parquet

ROWS = [{"a": str(n), "b": "xyz"[n % 3]} for n in range(30)]
FORMATS = {
    "parquet": (),
    "csv": ("--from", "csv"),
    "jsonl": ("--from", "json"),
    "sqlite": ("--table", "t"),
}
AB, ABS = ["a", "b"], ["a", "b", "source"]

LISTS = {
    "*": AB,
    "lines.*": AB,
    "columns(*)": AB,
    "columns('^[a-z]')": AB,
    "columns(lambda name: name <> 'b')": ["a"],
    "* exclude (a)": ["b"],
    "* exclude (source, position, id)": AB,
    "* replace (upper(b) as b)": AB,
    "*, source": ABS,
    "source, *": ["source", *AB],
    "* replace (upper(source) as a)": AB,
    "*, 'mine' as source": ABS,
    "columns('^[a-z]'), source": ABS,
    "*, position + id as place": [*AB, "place"],
}

QUERIES = {
    "from lines": AB,
    "table lines": AB,
    "from lines where source like 'in.%'": AB,
    "select l.* from lines l": AB,
    "select L.* from LINES as L where l.Source like 'in.%'": AB,
    "select distinct * from lines": AB,
    "select distinct * from lines where position >= 0": AB,
    "select * from lines order by position": AB,
    "select * from lines order by all": AB,
    "select *, source from lines order by 3 limit 40": ABS,
    "select * from lines limit 40": AB,
    "with x as (select * from lines) select * from x": AB,
    "with x as (select * from lines where position >= 0) select * from x": AB,
    "select * from (select *, source from lines)": ABS,
    "select p.*, q.b as c from lines p join lines q using (id)": ["a", "b", "c"],
    "select * from lines p semi join lines q on p.id = q.id": AB,
    "select * from lines natural join (select a, b from lines)": AB,
    "select * from lines except all select a, b from lines where position is null": AB,
    "select * from lines where false union all select * from lines where id >= 0": AB,
    "select count(*) as n, a from lines group by a, source": ["n", "a"],
    "select a, max(columns('b|source')) from lines where id >= 0 group by a": AB,
    "select * from lines qualify row_number() over (partition by a order by id) = 1": AB,
    "pivot lines on b in ('x', 'y', 'z') using count(*)": ["a", "x", "y", "z"],
    "select p.* from (pivot lines on b in ('x') using count(*)) p"
    " where a in (select a from lines where id >= 0)": ["a", "x"],
    "select * from lines o where exists (select * from lines i where i.id = o.id)": AB,
    "with lines as (select a, 'mine' as source from lines) select * from lines": ["a", "source"],
}


@pytest.fixture
def inputs(corpus, home):
    """The same rows in every format, as `in.FORMAT`."""
    parquet(home / "in.parquet", ROWS)
    lines = ["a,b", *(f"{row['a']},{row['b']}" for row in ROWS), ""]
    corpus("in.csv", "\n".join(lines).encode())
    json_lines(home / "in.jsonl", *(json.dumps(row) for row in ROWS))
    connection = sqlite3.connect(home / "in.sqlite")
    connection.execute("create table t (a text, b text)")
    connection.executemany("insert into t values (?, ?)", [(r["a"], r["b"]) for r in ROWS])
    connection.commit()
    connection.close()


def rows_of(ran):
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


@pytest.fixture
def asked(cli, corpus):
    """Run one SELECT as --sql, and as `query`: the rows of both."""

    def ask(text, name, *options):
        sql = corpus("q.sql", text.encode())
        shuffled = cli("shuffle", name, "--sql", sql, "--format", "jsonl", *options)
        answered = cli("query", name, text, "--format", "jsonl", *options)
        return rows_of(shuffled), rows_of(answered)

    return ask


@pytest.mark.parametrize("strategy", ["partition", "memory"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_star_of_select_gives_own_columns(name, strategy, cli, inputs):
    for text in ("*", "*, source", "* exclude (a), position", "columns('b|source'), id as i"):
        take = (f"in.{name}", *FORMATS[name], "--format", "jsonl", "--strategy", strategy)
        found = rows_of(cli("shuffle", *take, "--select", text))
        wanted = {
            "*": AB,
            "*, source": ABS,
            "* exclude (a), position": ["b", "position"],
            "columns('b|source'), id as i": ["b", "i"],
        }[text]
        assert [list(row) for row in found] == [wanted] * 30, text


@pytest.mark.parametrize("name", FORMATS)
def test_a_star_of_sql_gives_own_columns(name, inputs, asked):
    for text, wanted in {
        "select * from lines": AB,
        "select id, * from lines": AB,
        "select *, source from lines where position >= 0": ABS,
        "with x as (from lines) select * from x": AB,
    }.items():
        shuffled, answered = asked(text, f"in.{name}", *FORMATS[name])
        own = ["id", *wanted] if "id," in text else wanted  # an answer keeps ids as data
        assert [list(row) for row in shuffled] == [wanted] * 30, text
        assert [list(row) for row in answered] == [own] * 30, text


@pytest.mark.parametrize("text", LISTS)
def test_every_list_with_a_star_gives_own_columns_and_what_it_names(text, cli, inputs):
    found = rows_of(cli("shuffle", "in.parquet", "--select", text, "--format", "jsonl"))
    assert [list(row) for row in found] == [LISTS[text]] * 30


@pytest.mark.parametrize("text", QUERIES)
def test_every_query_with_a_star_gives_own_columns_and_what_it_names(text, cli, corpus, inputs):
    sql = corpus("q.sql", text.encode())
    found = rows_of(cli("shuffle", "in.parquet", "--sql", sql, "--format", "jsonl"))
    assert [list(row) for row in found] == [QUERIES[text]] * 30


@pytest.mark.parametrize("text", ["select * from lines", "from lines where position >= 0"])
def test_rows_of_a_plain_star_come_in_the_order_of_their_ids(text, cli, corpus, inputs):
    """Hence the same with any memory and threads."""
    wanted = cli("shuffle", "in.parquet", "--seed", 5, "--format", "jsonl").out
    sql = corpus("q.sql", text.encode())
    for options in (("--threads", 1), ("--threads", 4), ("--memory", "1GiB")):
        ran = cli("shuffle", "in.parquet", "--seed", 5, "--format", "jsonl", "--sql", sql, *options)
        assert ran.out == wanted, ran.err


@pytest.mark.parametrize("names", [("id", "source", "position"), ("ID", "Source", "POSITION")])
def test_columns_of_the_users_own_stay_in_the_star(names, cli, home, asked):
    rows = [dict.fromkeys(names, f"{n}") for n in range(9)]
    parquet(home / "own.parquet", rows)
    texts = ("select * from lines", f"select * from lines where {names[0]} >= '0'")
    for found in (one for text in texts for one in asked(text, "own.parquet")):
        assert sorted(found, key=str) == rows
    found = rows_of(cli("shuffle", "own.parquet", "--select", "*", "--format", "jsonl"))
    assert sorted(found, key=str) == rows


def test_a_star_of_a_store_gives_own_columns(cli, inputs, corpus):
    assert cli("ingest", "store.duckdb", "in.parquet").code == 0
    sql = corpus("q.sql", b"select *, source from lines")
    for options, wanted in (
        (("--select", "*"), AB),
        (("--select", "*, source"), ABS),
        (("--sql", sql), ABS),
    ):
        found = rows_of(cli("export", "store.duckdb", "--format", "jsonl", *options))
        assert [list(row) for row in found] == [wanted] * 30


def test_a_star_over_lines_of_text_gives_all_columns(cli, corpus):
    corpus("in.txt", b"x\n")
    text = "select * exclude (raw) from lines"
    (row,) = rows_of(cli("query", "in.txt", text, "--format", "jsonl"))
    assert list(row) == ["line", "source", "position", "id", "bytes", "line_number"]


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("*, source, nope + 1", "nope"),
        ("source, * replace (nope as b)", "nope"),
        ("*, source,\n  nope(a)", "nope(a)"),
    ],
)
def test_an_error_points_at_the_users_own_text(text, rest, cli, corpus, inputs):
    sql = corpus("q.sql", f"select {text} from lines".encode())
    for way in (("--select", text), ("--sql", sql)):
        ran = cli("shuffle", "in.parquet", *way)
        assert ran.code == 19, ran.err
        assert _pointed_at(ran.err).startswith(rest), ran.err


def test_a_star_in_between_hides_what_is_not_named_in_it(cli, inputs):
    ran = cli("query", "in.parquet", "select source from (select * from lines)")
    assert ran.code == 19, ran.err
    assert _pointed_at(ran.err).startswith("source from"), ran.err


def _pointed_at(err):
    """Return the user's SQL from the place that the caret points at."""
    for above, below in itertools.pairwise(err.splitlines()):
        if "^" in below and not below.strip(" ^"):
            return above[below.index("^") :]
    pytest.fail(f"no caret in: {err}")
