"""The report as one HTML file: a template, filled by Jinja, which escapes all that it is given.

Only the pictures go in as they are: matplotlib escapes the texts in its SVG.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources

from jinja2 import Environment, StrictUndefined

from dbshuf.reporting.randomness import SUSPECT_BELOW, Test
from dbshuf.reporting.svg import Drawn


@dataclass(frozen=True)
class Verdict:
    """What the tests come to.

    kind  "good", "bad", or "none" where nothing was tested
    """

    kind: str
    title: str
    text: str


@dataclass(frozen=True)
class Page:
    """What a page shows.

    notes  what is missing, and which option brings it
    facts  a heading -> names and values
    """

    output: str
    verdict: Verdict
    notes: Sequence[str]
    tests: Mapping[str, Test]
    figures: Sequence[Drawn]
    facts: Mapping[str, Mapping[str, str]]
    version: str
    suspect_below: str = f"{SUSPECT_BELOW:g}"
    one_in: str = f"{1 / SUSPECT_BELOW:,.0f}"


def html_of(page: Page) -> bytes:
    """Return the page as HTML, in UTF-8."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"p_value": p_value, "number": number}
    template = (resources.files("dbshuf.reporting") / "page.html").read_text("utf-8")
    return environment.from_string(template).render(page=page).encode()


def p_value(p: float) -> str:
    if p >= 0.001:
        return f"{p:.3f}"
    return f"{p:.1e}" if p > 1e-300 else "under 1e-300"


def number(value: float) -> str:
    """Return a statistic for people: about four digits, all of a whole number."""
    if value == int(value) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:,.4g}"


def verdict_of(tests: Mapping[str, Test]) -> Verdict:
    done = [test for test in tests.values() if test.p is not None]
    suspect = [test for test in done if test.is_suspect]
    if not done:
        return Verdict("none", "Nothing is said about the order", "No test could be made.")
    least = min(done, key=lambda test: test.p or 0.0)
    if suspect:
        *others, last = (test.name for test in suspect)
        names = f"{', '.join(others)} and {last}" if others else last
        text = f"{names[:1].upper()}{names[1:]} {'are' if len(suspect) > 1 else 'is'} not what a"
        return Verdict("bad", "This is no uniform shuffle", f"{text} uniform order gives.")
    return Verdict(
        "good",
        "Nothing speaks against a uniform shuffle",
        f"{len(done)} test{'s' * (len(done) > 1)}; the smallest p-value is"
        f" {p_value(least.p or 0.0)}, of {least.name}.",
    )


def version_of_dbshuf() -> str:
    """Return the version of dbshuf; a checkout that is not installed has none."""
    try:
        return metadata.version("dbshuf")
    except metadata.PackageNotFoundError:
        return "(not installed)"
