"""Orders by a prefix before the key: which options ask for one, and what follows from it for a run.

An option that wants such an order gives `order_by_of` a function of a row and its key, a
`SortPrefix`; all else is the same for all of them: engines, samples, splits, shards and checks.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbshuf.base.key import seed_words
from dbshuf.options import Options, check_rules
from dbshuf.plan.grouping import check_grouping, order_words, prefixes_of, said_of
from dbshuf.plan.partitions import OPTION as PARTITION_BY
from dbshuf.plan.partitions import check_partition_options, partition_columns
from dbshuf.plan.reading import ReadPlan

if TYPE_CHECKING:
    import pyarrow as pa

    from dbshuf.order.sort_prefix import SortPrefix


@dataclass(frozen=True)
class OrderBy:
    """An order by (prefix, key).

    option      that asks for it, for messages
    words       that turn ids into keys
    expression  of that option
    prefixes    what gives every row its prefix
    said        what the order is, for people
    is_twice    whether prefixes are of a first order, which gives them those of the second
    is_counted  as `is_counted` says of the options
    """

    option: str
    expression: str
    words: tuple[int, int]
    prefixes: "SortPrefix"
    said: str
    is_twice: bool = False
    is_counted: bool = False
    takes_samples: bool = False  # of the order by keys alone, before rows get their prefixes

    def to_json(self) -> dict[str, str]:
        return {"option": self.option, "expression": self.expression}


def option_of(options: Options) -> str | None:
    """Return the option that asks for an order by prefix and key; None: none does."""
    if options.partition_by:
        return PARTITION_BY
    for name in ("weight", "group", "spread"):
        if getattr(options, name) is not None:
            return f"--{name}"
    return None


def check_order_by(options: Options) -> None:
    """Raise UsageError for what an order by prefix and key has no meaning with, or no way to do."""
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
    """Whether --shards cuts equal counts of rows, which are known once all are read.

    Else it cuts equal ranges of the prefix, so that rows of one prefix are never apart.
    """
    return options.weight is not None


def order_by_of(options: Options, read: ReadPlan, seed: str) -> OrderBy | None:
    """Return the order by prefix and key that the options ask for; None: the key is all.

    Raises  QueryInvalid; UsageError for line_number
    """
    option = option_of(options)
    if option is None:
        return None
    if option == PARTITION_BY:
        return _by_folders(partition_columns(options, read), seed)
    from dbshuf.query.relation import check_uncounted, columns_of

    schema = read.shape.schema
    weight, prefixes = options.weight, _prefixes(options, option, columns_of(schema), seed)
    check_uncounted(option, prefixes.columns, schema, "rows get their keys")
    said = f"by -ln(u)/w, where w is {weight}: a row of twice the weight comes earlier"
    return OrderBy(
        option=option,
        expression=weight or options.group or options.spread or "",
        words=order_words(options, seed),
        prefixes=prefixes,
        said=said_of(options) if weight is None else said,
        is_twice=options.spread is not None,
        is_counted=is_counted(options),
    )


def _by_folders(names: tuple[str, ...], seed: str) -> OrderBy:
    from dbshuf.order.sort_prefix import PartitionPrefix

    shown = ", ".join(names)
    return OrderBy(
        option=PARTITION_BY,
        expression=shown,
        words=seed_words(seed),
        prefixes=PartitionPrefix(names),
        said=f"by {shown}, a folder each value, and there by the key",
        takes_samples=True,
    )


def _prefixes(options: Options, option: str, relation: "pa.Schema", seed: str) -> "SortPrefix":
    if options.weight is None:
        return prefixes_of(options, relation, seed)
    from dbshuf.order.sort_prefix import WeightPrefix

    return WeightPrefix(options.weight, relation, option=option)
