"""How typer learns the commands of `commands.py`, and what each of them takes."""

import dataclasses
import inspect
import os
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_args

import typer

from dbshuf.cli.commands import ARGUMENTS, SHUF, command_names, function_of
from dbshuf.cli.input_options import Inputs
from dbshuf.cli.option_types import Argument, Option, declared
from dbshuf.cli.options import INPUTS_HELP, WHEN_NONE
from dbshuf.errors import UsageError, in_part

T = TypeVar("T")

_READ_STDIN = ("shuffle", "plan", "query")  # where no input is named
_OF_SHUF = ("-n", "-e", "-i", "-r")

# What options take that say which rows are written, and where. Of other options the last one
# holds, as in a line that begins with an alias; but a filter or a file is not to be lost unseen.
_GIVEN_ONCE = ("EXPR", "LIST", "SHARE", "SHARES", "PATH", "FILE")

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # `dbshuf --help` takes 0.07 s, with rich 0.13 s (typer 0.29.2, 2 cores)
)


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


def _add(command: Callable[[T], None], arguments: type[T]) -> None:
    """Add a command by its function's name; its docstring is the help.

    arguments  a dataclass: typer sees each field as a parameter, and the command gets one
               object, so that a list of options is written once however many share it
    """

    once = [field for field in declared(arguments) if _is_given_once(field)]

    def call(**given: Any) -> None:
        given |= {field.name: _only(field, given[field.name]) for field in once}
        command(arguments(**given))

    call.__doc__ = command.__doc__
    vars(call)["__signature__"] = inspect.Signature(_parameters(arguments))
    when = WHEN_NONE if command.__name__ in _READ_STDIN else ""
    epilog = INPUTS_HELP.format(when=when) if issubclass(arguments, Inputs) else None
    summary = inspect.cleandoc(command.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    app.command(command.__name__, epilog=epilog, short_help=summary)(call)


def _parameters(arguments: type) -> list[inspect.Parameter]:
    """Return the fields of a class of groups as typer's parameters."""
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(field),
            annotation=_annotation(field),
        )
        for field in declared(arguments)
    ]


def _annotation(field: "dataclasses.Field[Any]") -> Any:
    """Return the type of a field, with typer's word for how it is declared."""
    kind, one = get_args(field.type)
    if isinstance(one, Argument):
        return Annotated[kind, typer.Argument(metavar=one.metavar, hidden=True)]
    assert isinstance(one, Option)
    if not one.metavar:
        return Annotated[kind, typer.Option(*one.names, help=one.help)]
    option = typer.Option(
        *one.names,
        metavar=one.metavar,
        help=one.help,
        show_default=one.default or False,
        parser=one.parser,
        autocompletion=one.completed,
    )
    return Annotated[list[str] | None if _is_given_once(field) else kind, option]


def _is_given_once(field: "dataclasses.Field[Any]") -> bool:
    kind, one = get_args(field.type)
    return kind == str | None and isinstance(one, Option) and one.metavar in _GIVEN_ONCE


def _only(field: "dataclasses.Field[Any]", values: list[str] | None) -> str | None:
    """Return the one value of an option, which may be given again with the same.

    Raises  UsageError
    """
    if not values:
        return None
    first, *others = dict.fromkeys(values)
    if others:
        _, option = get_args(field.type)
        name, more = option.names[-1], " as in --where 'A and B'" * (field.name == "where")
        raise UsageError(
            f"{name} is given twice: `{first}` and `{others[0]}`",
            hint=f"{name} takes one {option.metavar}{more}",
        )
    return first


def _default(field: "dataclasses.Field[Any]") -> Any:
    is_needed = field.default is dataclasses.MISSING
    return inspect.Parameter.empty if is_needed else field.default


for _name, _arguments in ARGUMENTS.items():
    _add(function_of(_name), _arguments)


@app.command(
    SHUF,
    short_help="Do what GNU shuf does, with its options.",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def _shuf(context: typer.Context) -> None:
    """Do what GNU shuf does, with its options; see `dbshuf shuf --help`."""
    from dbshuf.cli.shuf import shuf

    raise typer.Exit(shuf(context.args, "shuf"))  # of a process, cli/__init__.py comes first


# What typer raises for a wrong command line; it has no public name of its own.
_ParserError: type[Exception] = typer.BadParameter.__bases__[0]


def run_line(arguments: list[str]) -> int:
    """Let typer read a command line and run what it asks for; return the exit code.

    Raises  UsageError where it is wrong, SystemExit behind what a shell asks
    """
    command = typer.main.get_command(app)
    try:
        if "_DBSHUF_COMPLETE" in os.environ:
            command.main(prog_name="dbshuf")
        with command.make_context("dbshuf", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except _ParserError as error:
        raise _usage_error(error, arguments) from error
    return 0


def _usage_error(error: Any, arguments: list[str]) -> UsageError:
    """Return the parser's error in our words, with a hint where to look."""
    *others, last = command_names()
    named = arguments[0] if arguments[0] in {*others, last} else ""
    hint = f"see `{f'dbshuf {named}'.rstrip()} --help`"
    nearest = getattr(error, "possibilities", None)
    text = error.message if nearest else error.format_message()
    if nearest:
        hint = f"did you mean {nearest[0]}? {hint}"
    elif named in ("shuffle", "plan") and getattr(error, "option_name", "") in _OF_SHUF:
        hint = f"`dbshuf shuf` has shuf's options; its -n is --take here. {hint}"
    elif not named:
        hint = f"the commands are {', '.join(others)} and {last}; {hint}"
    text = " ".join(text.replace("Value error, ", "").split()).rstrip(".")
    return UsageError(in_part(text[:1].lower() + text[1:]), hint=hint)
