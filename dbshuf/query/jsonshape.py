"""The types of JSON lines, from all of them, so that no value is lost on the way to a column.

DuckDB names the shape of a value (json_structure), but calls an integer of more than 64
bits DOUBLE, and an integer and a fraction together too. So lines that have a number of 16
digits or a large exponent are looked at here, and what no number type holds exactly
becomes JSON, the value's own text. Fractions are doubles, as JSON is mostly read.
"""

import json
import math
import queue
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dbshuf.errors import QueryFailed, QueryInvalid
from dbshuf.query.chunks import ChunkDatabase, ChunkRunner, ChunkStep
from dbshuf.statements import filled, identifier, quoted
from dbshuf.units import MIB

_FROM = "--from json"
_WAY_OUT = "read the input as lines, and take values with line->>'$.key'"
_MEMORY_BYTES = 256 * MIB  # of DuckDB, for the shapes that differ
_LARGE_DIGITS = 38  # of a DECIMAL
_EXACT = 1 << 53  # integers up to here are doubles, too
_NUMBER, _NOTHING = "[0-9]{16}|[eE][+-]?[0-9]{3}", "$."  # what to look at here: this, or none
_SPACE = " \t\r\n"
_ROW = "row"


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

    def add_structure(self, structure: Any, *, in_list: bool = False) -> None:
        """Add what json_structure says of a value without large numbers."""
        if isinstance(structure, dict):
            self.kinds.add("object")
            for key, inner in structure.items():
                self.fields.setdefault(key, JsonShape()).add_structure(inner, in_list=in_list)
        elif isinstance(structure, list):
            self._elements().add_structure(structure[0], in_list=True)
        elif structure == "JSON":  # outside a list always an object without keys
            self.kinds.add("any" if in_list else "object")
        else:
            self.kinds |= _KINDS[structure]

    def add_value(self, value: Any) -> None:
        """Add a value as `_DECODER` gives it."""
        if isinstance(value, str):
            self.kinds.add("str")
        elif isinstance(value, _Pairs):
            self.kinds.add("object")
            for key, inner in value:
                if (shape := self.fields.get(key)) is None:
                    shape = self.fields[key] = JsonShape()
                shape.add_value(inner)
        elif isinstance(value, list):
            elements = self._elements()
            for inner in value:
                elements.add_value(inner)
        elif isinstance(value, bool):
            self.kinds.add("bool")
        elif isinstance(value, int):
            self.kinds |= _integer(value)
        elif isinstance(value, float):
            self.kinds.add("infinite" if math.isinf(value) else "fraction")
        else:
            self.kinds.add("null")

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


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of an object, as they came."""


_KINDS = {
    "NULL": {"null"},
    "BOOLEAN": {"bool"},
    "VARCHAR": {"str"},
    "UBIGINT": {"int"},
    "BIGINT": {"int", "negative"},
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


def _clash(keys: Iterable[str]) -> str:
    """Say which keys SQL cannot have as columns side by side, or nothing."""
    seen: dict[str, str] = {}
    for key in keys:
        other = seen.setdefault(key.lower(), key)
        if not key:
            return "an object has an empty key, and a column must have a name"
        if other is not key:
            return f"SQL takes the keys `{other}` and `{key}` for one column"
    return ""


def _integer(value: int) -> set[str]:
    kinds = {"negative", "int"} if value < 0 else {"int"}
    if not -(1 << 63) <= value < 1 << 63:
        is_large = abs(value) < 10**_LARGE_DIGITS
        kinds.add("unsigned" if 0 <= value < 1 << 64 else "large" if is_large else "huge")
    if abs(value) > _EXACT:
        kinds.add("inexact")
    return kinds


_DECODER = json.JSONDecoder(object_pairs_hook=_Pairs)  # a dict would drop a key that comes twice


class _Shapes:
    """What one worker needs to find the shapes of chunks."""

    def __init__(self, database: ChunkDatabase) -> None:
        def runner(number: str) -> ChunkRunner:
            query = filled("duckdb", "json_shapes", number=quoted(number), row=identifier(_ROW))
            return ChunkRunner(database, ChunkStep(_FROM, query.text, ("line",), None, _ROW))

        self._split, self._whole = runner(_NUMBER), runner(_NOTHING)

    def close(self) -> None:
        self._split.close()
        self._whole.close()

    def of(self, chunk: pa.RecordBatch) -> list[Any]:
        """Return structures and values of a chunk's objects. Raises QueryFailed."""

        def place(row: int) -> str:
            if not {"source", "position"} <= set(chunk.schema.names):
                return "a line"
            return f"`{chunk['source'][row]}` at byte {chunk['position'][row]}"

        shapes: dict[int, Any] = {}
        odd: dict[int, str] = {}
        for row in self._split.run(chunk, place).to_pylist():
            try:
                decode = _DECODER.decode if row["is_text"] else json.loads
                shapes[row[_ROW]] = decode(row["shape"].strip(_SPACE))
            except (ValueError, RecursionError):
                odd[row[_ROW]] = row["shape"]
        if odd:  # no JSON, or what DuckDB takes for it all the same: a comma too many
            self._whole.run(chunk, place)
        for number, line in odd.items():
            one = pa.RecordBatch.from_arrays([pa.array([line], pa.string())], names=["line"])
            found = self._whole.run(one, place).column("shape")[0].as_py()
            shapes[number] = _Odd(json.loads(found))
        return [shapes[number] for number in sorted(shapes)]


