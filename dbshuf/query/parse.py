"""DuckDB's own parse of the user's SQL, and errors that point at a place in it."""

import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from dbshuf.base.messages import without_values
from dbshuf.base.statements import statement
from dbshuf.errors import QueryInvalid

Node = dict[str, Any]  # of the tree that json_serialize_sql gives

NOWHERE = (1 << 64) - 1  # the place of what DuckDB added itself
_SHOWN_COLUMNS = 100  # of a long line, around the place
_SHOWN_NAMES = 40
_SHOWN_CHARACTERS = 300  # of a message, which may quote a whole value
_ADVICE = re.compile(r"(?<=[.!?])\s+(?=(?:Use|You|Did|Consider|Try|Please|If this)\b)")


# What DuckDB raises: a message that it cut within a character (Malformed JSON quotes the first
# 200 bytes or so) is none that Python can make an error of DuckDB's of (2.0.1), or one of its
# errors without a message (2.0.0).
ENGINE_ERRORS = (duckdb.Error, UnicodeDecodeError)
_HINT = "this is DuckDB's SQL; only a SELECT over `lines` is run, and nothing else is reached"


@dataclass(frozen=True)
class SqlText:
    """A text of the user's.

    option  where it came from, for messages: `--where`
    text    as the user wrote it
    columns of `lines`, for messages
    places  byte of the query that is run -> byte of the text; None where they are the same
    """

    option: str
    text: str
    columns: Collection[str] = ()
    places: Mapping[int, int] | None = None

    def invalid(self, message: str, at: int | None = None, *, hint: str = "") -> QueryInvalid:
        """Return the error for this text, with byte `at` of it pointed at."""
        return QueryInvalid(f"{self.option}: {message}{pointed(self.text, at)}", hint=hint or _HINT)

    def failed(self, error: Exception, start: int) -> QueryInvalid:
        """Return DuckDB's error as one for this text, which began at byte `start`."""
        found = details(error)
        hint = ""
        if found.subtype == "COLUMN_NOT_FOUND" or "Referenced" in found.message:
            names = list(self.columns)
            more = "" if len(names) <= _SHOWN_NAMES else f" and {len(names) - _SHOWN_NAMES} more"
            hint = f"the columns of `lines` are {', '.join(names[:_SHOWN_NAMES])}{more}"
        at = None if found.at is None else found.at - start
        if self.places is not None:
            at = None if at is None else self.places.get(at)
        return self.invalid(_shortened(found.message), at, hint=hint)


@dataclass(frozen=True)
class Details:
    """What an error of DuckDB says; `at` counts bytes of the statement."""

    message: str
    at: int | None = None
    subtype: str = ""


def details(error: Exception) -> Details:
    """Return what an error of DuckDB says, in JSON or as plain text."""
    said = str(error)
    if isinstance(error, UnicodeDecodeError):
        said = error.object.decode("utf-8", "replace")
    elif isinstance(error, duckdb.Error) and not said:
        return Details(f"DuckDB's {type(error).__name__} has no words")
    kind, _, body = said.partition(": ")
    if kind.startswith("{"):
        body = said
    if body.startswith("{"):
        try:
            found = json.loads(body)
        except ValueError:
            return Details(body)
        return Details(found["exception_message"], _place(found), found.get("error_subtype", ""))
    return Details(re.split(r"\n+LINE \d+: ", body or kind, maxsplit=1)[0].strip())


def _place(found: Node) -> int | None:
    at = int(found.get("position", NOWHERE))
    return None if at == NOWHERE else at


def first_sentence(error: Exception) -> str:
    """Return what an error of DuckDB says of a row, on one line.

    Without its advice, and without what it quotes of the row.
    """
    said = _ADVICE.split(details(error).message, maxsplit=1)[0].split("\n")[0]
    return shown(without_values(said))


