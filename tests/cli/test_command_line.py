"""The command line: options reach the library, and every end has its words and its code.

The library is a stand-in here: these tests are about what happens around it.
"""

import dataclasses
import errno
import io
import json
import os
import pty
import resource
import signal
import subprocess
import sys
from types import ModuleType

import pytest
from stand_ins import LINE, STAND_INS, Ended, child, fail_with

import dbshuf.errors
from dbshuf.cli.commands import command_names
from dbshuf.cli.entry import run_command
from dbshuf.cli.options import PlanArguments
from dbshuf.cli.output_options import Printing, Report
from dbshuf.errors import DbshufError
from dbshuf.options import Options

LONG_OPTIONS = (
    *("--memory", "--seed", "--strategy", "--threads", "--header", "--binary", "--format"),
    *(
        "--engine",
        "--shards",
        "--shard-bytes",
        "--shard-rows",
        "--temp-dir",
        "--force",
        "--progress",
    ),
)
*_FIRST, _LAST = command_names()
COMMANDS = f"{', '.join(_FIRST)} and {_LAST}"


@pytest.fixture
def library(monkeypatch):
    """Put the stand-ins where the commands look, and signal handlers back afterwards."""
    stops = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in stops}
    for name in ("dbshuf.plan.make_plan", "dbshuf.pipeline.shuffle"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    names: dict[str, object] = {"__name__": "stand_ins"}
    monkeypatch.setitem(sys.modules, "stand_ins", ModuleType("stand_ins"))
    exec(STAND_INS, names)
    yield names
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def run(library, monkeypatch, capsys):
    """Return a function that runs one command line in this process."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["dbshuf", *arguments])
        code = run_command()
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture
def seen(library, monkeypatch):
    """Return the list of Options that commands ask plans for."""
    options: list[object] = []
    plan = sys.modules["dbshuf.plan.make_plan"]
    plan_of = plan.plan_of

    def record(given):
        options.append(given)
        return plan_of(given)

    monkeypatch.setattr(plan, "plan_of", record)
    return options


# --- start ---------------------------------------------------------------------------------


def test_help_is_there_before_a_reader_notices():
    """Under 0.3 s, counted in CPU time, as other tests may run beside this one."""
    command = [sys.executable, "-m", "dbshuf", "--help"]
    times_s = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times_s.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(times_s) < 0.3


def test_the_module_is_the_command():
    ended = subprocess.run(
        [sys.executable, "-m", "dbshuf", "--version"], capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("dbshuf ")
    assert ended.stderr == ""


def test_no_arguments_show_the_help(run):
    assert run() == run("--help")
    assert run().code == 0
    assert "shuffle" in run().out


@pytest.mark.parametrize("command", ["shuffle", "plan"])
def test_help_names_every_option(run, command):
    shown = run(command, "--help").out
    for name in ("-o, --output", "-z, --zero-terminated", "-q, --quiet", *LONG_OPTIONS):
        assert f"  {name} " in shown
    assert ("--json" in shown) == (command == "plan")
    assert "INPUTS are files, directories" in shown


# --- options -------------------------------------------------------------------------------


def test_every_option_is_one_of_the_library():
    """One that it does not know would end as a bug, at the user's."""
    told = {field.name for group in (Report, Printing) for field in dataclasses.fields(group)}
    ours = {field.name for field in dataclasses.fields(PlanArguments)} - told
    assert ours <= {field.name for field in dataclasses.fields(Options)}


@pytest.mark.parametrize("command", ["shuffle", "plan"])
def test_every_option_reaches_the_library(run, seen, command):
    ended = run(
        *(command, "a.txt", "-o", "out", "--memory", "1GB", "--seed", "-7", "-", "--strategy"),
        *("spill", "--threads", "3", "-z", "--header", "2", "--binary", "--format", "parquet"),
        *("--shards", "64", "--shard-bytes", "1GiB", "--shard-rows", "9", "--temp-dir", "/t"),
        *("--force", "--progress", "never", "--quiet", "b c", "--engine", "duckdb"),
    )
    assert (ended.code, ended.err) == (0, "")
    assert seen == [
        Options(
            inputs=("a.txt", "-", "b c"),
            output="out",
            memory="1GB",
            seed="-7",
            strategy="spill",
            threads=3,
            zero_terminated=True,
            header=2,
            binary=True,
            format="parquet",
            shards=64,
            shard_bytes="1GiB",
            shard_rows=9,
            temp_dir="/t",
            force=True,
        )
    ]


@pytest.mark.parametrize("command", ["shuffle", "plan"])
def test_without_options_the_library_decides(run, seen, command):
    assert run(command).code == 0
    assert seen == [Options()]


def test_a_name_that_is_no_utf8_reaches_the_library_as_it_is(run, seen):
    name = os.fsdecode(b"caf\xe9.txt")
    assert run("shuffle", "--", name, "-z").code == 0
    assert seen[0].inputs == (name, "-z")


# --- what is printed -----------------------------------------------------------------------


def test_the_end_is_one_line_on_stderr(run):
    assert run("shuffle", "a") == Ended(0, "", LINE)


def test_quiet_prints_nothing(run):
    assert run("shuffle", "a", "-q", "--progress", "always") == Ended(0, "", "")


def test_progress_json_ends_with_the_result(run):
    """Each line of stderr is an object; the last has what the library returned."""
    ended = run("shuffle", "a", "--progress", "json")
    events = [json.loads(line) for line in ended.err.splitlines()]
    assert [event["event"] for event in events] == ["stage", "stage_done", "done"]
    assert events[-1] == {
        "event": "done",
        "rows": 6802721,
        "text_bytes": 10**9,
        "seed": "42",
        "strategy": "partition",
        "elapsed_s": 2.1,
        "peak_rss_bytes": 402 * 10**6,
        "output": None,
        "order_version": 1,
        "tables": [],
        "unit": "line",
        "seen_rows": None,
        "asked_rows": None,
        "epochs": None,
    }


def test_progress_always_comes_before_the_last_line(run):
    lines = run("shuffle", "a", "--progress", "always").err.splitlines(keepends=True)
    assert lines[0].startswith("dbshuf: read: 100 bytes of 100 bytes, 100%")
    assert lines[1:] == [LINE]


@pytest.mark.parametrize("output", [[], ["-o", "-"], ["-o", "/dev/stdout"], ["-o", "out.txt"]])
def test_auto_keeps_progress_out_of_lines_on_the_same_terminal(run, monkeypatch, library, output):
    """Text to a terminal is fine, and stays readable."""
    modes = []
    monkeypatch.setattr(
        "dbshuf.cli.shuffle.open_progress", lambda mode, stream: modes.append(mode) or Silent()
    )
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run("shuffle", "a", *output).code == 0
    assert modes == (["auto"] if output == ["-o", "out.txt"] else ["never"])


class Silent:
    def stage(self, name, total_bytes):
        pass

    def advance(self, count):
        pass

    def close(self):
        pass


def test_plan_prints_the_plan_and_runs_nothing(run, monkeypatch):
    fail_with(monkeypatch, AssertionError("plan must not run"))
    assert run("plan", "a", "b") == Ended(0, "inputs: a b\n", "")


def test_plan_json_is_json(run):
    assert json.loads(run("plan", "a", "--json").out) == {"inputs": ["a"]}


def test_plan_prints_a_name_as_the_bytes_that_it_is():
    with child("", "plan", os.fsdecode(b"caf\xe9.txt"), text=False) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, b"inputs: caf\xe9.txt\n", b"")


