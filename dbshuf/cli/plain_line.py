"""Command lines that need no typer: a command, options with their values, and inputs.

typer brings pydantic: of a run of 17 lines 10 MiB of 134 resident, and 0.1 s of 0.7 of its CPU
time (typer 0.29.2, Python 3.11.7, 2 cores). It gets every line that is anything else: help,
completion, two letters after one dash, whatever is wrong. `tests/cli/test_plain_line.py`
holds both to the same arguments.
"""

import dataclasses
import types
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, get_args, get_origin

from dbshuf.cli.commands import ARGUMENTS, function_of
from dbshuf.cli.option_types import Argument, Option, declared
from dbshuf.errors import UsageError


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _Named:
    """What a word that begins with `-` stands for.

    says   the value of a flag; None for an option that takes its value from the line
    """

    field: str
    is_repeated: bool
    parse: Callable[[str], Any]
    says: bool | None


class _Unusual(Exception):
    """A line that is for typer."""


def plain_call(words: Sequence[str]) -> Callable[[], None] | None:
    """Return what a command line asks for, or None where typer is to look at it.

    words  all that stands behind `dbshuf`
    """
    arguments = ARGUMENTS.get(words[0])
    given = None if arguments is None else plain_arguments(arguments, words[1:])
    return None if given is None else lambda: function_of(words[0])(given)


def plain_arguments(arguments: type, words: Sequence[str]) -> Any | None:
    """Return an object of `arguments`, made of what stands behind the command; None if unusual."""
    fields = declared(arguments)
    try:
        values, rest = _named_values(_named(fields), list(words))
        return arguments(**values, **_unnamed_values(fields, rest))
    except (_Unusual, UsageError, ValueError):
        return None


def _kind(field: "dataclasses.Field[Any]") -> tuple[Any, Any]:
    """Return a field's type, without None, and how it is declared."""
    kind, declared = get_args(field.type)
    if isinstance(kind, types.UnionType):
        kind = get_args(kind)[0]
    return kind, declared


def _named(fields: "Sequence[dataclasses.Field[Any]]") -> dict[str, _Named]:
    named = {}
    for field in fields:
        kind, option = _kind(field)
        if not isinstance(option, Option):
            continue
        parse = option.parser or _parser_of(kind)
        for spelled in option.names:
            yes, _, no = spelled.partition("/")
            is_repeated, is_flag = get_origin(kind) is list, kind is bool
            named[yes] = _Named(field.name, is_repeated, parse, True if is_flag else None)
            if no:
                named[no] = _Named(field.name, is_repeated, parse, False)
    return named


def _parser_of(kind: Any) -> Callable[[str], Any]:
    """Return what makes a value of the text of one, where it is plain; else it raises."""
    if kind in (str, list[str]):
        return str
    if kind is int:
        return _whole_number
    return kind if isinstance(kind, type) and issubclass(kind, Enum) else _unknown


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _Unusual
    return int(text)


def _unknown(text: str) -> Any:
    raise _Unusual


def _named_values(named: dict[str, _Named], words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the values of options by field, and the words that belong to none.

    Raises  _Unusual, and what a parser raises
    """
    values: dict[str, Any] = {}
    rest: list[str] = []
    while words:
        word = words.pop(0)
        if word == "-" or not word.startswith("-"):
            rest.append(word)
            continue
        spelled, is_joined, text = word.partition("=")
        one = named.get(spelled)
        if one is None or (one.field in values and not one.is_repeated):
            raise _Unusual
        if one.says is not None:
            if is_joined:
                raise _Unusual
            values[one.field] = one.says
            continue
        if not is_joined:
            text = words.pop(0) if words else "--"
            if text.startswith("-") and text != "-":
                raise _Unusual
        elif not spelled.startswith("--"):  # -o=PATH is a PATH that begins with `=`
            raise _Unusual
        value = one.parse(text)
        values[one.field] = [*values.get(one.field, []), value] if one.is_repeated else value
    return values, rest


def _unnamed_values(fields: "Sequence[dataclasses.Field[Any]]", words: list[str]) -> dict[str, Any]:
    """Return the values of arguments by field: of a text the next word, of a list the rest."""
    values: dict[str, Any] = {}
    for field in fields:
        kind, argument = _kind(field)
        if not isinstance(argument, Argument):
            continue
        if not words and field.default is dataclasses.MISSING:
            raise _Unusual
        if kind is str:
            values[field.name] = words.pop(0)
        elif words:
            values[field.name], words = words, []
    if words:
        raise _Unusual
    return values
