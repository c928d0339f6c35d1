"""The types of JSON lines, from all of them, so that no value is lost on the way to a column.

DuckDB names the shape of a value (json_structure), but calls an integer of more than 64
bits DOUBLE, and an integer and a fraction together too; and it takes `[1,]` and NaN for
JSON. So lines that have a number of 16 digits, a large exponent, or what may be such a
flaw are looked at here. What no number type holds exactly becomes JSON, the value's own
text. Fractions are doubles, as JSON is mostly read.
"""

import contextlib
import json
import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from dbshuf.base.row_batch import I64, arrow_numbers
from dbshuf.base.statements import filled, identifier, quoted
from dbshuf.errors import QueryFailed, QueryInvalid
from dbshuf.query.evaluator import ChunkDatabase, ChunkRunner, ChunkStep, Spare
from dbshuf.query.json_decoding import DEEPEST, SPACE, structure_of, value_of
from dbshuf.query.json_keys import (
    TWICE,
    Pairs,
    count_keys,
    has_twice,
    keys_in,
    keys_with_lists,
    may_have_twice,
    without_twice,
)
from dbshuf.query.json_rows import json_needs, without_marks
from dbshuf.units import MIB

_FROM = "--from json"
_WAY_OUT = "read the input as lines, and take values with line->>'$.key'"
_MEMORY_BYTES = 256 * MIB  # of DuckDB, for the shapes that differ
_LARGE_DIGITS = 38  # of a DECIMAL
_EXACT = 1 << 53  # integers up to here are doubles, too
_NO_NUMBER = "[nN][aA][nN]|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?"
_LOOK = "|".join(  # what to look at here; of flaws only what DuckDB overlooks
    ["[0-9]{16}", "[eE][+-]?[0-9]{3}", f",{SPACE}[]}}]", f"(?:{_NO_NUMBER}){SPACE}[],}}]"]
)
_ROW, _KEYS = "row", "keys"

_Found = list[tuple[Callable[[], str], Any]]  # of a chunk: places, and structures or values


class JsonShape:
    """What the values of one place in all lines are.

    kinds   of them: null, bool, str, any (a mixture), object, list, and of numbers int
            (64 bits), negative, unsigned (64 bits), large (38 digits), huge, inexact
            (not in a double), fraction, infinite (as a double)
    fields  key -> shape of its values, of objects
    items   shape of the elements, of lists
    """

    __slots__ = ("fields", "items", "kinds")

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.fields: dict[str, JsonShape] = {}
        self.items: JsonShape | None = None

    def add_structure(self, structure: Any, *, in_list: bool = False, level: int = 0) -> None:
        """Add what json_structure says of a value without large numbers."""
        if isinstance(structure, dict | list) and level > DEEPEST:
            self.kinds.add("any")
        elif isinstance(structure, dict):
            self.kinds.add("object")
            for key, inner in structure.items():
                self._field(key).add_structure(inner, in_list=in_list, level=level + 1)
        elif isinstance(structure, list):
            self._elements().add_structure(structure[0], in_list=True, level=level + 1)
        elif structure == "JSON":  # outside a list an object without keys; or a key that came
            self.kinds.add("any" if in_list else "object")  # twice, whose last value is added too
        else:
            self.kinds |= _KINDS[structure]

    def add_value(self, value: Any, level: int = 0) -> None:
        """Add a value as `value_of` gives it."""
        if isinstance(value, str):
            self.kinds.add("str")
        elif isinstance(value, list) and level > DEEPEST:
            self.kinds.add("any")
        elif isinstance(value, Pairs):
            self.kinds.add("object")
            for key, inner in value:
                self._field(key).add_value(inner, level + 1)
        elif isinstance(value, list):
            elements = self._elements()
            for inner in value:
                elements.add_value(inner, level + 1)
        elif isinstance(value, bool):
            self.kinds.add("bool")
        elif isinstance(value, int):
            self.kinds |= _integer(value)
        elif isinstance(value, float):
            self.kinds.add("infinite" if math.isinf(value) else "fraction")
        else:
            self.kinds.add("null")

    def _field(self, key: str) -> "JsonShape":
        if (shape := self.fields.get(key)) is None:
            shape = self.fields[key] = JsonShape()
        return shape

    def _elements(self) -> "JsonShape":
        self.kinds.add("list")
        if self.items is None:
            self.items = JsonShape()
        return self.items

    def structure(self) -> Any:
        """Return the type that holds all values, in the form that from_json takes."""
        kinds = self.kinds - {"null"}
        numbers = kinds & _NUMBERS
        if numbers and numbers == kinds:
            return _number(numbers)
        if kinds == {"str"}:
            return "VARCHAR"
        if kinds == {"bool"}:
            return "BOOLEAN"
        if kinds == {"list"}:
            return [self.items.structure() if self.items else "JSON"]
        if kinds == {"object"} and self.fields and not _clash(self.fields):
            return {key: inner.structure() for key, inner in self.fields.items()}
        return "JSON"


