"""128 bits for a row, from its values alone: to tell two sets of rows apart without keeping them.

All arithmetic is modulo 2^64. A text has two lanes, each with odd constants A_k of its own:

    lane    mix((length + 1) GAMMA + sum of word_k A_k for k = 0, 1, ...)

over its words of 32 bits: as many as fill a class of lengths, in two pieces, one from the start of
the text and one up to its end. So texts of a class are a matrix that is made by one copy, without
padding, and one product each lane: 100 ns a text of 147 bytes where word by word takes 190 (numpy
2.4.6, on two cores that others shared). Were the constants drawn at random, two texts that differ
would have one lane with a chance of 2^-32 at most, both with 2^-64, whatever the texts; with texts
that were not made for these constants it is about 2^-128. mix is no sum: where rows swap parts, the
sum over rows is another one.

A text of more than BLOCK_BYTES is the sum of its blocks, mixed with their numbers.

The checksum of a manifest (row_checksum.py) is another one: it has 64 bits, and is frozen.

It is no cryptographic hash: whoever wants to can make two rows that have the same one.
"""

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

_GAMMAS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # one a lane
_NULL = np.uint64(0xA0761D6478BD642F)  # in place of a value
_BLOCK_ROWS = 1 << 16  # hashed at a time
_BLOCK_VALUES = 1 << 16  # of lists, hashed at a time: a list may have any number
_LOOK_BYTES = 8  # of a line, to choose it
_BLOCK_BYTES = 2048
_MATRIX_BYTES = 256 << 10  # of texts, beside twice as much for their words: the L2 cache
# The longest text of every class; the shortest one has at least half of its bytes.
_CLASS_BYTES = [3, 8, 16, 24, *(n << k for k in range(3, 9) for n in (4, 5, 6, 7)), _BLOCK_BYTES]
_CLASS_OF = np.searchsorted(_CLASS_BYTES, np.arange(_BLOCK_BYTES + 2)).astype(np.uint8)
_WORDS = _BLOCK_BYTES // 4
_FACTORS = mix(np.arange(1, 2 * _WORDS + 1, dtype=np.uint64) * _GAMMAS[0]).reshape(2, _WORDS)
_FACTORS |= np.uint64(1)


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
    return _hash_bytes(*lines)


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
    is_short = lines.lengths < _LOOK_BYTES
    if is_short.any():
        looks = np.empty(len(is_short), np.uint64)
        looks[is_short] = hash_lines(lines.take(is_short)).high
        if not is_short.all():
            looks[~is_short] = _looks(lines.take(~is_short))
        return looks
    words = np.ndarray((max(len(lines.data) - 7, 0),), np.uint64, lines.data, strides=(1,))
    looks = words[lines.begins]
    looks *= _GAMMAS[1]
    looks += words[lines.begins + (lines.lengths - _LOOK_BYTES) // 2]
    return looks


def _chosen(looks: U64, sizes: _I64, share: float) -> Any:
    mixed = _finished(Hashes(looks + sizes.view(np.uint64) * _GAMMAS[0], looks[:0])).high
    return np.flatnonzero(mixed < np.uint64(min(int(share * 2**64), 2**64 - 1)))


def hash_rows(batch: pa.RecordBatch) -> Hashes:
    """Return the hashes of typed rows: of the values, not of the types or names of columns.

    Integers of any width, and text and bytes, are the same if their values are.
    """
    if batch.num_columns == 1:
        return hash_values(batch.column(0))
    return _of_columns(batch.columns, batch.num_rows)


def hash_values(array: pa.Array) -> Hashes:
    """Return the hash of every value of a column, shape (rows,)."""
    kind: Any = array.type
    if isinstance(array, pa.ExtensionArray):
        return hash_values(array.storage)
    if pa.types.is_null(kind):
        return Hashes(*(np.full(len(array), _NULL) for _ in range(2)))
    if pa.types.is_struct(kind):
        found = _of_columns(array.flatten(), len(array))
    elif pa.types.is_nested(kind):
        found = _hash_lists(entries_of(array) if pa.types.is_map(kind) else array)
    elif pa.types.is_boolean(kind):
        values = pc.fill_null(array, False).cast(pa.uint8()).to_numpy(zero_copy_only=False)
        found = _hash_numbers(values.astype(np.uint64))
    elif is_text(kind):
        found = _hash_bytes(*_texts(array))
    else:
        found = _hash_fixed(array, kind)
    _set_nulls(found, array)
    return found


# --- values ----------------------------------------------------------------------------


def _of_columns(columns: list[pa.Array], rows: int) -> Hashes:
    found = Hashes(*(np.full(rows, gamma) for gamma in _GAMMAS))
    for column in columns:
        for lane, value, gamma in zip(found, hash_values(column), _GAMMAS, strict=True):
            np.multiply(lane, gamma, out=lane)
            np.add(lane, value, out=lane)
    return _finished(found)


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
        return _hash_numbers(numbers.astype(np.int64).view(np.uint64))
    begins = np.arange(len(array), dtype=np.int64) * width
    return _hash_bytes(data, begins, np.full(len(array), width, np.int64))


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
        block = _numbered(hash_values(values.slice(first, last - first)), places)
        for lane, parts in zip(found, block, strict=True):
            total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(parts, dtype=np.uint64)])
            lane[rows] += total[ends - first] - total[begins - first]
    return _numbered(found, lengths)


