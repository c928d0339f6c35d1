"""The tests of an order: what is uniform passes them, what is not fails those that can see it.

What they are made of is imported where one runs: scipy takes 2 s, and each process of a test run
collects this file.
"""

import numpy as np
import pytest

from dbshuf.reporting.origin import Moved

ROWS = 20_000
SOURCE_ROWS = np.array([ROWS // 2, ROWS // 4, ROWS // 4])


def moved(order, source_rows=SOURCE_ROWS, **facts):
    """Rows whose places in the inputs are `order`, all of which are in the sample."""
    sources = np.searchsorted(np.cumsum(source_rows), order, "right")
    known = {"output_rows": len(order), "sampled": len(order), "repeated": 0, "unknown": 0}
    return Moved(order, np.arange(len(order)), sources, source_rows, **(known | facts))


def p_values(rows):
    from dbshuf.reporting.randomness import all_tests, sources_of

    return {name: test.p for name, test in all_tests(rows, sources_of(rows)).items()}


def uniform(seed, rows=ROWS):
    return np.random.default_rng(seed).permutation(rows)


def blocks(seed):
    return np.arange(ROWS).reshape(-1, 20)[uniform(seed, ROWS // 20)].ravel()


def halves():
    """Both halves well shuffled, one after the other."""
    return np.concatenate([uniform(1, ROWS // 2), ROWS // 2 + uniform(2, ROWS // 2)])


def buffered(seed, room=2000):
    """What a buffer of some rows makes of it, as loaders shuffle while they read."""
    generator, held, given = np.random.default_rng(seed), [], []
    for row in range(ROWS):
        held.append(row)
        if len(held) > room:
            given.append(held.pop(int(generator.integers(len(held)))))
    return np.array(given + list(generator.permutation(held)))


def in_turn():
    """Each source well shuffled, and dealt out in turn: every other row is of the first."""
    first, rest = uniform(1, ROWS // 2), ROWS // 2 + uniform(2, ROWS // 2)
    return np.stack([first, rest], axis=1).ravel()


BAD = {
    "unchanged": (np.arange(ROWS), {"correlation", "displacement", "neighbours", "spread", "runs"}),
    "reversed": (np.arange(ROWS)[::-1], {"correlation", "displacement", "spread", "runs"}),
    "halves": (halves(), {"correlation", "displacement", "spread", "runs"}),
    "blocks": (blocks(3), {"neighbours", "runs"}),
    "buffered": (buffered(4), {"correlation", "displacement", "spread", "runs"}),
    "in_turn": (in_turn(), {"runs"}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_shuffle_has_tiny_p_values(name):
    order, suspect = BAD[name]
    found = p_values(moved(order.copy()))
    assert {test for test, p in found.items() if p < 1e-9} >= suspect


def test_p_values_of_uniform_orders_are_spread_evenly():
    """Of 300 good shuffles a tenth has a p-value below 0.1: 13 to 49 of them, but for 1 in 10^4.

    Kept neighbours are whole numbers and displacements of a permutation no independent draws, so
    theirs are larger: never is a good shuffle blamed more often than it says.
    """
    found = [p_values(moved(uniform(seed, 2000), SOURCE_ROWS // 10)) for seed in range(300)]
    for name in ("correlation", "spread", "runs"):
        assert 13 <= sum(one[name] < 0.1 for one in found) <= 49, name
    for name in ("displacement", "neighbours"):
        assert sum(one[name] < 0.1 for one in found) <= 49, name
    assert min(min(one.values()) for one in found) > 1e-5


def test_what_is_left_of_a_uniform_order_is_uniform():
    """A sample in stretches blames no good shuffle, nor do rows that are left out."""
    order = uniform(7, 200_000)
    outputs = np.flatnonzero(np.repeat(np.random.default_rng(8).random(25_000) < 0.1, 8))
    outputs = outputs[order[outputs] % 10 > 2]
    source_rows = SOURCE_ROWS * 10
    sources = np.searchsorted(np.cumsum(source_rows), order[outputs], "right")
    rows = Moved(order[outputs], outputs, sources, source_rows, 200_000, 20_000, 0, 0)
    assert min(p_values(rows).values()) > 0.001


@pytest.mark.parametrize(
    ("rows", "source_rows", "untested"),
    [
        (20, [10, 10], {"correlation", "displacement", "neighbours", "spread", "runs"}),
        (0, [0, 0], {"correlation", "displacement", "neighbours", "spread", "runs"}),
        (500, [0, 500], {"spread", "runs"}),
        (500, [1, 499], {"spread"}),
    ],
)
def test_what_cannot_be_tested_says_why(rows, source_rows, untested):
    from dbshuf.reporting.randomness import all_tests, sources_of

    found = moved(uniform(1, rows), np.array(source_rows))
    tests = all_tests(found, sources_of(found))
    assert {name for name, test in tests.items() if test.p is None} == untested
    assert all(bool(test.why_not) == (test.p is None) for test in tests.values())


def test_runs_end_where_the_kind_changes():
    from dbshuf.reporting.randomness import run_lengths

    assert run_lengths(np.array([0, 0, 1, 2, 2, 2])).tolist() == [2, 1, 3]


def test_small_sources_are_one():
    """Of 10,000 sources a dozen have a row of their own, and no row is lost."""
    from dbshuf.reporting.randomness import sources_of

    rows = moved(uniform(1, 20_000), np.full(10_000, 2))
    sources = sources_of(rows)
    assert (len(sources.inputs), sources.rest, sources.count) == (12, 9988, 13)
    assert np.bincount(sources.of_row).sum() == 20_000
