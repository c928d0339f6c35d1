"""How an option of the command line is declared: its names, its help, what a shell completes.

`app.py` tells typer of it; a command line that `plain_line.py` understands needs no typer.
"""

from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, fields
from inspect import get_annotations
from typing import Any, TypeVar, dataclass_transform

from dbshuf.errors import UsageError
from dbshuf.options import MOST

T = TypeVar("T")
Values = Iterable[str] | Callable[[], Iterable[str]]


@dataclass(frozen=True, eq=False, repr=False)
class Option:
    """An option: a flag, or one that takes a value.

    names         as they are typed; of a flag, `--yes/--no` are two
    metavar       what stands for its value in the help; empty for a flag
    default       what the help says of it; empty if nothing
    parser        from the text of a value
    completed     from the beginning of a value to the values that it may become
    """

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    default: str = ""
    parser: Callable[[str | int], int] | None = None
    completed: Callable[[str], list[str]] | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Argument:
    """A value without a name, or all those that are left."""

    metavar: str


def _count(option: str) -> Callable[[str | int], int]:
    """Return a parser of whole numbers whose errors name `option`."""

    def parse(given: str | int) -> int:
        text = str(given)
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            is_one = text.isascii() and text.isdigit()
            why = f"over {MOST:,}" if is_one else "no whole number"
            raise UsageError(f"{option} `{text}` is {why}", hint=f"as in {option} 4")
        return int(text)

    return parse


def formats() -> Iterable[str]:
    """Return what --format takes; like those below it, loaded only when it is needed."""
    from dbshuf.sink.output_format import FORMATS

    return FORMATS


def answer_formats() -> Iterable[str]:
    """Return what --format takes where a query is written."""
    return [*formats(), "json"]


def compressions() -> Iterable[str]:
    """Return what --compression takes."""
    from dbshuf.sink.output_format import compressions as names

    return names()


def kinds() -> Iterable[str]:
    """Return what --from takes."""
    from dbshuf.source.formats import NAMES

    return NAMES


def _completed(values: Values) -> Callable[[str], list[str]]:
    """Return what a shell asks for the `values` that begin with what is typed."""

    def complete(incomplete: str) -> list[str]:
        known = values() if callable(values) else values
        return [value for value in known if value.startswith(incomplete)]

    return complete


def value(
    names: str,
    metavar: str,
    text: str,
    default: str = "",
    values: Values | None = None,
) -> Option:
    """Return an option that takes a value, which is a whole number if it is called N or E.

    values  what a shell may complete; a function is called only then
    """
    parser = _count(names) if metavar in ("N", "E") else None
    completed = None if values is None else _completed(values)
    return Option(tuple(names.split()), text, metavar, default, parser, completed)


def flag(names: str, text: str) -> Option:
    """Return an option that is there or not."""
    return Option(tuple(names.split()), text)


def declared(arguments: type) -> "list[Field[Any]]":
    """Return the fields of a class of groups in the order of the help, bases from left to right."""
    named = {field.name: field for field in fields(arguments)}
    return [named[name] for group in arguments.__mro__ for name in get_annotations(group)]


@dataclass_transform(kw_only_default=True, frozen_default=True)
def group(options: type[T]) -> type[T]:
    """Make a dataclass that is only read: to compare and to print them costs 8 ms at each start."""
    return dataclass(frozen=True, kw_only=True, eq=False, repr=False)(options)
