"""Names and values as parts of a message that people read."""

import re
from collections.abc import Sequence

from dbshuf.errors import MemoryTooSmall
from dbshuf.units import cap_named, human

# Control characters of file names, seeds and values must not reach a terminal.
_CONTROLS = {c: f"\\x{c:02x}" for c in (*range(32), *range(127, 160))}
_CONTROLS_OF_TEXT = {c: shown for c, shown in _CONTROLS.items() if c != 10}

# What DuckDB quotes of a row in the errors that it has while it runs (2.0.1).
_QUOTED = (
    (re.compile(r'[.\s]*\bInput: ".*', re.DOTALL), ""),  # of JSON
    (re.compile(r"'.*'"), "'...'"),
    (re.compile(r'".*"'), '"..."'),
    (re.compile(r"(?<=value )-?\d\S*"), "..."),  # out of range
    (re.compile(r"(?<=\()\S+ [-+*/%] \S+(?=\))"), "..."),  # too large a result
    (re.compile(r"(?<=hex digit: ).*|(?<=missing [])]: ).*|(?<=operator: ).*"), "..."),
)


def printable(text: str, *, is_one_line: bool = True) -> str:
    """Return `text` with its control characters escaped, so that a terminal shows them."""
    return text.translate(_CONTROLS if is_one_line else _CONTROLS_OF_TEXT)


def named_tables(tables: Sequence[str]) -> str:
    """Return which tables were taken, for people."""
    names = sorted(set(tables))
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return f"table{'s' * (len(names) > 1)} {', '.join(f'`{name}`' for name in names[:3])}{more}"


def too_small(
    cap: int, least: int, needs: str = "this run needs", otherwise: str = ""
) -> MemoryTooSmall:
    """Return the error for a --memory of `cap` bytes where `least` would do.

    needs      what it is for; "this run needs" goes on with "at least 410MB"
    otherwise  the end of the hint, such as "; or --no-order"
    """
    named = cap_named(least)
    error = MemoryTooSmall(
        f"--memory {human(cap)} is too small: {needs} at least {named}",
        hint=f"pass --memory {named} or more{otherwise}",
    )
    error.least_bytes, error.needs, error.otherwise = least, needs, otherwise
    return error


def without_values(text: str) -> str:
    """Return what an engine says of a row, without what it quotes of it.

    An error goes to logs, where rows may not go, and it tells the place of its row.
    """
    for quoted, instead in _QUOTED:
        text = quoted.sub(instead, text)
    return text
