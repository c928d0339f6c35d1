"""Which columns of a result are columns of the input as they are: what stays JSON in JSON lines."""

import pyarrow as pa
import pytest

from dbshuf.query.relation import with_place
from dbshuf.query.whole_statement import WholeQuery

RELATION = with_place(
    pa.schema([("n", pa.int64()), ("j", pa.string()), ("s", pa.string()), ("k", pa.string())])
)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("select j as k, J from lines", ["k", "j"]),
        ("with t as (select j, n from lines) select t.j, n from t", ["j"]),
        ("with t(a, b) as (select j, n from lines) from t", ["a"]),
        ("with t as (select j from lines), u as (select j as k from t) from u", ["k"]),
        ("select l.j as v from lines l join lines t using (n)", ["v"]),
        (
            "select l.j, r.z from lines l join (select n as m, j as z from lines) r on n = m",
            ["j", "z"],
        ),
        ("select r.* from (values (1)) v(x), lines r", ["j"]),
        ("from lines l semi join (select 2 as n, s as j from lines) r on l.n = r.n", ["j"]),
        ("select x.j from (select * from lines) x where n in (select n from lines)", ["j"]),
        ("select j from lines union all select j from lines", ["j"]),
        ("select *, 1 as one from lines union select *, n from lines", ["j"]),
        ("select * exclude (s, k) from lines except select n, j from lines", ["j"]),
        ("select j, count(*) as c from lines group by j", ["j"]),
        ("select distinct on (n) j from lines order by n limit 2", ["j"]),
        ("select coalesce(j, k, null) as j, ifnull(k, j) as i from lines", ["i", "j"]),
        ("select coalesce(j, k), max(j) from lines group by all", ["COALESCE(j, k)", "max(j)"]),
        ("select any_value(j) as a, first(j order by n) as f, last(k) as l from lines", ["a", "f"]),
        ("select max(j) filter (n > 1) as m, arg_min(j, n) as a from lines", ["a", "m"]),
        (
            "select case when n > 1 then j else null end as c, if(n > 1, j, k) as i from lines",
            ["c", "i"],
        ),
        ("select case n when 1 then j when 2 then k end as c from lines", ["c"]),
        ("select (select j from lines limit 1) as q, n from lines", ["q"]),
        (
            "select first_value(j) over w as f, lag(j, 1, k) over w as l from lines"
            " window w as (order by n)",
            ["f", "l"],
        ),
        ("select nullif(j, 'x') as j from (select coalesce(j, k) as j from lines)", ["j"]),
        ("select j from lines union all select k from lines", ["j"]),
        # what only has its name, or is of something else too
        ("select s as j, j || '' as k, upper(j) as u from lines", []),
        ("select coalesce(j, s) as j, coalesce(j, 'x') as k, coalesce(s) as t from lines", []),
        ("select case when n > 1 then j else '1' end as c, if(n > 1, j, s) as i from lines", []),
        ("select max(j, 2) as m, arg_max(n, j) as a, list(j) as l from lines", []),
        ("select lag(j, 1, 'x') over () as l, nullif(s, j) as n from lines", []),
        ("select (select count(j) from lines) as q, exists (select j from lines) as e", []),
        ("select (select l.j) as q from lines l", []),
        ("select j from lines union all select s from lines", []),
        ("select j from lines union all by name select s as j from lines", []),
        ("select * replace (s as j) from lines", []),
        ("with lines as (select s as j from lines) select j from lines", []),
        ("select j from lines full join (select s as j from lines) r using (j)", []),
        ("select r.j from lines l join (select n, s as j from lines) r using (n)", []),
        ("select u.j from lines, (select 'x' as j) u", []),
    ],
)
def test_values_are_followed_through_the_names_that_sql_gives_them(sql, names):
    """A JSON value is JSON under any name, and what is no such value is not taken for one."""
    passed = WholeQuery(sql, RELATION).passed
    found = sorted(name for name, own in passed.items() if own and own <= {"j", "k"} and "j" in own)
    assert found == sorted(names)


def test_a_recursive_query_is_no_input():
    """Its names mean other rows in each round."""
    sql = "with recursive t as (select j from lines union all select s from lines) from t"
    assert "j" not in WholeQuery(sql, RELATION).passed
