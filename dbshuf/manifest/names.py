"""The names of what a run leaves beside its shards, and which of them are data to nobody."""

import os
from collections.abc import Container
from pathlib import Path

MANIFEST_NAME, SUMS_NAME, SUCCESS_NAME = "_manifest.json", "SHA256SUMS", "_SUCCESS"
CARD_NAME = "README.md"

# Of folders of values, which readers take whole: Arrow and Spark pass over what begins with `_`.
HIDDEN_SUMS_NAME = "_SHA256SUMS"
SUMS_NAMES = (SUMS_NAME, HIDDEN_SUMS_NAME)

# In the order in which they go.
OLD_MARKS = (SUCCESS_NAME, MANIFEST_NAME, SUMS_NAME, HIDDEN_SUMS_NAME)

CARD_HEAD = b"---\n# made by dbshuf, and replaced with the shards\n"


def is_our_card(path: Path) -> bool:
    """Whether a file is a card that a run wrote; one of anybody else is left alone."""
    try:
        with open(path, "rb") as file:
            return file.read(len(CARD_HEAD)) == CARD_HEAD
    except OSError:
        return False


def names_in_sums(text: bytes) -> list[str]:
    """Return the names in a list of sums, but for those that point out of its folder."""
    names = (os.fsdecode(line.partition(b"  ")[2]) for line in text.splitlines())
    return [name for name in names if not {"", ".."} & set(name.split("/"))]


def is_mark(name: str, beside: Container[str]) -> bool:
    """Whether a file is no data because of what lies beside it: a list of sums, a card.

    beside   names in the same folder; they say that a run wrote it
    """
    return name in (SUMS_NAME, CARD_NAME) and MANIFEST_NAME in beside