# --- errors --------------------------------------------------------------------------------

ERRORS = sorted(DbshufError.__subclasses__(), key=lambda error: error.exit_code)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_each_error_of_a_user_has_its_code_and_two_lines(run, monkeypatch, kind):
    fail_with(monkeypatch, kind("`a.gz` broke at byte 7", hint="fetch it again"))
    ended = run("shuffle", "a.gz")
    assert ended.code == kind.exit_code
    assert ended.err == "dbshuf: error: `a.gz` broke at byte 7\nhint: fetch it again\n"


def test_exit_codes_tell_errors_apart():
    codes = [kind.exit_code for kind in ERRORS]
    assert codes == list(range(2, 2 + len(ERRORS)))


def test_an_error_without_hint_is_one_line_even_when_quiet(run, monkeypatch):
    fail_with(monkeypatch, dbshuf.errors.QueryInvalid("no such column"))
    assert run("shuffle", "a", "-q") == Ended(19, "", "dbshuf: error: no such column\n")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ("shuffle --threads x", "--threads `x` is no whole number", "as in --threads 4"),
        (
            "shuffle --threads 18446744073709551616",
            "--threads `18446744073709551616` is over 18,446,744,073,709,551,615",
            "as in --threads 4",
        ),
        ("shuffle --header -1", "--header `-1` is no whole number", "as in --header 4"),
        ("shuffle --epochs 1.5", "--epochs `1.5` is no whole number", "as in --epochs 4"),
        ("plan --shard-rows 1e3", "--shard-rows `1e3` is no whole number", "as in --shard-rows 4"),
        (
            "shuffle --shard-row 5",
            "no such option: --shard-row",
            "did you mean --shard-rows? see `dbshuf shuffle --help`",
        ),
        ("plan -x", "no such option: -x", "see `dbshuf plan --help`"),
        (
            "shuffle -n 5",
            "no such option: -n",
            "`dbshuf shuf` has shuf's options; its -n is --take here. see `dbshuf shuffle --help`",
        ),
        ("plan --memory", "option '--memory' requires an argument", "see `dbshuf plan --help`"),
        (
            "shuffle --progress loud",
            "invalid value for '--progress': 'loud' is not one of 'auto', 'always', 'never',"
            " 'json'",
            "see `dbshuf shuffle --help`",
        ),
        (
            "corpus.txt",
            "no such command 'corpus.txt'",
            f"the commands are {COMMANDS}; see `dbshuf --help`",
        ),
        ("shuffle --json", "no such option: --json", "see `dbshuf shuffle --help`"),
        (
            f"shuffle --{'x' * 9999}",
            f"no such option: --{'x' * 315} ... {'x' * 125}",
            "see `dbshuf shuffle --help`",
        ),
    ],
)
def test_a_wrong_command_line_is_told_like_any_error(run, arguments, message, hint):
    ended = run(*arguments.split())
    assert ended == Ended(2, "", f"dbshuf: error: {message}\nhint: {hint}\n")


