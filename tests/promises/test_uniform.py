"""Uniform: over seeds, every order and every place is as likely as any other.

Seeds are fixed, so a run is repeatable. A fair generator would have failed each bound with
odds of 1 in 1000 on either side when these seeds were chosen.
"""

import itertools
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
import reference

import dbshuf

FIVE = [b"a\nbb\n\ncccc\nd\n"]
FIVE_FILES = [b"a\n", b"b\n", b"c\n", b"d\n", b"e\n"]
HUNDRED = [b"".join(b"line %d\n" % i for i in range(100))]


def fair_range(freedom: int) -> tuple[float, float]:
    """Return the 0.1 % and 99.9 % points of chi-square (Wilson and Hilferty 1931)."""
    spread = 2 / (9 * freedom)
    low, high = (freedom * (1 - spread + z * math.sqrt(spread)) ** 3 for z in (-3.0902, 3.0902))
    return low, high


def row_ids(inputs: list[bytes]) -> np.ndarray:
    """Return the ids of all rows, uint64, in input order."""
    ids = []
    for ordinal, data in enumerate(inputs):
        ends = itertools.accumulate(len(line) + 1 for line in data.split(b"\n")[:-1])
        ids += [ordinal << 44 | start for start in [0, *ends][:-1]]
    return np.array(ids, dtype=np.uint64)


def orders(inputs: list[bytes], seeds: int) -> np.ndarray:
    """Return for every seed the rows' numbers in output order; int64, (seeds, rows)."""
    ids = row_ids(inputs)
    return np.array([reference.keys_of(ids, str(seed)).argsort() for seed in range(seeds)])


def in_process(inputs: list[bytes], seed: str) -> bytes:
    with tempfile.TemporaryDirectory() as top:
        paths = [Path(top, f"{number}.txt") for number in range(len(inputs))]
        for path, data in zip(paths, inputs, strict=True):
            path.write_bytes(data)
        dbshuf.shuffle(paths, Path(top, "out.txt"), memory="2GB", seed=seed)
        return Path(top, "out.txt").read_bytes()


@pytest.mark.parametrize("inputs", [FIVE, FIVE_FILES], ids=["one file", "five files"])
def test_all_120_orders_of_five_lines_are_equally_likely(inputs):
    """12,000 seeds, 100 expected an order; neither skewed nor too even."""
    seen: dict[tuple[int, ...], int] = dict.fromkeys(itertools.permutations(range(5)), 0)
    for order in orders(inputs, 12_000).tolist():
        seen[tuple(order)] += 1
    chi_square = sum((count - 100) ** 2 / 100 for count in seen.values())
    low, high = fair_range(119)
    assert low < chi_square < high


def test_every_line_of_a_hundred_is_equally_likely_in_every_place():
    """20,000 seeds, position x rank, 200 expected a cell.

    Rows and columns both sum to the number of seeds, hence 99 x 99 degrees of freedom
    once the statistic is scaled by 99/100.
    """
    ranks, seeds = orders(HUNDRED, 20_000), 20_000
    table = np.zeros((100, 100))
    np.add.at(table, (ranks, np.broadcast_to(np.arange(100), ranks.shape)), 1)
    chi_square = ((table - seeds / 100) ** 2 / (seeds / 100)).sum() * 99 / 100
    low, high = fair_range(99 * 99)
    assert low < chi_square < high


def test_neighbours_in_the_input_are_not_neighbours_in_the_output():
    """20,000 seeds: the distance of lines 0 and 1 is distributed as that of two random places."""
    places = orders(HUNDRED, 20_000).argsort(axis=1)
    distance = np.abs(places[:, 0] - places[:, 1])
    seen = np.bincount(distance, minlength=100)[1:]
    expected = 20_000 * 2 * (100 - np.arange(1, 100)) / (100 * 99)
    seen, expected = (np.append(v[:90], v[90:].sum()) for v in (seen, expected))
    low, high = fair_range(90)
    assert low < ((seen - expected) ** 2 / expected).sum() < high


@pytest.mark.parametrize("inputs", [FIVE, FIVE_FILES, HUNDRED], ids=["5", "5 files", "100"])
def test_the_orders_counted_here_are_the_orders_written(inputs):
    """The counts above are of the reference; the program gives the same for these seeds."""
    lines = b"".join(inputs).split(b"\n")[:-1]
    for seed, order in enumerate(orders(inputs, 40).tolist()):
        want = b"".join(lines[number] + b"\n" for number in order)
        assert in_process(inputs, str(seed)) == want
