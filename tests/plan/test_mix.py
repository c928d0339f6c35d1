"""What --mix asks for, and how many rows or bytes that is of each source."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbshuf.errors import UsageError
from dbshuf.options import Options
from dbshuf.plan.mix import Counted, mix_of
from dbshuf.plan.mix_targets import targets


def asked(*mix, **options):
    found = mix_of(Options(mix=mix, **options))
    assert found is not None
    return found


def given_of(counts, *mix, **options):
    """What each source is to give, of so many rows (which have ten bytes each)."""
    counted = [Counted(count, 10 * count) for count in counts]
    return [int(one) for one in targets(asked(*mix, **options), counted)]


def test_a_source_is_a_name_a_share_repeats_and_a_filter():
    """The name may hold all that a path may, and the filter all that SQL may."""
    for text, name, share, repeats, where in (
        ("web/=1", "web/", 1, 1, None),
        ("a=b/c=100%x3", "a=b/c", 1, 3, None),
        ("year=2020=1/1", "year=2020", 1, 1, None),
        ("0.5=1.0x12 where a = 0.5 and b='x=1'", "0.5", 1, 12, "a = 0.5 and b='x=1'"),
        ("web/*.txt=1e0\n where\n bytes > 1", "web/*.txt", 1, 1, "bytes > 1"),
    ):
        one = asked(text).sources[0]
        assert (one.name, one.share, one.repeats, one.where) == (name, share, repeats, where)
    for text, amount, unit in (
        ("a=10rows", 10, "rows"),
        ("a=1rowx2", 1, "rows"),
        ("a=1.5GBx2", 1_500_000_000, "bytes"),
        ("a=7B", 7, "bytes"),
        ("a=allx3", None, None),
    ):
        one = asked(text).sources[0]
        assert (one.share, one.amount, one.unit) == (None, amount, unit)
    assert asked("a=0.7", "b=20%", "c=1/10").sources[2].share == Fraction(1, 10)
    assert asked("a=0.7", "b=5MB").by == "bytes"
    assert asked("a=0.7", "b=5rows").by == "rows"


REFUSED = {
    ("a",): "no source with a share",
    ("a=",): "no source with a share",
    ("=0.5",): "no source with a share",
    ("a=0.5y2",): "no source with a share",
    ("a=0", "b=1"): "`0` is no share",
    ("a=1.5",): "`1.5` is no share",
    ("a=1/0",): "`1/0` is no share",
    ("a=10000",): "`10000` is no share",
    ("a=0rows",): "0rows is nothing",
    ("a=1x0",): "x0 takes no row",
    ("-=1",): "standard input",
    ("a=0.5", "a=0.5"): "`a` is named twice",
    ("a=0.5",): "sum to 0.5, not to 1",
    ("a=0.7", "b=0.7"): "sum to 1.4, not to 1",
    ("a=0.7", "b=0.3", "c=5rows"): "leave nothing for c=5 rows",
    ("a=0.7", "b=5rows", "c=5MB"): "shares are of bytes, and there is an amount of rows",
}


@pytest.mark.parametrize("mix", REFUSED, ids=" ".join)
def test_what_is_no_mix_is_refused_in_a_sentence_with_a_hint(mix):
    with pytest.raises(UsageError, match=REFUSED[mix]) as refused:
        asked(*mix)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mix_by": "rows"}, "--mix-by is for --mix"),
        ({"mix_size": "5rows"}, "--mix-size is for --mix"),
        ({"mix": ("a=1",), "mix_by": "lines"}, "--mix-by `lines` is unknown"),
        ({"mix": ("a=1",), "mix_size": "5"}, "--mix-size `5` is no size"),
        ({"mix": ("a=1",), "mix_size": "5MB", "mix_by": "rows"}, "shares are of rows"),
        ({"mix": ("a=0.5", "b=9rows"), "mix_size": "5rows"}, "--mix-size says how large"),
        ({"mix": ("a=1",), "inputs": ("b",)}, "inputs beside it"),
        *(
            ({"mix": ("a=1",), **other}, f"--mix does not go with --{name}")
            for name, other in {
                "sql": {"sql": "from lines"},
                "take": {"take": 5},
                "take ": {"take": 0},
                "skip": {"skip": 1},
                "sample": {"sample": "1%"},
                "with-replacement": {"with_replacement": 4},
                "per": {"per": "line"},
                "stratify": {"stratify": "line"},
                "weight": {"weight": "bytes"},
                "epochs": {"epochs": 2},
                "work-dir": {"work_dir": "w"},
                "engine spark": {"engine": "spark"},
            }.items()
        ),
    ],
)
def test_options_that_mean_nothing_with_a_mix_are_refused(options, message):
    with pytest.raises(UsageError, match=message.strip()) as refused:
        mix_of(Options(**options))
    assert refused.value.hint


def test_shares_make_the_largest_whole_that_needs_no_source_too_often():
    """Without a size; with a size, or beside an amount, that is the whole."""
    assert given_of([700, 100], "a=0.7", "b=0.3") == [233, 100]
    assert given_of([700, 100], "a=0.7", "b=0.3x3") == [700, 300]
    assert given_of([700, 100], "a=0.7", "b=0.3", mix_size="10rows") == [7, 3]
    assert given_of([70, 20, 90], "a=0.7", "b=0.2", "c=10rows") == [70, 20, 10]
    assert given_of([900, 20], "a=0.75", "b=allx2") == [120, 40]
    assert given_of([5, 6], "a=all", "b=allx2") == [5, 12]
    assert given_of([99, 99], "a=10rows", "b=30B") == [10, 30]
    assert given_of([700, 100], "a=0.7", "b=0.3", mix_by="bytes") == [2333, 1000]


def test_what_a_source_lacks_is_said_to_the_row():
    """With all sources that lack any, and with what would do."""
    with pytest.raises(UsageError) as short:
        given_of([50, 20], "a=0.7", "b=0.3x2", mix_size="200rows")
    assert "`a` has 50 rows, and is to give 140 rows: 90 rows are missing" in short.value.message
    assert "`b` has 20 rows, 2 times each at most, and is to give 60 rows: 20" in str(short.value)
    assert "x3 of `a`, x3 of `b`" in short.value.hint
    assert "--mix-size 71rows is the most without" in short.value.hint
    assert given_of([50, 20], "a=0.7", "b=0.3x2", mix_size="71rows") == [50, 21]
    for mix in (("a=0.5", "b=0.5"), ("a=all", "b=0.5"), ("a=3rows",), ("a=3B", "b=1rows")):
        with pytest.raises(UsageError, match="`a` has no rows"):
            given_of([0, 20][: len(mix)], *mix)


@given(
    st.lists(
        st.tuples(st.integers(1, 10**6), st.integers(1, 50), st.integers(1, 9)),
        min_size=1,
        max_size=6,
    )
)
def test_shares_are_exact_to_one_row_and_repeats_stay_below_their_cap(sources):
    """Whatever the shares are; and one row more would not have fitted."""
    total = sum(weight for _, weight, _ in sources)
    counts = [count for count, _, _ in sources]
    mix = [f"{at}={weight}/{total}x{cap}" for at, (_, weight, cap) in enumerate(sources)]
    rows = given_of(counts, *mix)
    whole = sum(rows)
    for (count, weight, cap), taken in zip(sources, rows, strict=True):
        assert abs(taken - Fraction(weight * whole, total)) < 1
        assert taken <= count * cap
    more = whole + 1
    assert any(Fraction(weight * more, total) > count * cap for count, weight, cap in sources)
