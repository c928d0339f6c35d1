"""Orders by two words: which options ask for one, and what follows from it for the rest of a run.

An option that wants such an order gives `arrangement_of` a function of a row and its key, a
`Leads`; all else is the same for all of them: engines, samples, splits, shards and checks.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbshuf.base.key import seed_words
from dbshuf.options import Options, check_rules
from dbshuf.plan.grouping import check_grouping, leads_of, order_words, said_of
from dbshuf.plan.partitions import OPTION as PARTITION_BY
from dbshuf.plan.partitions import check_partition_options, partition_columns
from dbshuf.plan.reading import ReadPlan

if TYPE_CHECKING:
    import pyarrow as pa

    from dbshuf.order.sort_prefix import Leads


@dataclass(frozen=True)
class Arrangement:
    """An order by (lead, key).

    option      that asks for it, for messages
    words       that turn ids into keys
    expression  of that option
    leads       what gives every row its lead
    is_counted  whether --shards cuts equal counts of rows; else equal ranges of the lead, so that
                rows of one lead are never apart
    said        what the order is, for people
    is_twice    whether leads are of a first order, which gives them those of the second
    """

    option: str
    expression: str
    words: tuple[int, int]
    leads: "Leads"
    is_counted: bool
    said: str
    is_twice: bool = False
    takes_samples: bool = False  # of the order by keys alone, before rows get their leads

    def to_json(self) -> dict[str, str]:
        """Return it for programs."""
        return {"option": self.option, "expression": self.expression}


def option_of(options: Options) -> str | None:
    """Return the option that asks for an order by two words; None: none does."""
    if options.partition_by:
        return PARTITION_BY
    for name in ("weight", "group", "spread"):
        if getattr(options, name) is not None:
            return f"--{name}"
    return None


def check_arrangement(options: Options) -> None:
    """Raise UsageError for what an order by two words has no meaning with, or no way to do."""
    check_grouping(options)
    check_partition_options(options)
    option = option_of(options)
    if option in (None, PARTITION_BY):
        return
    _check_others(options, option)
    check_rules(
        (
            options.shards is not None and options.split is not None and is_counted(options),
            f"--shards {options.shards} with {option} cuts equal counts of rows, and those of a"
            " split are not known beforehand",
            "use --shard-rows or --shard-bytes",
        ),
    )


def _check_others(options: Options, option: str) -> None:
    """Raise UsageError for another option that orders or keeps rows in a way of its own."""
    other = "--group" if options.spread is None else "--spread"
    check_rules(
        (
            options.weight is not None and (options.group or options.spread) is not None,
            f"--weight and {other} are two orders, and rows have one",
        ),
        (
            options.engine == "spark",
            f"--engine spark orders by the key alone, and {option} by what comes before it",
            "leave out --engine spark",
        ),
        (
            options.work_dir is not None,
            f"--work-dir keeps rows by their keys alone, and {option} orders by what comes before",
        ),
        (
            options.sample is not None,
            f"--sample keeps rows by their keys, and {option} goes by these too",
            "use --take N; or write a sample first, and order that",
        ),
        (
            options.with_replacement is not None,
            f"--with-replacement draws every row with the same chance, and {option} orders them",
        ),
        (
            options.per is not None,
            f"--per takes rows of each value by keys of their own, and not by {option}",
        ),
    )


def is_counted(options: Options) -> bool:
    """Whether --shards cuts equal counts of rows, which are known once all are read."""
    return options.weight is not None


def arrangement_of(options: Options, read: ReadPlan, seed: str) -> Arrangement | None:
    """Return the order by two words that the options ask for; None: the key is all.

    Raises  QueryInvalid; UsageError for line_number
    """
    option = option_of(options)
    if option is None:
        return None
    if option == PARTITION_BY:
        return _by_folders(partition_columns(options, read), seed)
    from dbshuf.query.relation import check_uncounted, columns_of

    schema = read.shape.schema
    weight, leads = options.weight, _leads(options, option, columns_of(schema), seed)
    check_uncounted(option, leads.columns, schema, "rows get their keys")
    said = f"by -ln(u)/w, where w is {weight}: a row of twice the weight comes earlier"
    return Arrangement(
        option=option,
        expression=weight or options.group or options.spread or "",
        words=order_words(options, seed),
        leads=leads,
        is_counted=is_counted(options),
        said=said_of(options) if weight is None else said,
        is_twice=options.spread is not None,
    )


def _by_folders(names: tuple[str, ...], seed: str) -> Arrangement:
    from dbshuf.order.sort_prefix import PartitionLeads

    shown = ", ".join(names)
    return Arrangement(
        option=PARTITION_BY,
        expression=shown,
        words=seed_words(seed),
        leads=PartitionLeads(names),
        is_counted=False,
        said=f"by {shown}, a folder each value, and there by the key",
        takes_samples=True,
    )


def _leads(options: Options, option: str, relation: "pa.Schema", seed: str) -> "Leads":
    if options.weight is None:
        return leads_of(options, relation, seed)
    from dbshuf.order.sort_prefix import WeightLeads

    return WeightLeads(options.weight, relation, option=option)
