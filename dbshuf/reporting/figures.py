"""The pictures of a report; each with its numbers, and words for what a good shuffle looks like."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from scipy import stats

from dbshuf.base.row_batch import I64
from dbshuf.reporting.origin import Moved
from dbshuf.reporting.randomness import (
    OUTPUT_PARTS,
    Sources,
    displacements,
    expected_neighbours,
    kept_neighbours,
    run_lengths,
    spread_counts,
)
from dbshuf.reporting.sample import Lengths
from dbshuf.reporting.svg import (
    BLUE,
    HEIGHT_IN,
    ORANGE,
    Drawn,
    Table,
    cells,
    count_text,
    drawing,
    percent,
    shortened,
    size_text,
)

HEAT_PARTS = 24  # of inputs and of the output: 576 cells, 90 kB
MOST_BARS = 60  # for shards; of more, neighbours share one


def heat_map(moved: Moved) -> Drawn:
    """Where rows of each part of the inputs went."""
    rows, columns = _parts(moved.inputs, moved.input_rows), _parts(moved.outputs, moved.output_rows)
    counts = np.bincount(rows * HEAT_PARTS + columns, minlength=HEAT_PARTS**2)
    counts = counts.reshape(HEAT_PARTS, HEAT_PARTS)
    expected = np.outer(counts.sum(1), counts.sum(0)) / max(moved.rows, 1)
    title = "Input position against output position"
    with drawing("heat", title) as (axes, result):
        cells(axes, counts, expected)
        percent(axes.xaxis, HEAT_PARTS)
        percent(axes.yaxis, HEAT_PARTS)
        axes.set_xlabel("position in the output")
        axes.set_ylabel("position in the inputs")
        ends = np.cumsum(moved.source_rows[moved.source_rows > 0])[:-1]
        if len(ends) <= HEAT_PARTS:
            for end in ends * HEAT_PARTS / max(moved.input_rows, 1):
                axes.axhline(end, color=ORANGE, linewidth=0.8, linestyle=(0, (4, 3)))
    coarse = counts.reshape(4, HEAT_PARTS // 4, 4, HEAT_PARTS // 4).sum((1, 3))
    quarters = ("first", "second", "third", "last")
    return Drawn(
        "heat",
        title,
        "An even tint without lines, blocks or gradients: rows of every part of the inputs are in"
        " every part of the output. A diagonal is an order that was kept. Broken lines are where"
        " one source ends and the next begins.",
        result[0],
        Table(
            ("quarter of the inputs", *(f"{one} of the output" for one in quarters)),
            tuple(
                (name, *(f"{count:,}" for count in row))
                for name, row in zip(quarters, coarse.tolist(), strict=True)
            ),
        ),
    )


def source_map(moved: Moved, sources: Sources, names: Sequence[str]) -> Drawn:
    """How each source spreads over the output."""
    counts = spread_counts(moved, sources)
    expected = np.outer(counts.sum(1), counts.sum(0)) / max(moved.rows, 1)
    title = "Each source over the output"
    height_in = max(HEIGHT_IN, 1.1 + 0.24 * len(names))
    with drawing("sources", title, height_in) as (axes, result):
        cells(axes, counts, expected)
        percent(axes.xaxis, OUTPUT_PARTS)
        axes.set_yticks(np.arange(len(names)) + 0.5, [shortened(name) for name in names])
        axes.tick_params("y", length=0)
        axes.invert_yaxis()
        axes.set_xlabel("position in the output")
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1) * 100
    return Drawn(
        "sources",
        title,
        "Every row of the picture is one even tint: a source has the same share of every part of"
        " the output. Small sources flicker, since a part has few of their rows.",
        result[0],
        Table(
            ("source", "rows in the sample", "least share in a twentieth", "largest share"),
            tuple(
                (name, f"{total:,}", f"{low:.1f} %", f"{high:.1f} %")
                for name, total, low, high in zip(
                    names, counts.sum(1).tolist(), shares.min(1), shares.max(1), strict=True
                )
            ),
        ),
    )


def displacement(moved: Moved) -> Drawn:
    """How far rows went, and how far those of a uniform permutation go."""
    edges = np.linspace(0, 1, 31)
    found = np.histogram(displacements(moved), edges)[0] / max(moved.rows, 1) * 30
    curve = np.linspace(0, 1, 61)
    title = "How far rows moved"
    with drawing("displacement", title) as (axes, result):
        axes.bar(edges[:-1], found, 1 / 30, align="edge", color=BLUE, alpha=0.6, label="found")
        axes.plot(curve, 2 * (1 - curve), color=ORANGE, label="uniform permutation: 2(1 - d)")
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.set_xlabel("distance, as a share of all rows")
        axes.set_ylabel("density")
        axes.legend()
    tenths = np.histogram(displacements(moved), np.linspace(0, 1, 11))[0] / max(moved.rows, 1)
    uniform = np.diff(np.linspace(0, 1, 11) * (2 - np.linspace(0, 1, 11)))
    return Drawn(
        "displacement",
        title,
        "The bars follow the line. Bars crowded at the left are rows that stayed near where they"
        " were; a lone tower is a block that moved as one.",
        result[0],
        Table(
            ("distance", "rows found", "uniform permutation"),
            tuple(
                (f"{10 * i} to {10 * i + 10} %", f"{share:.1%}", f"{wanted:.1%}")
                for i, (share, wanted) in enumerate(zip(tenths, uniform, strict=True))
            ),
        ),
    )


def neighbours(moved: Moved) -> Drawn:
    """How many neighbours stayed neighbours, beside the Poisson distribution."""
    kept, mean = kept_neighbours(moved), expected_neighbours(moved)
    places = np.arange(8)
    chances = stats.poisson.pmf(places, mean)
    title = "Rows that kept their next row"
    with drawing("neighbours", title) as (axes, result):
        axes.bar(places, chances, 0.7, color=BLUE, alpha=0.6, label=f"Poisson({mean:.3g})")
        axes.axvline(min(kept, 8), color=ORANGE, linewidth=2, label=f"found: {kept:,}")
        axes.set_xlim(-0.6, 8.4)
        axes.set_xticks(range(9), [*map(str, range(8)), "more"])
        axes.set_xlabel("pairs that follow each other before and after")
        axes.set_ylabel("chance in a uniform permutation")
        axes.legend()
    return Drawn(
        "neighbours",
        title,
        "The line stands among the bars: of all the pairs that follow each other in the output, a"
        " uniform permutation keeps about one from the inputs. Many are blocks that were moved"
        " whole.",
        result[0],
        Table(
            ("", "pairs"),
            (
                ("looked at in the sample", f"{int(moved.are_neighbours.sum()):,}"),
                ("kept", f"{kept:,}"),
                ("expected of a uniform permutation", f"{mean:.3g}"),
            ),
        ),
    )


def runs(sources: Sources) -> Drawn:
    """How long runs of one source are, and how long they are by chance."""
    longest = 10
    lengths = np.minimum(run_lengths(sources.of_row), longest)
    found = np.bincount(lengths, minlength=longest + 1)[1:]
    shares = np.bincount(sources.of_row, minlength=sources.count) / len(sources.of_row)
    sizes = np.arange(1, longest + 1)
    wanted = ((1 - shares[:, None]) ** 2 * shares[:, None] ** sizes).sum(0)
    wanted[-1] = ((1 - shares) * shares**longest).sum()
    wanted *= len(sources.of_row)
    labels = [*map(str, sizes[:-1]), f"{longest}+"]
    title = "Runs of one source"
    with drawing("runs", title) as (axes, result):
        axes.bar(sizes, found, 0.7, color=BLUE, alpha=0.6, label="found")
        axes.plot(sizes, wanted, "o", color=ORANGE, markersize=4, label="uniform order")
        axes.set_xticks(sizes, labels)
        axes.set_xlabel("rows of one source in a row")
        axes.set_ylabel("runs in the sample")
        axes.yaxis.set_major_formatter(FuncFormatter(count_text))
        axes.legend()
    return Drawn(
        "runs",
        title,
        "The bars reach the points. More long runs than that are sources that stayed together;"
        " fewer, sources that were dealt out in turn.",
        result[0],
        Table(
            ("rows of one source", "runs found", "uniform order"),
            tuple(
                (label, f"{count:,}", f"{mean:,.1f}")
                for label, count, mean in zip(labels, found.tolist(), wanted, strict=True)
            ),
        ),
    )


def row_lengths(lengths: Lengths) -> Drawn:
    """How long the rows of the output are."""
    used = np.flatnonzero(lengths.counts)
    first, last = int(used[0]), int(used[-1])
    edges, counts = lengths.edges()[first : last + 2], lengths.counts[first : last + 1]
    title = "Row lengths"
    with drawing("lengths", title) as (axes, result):
        axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=BLUE, alpha=0.7)
        if last - first > 24:  # three doublings
            axes.set_xscale("log")
            axes.set_xlim(max(edges[0], 0.5))
        axes.xaxis.set_major_formatter(FuncFormatter(size_text))
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda size, place: ""))
        axes.yaxis.set_major_formatter(FuncFormatter(count_text))
        axes.set_xlabel("bytes of a row")
        axes.set_ylabel("rows")
    return Drawn(
        "lengths",
        title,
        "All rows, in bins that grow by 9 %. A shuffle changes nothing here: it is what the"
        " inputs have.",
        result[0],
        Table(
            ("", "bytes"),
            (
                ("shortest", f"{lengths.shortest_bytes:,}"),
                ("half of the rows, at most", f"{lengths.quantile(0.5):,.0f}"),
                ("mean", f"{lengths.total_bytes / lengths.rows:,.1f}"),
                ("99 of 100 rows, at most", f"{lengths.quantile(0.99):,.0f}"),
                ("longest", f"{lengths.longest_bytes:,}"),
            ),
        ),
    )


def file_sizes(names: Sequence[str], rows: I64, sizes: I64) -> Drawn:
    """How many rows each file of the output has; there are several."""
    share = -(-len(rows) // MOST_BARS)
    starts = np.arange(0, len(rows), share)
    means = np.add.reduceat(rows, starts) / np.diff([*starts.tolist(), len(rows)])
    title = "Rows a shard"
    with drawing("shards", title) as (axes, result):
        axes.bar(starts, means, 0.8 * share, align="edge", color=BLUE, alpha=0.7)
        axes.axhline(float(rows.mean()), color=ORANGE, linewidth=1.2, label="mean")
        axes.set_xlabel("shard" if share == 1 else f"shard, {share:,} to a bar")
        axes.set_ylabel("rows")
        axes.set_xlim(0, len(rows))
        axes.set_ylim(0, max(float(means.max()), 1.0) * 1.2)  # with room for the legend
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(count_text))
        axes.legend(loc="upper right")
    shown = range(len(rows)) if len(rows) <= 24 else (*range(12), *range(len(rows) - 12, len(rows)))
    return Drawn(
        "shards",
        title,
        "--shards gives equal ranges of the key, so rows differ by about the square root of their"
        " number; --shard-rows gives equal ones, but for the last.",
        result[0],
        Table(
            ("file", "rows", "bytes of rows"),
            tuple((names[i], f"{int(rows[i]):,}", f"{int(sizes[i]):,}") for i in shown),
        ),
    )


def _parts(places: I64, rows: int) -> I64:
    return np.minimum(places * HEAT_PARTS // max(rows, 1), HEAT_PARTS - 1)
