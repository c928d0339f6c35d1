"""Is this order uniform? Tests of where rows of a sample stood before and after.

All of them ask how likely what was found is in a uniform permutation, given which rows of the
output are in the sample: the rest of a uniform permutation is one as well. The p-values, and
the statistics where it has them, are scipy's (spearmanr, kstest, chi2_contingency, and the tails
of the Poisson and the normal distribution), which many people have checked; the runs of more
than two kinds, which scipy has not, are by the formulas of Barton and David.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from dbshuf.base.row_batch import I64
from dbshuf.reporting.origin import Moved

# A good shuffle has a smaller p-value in one test of 10,000: of five tests, in a run of 2,000.
SUSPECT_BELOW = 1e-4

LEAST_ROWS = 50  # under which the distributions of the tests are not what is assumed
OUTPUT_PARTS = 20  # of the output, in which the rows of each source are counted
MOST_SOURCES = 12  # told apart, those with the most rows; the others are one
_PARTS_TRIED = (OUTPUT_PARTS, 10, 5, 2)  # the fewer, the more sources have enough rows
_LEAST_EXPECTED = 5.0  # rows of a source in a part, for the chi-squared distribution

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Test:
    """What one test found.

    name      of what is tested
    method    the test, and its distribution
    observed, expected  the statistic, and what a uniform order has on average
    unit      what they are
    p         the share of uniform orders that are at least as far from that; None: not tested
    why_not   then
    """

    name: str
    method: str
    unit: str
    observed: float = 0.0
    expected: float = 0.0
    p: float | None = None
    why_not: str = ""

    @property
    def is_suspect(self) -> bool:
        return self.p is not None and self.p < SUSPECT_BELOW


@dataclass(frozen=True)
class Sources:
    """The sources that are told apart.

    inputs  the number of each; those that have the most rows
    rest    how many others there are, which stand together behind them
    of_row  int64, shape (rows,): which of them each row of the sample is from
    """

    inputs: tuple[int, ...]
    rest: int
    of_row: I64

    @property
    def count(self) -> int:
        return len(self.inputs) + (self.rest > 0)


def sources_of(moved: Moved) -> Sources:
    """Return which sources are told apart: those with the most rows, in the inputs' order."""
    has_rows = np.flatnonzero(moved.source_rows)
    largest = has_rows[np.argsort(-moved.source_rows[has_rows], kind="stable")][:MOST_SOURCES]
    largest = np.sort(largest)
    places = np.full(len(moved.source_rows), len(largest), np.int64)
    places[largest] = np.arange(len(largest))
    rest = len(has_rows) - len(largest)
    return Sources(tuple(largest.tolist()), rest, places[moved.sources])


def all_tests(moved: Moved, sources: Sources) -> dict[str, Test]:
    """Return every test by the name of what it is about."""
    tests: dict[str, Callable[[], Test]] = {
        "correlation": lambda: _correlation(moved),
        "displacement": lambda: _displacement(moved),
        "neighbours": lambda: _neighbours(moved),
        "spread": lambda: _spread(moved, sources),
        "runs": lambda: _runs(sources.of_row, sources.count),
    }
    return {name: test() for name, test in tests.items()}


def _correlation(moved: Moved) -> Test:
    test = Test("position correlation", "Spearman's rank correlation, two-sided", "rho")
    if moved.rows < LEAST_ROWS:
        return _too_few(test, moved.rows)
    found = stats.spearmanr(moved.inputs, moved.outputs)
    return _found(test, float(found.statistic), 0.0, float(found.pvalue))


def displacements(moved: Moved) -> F64:
    """Return how far rows went, as shares of the sample: float64, shape (rows,), 0 to 1."""
    found: F64 = np.abs(moved.ranks - np.arange(moved.rows)) / max(moved.rows, 1)
    return found


def displacement_share(distance: F64) -> F64:
    """Return the share of rows of a uniform permutation that go no farther: 0 to 1.

    Its density is the triangle 2 (1 - d): a difference of two independent uniform places.
    """
    return distance * (2.0 - distance)


def _displacement(moved: Moved) -> Test:
    test = Test("displacement", "Kolmogorov-Smirnov against the triangle 2(1 - d)", "mean distance")
    if moved.rows < LEAST_ROWS:
        return _too_few(test, moved.rows)
    distances = displacements(moved)
    found = stats.kstest(distances, displacement_share, method="asymp")
    return _found(test, float(distances.mean()), 1 / 3, float(found.pvalue))


