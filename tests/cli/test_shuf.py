"""The words of GNU shuf: options, messages, exit codes. What it writes is in tests/shuf/."""

import os
import pty
import signal
import subprocess
import sys

import pytest
from shuf_call import call

import dbshuf

MAIN = "import sys; sys.argv[0] = 'bin/shuf'; from dbshuf.cli.shuf import main; main()"
LOADED = """
import sys
known = set(sys.modules)
from dbshuf.cli.shuf import shuf
for arguments in (["-e", "a", "b"], ["-i", "1-99"], ["-rn9", "-i", "0-7"], ["-n3", sys.argv[1]]):
    assert shuf(arguments, "shuf") == 0
print("loaded", *set(sys.modules) - known)
"""


@pytest.fixture(autouse=True)
def plain_quotes(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")


def told(*arguments: object) -> str:
    """Return the first line that a command line is refused with, without the name."""
    found = call(*arguments)
    assert (found.code, found.out) == (1, b"")
    first, *more = found.err.splitlines()
    assert more in ([], ["Try 'shuf --help' for more information."])
    assert first.startswith("shuf: ")
    return first[6:] + " ?" * len(more)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("-i A", "invalid input range: 'A'"),
        ("-i 1", "invalid input range: '1'"),
        ("-i 1-", "invalid input range: ''"),
        ("-i 1-A", "invalid input range: 'A'"),
        ("-i 5-3", "invalid input range: '5-3'"),
        ("-i 1--3", "invalid input range: '-3'"),
        (
            f"-i 0-{2**64}",
            f"invalid input range: '{2**64}': Value too large for defined data type",
        ),
        ("-i 1-2 -i 1-2", "multiple -i options specified"),
        ("-n A", "invalid line count: 'A'"),
        ("-n -1", "invalid line count: '-1'"),
        ("-n 1k", "invalid line count: '1k'"),
        ("-o A -o B -i 1-2", "multiple output files specified"),
        ("--random-source A --random-source B -i 1-2", "multiple random sources specified"),
        ("--seed A --random-seed B -i 1-2", "multiple random seeds specified"),
        ("-e -i 1-2", "cannot combine -e and -i options ?"),
        ("-i 1-2 x y", "extra operand 'x' ?"),
        ("a b c", "extra operand 'b' ?"),
        ("-x", "invalid option -- 'x' ?"),
        ("-rx", "invalid option -- 'x' ?"),
        ("--bogus=1", "unrecognized option '--bogus' ?"),
        ("--r", "option '--r' is ambiguous; possibilities: '--random-source' '--repeat' ?"),
        ("-n", "option requires an argument -- 'n' ?"),
        ("--output", "option '--output' requires an argument ?"),
        ("--echo=3", "option '--echo' doesn't allow an argument ?"),
        ("-re", "no lines to repeat"),
        ("-ri4-3", "no lines to repeat"),
        ("-r /dev/null", "no lines to repeat"),
        ("/nowhere/x", "/nowhere/x: No such file or directory"),
        ("/", "read error: Is a directory"),
    ],
)
def test_what_is_wrong_is_said_as_gnu_says_it(arguments, words):
    assert told(*arguments.split()) == words


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ("-e a b c", b"a b c"),
        ("a b c -e", b"a b c"),
        ("-e a -e b --echo", b"a b"),
        ("-e -- -n --", b"-- -n"),
        ("-e - ", b"-"),
        ("-e", b""),
        ("-i 7-9", b"7 8 9"),
        ("-i+7-+9", b"7 8 9"),
        ("--inp=7-9", b"7 8 9"),
        ("--input-range 7-9 --zero --zero", b"7 8 9"),
        ("-zi7-9", b"7 8 9"),
        ("-i5-4", b""),
        ("-n99999999999999999999999 -i1-2", b"1 2"),
        ("-n4294967296 -e a", b"a"),
        ("-n0 /nowhere/x", b""),
        ("-n9 -n0 -re", b""),
        ("--head=0 -i 1-9", b""),
        ("--ran=/dev/zero -e a", b"a"),
        ("--random-s=/dev/zero -e a", b"a"),
        ("-o - -n0", b""),
    ],
)
def test_options_may_stand_anywhere_and_be_short(arguments, lines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = call(*arguments.split())
    assert (found.code, found.err) == (0, "")
    assert sorted(found.out.replace(b"\0", b"\n").split()) == lines.split()
    assert found.out.count(b"\0") == (3 if "z" in arguments and "7" in arguments else 0)


def test_of_several_counts_the_smallest_counts():
    assert len(call("-n10", "-i0-9", "-n3", "-n20").lines) == 3
    assert len(call("-r", "-n3", "-i5-5").lines) == 3


def test_a_posix_shell_may_ask_for_options_first(monkeypatch):
    monkeypatch.setenv("POSIXLY_CORRECT", "")
    assert sorted(call("-e", "a", "-n1").lines) == [b"-n1", b"a"]


def test_bytes_of_arguments_leave_as_they_came():
    found = call("-e", b"\xff\xfe", "two\nlines", "")
    assert sorted(found.out.split(b"\n")) == [b"", b"", b"lines", b"two", b"\xff\xfe"]


@pytest.mark.parametrize(
    ("name", "as_value", "as_file"),
    [
        ("a b", "'a b'", "'a b'"),
        ("a'b", r"'a\'b'", '"a\'b"'),
        ("a'b$", r"'a\'b$'", r"'a'\''b$'"),
        ("a\nb", r"'a\nb'", r"'a'$'\n''b'"),
        (b"\xff", r"'\377'", r"''$'\377'"),
        ("a\\b", r"'a\\b'", r"'a\b'"),
        ("", "''", "''"),
        ("a~#-", "'a~#-'", "a~#-"),
        ("~", "'~'", "'~'"),
    ],
)
def test_names_are_quoted_as_a_shell_could_read_them(name, as_value, as_file):
    assert told("-n", name) == f"invalid line count: {as_value}"
    assert told(name) == f"{as_file}: No such file or directory"


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({"LC_ALL": "C.UTF-8"}, "‘é’"),
        ({"LANG": "de_DE.utf8@euro"}, "‘é’"),
        ({"LANG": "de_DE.ISO-8859-1"}, r"'\303\251'"),
        ({"LC_CTYPE": "C.UTF-8", "LANG": "C"}, r"'\303\251'"),  # set by Python itself
        ({}, r"'\303\251'"),
    ],
)
def test_quotation_marks_are_those_of_the_locale(variables, shown, monkeypatch):
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert told("-n", "é".encode()) == f"invalid line count: {shown}"