# --- numbers and bytes -----------------------------------------------------------------


def _hash_numbers(numbers: U64) -> Hashes:
    return _finished(
        Hashes(
            *(
                numbers * factor + gamma
                for factor, gamma in zip(_FACTORS[:, 0], _GAMMAS, strict=True)
            )
        )
    )


def _hash_bytes(data: npt.NDArray[np.uint8], begins: _I64, lengths: _I64) -> Hashes:
    """Return the hashes of data[begin : begin + length], shape (rows,)."""
    found = Hashes(*(np.empty(len(begins), np.uint64) for _ in range(2)))
    for first in range(0, len(begins), _BLOCK_ROWS):
        part = slice(first, min(first + _BLOCK_ROWS, len(begins)))
        classes = _CLASS_OF[np.minimum(lengths[part], _BLOCK_BYTES + 1)]
        order = np.argsort(classes, kind="stable")
        texts = Lines(data, begins[part][order], lengths[part][order])
        sums = Hashes(*(np.empty(len(order), np.uint64) for _ in range(2)))
        counts = np.bincount(classes, minlength=len(_CLASS_BYTES) + 1)
        ends = np.cumsum(counts).tolist()
        for number in np.flatnonzero(counts).tolist():
            some = slice(ends[number] - int(counts[number]), ends[number])
            _sum_class(number, texts.take(some), sums.take(some))
        for lane, ordered in zip(found, _numbered(sums, texts.lengths), strict=True):
            lane[part][order] = ordered
    return found


def _sum_class(number: int, texts: Lines, sums: Hashes) -> None:
    """Write the sums of words of texts that are in one class."""
    if number == 0:
        _sum_words(_shortest(texts)[:, None], sums)
    elif number == len(_CLASS_BYTES):
        _sum_blocks(texts, sums)
    else:
        _sum_pieces(texts, _CLASS_BYTES[number] // 2, sums)


def _shortest(texts: Lines) -> U64:
    """Return texts of up to 3 bytes as words."""
    words = np.zeros(len(texts.begins), np.uint64)
    for place in range(3):
        rows = np.flatnonzero(texts.lengths > place)
        bytes_ = texts.data[texts.begins[rows] + place].astype(np.uint64)
        words[rows] |= bytes_ << np.uint64(8 * place)
    return words


def _sum_pieces(texts: Lines, piece_bytes: int, sums: Hashes) -> None:
    """Sum texts of one to two pieces, one from their start and one up to their end."""
    pieces, step = _pieces(texts.data, piece_bytes), _MATRIX_BYTES // (2 * piece_bytes)
    places = np.empty((len(texts.begins), 2), np.int64)
    places[:, 0] = texts.begins
    np.add(texts.begins, texts.lengths - piece_bytes, out=places[:, 1])
    for first in range(0, len(places), step):
        some = slice(first, first + step)
        _sum_words(pieces[places[some]], sums.take(some))


def _sum_blocks(texts: Lines, sums: Hashes) -> None:
    """Sum texts of more than one block; the last block ends where they do."""
    pieces, step = _pieces(texts.data, _BLOCK_BYTES), _MATRIX_BYTES // _BLOCK_BYTES
    counts = -(-texts.lengths // _BLOCK_BYTES)
    firsts = np.cumsum(counts) - counts
    numbers = np.arange(int(counts.sum())) - np.repeat(firsts, counts)
    offsets = np.minimum(numbers * _BLOCK_BYTES, np.repeat(texts.lengths - _BLOCK_BYTES, counts))
    places = np.repeat(texts.begins, counts) + offsets
    blocks = Hashes(*(np.empty(len(places), np.uint64) for _ in range(2)))
    for first in range(0, len(places), step):
        some = slice(first, first + step)
        _sum_words(pieces[places[some], None], blocks.take(some))
    for lane, parts in zip(sums, _numbered(blocks, numbers), strict=True):
        np.add.reduceat(parts, firsts, out=lane)


def _pieces(data: npt.NDArray[np.uint8], size: int) -> Any:
    """Return the pieces of data from every byte on, over the same memory."""
    return np.ndarray((len(data) - size + 1,), f"V{size}", data, strides=(1,))


def _sum_words(texts: Any, sums: Hashes) -> None:
    """Sum the words of texts: the bytes of a matrix, a row of it each."""
    words = texts.view(np.uint8).view(np.uint32).astype(np.uint64)
    for factors, lane in zip(_FACTORS, sums, strict=True):
        np.einsum("ij,j->i", words, factors[: words.shape[1]], out=lane)


def _numbered(found: Hashes, numbers: _I64) -> Hashes:
    """Mix in a number each, in place: a length, or a place in a list; return the hashes.

    They count from 1: a sum would not tell how many empty texts there are if their hash were 0.
    """
    counted = (numbers + 1).view(np.uint64)
    for lane, gamma in zip(found, _GAMMAS, strict=True):
        np.add(lane, counted * gamma, out=lane)
    return _finished(found)


def _finished(found: Hashes) -> Hashes:
    """Mix both lanes in place, so that sums of them tell rows apart; return them."""
    spare = np.empty_like(found.high)
    for lane in found:
        mix(lane, spare[: len(lane)])
    return found
