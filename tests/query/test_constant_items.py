"""--select: items that name no column are evaluated before any row is read."""

import pytest
from query_tools import LINES

from dbshuf.errors import QueryInvalid
from dbshuf.query.row_filter import RowQuery


@pytest.mark.parametrize(
    "select",
    [
        "line, cast('a' as int)",
        "cast('a' as int) as n, line",
        "*, cast('a' as int) as n",
        "cast('a' as int) as n, *",
        "line, 1 as n, cast('a' as int)",
    ],
)
def test_an_item_that_fails_in_every_row_is_refused_before_any_is_read(select):
    """`dbshuf plan` binds and reads no row, and is to refuse what the run does."""
    with pytest.raises(QueryInvalid, match="Could not convert string 'a'") as caught:
        RowQuery(None, select, LINES)
    *_, shown, mark = str(caught.value).splitlines()
    assert shown[mark.index("^") :].startswith("cast('a'")


@pytest.mark.parametrize(
    "select", ["line, 3 as n", "*, upper('a') as n", "line, try_cast('a' as int)"]
)
def test_items_of_one_value_are_taken(select):
    RowQuery(None, select, LINES)
