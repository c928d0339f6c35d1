"""The inputs of a sample: the rows that a seed chooses, made as a shuffle makes them.

Which rows the first N are is known when all were ordered, or counted, so that the side is not
read but ordered. What becomes of its rows is the same as of any other's.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from dbshuf.base.counters import Tally
from dbshuf.base.key import epoch_seed, ids_of
from dbshuf.base.progress import Progress
from dbshuf.options import Options
from dbshuf.pipeline.ordered import ordered
from dbshuf.pipeline.verify.forms import Rows, pieces, rows_of
from dbshuf.pipeline.verify.sides import ComparisonProgress, Side
from dbshuf.plan.plan import Plan

CHOSEN = ("take", "skip", "sample", "with_replacement", "per")  # options that leave rows out


def is_sampled(options: Options) -> bool:
    """Whether the seed decides which rows there are."""
    return any(getattr(options, name) not in (None, 0) for name in CHOSEN)


def without_sample(options: Options) -> Options:
    """Return options of a shuffle of all rows."""
    default = Options()
    names = [*CHOSEN, *(["stratify"] if options.split is None else [])]
    return replace(options, **{name: getattr(default, name) for name in names})


@dataclass(frozen=True)
class SampledSide(Side):
    """Inputs of which there is a sample in each epoch.

    orders  a plan for each epoch
    """

    orders: tuple[Plan, ...] = ()

    def scan(self, take: Callable[[Rows], None], reporter: Progress) -> None:
        """Give the rows of all samples to `take`. Raises what a shuffle raises."""
        progress = ComparisonProgress(reporter)
        for plan in self.orders:
            with contextlib.closing(ordered(plan, progress, Tally())) as windows:
                for window in windows:
                    for piece in pieces(rows_of(window, ids_of(window.keys, plan.words))):
                        take(piece)

    def place(self, row: int) -> str:
        """Name the place of a row by its id; of a draw, which row it is of is not known."""
        return f"draw {row:,} of --with-replacement" if self._is_drawn else super().place(row)

    def place_json(self, row: int) -> dict[str, Any]:
        return {"draw": row} if self._is_drawn else super().place_json(row)

    @property
    def _is_drawn(self) -> bool:
        sample = self.orders[0].sample
        return sample is not None and sample.draws is not None


def sampled_side(
    side: Side, options: Options, order_plan: Callable[[Options, Side], Plan]
) -> SampledSide:
    """Return a side that holds the sample of `options` in place of all rows of `side`.

    order_plan  how its rows are ordered, with room for what is made of them
    """
    assert options.seed is not None
    seeds = [epoch_seed(options.seed, epoch) for epoch in range(options.epochs or 1)]
    orders = tuple(order_plan(replace(options, seed=seed, epochs=None), side) for seed in seeds)
    own = {field.name: getattr(side, field.name) for field in fields(Side)}
    return SampledSide(**own, orders=orders)
