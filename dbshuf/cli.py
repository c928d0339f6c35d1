"""The commands: parse, call the library, print, pick the exit code.

    main  ->  shuffle, plan  ->  Options  ->  make_plan  ->  run  ->  a line on stderr
      ^-- every error comes back here; no other place exits

The engines load inside the commands, so that `dbshuf --help` answers at once.
"""

import contextlib
import errno
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbshuf.errors import DbshufError, InputUnreadable, OutputUnwritable, UsageError
from dbshuf.progress import Mode, done_event, open_progress, say, summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbshuf.plan import Options

app = typer.Typer(
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # `dbshuf --help` takes 0.07 s, with rich 0.13 s (typer 0.29.2, 2 cores)
)


# --- options, declared once for both commands -----------------------------------------


def _count(option: str) -> "Callable[[str | int], int]":
    """Return a parser of whole numbers whose errors name `option`."""

    def parse(given: str | int) -> int:
        text = str(given)
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise UsageError(f"{option} `{text}` is no whole number", hint=f"as in {option} 4")
        return int(text)

    return parse


def _value(names: str, metavar: str, text: str, default: str = "") -> Any:
    """Return an option that takes a value, which is a whole number if it is called N."""
    return typer.Option(
        *names.split(),
        metavar=metavar,
        help=text,
        show_default=default or False,
        parser=_count(names) if metavar == "N" else None,
    )


def _flag(names: str, text: str) -> Any:
    return typer.Option(*names.split(), help=text)


Inputs = Annotated[list[str] | None, typer.Argument(metavar="INPUTS", hidden=True)]
INPUTS_HELP = (
    "INPUTS are files, directories, quoted globs, or - for standard input, which is also read"
    " when none is named. gzip, zstd, bzip2, xz and lz4 are recognised by content."
)
Output = Annotated[
    str | None,
    _value(
        "-o --output",
        "PATH",
        "Write a text file (.gz and .zst compress), a .parquet file, or a directory of shards.",
        "standard output",
    ),
]
Memory = Annotated[
    str | None,
    _value(
        "--memory",
        "SIZE",
        "Keep the peak memory of the process under SIZE: 800MB, 1.5GB, 2GiB.",
        "half of what there is",
    ),
]
Seed = Annotated[
    str | None,
    _value("--seed", "TEXT", "Take the one order that belongs to TEXT.", "drawn and printed"),
]
Strategy = Annotated[
    str,
    _value(
        "--strategy",
        "NAME",
        "Order by NAME: auto, memory, spill or partition; all give the same output.",
        "auto",
    ),
]
Threads = Annotated[
    int | None,
    _value("--threads", "N", "Work on N threads.", "the cores this process may use"),
]
ZeroTerminated = Annotated[bool, _flag("-z --zero-terminated", "End lines with NUL, not newline.")]
Header = Annotated[
    int,
    _value("--header", "N", "Keep the first N lines, equal in all inputs, at the head.", "0"),
]
Binary = Annotated[bool, _flag("--binary", "Make the Parquet column BLOB, to hold any bytes.")]
Format = Annotated[
    str | None,
    _value("--format", "NAME", "Write txt, txt.gz, txt.zst or parquet.", "by the output's name"),
]
Shards = Annotated[
    int | None,
    _value("--shards", "N", "Cut the output into N files by equal ranges of the key."),
]
ShardBytes = Annotated[
    str | None, _value("--shard-bytes", "SIZE", "Cut the output into files of SIZE of text.")
]
ShardRows = Annotated[
    int | None, _value("--shard-rows", "N", "Cut the output into files of N lines.")
]
TempDir = Annotated[
    str | None,
    _value(
        "--temp-dir",
        "DIR",
        "Spill into a private directory inside DIR.",
        "the output's directory, else $TMPDIR",
    ),
]
Force = Annotated[bool, _flag("--force", "Replace the shards in a directory that is not empty.")]
ProgressMode = Annotated[
    Mode,
    _value(
        "--progress",
        "WHEN",
        "Report progress on standard error: auto (on a terminal), always, never or json.",
        "auto",
    ),
]
Quiet = Annotated[bool, _flag("-q --quiet", "Print nothing but errors.")]


# --- commands --------------------------------------------------------------------------


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dbshuf {version('dbshuf')}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Put the lines of text corpora larger than memory into a uniformly random order."""


@app.command(epilog=INPUTS_HELP)
def shuffle(
    inputs: Inputs = None,
    *,
    output: Output = None,
    memory: Memory = None,
    seed: Seed = None,
    strategy: Strategy = "auto",
    threads: Threads = None,
    zero_terminated: ZeroTerminated = False,
    header: Header = 0,
    binary: Binary = False,
    format: Format = None,
    shards: Shards = None,
    shard_bytes: ShardBytes = None,
    shard_rows: ShardRows = None,
    temp_dir: TempDir = None,
    force: Force = False,
    progress: ProgressMode = Mode.auto,
    quiet: Quiet = False,
) -> None:
    """Write every line of the inputs once, in a uniformly random order."""
    options = _options(locals())
    _need_open_stdout(options)
    from dbshuf.pipeline import run
    from dbshuf.plan import make_plan

    mode = _progress_mode(options, progress, quiet)
    reporter = open_progress(mode, sys.stderr)
    try:
        result = run(make_plan(options), reporter)
    finally:
        reporter.close()
    if mode is Mode.json:
        say(done_event(result))
    elif not quiet:
        say(summary(result))


@app.command(epilog=INPUTS_HELP)
def plan(
    inputs: Inputs = None,
    *,
    output: Output = None,
    memory: Memory = None,
    seed: Seed = None,
    strategy: Strategy = "auto",
    threads: Threads = None,
    zero_terminated: ZeroTerminated = False,
    header: Header = 0,
    binary: Binary = False,
    format: Format = None,
    shards: Shards = None,
    shard_bytes: ShardBytes = None,
    shard_rows: ShardRows = None,
    temp_dir: TempDir = None,
    force: Force = False,
    progress: ProgressMode = Mode.auto,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Print what shuffle would do; write nothing."""
    options = _options(locals())
    import json

    from dbshuf.plan import make_plan

    made = make_plan(options)
    _write_stdout(json.dumps(made.to_json(), indent=2) if as_json else made.describe())


