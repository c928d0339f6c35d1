"""What a command was given, as the library's Options."""

import contextlib
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbshuf.base.messages import printable
from dbshuf.base.remote_names import is_remote_output, remote_hint, shown_url
from dbshuf.cli.input_options import Inputs
from dbshuf.cli.options import ExportArguments, ShuffleArguments
from dbshuf.cli.output_options import Printing, Report
from dbshuf.cli.progress import say
from dbshuf.errors import InputMissing, InputUnreadable, UsageError

if TYPE_CHECKING:
    from dbshuf.options import Options


def options_of(given: ShuffleArguments | ExportArguments) -> "Options":
    """Return the library's Options for a command's arguments, by the same names.

    Raises  UsageError or InputUnreadable where standard input cannot be what is read
    """
    inputs: tuple[str, ...] = ()
    if isinstance(given, ShuffleArguments):
        inputs = tuple(given.inputs or ())
        if inputs or not given.mix:
            check_stdin(inputs)
        tell_waiting(inputs, quiet=given.quiet)
    from dbshuf.options import Options

    rest = rest_of(given, Inputs, Report, Printing)
    outputs = tuple(rest.pop("output") or ())
    rest["sql"] = sql_text(
        given.sql, inputs if isinstance(given, ShuffleArguments) else (given.store,)
    )
    return Options(inputs, output=next(iter(outputs), None), more_outputs=outputs[1:], **rest)


def rest_of(given: Any, *groups: type) -> dict[str, Any]:
    """Return what a command was given, but for what is in some groups, by the library's names."""
    from dbshuf.options import REPEATED

    ours = {field.name for group in groups for field in fields(group)}
    rest = {f.name: getattr(given, f.name) for f in fields(given) if f.name not in ours}
    return rest | {name: tuple(rest[name] or ()) for name in REPEATED if name in rest}


def check_stdin(inputs: tuple[str, ...]) -> None:
    """Raise UsageError or InputUnreadable where standard input cannot be what is read."""
    if not inputs and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError(
            "no inputs, and standard input is a terminal",
            hint="name files, directories or globs, pipe lines in, or pass - to type them",
        )
    if sys.stdin is None and (not inputs or "-" in inputs):
        raise InputUnreadable("standard input is closed", hint="name files, or pipe lines in")


def tell_waiting(inputs: tuple[str, ...], *, quiet: bool) -> None:
    """Say on a terminal which named pipes and devices are waited for: nothing else shows it.

    A descriptor (`/dev/fd/63`, as the shell names one) has its other end already.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        return
    for name in inputs:
        with contextlib.suppress(OSError, ValueError):
            mode = os.stat(name).st_mode
            is_waited_for = stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
            if is_waited_for and not name.startswith(("/dev/fd/", "/proc/", "/dev/std")):
                say(f"dbshuf: waiting for `{printable(name)}`, which is no regular file")


def sql_text(name: str | None, inputs: Sequence[str]) -> str | None:
    """Return what a file of SQL holds, or standard input if it is `-`.

    inputs  what else is read
    """
    if name is None:
        return None
    if name == "-":
        if sys.stdin is None or not inputs or "-" in inputs:
            raise UsageError(
                "--sql - and the inputs cannot both be standard input", hint="name a file for one"
            )
        try:
            return sys.stdin.buffer.read().decode()
        except UnicodeDecodeError as error:
            raise InputUnreadable(
                f"cannot read standard input: {error}", hint="--sql takes SQL in UTF-8"
            ) from error
    if is_remote_output(name):
        raise InputUnreadable(
            f"`{shown_url(name)}`: --sql names a file on this machine",
            hint=remote_hint(name, "download it first"),
        )
    try:
        return Path(name).read_text("utf-8")
    except FileNotFoundError as error:
        raise InputMissing(
            f"no such file: `{name}`", hint="--sql names a file that holds a SELECT"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputUnreadable(
            f"cannot read `{name}`: {error}", hint="--sql names a file of SQL in UTF-8"
        ) from error
