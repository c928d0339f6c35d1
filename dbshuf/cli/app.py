"""The commands, and how typer learns what each of them takes.

A new command is a file with one function, which takes one class of arguments made of
groups of `options.py`; it is added at the end of this file.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from dbshuf.cli.clean import clean
from dbshuf.cli.export import export
from dbshuf.cli.ingest import ingest
from dbshuf.cli.input_options import Inputs
from dbshuf.cli.options import (
    INPUTS_HELP,
    CleanArguments,
    ExportArguments,
    IngestArguments,
    PlanArguments,
    QueryArguments,
    ReportArguments,
    ShuffleArguments,
    VerifyArguments,
)
from dbshuf.cli.plan import plan
from dbshuf.cli.query import query
from dbshuf.cli.report import report
from dbshuf.cli.shuffle import shuffle
from dbshuf.cli.verify import verify

T = TypeVar("T")

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


def command_names() -> list[str]:
    """Return the names of all commands, in the order of the help."""
    return [str(command.name) for command in app.registered_commands]


def _add(command: Callable[[T], None], arguments: type[T]) -> None:
    """Add a command by its function's name; its docstring is the help.

    arguments  a dataclass: typer sees each field as a parameter, and the command gets one
               object, so that a list of options is written once however many share it
    """

    def call(**given: Any) -> None:
        command(arguments(**given))

    call.__doc__ = command.__doc__
    vars(call)["__signature__"] = inspect.Signature(_parameters(arguments))
    epilog = INPUTS_HELP if issubclass(arguments, Inputs) else None
    app.command(command.__name__, epilog=epilog)(call)


def _parameters(arguments: type) -> list[inspect.Parameter]:
    """Return the fields of a dataclass as parameters, its base classes from left to right."""
    fields = {field.name: field for field in dataclasses.fields(arguments)}
    names = [name for group in arguments.__mro__ for name in inspect.get_annotations(group)]
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(fields[name]),
            annotation=fields[name].type,
        )
        for name in names
    ]


def _default(field: "dataclasses.Field[Any]") -> Any:
    is_needed = field.default is dataclasses.MISSING
    return inspect.Parameter.empty if is_needed else field.default


_add(shuffle, ShuffleArguments)
_add(plan, PlanArguments)
_add(query, QueryArguments)
_add(ingest, IngestArguments)
_add(export, ExportArguments)
_add(report, ReportArguments)
_add(clean, CleanArguments)
_add(verify, VerifyArguments)


@app.command(
    "shuf",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def _shuf(context: typer.Context) -> None:
    """Do what GNU shuf does, with its options; see `dbshuf shuf --help`."""
    from dbshuf.cli.shuf import shuf

    raise typer.Exit(shuf(context.args, "shuf"))  # of a process, cli/__init__.py comes first
