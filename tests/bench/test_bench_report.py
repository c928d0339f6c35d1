"""A summary must not flatter: failures, lost lines and missed floors are in it."""

from dataclasses import replace

import pytest
from cases import CASES
from report import Result, Row, summary, verdicts

pytestmark = pytest.mark.any_version

CASE = CASES["medium-1g"]
GOOD = Row(
    case=CASE.name,
    peer="dbshuf",
    repeat=1,
    place=0,
    wall_s=4.0,
    user_s=5.0,
    system_s=1.0,
    flush_s=0.0,
    peak_rss_bytes=500_000_000,
    lines_out=7,
    bytes_out=70,
    multiset_equal=True,
    exit=0,
    message="",
)
TERASHUF = replace(GOOD, peer="terashuf", wall_s=8.0)


def result(*rows: Row, case=CASE) -> Result:
    """Return a result with these runs."""
    return Result(case, 7, rows, ["rhuffle: not found"])


def test_floors_are_judged_by_medians():
    rows = [replace(GOOD, repeat=n, wall_s=wall_s) for n, wall_s in enumerate([4.0, 4.0, 90.0])]
    duckdb = replace(GOOD, peer="duckdb-alone", wall_s=7.0)
    assert verdicts(result(*rows, TERASHUF, duckdb)) == [
        "cap 512MB kept: dbshuf peaked at 500.0 MB",
        "target `1.8 x as fast as terashuf, or faster`: 2.00 x as fast, reached",
        "target `2 x as fast as duckdb-alone, or faster`: 1.75 x as fast, NOT reached",
    ]


def test_a_ceiling_is_judged_the_other_way_round():
    two_cp = replace(GOOD, peer="two-cp", wall_s=2.0)
    ceiling = "target `2.3 x the time of two-cp, or less`: "
    found = verdicts(result(GOOD, two_cp, case=CASES["medium-8g"]))
    assert found[-1] == f"{ceiling}2.00 x the time, reached"
    slow = replace(GOOD, wall_s=5.0)
    found = verdicts(result(slow, two_cp, case=CASES["medium-8g"]))
    assert found[-1] == f"{ceiling}2.50 x the time, NOT reached"


def test_a_broken_cap_is_named():
    """One run over the cap is enough, and the cap is in SI units: 512MB is no 512 MiB."""
    over = replace(GOOD, peak_rss_bytes=512_000_001)
    assert "cap 512MB NOT KEPT: dbshuf peaked at 512.0 MB" in verdicts(result(GOOD, over))


def test_wrong_output_voids_a_target():
    found = verdicts(result(replace(GOOD, multiset_equal=False, lines_out=6), TERASHUF))
    assert found[0] == "dbshuf LOST OR CHANGED LINES"
    assert found[2].endswith("void, dbshuf made wrong output")


def test_a_failed_run_leaves_no_ratio_and_shows_its_message():
    failed = replace(TERASHUF, exit=1, message="disk | full", lines_out=0, multiset_equal=False)
    text = summary([result(GOOD, failed)])
    assert "| terashuf | failed: disk \\| full | | | | | |" in text
    assert "terashuf, or faster`: not measured" in text
    text = summary([result(GOOD, TERASHUF, replace(failed, repeat=2))])
    assert "| terashuf | 7 | yes; failed in 1 of 2 | 8.00 | 6.00 | 500 |  |" in text


def test_peers_that_were_not_run_are_named():
    assert "- rhuffle: not found" in summary([result(GOOD)])


def test_a_trial_of_another_size_has_no_targets():
    assert CASE.changed(0.01, None).targets == ()
    assert CASE.changed(1, None) == CASE
