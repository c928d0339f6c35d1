"""The bar on a terminal: what it says, how it fits, and that nothing of it stays."""

import fcntl
import io
import os
import re
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest
from stand_ins import LINE, child

from dbshuf.base.progress import NO_PROGRESS
from dbshuf.cli.progress import JsonProgress, LineProgress, say
from dbshuf.cli.progress_bar import TerminalProgress, open_progress

ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")

# A run that is half done until a line comes from standard input.
HALF = """
def run(plan, progress):
    progress.stage({stage!r}, {total})
    progress.advance(500_000_000)
    progress.stage({stage!r}, {total})
    progress.advance(500_000_000)
    {then}
    return Result()
pipeline.run = run
"""
WAIT = "sys.stdin.readline()"


class Terminal(io.StringIO):
    """A stream that calls itself a terminal."""

    def isatty(self) -> bool:
        return True


def screen(written: str) -> list[str]:
    """Return the lines that an endless terminal shows after all that was written to it."""
    lines, row, column = [[]], 0, 0
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r|\n)", written):
        code = ESCAPE.fullmatch(part)
        if part == "\r":
            column = 0
        elif part == "\n":
            row, column = row + 1, 0
            lines += [[]] * (row == len(lines))
        elif code and code[2] == "A":
            row -= int(code[1])
        elif code and code[0] == "\x1b[2K":
            lines[row] = []
        elif not code and part:
            lines[row][column:] = [*part, *lines[row][column + len(part) :]]
            column += len(part)
    return ["".join(line).rstrip() for line in lines]


def is_cursor_shown(written: str) -> bool:
    return written.rfind("\x1b[?25h") >= written.rfind("\x1b[?25l")


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


