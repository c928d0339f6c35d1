"""Every function of the DuckDB that is installed is either accepted, or refused for a reason."""

import itertools
import re

import duckdb
import pytest
from query_tools import LINES, refused, relation, run_rows

from dbshuf.errors import QueryInvalid
from dbshuf.query import functions
from dbshuf.query.functions import check_fence, check_row_local
from dbshuf.query.parse import SqlText, parse
from dbshuf.query.row_expression import RowKeyQuery
from dbshuf.query.row_filter import RowQuery
from dbshuf.query.whole_statement import WholeQuery

# Functions, with the reason why --where does not take them.
UNSTEADY = {
    "a clock": "current_date current_localtime current_localtimestamp get_current_time "
    "get_current_timestamp now today transaction_timestamp uuidv7",
    "a random source": "gen_random_uuid random uuid uuidv4",
    "the clock, through a macro": "ago current_time current_timestamp localtime localtimestamp",
    "several rows of one": "unnest",
}
# Functions, with the reason why no SQL takes them, --sql and `query` neither.
OUTSIDE = {
    "a random source, a sequence": "setseed currval nextval setval",
    "the session": "current_connection_id current_database current_query current_query_id "
    "current_schema current_schemas current_setting current_transaction_id getvariable "
    "in_search_path txid_current current_catalog current_role current_user session_user user "
    "inet_client_addr inet_client_port inet_server_addr inet_server_port pg_conf_load_time "
    "pg_is_other_temp_schema pg_my_temp_schema pg_postmaster_start_time",
    "the installation": "version",
    "how values are stored": "stats vector_type get_block_size",
    "a catalogue": "col_description format_type obj_description shobj_description pg_get_expr "
    "pg_get_viewdef pg_get_constraintdef has_any_column_privilege has_column_privilege "
    "has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege "
    "has_language_privilege has_schema_privilege has_sequence_privilege has_server_privilege "
    "has_table_privilege has_tablespace_privilege pg_has_role pg_collation_is_visible "
    "pg_conversion_is_visible pg_function_is_visible pg_opclass_is_visible "
    "pg_operator_is_visible pg_opfamily_is_visible pg_table_is_visible "
    "pg_ts_config_is_visible pg_ts_dict_is_visible pg_ts_parser_is_visible "
    "pg_ts_template_is_visible pg_type_is_visible",
    "it waits or writes": "sleep_ms write_log pg_sleep",
    "it takes SQL, a plan or memory": "index_key json_deserialize_sql json_serialize_plan "
    "json_serialize_sql to_aggregate_state",
}
NO_SQL = {name for names in OUTSIDE.values() for name in names.split()}
REFUSED = NO_SQL | {name for names in UNSTEADY.values() for name in names.split()}

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
        is_refused = (
            name in REFUSED
            or name.startswith("__internal")
            or "is made of others" in str(answer)
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


@pytest.mark.parametrize("name", sorted(NO_SQL))
def test_what_shows_more_than_the_rows_is_refused_in_a_whole_query(name, plain):
    """With every number of arguments, and as a bare name where SQL has such."""
    counts = {len(types) for one, types in overloads(plain) if one == name}
    texts = [quoted_call(name, ["NULL"] * count) for count in counts]
    if name in functions._BARE:
        texts.append(name)
    assert texts
    for text in texts:
        whole = f"select {text} as x from lines"
        refused(lambda whole=whole: WholeQuery(whole, LINES), rf"^--sql: {name}\(\) is not allowed")


@pytest.mark.parametrize("text", ["now()", "random()", "uuid()", "current_date", "localtime"])
def test_a_clock_and_a_random_source_are_for_whole_queries(text):
    """Whose result may be the user's of today; rows by themselves may not depend on it."""
    WholeQuery(f"select line, {text}::varchar as x from lines", LINES)
    refused(lambda: RowQuery(None, f"{text} as x", LINES), "is not the same in every run")


@pytest.mark.parametrize(
    "text",
    ["select user from (select line as user from lines)",
     "with t(user, version) as (select 1, 2) select user, version from t",
     "select t.user from (select unnest({'user': 1})) as t",
     "select current_user from '{}'", "select n.user from read_csv('{}') as n"],
)  # fmt: skip
def test_a_column_may_be_named_like_a_function(text, tmp_path):
    """A column counts before a function, as SQL has it."""
    file = tmp_path / "a.csv"
    file.write_text("user,current_user\nme,you\n")
    WholeQuery(text.replace("{}", str(file)), LINES, allow_files=[str(file)])


def test_what_sounds_like_a_path_or_a_log_reads_its_arguments_alone():
    """Why they are allowed."""
    where = (
        "parse_filename('/etc/passwd') = 'passwd' and path_join('a', 'b') = 'a/b' and"
        " parse_duckdb_log_message('QueryLog', 'x').message = 'x' and"
        " list_aggregate(range(100000), 'reservoir_quantile', 0.5) ="
        " list_aggregate(range(100000), 'reservoir_quantile', 0.5)"
    )
    assert run_rows(where, None, relation(["x"]))[0] == [0]


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


def test_overloads_of_as_many_arguments_agree_once_the_zone_is_fixed():
    """So that no plan is asked: whichever binds, the answer is the same; without exception."""
    found = {}
    for name, known in functions._catalogue().items():
        for count in {len(one.types) for one in known.overloads}:
            stability = {one.is_steady for one in known.of(count)}
            if len(stability) > 1:
                found[name, count] = stability
    assert found == {}


@pytest.fixture
def zoned(monkeypatch):
    """A catalogue in which what reads the time zone is not the same in every run."""
    monkeypatch.setattr(functions, "_ZONED", re.compile("$^"))
    disagreeing = []
    functions._catalogue.cache_clear()
    known = functions._catalogue()
    for name in ("+", "age", "year"):  # as DuckDB 2.0.1 has them, whatever is installed
        for one in list(known[name].overloads):
            if any("WITH TIME ZONE" in kind for kind in one.types):
                known[name].overloads.discard(one)
                known[name].overloads.add(functions.Overload(one.types, one.is_open, False))
        disagreeing.append({one.is_steady for one in known[name].overloads})
    assert all(len(kinds) == 2 for kinds in disagreeing)
    yield
    functions._catalogue.cache_clear()


@pytest.mark.parametrize(
    "text",
    ["bytes + 1 > 1", "date '2020-01-01' + interval 1 day > date '2020-01-01'",
     "year(date '2020-01-01') = 2020", "list_transform([1], lambda x: x + 1) = [2]",
     "age(timestamp '1970-01-02', make_timestamp(bytes::bigint)) > interval 1 hour",
     "date_add(date '2020-01-01', interval 1 day) = '2020-01-02'",
     "bytes::decimal(5, 2) + 1 > 1"],
)  # fmt: skip
def test_an_overload_is_judged_by_its_own_stability(text, zoned):
    """Others of the same name may be what they are."""
    assert run_rows(text, None, relation(["x"], 1))[0] == [0]
    assert run_rows(None, f"*, {text} as t", relation(["x"], 1))[1][0]["t"] is True
    RowKeyQuery(text, LINES, "1")


@pytest.mark.parametrize(
    "text",
    ["timestamptz '2020-01-01 00:00:00+00' + interval 1 day > '2019-01-01'",
     "year(to_timestamp(bytes)) = 1970", "line = 'y' or year(to_timestamp(bytes)) = 1970",
     "list_transform([to_timestamp(bytes)], lambda x: year(x)) = [1970]",
     "year(date '2020-01-01') = 2020 and year(to_timestamp(bytes)) = 1970"],
)  # fmt: skip
def test_an_overload_that_is_not_the_same_in_every_run_is_refused(text, zoned):
    """Whether it is all of the text or deep in it."""
    for make in (
        lambda: RowQuery(text, None, LINES),
        lambda: RowQuery(None, f"{text} as t", LINES),
        lambda: RowKeyQuery(text, LINES, "1"),
    ):
        error = refused(make, r"(year|\+)\(\) is not the same in every run", r"\^")
        assert "shuffle_key(id)" in error.hint
