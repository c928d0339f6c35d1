"""--mix: the sources, what each is to give, and how much of the rows that there are that is.

A number is a share of the whole output. Numbers sum to 1, and then the whole is as large as
--mix-size says, or the largest that needs no source more often than it may repeat; or they sum
to less, and the sources with an amount of their own are the rest, which says how large it is.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from dbshuf.base.remote_names import is_remote, shown_url
from dbshuf.errors import UsageError
from dbshuf.options import Options
from dbshuf.order.mixed import Taken
from dbshuf.units import human, known_sum, parse_bytes

if TYPE_CHECKING:
    from dbshuf.query.row_filter import RowQuery

ROWS, BYTES = "rows", "bytes"
_AS_IN = "as in --mix web/=0.7 --mix books/=0.2x3 --mix 'code/=10000rows where bytes > 200'"
_NUMBER = r"\d{1,20}/\d{1,20}|(?=\.?\d)\d{0,20}\.?\d{0,20}(?:e-?\d{1,2})?%?"
_SIZE = r"\d{1,20}(?:\.\d{1,20})?(?:[kmgt]i?b?|b)"
_AMOUNT = rf"\d{{1,20}}rows?|{_SIZE}"
_SOURCE = re.compile(
    rf"(?P<name>.+?)=(?P<share>all|{_AMOUNT}|{_NUMBER})(?:x(?P<repeats>\d{{1,9}}))?"
    r"(?:\s+where\s+(?P<where>.+))?",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class MixSource:
    """One --mix, as it was asked for.

    name     of its inputs: a file, a directory, a glob
    share    of the whole output; None: it gives an amount of its own
    amount   rows, or bytes; None without a share: all that it has, as often as it may repeat
    unit     of the amount, ROWS or BYTES; None: as shares are measured
    repeats  how often one row may be taken
    where    keeps some of its rows
    """

    name: str
    share: Fraction | None = None
    amount: int | None = None
    unit: str | None = None
    repeats: int = 1
    where: str | None = None

    @property
    def shown(self) -> str:
        """Its name, for people: of a URL without what is secret."""
        return shown_url(self.name) if is_remote(self.name) else self.name

    @property
    def asked(self) -> str:
        """What it is to give, for people."""
        if self.share is not None:
            return f"{float(self.share):.6g}"
        if self.amount is None:
            return "all"
        return amount_of(self.amount, self.unit or ROWS)


@dataclass(frozen=True)
class MixAsked:
    """All sources.

    by    what shares are of: ROWS or BYTES
    size  of the whole output, in that; None: the sources say it
    """

    sources: tuple[MixSource, ...]
    by: str
    size: int | None = None

    def unit_of(self, source: MixSource) -> str:
        """What is counted of a source."""
        return source.unit or self.by


@dataclass(frozen=True)
class MixPart:
    """A source with its inputs.

    first, last  its inputs are those of the run from the first up to, not with, the last
    query        what SQL makes of its rows; None: nothing
    """

    source: MixSource
    first: int
    last: int
    query: "RowQuery | None"


@dataclass(frozen=True)
class Counted:
    """What a source has, behind its filter; bytes are None where nobody had to look at them."""

    rows: int
    bytes: int | None


@dataclass(frozen=True)
class MixedPart:
    """A source, what it has and what is taken of that."""

    part: MixPart
    has: Counted
    taken: Taken


@dataclass(frozen=True)
class Mix:
    """A mix whose rows are counted.

    inputs     of all sources
    counted_s  how long counting took
    """

    by: str
    parts: tuple[MixedPart, ...]
    inputs: int
    counted_s: float

    @property
    def rows(self) -> int:
        return sum(one.taken.rows for one in self.parts)

    @property
    def bytes(self) -> int | None:
        """Their bytes; None where they are not known."""
        return known_sum([one.taken.bytes for one in self.parts])

    def describe(self) -> list[tuple[str, str]]:
        """Return it for people, a line a source."""
        size = "" if self.bytes is None else f", {human(self.bytes)}"
        facts = [("mix", f"{self.rows:,} rows{size} of {len(self.parts):,} sources")]
        for one in self.parts:
            source, taken = one.part.source, one.taken
            kept = "" if source.where is None else f" where {source.where}"
            whole = (taken.rows, self.rows) if self.by == ROWS else (taken.bytes, self.bytes)
            part = 100 * (whole[0] or 0) / max(whole[1] or 0, 1)
            facts.append(
                (
                    "  source",
                    f"{source.shown}{kept}: {_size(taken.rows, taken.bytes)}"
                    f" of {_size(one.has.rows, one.has.bytes)}, {part:.4g}%{_often(taken)}",
                )
            )
        return facts

    def to_json(self) -> dict[str, Any]:
        return {
            "by": self.by,
            "rows": self.rows,
            "bytes": self.bytes,
            "sources": [
                {
                    "source": one.part.source.shown,
                    "asked": one.part.source.asked,
                    "where": one.part.source.where,
                    "repeats": one.part.source.repeats,
                    "inputs": one.part.last - one.part.first,
                    "rows": one.has.rows,
                    "bytes": one.has.bytes,
                    "taken_rows": one.taken.rows,
                    "taken_bytes": one.taken.bytes,
                    "whole_copies": one.taken.whole,
                    "rows_once_more": one.taken.more,
                }
                for one in self.parts
            ],
        }


def mix_of(options: Options) -> MixAsked | None:
    """Return the mix that options ask for; None: there is none.

    Raises  UsageError for what is no mix, and for options that mean nothing with one
    """
    if not options.mix:
        for name, value in (("--mix-by", options.mix_by), ("--mix-size", options.mix_size)):
            if value is not None:
                raise UsageError(f"{name} is for --mix, and there is none", hint=_AS_IN)
        return None
    _check_options(options)
    sources = tuple(_source(text) for text in options.mix)
    seen: set[tuple[str, str | None]] = set()
    for one in sources:
        if (one.name, one.where) in seen:
            raise UsageError(f"--mix: `{one.shown}` is named twice", hint="give it one share")
        seen.add((one.name, one.where))
    size, unit = (None, None) if options.mix_size is None else _whole(str(options.mix_size))
    units = [one.unit for one in sources] + [unit]
    by = options.mix_by or (BYTES if BYTES in units else ROWS)
    if by not in (ROWS, BYTES):
        raise UsageError(f"--mix-by `{by}` is unknown", hint=f"one of {ROWS}, {BYTES}")
    asked = MixAsked(sources, by, size)
    _check_whole(asked, unit)
    return asked


def _source(text: str) -> MixSource:
    """Return what one --mix says. Raises UsageError."""
    match, text = _SOURCE.fullmatch(text), shown_url(text) if is_remote(text) else text
    if match is None:
        raise UsageError(f"--mix `{text}` is no source with a share", hint=_AS_IN)
    name, said = match["name"], match["share"].lower()
    repeats = 1 if match["repeats"] is None else int(match["repeats"])
    if not repeats:
        raise UsageError(f"--mix `{text}`: x0 takes no row", hint="leave out the source, or the x0")
    source = MixSource(name, repeats=repeats, where=match["where"])
    if name == "-":
        raise UsageError(
            "--mix: standard input can be read once, and a source is read several times",
            hint="write it to a file first",
        )
    if said == "all":
        return MixSource(name, repeats=repeats, where=source.where)
    if re.fullmatch(_AMOUNT, said):
        amount, unit = _whole(said)
        return MixSource(name, None, amount, unit, repeats, source.where)
    return MixSource(name, _share(text, said), None, None, repeats, source.where)


def _share(text: str, said: str) -> Fraction:
    """Return the share of `0.7`, `70%` or `1/3`. Raises UsageError."""
    try:
        share = Fraction(said.removesuffix("%")) / (100 if said.endswith("%") else 1)
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not 0 < share <= 1:
        raise UsageError(
            f"--mix `{text}`: `{said}` is no share above 0 and up to 1",
            hint=f"an amount has a unit: {said}rows, 5GB; a share is 0.7, 70% or 1/3",
        )
    return share


def _whole(said: str) -> tuple[int, str]:
    """Return the amount of `10000rows` or `5GB`, and its unit. Raises UsageError."""
    text = said.lower().strip()
    if re.fullmatch(r"\d{1,20}rows?", text):
        amount, unit = int(text.removesuffix("s").removesuffix("row")), ROWS
    elif re.fullmatch(_SIZE, text):
        amount, unit = parse_bytes(text, "--mix"), BYTES
    else:
        raise UsageError(f"--mix-size `{said}` is no size", hint="as in 1000000rows, or 5GB")
    if not amount:
        raise UsageError(f"--mix: {said} is nothing", hint="name an amount above zero")
    return amount, unit


def _check_whole(asked: MixAsked, size_unit: str | None) -> None:
    """Raise UsageError unless shares and amounts make one whole of one size."""
    shares = sum((one.share for one in asked.sources if one.share is not None), Fraction())
    fixed = [one for one in asked.sources if one.share is None]
    if fixed and asked.size is not None:
        raise UsageError(
            f"--mix-size says how large the mix is, and so does {fixed[0].shown}={fixed[0].asked}",
            hint="give all sources shares that sum to 1, or leave out --mix-size",
        )
    total = f"{float(shares):.10g}"
    if not fixed and shares != 1:
        raise UsageError(
            f"--mix: the shares sum to {total}, not to 1",
            hint="thirds are written 1/3; a source of its own amount (=10000rows) is the rest",
        )
    if fixed and shares >= 1:
        raise UsageError(
            f"--mix: the shares sum to {total}, and leave nothing for"
            f" {fixed[0].shown}={fixed[0].asked}",
            hint="shares are of the whole output: those of the others are to sum to less than 1",
        )
    units = {one.unit for one in fixed if one.unit is not None} | {size_unit} - {None}
    if shares and units - {asked.by}:
        other = BYTES if asked.by == ROWS else ROWS
        raise UsageError(
            f"--mix: shares are of {asked.by}, and there is an amount of {other}",
            hint=f"name all amounts in {asked.by}, or give every source an amount",
        )


def _check_options(options: Options) -> None:
    """Raise UsageError for options that mean nothing with a mix."""
    sized = "the shares of a mix are exact as a whole; --mix-size says how large that is"
    for value, name, hint in (
        (options.inputs, "inputs beside it", "name them with a --mix of their own"),
        (options.store, "export", "mix the inputs that the store was made of"),
        (options.sql, "--sql", "--mix 'NAME=SHARE where EXPR' and --where keep rows of sources"),
        (options.take, "--take", sized),
        (options.skip or None, "--skip", sized),
        (options.sample, "--sample", sized),
        (options.with_replacement, "--with-replacement", "x3 lets rows of a source repeat"),
        (options.per, "--per", "name a source for each value: 'NAME=0.5 where EXPR'"),
        (options.stratify, "--stratify", "name a source for each value: 'NAME=0.5 where EXPR'"),
        (options.weight, "--weight", "shares say how much of a source there is"),
        (options.group, "--group", "write the mix first, and group that"),
        (options.spread, "--spread", "write the mix first, and spread that"),
        (options.epochs, "--epochs", "run it with the seeds 42, 42/epoch-1, 42/epoch-2, ..."),
        (options.work_dir, "--work-dir", "leave it out: a mix begins anew"),
        (None if options.engine != "spark" else True, "--engine spark", "use duckdb or sqlite"),
    ):
        if value not in (None, ()):
            raise UsageError(f"--mix does not go with {name}", hint=hint)


def amount_of(count: int, unit: str) -> str:
    """Return so many rows or bytes, for people."""
    return f"{count:,} {unit[:-1] if count == 1 else unit}"


def _size(rows: int, size: int | None) -> str:
    return f"{rows:,} rows" if size is None else f"{rows:,} rows ({human(size)})"


def _often(taken: Taken) -> str:
    """Say how often a row is taken, where that is more than once."""
    if taken.whole > 1 or (taken.whole and taken.more):
        most = (
            f"{taken.whole} times"
            if not taken.more
            else f"{taken.whole} or {taken.whole + 1} times"
        )
        return f", each {most}"
    return ""
