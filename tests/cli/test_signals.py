"""The command line and the world around it: closed pipes, terminals, signals."""

import os
import signal
import subprocess
import sys
import time

import pytest
from stand_ins import LINE, child

ENDLESS = """
def run(plan, progress):
    while True:
        sys.stdout.buffer.write(b"line\\n" * 1000)
pipeline.run = run
"""

# Works until it is stopped, then takes a while to clean up.
SLOW = """
import time
def run(plan, progress):
    try:
        print("working", file=sys.stderr, flush=True)
        time.sleep({work_s})
    except BaseException as error:
        print("cleaning", file=sys.stderr, flush=True)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            time.sleep(0.01)
        print("clean", file=sys.stderr, flush=True)
        {then}
    return Result()
pipeline.run = run
"""


def test_a_reader_that_leaves_early_ends_the_run_quietly():
    """`dbshuf shuffle a | head` is no error."""
    with child(ENDLESS, "shuffle", "a") as process:
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 0


@pytest.mark.parametrize("arguments", [["plan", "a"], ["--help"], ["--version"]])
def test_nobody_reading_what_is_printed_is_no_error(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    with child("", *arguments, stdout=writer) as process:
        os.close(writer)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("then", ["raise", "raise RuntimeError('Query interrupted') from error"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_stop_cleans_up_once_and_has_its_code(name, then):
    """Impatience (three more signals) does not interrupt the clean-up.

    DuckDB turns an exception of a signal handler into a RuntimeError: same end.
    """
    number = signal.Signals[name]
    with child(SLOW.format(work_s=60, then=then), "shuffle", "a") as process:
        assert process.stderr.readline() == "working\n"
        process.send_signal(number)
        assert process.stderr.readline() == "cleaning\n"
        for again in (number, signal.SIGINT, signal.SIGTERM):
            process.send_signal(again)
        assert process.stderr.read() == f"clean\ndbshuf: stopped by {name}\n"
        assert process.wait(30) == 128 + number


def test_a_signal_that_is_ignored_from_outside_stays_ignored():
    """`nohup dbshuf ...` survives the terminal."""
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    with child(ignore + SLOW.format(work_s=0.5, then="raise"), "shuffle", "a") as process:
        assert process.stderr.readline() == "working\n"
        process.send_signal(signal.SIGHUP)
        assert process.stderr.read() == LINE
        assert process.wait(30) == 0


def test_an_interrupt_ends_a_run_that_waits_for_a_silent_pipe(tmp_path):
    """The producer hangs, the user presses Ctrl-C: the prompt comes back, nothing is left."""
    line = ["shuffle", "-o", "out.txt", "--memory", "400MB"]
    command = [sys.executable, "-m", "dbshuf", *line]
    streams = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **streams) as process:
        process.stdin.write(b"line\n" * 200_000)
        process.stdin.flush()
        end_s = time.monotonic() + 30
        while not os.listdir(tmp_path) and time.monotonic() < end_s:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert os.listdir(tmp_path) == []


SWALLOWED = """
import os, time, weakref
from dbshuf.cli.entry import Stopped, StopSignals
text = "def cb(gone): os.kill(os.getpid(), 15); [None for _ in range(1000)]"
exec(compile(text, "<frozen importlib._bootstrap>", "exec"))  # as an import's callback is named
class Lock: pass
signals, lock = StopSignals(), Lock()
signals.catch()
watched = weakref.ref(lock, cb)
try:
    del lock
    time.sleep(5)
except Stopped:
    print("stopped by", signals.received)
"""


def test_a_signal_in_the_midst_of_an_import_is_not_lost():
    """Python ignores what is raised in a weak reference's callback, and imports have one."""
    ran = subprocess.run(
        [sys.executable, "-c", SWALLOWED], check=False, capture_output=True, text=True, timeout=60
    )
    assert (ran.stdout, ran.stderr) == ("stopped by 15\n", "")