@pytest.mark.parametrize("command", ["shuffle", "plan"])
def test_a_terminal_as_input_is_refused_instead_of_waited_for(command):
    """A forgotten file name must not look like a hang."""
    controller, terminal = pty.openpty()
    with child("", command, stdin=terminal) as process:
        out, err = process.communicate(timeout=30)
    os.close(terminal)
    os.close(controller)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("dbshuf: error: no inputs, and standard input is a terminal\nhint: name")


def test_closed_standard_streams_are_told(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert run("shuffle").err.startswith("dbshuf: error: standard input is closed\n")
    assert run("shuffle", "a", "-").code == 4
    assert run("shuffle", "a").code == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys, "stdout", None)
    assert run("shuffle", "a").err.startswith("dbshuf: error: standard output is closed\n")
    assert run("plan", "a").code == 15
    assert run("shuffle", "a", "-o", "out.txt").code == 0


def test_an_unexpected_exception_is_called_a_bug(run, monkeypatch):
    """One line with the place, and how to get the traceback."""
    monkeypatch.delenv("DBSHUF_DEBUG", raising=False)
    fail_with(monkeypatch, ZeroDivisionError("division\nby zero"))
    ended = run("shuffle", "a")
    assert ended.code == 1
    first, second = ended.err.splitlines()
    assert first.startswith("dbshuf: bug: ZeroDivisionError: division by zero (stand_ins.py:")
    assert second == "hint: set DBSHUF_DEBUG=1 for the traceback"


def test_debug_shows_the_traceback(run, monkeypatch):
    monkeypatch.setenv("DBSHUF_DEBUG", "1")
    fail_with(monkeypatch, ZeroDivisionError("division by zero"))
    ended = run("shuffle", "a")
    assert ended.code == 1
    assert ended.err.startswith("Traceback (most recent call last):\n")
    assert "dbshuf: bug: ZeroDivisionError" in ended.err
    assert "Traceback" not in run("--help").err


@pytest.mark.parametrize("arguments", [["plan", "a"], ["--help"], ["--version"]])
def test_a_full_disk_under_stdout_is_no_bug(arguments):
    with open("/dev/full", "w") as full, child("", *arguments, stdout=full) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 13
    assert err == f"dbshuf: error: output: {os.strerror(errno.ENOSPC)}\nhint: free some space\n"


def test_a_keyboard_interrupt_from_anywhere_is_130(run, monkeypatch):
    fail_with(monkeypatch, KeyboardInterrupt())
    assert run("shuffle", "a") == Ended(130, "", "dbshuf: stopped by SIGINT\n")


def test_progress_is_closed_before_an_error_is_told(run, monkeypatch):
    """The error does not share its line with the progress."""
    fail_with(monkeypatch, dbshuf.errors.NotUtf8("`a` at byte 3 is no UTF-8"))
    lines = run("shuffle", "a", "--progress", "always").err.splitlines()
    assert [line.split(":")[1] for line in lines] == [" read", " error"]
