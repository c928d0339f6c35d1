"""Names of shards in an output directory."""

import re

_SHARD_NAME = re.compile(r"part-\d{5,}-of-\d{5,}\.((txt|csv|tsv|jsonl)(\.gz|\.zst)?|parquet|arrow)")


def shard_names(count: int, form: str) -> list[str]:
    """Return the names of `count` shards; in byte order they are in the order's order."""
    width = max(5, len(str(count)))
    return [f"part-{i:0{width}d}-of-{count:0{width}d}.{form}" for i in range(count)]


def is_shard_name(name: str) -> bool:
    """Whether a file may be a shard of an older run."""
    return _SHARD_NAME.fullmatch(name) is not None
