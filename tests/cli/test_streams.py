"""The command line with standard streams that are closed, full or the wrong way round."""

import subprocess
import sys

import pytest

LINES = b"b\na\nc\n"
DBSHUF = f"{sys.executable} -m dbshuf"


@pytest.fixture
def shell(tmp_path):
    """Run one line of sh, with DBSHUF for the command and a file in.txt at hand."""
    (tmp_path / "in.txt").write_bytes(LINES)

    def run(line: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["sh", "-c", line.replace("DBSHUF", DBSHUF)],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("DBSHUF shuffle in.txt >&-", "standard output is closed"),
        ("DBSHUF shuffle in.txt 1<in.txt", "standard output is closed"),
        ("DBSHUF plan in.txt >&-", "standard output is closed"),
        ("DBSHUF plan in.txt -o out.txt 1<in.txt", "standard output is closed"),
        ("DBSHUF shuffle in.txt -o /dev/stdout >&-", "standard output is closed"),
        ("DBSHUF shuffle in.txt -o /dev/stdout 1<in.txt", "standard output is closed"),
        ("DBSHUF shuffle in.txt -o /dev/stderr 2>&-", ""),
        ("DBSHUF shuffle in.txt -o /dev/fd/3 3<in.txt", "`/dev/fd/3` is not open for writing"),
        ("DBSHUF shuffle in.txt -o /dev/fd/3 3>&-", "`/dev/fd/3` is "),  # or libffi has it
    ],
)
def test_an_output_that_takes_no_bytes_is_refused_at_once(line, words, shell):
    ran = shell(line)
    assert (ran.returncode, ran.stdout) == (15, b"")
    assert ran.stderr.decode().startswith("dbshuf: error: " if words else "")
    assert words in ran.stderr.decode()


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_run_into_a_file_needs_no_standard_stream(streams, shell, tmp_path):
    """As from a daemon; a stream that is gone changes nothing about the run."""
    ran = shell(f"DBSHUF shuffle in.txt --seed 1 -o out.txt {streams}")
    assert (ran.returncode, ran.stdout) == (0, b"")
    assert sorted((tmp_path / "out.txt").read_bytes()) == sorted(LINES)


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_an_exit_code_needs_no_stderr(streams, shell):
    """A script asks for the code and reads nothing."""
    assert shell(f"DBSHUF shuffle missing.txt -o out.txt {streams}").returncode == 3


@pytest.mark.parametrize("arguments", ["--help", "--version", "shuffle --help"])
@pytest.mark.parametrize("streams", [">&-", "1<in.txt"])
def test_help_for_nobody_is_no_error(arguments, streams, shell):
    ran = shell(f"DBSHUF {arguments} {streams}")
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
    """Else the output has number 2, and in it what an engine prints to stderr."""
    code = (
        "import os, sys; from dbshuf.cli.streams import settle_streams; settle_streams()\n"
        "fd = os.open('report', os.O_WRONLY | os.O_CREAT)\n"
        "os.write(fd, repr((fd, sys.stdin, sys.stdout, sys.stderr)).encode())\n"
        "os.write(2, b'for nobody')"
    )
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 1
    assert (tmp_path / "report").read_text() == "(3, None, None, None)"