def kept_neighbours(moved: Moved) -> int:
    """Return how many rows have the same next row in the inputs and in the output."""
    return int((moved.are_neighbours & (np.diff(moved.inputs) == 1)).sum())


def expected_neighbours(moved: Moved) -> float:
    """Return how many a uniform permutation has on average: 1 in a whole output.

    Rows that are left out, since the inputs hold them twice, are next to nobody here; where all
    of them stand together, the others have as many neighbours as there are others.
    """
    known = moved.input_rows * moved.rows / max(moved.sampled, 1)
    return float(moved.are_neighbours.sum()) / max(known, 1.0)


def _neighbours(moved: Moved) -> Test:
    test = Test("kept neighbours", "Poisson, one-sided: more than expected", "pairs")
    pairs = int(moved.are_neighbours.sum())
    if pairs < LEAST_ROWS:
        return _too_few(test, pairs)
    kept, expected = kept_neighbours(moved), expected_neighbours(moved)
    return _found(test, kept, expected, float(stats.poisson.sf(kept - 1, expected)))


def spread_counts(moved: Moved, sources: Sources, parts: int = OUTPUT_PARTS) -> I64:
    """Return the sampled rows of each source in each part of the output.

    Returns  int64, shape (sources, parts); the parts are equal ranges of the output's rows
    """
    places = moved.outputs * parts // max(moved.output_rows, 1)
    counts: I64 = np.bincount(sources.of_row * parts + places, minlength=sources.count * parts)
    return counts.reshape(sources.count, parts)


def _spread(moved: Moved, sources: Sources) -> Test:
    test = Test("spread of sources", "chi-squared, sources by parts of the output", "chi-squared")
    if sources.count < 2:
        return _one_source(test)
    if moved.rows < LEAST_ROWS:
        return _too_few(test, moved.rows)
    for parts in _PARTS_TRIED:
        counts = spread_counts(moved, sources, parts)
        counts = counts[counts.sum(1) >= _LEAST_EXPECTED * parts]
        counts = counts[:, counts.sum(0) > 0]
        if min(counts.shape) >= 2:
            break
    else:
        return _with_why(test, "all sources but one have too few rows in the sample")
    found = stats.chi2_contingency(counts, correction=False)
    return _found(test, float(found.statistic), float(found.dof), float(found.pvalue))


def run_lengths(kinds: I64) -> I64:
    """Return how many rows of one kind follow each other, run by run: int64, shape (runs,)."""
    ends = np.flatnonzero(np.diff(kinds)) + 1
    lengths: I64 = np.diff(np.concatenate([[0], ends, [len(kinds)]]))
    return lengths


def _runs(kinds: I64, count: int) -> Test:
    """Wald and Wolfowitz's test, of more than two kinds too.

    Source  Barton and David, "Multiple runs", Biometrika 44 (1957): mean and variance of the
            number of runs, given how many there are of each kind
    """
    test = Test("runs of one source", "Wald-Wolfowitz, two-sided", "runs")
    if count < 2:
        return _one_source(test)
    rows = float(len(kinds))
    if rows < LEAST_ROWS:
        return _too_few(test, len(kinds))
    each = np.bincount(kinds, minlength=count).astype(np.float64)
    squares, cubes = float((each**2).sum()), float((each**3).sum())
    mean = rows + 1 - squares / rows
    variance = (
        squares * (squares + rows * (rows + 1)) - 2 * rows * cubes - rows**3
    ) / (rows**2 * (rows - 1))  # fmt: skip
    if variance <= 0:
        return _with_why(test, "the sampled rows are all of one source")
    runs = len(run_lengths(kinds))
    p = 2 * float(stats.norm.sf(abs(runs - mean) / variance**0.5))
    return _found(test, runs, mean, min(p, 1.0))


def _found(test: Test, observed: float, expected: float, p: float) -> Test:
    return Test(test.name, test.method, test.unit, observed, expected, p)


def _with_why(test: Test, why: str) -> Test:
    return Test(test.name, test.method, test.unit, why_not=why)


def _one_source(test: Test) -> Test:
    return _with_why(test, "there is one source")


def _too_few(test: Test, rows: int) -> Test:
    return _with_why(test, f"{rows:,} rows of the sample can be used, fewer than {LEAST_ROWS}")
