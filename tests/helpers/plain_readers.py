"""CSV and JSON lines as the README has them, read without any speed: what readers are held to."""

import json
from typing import Any

_QUOTE, _ENDS = 0x22, b"\r\n"


class Unsound(Exception):
    """The text is none of its format."""


def csv_rows(text: bytes, delimiter: bytes = b",") -> list[dict[str, str]]:
    """Return the rows of a CSV as dicts; Raises Unsound.

    A header row; a row ends at LF, CR or both outside of quotes; a quote counts where a field
    begins, and there "" is one; an empty line is a row of one column only.
    """
    text = text.removeprefix(b"\xef\xbb\xbf")
    names: list[str] | None = None
    rows = []
    at = 0
    while at < len(text):
        fields, at, is_empty = _record(text, at, delimiter)
        if names is None:
            if is_empty:
                continue
            names = [_text(field) for field in fields]
            if "" in names or len(set(names)) < len(names):
                raise Unsound("names")
        elif is_empty and len(names) > 1:
            continue
        elif len(fields) != len(names):
            raise Unsound("fields")
        else:
            rows.append(dict(zip(names, map(_text, fields), strict=True)))
    if names is None:
        raise Unsound("header")
    return rows


def _record(text: bytes, at: int, delimiter: bytes) -> tuple[list[bytes], int, bool]:
    """Return the fields of the row at a place, where the next one begins, and if it is a line
    without anything."""
    fields, begin = [], at
    while True:
        field = bytearray()
        if text[at : at + 1] == b'"':
            at += 1
            while True:
                if at >= len(text):
                    raise Unsound("quote without its partner")
                if text[at] == _QUOTE:
                    if text[at + 1 : at + 2] != b'"':
                        break
                    at += 1
                field.append(text[at])
                at += 1
            at += 1
            if at < len(text) and text[at : at + 1] != delimiter and text[at] not in _ENDS:
                raise Unsound("text behind a quote")
        else:
            while at < len(text) and text[at : at + 1] != delimiter and text[at] not in _ENDS:
                field.append(text[at])
                at += 1
        fields.append(bytes(field))
        if text[at : at + 1] != delimiter:
            break
        at += 1
    is_empty = at == begin
    at += 2 if text[at : at + 2] == b"\r\n" else 1
    return fields, at, is_empty


def _text(field: bytes) -> str:
    try:
        return field.decode()
    except UnicodeDecodeError:
        raise Unsound("no UTF-8") from None


def json_objects(lines: list[str]) -> list[dict[str, Any]]:
    """Return the objects of JSON lines (RFC 8259, of two equal keys the last); Raises Unsound."""

    def refuse(name: str) -> None:
        raise Unsound(name)

    found = []
    for line in lines:
        try:
            value = json.loads(line, parse_constant=refuse)
        except (ValueError, RecursionError) as error:
            raise Unsound(str(error)) from None
        if not isinstance(value, dict):
            raise Unsound("no object")
        found.append(value)
    return found


def assert_holds(found: Any, value: Any, kind: Any) -> None:
    """Check that a value of a column is the one of the object.

    kind  of a column, as `json_structure` has it
    """
    if value is None or found is None:
        assert found is None
        assert value is None or kind == "JSON" or value == {}
    elif kind == "JSON":
        assert json.loads(found) == value
        assert type(json.loads(found)) is type(value)
    elif isinstance(kind, dict):
        assert set(value) <= set(kind)
        for key, inner in kind.items():
            assert_holds(found[key], value.get(key), inner)
    elif isinstance(kind, list):
        assert len(found) == len(value)
        for one, other in zip(found, value, strict=True):
            assert_holds(one, other, kind[0])
    else:
        assert found == value
        assert isinstance(value, bool) == (kind == "BOOLEAN")
