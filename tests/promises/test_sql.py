"""--where and --select: the user's SQL on every row by itself, before the shuffle."""

import itertools
import json
import random
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import reference

STRATEGIES = ("memory", "spill", "partition")
WORDS = ("lorem", "ipsum", "Ärger", "雪", "x", "", "%", "it's", '"', "\t", "\r", "\\", "count(*)")


class Row(NamedTuple):
    """One line, with what SQL may see of it."""

    key: int
    raw: bytes
    ordinal: int
    position: int
    number: int

    @property
    def text(self) -> str:
        return self.raw.decode(errors="replace")


def some_lines(seed: int, rows: int) -> bytes:
    """Return lines of none to six words, some of which trip parsers of SQL."""
    rng = random.Random(seed)
    texts = (" ".join(rng.choices(WORDS, k=rng.randrange(7))) for _ in range(rows))
    return "".join(f"{text}\n" for text in texts).encode()


def rows_of(*inputs: bytes, end: bytes = b"\n") -> list[Row]:
    """Return the rows of some inputs in the order of seed 42."""
    rows = []
    for ordinal, data in enumerate(inputs):
        position, lines = 0, data.split(end)
        for number, raw in enumerate(lines if lines[-1] else lines[:-1], 1):
            key = reference.key(ordinal << 44 | position, "42")
            rows.append(Row(key, raw, ordinal, position, number))
            position += len(raw) + 1
    return sorted(rows)


FILES = {"a.txt": some_lines(1, 400), "b.txt": some_lines(2, 300) + b"no newline at the end"}
ROWS = rows_of(*FILES.values())

# SQL, and the same in Python; None is NULL, and only a true condition keeps a line.
Condition = tuple[str, Callable[[Row], bool | None]]
ATOMS: list[Condition] = [
    ("bytes > 9", lambda r: len(r.raw) > 9),
    ("line like '%lorem%'", lambda r: "lorem" in r.text),
    ("nullif(line, '') < 'm'", lambda r: r.raw < b"m" if r.raw else None),
    ("nullif(position % 3, 0) = 1", lambda r: r.position % 3 == 1 if r.position % 3 else None),
    ("source like '%a.txt'", lambda r: r.ordinal == 0),
    ("line_number % 2 = 0", lambda r: r.number % 2 == 0),
]
FILTERS: list[Condition] = [
    ATOMS[3],
    ("bytes > 20 and line not like '%lo%'", lambda r: len(r.raw) > 20 and "lo" not in r.text),
    ("length(line) between 5 and 9 -- characters", lambda r: 5 <= len(r.text) <= 9),
    ("octet_length(raw) = bytes and decode(raw) = line", lambda r: True),
    ("case when bytes > 5 then true end", lambda r: len(r.raw) > 5),
    (
        "id >> 44 = 1 and regexp_full_match(line, '[a-w ]+')",
        lambda r: r.ordinal and re.fullmatch("[a-w ]+", r.text),
    ),
    ("line like '%count(*)%' or line = 'sum(x) over ()'", lambda r: "count(*)" in r.text),
    (
        "list_sum(list_transform(string_split(line, ' '), lambda w: length(w))) > 12",
        lambda r: len(r.text.replace(" ", "")) > 12,
    ),
    ("false", lambda r: False),
]


def random_condition(rng: random.Random, depth: int) -> Condition:
    """Return a condition of three-valued logic, and its value in Python."""
    if depth == 0:
        return rng.choice(ATOMS)
    (sql, of), (other_sql, other) = (random_condition(rng, depth - 1) for _ in range(2))
    kind = rng.choice(("and", "or", "not"))
    if kind == "not":
        return f"not ({sql})", lambda row: None if (v := of(row)) is None else not v

    def combined(row: Row) -> bool | None:
        values, decides = {of(row), other(row)}, kind == "or"
        return decides if decides in values else None if None in values else not decides

    return f"({sql}) {kind} ({other_sql})", combined


@pytest.fixture
def files(corpus) -> list[str]:
    for name, data in FILES.items():
        corpus(name, data)
    return list(FILES)


@pytest.fixture
def refused(cli, home, snapshot) -> Callable:
    """Run a command line that must end with one exit code and change nothing on disk."""

    def run(code: int, *args: object, **options: object):
        before = snapshot(home)
        ran = cli(*args, **options)
        assert (ran.code, ran.out) == (code, b""), ran.err
        assert not re.search("Traceback|No such (option|command)", ran.err), ran.err
        assert snapshot(home) == before
        return ran

    return run


