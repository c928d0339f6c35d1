"""Which rows of the order a run writes: the options, checked, and what they leave of the rows."""

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dbshuf.base.key import POSITION_LIMIT
from dbshuf.base.layout import Layout
from dbshuf.errors import UsageError
from dbshuf.options import Options, check_rules
from dbshuf.source.survey import Survey

if TYPE_CHECKING:
    from fractions import Fraction

ALL_KEYS = 1 << 64
_SHARE = re.compile(r"(\d{0,20}\.?\d{0,20})(e-?\d{1,2})?(%?)", re.ASCII | re.IGNORECASE)
_MOST_RANGES = 1 << 12  # of the whole key, where a sample is a small part of it
_LEAST_SPARE_ROWS = 100  # so that chance alone leaves too few once in 10^38 runs
_SPARE = 1.1  # of a sample over what its share lets expect


@dataclass(frozen=True)
class Sample:
    """Rows of the one order.

    share      of all rows, each by its key; None: all
    skip       rows to leave out at the front
    take       rows to write after those; None: all
    draws      rows to draw with replacement; None: none is drawn
    per        an SQL expression: `take` rows of each value of it
    stratify   an SQL expression: the same share of each value of it
    """

    share: "Fraction | None" = None
    skip: int = 0
    take: int | None = None
    draws: int | None = None
    per: str | None = None
    stratify: str | None = None

    @property
    def is_stratified(self) -> bool:
        """Whether rows are chosen by the value of an expression."""
        return (self.per or self.stratify) is not None

    @property
    def end(self) -> int:
        """Rows with keys below it are in the sample, up to 2^64."""
        if self.share is None or self.stratify is not None:
            return ALL_KEYS
        return -(-self.share.numerator * ALL_KEYS // self.share.denominator)

    @property
    def first_rows(self) -> int | None:
        """How many rows of the order are enough; None: all of them."""
        return None if self.take is None or self.per is not None else self.skip + self.take

    @property
    def asked_rows(self) -> int | None:
        """How many rows are to be written, where that was said."""
        return self.draws if self.draws is not None else None if self.per else self.take

    def likely_end(self, survey: Survey) -> int | None:
        """Return a key with twice the rows below it that --take needs, if lines are as surveyed.

        Where lines get much longer behind the places that were looked at, there are fewer.
        """
        if self.first_rows is None or not survey.text_bytes or not survey.is_exact:
            return None
        rows = survey.text_bytes / survey.mean_line_bytes
        end = int((2 * self.first_rows + _LEAST_SPARE_ROWS) / rows * ALL_KEYS)
        return end if end < ALL_KEYS // 2 else None

    def kept(self, survey: Survey) -> Survey:
        """Return what the rows that are ordered look like: about, where any are dropped before."""
        size = survey.text_bytes
        if self.draws is not None:
            return replace(
                survey, text_bytes=int(self.draws * survey.mean_line_bytes), is_exact=False
            )
        if size is None or (self.end == ALL_KEYS and self.first_rows is None):
            return survey
        rows = max(size / survey.mean_line_bytes, 1) * self.end / ALL_KEYS
        if self.first_rows is not None:  # and what comes before the end has fallen
            first = max(self.first_rows, 1)
            rows = min(rows, first * (1 + math.log(max(rows / first, 1))))
        kept = int(rows * survey.mean_line_bytes * _SPARE)
        return replace(survey, text_bytes=min(kept, size), is_exact=False)

    def spread(self, layout: Layout, strategy: str, survey: Survey, kept: Survey) -> Layout:
        """Return a layout whose ranges are small where the sample is: at the front of the key."""
        if strategy not in ("partition", "memory") or self.draws is not None:
            return layout
        if not survey.text_bytes or not kept.text_bytes:
            return layout
        part = max(self.end / ALL_KEYS, 1e-9)
        if self.first_rows is not None:
            part = min(part, self.first_rows * survey.mean_line_bytes / survey.text_bytes + 1e-9)
        ranges = min(math.ceil(layout.ranges / min(part, 1)), _MOST_RANGES)
        return replace(layout, ranges=max(ranges, layout.ranges))

    def describe(self) -> str:
        """Return what is written, for people."""
        said = []
        if self.share is not None:
            share = f"{float(self.share):.10g} of all rows"
            if self.stratify is not None:
                said.append(f"{share}, of each value of {self.stratify}, to the row")
            else:
                said.append(f"{share}, each by its key, in one pass")
        elif self.stratify is not None:
            said.append(f"the same shares of each value of {self.stratify} in every split")
        if self.draws is not None:
            said.append(f"{self.draws:,} draws from all rows, with replacement")
        if self.per is not None:
            said.append(f"{self.take:,} rows of each value of {self.per}")
        elif self.take is not None:
            after = f" after {self.skip:,}" if self.skip else ""
            said.append(f"{self.take:,} rows of the order{after}; the others are dropped as read")
        elif self.skip:
            said.append(f"all rows of the order after {self.skip:,}")
        return "; ".join(said)

    def to_json(self) -> dict[str, object]:
        return {
            "share": None if self.share is None else float(self.share),
            "skip": self.skip,
            "take": self.take,
            "with_replacement": self.draws,
            "per": self.per,
            "stratify": self.stratify,
        }


def sample_of(options: Options) -> Sample | None:
    """Return which rows the options ask for; None: all.

    Raises  UsageError for a share that is none, and for options that mean nothing together
    """
    sample = Sample(
        share=None if options.sample is None else _share(options.sample),
        skip=options.skip,
        take=options.take,
        draws=options.with_replacement,
        per=options.per,
        stratify=options.stratify,
    )
    if sample == Sample():
        return None
    _check(options, sample)
    return sample


def _share(given: str | float) -> "Fraction":
    """Return the share of `1%`, `0.01` or 1e-2. Raises UsageError."""
    from fractions import Fraction

    text = str(given).strip(" ")
    match = _SHARE.fullmatch(text)
    if match is not None and any(map(str.isdigit, match[1])):
        number = Fraction(match[1] + (match[2] or "")) / (100 if match[3] else 1)
        if 0 < number <= 1:
            return number
    raise UsageError(
        f"--sample `{text}` is no share above 0 and up to 1", hint="as in --sample 1% or 0.01"
    )


def _check(options: Options, sample: Sample) -> None:
    """Raise UsageError for options that mean nothing together."""
    has_split = options.split is not None
    check_rules(
        (
            options.work_dir is not None,
            "--work-dir keeps the order of all rows, and a sample was asked for",
            "leave it out: a sample is soon made again",
        ),
        (
            sample.per is not None and sample.take is None,
            "--per says of what --take is taken, and there is no --take",
            "add --take N: N rows of each value",
        ),
        (
            sample.per is not None and sample.skip > 0,
            "--skip counts rows of the one order, and --per those of each value",
        ),
        (
            sample.per is not None and sample.stratify is not None,
            "--per takes as many rows of each value, and --stratify the same share",
        ),
        (
            sample.stratify is not None and sample.share is None and not has_split,
            "--stratify is for --sample and --split, and there is neither",
            "add --sample 1%, or --split train=0.9,valid=0.1",
        ),
        (
            sample.stratify is not None and options.split_by is not None,
            "--split-by keeps rows of one value in one split, and --stratify shares them out",
        ),
        (
            sample.stratify is not None and (sample.take is not None or sample.skip > 0),
            "--take and --skip cut the one order, where --stratify has given each value its share",
            "use --take N --per EXPR for N rows of each value, or leave one of them out",
        ),
    )
    _check_draws(options, sample)


def _check_draws(options: Options, sample: Sample) -> None:
    if sample.draws is None:
        return
    for name, value in (
        ("--take", sample.take),
        ("--skip", sample.skip or None),
        ("--sample", sample.share),
        ("--per", sample.per),
        ("--stratify", sample.stratify),
    ):
        if value is not None:
            raise UsageError(
                f"--with-replacement draws from all rows, and {name} from some of them",
                hint="leave out one of the two; --where says which rows to draw from",
            )
    if options.split is not None:
        raise UsageError(
            "--with-replacement writes rows twice, and --split keeps them apart",
            hint="split first, and draw from a split",
        )
    if sample.draws >= POSITION_LIMIT:
        raise UsageError(
            f"--with-replacement {sample.draws:,} is more rows than ids can name",
            hint=f"the most is {POSITION_LIMIT - 1:,}",
        )