@dataclass(frozen=True)
class _Odd:
    """The structure of an object in which a number may be of any size."""

    structure: Any


def _wide(structure: Any) -> Any:
    """Return a structure in which every number is JSON: its own text."""
    if isinstance(structure, dict):
        return {key: _wide(inner) for key, inner in structure.items()}
    if isinstance(structure, list):
        return [_wide(inner) for inner in structure]
    return "MIXED" if structure in ("UBIGINT", "BIGINT", "DOUBLE") else structure


def infer_json_structure(chunks: Iterable[pa.RecordBatch], *, threads: int = 1) -> str:
    """Return the type of the objects of all lines, one a line, as from_json takes it.

    chunks   batches with a column `line` (VARCHAR, no terminator), which own their bytes;
             those with columns `source` and `position` have them named in errors
    threads  that look at chunks at the same time
    Raises   QueryFailed for a line that is no object, QueryInvalid for keys that cannot be
             columns; lines of white space are skipped
    """
    shape = JsonShape()
    threads = max(threads, 1)
    database = ChunkDatabase(_MEMORY_BYTES)
    idle = [_Shapes(database) for _ in range(threads)]
    workers = queue.SimpleQueue[_Shapes]()
    for worker in idle:
        workers.put(worker)

    def shapes_of(chunk: pa.RecordBatch) -> list[Any]:
        worker = workers.get()
        try:
            return worker.of(chunk)
        finally:
            workers.put(worker)

    waiting: deque[Future[list[Any]]] = deque()
    try:
        with ThreadPoolExecutor(threads) as pool:
            for chunk in chunks:
                waiting.append(pool.submit(shapes_of, chunk))
                if len(waiting) > threads:
                    _add(shape, waiting.popleft().result())
            while waiting:
                _add(shape, waiting.popleft().result())
    except QueryFailed as error:
        raise QueryFailed(error.message, hint=_WAY_OUT) from None
    finally:
        for worker in idle:
            worker.close()
    return _text_of(shape)


def _add(shape: JsonShape, found: list[Any]) -> None:
    for one in found:
        if isinstance(one, _Pairs):
            shape.add_value(one)
        else:
            shape.add_structure(_wide(one.structure) if isinstance(one, _Odd) else one)


def _text_of(shape: JsonShape) -> str:
    if clash := _clash(shape.fields):
        raise QueryInvalid(f"{_FROM}: {clash}", hint=_WAY_OUT)
    fields = {key: inner.structure() for key, inner in shape.fields.items()}
    return json.dumps(fields, ensure_ascii=False)
