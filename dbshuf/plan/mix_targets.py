"""How many rows, or bytes, each source of a mix is to give of those that it has."""

from collections.abc import Sequence
from fractions import Fraction

from dbshuf.errors import UsageError
from dbshuf.plan.mix import ROWS, Counted, MixAsked, MixSource, amount_of


def targets(asked: MixAsked, counted: Sequence[Counted]) -> list[Fraction]:
    """Return what each source is to give: whole rows, or bytes, as `unit_of` says.

    Raises  UsageError where a source has not as much, with its repeats
    """
    limits = [_of(one, asked.unit_of(source)) for source, one in _both(asked, counted)]
    limits = [has * one.repeats for has, one in zip(limits, asked.sources, strict=True)]
    wanted = [
        Fraction(limit if one.amount is None else one.amount)
        for one, limit in zip(asked.sources, limits, strict=True)
    ]
    shares = [one.share or Fraction() for one in asked.sources]
    if any(shares):
        fixed = [want for share, want in zip(shares, wanted, strict=True) if not share]
        whole = _size_of_whole(asked, shares, limits, sum(fixed, Fraction()))
        quotas = [share * whole or want for share, want in zip(shares, wanted, strict=True)]
        wanted = _rounded(quotas) if asked.by == ROWS else quotas
    _check_enough(asked, counted, wanted)
    return wanted


def _size_of_whole(
    asked: MixAsked, shares: Sequence[Fraction], limits: Sequence[int], fixed: Fraction
) -> Fraction:
    """Return how large the whole output is."""
    if fixed or sum(shares) < 1:
        return fixed / (1 - sum(shares))
    if asked.size is not None:
        return Fraction(asked.size)
    largest = min(limit / share for limit, share in zip(limits, shares, strict=True))
    return Fraction(int(largest)) if asked.by == ROWS else largest


def _rounded(quotas: Sequence[Fraction]) -> list[Fraction]:
    """Return whole numbers less than 1 off, whose sum is that of the quotas, rounded."""
    found = [int(quota) for quota in quotas]
    rest = int(sum(quotas) + Fraction(1, 2)) - sum(found)
    by_rest = sorted(range(len(quotas)), key=lambda at: found[at] - quotas[at])
    for at in by_rest[:rest]:
        found[at] += 1
    return [Fraction(one) for one in found]


def _check_enough(asked: MixAsked, counted: Sequence[Counted], wanted: Sequence[Fraction]) -> None:
    """Raise UsageError that says which sources lack how much."""
    lacking, more = [], []
    for (source, has), want in zip(_both(asked, counted), wanted, strict=True):
        unit = asked.unit_of(source)
        there, need = _of(has, unit), -(-want.numerator // want.denominator)
        if not there:
            raise UsageError(
                f"--mix: `{source.shown}` has no rows{_kept(source)}, and is to give"
                f" {source.asked}",
                hint="look at its files and at its filter, or leave it out",
            )
        if need <= there * source.repeats:
            continue
        often = "" if source.repeats == 1 else f", {source.repeats} times each at most"
        missing = amount_of(need - there * source.repeats, unit)
        lacking.append(
            f"`{source.shown}` has {amount_of(there, unit)}{_kept(source)}{often}, and is to give"
            f" {amount_of(need, unit)}: {missing} are missing"
        )
        more.append(f"x{-(-need // there)} of `{source.shown}`")
    if not lacking:
        return
    hint = f"let rows repeat ({', '.join(more)})"
    if asked.size is not None:
        least = min(
            Fraction(_of(has, asked.by) * one.repeats) / (one.share or 1)
            for one, has in _both(asked, counted)
        )
        unit = "rows" if asked.by == ROWS else "B"
        hint += f", or take less: --mix-size {int(least)}{unit} is the most without"
    else:
        hint += ", or ask for less"
    raise UsageError(f"--mix: {'; '.join(lacking)}", hint=hint)


def _kept(source: MixSource) -> str:
    return "" if source.where is None else f" where {source.where}"


def _both(asked: MixAsked, counted: Sequence[Counted]) -> "zip[tuple[MixSource, Counted]]":
    return zip(asked.sources, counted, strict=True)


def _of(counted: Counted, unit: str) -> int:
    return counted.rows if unit == ROWS else counted.bytes or 0
