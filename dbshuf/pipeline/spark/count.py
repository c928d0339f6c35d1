"""Where the partitions of a weighted order begin, found on Spark before rows move; on the driver.

    count  rows of each bin, summed by Spark       where partitions of about equal size begin
    cut    (prefix, key) of the rows of the bins    the very row that each shard begins with
           in which shards begin, sorted by Spark

Counts are whole numbers and pairs are sorted, so a task that is run again changes neither.
"""

from typing import Any

import numpy as np

from dbshuf.base.progress import Progress
from dbshuf.errors import InputChanged
from dbshuf.pipeline.spark.commit import Written
from dbshuf.pipeline.spark.count_task import (
    COUNTS,
    PAIRS,
    PICKED,
    count_task,
    pair_task,
    pick_task,
)
from dbshuf.pipeline.spark.job import Job, flipped
from dbshuf.pipeline.spark.ranges import I64, Histogram, Starts, equal_places
from dbshuf.pipeline.spark.running import sent, watched
from dbshuf.plan.spark_plan import SparkPlan


def counted_starts(session: Any, plan: SparkPlan, job: Job, reporter: Progress) -> Starts:
    """Return where the partitions of a job begin, whose order is by prefixes.

    Shards begin with the rows that they begin with in any engine, others in about equal parts.
    Raises  InputChanged; what reading and --weight raise
    """
    context = session.sparkContext
    numbers = session.range(0, len(plan.splits), 1, max(len(plan.splits), 1))
    with sent(context, plan, job) as broadcast:
        with watched(context, plan, reporter, "count"):
            counts = numbers.mapInArrow(count_task(broadcast), COUNTS)
            found = counts.groupBy("bin").sum("rows").toArrow().sort_by("bin")
        histogram = Histogram(*(one.to_numpy().astype(np.int64) for one in found.columns))
        bins, within = histogram.at(equal_places(plan.partitions, histogram.total))
        starts = Starts.of_bins(bins)
        opened = np.unique(bins[bins >= 0])
        if not plan.in_shards or not len(opened):
            return starts
        places = [np.unique(within[bins == one]) for one in opened]
        with watched(context, plan, reporter, "cut"):
            pairs = numbers.mapInArrow(pair_task(broadcast, opened), PAIRS)
            parts = pairs.repartitionById(len(opened), pairs["bucket"])
            ordered = parts.select("prefix", "key").sortWithinPartitions("prefix", "key")
            picked = ordered.mapInArrow(pick_task(places), PICKED).toArrow()
    return _at_rows(starts, bins, within, opened, picked)


def _at_rows(starts: Starts, bins: I64, within: I64, opened: I64, picked: Any) -> Starts:
    """Return starts at the very rows that were picked, a pair for each (bucket, place).

    Raises  InputChanged where one lacks
    """
    buckets, places, prefixes, keys = (one.to_numpy() for one in picked.columns)
    rows = {
        (int(opened[bucket]), int(place)): number
        for number, (bucket, place) in enumerate(zip(buckets, places, strict=True))
    }
    is_there = np.flatnonzero(bins >= 0)
    try:
        taken = [rows[int(bins[one]), int(within[one])] for one in is_there]
    except KeyError:
        raise _changed() from None
    assert starts.prefixes is not None
    firsts, seconds = starts.prefixes.copy(), starts.keys.copy()
    firsts[is_there] = flipped(prefixes[taken])
    seconds[is_there] = flipped(keys[taken])
    return Starts(seconds, firsts)


def check_equal(written: list[Written]) -> None:
    """Raise InputChanged unless shards have equal counts, as they were counted to have."""
    total = sum(one.rows for one in written)
    places = [0, *equal_places(len(written), total), total]
    if [one.rows for one in written] != np.diff(places).tolist():
        raise _changed()


def _changed() -> InputChanged:
    return InputChanged(
        "the rows of the inputs are others than when they were counted; nothing was published",
        hint="shuffle a copy that no one writes to",
    )