_KINDS = {
    "NULL": {"null"},
    "BOOLEAN": {"bool"},
    "VARCHAR": {"str"},
    "UBIGINT": {"int"},
    "BIGINT": {"int", "negative"},
    "HUGEINT": {"int", "negative"},  # of both in a list; more than 15 digits never come here
    "DOUBLE": {"fraction"},
    "MIXED": {"any"},
}
_NUMBERS = {
    "int", "negative", "unsigned", "large", "huge", "inexact", "fraction", "infinite",
}  # fmt: skip


def _number(kinds: set[str]) -> str:
    if kinds & {"huge", "infinite"}:
        return "JSON"
    if "fraction" in kinds:
        return "JSON" if "inexact" in kinds else "DOUBLE"
    if "large" in kinds or kinds >= {"negative", "unsigned"}:
        return f"DECIMAL({_LARGE_DIGITS},0)"
    return "UBIGINT" if "unsigned" in kinds else "BIGINT"


def _clash(keys: Iterable[str], seen: dict[str, str] | None = None) -> str:
    """Say which keys SQL cannot have as columns side by side, or nothing.

    seen  keys in lower case -> as they are; those that are new are added
    """
    seen = {} if seen is None else seen
    for key in keys:
        other = seen.setdefault(key.lower(), key)
        if not key:
            return "an object has an empty key, and a column must have a name"
        if other is not key:
            return f"SQL takes the keys `{other}` and `{key}` for one column"
        if "\0" in key:
            return f"the key {key!r} has a NUL in it, and a column's name cannot"
    return ""


def _integer(value: int) -> set[str]:
    kinds = {"negative", "int"} if value < 0 else {"int"}
    if not -(1 << 63) <= value < 1 << 63:
        is_large = abs(value) < 10**_LARGE_DIGITS
        kinds.add("unsigned" if 0 <= value < 1 << 64 else "large" if is_large else "huge")
    if abs(value) > _EXACT:
        kinds.add("inexact")
    return kinds


class _Shapes:
    """What one worker needs to find the shapes of chunks."""

    def __init__(self, database: ChunkDatabase, twice: threading.Event) -> None:
        """twice  is set once an object is seen that has a key twice."""
        query = filled(
            "duckdb",
            "json_shapes",
            look=quoted(_LOOK),
            row=identifier(_ROW),
            keys=identifier(_KEYS),
        )
        read = ("line", _KEYS)
        step = ChunkStep(_FROM, query.text, read, None, _ROW, needs=json_needs)
        self._runner, self._twice = ChunkRunner(database, step), twice

    def close(self) -> None:
        self._runner.close()

    def of(self, chunk: pa.RecordBatch) -> _Found:
        """Return the places, and structures or values, of a chunk's objects. Raises QueryFailed."""

        chunk = without_marks(chunk)
        keys = count_keys(chunk.column("line"))
        chunk = chunk.append_column(_KEYS, arrow_numbers(keys))

        def place(row: int) -> str:
            if not {"source", "position"} <= set(chunk.schema.names):
                return "a line"
            return f"`{chunk['source'][row]}` at byte {chunk['position'][row]}"

        found: _Found = []
        certain: list[int] = []  # keys of shapes that may have more of them
        unsure: list[int] = []  # likewise, where one may have values of several types
        for row in self._runner.run(chunk, place).to_pylist():
            where, text = partial(place, row[_ROW]), row["shape"]
            try:
                value = value_of(text) if row["is_text"] else structure_of(text)
            except ValueError as error:
                raise QueryFailed(f"{where()}: {_FROM}: {_sentence(error)}") from None
            found.append((where, value))
            if (count := keys_in(value)) < row[_KEYS]:
                certain.append(count)
                unsure += [count] * _is_open(value)
        names = sum(keys_with_lists(value) for _, value in found)
        if certain and not self._twice.is_set():
            doubtful = chunk.column("line").filter(pa.array(keys > min(certain)))
            if may_have_twice(doubtful, names) and has_twice(one.as_py() for one in doubtful):
                self._twice.set()
        if unsure and self._twice.is_set():
            found += _with_twice(chunk.column("line"), np.flatnonzero(keys > min(unsure)), place)
        return found


