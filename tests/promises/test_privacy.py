"""Rows stay where they are: not in messages, and not in files that others can read."""

import os

import pytest

from dbshuf.base.block_io import BlockFile
from dbshuf.base.owner import lock_owner

SECRET = "SECRET"
FILES = {
    "lines.txt": b"3\nSECRET\n",
    "open.csv": b'n,t\n1,x\n"SECRET,2\n',
    "wide.csv": b"n,t\n1,x\nSECRET,2,3\n",
    "ok.csv": b"n,t\n1,x\nSECRET,2\n",
    "open.jsonl": b'{"a":1}\n{"a":"SECRET}\n',
    "array.jsonl": b'{"a":1}\n[1,"SECRET"]\n',
    "mixed.jsonl": b'{"a":"SECRET"}\n{"a":{"b":"SECRET"}}\n',
    "bytes.txt": b"SECRET\xff\n",
}


@pytest.mark.parametrize(
    "command",
    [
        ("shuffle", "lines.txt", "-o", "o.csv", "--select", "cast(line as int) as n"),
        ("shuffle", "lines.txt", "--where", "cast(line as int) > 1"),
        ("shuffle", "lines.txt", "--where", "line->>'$.a' = 'x'"),
        ("shuffle", "lines.txt", "-o", "o.csv", "--select", "unhex(line)::varchar as y"),
        ("shuffle", "lines.txt", "--where", "regexp_matches('a', line || '(')"),
        ("shuffle", "lines.txt", "--where", "strptime(line, '%d') is null"),
        ("query", "lines.txt", "select cast(line as int) as n from lines"),
        ("shuffle", "open.csv", "--from", "csv", "-o", "o.parquet"),
        ("shuffle", "wide.csv", "--from", "csv", "-o", "o.parquet"),
        ("shuffle", "ok.csv", "--from", "csv", "-o", "o.csv", "--select", "cast(n as int) as n"),
        ("shuffle", "open.jsonl", "--from", "json", "-o", "o.parquet"),
        ("shuffle", "array.jsonl", "--from", "json", "-o", "o.parquet"),
        ("shuffle", "mixed.jsonl", "--from", "json", "-o", "o.csv", "--select", "a::int as a"),
        ("shuffle", "bytes.txt", "-o", "o.parquet"),
        ("shuffle", "lines.txt", "ok.csv", "--header", 2),
        ("ingest", "s.duckdb", "bytes.txt"),
        ("ingest", "s.sqlite", "bytes.txt"),
    ],
)
def test_no_message_shows_a_row(command, cli, home):
    """Errors go to logs, where rows may not go; a place says which row it is."""
    for name, data in FILES.items():
        (home / name).write_bytes(data)
    ran = cli(*command)
    assert ran.code > 2, ran.err
    assert SECRET not in ran.err
    assert SECRET.lower() not in ran.err.lower()
    assert "Traceback" not in ran.err


def test_no_link_is_followed_where_temporary_files_are_made(home):
    """Who guesses a name in a shared folder gets no row written to a file of theirs."""
    theirs = home / "theirs"
    theirs.write_bytes(b"kept")
    (home / "planted").symlink_to(theirs)
    with pytest.raises(FileExistsError):
        BlockFile(home / "planted")
    (home / ".x.owner").symlink_to(theirs)
    fd = lock_owner(home / ".x")  # puts its own in the place of the link
    assert fd is not None
    os.close(fd)
    assert theirs.read_bytes() == b"kept"
