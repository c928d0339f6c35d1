"""How a run begins and ends: signals, exit codes, and the words for every error."""

import errno
import os
import signal
import sys
from types import FrameType

from dbshuf.base.commit import tell_at_commit
from dbshuf.base.messages import printable
from dbshuf.cli.plain_line import plain_call
from dbshuf.cli.progress import say
from dbshuf.cli.streams import drop_stdout, let_stderr_go, settle_streams
from dbshuf.errors import (
    DbshufError,
    MemoryRefused,
    OutputSpaceShort,
    QueryFailed,
    QueryInvalid,
)

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU)


_SOON_S = 0.01


class Stopped(KeyboardInterrupt):
    """A signal asked the run to end."""


class StopSignals:
    """The first signal that asks for an end raises in the main thread; later ones are ignored.

    SIGQUIT (Ctrl-\\) and SIGXCPU (`ulimit -t`) would else leave temporary data, and a core.
    `received` keeps the number even if an engine wraps the exception in its own. A signal
    that is ignored from outside (nohup, a background job of a script) stays ignored.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._numbers: list[int] = []

    def catch(self) -> None:
        for number in _STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)
                self._numbers.append(number)
        tell_at_commit(self._let_finish)

    def answer(self, action: signal.Handlers) -> None:
        for number in self._numbers:
            signal.signal(number, action)

    def _let_finish(self) -> None:
        """Ignore from here on what asks for an end: it is too late for that."""
        for number in self._numbers:
            if signal.getsignal(number) == self._stop:  # and not another's, who took it over
                signal.signal(number, signal.SIG_IGN)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if _is_swallowed(frame):
            signal.signal(signal.SIGALRM, lambda _, later: self._stop(number, later))
            signal.setitimer(signal.ITIMER_REAL, _SOON_S)
            return
        self.answer(signal.SIG_IGN)
        self.received = number
        raise Stopped(number)


def _is_swallowed(frame: FrameType | None) -> bool:
    """Whether what is raised here goes nowhere: imports have a callback of a weak reference."""
    code = None if frame is None else frame.f_code
    return code is not None and code.co_name == "cb" and "importlib" in code.co_filename


def run_command() -> int:
    """Run the command line of this process; return its exit code, which is picked here alone."""
    signals = StopSignals()
    arguments = sys.argv[1:] or ["--help"]
    try:
        signals.catch()
        settle_streams()
        call = plain_call(arguments)
        if call is None or "_DBSHUF_COMPLETE" in os.environ:  # a shell asks
            from dbshuf.cli.app import run_line

            code = run_line(arguments)
        else:
            call()
            code = 0
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as error:
        signals.answer(signal.SIG_IGN)
        code = _exit_code(error, signals.received)
    let_stderr_go()
    signals.answer(signal.SIG_DFL)
    return code


def _exit_code(error: BaseException, received: int | None) -> int:
    """Tell the user why the run ended and return the exit code for it."""
    if os.environ.get("DBSHUF_DEBUG") and not isinstance(error, SystemExit):
        import traceback

        say("".join(traceback.format_exception(error)).rstrip())
    if received is None and isinstance(error, KeyboardInterrupt):
        received = signal.SIGINT
    if received is not None:
        say(f"dbshuf: stopped by {signal.Signals(received).name}")
        return 128 + received
    if isinstance(error, SystemExit):  # typer's end of what it does for a shell
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, BrokenPipeError):
        drop_stdout()
        return 0
    if (number := _errno(error)) in {errno.ENOSPC, errno.EDQUOT}:
        drop_stdout()
        error = OutputSpaceShort(f"output: {os.strerror(number)}", hint="free some space")
    if isinstance(error, MemoryError) or _errno(error) == errno.ENOMEM or _is_threadless(error):
        error = MemoryRefused(
            f"the system gives this process no more memory: {_one_line(error)}",
            hint="raise its limit (ulimit -v, a container's), or pass a smaller --memory",
        )
    if isinstance(error, DbshufError):
        # SQL is shown with a mark below the place, and what it quotes is escaped already.
        is_one_line = not isinstance(error, (QueryInvalid, QueryFailed))
        say(f"dbshuf: error: {printable(error.message, is_one_line=is_one_line)}")
        if error.hint:
            say(f"hint: {printable(error.hint)}")
        return error.exit_code
    say(f"dbshuf: bug: {_one_line(error)}", "hint: set DBSHUF_DEBUG=1 for the traceback")
    return 1


def _errno(error: BaseException) -> int:
    """Return the system's number of an error, 0 where it has none."""
    return (error.errno or 0) if isinstance(error, OSError) else 0


def _is_threadless(error: BaseException) -> bool:
    """Whether a thread had no room for its stack; Python says so in words alone."""
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


def _one_line(error: BaseException) -> str:
    """Return what `error` is, what it says and where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = ""
    if trace is not None:
        where = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ") + where
