"""Lines cut at any place, CSV, TSV and JSON lines, beside plain readings of them."""

import itertools
import json
import random
import threading

import numpy as np
import pyarrow as pa
from line_sources import streamed
from mutation import Target, damaged, joined
from plain_readers import Unsound, csv_rows, json_objects
from typed_sources import piped

from dbshuf.base.line_batch import Arena
from dbshuf.errors import DbshufError
from dbshuf.query.evaluator import ChunkDatabase
from dbshuf.query.json_columns import _Shapes
from dbshuf.source.lines.stream import Stream
from dbshuf.source.tables import csv as delimited
from dbshuf.source.tables.interface import BatchSize
from dbshuf.units import MIB

_LINES = [b"\n", b"\0", b"\r\n", b"a", b"\xff", b"\xef\xbb\xbf", b"x" * 30, b"\n\n", b"ab\ncd"]
_ARENA = Arena(np.empty(4096, np.uint8), 7)
_LARGER = Arena(np.empty(8192, np.uint8), 7)


def _make_lines(rng: random.Random) -> tuple[bytes, int, int, bytes]:
    text = damaged(rng, joined(rng, _LINES, 16), _LINES)
    return text, rng.randrange(3, 100), rng.randrange(1, 40), rng.choice((b"\n", b"\n", b"\0"))


def _check_lines(given: tuple[bytes, int, int, bytes]) -> bool:
    """Lines of a stream, whose buffers end anywhere, are those that a split gives."""
    text, limit, carry, terminator = given
    stream, end, lines = Stream(streamed(0, text), 0, carry), 0, []
    while not stream.is_done:
        begin = end if end < limit - 2 and not stream.is_in_arena else 0
        if stream.carried_bytes >= limit - 1:
            filled, arena, begin = stream.fill_long(_LARGER, 8192, terminator), _LARGER, 0
        else:
            filled, arena = stream.fill(_ARENA, begin, limit, terminator), _ARENA
        assert filled is not None
        assert filled.position + filled.end - begin == stream.position
        at = begin
        while at < filled.end:
            offsets, stop = arena.split(at, filled.end, terminator[0])
            bounds = offsets.tolist()
            lines += [arena.buffer[a:b].tobytes() for a, b in itertools.pairwise(bounds)]
            at = stop
        end = filled.end if arena is _ARENA and filled.end > begin else 0
    wanted = [line + terminator for line in text.split(terminator)]
    assert lines == wanted[: len(wanted) - text.endswith(terminator) - (not text)]
    return True


_FIELDS = [b"a", b'"', b'""', b",", b"\t", b"\n", b"\r\n", b"\r", b'",', b'\n"', b'"x\ny"', b" "]
_FIELDS += ["é".encode(), b"\0", b"a,b\n", b"\xff", b"\xef\xbb\xbf", b'"a""b",c\n', b"1\t2\n"]
_HEADERS = [b"c,d\n", b"c\n", b'\xef\xbb\xbf"c,\n1",d\r\n', b"\n\nc,d,e\r", b"", b"c\td\n"]


def _make_csv(rng: random.Random) -> tuple[bytes, int]:
    text = rng.choice(_HEADERS) + joined(rng, _FIELDS, rng.choice((6, 12, 24)))
    return damaged(rng, text, _FIELDS), rng.randrange(1, 90)


def _checked_csv(kind: str, delimiter: bytes):
    def check(given: tuple[bytes, int]) -> bool:
        text, delimited._BLOCK_BYTES = given
        try:
            table = delimited.DelimitedInput(piped(text), kind)
            names, found = table.schema.names, []
            for part in table.row_ranges(names):
                for batch in part.read(BatchSize(MIB)):
                    batch.validate(full=True)
                    found += batch.to_pylist()
        except (DbshufError, pa.ArrowInvalid):
            found = None
        try:
            wanted = csv_rows(text, delimiter)
        except Unsound as error:
            if str(error) == "names":  # two of one name: told apart by the reader
                return False
            wanted = None
        assert found == wanted
        return found is not None

    return check


_OF_JSON = r"""{ } [ ] : , " "a" "\u00e9" "\ud83d\ude00" 1 -0 1e999 tru true null NaN
-Infinity \ 1. .5 01
18446744073709551616 {"a":1} {"a":{"b":[]}} {"a":[1,"x",null]} {"a":1,"a":2} 0.1 1E+5 [[]]
{"é":"\n"} {"a":"\u0000"} {"b":-12345678901234567890} // ' \x \u12 + -"""
_JSON = [*_OF_JSON.split(), " ", "\t", "\x0b", "\x7f", "\ufeff", "\u2028"]
_TOKENS = [one.encode() for one in _JSON]
_SHAPES: list[_Shapes] = []


def _make_json(rng: random.Random) -> bytes:
    if rng.randrange(3):
        value = {rng.choice("abé"): _value(rng, 3) for _ in range(rng.randrange(4))}
        text = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode()
        return damaged(rng, text, _TOKENS).replace(b"\n", b" ")
    return joined(rng, _TOKENS, 10)


def _value(rng: random.Random, depth: int):
    kind = rng.randrange(8 if depth else 6)
    if kind >= 6:
        items = [_value(rng, depth - 1) for _ in range(rng.randrange(3))]
        return items if kind == 6 else dict(zip("xyé", items, strict=False))
    return (None, True, rng.randrange(-(10**20), 10**20), rng.random() * 1e9, "aé\n😀", "")[kind]


def _check_json(line: bytes) -> bool:
    """Whether the scan takes a line for an object as Python's json module does."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return False
    if not text.removeprefix("\ufeff").strip(" \t\r\n"):
        return False
    try:
        json_objects([text.removeprefix("\ufeff")])
        wanted = True
    except Unsound:
        wanted = False
    if not _SHAPES:
        _SHAPES.append(_Shapes(ChunkDatabase(64 * MIB), threading.Event()))
    try:
        _SHAPES[0].of(pa.RecordBatch.from_pydict({"line": [text]}))
        found = True
    except DbshufError:
        found = False
    # A half of a pair of surrogates stands for no character, and Python lets it pass.
    assert found == wanted or (wanted and "\\ud" in text.lower())
    return found


TARGETS = {
    "lines": Target(0.12, _make_lines, _check_lines),
    "csv": Target(0.02, _make_csv, _checked_csv("csv", b",")),
    "tsv": Target(0.01, _make_csv, _checked_csv("tsv", b"\t")),
    "json": Target(0.001, _make_json, _check_json),
}