class Window:
    """dbshuf with the stand-ins, its stderr a terminal of so many columns."""

    def __init__(self, *arguments, body="", columns=100, **environ):
        self._ours, theirs = os.openpty()
        self.resize(columns)
        env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
        self._shown: list[str] = []
        self.process = child(
            body,
            *arguments,
            stdin=subprocess.PIPE,
            stderr=theirs,
            env={**env, "TERM": "xterm-256color", **environ},
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        try:
            while data := os.read(self._ours, 4096):
                self._shown.append(data.decode("utf-8", "replace"))
        except OSError:  # as Linux has it when the other side is closed
            pass

    def resize(self, columns):
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    @property
    def written(self) -> str:
        return "".join(self._shown).replace("\r\n", "\n")

    def wait_for_line(self, pattern):
        wait_for(lambda: any(re.search(pattern, line) for line in screen(self.written)))
        return next(line for line in screen(self.written) if re.search(pattern, line))

    def end(self) -> int:
        """Let the run end; return its exit code."""
        self.process.stdin.close()
        code = self.process.wait(30)
        self._reader.join(30)
        os.close(self._ours)
        self.process.stdout.close()
        return code


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """A frame every 10 ms in this process, on a terminal that can do what most can."""
    monkeypatch.setattr(TerminalProgress, "every_s", 0.01)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(
    ("mode", "terminal", "environ", "kind"),
    [
        ("auto", True, {}, TerminalProgress),
        ("auto", True, {"NO_COLOR": ""}, TerminalProgress),
        ("auto", True, {"NO_COLOR": "1"}, LineProgress),
        ("auto", True, {"TERM": "dumb"}, LineProgress),
        ("auto", False, {}, type(NO_PROGRESS)),
        ("always", True, {}, TerminalProgress),
        ("always", True, {"TERM": "dumb"}, LineProgress),
        ("always", False, {}, LineProgress),
        ("never", True, {}, type(NO_PROGRESS)),
        ("json", True, {}, JsonProgress),
        ("json", False, {}, JsonProgress),
    ],
)
def test_the_mode_and_the_stream_decide_the_form(mode, terminal, environ, kind, monkeypatch):
    """A log file gets no bar, nor does a terminal that asks for none; `never` is silent."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert type(open_progress(mode, Terminal() if terminal else io.StringIO())) is kind


def test_a_closed_stderr_gets_nothing():
    assert open_progress("always", None) is NO_PROGRESS


@pytest.mark.parametrize("command", [["shuffle", "a", "-o", "x"], ["shuffle", "a"]])
def test_the_bar_says_stage_share_amount_rate_and_what_is_left(command):
    """And is gone at the end: what stays is the summary alone. Lines go to a pipe here."""
    window = Window(*command, body=HALF.format(stage="partition", total=10**9, then=WAIT))
    line = window.wait_for_line("partition")
    assert re.fullmatch(
        r"partition ━+[╸╺ ]━+ 50% 500 MB of 1 GB [0-9.]+ [kMGT]B/s ETA [0-9:]+", line
    )
    assert window.end() == 0
    assert screen(window.written) == [LINE.rstrip(), ""]
    assert is_cursor_shown(window.written)


def test_the_bar_is_as_wide_as_the_window_is_now():
    """The bar takes what the words leave; a narrow window gets fewer words, and one line."""
    window = Window("shuffle", "a", body=HALF.format(stage="partition", total=10**9, then=WAIT))
    for columns in (100, 160, 40, 12, 1):
        window.resize(columns)
        window.process.send_signal(signal.SIGWINCH)
        width = max(columns - 1, 1)
        whole = {12: "partition", 1: "p"}.get(columns, f"partition .{{{width - 10}}}")
        window.wait_for_line(f"^{whole}$")
    assert window.end() == 0
    assert screen(window.written)[0] == LINE.rstrip()


def test_a_total_that_is_unknown_has_a_bar_without_a_share():
    window = Window("shuffle", "a", body=HALF.format(stage="read", total=None, then=WAIT))
    line = window.wait_for_line("read")
    assert re.fullmatch(r"read ━+ 500 MB [0-9.]+ [kMGT]B/s elapsed 0:0\d", line)
    assert window.end() == 0


def test_a_stage_is_written_as_it_is_named():
    """Names are no markup and no format."""
    name = "[red]{task.total}[/] [/b]"
    window = Window("shuffle", "a", body=HALF.format(stage=name, total=9, then=WAIT))
    assert window.wait_for_line(re.escape(name)).startswith(name)
    assert window.end() == 0


def test_a_stream_without_its_characters_gets_a_bar_of_others():
    body = HALF.format(stage="read", total=10**9, then=WAIT)
    window = Window("shuffle", "a", body=body, PYTHONIOENCODING="ascii")
    assert re.match(r"read -+ -+ 50%", window.wait_for_line("read"))
    assert window.end() == 0


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "unknown"}])
def test_a_plain_terminal_gets_plain_lines(environ):
    body = HALF.format(stage="read", total=10**9, then=WAIT)
    window = Window("shuffle", "a", body=body, **environ)
    window.wait_for_line("dbshuf: read: 500 MB of 1 GB, 50%, ")
    assert window.end() == 0
    assert "\x1b" not in window.written
    assert "\r" not in window.written
    assert window.written.endswith(LINE)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_stop_takes_the_bar_away_and_says_so_on_a_line_of_its_own(name):
    body = HALF.format(stage="read", total=10**9, then="import time; time.sleep(60)")
    window = Window("shuffle", "a", body=body)
    window.wait_for_line("read")
    window.process.send_signal(signal.Signals[name])
    assert window.end() == 128 + signal.Signals[name]
    assert screen(window.written) == [f"dbshuf: stopped by {name}", ""]
    assert is_cursor_shown(window.written)


def test_an_error_takes_the_bar_away():
    body = HALF.format(stage="read", total=10**9, then=f"{WAIT}; 1 / 0")
    window = Window("shuffle", "a", body=body)
    window.wait_for_line("read")
    assert window.end() == 1
    assert screen(window.written)[0].startswith("dbshuf: bug: ZeroDivisionError")
    assert is_cursor_shown(window.written)


def test_what_is_said_stands_above_the_bar():
    """However long; and neither tears the other."""
    words = "x [b]long[/b] message\t" * 20
    then = f"from dbshuf.cli.progress import say; {WAIT}; say({words!r}); {WAIT}"
    window = Window("shuffle", "a", body=HALF.format(stage="read", total=10**9, then=then))
    window.wait_for_line("^read")
    window.process.stdin.write("\n")
    window.process.stdin.flush()
    window.wait_for_line("long")
    before = len(window.written)
    wait_for(lambda: len(window.written) > before)
    said = "x [b]long[/b] message\\x09" * 20
    assert screen(window.written)[0] == said
    assert screen(window.written)[1].startswith("read ━")
    assert window.end() == 0
    assert screen(window.written) == [said, LINE.rstrip(), ""]


def test_a_run_shorter_than_a_frame_leaves_the_terminal_alone():
    """A small file does not make the line flash, and does not wait for what draws it."""
    body = """
    import atexit
    atexit.register(lambda: print([name for name in sys.modules if name.startswith("rich")]))
    """
    window = Window("shuffle", "a", "-o", "out.txt", body=body)
    out = window.process.stdout.read()
    assert window.end() == 0
    assert (out, window.written) == ("[]\n", LINE)


def test_a_broken_terminal_does_not_break_the_run():
    class Broken(Terminal):
        def write(self, text: str) -> int:
            raise OSError(5, "gone")

    progress = TerminalProgress(Broken())
    progress.stage("read", 10)
    progress.advance(10)
    wait_for(lambda: not progress._thread.is_alive())
    progress.stage("write", 10)
    say("still works")
    progress.close()


def test_a_terminal_that_stopped_does_not_hold_up_the_work(monkeypatch):
    """Ctrl-S halts the display, not the run; when it goes on, the cursor comes back."""
    entered, released = threading.Event(), threading.Event()

    class Stuck(Terminal):
        def write(self, text: str) -> int:
            entered.set()
            released.wait(30)
            return super().write(text)

    monkeypatch.setattr("dbshuf.cli.progress._JOIN_S", 0.05)
    stream = Stuck()
    progress = TerminalProgress(stream)
    progress.stage("read", 10)
    assert entered.wait(10)
    began_s = time.monotonic()
    progress.advance(10)
    progress.stage("write", 10)
    progress.close()
    assert time.monotonic() - began_s < 5
    released.set()
    wait_for(lambda: is_cursor_shown(stream.getvalue()))


def test_closing_ends_the_thread_and_may_be_repeated():
    before = set(threading.enumerate())
    stream = Terminal()
    progress = TerminalProgress(stream)
    progress.close()
    progress.stage("read", 1)
    wait_for(stream.getvalue)
    progress.close()
    written = stream.getvalue()
    progress.close()
    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended
    assert stream.getvalue() == written
    assert screen(written) == ["", ""] or screen(written) == [""]
