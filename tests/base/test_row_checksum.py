"""The checksum of rows is what its definition says, slowly and one value at a time."""

import datetime as dt
import random
import struct
from decimal import Decimal
from functools import cache

import numpy as np
import pyarrow as pa

from dbshuf.base.row_checksum import hashes_of_lines, hashes_of_rows, sum_of

GAMMA, MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


def mix(x):
    x &= MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


@cache
def factor(number):
    return mix(number * GAMMA)


def text(data):
    blocks = []
    for at in range(0, max(len(data), 1), 8192):
        block = data[at : at + 8192]
        block += bytes(-len(block) % 8)
        words = struct.unpack(f"<{len(block) // 8}Q", block)
        blocks.append(
            sum(
                word * factor(2 * k + 1) + (word >> 32) * factor(2 * k + 2)
                for k, word in enumerate(words)
            )
        )
    if len(blocks) > 1:
        blocks = [mix(block + number * GAMMA) for number, block in enumerate(blocks)]
    return mix(len(data) * GAMMA + sum(blocks))


def listed(values):
    return mix(len(values) * GAMMA + sum((2 * i + 1) * one for i, one in enumerate(values)))


def row(*values):
    return listed(values)


def test_lines_have_the_hashes_of_the_definition():
    rng = random.Random(1)
    sizes = [0, 1, 7, 8, 9, 0, 16, 147, 8191, 8192, 8193, 30_000, *rng.choices(range(90), k=200), 5]
    sizes += [127, 129, 143, 145, 255, 257, 300, 511, 513, 1023, 1025, 2049, 4000, 7777]
    lines = [rng.randbytes(size) for size in sizes]
    data = np.frombuffer(b"".join(line + b"\n" for line in lines), np.uint8)
    bounds = np.cumsum([0, *(len(line) + 1 for line in lines)])
    found = hashes_of_lines(data, bounds.astype(np.int32))
    assert found.tolist() == [row(text(line)) for line in lines]
    assert sum_of(found) == sum(found.tolist()) & MASK
    as_rows = pa.record_batch({"line": pa.array(lines, pa.binary())})
    assert hashes_of_rows(as_rows).tolist() == found.tolist()
    assert hashes_of_rows(as_rows.slice(5, 9)).tolist() == found.tolist()[5:14]


def test_typed_rows_have_the_hashes_of_the_definition():
    null = mix(2 * GAMMA)
    at = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    entry = pa.struct([("a", pa.int16()), ("b", pa.string())])
    batch = pa.record_batch(
        {
            "n": pa.array([9, 1, None, -2], pa.int64()),
            "ok": pa.array([False, True, None, False]),
            "t": pa.array([at, at, None, at], pa.timestamp("us", "UTC")),
            "l": pa.array([[], ["a", None], None, []], pa.list_(pa.large_string())),
            "s": pa.array([None, {"a": 1, "b": "x"}, None, {"a": None, "b": ""}], entry),
            "m": pa.array([[], [("k", 1)], None, []], pa.map_(pa.string(), pa.int32())),
            "z": pa.nulls(4),
        }
    ).slice(1)
    time = text(struct.pack("<q", 1767312000000000))
    one, empty = text(b"\1\0"), listed([])
    wanted = [
        row(
            text(struct.pack("<q", 1)),
            text(b"\1"),
            time,
            listed([text(b"a"), null]),
            listed([one, text(b"x")]),
            listed([listed([text(b"k"), text(b"\1\0\0\0")])]),
            null,
        ),
        row(*[null] * 7),
        row(
            text(struct.pack("<q", -2)),
            text(b"\0"),
            time,
            empty,
            listed([null, text(b"")]),
            empty,
            null,
        ),
    ]
    assert hashes_of_rows(batch).tolist() == wanted


def test_values_of_every_width_are_the_texts_of_their_bytes():
    kinds = [pa.int8(), pa.float16(), pa.date32(), pa.float64(), pa.binary(3), pa.binary(12)]
    some = [np.int8(-7), np.float16(1.5), dt.date(1969, 2, 3), -2.5, b"abc", b"twelve bytes"]
    columns = [pa.array([None, one, one], kind) for one, kind in zip(some, kinds, strict=True)]
    bits = [struct.pack("<bxe", -7, 1.5), struct.pack("<i", -332), struct.pack("<d", -2.5)]
    wanted = [bits[0][:1], bits[0][2:], *bits[1:], *some[4:]]
    for kind in (pa.decimal128(30, 2), pa.decimal256(60, 2)):
        columns.append(pa.array([None, Decimal("-3.21"), Decimal("-3.21")], kind))
        wanted.append((-321).to_bytes(kind.bit_width // 8, "little", signed=True))
    batch = pa.RecordBatch.from_arrays(columns, names=[f"c{n}" for n in range(len(columns))])
    assert hashes_of_rows(batch.slice(1)).tolist() == [row(*map(text, wanted))] * 2


def test_no_rows_and_no_columns():
    assert sum_of(hashes_of_lines(np.zeros(0, np.uint8), np.zeros(1, np.int32))) == 0
    empty = pa.record_batch(
        {"a": pa.array([], pa.string()), "b": pa.array([], pa.list_(pa.int8()))}
    )
    assert len(hashes_of_rows(empty)) == 0
    assert hashes_of_rows(pa.record_batch({"a": ["", ""]})).tolist() == [row(text(b""))] * 2
