"""The commands, by name: what each of them takes, and the function that does it.

A new command is a file with one function of the same name, which takes one class of arguments
made of groups of `options.py`; it is added to the table.
"""

import importlib
from collections.abc import Callable
from typing import Any

from dbshuf.cli.options import (
    CleanArguments,
    ExportArguments,
    IngestArguments,
    PlanArguments,
    QueryArguments,
    ReportArguments,
    ShuffleArguments,
    VerifyArguments,
)

# In the order of the help.
ARGUMENTS: dict[str, type] = {
    "shuffle": ShuffleArguments,
    "plan": PlanArguments,
    "query": QueryArguments,
    "ingest": IngestArguments,
    "export": ExportArguments,
    "report": ReportArguments,
    "clean": CleanArguments,
    "verify": VerifyArguments,
}

# GNU's, with options of its own.
SHUF = "shuf"


def command_names() -> list[str]:
    """Return the names of all commands, in the order of the help."""
    return [*ARGUMENTS, SHUF]


def function_of(name: str) -> Callable[[Any], None]:
    """Return the function of a command of the table; what the others need is not imported."""
    function: Callable[[Any], None] = getattr(importlib.import_module(f"dbshuf.cli.{name}"), name)
    return function