def shown(text: str, limit: int = _SHOWN_CHARACTERS) -> str:
    """Return text for a message: what cannot be printed escaped, a long middle left out."""
    if len(text) > limit:
        text = f"{text[: limit * 2 // 3]} ... {text[-limit // 4 :]}"
    text = text.strip().rstrip("!.")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _shortened(message: str) -> str:
    """Drop all but the first candidates of a list that may be long."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    if len(lines) > 6:
        lines = [*lines[:6], f"... and {len(lines) - 6} more"]
    return "\n".join(shown(line) for line in lines)


def pointed(text: str, at: int | None) -> str:
    """Return the line of `text` that holds byte `at`, and a caret under it; or nothing."""
    data = text.encode("utf-8", "surrogateescape")
    if at is None or not 0 <= at <= len(data):
        return ""
    before = data[:at].decode("utf-8", "replace")
    after = data[at:].decode("utf-8", "replace")
    head, tail = before.rpartition("\n")[2], after.partition("\n")[0].rstrip("\r")
    if len(head) > _SHOWN_COLUMNS * 2 // 3:
        head = "..." + head[-_SHOWN_COLUMNS * 2 // 3 :]
    if len(tail) > _SHOWN_COLUMNS // 3 and len(head) + len(tail) > _SHOWN_COLUMNS:
        tail = tail[: max(_SHOWN_COLUMNS - len(head), _SHOWN_COLUMNS // 3)] + "..."
    line = "".join(c if c.isprintable() else " " for c in head + tail)
    width = sum(_width(c) for c in line[: len(head)])
    return f"\n  {line.rstrip()}\n  {' ' * width}^"


def _width(character: str) -> int:
    """Columns of a terminal that a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def parse(connection: duckdb.DuckDBPyConnection, sql: SqlText, prefix: str = "") -> list[Node]:
    """Return the statements of `prefix` and the text. Raises QueryInvalid."""
    text = prefix + sql.text + "\n"
    found = connection.execute(statement("duckdb", "query_parse"), {"text": text}).fetchall()
    tree: Node = json.loads(found[0][0])
    if tree["error"]:
        at = _place(tree)
        at = None if at is None else at - len(prefix.encode())
        message = tree["error_message"]
        if message.startswith("Only SELECT"):
            message = _other_statement(connection, text, bool(prefix))
        raise sql.invalid(_shortened(message), at)
    statements: list[Node] = tree["statements"]
    return statements


def _other_statement(connection: duckdb.DuckDBPyConnection, text: str, is_part: bool) -> str:
    """Say what a text is that is no SELECT."""
    kinds = [str(one.type).rpartition(".")[2] for one in connection.extract_statements(text)]
    if "MULTI" in kinds:  # how DuckDB runs a PIVOT without IN
        return "PIVOT needs the values of its columns here: PIVOT ... ON column IN (...)"
    found = " and ".join(sorted(set(kinds) - {"SELECT"})) or "no SELECT"
    taken = "an expression is taken" if is_part else "exactly one SELECT is run"
    return f"{taken}, and this is {found}"


def unterminated(text: str) -> str:
    """Return a statement without the `;` behind it, and what comments follow that."""
    data = text.encode("utf-8", "surrogateescape")
    end = len(data)
    for at, kind in reversed(duckdb.tokenize(text)):
        if kind != duckdb.token_type.comment:
            if data[at : at + 1] != b";":
                break
            end = at
    return data[:end].decode("utf-8", "surrogateescape")


def walk(node: object) -> Iterator[Node]:
    """Yield every node of a tree, outer ones first."""
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from walk(child)
    elif isinstance(node, list):
        for child in node:
            yield from walk(child)


def place_in(node: Node, start: int) -> int | None:
    """Return where a node is in the user's text, which began at byte `start`."""
    at: int = node.get("query_location", NOWHERE)
    return None if at == NOWHERE else at - start


def without_places(node: object) -> object:
    """Return a tree without where its nodes are, to compare it."""
    if isinstance(node, dict):
        return {
            name: without_places(child)
            for name, child in node.items()
            if not name.startswith("query_location")
        }
    return [without_places(child) for child in node] if isinstance(node, list) else node
