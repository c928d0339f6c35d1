"""Expressions that name no column: what they do in every row, they do before any."""

import pytest
from query_tools import LINES, refused

from dbshuf.query.row_expression import RowKeyQuery, RowWeightQuery
from dbshuf.query.row_filter import RowQuery

FAILING = {"cast('a' as int) = 1": "Could not convert string 'a'", "error('boom')": "boom"}


@pytest.mark.parametrize("text", FAILING)
def test_an_expression_that_fails_in_every_row_is_refused_before_the_first(text):
    """So `plan` tells it too, in the words of the run."""
    for make in (
        lambda: RowQuery(text, None, LINES),
        lambda: RowQuery(None, f"({text}) as x", LINES),
        lambda: RowKeyQuery(text, LINES, "7", option="--group"),
    ):
        refused(make, FAILING[text])


def test_an_expression_that_fails_in_some_rows_alone_is_not_refused():
    """Which ones, only the rows tell; a branch that no row takes does no harm either."""
    for text in ("line::int = 1", "true or error('no')", "1 / 0", "null", "list_has([1], 1)"):
        RowQuery(text, None, LINES)


@pytest.mark.parametrize("text", ["{}", "[bytes]", "raw", "interval 1 day", "make_date(1, 1, 1)"])
def test_a_condition_that_is_never_true_or_false_is_refused(text):
    """DuckDB binds it, and says of the first row that there is no such cast."""
    error = refused(lambda: RowQuery(text, None, LINES), "^--where: a condition is true or false")
    assert "bytes > 20" in error.hint


@pytest.mark.parametrize("text", ["-1", "null::int", "'nan'::double", "1e400"])
def test_a_weight_that_no_row_can_have_is_refused_before_the_first(text):
    """And one that all rows can have is none: the order is that of the seed."""
    refused(lambda: RowWeightQuery(text, LINES), "^--weight: .* is no weight, and each row has it")
    RowWeightQuery("2.5", LINES)