def pointed_at(err: str) -> str:
    """Return the user's SQL from the place that the caret points at."""
    for above, below in itertools.pairwise(err.splitlines()):
        if "^" in below and not below.strip(" ^~|│"):
            return above[below.index("^") :]
    pytest.fail(f"no caret in: {err}")


@pytest.mark.parametrize(
    ("where", "keep", "strategy"),
    [(*pair, name) for pair, name in zip(FILTERS, itertools.cycle(STRATEGIES), strict=False)],
)
def test_where_keeps_exactly_the_lines_of_which_it_is_true(where, keep, strategy, cli, files):
    """What stays has the place in the order that it has without the filter."""
    ran = cli("shuffle", *files, "--where", where, "--seed", "42", "--strategy", strategy)
    assert ran.code == 0, ran.err
    assert ran.out == b"".join(row.raw + b"\n" for row in ROWS if keep(row))


def test_conditions_have_the_three_values_of_sql(cli, files, home):
    """Forty random conditions on every line: true, false and NULL as the standard says."""
    rng = random.Random(3)
    drawn = [random_condition(rng, 1 + number % 3) for number in range(40)]
    columns = ", ".join(f"({sql}) as c{number}" for number, (sql, _) in enumerate(drawn))
    ran = cli("shuffle", *files, "--select", columns, "-o", "out.parquet", "--seed", "42")
    assert ran.code == 0, ran.err
    table = pq.read_table(home / "out.parquet")
    for number, (sql, of) in enumerate(drawn):
        assert table[f"c{number}"].to_pylist() == [of(row) for row in ROWS], sql


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_line_numbers_and_positions_count_on_over_chunks(strategy, cli, home):
    """22 MB are more than one chunk; several threads read them, and rows know their place."""
    reference.write_numbered(home / "in.txt", 150_000, 147)
    where = "line_number % 7 = 0 and line_number = position // 147 + 1"
    line = ("shuffle", "in.txt", "--where", where, "-o", "out.txt", "--seed", "42")
    ran = cli(*line, "--strategy", strategy, "--threads", 4)
    assert ran.code == 0, ran.err
    kept = np.arange(6, 150_000, 7)
    order = kept[reference.keys_of(kept * 147, "42").argsort()]
    got = (home / "out.txt").read_bytes()
    assert [int(line[:10]) for line in got.split()] == order.tolist()
    assert len(got) == len(kept) * 147


@pytest.mark.parametrize(
    ("select", "value"),
    [
        ("line || '!' as \"count(x)\"", lambda r: r.raw + b"!"),
        ("raw", lambda r: r.raw),
        ("list_aggregate([line, 'a'], 'max')", lambda r: max(r.raw, b"a")),
    ],
)
def test_select_writes_what_it_says_in_the_order_of_the_lines(select, value, cli, files):
    """One column of text is a text file again; --where sees the line as it came."""
    ran = cli("shuffle", *files, "--select", select, "--where", "bytes > 3", "--seed", "42")
    assert ran.code == 0, ran.err
    assert ran.out == b"".join(value(row) + b"\n" for row in ROWS if len(row.raw) > 3)


def test_select_makes_typed_columns_of_json_lines(cli, corpus, home):
    """`line->>'$.text' as text, source` is how a corpus of JSON becomes Parquet."""
    objects = [{"text": f"é {i}", "n": i} if i % 3 else {"n": i} for i in range(300)]
    data = "".join(json.dumps(value) + "\n" for value in objects).encode()
    select = "line->>'$.text' as text, (line->>'$.n')::int as n, bytes, position, source"
    line = ("shuffle", corpus("c.jsonl", data), "--select", select, "-o", "out.parquet")
    ran = cli(*line, "--where", "(line->>'$.n')::int > 5", "--seed", "42")
    assert ran.code == 0, ran.err
    table = pq.read_table(home / "out.parquet")
    types = {field.name: str(field.type).removeprefix("large_") for field in table.schema}
    numbers = {"n": "int32", "bytes": "uint64", "position": "uint64"}
    assert types == {"text": "string", **numbers, "source": "string"}
    values = [(json.loads(row.text), row) for row in rows_of(data)]
    want = [(v.get("text"), v["n"], len(r.raw), r.position) for v, r in values if v["n"] > 5]
    assert [tuple(row.values())[:4] for row in table.to_pylist()] == want
    assert all(source.endswith("c.jsonl") for source in table["source"].to_pylist())


def test_where_works_on_nul_records_and_leaves_the_header(cli, corpus):
    """A record may hold newlines; the header is no row."""
    data = b"head\0a\nb\0b\0\0a b\0axxb"
    path = corpus("in", data)
    ran = cli("shuffle", path, "-z", "--header", 1, "--where", "line like 'a%b'", "--seed", "42")
    assert ran.code == 0, ran.err
    rows = [row.raw for row in rows_of(data, end=b"\0")]
    want = [b"head", *(raw for raw in rows if raw.startswith(b"a") and raw.endswith(b"b"))]
    assert ran.out == b"".join(raw + b"\0" for raw in want)


