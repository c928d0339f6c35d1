"""`dbshuf shuf`, `dbshuf-shuf`, or a link to it named `shuf`: GNU shuf's options and words."""

import contextlib
import errno
import gc
import os
import signal
import sys
from collections.abc import Sequence

import dbshuf
from dbshuf.cli.getopt import Misused, Option, parsed
from dbshuf.cli.quoting import file_name, quoted
from dbshuf.errors import DbshufError, ShufFailed
from dbshuf.shuf import run
from dbshuf.shuf.output import open_output
from dbshuf.shuf.seeds import Chance, ChanceOfFile, drawn_chance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_LARGEST = (1 << 64) - 1  # of a range, and of GNU's counts

_OPTIONS = (
    Option("e", "echo"),
    Option("i", "input-range", takes=True),
    Option("n", "head-count", takes=True),
    Option("o", "output", takes=True),
    Option("", "random-source", takes=True),
    Option("r", "repeat"),
    Option("z", "zero-terminated"),
    Option("", "help"),
    Option("", "version"),
    Option("", "random-seed", takes=True, is_own=True),
    Option("", "seed", takes=True, is_own=True),
)

_HELP = """\
Usage: {0} [OPTION]... [FILE]
  or:  {0} -e [OPTION]... [ARG]...
  or:  {0} -i LO-HI [OPTION]...
Write a random permutation of the input lines to standard output.

With no FILE, or when FILE is -, read standard input.

Mandatory arguments to long options are mandatory for short options too.
  -e, --echo                treat each ARG as an input line
  -i, --input-range=LO-HI   treat each number LO through HI as an input line
  -n, --head-count=COUNT    output at most COUNT lines
  -o, --output=FILE         write result to FILE instead of standard output
      --random-seed=STRING  the same STRING gives the same order, which is that of
                              dbshuf shuffle --seed STRING; --seed is the same
      --random-source=FILE  get random bytes from FILE
  -r, --repeat              output lines can be repeated
  -z, --zero-terminated     line delimiter is NUL, not newline
      --help                display this help and exit
      --version             output version information and exit

Lines that do not fit in memory are shuffled in temporary files, see $TMPDIR.
"""


