"""--group and --spread: what they mean beside other options, and what gives rows their prefixes."""

from typing import TYPE_CHECKING

from dbshuf.base.key import UNMIXED, seed_words
from dbshuf.options import WITHIN, Options, check_rules

if TYPE_CHECKING:
    import pyarrow as pa

    from dbshuf.order.sort_prefix import ValuePrefix

_, KEEP = WITHIN


def keeps_order(options: Options) -> bool:
    """Whether rows of one value stay in the order in which they came."""
    return options.group is not None and options.within == KEEP


def order_words(options: Options, seed: str) -> tuple[int, int]:
    """Return the words that turn ids into keys: those of the seed, or such that ids are keys."""
    return UNMIXED if keeps_order(options) else seed_words(seed)


def prefixes_of(options: Options, relation: "pa.Schema", seed: str) -> "ValuePrefix":
    """Return what gives rows their prefixes. Raises QueryInvalid."""
    from dbshuf.order.sort_prefix import ValuePrefix
    from dbshuf.query.row_expression import RowKeyQuery

    if options.group is not None:
        query = RowKeyQuery(options.group, relation, f"group:{seed}", option="--group")
    else:
        query = RowKeyQuery(options.spread or "", relation, f"spread:{seed}", option="--spread")
    return ValuePrefix(query)


def said_of(options: Options) -> str:
    """Return how rows stand, for people."""
    if options.spread is not None:
        return f"rows of one value of {options.spread} far apart, evenly; ordered twice"
    inside = "as they came" if keeps_order(options) else "shuffled"
    return f"rows of one value of {options.group} together, {inside}; groups shuffled"


def check_grouping(options: Options) -> None:
    """Raise UsageError for options that mean nothing with --group, --spread or --within."""
    check_rules(
        (
            options.within is not None and options.within not in WITHIN,
            f"--within `{options.within}` is unknown",
            f"one of {', '.join(WITHIN)}",
        ),
        (
            options.within is not None and options.group is None,
            "--within says how rows stand inside a group, and there is no --group",
            "add --group EXPR",
        ),
        (
            bool(options.partition_by) and (options.group or options.spread) is not None,
            "--partition-by writes rows folder by folder, and --group and --spread order all",
        ),
        (
            options.group is not None and options.spread is not None,
            "--group puts rows of one value together, and --spread far apart",
        ),
        (
            options.group is not None and options.stratify is not None,
            "--stratify shares out the rows of a value, and --group keeps them together",
            "use --split alone: it shares out groups",
        ),
        (
            options.group is not None and options.shards is not None and options.take is not None,
            "--take with --shards cuts equal counts of rows, and --group keeps groups whole",
            "use --shard-rows, which waits for the end of a group",
        ),
        (
            options.spread is not None and options.split is not None,
            "--spread spaces all rows, and each split has only some of them",
            "split first, and spread each split",
        ),
    )
