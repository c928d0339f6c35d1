"""One number for a set of rows in any order: the sum, modulo 2^64, of a hash of each row.

Version 1, frozen; all arithmetic is modulo 2^64, GAMMA = 0x9E3779B97F4A7C15:

    mix(x)       the splitmix64 finalizer, as of the row key
    A_k, B_k     mix((2k + 1) GAMMA), mix((2k + 2) GAMMA) for k = 0, 1, ...
    block        of up to 8192 bytes: the sum over its little-endian words w_k, the last one filled
                 up with zeros, of w_k A_k + (w_k >> 32) B_k
    text(bytes)  mix(length GAMMA + block), or where there is more than one block
                 mix(length GAMMA + sum of mix(block_b + b GAMMA) for b = 0, 1, ...)
    list(values) mix(count GAMMA + sum of (2i + 1) value_i for i = 0, 1, ...)
    value        text of its bytes: of a number or time those of its width, of a bool one byte;
                 null is mix(2 GAMMA); a struct is the list of its fields, a map the list of the
                 lists of key and value
    row          the list of its columns

A line is a row of one column: its bytes without the terminator. So lines have one checksum as
text, or as the only column of Parquet. Two rows that differ have one hash with a chance of about
2^-32: that finds faults, and withstands no one who wants two sets of rows to look alike.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dbshuf.base.key import U64, mix
from dbshuf.base.nested_types import entries_of, list_bounds, text_bounds

VERSION = "dbshuf-rows-1"

_Places = npt.NDArray[np.signedinteger[Any]]
_GAMMA = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_BLOCK_BYTES = 8192
_BLOCK_WORDS = _BLOCK_BYTES // 8
_SLICE_ROWS, _SLICE_BYTES = 1 << 16, 1 << 23  # that are put into groups at once, in the L3 cache
_SCRATCH_WORDS = 1 << 17  # that are summed at once, in the L2 cache


def sum_of(hashes: U64) -> int:
    """Return the sum of row hashes modulo 2^64."""
    return int(np.add.reduce(hashes)) if len(hashes) else 0


def hashes_of_lines(data: npt.NDArray[np.uint8], bounds: _Places) -> U64:
    """Return the hash of every line: uint64, shape (rows,).

    data    the bytes of the lines
    bounds  shape (rows + 1,): line r is data[bounds[r]:bounds[r + 1]], whose last byte is the
            terminator
    """
    starts = bounds[:-1]
    return hashes_of_texts(data, starts, bounds[1:] - starts - 1)


def hashes_of_texts(data: npt.NDArray[np.uint8], starts: _Places, sizes: _Places) -> U64:
    """Return the hash of every line data[start:start + size], which has no terminator here."""
    return _of_columns([_texts(data, starts, sizes)], len(starts))


def hashes_of_rows(batch: pa.RecordBatch) -> U64:
    """Return the hash of every row: uint64, shape (rows,); columns of plain types."""
    return _of_columns([_values(column) for column in batch.columns], batch.num_rows)


def _of_columns(columns: list[U64], rows: int) -> U64:
    sums = np.full(rows, len(columns) * _GAMMA & _MASK, np.uint64)
    for number, values in enumerate(columns):
        sums += values * np.uint64(2 * number + 1) if number else values
    return mix(sums)


_NULL = mix(np.array([2 * _GAMMA & _MASK], np.uint64))[0]
_numbers = np.arange(1, 2 * _BLOCK_WORDS + 1, dtype=np.uint64) * np.uint64(_GAMMA)
_A, _B = (np.ascontiguousarray(part) for part in mix(_numbers).reshape(-1, 2).T)
_HEADS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)
# Words of the groups of blocks: 0, 1, 2, ... 8, 10, ... 16, 20, ... 32, 40, ... 1024. Twice as many
# groups leave fewer zeros to sum, and cost more calls of numpy than that saves.
_WIDTHS = [*range(8), *(part << power for power in range(7) for part in (8, 10, 12, 14)), 1024]
_GROUP_OF = np.searchsorted(_WIDTHS, np.arange(_BLOCK_WORDS + 1)).astype(np.uint8)


def _texts(data: npt.NDArray[np.uint8], starts: _Places, sizes: _Places) -> U64:
    """Return `text` of every data[start:start + size]."""
    found = np.empty(len(starts), np.uint64)
    for first, last in _slices(sizes):
        found[first:last] = _some_texts(data, starts[first:last], sizes[first:last])
    return found


def _slices(sizes: _Places) -> Iterator[tuple[int, int]]:
    """Yield which texts to take at once: they stay in a cache."""
    for first in range(0, len(sizes), _SLICE_ROWS):
        ends = np.cumsum(sizes[first : first + _SLICE_ROWS], dtype=np.int64)
        begin = 0
        while begin < len(ends):
            before = int(ends[begin - 1]) if begin else 0
            end = max(int(np.searchsorted(ends, before + _SLICE_BYTES, "right")), begin + 1)
            yield first + begin, first + end
            begin = end


def _some_texts(data: npt.NDArray[np.uint8], starts: _Places, sizes: _Places) -> U64:
    if int(sizes.max()) <= _BLOCK_BYTES:
        return mix(_blocks(data, starts, sizes) + _lengths(sizes))
    counts = np.maximum(-(-sizes // _BLOCK_BYTES), 1)
    firsts = np.cumsum(counts) - counts
    numbers = np.arange(int(counts.sum())) - np.repeat(firsts, counts)
    offsets = numbers * _BLOCK_BYTES
    lengths = np.minimum(np.repeat(sizes, counts) - offsets, _BLOCK_BYTES)
    places = np.repeat(starts, counts) + offsets
    blocks = np.empty(len(places), np.uint64)
    for first, last in _slices(lengths):
        part = slice(first, last)
        blocks[part] = _blocks(data, places[part], lengths[part])
    is_alone = np.repeat(counts, counts) == 1
    mixed = mix(blocks + numbers.astype(np.uint64) * np.uint64(_GAMMA))
    mixed[is_alone] = blocks[is_alone]
    return mix(np.add.reduceat(mixed, firsts) + _lengths(sizes))


def _lengths(counts: _Places) -> U64:
    return counts.astype(np.uint64) * np.uint64(_GAMMA)


def _blocks(data: npt.NDArray[np.uint8], starts: _Places, sizes: _Places) -> U64:
    """Return the sum of words of every block.

    Blocks of about as many words are taken at once: as if all had as many, with zeros behind them.
    """
    groups = _GROUP_OF[(sizes + 7) >> 3]
    counts = np.bincount(groups).tolist()
    if counts[-1] == len(groups):
        return _similar_blocks(data, starts, sizes, len(counts) - 1)
    order = np.argsort(groups, kind="stable")
    starts, sizes = starts[order], sizes[order]
    sums, first = np.empty(len(order), np.uint64), 0
    for group, count in enumerate(counts):
        part = slice(first, first + count)
        if count:
            sums[part] = _similar_blocks(data, starts[part], sizes[part], group)
        first += count
    found = np.empty(len(order), np.uint64)
    found[order] = sums
    return found


def _similar_blocks(
    data: npt.NDArray[np.uint8], starts: _Places, sizes: _Places, group: int
) -> U64:
    """Sum blocks of one group, some at a time."""
    sums = np.zeros(len(starts), np.uint64)
    if not group:
        return sums
    least, width = _WIDTHS[group - 1], _WIDTHS[group]
    masks, step = _masks(width - least), _SCRATCH_WORDS // width
    for first in range(0, len(starts), step):
        part = slice(first, first + step)
        words = _gathered(data, starts[part], width)
        tails, ends = words[:, least:], sizes[part] - 8 * least
        if width - least > 8:
            tails &= masks[ends]
        else:  # numpy goes along the shorter side
            for number in range(width - least):
                tails[:, number] &= masks[:, number][ends]
        np.einsum("ij,j->i", words, _A[:width], out=sums[part])
        words >>= np.uint64(32)
        sums[part] += np.einsum("ij,j->i", words, _B[:width])
    return sums


@cache
def _masks(words: int) -> U64:
    """Return what keeps the first 0, 1, ... bytes of so many words, shape (bytes + 1, words)."""
    kept = np.arange(8 * words + 1)[:, None] - 8 * np.arange(words)
    masks: U64 = _HEADS[kept.clip(0, 8)]
    return masks


def _gathered(data: npt.NDArray[np.uint8], starts: _Places, words: int) -> U64:
    """Return the words from each start on, zeros behind the data: shape (starts, words)."""
    width = 8 * words
    beyond = starts > len(data) - width
    if not beyond.any():
        alone: U64 = _words_at(data, width)[starts].view("<u8").reshape(-1, words)
        return alone
    begin = int(starts[beyond].min())
    end = np.zeros(len(data) - begin + width, np.uint8)
    end[: len(data) - begin] = data[begin:]
    found = np.empty(len(starts), f"V{width}")
    found[beyond] = _words_at(end, width)[starts[beyond] - begin]
    if not beyond.all():
        found[~beyond] = _words_at(data, width)[starts[~beyond]]
    return found.view("<u8").reshape(-1, words)


def _words_at(data: npt.NDArray[np.uint8], width: int) -> Any:
    """Return what begins at every byte: void of `width` bytes, over the same memory."""
    return np.ndarray((len(data) - width + 1,), f"V{width}", data, strides=(1,))


def _values(array: pa.Array) -> U64:
    kind, types = array.type, pa.types
    if isinstance(array, pa.ExtensionArray):
        return _values(array.storage)
    if types.is_null(kind):
        return np.full(len(array), _NULL, np.uint64)
    if types.is_struct(kind):
        found = _of_columns([_values(part) for part in array.flatten()], len(array))
    elif types.is_map(kind) or types.is_nested(kind):
        found = _lists(entries_of(array) if types.is_map(kind) else array)
    elif types.is_boolean(kind):
        bits = array.cast(pa.uint8()).fill_null(0).to_numpy()
        found = _fixed(bits.view(np.uint8), 1, len(array))
    elif (width := _width(kind)) is not None:
        data = np.frombuffer(array.buffers()[1] or b"", np.uint8)
        found = _fixed(data[array.offset * width :], width, len(array))
    else:
        text, bounds = text_bounds(array)
        found = _texts(text, bounds[:-1], np.diff(bounds))
    if array.null_count:
        found[array.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return found


def _width(kind: Any) -> int | None:
    try:
        return int(kind.bit_width) // 8
    except ValueError:
        return None


def _fixed(data: npt.NDArray[np.uint8], width: int, rows: int) -> U64:
    """Return `text` of every value of a width: of one that numbers have without gathering."""
    if width not in (1, 2, 4, 8, 16, 32):
        starts = np.arange(rows, dtype=np.int64) * width
        return _texts(data, starts, np.full(rows, width, np.int64))
    values = data[: width * rows].view(f"<u{min(width, 8)}").reshape(rows, -(-width // 8))
    found, count, length = np.empty(rows, np.uint64), values.shape[1], width * _GAMMA & _MASK
    for first in range(0, rows, _SLICE_ROWS):
        sums = found[first : first + _SLICE_ROWS]
        sums[:] = np.uint64(length)
        for number in range(count):
            words = values[first : first + _SLICE_ROWS, number].astype(np.uint64)
            sums += words * _A[number]
            words >>= np.uint64(32)
            words *= _B[number]
            sums += words
        mix(sums)
    return found


def _lists(array: pa.Array) -> U64:
    bounds = list_bounds(array)
    counts = np.diff(bounds)
    sums = _lengths(counts)
    filled = np.flatnonzero(counts)
    if len(filled):
        numbers = np.arange(int(bounds[-1])) - np.repeat(bounds[:-1], counts)
        values = _values(array.flatten()) * (2 * numbers + 1).astype(np.uint64)
        sums[filled] += np.add.reduceat(values, bounds[:-1][filled])
    return mix(sums)
