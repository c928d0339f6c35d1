"""What a comparison of rows found, for people and for programs."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where a row stands.

    where    for people
    count    of rows that are equal to it and differ too, itself among them
    content  the row, if it was asked for
    """

    where: str
    place: dict[str, Any]
    count: int = 1
    content: str | None = None

    @property
    def shown(self) -> str:
        """It as people read it."""
        more = f", {self.count:,} times" if self.count > 1 else ""
        return f"{self.where}{more}" + ("" if self.content is None else f": {self.content}")


@dataclass(frozen=True)
class RowsVerified:
    """What a comparison of rows found.

    rows_in, rows_out  of the inputs behind the SQL, and of the outputs; of the sample, if any
    missing, added     rows of the inputs that the outputs lack, and the other way round; None:
                       the inputs are a pipe, which cannot be read again to tell
    first_missing, first_added  the first ones by file and place
    sum_in, sum_out    sums of the hashes of all rows, 32 hex digits
    sample             share of the rows that was looked at; None: all
    order              None: not checked; "same"; or what is wrong first
    text_bytes         that were read of both, lines with their terminators or values
    places             the same, of the column of --number
    """

    rows_in: int
    rows_out: int
    missing: int | None
    added: int | None
    first_missing: tuple[Place, ...]
    first_added: tuple[Place, ...]
    sum_in: str
    sum_out: str
    sample: float | None
    order: str | None
    text_bytes: int
    elapsed_s: float
    peak_rss_bytes: int
    places: str | None = None

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        is_equal = self.sum_in == self.sum_out and self.missing == 0 and self.added == 0
        return is_equal and {self.order, self.places} <= {None, "same"}

    @property
    def verdict(self) -> str:
        """What differs, in one sentence."""
        if self.order not in (None, "same"):
            return f"the order is not that of the seed: {self.order}"
        if self.places not in (None, "same"):
            return f"the rows are not numbered as --number does it: {self.places}"
        of = f"of {self.rows_in:,} in the inputs and {self.rows_out:,} in the outputs"
        if self.missing is None:
            return f"the outputs are not the rows of the inputs, {of}"
        assert self.added is not None
        return f"{_counted(self.missing)} missing and {_counted(self.added)} added, {of}"

    @property
    def details(self) -> list[str]:
        """The first rows that differ, a line each."""
        return [
            *(f"missing: {one.shown}" for one in self.first_missing),
            *(f"added: {one.shown}" for one in self.first_added),
        ]

    @property
    def hint(self) -> str:
        """What to do about it."""
        if self.order not in (None, "same"):
            return (
                "check the seed, --weight, --group or --spread, and that inputs are named in the"
                " order of the shuffle"
            )
        if self.places not in (None, "same"):
            return "check --number and --skip; or the output was edited, or its files are renamed"
        if self.missing is None:
            return "the inputs are a pipe: write it to a file to be told which rows differ"
        return "check that --where, --select, --split and the like are those of the shuffle"

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        shown = asdict(self)
        for name in ("first_missing", "first_added"):
            shown[name] = [_place_json(one) for one in getattr(self, name)]
        return {"same": self.is_same} | shown


def _counted(rows: int) -> str:
    return f"{rows:,} row{' is' if rows == 1 else 's are'}"


def _place_json(one: Place) -> dict[str, Any]:
    row = {} if one.content is None else {"row": one.content}
    return {**one.place, "count": one.count, **row}
