"""Every function of the DuckDB that is installed is either accepted, or refused for a reason."""

import itertools
import re

import duckdb
import pytest
from query_tools import LINES, refused, relation, run_rows

from dbshuf.errors import QueryInvalid
from dbshuf.query import RowQuery, WholeQuery, functions
from dbshuf.query.functions import check_fence, check_row_local
from dbshuf.query.parse import SqlText, parse

# Functions, with the reason why --where does not take them.
UNSTEADY = {
    "a clock": "current_date current_localtime current_localtimestamp get_current_time "
    "get_current_timestamp now today transaction_timestamp uuidv7",
    "a random source": "gen_random_uuid random uuid uuidv4 setseed",
    "a sequence": "currval nextval setval",
    "the session": "current_connection_id current_database current_query current_query_id "
    "current_schema current_schemas current_setting current_transaction_id getvariable "
    "in_search_path txid_current",
    "how values are stored": "stats vector_type",
    "it waits or writes": "sleep_ms write_log",
    "it takes SQL, a plan or memory": "index_key json_deserialize_sql json_serialize_plan "
    "json_serialize_sql to_aggregate_state",
    "the session, through a macro": "current_catalog current_role current_user session_user user",
    "the clock, through a macro": "current_time current_timestamp localtime localtimestamp",
    "several rows of one": "unnest",
}
REFUSED = {name for names in UNSTEADY.values() for name in names.split()}

# Values to call functions with, by the type that an overload asks for.
SAMPLES = {
    "VARCHAR": ["'7'", "'day'", "'$.a'"], "BIGINT": ["3"], "INTEGER": ["3"], "DOUBLE": ["0.5"],
    "FLOAT": ["0.5"], "HUGEINT": ["3"], "UBIGINT": ["3"], "BOOLEAN": ["true"],
    "BLOB": ["'a'::blob"],
    "TIMESTAMP": ["timestamp '2020-02-03 04:05:06'"], "DATE": ["date '2020-02-03'"],
    "TIME": ["time '04:05:06'"], "INTERVAL": ["interval 2 hour"], "JSON": ["'{\"a\": 1}'::json"],
    "TIMESTAMP WITH TIME ZONE": ["timestamptz '2020-02-03 04:05:06+00'"], "UUID":
    ["'00000000-0000-0000-0000-000000000001'::uuid"], "BIT": ["'101'::bit"], "ANY": ["7", "'a'"],
    "TIME WITH TIME ZONE": ["'04:05:06+00'::timetz"], "T": ["7"], "T[]": ["[7, 3]"],
    "ANY[]": ["[7, 3]"], "VARCHAR[]": ["['a', 'b']"], "BIGNUM": ["3::bignum"],
}  # fmt: skip


@pytest.fixture(scope="module")
def plain():
    """DuckDB by itself, with the time zone that dbshuf sets."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


def overloads(connection):
    """(name, types of the arguments) of every scalar function and macro."""
    rows = connection.sql(
        "select distinct lower(function_name), function_type, parameter_types, len(parameters)"
        " from duckdb_functions() where function_type in ('scalar', 'macro')"
    ).fetchall()
    return sorted(
        (name, tuple(types) if kind == "scalar" else ("ANY",) * count)
        for name, kind, types, count in rows
    )


def is_accepted(connection, text):
    """Whether --where takes a text, binding and running apart."""
    sql = SqlText("--where", text)
    tree = parse(connection, sql, "SELECT ")
    try:
        check_row_local(connection, sql, tree, 7)
        check_fence(connection, sql, tree, 7)
    except QueryInvalid as error:
        return error.message
    return True


def quoted_call(name, arguments):
    """A call of a function of any name."""
    quoted = name.replace('"', '""')
    return f'"{quoted}"({", ".join(arguments)})'


def test_every_scalar_function_is_accepted_or_refused_for_a_reason(plain):
    """One that nobody classified fails here, and not a user's query."""
    names = {name for name, _ in overloads(plain)}
    assert len(names) > 800
    wrong = {}
    for name, types in overloads(plain):
        answer = is_accepted(plain, quoted_call(name, ["NULL"] * len(types)))
        is_macro_of_others = "is made of others" in str(answer) or "reads the catalogue" in str(
            answer
        )
        is_refused = (
            name in REFUSED
            or name.startswith("__internal")
            or is_macro_of_others
            or (name, len(types)) == ("age", 1)
        )
        if (answer is not True) != is_refused:
            wrong[name, types] = answer
    assert wrong == {}


