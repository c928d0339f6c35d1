"""The values of JSON text as Python's, however many levels it has.

What is deeper than any column is cut out before it is read: from 3.14 on Python reads tens of
thousands of levels, which no function that calls itself then goes through.
"""

import json
import re
from typing import Any, NoReturn

from dbshuf.query.json_keys import Pairs

DEEPEST = 45  # levels that are columns: Parquet readers take 100, a list is two
SPACE = r"[ \t\r\n]*"
_MOST_LEVELS = 300  # that are read as they are
_NESTED = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)
_FLAW = re.compile(rf",{SPACE}[]}}]|(?i:nan|inf)")


def _no_json(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


_DECODER = json.JSONDecoder(  # a dict would drop a key that comes twice
    object_pairs_hook=Pairs, parse_constant=_no_json
)


def value_of(line: str) -> Any:
    """Return the value of a line that DuckDB takes for JSON. Raises ValueError."""
    if not _is_deep(line):
        return _DECODER.decode(line)
    if _FLAW.search(re.sub(_NESTED, _brackets, line)):
        raise ValueError("no JSON in a line of many levels: a comma too many, or NaN")
    return _DECODER.decode(_shallow(line))


def structure_of(text: str) -> Any:
    """Return a structure that DuckDB names."""
    return json.loads(_shallow(text) if _is_deep(text) else text)


def _is_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= _MOST_LEVELS:
        return False
    level = 0
    for found in _NESTED.finditer(text):
        level += (found[0] in "[{") - (found[0] in "]}")
        if level > _MOST_LEVELS:
            return True
    return False


def _brackets(found: re.Match[str]) -> str:
    return "_" if found[0][0] == '"' else found[0]


def _shallow(text: str) -> str:
    """Return sound JSON with 1 in place of what is deeper than columns are, as lists."""
    kept: list[str] = []
    level, begin = 0, 0
    for found in _NESTED.finditer(text):
        if found[0] in "[{":
            level += 1
            if level == DEEPEST + 2:
                kept.append(text[begin : found.start()])
        elif found[0] in "]}":
            level -= 1
            if level == DEEPEST + 1:
                kept.append("[1]")
                begin = found.end()
    return "".join([*kept, text[begin:]])
