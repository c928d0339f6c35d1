"""The checksum of stretches of files: one value however it comes, another for other bytes."""

import itertools

import numpy as np
import pytest

from dbshuf.base.byte_sum import ByteSum

BLOCK = 8192


def summed(data: bytes | np.ndarray, begin: int = 0, *cuts: int) -> int:
    """Return the sum of bytes that come in pieces."""
    text = np.frombuffer(bytes(data), np.uint8)
    found = ByteSum(begin)
    for first, last in itertools.pairwise([0, *cuts, len(text)]):
        found.add(text[first:last])
    end, checksum = found.so_far()
    assert end == begin + len(text)
    return checksum


@pytest.mark.parametrize("begin", [0, 3, 8, 8191])
def test_bytes_have_one_sum_in_whatever_pieces_they_come(begin):
    """A reader has them in other pieces than who looks at them again."""
    random = np.random.default_rng(begin)
    data = random.bytes(5 * BLOCK + 77)
    for _ in range(30):
        cuts = sorted(random.integers(0, len(data), random.integers(0, 9)))
        assert summed(data, begin, *cuts) == summed(data, begin)
    large = np.tile(np.frombuffer(data, np.uint8), 60)
    assert summed(large, begin, 1 << 20, 2 << 20) == summed(large, begin, 1, 1 << 20)


@pytest.mark.parametrize("size", [1, 7, 9, BLOCK, 3 * BLOCK + 5])
def test_other_bytes_have_another_sum(size):
    """One, two or three that changed, wherever they are, and the end of them."""
    random = np.random.default_rng(size)
    data = np.frombuffer(random.bytes(size), np.uint8)
    seen = {summed(data), summed(data[:-1]), summed(np.append(data, 0))}
    assert len(seen) == 3
    for count in range(1, min(size, 3) + 1):
        for _ in range(100):
            changed = data.copy()
            changed[random.choice(size, count, replace=False)] ^= 1 << 7
            assert summed(changed) not in seen


def test_words_of_which_the_highest_bits_changed_have_another_sum():
    """An odd factor leaves that bit where it is, so sums of products alone would be equal."""
    data = np.zeros(4 * BLOCK, np.uint8)
    for places in ([7, 15], [7, 7 + BLOCK], [7, 15, 7 + 2 * BLOCK]):
        changed = data.copy()
        changed[places] = 1 << 7
        assert summed(changed) != summed(data)
