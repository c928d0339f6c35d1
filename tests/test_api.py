"""The functions of the library, where the promise tests do not look."""

import atexit
import subprocess
import sys

import dbshuf

READ = """
import dbshuf, sys
with dbshuf.stream("in.txt", seed="1", memory="1GB") as reader:
    print(reader.read_all().num_rows, file=sys.stderr)
"""


def test_a_stream_needs_no_standard_output(tmp_path):
    """A service has closed it, and the lines go nowhere near it."""
    (tmp_path / "in.txt").write_bytes(b"b\na\n")
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", READ]
    ran = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"2\n")


def test_streams_leave_nothing_to_do_at_exit(tmp_path):
    """A stream an epoch, for weeks: the process must not grow by each."""
    (tmp_path / "in.txt").write_bytes(b"b\na\n")
    counts = []
    for _ in range(3):
        with dbshuf.stream(tmp_path / "in.txt", memory="2GB") as reader:
            assert reader.read_all().num_rows == 2
        counts.append(atexit._ncallbacks())
    assert len(set(counts)) == 1
