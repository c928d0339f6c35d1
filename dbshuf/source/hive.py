"""Columns out of folders: `lang=en/part-0.parquet` has a column `lang`, `en` in every row.

As Spark writes them: names and values are percent-encoded, and `__HIVE_DEFAULT_PARTITION__`
is null. A column is BIGINT where all its values are whole numbers as they are written
(no `007`), DATE where all are dates as `2024-02-29`, and else VARCHAR.
"""

import datetime
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import unquote

from dbshuf.errors import NotUtf8, UsageError
from dbshuf.source.input import Input, Key

_NULL = "__HIVE_DEFAULT_PARTITION__"
_WHOLE = re.compile(r"0|-?[1-9][0-9]*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOST = 1 << 63


def with_folder_keys(
    inputs: Sequence[Input], asked: bool | None, *, rows: str | None
) -> tuple[Input, ...]:
    """Return the inputs with the keys that their folders give.

    asked   True: all folders of each path count, and each must give the same keys; None:
            folders below a directory or glob that the user named, where all its files lie in
            folders of the same keys; False: none
    rows    what the inputs hold if they are no rows with columns, else None
    Raises  UsageError, NotUtf8
    """
    if asked is False or (asked is None and rows is not None):
        return tuple(inputs)
    if asked and rows is not None:
        raise UsageError(
            f"--hive is for rows with columns, and the inputs are {rows}",
            hint="say with --from what they are; SQL sees the path of a line as `source`",
        )
    found = [folder_keys(one.place) for one in inputs] if asked else _keys_below(inputs)
    if asked:
        _check_one_set(inputs, found)
    kinds = _kinds(key for keys in found for key in keys)
    return tuple(
        replace(one, keys=tuple(replace(key, kind=kinds[key.name]) for key in keys))
        for one, keys in zip(inputs, found, strict=True)
    )


def _keys_below(inputs: Sequence[Input]) -> list[list[Key]]:
    """Return the keys of each input by the folders below the one that was named."""
    found = [[] if one.below is None else folder_keys(one.below) for one in inputs]
    sets: dict[str, set[tuple[str, ...]]] = {}
    for one, keys in zip(inputs, found, strict=True):
        if one.below is not None:
            sets.setdefault(_above(one), set()).add(_names(keys))
    return [
        keys if one.below and _is_one_set(sets[_above(one)]) else []
        for one, keys in zip(inputs, found, strict=True)
    ]


def _above(one: Input) -> str:
    """Return the folder that was named, of an input below it."""
    folder = os.path.dirname(one.place)
    return folder[: len(folder) - len(one.below or "")].rstrip("/")


def _is_one_set(sets: set[tuple[str, ...]]) -> bool:
    names = next(iter(sets))
    return len(sets) == 1 and len(set(names)) == len(names) > 0


def _names(keys: Sequence[Key]) -> tuple[str, ...]:
    return tuple(sorted(key.name.lower() for key in keys))


def folder_keys(folder: str) -> list[Key]:
    """Return the keys in a path of folders, from the outermost."""
    found = []
    for part in folder.split("/"):
        name, is_key, value = part.partition("=")
        if is_key and name:
            text = None if value == _NULL else _decoded(value, folder)
            found.append(Key(_decoded(name, folder), text))
    return found


def _decoded(text: str, folder: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:  # a `%` that encodes nothing
        decoded = text
    try:
        decoded.encode()
    except UnicodeEncodeError:
        raise NotUtf8(
            f"the folder `{folder}` is to give a column, and is no UTF-8",
            hint="rename it, or leave the columns of folders out with --no-hive",
        ) from None
    return decoded


def _check_one_set(inputs: Sequence[Input], found: Sequence[Sequence[Key]]) -> None:
    """Raise UsageError unless all inputs have the same keys, each of them once."""
    for one, keys in zip(inputs, found, strict=True):
        names = _names(keys)
        if not names:
            raise UsageError(
                f"--hive: `{one.name}` lies in no folder such as `lang=en`",
                hint="leave --hive out, or shuffle it apart",
            )
        if len(set(names)) < len(names):
            raise UsageError(
                f"--hive: the path of `{one.name}` has a key twice", hint="leave --hive out"
            )
        if names != _names(found[0]):
            first, other = (", ".join(f"`{key.name}`" for key in some) for some in (found[0], keys))
            raise UsageError(
                f"--hive: the folders of `{inputs[0].name}` have the keys {first}, and those of"
                f" `{one.name}` {other}",
                hint="leave --hive out, or shuffle them apart",
            )


def _kinds(keys: Iterable[Key]) -> dict[str, str]:
    """Return the kind of every key by name, from all its values."""
    texts: dict[str, set[str]] = {}
    for key in keys:
        texts.setdefault(key.name, set()).update([] if key.text is None else [key.text])
    return {name: _kind(some) for name, some in texts.items()}


def _kind(texts: set[str]) -> str:
    if texts and all(_WHOLE.fullmatch(text) and -_MOST <= int(text) < _MOST for text in texts):
        return "BIGINT"
    return "DATE" if texts and all(map(_is_date, texts)) else "VARCHAR"


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text)) and bool(datetime.date.fromisoformat(text))
    except ValueError:
        return False
