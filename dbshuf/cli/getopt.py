"""Short and long options as GNU's getopt_long takes them, with its messages.

Python's own `getopt` says other things, and knows no abbreviations of one list before another.
"""

import os
from collections.abc import Iterator, Sequence

from dbshuf.errors import ShufFailed


class Misused(ShufFailed):
    """A wrong command line, for which the help is the way out."""


class Option:
    """One option.

    letter  its short form; empty if it has none
    name    its long form
    takes   whether it takes an argument
    is_own  not GNU's: an abbreviation that fits one of GNU's too is that one's
    """

    def __init__(
        self, letter: str, name: str, *, takes: bool = False, is_own: bool = False
    ) -> None:
        self.letter, self.name, self.takes, self.is_own = letter, name, takes, is_own


def parsed(
    arguments: Sequence[str], options: Sequence[Option], operands: list[str]
) -> Iterator[tuple[str, str]]:
    """Yield the long name and the argument of every option, in their order.

    operands  gets what is none, wherever it stands, and all behind `--`; where POSIXLY_CORRECT
              is set, all behind the first of them
    Raises    Misused
    """
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            operands += left
            return
        if word.startswith("--"):
            yield _long(word, left, options)
        elif word.startswith("-") and word != "-":
            yield from _short(word, left, options)
        else:
            operands.append(word)
            if "POSIXLY_CORRECT" in os.environ:
                operands += left
                return


def _long(word: str, left: list[str], options: Sequence[Option]) -> tuple[str, str]:
    given, is_given, argument = word[2:].partition("=")
    fitting = [one for one in options if one.name.startswith(given)]
    exact = [one for one in fitting if one.name == given]
    found = exact or [one for one in fitting if not one.is_own] or fitting
    if not found:
        raise Misused(f"unrecognized option '--{given}'")
    if len(found) > 1:
        names = " ".join(f"'--{one.name}'" for one in found)
        raise Misused(f"option '--{given}' is ambiguous; possibilities: {names}")
    option = found[0]
    if not option.takes:
        if is_given:
            raise Misused(f"option '--{option.name}' doesn't allow an argument")
        return option.name, ""
    if not is_given:
        if not left:
            raise Misused(f"option '--{option.name}' requires an argument")
        argument = left.pop(0)
    return option.name, argument


def _short(word: str, left: list[str], options: Sequence[Option]) -> Iterator[tuple[str, str]]:
    for place, letter in enumerate(word[1:], start=2):
        option = next((one for one in options if one.letter == letter), None)
        if option is None:
            raise Misused(f"invalid option -- '{letter}'")
        if not option.takes:
            yield option.name, ""
            continue
        if place == len(word) and not left:
            raise Misused(f"option requires an argument -- '{letter}'")
        yield option.name, word[place:] or left.pop(0)
        return
