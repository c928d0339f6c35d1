"""Columns that SQL has no name for, and rows without a column."""

import pytest


@pytest.fixture
def refused(cli, home, snapshot):
    """Run a command that must end with one exit code and leave everything as it was."""

    def run(code: int, *arguments: object) -> str:
        before = snapshot(home)
        ran = cli(*arguments)
        assert (ran.code, ran.out, snapshot(home)) == (code, b"", before), ran.err
        return ran.err

    return run


@pytest.mark.parametrize("text", [b"", b"{}\n{}\n"])
def test_json_lines_without_a_key_are_rows_without_columns(cli, refused, corpus, text):
    bare = corpus("bare.jsonl", text)
    sql = "select count(*) as c, max(position) as p from lines"
    found = cli("query", bare, sql, "--from", "json")
    assert (found.code, found.out) == (0, b"c,p\n2,3\n" if text else b"c,p\n0,\n")
    for sql in ("select lang from lines", "select * from lines"):
        refused(19, "query", "--from", "json", bare, sql)
    refused(19, "shuffle", "--from", "json", bare, "--select", "*", "-o", "out.csv")
    for store in ("new.duckdb", "new.sqlite"):
        assert "no columns" in refused(21, "ingest", store, bare, "--from", "json")


def test_a_column_whose_name_holds_nul_is_moved_and_kept_from_sql(cli, refused, corpus, home):
    """An identifier ends at a NUL: DuckDB and SQLite have no name for such a column."""
    odd = corpus("odd.csv", b"a\0b,c\n1,2\n")
    assert cli("shuffle", odd, "--from", "csv", "-o", "out.csv").code == 0
    assert (home / "out.csv").read_bytes() == odd.read_bytes()
    (home / "out.csv").unlink()
    for sql in (["--where", "c = 2"], ["--select", "c"], ["--group", "c"], ["--weight", "c::int"]):
        assert "NUL" in refused(19, "shuffle", odd, "--from", "csv", *sql, "-o", "out.csv")
    assert "NUL" in refused(19, "query", "--from", "csv", odd, "select c from lines")
    for store in ("new.duckdb", "new.sqlite"):
        assert "NUL" in refused(21, "ingest", store, odd, "--from", "csv")
