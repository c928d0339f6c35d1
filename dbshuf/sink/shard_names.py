"""Names of shards in an output directory, and of the folders of epochs there."""

import posixpath
import re
from collections.abc import Iterable

from dbshuf.manifest.names import names_in_sums

_SHARD_NAME = re.compile(r"part-\d{5,}-of-\d{5,}\.((txt|csv|tsv|jsonl)(\.gz|\.zst)?|parquet|arrow)")

_EPOCH_FOLDER = re.compile(r"epoch-\d+")


def shard_names(count: int, form: str) -> list[str]:
    """Return the names of `count` shards; in byte order they are in the order's order."""
    width = max(5, len(str(count)))
    return [f"part-{i:0{width}d}-of-{count:0{width}d}.{form}" for i in range(count)]


def is_shard_name(name: str) -> bool:
    """Whether a file may be a shard of an older run."""
    return _SHARD_NAME.fullmatch(name) is not None


def epoch_folder(epoch: int, count: int) -> str:
    """Return the folder of an epoch among so many; in byte order they are in their order."""
    return f"epoch-{epoch:0{len(str(count - 1))}d}"


def is_row_folder(name: str) -> bool:
    """Whether a folder may be that of an epoch, or of a value, of an older run."""
    return _EPOCH_FOLDER.fullmatch(name) is not None or "=" in name


def row_tops(folders: Iterable[str]) -> set[str]:
    """Return the outermost of folders, if there are those of epochs or values among them."""
    parts = [folder.split("/") for folder in folders]
    has_any = any(is_row_folder(name) for names in parts for name in names)
    return {names[0] for names in parts} if has_any else set()


def folders_of(names: Iterable[str]) -> list[str]:
    """Return the folders that names lie in, those above others before them."""
    found: set[str] = set()
    for name in names:
        folder = posixpath.dirname(name)
        while folder and folder not in found:
            found.add(folder)
            folder = posixpath.dirname(folder)
    return sorted(found)


def summed_folders(sums: bytes) -> list[str]:
    """Return the folders with shards that a list of sums names, those above them too."""
    names = names_in_sums(sums)
    return folders_of(name for name in names if is_shard_name(posixpath.basename(name)))
