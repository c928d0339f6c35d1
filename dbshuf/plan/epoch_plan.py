"""The plan of one epoch: that of the run, under a seed of its own."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dbshuf.base.key import epoch_seed
from dbshuf.options import Options
from dbshuf.plan.order_by import order_by_of
from dbshuf.plan.plan import Plan
from dbshuf.plan.reading import ReadPlan
from dbshuf.plan.row_plan import make_shape
from dbshuf.plan.strata import strata_of
from dbshuf.plan.target import target_of

if TYPE_CHECKING:
    from dbshuf.plan.spark_plan import SparkPlan


def plan_of_epoch(plan: Plan, epoch: int) -> Plan:
    """Return the plan of one epoch: what depends on the seed is made anew.

    plan     of the run, or of another of its epochs; the memory stays divided as it is
    Raises   what looking at inputs raises
    """
    assert plan.epochs is not None
    seed = epoch_seed(plan.epochs.seed, epoch)
    options = replace(plan.epochs.options, seed=seed)
    read = ReadPlan(plan.inputs, plan.store, plan.shape, plan.terminator, plan.header, plan.tables)
    if plan.shape.sides is not None and options.where is not None:
        from dbshuf.plan.paired import paired_where

        read = replace(read, shape=replace(plan.shape, row_query=paired_where(options)))
    elif asks_for_keys(options):
        columns = None if plan.store is None else plan.store.written
        shape = make_shape(options, plan.inputs, plan.shape.kind, columns=columns)
        read = replace(read, shape=replace(shape, is_prefixed=plan.shape.is_prefixed))
    strata = strata_of(options, read, plan.sample, seed)
    made = target_of(options, read, seed, plan.memory_bytes, strata)
    target = replace(plan.target, seed=seed, locate=made.locate, member_of=made.member_of)
    own: dict[str, Any] = {
        "seed": seed,
        "shape": read.shape,
        "strata": strata,
        "order_by": order_by_of(options, read, seed),
        "target": target,
    }
    otherwise = None if plan.otherwise is None else replace(plan.otherwise, **own)
    return replace(plan, **own, otherwise=otherwise)


def spark_plan_of_epoch(plan: "SparkPlan", epoch: int) -> "SparkPlan":
    """Return the plan of one epoch on Spark, likewise; splits and partitions stay as they are."""
    assert plan.epochs is not None
    seed = epoch_seed(plan.epochs.seed, epoch)
    options = replace(plan.epochs.options, seed=seed)
    read = ReadPlan(plan.inputs, None, plan.shape, plan.terminator, plan.header, plan.tables)
    if asks_for_keys(options):
        read = replace(read, shape=make_shape(options, plan.inputs, plan.shape.kind))
    locate = target_of(options, read, seed, plan.memory_bytes).locate
    target = replace(plan.target, seed=seed, locate=locate)
    order_by = order_by_of(options, read, seed)
    return replace(plan, seed=seed, shape=read.shape, target=target, order_by=order_by)


def asks_for_keys(options: Options) -> bool:
    """Whether SQL of a run is different under another seed."""
    if options.sql is not None:  # it may order its rows itself
        return True
    if options.where is None and options.select is None:
        return False
    from dbshuf.query.fence import macros_for

    return bool(macros_for((options.where, options.select), options.seed))
