"""JSON objects in which a key comes more than once: the last of them counts, as in Python.

DuckDB takes the first. Whether there are such lines shows when all of them are read for their
types: a line in which `"` and a colon meet as often as its shape has keys has none. Others, of
lists of objects or with a text such as `":)`, are looked at one by one.
"""

import json
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.row_batch import I64
from dbshuf.units import MIB

TWICE = ""  # the key of a structure that says that keys come twice; no column has this name
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}:,]', re.DOTALL)
_MOST_KEYS, _STEP_BYTES = 64, MIB  # of what pyarrow reads at once
_COLON, _QUOTE = ord(":"), ord('"')
_SPACES = [ord(one) for one in " \t\r\n"]


class Pairs(list[tuple[str, Any]]):
    """The keys and values of an object, as they came."""


class _Twice(Exception):
    """A key came again."""


def _look(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({key for key, _ in pairs}) < len(pairs):
        raise _Twice


_DECODER = json.JSONDecoder(object_pairs_hook=_look)


def count_keys(lines: pa.Array) -> I64:
    """Return how often a quote and a colon meet in each line: as often as it has keys, or more.

    lines  pyarrow string, shape (rows,), no nulls
    """
    ends = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset :][: len(lines) + 1]
    if not len(lines) or ends[0] == ends[-1]:
        return np.zeros(len(lines), np.int64)
    text = np.frombuffer(lines.buffers()[2], np.uint8)[ends[0] : ends[-1]]
    colons = np.flatnonzero(text == _COLON)
    before = colons - 1
    while (is_space := np.isin(text[before], _SPACES) & (before > 0)).any():
        before[is_space] -= 1
    colons = colons[text[before] == _QUOTE]
    counts: I64 = np.diff(np.searchsorted(colons, ends - ends[0])).astype(np.int64)
    return counts


def keys_in(structure: Any) -> int:
    """Return how many keys a value has that differ.

    structure  of a value, where lists count for nothing: they may hold any number of objects;
               or with Pairs in it the value itself
    """
    if isinstance(structure, dict):
        return len(structure) + sum(map(keys_in, structure.values()))
    if isinstance(structure, Pairs):
        inner = sum(keys_in(value) for _, value in structure)
        return len({key for key, _ in structure}) + inner
    return 0


def keys_with_lists(structure: Any) -> int:
    """Return how many keys a structure has, those of objects in lists too; many where unknown."""
    if isinstance(structure, dict):
        return len(structure) + sum(map(keys_with_lists, structure.values()))
    if isinstance(structure, list) and not isinstance(structure, Pairs):
        return sum(map(keys_with_lists, structure))
    return 0 if isinstance(structure, str) else _MOST_KEYS + 1


def has_twice(lines: Iterable[str]) -> bool:
    """Whether a key comes twice in an object of one of these lines."""
    for line in lines:
        try:
            _DECODER.decode(line)
        except _Twice:
            return True
        except RecursionError:
            if without_twice(line) != line:
                return True
        except ValueError:  # it is no JSON, as is said elsewhere
            continue
    return False


def may_have_twice(lines: pa.Array, keys: int) -> bool:
    """Whether a key may come twice in an object of these lines; sure where it does not.

    pyarrow refuses such objects, in a fifth of the time that Python takes to look at them.

    lines  pyarrow string, shape (rows,), no nulls, of objects of few levels
    keys   that they have, all together; many would make wide tables of little
    """
    if keys > _MOST_KEYS:
        return True
    from pyarrow import json as arrow_json

    lines = pc.binary_join_element_wise(lines, "", "\n")
    ends = np.frombuffer(lines.buffers()[1], np.int32)[: len(lines) + 1]
    cuts = np.searchsorted(ends, np.arange(_STEP_BYTES, ends[-1], _STEP_BYTES)).tolist()
    for first, stop in pairwise(sorted({0, *cuts, len(lines)})):
        text = lines.buffers()[2].slice(int(ends[first]), int(ends[stop] - ends[first]))
        options = arrow_json.ReadOptions(use_threads=False, block_size=text.size + 1)
        try:
            arrow_json.read_json(pa.BufferReader(text), read_options=options)
        except pa.ArrowInvalid:  # or for the sake of types that differ
            return True
    return False


def with_last_keys(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch in which of equal keys in an object of `line` the last is left."""
    number = batch.schema.get_field_index("line")
    lines = batch.column(number)
    texts = lines.to_pylist()
    changed = [without_twice(one) if has_twice([one]) else one for one in texts]
    if changed == texts:
        return batch
    return batch.set_column(number, "line", pa.array(changed, lines.type))


def without_note(structure: str) -> str:
    """Return a structure that does not say whether keys come twice."""
    fields = json.loads(structure)
    fields.pop(TWICE, None)
    return json.dumps(fields, ensure_ascii=False)


def without_twice(text: str) -> str:
    """Return sound JSON without the members whose keys come again in their objects."""
    cuts: list[tuple[int, int]] = []
    # Of each level that is open: an object's keys and where they begin, or nothing of a list.
    levels: list[dict[str, int] | None] = []
    names: list[list[int]] = []  # where the members of each level begin
    is_key = False
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in "{[":
            levels.append({} if token == "{" else None)
            names.append([])
            is_key = token == "{"
        elif token in "}]":
            levels.pop()
            names.pop()
            is_key = False
        elif token == ",":
            is_key = bool(levels) and levels[-1] is not None
        elif token[0] == '"' and is_key:
            known, begins = levels[-1], names[-1]
            assert known is not None
            key = json.loads(token, strict=False)
            begins.append(found.start())
            if (old := known.get(key)) is not None:
                cuts.append((begins[old], begins[old + 1]))
            known[key] = len(begins) - 1
            is_key = False
    kept, end = [], 0
    for first, stop in sorted(cuts):
        if stop > end:
            kept.append(text[end : max(first, end)])
            end = stop
    return "".join([*kept, text[end:]])