def _options(given: dict[str, Any]) -> "Options":
    """Return the library's Options for a command's arguments, by the same names."""
    inputs = tuple(given["inputs"] or ())
    if not inputs and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError(
            "no inputs, and standard input is a terminal",
            hint="name files, directories or globs, pipe lines in, or pass - to type them",
        )
    if sys.stdin is None and (not inputs or "-" in inputs):
        raise InputUnreadable("standard input is closed", hint="name files, or pipe lines in")
    from dbshuf.plan import Options

    rest = {k: v for k, v in given.items() if k not in {"inputs", "progress", "quiet", "as_json"}}
    return Options(inputs=inputs, **rest)


def _need_open_stdout(options: "Options") -> None:
    if options.output in {None, "-"} and sys.stdout is None:
        raise OutputUnwritable("standard output is closed", hint="name a file with --output")


def _progress_mode(options: "Options", mode: Mode, quiet: bool) -> Mode:
    """Return `mode`, but never between lines that go to the same terminal."""
    mixed = options.output in {None, "-"} and sys.stdout.isatty()
    return Mode.never if quiet or (mixed and mode is Mode.auto) else mode


# --- the streams -----------------------------------------------------------------------


def _write_stdout(text: str) -> None:
    """Print `text`, file names as the bytes that they are."""
    if sys.stdout is None:
        raise OutputUnwritable("standard output is closed")
    sys.stdout.flush()
    sys.stdout.buffer.write(text.rstrip("\n").encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.buffer.flush()


def _drop_stdout() -> None:
    """Let what Python still holds for stdout go nowhere, instead of failing at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stdout = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)


# --- the end of a run ------------------------------------------------------------------


class Stopped(KeyboardInterrupt):
    """A signal asked the run to end."""


class StopSignals:
    """The first SIGINT, SIGTERM or SIGHUP raises in the main thread; later ones are ignored.

    `received` keeps the number even if an engine wraps the exception in its own. A signal
    that is ignored from outside (nohup, a background job of a script) stays ignored.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._numbers: list[int] = []

    def catch(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)
                self._numbers.append(number)

    def answer(self, action: signal.Handlers) -> None:
        for number in self._numbers:
            signal.signal(number, action)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.answer(signal.SIG_IGN)
        self.received = number
        raise Stopped(number)


def main() -> None:
    """Run the command line of this process and exit; the one place that picks the code."""
    signals = StopSignals()
    arguments = sys.argv[1:] or ["--help"]
    try:
        signals.catch()
        command = typer.main.get_command(app)
        with command.make_context("dbshuf", list(arguments)) as context:
            command.invoke(context)
        code = 0
    except BaseException as error:
        signals.answer(signal.SIG_IGN)
        code = _exit_code(error, signals.received, arguments)
    signals.answer(signal.SIG_DFL)
    sys.exit(code)


def _exit_code(error: BaseException, received: int | None, arguments: list[str]) -> int:
    """Tell the user why the run ended and return the exit code for it."""
    if os.environ.get("DBSHUF_DEBUG") and not isinstance(error, typer.Exit):
        import traceback

        say("".join(traceback.format_exception(error)).rstrip())
    if received is None and isinstance(error, KeyboardInterrupt):
        received = signal.SIGINT
    if received is not None:
        say(f"dbshuf: stopped by {signal.Signals(received).name}")
        return 128 + received
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        _drop_stdout()
        return 0
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        _drop_stdout()
        error = OutputUnwritable(f"output: {os.strerror(error.errno)}", hint="free some space")
    if isinstance(error, _ParserError):
        error = _usage_error(error, arguments)
    if isinstance(error, DbshufError):
        say(f"dbshuf: error: {error.message}", *([f"hint: {error.hint}"] if error.hint else []))
        return error.exit_code
    say(f"dbshuf: bug: {_one_line(error)}", "hint: set DBSHUF_DEBUG=1 for the traceback")
    return 1


# What typer raises for a wrong command line; it has no public name of its own.
_ParserError: type = typer.BadParameter.__bases__[0]


def _usage_error(error: Any, arguments: list[str]) -> UsageError:
    """Return the parser's error in our words, with a hint where to look."""
    named = arguments[0] if arguments[0] in {"shuffle", "plan"} else ""
    hint = f"see `{f'dbshuf {named}'.rstrip()} --help`"
    nearest = getattr(error, "possibilities", None)
    text = error.message if nearest else error.format_message()
    if nearest:
        hint = f"did you mean {nearest[0]}? {hint}"
    elif not named:
        hint = f"the commands are shuffle and plan; {hint}"
    text = " ".join(text.replace("Value error, ", "").split()).rstrip(".")
    return UsageError(text[:1].lower() + text[1:], hint=hint)


def _one_line(error: BaseException) -> str:
    """Return what `error` is, what it says and where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = ""
    if trace is not None:
        where = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ") + where
