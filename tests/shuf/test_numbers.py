"""Ranges: each number once, computed from its place, and draws that may come again."""

import collections
import time

import numpy as np
import pytest
from shuf_call import call

from dbshuf.base.plain_key import seed_words
from dbshuf.shuf import draws, numbers
from dbshuf.shuf.numbers import LongRange

WORDS = seed_words("7")


def listed(blocks) -> list[int]:
    return [int(number) for block in blocks for number in block]


@pytest.mark.parametrize("size", [2, 3, 10, 257, 65_537, 100_000])
def test_every_number_of_a_range_comes_once(size, monkeypatch):
    """The plain form and the one of numpy go on where the other stops."""
    monkeypatch.setattr(numbers, "_PLAIN_NUMBERS", 50)
    monkeypatch.setattr(numbers, "_BLOCK", 1000)
    found = listed(LongRange(size, WORDS).blocks(size))
    assert sorted(found) == list(range(size))
    assert size < 100 or found != sorted(found)


@pytest.mark.parametrize("size", [3, 1000, (1 << 33) + 5, (1 << 64) - 1, 1 << 64])
def test_numpy_and_plain_python_give_one_order(size):
    order = LongRange(size, WORDS)
    places = [place for place in (0, 1, 2, 999, 12345, 1 << 32, (1 << 64) - 2) if place < size]
    found = order.numbers(np.array(places, np.uint64)).tolist()
    assert found == [order.number(place) for place in places]
    assert all(number < size for number in found)


def test_the_first_numbers_are_uniform():
    """4000 seeds, 40 parts of a range: chi-square between its 0.1 % and 99.9 % points."""
    size = 1_000_003
    firsts = [LongRange(size, seed_words(str(seed))).number(0) for seed in range(4000)]
    counts = collections.Counter(first * 40 // size for first in firsts)
    assert 17.3 < sum((counts[part] - 100) ** 2 / 100 for part in range(40)) < 72.1


def test_a_short_range_has_the_order_of_its_lines():
    """`seq 5 300 | shuf` and `shuf -i 5-300` agree for a seed."""
    lines = b"".join(b"%d\n" % number for number in range(5, 301))
    assert call("-i5-300", "--seed=1").out == call("--seed=1", data=lines).out


def test_a_range_is_written_from_its_low_to_its_high(monkeypatch):
    monkeypatch.setattr(numbers, "LONGEST_LISTED", 10)
    monkeypatch.setattr(numbers, "_PLAIN_NUMBERS", 20)
    monkeypatch.setattr(numbers, "_BLOCK", 30)
    found = call("-i", "999-1098", "--seed=1")
    assert sorted(map(int, found.lines)) == list(range(999, 1099))
    assert call("-i", "999-1098", "--seed=1", "-n", 33).lines == found.lines[:33]
    assert call("-z", "-i", "999-1098", "--seed=1").out == found.out.replace(b"\n", b"\0")


def test_the_longest_range_answers_at_once():
    """It would take 147 exabytes as an array."""
    began = time.process_time()
    found = call("-i", f"0-{2**64 - 1}", "-n", 2)
    assert time.process_time() - began < 1
    assert len({int(line) for line in found.lines}) == 2
    high = 2**64 - 1
    assert call("-i", f"{high}-{high}").out == b"%d\n" % high
    assert int(call("-rn1", "-i", f"{high - 1}-{high}").out) >= high - 1


@pytest.mark.parametrize("choices", [1, 3, 1 << 63, (1 << 63) + 1, (1 << 64) - 1, 1 << 64])
def test_draws_do_not_depend_on_who_draws(choices, monkeypatch):
    plain = listed(draws.draws(choices, WORDS, 3000))
    monkeypatch.setattr(draws, "_PLAIN_DRAWS", 1024)
    assert listed(draws.draws(choices, WORDS, 3000)) == plain
    assert len(plain) == 3000
    assert max(plain) < choices
    if choices > 2:
        assert max(plain) > choices * 0.99 - 1


def test_draws_are_uniform():
    """30,000 of a die: chi-square below its 0.1 % point for 5 degrees of freedom."""
    counts = collections.Counter(call("-r", "-i1-6", "-n30000", "--seed=1").lines)
    assert sum((count - 5000) ** 2 / 5000 for count in counts.values()) < 20.5
    assert set(counts) == {b"%d" % number for number in range(1, 7)}
