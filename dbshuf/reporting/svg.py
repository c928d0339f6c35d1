"""SVG that stands in the page itself, with the axes and labels that the pictures share.

Drawn by matplotlib: it writes SVG without a browser, a server or JavaScript, text stays text
(`svg.fonttype: none`), a page of seven figures has about 250 kB, and most people who look at data
have it. Plotly and Bokeh bring megabytes of JavaScript into every page, and Vega needs either that
or an engine that runs it.

Colours are those of the page: ink is `currentColor`, and what is drawn lets the page's
background through, so one SVG is right on light and dark.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from dbshuf.base.row_batch import I64
from dbshuf.units import human

BLUE, ORANGE = "#3b7dd8", "#d9822b"  # seen on white and on black
HEIGHT_IN = 3.1
_WIDTH_IN = 4.6  # so that its text is readable on a page of 400 pixels
_INK = "#010203"  # stands for the page's own colour of text
_LABEL_LETTERS = 20  # of a source's name beside its row
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names of sources may hold dollars
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
_ID = re.compile(r'\bid="|url\(#|href="#')


@dataclass(frozen=True)
class Table:
    """The numbers of a figure, for those who cannot see it: a row of texts a line."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Drawn:
    """One figure.

    name     as its element's id
    title    what it shows
    good     what a good shuffle looks like there
    svg      the picture, safe to stand in a page
    table    its numbers
    """

    name: str
    title: str
    good: str
    svg: str
    table: Table


@contextmanager
def drawing(
    name: str, title: str, height_in: float = HEIGHT_IN
) -> Iterator[tuple[Axes, list[str]]]:
    """Give axes to draw in, and a list that its SVG is in afterwards."""
    result: list[str] = []
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        yield axes, result
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a letter that its font lacks; the page has others
            figure.savefig(out, format="svg", metadata=nothing)
    result.append(_for_page(out.getvalue(), name, title))


def _for_page(svg: str, name: str, title: str) -> str:
    """Return an SVG as an element of a page that holds several."""
    svg = svg[svg.index("<svg") :]
    svg = _ID.sub(lambda found: f"{found.group()}{name}-", svg)
    svg = svg.replace(_INK, "currentColor")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def cells(axes: Axes, counts: I64, expected: npt.NDArray[np.float64]) -> None:
    """Draw a cell a count: half a tint where it is what is expected, none at 0, full at twice."""
    ratio = np.clip(counts / np.maximum(expected, 1e-9), 0, 2)
    ratio[expected == 0] = 1
    mesh = axes.pcolormesh(ratio, linewidth=0, antialiased=False)
    colours = np.tile(np.array(mpl.colors.to_rgba(BLUE)), (ratio.size, 1))
    colours[:, 3] = np.round(ratio.ravel() / 2, 2)
    mesh.set_array(None)
    mesh.set_facecolors(colours)  # type: ignore[attr-defined]
    axes.spines[:].set_visible(False)


def percent(axis: Axis, parts: int) -> None:
    axis.set_ticks(np.linspace(0, parts, 5), ["0", "25 %", "50 %", "75 %", "100 %"])


def shortened(name: str) -> str:
    """Return a name for a label: its end, which tells files of one folder apart."""
    return name if len(name) <= _LABEL_LETTERS else "…" + name[1 - _LABEL_LETTERS :]


def count_text(value: float, place: object) -> str:
    """Return a number for an axis: 25k."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{unit}"
    return f"{value:g}"


def size_text(value: float, place: object) -> str:
    return human(value).replace(" bytes", "")
