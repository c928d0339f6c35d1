"""What a name, an option or a text may hold: it is escaped, refused or moved, never a bug."""

import bz2
import gzip
import os
import pty
import subprocess
import threading

import pytest
from command import DBSHUF, child_environment
from packed import pack

import dbshuf

COMMANDS = (
    ("shuffle", "{}"),
    ("shuffle", "{}", "-o", "out.parquet"),
    ("shuffle", "{}", "--from", "csv", "-o", "out.csv"),
    ("shuffle", "{}", "--from", "json", "-o", "out.jsonl"),
    ("shuffle", "{}", "--where", "bytes > 1"),
    ("plan", "{}"),
    ("query", "{}", "select * from lines"),
    ("ingest", "store.duckdb", "{}"),
)
ENCODINGS = {
    "UTF-16": [b"\xff\xfea\0\n\0", b"\xfe\xff\0a\0\n", b"\xff\xfe"],
    "UTF-32": [b"\xff\xfe\0\0a\0\0\0", b"\0\0\xfe\xff\0\0\0a"],
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_in_another_encoding_is_refused_with_the_way_to_convert_it(encoding, cli, home):
    """Its lines end in the middle of a character, so a shuffle would destroy them."""
    for text in ENCODINGS[encoding]:
        (home / "in put").write_bytes(text)
        for command in COMMANDS:
            ran = cli(*(word.format("in put") for word in command))
            assert (ran.code, ran.out) == (8, b""), (command, ran.err)
            assert f"`in put` is text in {encoding}" in ran.err
            assert f"iconv -f {encoding} -t UTF-8 'in put' > OUT" in ran.err
    assert [path.name for path in home.iterdir()] == ["in put"]


def test_compressed_and_piped_text_in_another_encoding_is_refused_too(cli, home):
    """Whatever it comes through."""
    text = "one\ntwo\n".encode("utf-16")
    for packed in (text, gzip.compress(text), bz2.compress(text), pack("zstd", text)):
        (home / "in").write_bytes(packed)
        for ran in (cli("shuffle", "in"), cli("shuffle", stdin=packed)):
            assert ran.code == 8, ran.err
            assert "UTF-16" in ran.err


def test_binary_moves_the_bytes_of_any_encoding(cli, home):
    """The way out for what only looks like UTF-16."""
    (home / "in").write_bytes(b"\xff\xfea\n")
    assert cli("shuffle", "in", "--binary").out == b"\xff\xfea\n"
    assert cli("shuffle", "in", "--binary", "-o", "o.parquet").code == 0
    assert cli("ingest", "s.duckdb", "in", "--binary").code == 0
    for text in (
        b"\xef\xbb\xbfa\n",
        b"\xff\xff\xff\xff\n",
        b"\0\0\xfe\n",
        b"\xff\n",
        b"\xfe\n",
        b"",
    ):
        (home / "in").write_bytes(text)
        assert cli("shuffle", "in").out == text


TEXTS = "seed split-seed split-by where select table split from format strategy compression"


@pytest.mark.parametrize("option", [*TEXTS.split(), "memory", "threads", "shard-bytes"])
def test_an_option_that_is_no_utf8_is_refused(option, cli, home):
    """Terminals and scripts pass any bytes."""
    (home / "in").write_bytes(b"a\n")
    ran = cli("shuffle", "in", f"--{option}", b"a\xff", "-o", "out")
    assert ran.code == 2, ran.err
    assert f"--{option}" in ran.err
    if option not in ("memory", "threads", "shard-bytes"):
        name = {"from": "input_format"}.get(option, option.replace("-", "_"))
        with pytest.raises(dbshuf.DbshufError) as caught:
            dbshuf.shuffle(home / "in", home / "out", **{name: "a\udcff"})
        assert caught.value.exit_code == 2
    assert [path.name for path in home.iterdir()] == ["in"]


def test_sql_that_is_no_utf8_is_refused(cli, home):
    """As a file, from standard input, as an argument."""
    (home / "in").write_bytes(b"a\n")
    (home / "q.sql").write_bytes(b"select '\xff' from lines")
    assert cli("shuffle", "in", "--sql", "q.sql").code == 4
    assert cli("shuffle", "in", "--sql", "-", stdin=home / "q.sql").code == 4
    assert cli("query", "in", b"select '\xff' from lines").code == 2
    assert cli("ingest", "s.duckdb", "in", "--table", b"\xff").code == 2


@pytest.mark.parametrize(
    "name", ["", "a\nb", "a\n", "\ta", "a/b", "..", ".a", "a" * 101, "ä", "a\x1b"]
)
def test_a_split_whose_name_makes_no_file_name_is_refused(name, cli, home):
    """It would name a file that nobody can type."""
    (home / "in").write_bytes(b"a\n")
    ran = cli("shuffle", "in", "-o", "out.txt", "--split", f"{name}=0.5,rest=0.5")
    assert ran.code == 2, ran.err
    assert len(ran.err.splitlines()) == 2
    assert [path.name for path in home.iterdir()] == ["in"]


EVIL = "x\x1b[31m\n\x07\x9by"


def test_no_control_character_of_a_name_reaches_the_terminal(cli, home):
    """Messages and plans have one line a fact, whatever a name holds."""
    (home / EVIL).write_bytes(b"\x1b[31mred\n")
    (home / "u16").write_bytes(b"\xff\xfe")
    (home / f"{EVIL}.parquet").write_bytes(b"PAR1")
    (home / f"{EVIL}.gz").write_bytes(b"\x1f\x8b\x08\0")
    for command in (
        ("shuffle", f"no{EVIL}"),
        ("shuffle", f"no{EVIL}*"),
        ("shuffle", f"{EVIL}.parquet"),
        ("shuffle", f"{EVIL}.gz"),
        ("shuffle", f"s3://{EVIL}"),
        ("shuffle", EVIL, "--strategy", EVIL),
        ("shuffle", EVIL, "--seed", EVIL, "-o", "out"),
        ("shuffle", EVIL, "--where", f'"{EVIL}" = 1'),
        ("shuffle", EVIL, "-o", f"no{EVIL}/{EVIL}"),
        ("shuffle", ".", "--include", EVIL, "--exclude", EVIL),
        ("shuffle", ".", "-o", "out"),
        ("plan", EVIL, "-o", f"out{EVIL}", "--seed", EVIL),
        ("plan", EVIL, "-o", f"out{EVIL}", "--seed", EVIL, "--json"),
        ("ingest", EVIL, "u16"),
        ("query", EVIL, f"select '{EVIL}' from nothing"),
        (EVIL,),
        ("shuffle", f"--{EVIL}"),
    ):
        ran = cli(*command)
        shown = ran.err + (ran.out.decode() if command[0] == "plan" else "")
        assert ran.code != 1, shown
        assert not {c for c in shown if ord(c) < 32 or 127 <= ord(c) < 160} - {"\n"}, repr(shown)
        if ran.err and "--where" not in command and command[0] != "query":
            assert len(ran.err.splitlines()) <= 2, ran.err


def on_terminal(home, *args):
    """Return what a run shows on a terminal that is its stdout and stderr."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*DBSHUF, *args],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        cwd=home,
        env=child_environment(home),
    )
    os.close(theirs)
    shown = b""
    try:
        while more := os.read(ours, 1 << 16):
            shown += more
    except OSError:  # how Linux tells the end
        pass
    os.close(ours)
    assert process.wait() == 0, shown
    return shown.replace(b"\r\n", b"\n")


def test_lines_reach_a_terminal_as_cat_would_write_them(home):
    """They are data; a table for people is not, nor is the name of a file."""
    (home / EVIL).write_bytes(b"\x1b[31mred\x1b[0m\n\x07bell\n")
    shown = on_terminal(home, "shuffle", EVIL, "-q")
    assert sorted(shown.split(b"\n")) == [b"", b"\x07bell", b"\x1b[31mred\x1b[0m"]
    shown = on_terminal(home, "query", EVIL, "select line, source from lines", "-q")
    assert b"red" in shown
    assert b"\x1b" not in shown
    assert b"\x07" not in shown


def test_a_terminal_is_told_which_pipe_is_waited_for(cli, home):
    """It may be silent for hours; a log has no use for that."""
    os.mkfifo(home / EVIL)

    def feed():
        (home / EVIL).write_bytes(b"a\n")

    for command, says in (
        (("shuffle", EVIL), True),
        (("query", EVIL, "select line from lines"), True),
        (("shuffle", EVIL, "-q"), False),
    ):
        writer = threading.Thread(target=feed)
        writer.start()
        shown = on_terminal(home, *command)
        writer.join()
        assert (b"dbshuf: waiting for `x\\x1b[31m\\x0a\\x07\\x9by`" in shown) == says, shown
    writer = threading.Thread(target=feed)
    writer.start()
    assert "waiting" not in cli("shuffle", EVIL).err
    writer.join()
