"""128 bits for a row, from its values alone: to tell two sets of rows apart without keeping them.

A value that is text or bytes is hashed word by word for many rows at once, sorted by their
length, so that each step is a few numpy calls over all rows that are that long: 150 ns a row of
147 bytes; DuckDB's hash() has 64 bits and takes 35, its md5 330 (numpy 2.4.6, duckdb 2.0.1).

The checksum of a manifest (row_checksum.py) is another one: it has 64 bits, is frozen, and takes a
third of the time.

It is no cryptographic hash: whoever wants to can make two rows that have the same one.
"""

import hashlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.key import U64, mix
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.nested_types import entries_of, is_text, list_bounds, text_bounds
from dbshuf.base.row_batch import row_bytes

_I64 = npt.NDArray[np.int64]

_LANE_1, _LANE_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_NULL = np.uint64(0xA0761D6478BD642F)  # in place of a value
_BLOCK_ROWS = 16_384  # hashed at a time: 166 ns a row, 250 in blocks of 4,096
_BLOCK_VALUES = 1 << 16  # of lists, hashed at a time: a list may have any number
_LOOK_BYTES = 8  # of a line, to choose it
_LONG_BYTES = 2048  # from here on SHA-256, 0.9 ns a byte: a step would be worth it for few rows
_WORD_MASKS = np.array([(1 << (8 * size)) - 1 for size in range(9)], np.uint64)


class Hashes(NamedTuple):
    """The two words of the hash of every row: uint64, shape (rows,)."""

    high: U64
    low: U64

    def take(self, rows: Any) -> "Hashes":
        """Return those of some of the rows."""
        return Hashes(self.high[rows], self.low[rows])


class Lines(NamedTuple):
    """Where lines are, without their terminators: line r is data[begins[r]:][:lengths[r]]."""

    data: npt.NDArray[np.uint8]
    begins: _I64
    lengths: _I64

    def take(self, rows: Any) -> "Lines":
        """Return some of the lines."""
        return Lines(self.data, self.begins[rows], self.lengths[rows])


def lines_of(batch: LineBatch) -> Lines:
    """Return the lines of a batch, those that are kept."""
    begins = batch.offsets[:-1].astype(np.int64)
    lines = Lines(batch.buffer, begins, np.diff(batch.offsets).astype(np.int64) - 1)
    return lines if batch.kept is None else lines.take(batch.kept)


def lines_in(text: memoryview, terminator: bytes) -> Lines:
    """Return the lines of a text, each of which has a terminator."""
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == terminator[0])
    begins = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    return Lines(data, begins, ends - begins)


def hash_lines(lines: Lines) -> Hashes:
    """Return the hash of every line, shape (rows,): that of a row of this one value."""
    return _as_row(_hash_bytes(*lines))


def chosen_lines(lines: Lines, share: float) -> Any:
    """Return the numbers of about this share of the lines, chosen by what is in them.

    It looks at the length and 16 of the bytes: that takes a fifth of the time of a hash, and of
    the lines that have them in common it takes all or none.
    """
    return _chosen(_looks(lines), lines.lengths, share)


