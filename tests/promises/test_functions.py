"""SQL functions: what binds decides, and shuffle_key is there wherever SQL is."""

import pytest
import reference
from public_shapes import check_told

LINES = b"".join(b"%d\n" % n for n in range(10, 310))
ORDER = "select line from lines order by shuffle_key({}) limit 7"


@pytest.fixture
def numbers(corpus):
    return corpus("in.txt", LINES)


@pytest.mark.parametrize(
    "where",
    [
        "bytes + 1 > 1", "bytes - 1 >= 0", "-bytes::int < 0",
        "strftime(date '2024-01-01', '%Y') = '2024'",
        "year(timestamp '2024-01-01') = 2024",
        "age(date '2024-01-02', date '2024-01-01') > interval 1 hour",
        "date_trunc('day', timestamp '2024-01-01 10:00:00') < timestamp '2025-01-01'",
    ],
)  # fmt: skip
def test_functions_of_numbers_and_times_are_row_local(where, numbers, cli):
    ran = cli("shuffle", numbers, "--where", where, "--seed", "42")
    assert ran.code == 0, ran.err
    assert ran.out == reference.shuffled([LINES], "42")


@pytest.mark.parametrize(
    "expression",
    ["random() < 2", "now() is not null", "current_date > date '2000-01-01'", "uuid() <> ''",
     "age(timestamp '2000-01-01') > interval 1 day", "current_setting('threads') > 0",
     "getenv('HOME') <> ''", "nextval('s') > 0", "txid_current() > 0", "current_user <> ''"],
)  # fmt: skip
def test_clock_chance_and_session_are_refused(expression, numbers, cli):
    check_told(cli("shuffle", numbers, "--where", expression), codes=(19,))


def test_the_hint_for_random_names_shuffle_key(numbers, cli):
    check_told(cli("shuffle", numbers, "--where", "random() < 0.01"), "shuffle_key", codes=(19,))


@pytest.mark.parametrize("call", ["id", "'42', id", "42, id"])
def test_shuffle_key_in_a_query_is_the_order_of_a_shuffle(call, numbers, cli):
    """query has no seed of its own: there shuffle_key(id) may be refused by name."""
    ran = cli("query", numbers, ORDER.format(call), "--format", "csv")
    if ran.code and call == "id":
        check_told(ran, "shuffle_key", codes=(19,))
        return
    assert ran.code == 0, ran.err
    if call != "id":
        want = reference.shuffled([LINES], "42").splitlines()[:7]
        assert ran.out.splitlines()[1:] == want


@pytest.mark.parametrize(
    ("strategy", "call"),
    [("memory", "id"), ("partition", "'42', id"), ("spill", "id"), ("spill", "'42', id")],
)
def test_shuffle_key_in_filters_selects_and_whole_queries_is_one_key(
    call, strategy, numbers, cli, corpus
):
    keys = {line: key for key, line in reference.keyed([LINES], "42")}
    limit = sorted(keys.values())[30]
    run = ("shuffle", numbers, "--seed", "42", "--strategy", strategy)
    want = b"".join(reference.shuffled([LINES], "42").splitlines(keepends=True)[:30])
    ran = cli(*run, "--where", f"shuffle_key({call}) < {limit}")
    assert (ran.code, ran.out) == (0, want), ran.err
    ran = cli(*run, "--select", f"shuffle_key({call}) as k, line", "--format", "csv")
    assert ran.code == 0, ran.err
    rows = [row.replace(b'"', b"").split(b",") for row in ran.out.splitlines()[1:]]
    assert {line + b"\n": int(key) for key, line in rows} == keys
    sql = (
        f"select id, line from lines qualify row_number() over (order by shuffle_key({call})) <= 30"
    )
    ran = cli(*run, "--sql", corpus("q.sql", sql.encode()))
    assert (ran.code, ran.out) == (0, want), ran.err