class Stopped(BaseException):
    """A signal ends the run; what is temporary is gone by the time that this is seen."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Request:
    """What a command line asks for.

    limits  low and high of -i
    """

    def __init__(self) -> None:
        self.operands: list[str] = []
        self.is_echo = False
        self.limits: tuple[int, int] | None = None
        self.count: int | None = None
        self.output: str | None = None
        self.source: str | None = None
        self.seed: str | None = None
        self.repeat = False
        self.terminator = b"\n"
        self.shows: str | None = None  # "help" or "version"


def main() -> "NoReturn":
    """Run the command of this process by its own name, and end it."""
    end(sys.argv[1:], os.path.basename(sys.argv[0]))


def end(arguments: Sequence[str], name: str) -> "NoReturn":
    """Run the command, and end the process as GNU shuf would.

    name  of the program, as its messages begin
    """
    gc.disable()  # lists of lines have no cycles
    # Nothing multiplies matrices here, and threads that find no addresses say so on stderr.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _catch_signals()
    try:
        code = shuf(arguments, name)
    except Stopped as stopped:
        signal.signal(stopped.number, signal.SIG_DFL)
        os.kill(os.getpid(), stopped.number)
    if "numpy" in sys.modules:  # then libraries may have something to put away
        import atexit

        atexit._run_exitfuncs()
    os._exit(code)


def _catch_signals() -> None:
    """Let signals raise Stopped, so that temporary data and a file half made can go.

    One that is ignored from outside (nohup, a background job) stays ignored.
    """

    def stop(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Stopped(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def shuf(arguments: Sequence[str], name: str) -> int:
    """Do what a command line asks for; return the exit code."""
    try:
        request = request_of(arguments)
        if request.shows is not None:
            text = _HELP.format(name) if request.shows == "help" else _version(name)
            _write(lambda output: output.write(text.encode()), Request())  # not where -o says
        else:
            _run(request)
    except (ShufFailed, DbshufError) as error:
        _say(f"{name}: {error}")
        if isinstance(error, Misused):
            _say(f"Try '{name} --help' for more information.")
        if isinstance(error, DbshufError) and error.hint:
            _say(f"hint: {error.hint}")
        return 1
    except (MemoryError, ImportError, RuntimeError) as error:
        if not _is_memory_short(error):
            raise
        _say(f"{name}: memory exhausted")
        return 1
    return 0


def _is_memory_short(error: Exception) -> bool:
    """Whether the system gives no memory, be it to a library or a thread."""
    signs = ("failed to map segment", "cannot allocate memory", "can't start new thread")
    found: BaseException | None = error
    while found is not None:  # numpy says something else, and this as the cause
        if isinstance(found, MemoryError) or any(sign in str(found).lower() for sign in signs):
            return True
        found = found.__cause__
    return False


def _version(name: str) -> str:
    return f"{name} (dbshuf) {dbshuf.__version__}\n"


def _say(line: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            os.write(2, os.fsencode(line + "\n"))


def request_of(arguments: Sequence[str]) -> Request:
    """Return what a command line asks for; raises ShufFailed."""
    request = Request()
    for name, value in parsed(arguments, _OPTIONS, request.operands):
        if name in ("help", "version"):
            request.shows = name
            return request
        _take(request, name, value)
    if request.is_echo and request.limits is not None:
        raise Misused("cannot combine -e and -i options")
    most = len(request.operands) if request.is_echo else int(request.limits is None)
    if len(request.operands) > most:
        raise Misused(f"extra operand {quoted(request.operands[most])}")
    if request.source is not None and request.seed is not None:
        raise Misused("cannot combine --random-source and --random-seed options")
    return request


def _take(request: Request, name: str, value: str) -> None:
    if name == "echo":
        request.is_echo = True
    elif name == "repeat":
        request.repeat = True
    elif name == "zero-terminated":
        request.terminator = b"\0"
    elif name == "input-range":
        if request.limits is not None:
            raise ShufFailed("multiple -i options specified")
        request.limits = _limits(value)
    elif name == "head-count":
        count = _number(value)
        if count is None:
            raise ShufFailed(f"invalid line count: {quoted(value)}")
        if count <= _LARGEST:
            request.count = count if request.count is None else min(count, request.count)
    elif name == "output":
        request.output = _same(request.output, value, "output files")
    elif name == "random-source":
        request.source = _same(request.source, value, "random sources")
    else:
        request.seed = _same(request.seed, value, "random seeds")


def _same(old: str | None, new: str, what: str) -> str:
    if old not in (None, new):
        raise ShufFailed(f"multiple {what} specified")
    return new


def _limits(value: str) -> tuple[int, int]:
    """Return the numbers that -i names."""
    low, is_range, high = value.partition("-")
    numbers = []
    for text in (low, high) if is_range else (low,):
        number = _number(text)
        if number is None:
            raise ShufFailed(f"invalid input range: {quoted(text)}")
        if number > _LARGEST:
            why = os.strerror(errno.EOVERFLOW)
            raise ShufFailed(f"invalid input range: {quoted(text)}: {why}")
        numbers.append(number)
    if not is_range or numbers[0] > numbers[1] + 1:
        raise ShufFailed(f"invalid input range: {quoted(value)}")
    return numbers[0], numbers[1]


def _number(text: str) -> int | None:
    """Return a whole number as C's strtoumax reads it; None for what is none."""
    digits = text.lstrip(" \t\n\v\f\r").removeprefix("+")
    return int(digits[:40]) if digits.isascii() and digits.isdigit() else None


def _run(request: Request) -> None:
    """Shuffle; raises ShufFailed, DbshufError."""
    if request.count == 0:
        _write(lambda output: None, request)
        return
    fd = None
    if not request.is_echo and request.limits is None:
        fd = _input(request.operands)
    wanted = run.Wanted(
        count=request.count,
        repeat=request.repeat,
        terminator=request.terminator,
        chance=_chance(request),
    )
    if fd is None:
        if request.limits is not None:
            _write(run.of_range(*request.limits, wanted), request)
        else:
            _write(run.of_texts([os.fsencode(one) for one in request.operands], wanted), request)
        return
    try:
        writer = run.of_file(fd, wanted)
    except OSError as error:
        raise ShufFailed(f"read error: {error.strerror}") from error
    _write(writer, request)


def _input(operands: list[str]) -> int:
    """Return a descriptor of what is to be read."""
    if not operands or operands[0] == "-":
        return 0
    try:
        return os.open(operands[0], os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ShufFailed(f"{file_name(operands[0])}: {error.strerror}") from error


def _chance(request: Request) -> Chance:
    if request.seed is not None:
        return Chance(request.seed)
    if request.source is None:
        return drawn_chance()
    name = request.source

    def failed(error: OSError) -> ShufFailed:
        if isinstance(error, IsADirectoryError):
            return ShufFailed(f"{quoted(name)}: read error: {error.strerror}")
        return ShufFailed(f"{file_name(name)}: {error.strerror}")

    return ChanceOfFile(name, quoted(name), failed)


def _write(writer: run.Writer, request: Request) -> None:
    """Open the output, let it be written, and show it."""
    try:
        output = open_output(request.output)
    except OSError as error:
        raise ShufFailed(f"{file_name(request.output or '')}: {error.strerror}") from error
    try:
        writer(output)
        output.finish()
    except BrokenPipeError:
        output.abort()
        raise Stopped(signal.SIGPIPE) from None
    except OSError as error:
        output.abort()
        raise ShufFailed(f"write error: {error.strerror}") from error
    except BaseException:
        output.abort()
        raise