def chosen_rows(batch: pa.RecordBatch, share: float) -> Any:
    """As `chosen_lines`, for typed rows: by the first column, and the bytes of the row.

    Of rows of one column of text it chooses those that `chosen_lines` does of lines.
    """
    first, sizes = batch.column(0), row_bytes(batch)
    if not is_text(first.type):
        return _chosen(hash_values(first).high, sizes, share)
    looks = _looks(_texts(first))
    if first.null_count:
        looks[first.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return _chosen(looks, sizes, share)


def _looks(lines: Lines) -> U64:
    """Return 8 bytes of the front and the middle of every line, or a hash of one that is shorter.

    One of the two often is the same in many lines: names in JSON, padding.
    """
    looks = np.zeros(len(lines.begins), np.uint64)
    is_short = lines.lengths < _LOOK_BYTES
    if is_short.any():
        looks[is_short] = hash_lines(lines.take(is_short)).high
    longer = lines.take(~is_short)
    if len(longer.begins):
        count = len(lines.data) - _LOOK_BYTES + 1  # a word begins at every byte
        words = np.ndarray((count,), np.uint64, lines.data, strides=(1,))
        middles = words[longer.begins + (longer.lengths - _LOOK_BYTES) // 2]
        looks[~is_short] = words[longer.begins] * _LANE_2 + middles
    return looks


def _chosen(looks: U64, sizes: _I64, share: float) -> Any:
    mixed = _finished(Hashes(looks + sizes.view(np.uint64) * _LANE_1, looks[:0])).high
    return np.flatnonzero(mixed < np.uint64(min(int(share * 2**64), 2**64 - 1)))


def hash_rows(batch: pa.RecordBatch) -> Hashes:
    """Return the hashes of typed rows: of the values, not of the types or names of columns.

    Integers of any width, and text and bytes, are the same if their values are.
    """
    rows = Hashes(np.zeros(batch.num_rows, np.uint64), np.zeros(batch.num_rows, np.uint64))
    for column in batch.columns:
        _add(rows, hash_values(column))
    return _finished(rows)


def hash_values(array: pa.Array) -> Hashes:
    """Return the hash of every value of a column, shape (rows,)."""
    kind: Any = array.type
    if isinstance(array, pa.ExtensionArray):
        return hash_values(array.storage)
    if pa.types.is_null(kind):
        return Hashes(*(np.full(len(array), _NULL) for _ in range(2)))
    if pa.types.is_struct(kind):
        found = hash_rows(pa.RecordBatch.from_arrays(array.flatten(), _names(kind.num_fields)))
    elif pa.types.is_nested(kind):
        found = _hash_lists(entries_of(array) if pa.types.is_map(kind) else array)
    elif pa.types.is_boolean(kind):
        values = pc.fill_null(array, False).cast(pa.uint8()).to_numpy(zero_copy_only=False)
        found = _hash_words([values.astype(np.uint64)], len(array))
    elif is_text(kind):
        found = _hash_bytes(*_texts(array))
    else:
        found = _hash_fixed(array, kind)
    _set_nulls(found, array)
    return found


# --- values ----------------------------------------------------------------------------


def _names(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def _texts(array: pa.Array) -> Lines:
    """Return where the values of a column of text or bytes are."""
    text, bounds = text_bounds(array)
    ends = bounds.astype(np.int64)
    return Lines(text, ends[:-1], np.diff(ends))


def _set_nulls(found: Hashes, array: pa.Array) -> None:
    """Give the values that are null one hash, whatever lies behind them."""
    if array.null_count:
        is_null = array.is_null().to_numpy(zero_copy_only=False)
        for lane in found:
            lane[is_null] = _NULL


def _hash_fixed(array: pa.Array, kind: Any) -> Hashes:
    """Of values of one width: numbers, decimals, times, fixed bytes."""
    width = kind.bit_width // 8
    data = np.frombuffer(array.buffers()[1] or b"", np.uint8)
    data = data[array.offset * width :][: len(array) * width]
    if width in (1, 2, 4, 8):
        is_signed = pa.types.is_signed_integer(kind) or pa.types.is_temporal(kind)
        numbers = data.view(f"{'i' if is_signed else 'u'}{width}")
        return _hash_words([numbers.astype(np.int64).view(np.uint64)], len(array))
    if width % 8:
        begins = np.arange(len(array), dtype=np.int64) * width
        return _hash_bytes(data, begins, np.full(len(array), width, np.int64))
    words = data.view(np.uint64).reshape(len(array), width // 8)
    return _hash_words([words[:, number] for number in range(width // 8)], len(array))


def _hash_lists(lists: pa.Array) -> Hashes:
    """Of lists: the sum of what their values are at their places, and how many there are."""
    bounds = list_bounds(lists)
    lengths, values = np.diff(bounds), lists.flatten()
    found = Hashes(np.zeros(len(lengths), np.uint64), np.zeros(len(lengths), np.uint64))
    for first in range(0, len(values), _BLOCK_VALUES):
        last = min(first + _BLOCK_VALUES, len(values))
        rows = slice(*np.searchsorted(bounds[:-1], (first, last), "left").tolist())
        rows = slice(max(rows.start - 1, 0), rows.stop)  # the one before may have some of them
        begins, ends = (bounds[at][rows].clip(first, last) for at in (slice(-1), slice(1, None)))
        places = np.arange(first, last) - np.repeat(bounds[:-1][rows], ends - begins)
        block = hash_values(values.slice(first, last - first))
        _add(block, _hash_words([places.view(np.uint64)], len(places)))
        for lane, parts in zip(found, _finished(block), strict=True):
            total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(parts, dtype=np.uint64)])
            lane[rows] += total[ends - first] - total[begins - first]
    _add(found, _hash_words([lengths.view(np.uint64)], len(lengths)))
    return _finished(found)


# --- words and bytes -------------------------------------------------------------------


def _hash_words(words: list[U64], rows: int) -> Hashes:
    found = Hashes(np.full(rows, _LANE_1), np.full(rows, _LANE_2))
    spare = np.empty(rows, np.uint64)
    for word in words:
        _step(found, word, spare)
    return _finished(found)


def _hash_bytes(data: npt.NDArray[np.uint8], begins: _I64, lengths: _I64) -> Hashes:
    """Return the hashes of data[begin : begin + length], shape (rows,)."""
    rows = len(begins)
    found = Hashes(np.empty(rows, np.uint64), np.empty(rows, np.uint64))
    for first in range(0, rows, _BLOCK_ROWS):
        part = slice(first, min(first + _BLOCK_ROWS, rows))
        block = Hashes(found.high[part], found.low[part])
        is_long = lengths[part] >= _LONG_BYTES
        if is_long.any():
            _hash_long(data, begins[part], lengths[part], np.flatnonzero(is_long), block)
            rest = np.flatnonzero(~is_long)
            hashes = _hash_short(data, begins[part][rest], lengths[part][rest])
            block.high[rest], block.low[rest] = hashes
        else:
            block.high[:], block.low[:] = _hash_short(data, begins[part], lengths[part])
    return found


def _hash_long(
    data: npt.NDArray[np.uint8], begins: _I64, lengths: _I64, rows: Any, found: Hashes
) -> None:
    """Hash some rows one by one, outside of the interpreter's lock."""
    view = data.data
    for row in rows.tolist():
        begin = int(begins[row])
        digest = hashlib.sha256(view[begin : begin + int(lengths[row])]).digest()
        found.high[row] = int.from_bytes(digest[:8], "little")
        found.low[row] = int.from_bytes(digest[8:16], "little")


def _hash_short(data: npt.NDArray[np.uint8], begins: _I64, lengths: _I64) -> Hashes:
    """Hash rows word by word, the longest ones first.

    Words are read where they are aligned, and shifted into place: each of them once, since the
    upper part of one is the lower part of the next.
    """
    if not len(begins):
        return Hashes(np.empty(0, np.uint64), np.empty(0, np.uint64))
    words, shifts, order = _aligned(data, begins, lengths)
    lengths = lengths[order]
    counts = (lengths + 7) >> 3
    steps = int(counts[0])
    # How many rows have more than so many words: they are the first ones.
    active = len(order) - np.searchsorted(counts[::-1], np.arange(steps + 1), "right")
    at, to_right = words[1][order], shifts[order]
    to_left = np.uint64(63) - to_right  # of what was shifted by 1: by 64 is no shift
    found = Hashes(lengths.astype(np.uint64) * _LANE_1, lengths.astype(np.uint64) + _LANE_2)
    this, after, word, spare = (np.empty(len(order), np.uint64) for _ in range(4))
    np.take(words[0], at, out=this, mode="clip")
    for step in range(steps):
        rows, filled = int(active[step]), int(active[step + 1])
        at[:rows] += 1
        np.take(words[0], at[:rows], out=after[:rows], mode="clip")
        np.right_shift(this[:rows], to_right[:rows], out=word[:rows])
        np.left_shift(after[:rows], np.uint64(1), out=spare[:rows])
        np.left_shift(spare[:rows], to_left[:rows], out=spare[:rows])
        word[:rows] |= spare[:rows]
        this, after = after, this
        ending = slice(filled, rows)  # these end within this word
        word[ending] &= _WORD_MASKS[lengths[ending] - 8 * step]
        _step(Hashes(found.high[:rows], found.low[:rows]), word[:rows], spare[:rows])
    _finished(found)
    hashes = Hashes(np.empty_like(found.high), np.empty_like(found.low))
    hashes.high[order], hashes.low[order] = found
    return hashes


def _aligned(
    data: npt.NDArray[np.uint8], begins: _I64, lengths: _I64
) -> tuple[tuple[U64, _I64], U64, Any]:
    """Return the data as words, the word and the bit in it at which each row begins, and an order.

    The data are copied from the first row to the last, so that words begin and end in them.
    """
    low, high = int(begins.min()), int((begins + lengths).max())
    copied = np.zeros((high - low) // 8 + 2, np.uint64)
    copied.view(np.uint8)[: high - low] = data[low:high]
    begins = begins - low
    shifts = ((begins & 7) << 3).astype(np.uint64)
    order = np.argsort(-((lengths + 7) >> 3).astype(np.int16), kind="stable")
    return (copied, begins >> 3), shifts, order


def _step(found: Hashes, word: U64, spare: U64) -> None:
    """Take one more word into both lanes, in place: the second one sums up what the first was."""
    high, low = found
    np.bitwise_xor(high, word, out=high)
    np.multiply(high, _LANE_1, out=high)
    np.right_shift(high, np.uint64(29), out=spare)
    np.bitwise_xor(high, spare, out=high)
    np.multiply(low, _LANE_2, out=low)
    np.add(low, high, out=low)


def _add(rows: Hashes, values: Hashes) -> None:
    """Take the hash of one more column into those of the rows, in place."""
    for lane, value, factor in zip(rows, values, (_LANE_1, _LANE_2), strict=True):
        np.multiply(lane, factor, out=lane)
        np.add(lane, value, out=lane)
        np.bitwise_xor(lane, lane >> np.uint64(29), out=lane)


def _as_row(values: Hashes) -> Hashes:
    """Return the hashes of rows of one column."""
    rows = Hashes(np.zeros_like(values.high), np.zeros_like(values.low))
    _add(rows, values)
    return _finished(rows)


def _finished(found: Hashes) -> Hashes:
    """Mix both lanes in place, so that sums of them tell rows apart; return them."""
    spare = np.empty_like(found.high)
    for lane in found:
        mix(lane, spare[: len(lane)])
    return found