def test_help_and_version_go_to_standard_output():
    for found in (call("--help"), call("-e", "--hel", "--bogus")):
        assert (found.code, found.err) == (0, "")
        for option in ("-e, --echo", "--random-source=FILE", "--random-seed=STRING", "--version"):
            assert option.encode() in found.out
    assert call("--version", name="mine").out.decode() == f"mine (dbshuf) {dbshuf.__version__}\n"


def test_it_is_a_command_of_dbshuf(cli):
    """`dbshuf shuf` reads standard input, and is GNU shuf in its words too."""
    ran = cli("shuf", "-n1", stdin=b"one\none\n")
    assert (ran.code, ran.out, ran.err) == (0, b"one\n", "")
    ran = cli("shuf", "a", "b")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "shuf: extra operand 'b'")
    assert b"shuf " in cli("--help").out


def test_it_is_called_by_the_name_of_a_link():
    ran = subprocess.run([sys.executable, "-c", MAIN, "-i1"], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, b"shuf: invalid input range: '1'\n")


def test_it_goes_on_for_ever_and_ends_quietly_with_its_reader():
    """`shuf -r f | head` is no error."""
    child = subprocess.Popen(
        [sys.executable, "-c", MAIN, "-r", "-e", "a", "b"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert {child.stdout.readline() for _ in range(100_000)} == {b"a\n", b"b\n"}
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(timeout=60) == -signal.SIGPIPE


def test_a_terminal_ends_the_input_once():
    """One Ctrl-D is enough."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", MAIN], stdin=theirs, stdout=subprocess.PIPE, start_new_session=True
    )
    with child:
        os.close(theirs)
        os.write(ours, b"line\n\x04")
        assert child.communicate(timeout=60)[0] == b"line\n"
    os.close(ours)


def test_closed_streams_are_no_bug():
    """As GNU shuf: `>&-` is a write error, `<&-` a read error where it would be read."""
    for redirection, arguments, code, words in (
        (">&-", "-e a", 1, "shuf: write error: Bad file descriptor\n"),
        ("<&-", "", 1, "shuf: read error: Bad file descriptor\n"),
        ("<&-", "/dev/null", 0, ""),
        ("2>&-", "-i 1", 1, ""),
    ):
        line = f'"$0" -c "$1" {arguments} {redirection}'
        ran = subprocess.run(
            ["sh", "-c", line, sys.executable, MAIN], capture_output=True, text=True, check=False
        )
        assert (ran.returncode, ran.stderr) == (code, words)


def test_nothing_large_is_loaded_for_little(tmp_path):
    """Python starts in 0.02 s, numpy in 0.1."""
    (tmp_path / "in").write_bytes(b"a\nb\nc\n")
    ran = subprocess.run(
        [sys.executable, "-c", LOADED, os.fspath(tmp_path / "in")],
        capture_output=True,
        text=True,
        check=True,
    )
    names = set(ran.stdout.splitlines()[-1].split())
    assert "dbshuf.shuf.run" in names
    assert not names & {"numpy", "pyarrow", "duckdb", "typer", "dataclasses", "typing", "re"}