@pytest.mark.parametrize(
    ("where", "keep"),
    [
        ("line like '%two%' or bytes = 2", lambda r: "two" in r.text or len(r.raw) == 2),
        ("contains(line, chr(65533))", lambda r: "\ufffd" in r.text),
    ],
)
def test_where_keeps_the_very_bytes_of_lines_that_are_no_utf8(where, keep, cli, corpus):
    """SQL sees bad bytes replaced; the line that leaves has them."""
    data = b"ok\n\xff\xfe two\nthree\xc3\n\0\n\xed\xa0\x80\nok\r\n\xef\xbb\xbfok\nfour\n\x80"
    ran = cli("shuffle", corpus("in.txt", data), "--where", where, "--seed", "42")
    assert ran.code == 0, ran.err
    assert ran.out == b"".join(row.raw + b"\n" for row in rows_of(data) if keep(row))


@pytest.mark.parametrize(
    ("option", "sql", "named"),
    [
        ("--where", "count(*) > 1", "count"),
        ("--where", "bytes > 1 and abs(sum(bytes)) > 1", "sum"),
        ("--where", "row_number() over () = 1", "row_number"),
        ("--where", "line in (select line from lines)", "subquer|select"),
        ("--where", "unnest([true, false])", "unnest"),
        ("--select", "string_agg(line, ',')", "string_agg"),
        ("--select", "unnest(string_split(line, ' ')) as word", "unnest"),
        ("--select", "lag(line) over (order by line)", "lag"),
    ],
)
def test_what_needs_other_rows_is_refused_before_any_work(option, sql, named, start, home):
    """Named, with the way out; and not one byte of the input was waited for."""
    child = start("shuffle", "-", option, sql, "-o", "out.parquet")
    assert child.wait(timeout=30) == 19, child.stderr.read()
    err = child.stderr.read().decode()
    assert re.search(named, err, re.IGNORECASE)
    assert "--sql" in err[err.index("hint:") :]
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "texts"),
    [
        ("--where", ["true) or (true", "true; drop table lines", "true limit 5"]),
        ("--where", ["true group by line", "bytes >", "$1 = 1", "true, true"]),
        ("--select", ["line from lines", "distinct line"]),
        ("--select", ["line; select 1", "line order by line"]),
    ],
)
def test_what_is_more_than_an_expression_is_refused(option, texts, refused, files):
    """The text is parsed, not pasted: no clause or statement slips in behind it."""
    for text in texts:
        refused(19, "shuffle", *files, option, text, "-o", "out.txt")


@pytest.mark.parametrize(
    ("option", "sql", "rest"),
    [
        ("--where", "bytes > 1 and nope = 2", "nope = 2"),
        ("--where", "length('é') > 0 and nope > 1", "nope > 1"),
        ("--where", "bytes > 1 and lenght(line) > 3", "lenght(line) > 3"),
        ("--select", "line, upper(nope) as u", "nope) as u"),
        ("--select", "line, bytes bytes bytes", "bytes"),
    ],
)
def test_wrong_sql_is_pointed_at_and_the_columns_are_named(option, sql, rest, refused, files):
    """The user sees their own words, the place, and what there is."""
    for command in ("shuffle", "plan") if "nope = 2" in rest else ("shuffle",):
        ran = refused(19, command, *files, option, sql, "-o", "out.txt")
        assert pointed_at(ran.err).startswith(rest), ran.err
        if "nope" in sql:
            names = ("line", "raw", "source", "position", "bytes", "line_number")
            assert all(re.search(rf"\b{name}\b", ran.err) for name in names)


@pytest.mark.parametrize("bad", [b'{"n": "twelve"}', b"{no json}"])
@pytest.mark.parametrize("option", ["--where", "--select"])
def test_a_value_that_fails_names_its_source_and_position(bad, option, refused, corpus):
    """One bad value in 20,000 rows: nothing is written, and the row can be found."""
    head = b"".join(b'{"n": %d}\n' % i for i in range(13_000))
    corpus("good.txt", head)
    corpus("bad.txt", head + bad + b"\n" + head)
    corpus("out.txt", b"old")
    sql = "(line->>'$.n')::int" + (" >= 0" if option == "--where" else "::varchar")
    ran = refused(20, "shuffle", "good.txt", "bad.txt", option, sql, "-o", "out.txt")
    assert "bad.txt" in ran.err
    assert len(head) in ran.numbers(), ran.err
