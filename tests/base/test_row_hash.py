"""128 bits for a row: equal for equal rows however they are held, and different for others."""

import numpy as np
import pyarrow as pa
import pytest

from dbshuf.base import row_hash
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_hash import (
    chosen_lines,
    chosen_rows,
    hash_lines,
    hash_rows,
    lines_in,
    lines_of,
)
from dbshuf.pipeline.verify.forms import ids_of_rows

SIZES = [*range(26), 63, 64, 65, 500, 2046, 2047, 2048, 2049, 5000]
WORDS = [bytes((7 * at + size) % 251 + 1 for at in range(size)) for size in SIZES]
TEXTS = [word.replace(b"\n", b"x") for word in WORDS]


def pairs(hashes):
    return list(zip(hashes.high.tolist(), hashes.low.tolist(), strict=True))


def of_texts(texts):
    return pairs(hash_lines(lines_in(memoryview(b"".join(t + b"\n" for t in texts)), b"\n")))


def test_a_line_has_one_hash_wherever_it_stands():
    """In a buffer, alone, as text to write, as a column of text or bytes, sliced or not."""
    alone = [of_texts([text])[0] for text in TEXTS]
    assert of_texts(TEXTS) == alone
    assert of_texts(TEXTS[::-1]) == alone[::-1]
    for kind in (pa.binary(), pa.large_binary()):
        column = pa.array([b"before", *TEXTS, b"behind"], kind).slice(1, len(TEXTS))
        assert pairs(hash_rows(pa.record_batch([column], ["line"]))) == alone
    text = b"".join(one + b"\0" for one in TEXTS)
    ends = np.cumsum([0, *(len(one) + 1 for one in TEXTS)]).astype(np.int32)
    batch = LineBatch(np.frombuffer(text, np.uint8), ends, ((0, 0),), kept=np.array([3, 9]))
    assert pairs(hash_lines(lines_of(batch))) == [alone[3], alone[9]]


def test_a_slice_of_lines_has_the_lines_and_ids_of_its_rows():
    """Of two inputs, all of them or some, and of lines that carry their ids."""
    text = b"".join(b"%d\n" % number for number in range(10))
    ends = np.arange(0, 21, 2).astype(np.int32)
    buffer = np.frombuffer(text, np.uint8)
    ids = np.arange(100, 110, dtype=np.uint64)
    for kept in (None, np.array([0, 3, 4, 8])):
        for batch in (
            LineBatch(buffer, ends, ((0, 0), (4, 1000)), kept),
            LineBatch(buffer, ends, ((0, 0),), kept, ids),
        ):
            whole = list(zip(of_batch(batch), ids_of_rows(batch).tolist(), strict=True))
            cut = []
            for first, last in ((0, 3), (3, 4), (4, 10)):
                part = batch.slice(first, last)
                cut += zip(of_batch(part), ids_of_rows(part).tolist(), strict=True)
            assert cut == whole


def of_batch(batch):
    return pairs(hash_lines(lines_of(batch)))


def test_every_bit_of_a_row_counts():
    for size in (1, 7, 8, 9, 31, 2100):
        row = bytes(size)
        changed = [
            row[:at] + bytes([1 << bit]) + row[at + 1 :] for at in range(size) for bit in (0, 7)
        ]
        values = pa.array([row, *changed], pa.binary())
        found = set(pairs(hash_rows(pa.record_batch([values], ["a"]))))
        assert len(found) == len(changed) + 1
        assert len({high for high, _ in found}) == len({low for _, low in found}) == len(found)


def test_a_sum_tells_when_two_rows_swap_a_part():
    """The sum over rows is of what is no sum over their bytes."""
    before, after = of_texts([b"ab-tail-1", b"cd-tail-2"]), of_texts([b"ab-tail-2", b"cd-tail-1"])
    for lane in (0, 1):
        assert sum(one[lane] for one in before) != sum(one[lane] for one in after)


ROWS = {
    "null is not empty": (pa.string(), [None, "", "a"]),
    "numbers": (pa.int32(), [None, 0, 1, -1, 2**31 - 1]),
    "doubles": (pa.float64(), [None, 0.0, -0.0, 1.5, float("inf")]),
    "wide numbers": (pa.decimal128(38, 2), [None, 0, 1, -1]),
    "odd widths": (pa.binary(3), [None, b"abc", b"abd"]),
    "truth": (pa.bool_(), [None, True, False]),
    "lists": (pa.list_(pa.int8()), [None, [], [None], [0], [0, 0], [1, 2], [2, 1]]),
    "lists of lists": (pa.list_(pa.list_(pa.int8())), [[], [[]], [[], []], [[1], [2]], [[1, 2]]]),
    "fixed lists": (pa.list_(pa.int8(), 2), [None, [0, 0], [0, 1], [1, 0], [None, 0]]),
    "structs": (
        pa.struct([("a", pa.string()), ("b", pa.string())]),
        [None, {}, {"a": ""}, {"a": "x"}, {"b": "x"}, {"a": "x", "b": "x"}],
    ),
    "maps": (pa.map_(pa.string(), pa.int8()), [None, [], [("k", 1)], [("k", None)], [("l", 1)]]),
}


@pytest.mark.parametrize(("kind", "values"), ROWS.values(), ids=ROWS)
def test_different_values_have_different_hashes_and_equal_ones_the_same(kind, values):
    """Also where they stand in a slice, behind other values."""
    once = pairs(hash_rows(pa.record_batch([pa.array(values, kind)], ["a"])))
    assert len(set(once)) == len(values)
    twice = pa.array([*values, *values, *values], kind).slice(len(values) - 1, len(values))
    found = pairs(hash_rows(pa.record_batch([twice], ["a"])))
    assert found == [once[-1], *once[:-1]]


@pytest.mark.parametrize("most_values", [1, 3, 5])
def test_long_lists_are_hashed_in_blocks(monkeypatch, most_values):
    """Wherever a block ends: a list may have more values than there is memory for hashes."""
    rows = [[[1, 2], []], None, [], [[3, 4, 5, 6, 7, 8]], [None, [9]], []] * 2
    batch = pa.record_batch([pa.array(rows, pa.list_(pa.list_(pa.int32()))).slice(1)], ["a"])
    whole = pairs(hash_rows(batch))
    monkeypatch.setattr(row_hash, "_BLOCK_VALUES", most_values)
    assert pairs(hash_rows(batch)) == whole


def test_what_lies_behind_a_null_does_not_count():
    hidden = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x00"), pa.array([7, 8]).buffers()[1]]
    )
    assert len(set(pairs(hash_rows(pa.record_batch([hidden], ["a"]))))) == 1


def test_columns_cannot_change_places():
    rows = pa.record_batch([pa.array(["x", "y", ""]), pa.array(["y", "x", "xy"])], ["a", "b"])
    assert len(set(pairs(hash_rows(rows)))) == 3


def test_a_sample_is_the_same_rows_whatever_holds_them():
    texts = [
        f"{number} {'z' * (number % 40)}".encode()[number % 3 * 2 :] for number in range(20_000)
    ]
    lines = lines_in(memoryview(b"".join(text + b"\n" for text in texts)), b"\n")
    chosen = chosen_lines(lines, 0.2)
    assert 3_000 < len(chosen) < 5_000
    columns = pa.record_batch([pa.array(texts, pa.large_binary())], ["line"])
    assert chosen_rows(columns, 0.2).tolist() == chosen.tolist()
    assert len(chosen_lines(lines, 1.0)) == len(texts)
