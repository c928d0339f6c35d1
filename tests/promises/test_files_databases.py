"""Databases: one table is taken and named; dynamic types, views and odd names are rows."""

import sqlite3

import duckdb
import pytest
from public_shapes import ALPHABETS, check_told, multiset, rows_of


def make(path, *statements):
    connect = sqlite3.connect if path.suffix == ".sqlite" else duckdb.connect
    connection = connect(str(path))
    for statement in statements:
        connection.execute(statement)
    if path.suffix == ".sqlite":
        connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize("end", ["sqlite", "duckdb"])
def test_the_one_table_of_a_database_is_taken_and_named(end, cli, home):
    path = make(
        home / f"in.{end}", "create table docs (a int)", "insert into docs values (1), (null)"
    )
    ran = cli("shuffle", path, "-o", "out.parquet")
    assert ran.code == 0, ran.err
    assert "docs" in ran.err
    assert multiset(rows_of(home / "out.parquet")) == multiset([{"a": 1}, {"a": None}])
    assert cli("query", path, "select count(*) as n from lines").out == b"n\n2\n"
    make(path, "create table other (a int)")
    check_told(cli("shuffle", path), "--table", "docs", "other")


@pytest.mark.parametrize("name", [*ALPHABETS, 'say "x"', "it's", "a b", "select", "a;b"])
def test_tables_and_columns_of_any_name_are_read(name, cli, home):
    quoted = '"' + name.replace('"', '""') + '"'
    path = make(
        home / "in.sqlite",
        f"create table {quoted} ({quoted} int)",
        f"insert into {quoted} values (1)",
    )
    ran = cli("shuffle", path, "-o", "out.parquet", "--table", name)
    assert ran.code == 0, ran.err
    assert rows_of(home / "out.parquet") == [{name: 1}]


def test_views_and_tables_without_rowid_are_read(cli, home):
    path = make(
        home / "in.sqlite",
        "create table t (k text primary key, v int) without rowid",
        "insert into t values ('a', 1), ('b', 2)",
        "create view w as select v from t where v > 1",
    )
    for table, rows in (("t", [{"k": "a", "v": 1}, {"k": "b", "v": 2}]), ("w", [{"v": 2}])):
        ran = cli("shuffle", path, "-o", "out.parquet", "--table", table)
        assert ran.code == 0, ran.err
        assert multiset(rows_of(home / "out.parquet")) == multiset(rows)


def test_dynamic_types_lose_no_value(cli, home):
    """A column that says INT may hold text: kept or told, never changed."""
    path = make(
        home / "in.sqlite", "create table t (a int)", "insert into t values (1), ('x'), (0.5)"
    )
    ran = cli("shuffle", path, "-o", "out.jsonl")
    if ran.code:
        check_told(ran, "in.sqlite", "a")
    else:
        assert multiset(rows_of(home / "out.jsonl")) == multiset([{"a": v} for v in (1, "x", 0.5)])