def _is_open(structure: Any) -> bool:
    """Whether an object in a structure has no keys, or a key came twice with other types."""
    if isinstance(structure, dict):
        return any(map(_is_open, structure.values()))
    return bool(structure == "JSON")


def _with_twice(lines: pa.Array, rows: I64, place: Callable[[int], str]) -> _Found:
    """Return places and values of those lines that have a key twice, of equal keys the last."""
    texts = ((row, lines[row].as_py()) for row in rows.tolist())
    return [
        (partial(place, row), value_of(without_twice(text)))
        for row, text in texts
        if has_twice([text])
    ]


def _sentence(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return (
            f"no JSON: {error.msg[:1].lower()}{error.msg[1:]} at character {error.pos} of the line"
        )
    return str(error)


def infer_json_structure(
    chunks: Iterable[pa.RecordBatch],
    *,
    threads: int = 1,
    are_columns: bool = True,
    spare: Spare | None = None,
) -> str:
    """Return the type of the objects of all lines, one a line, as from_json takes it.

    A key TWICE, which no column has, says that of some objects the last of equal keys counts.

    chunks   batches with a column `line` (VARCHAR, no terminator), which own their bytes;
             those with columns `source` and `position` have them named in errors
    threads  that look at chunks at the same time
    are_columns  whether the keys must be names of columns
    spare    for a line that takes much memory
    Raises   QueryFailed for a line that is no object, QueryInvalid for keys that cannot be
             columns; lines of white space are skipped
    """
    shape, names = JsonShape(), dict[str, str]()
    twice = threading.Event()
    try:
        with contextlib.closing(_shapes_of(chunks, max(threads, 1), twice, spare)) as each:
            for found in each:
                _add(shape, found, names if are_columns else None)
    except QueryFailed as error:
        raise QueryFailed(error.message, hint=error.hint or _WAY_OUT) from None
    fields = {key: inner.structure() for key, inner in shape.fields.items()}
    if twice.is_set():
        fields[TWICE] = "JSON"
    return json.dumps(fields, ensure_ascii=False)


def _shapes_of(
    chunks: Iterable[pa.RecordBatch], threads: int, twice: threading.Event, spare: Spare | None
) -> Generator[_Found]:
    """Yield what each chunk has, in their order; `twice` is set as infer_json_structure says."""
    database = ChunkDatabase(_MEMORY_BYTES, spare=spare)
    idle = [_Shapes(database, twice) for _ in range(threads)]
    workers = queue.SimpleQueue[_Shapes]()
    for worker in idle:
        workers.put(worker)

    def shapes_of(chunk: pa.RecordBatch) -> _Found:
        worker = workers.get()
        try:
            return worker.of(chunk)
        finally:
            workers.put(worker)

    waiting: deque[Future[_Found]] = deque()
    try:
        with ThreadPoolExecutor(threads) as pool:
            for chunk in chunks:
                waiting.append(pool.submit(shapes_of, chunk))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        for worker in idle:
            worker.close()


def _add(shape: JsonShape, found: _Found, names: dict[str, str] | None) -> None:
    """Add what a chunk has. Raises QueryInvalid for the first key that cannot be a column.

    names  the keys so far as SQL sees them -> as they are; None: they need not be columns
    """
    for place, one in found:
        known = len(shape.fields)
        if isinstance(one, Pairs):
            shape.add_value(one)
        else:
            shape.add_structure(one)
        if names is None or len(shape.fields) == known:
            continue
        if clash := _clash(list(shape.fields)[known:], names):
            raise QueryInvalid(f"{place()}: {_FROM}: {clash}", hint=_WAY_OUT)