def values(connection):
    """call -> its value as text, for every function that the samples fit."""
    found = {}
    for name, types in overloads(connection):
        if name in REFUSED or name.startswith("__internal") or name in ("error", "unnest"):
            continue
        for arguments in itertools.islice(
            itertools.product(*(SAMPLES.get(t, ["7"]) for t in types)), 4
        ):
            call = f"({quoted_call(name, arguments)})::varchar"
            if is_accepted(connection, call) is not True:
                continue
            try:
                [[value]] = connection.sql(f"select {call} from (select 1 as id)").fetchall()
            except (duckdb.Error, UnicodeDecodeError):
                continue
            found[call] = value
            break
    return found


def test_what_is_accepted_gives_in_where_what_plain_duckdb_gives(plain):
    """All functions that values can be made up for."""
    found = values(plain)
    assert len(found) > 600
    conditions = []
    for call, value in found.items():
        text = "NULL" if value is None else "'" + value.replace("'", "''") + "'"
        conditions.append(f"{call} IS NOT DISTINCT FROM {text}")
    for first in range(0, len(conditions), 40):
        part = conditions[first : first + 40]
        if run_rows(" and ".join(part), None, relation(["x"]))[0] != [0]:
            assert [one for one in part if run_rows(one, None, relation(["x"]))[0] != [0]] == []


def test_a_function_that_is_not_known_is_refused_with_that_reason(monkeypatch):
    """What a later DuckDB adds, until somebody has looked at it."""
    monkeypatch.setattr(functions, "ALLOWED", functions.ALLOWED - {"upper", "sum", "row_number"})
    refused(lambda: RowQuery("upper(line) = 'A'", None, LINES), r"upper\(\).*newer than this")
    for call in ("upper(line)", "sum(bytes)", "row_number() over ()"):
        error = refused(lambda c=call: WholeQuery(f"select {c} as x from lines", LINES), "newer")
        assert "gone through" in error.hint


@pytest.mark.parametrize(
    "text",
    ["bytes + 1 > 1", "-bytes < 0 or true", "id - 1 < 5", "year(date '2020-01-01') = 2020",
     "year(timestamptz '2020-01-01 00:00:00+00') = 2020", "age(date '2020-01-02', date "
     "'2020-01-01') = interval 1 day", "strftime(date '2020-01-02', '%d') = '02'",
     "timestamptz '2020-01-01 12:00:00+02' + interval 1 day = '2020-01-02 10:00:00+00'",
     "date_trunc('day', timestamptz '2020-01-01 23:00:00-02') = '2020-01-02 00:00:00+00'",
     "len(range(3)) = 3"],
)  # fmt: skip
def test_what_reads_no_more_than_the_time_zone_is_row_local(text, monkeypatch):
    """The zone is fixed, whatever that of the machine is."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert run_rows(text, None, relation(["x"], 1))[0] == [0]


@pytest.mark.parametrize("name", sorted(REFUSED - {"unnest"}))
def test_what_is_refused_is_named(name, plain):
    """By its name, and before any work."""
    counts = {len(types) for one, types in overloads(plain) if one == name}
    for count in counts:
        text = quoted_call(name, ["NULL"] * count)
        assert re.search(rf"^--where: {name}\(\)", str(is_accepted(plain, text)))
