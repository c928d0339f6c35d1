"""What a part of an input says of its values before it is read, and what a condition asks of them.

Values are integers, dates as days since 1970, or texts as UTF-8: types whose order is the same
in Parquet's statistics and in DuckDB. Floating-point numbers are not: statistics pass over NaN.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Value = int | bytes


@dataclass(frozen=True)
class Bounds:
    """The least and the greatest value of a column, or values beyond them.

    least, most  None: there is nothing but null
    """

    least: Value | None
    most: Value | None


BoundsOf = Callable[[str], Bounds | None]  # of a column by its name; None: unknown


@dataclass(frozen=True)
class Comparison:
    """A column compared with constants; it is true for no null.

    operator  "=", "<", "<=", ">" or ">="; "=" of several values is for any of them
    """

    column: str
    operator: str
    values: tuple[Value, ...]

    def may_hold(self, bounds: Bounds | None) -> bool:
        """Whether there can be a row for which it is true."""
        if bounds is None:
            return True
        least, most = bounds.least, bounds.most
        if least is None or most is None:
            return False
        return any(_may_be(self.operator, value, least, most) for value in self.values)


def may_hold_all(comparisons: Iterable[Comparison], bounds_of: BoundsOf) -> bool:
    """Whether there can be a row for which all are true."""
    return all(one.may_hold(bounds_of(one.column)) for one in comparisons)


def _may_be(operator: str, value: Any, least: Any, most: Any) -> bool:
    if not (isinstance(value, int) is isinstance(least, int) is isinstance(most, int)):
        return True
    if operator == "=":
        return bool(least <= value <= most)
    if operator in ("<", "<="):
        return bool(least < value or (operator == "<=" and least == value))
    return bool(most > value or (operator == ">=" and most == value))
