"""A row's split depends on its id and the split seed, and on nothing else."""

import numpy as np
import pytest

from dbshuf.base.key import ids_of, row_keys, seed_words
from dbshuf.errors import UsageError
from dbshuf.plan.splits import parse_splits

IDS = np.arange(100_000, dtype=np.uint64) * np.uint64(97)


def members(text, split_seed, seed):
    splits = parse_splits(text, split_seed)
    return splits.of_ids(ids_of(row_keys(IDS, seed), seed_words(seed)))


def test_a_row_stays_in_its_split_under_every_seed_of_the_order():
    """An epoch's order must not leak validation rows into training."""
    first = members("train=0.9,valid=0.1", None, "1")
    assert (first == members("train=0.9,valid=0.1", None, "epoch 2")).all()
    assert (first != members("train=0.9,valid=0.1", "other", "1")).any()


def test_shares_are_what_was_asked_for():
    """Within five standard deviations of a binomial, with a fixed seed."""
    counts = np.bincount(members("a=0.5,b=0.3,c=0.2", None, "1"), minlength=3)
    for count, share in zip(counts, (0.5, 0.3, 0.2), strict=True):
        assert abs(count - share * len(IDS)) < 5 * (len(IDS) * share * (1 - share)) ** 0.5


def test_a_split_grows_when_only_its_share_grows():
    """Bounds are nested: what was in the first split stays there."""
    small, large = members("a=0.2,b=0.8", None, "1"), members("a=0.3,b=0.7", None, "1")
    assert (large[small == 0] == 0).all()


@pytest.mark.parametrize(
    "text",
    [
        "train",
        "a=0.5",
        "a=0.5,a=0.5",
        "a=1.5,b=-0.5",
        "../a=1",
        ".a=1",
        "a=x,b=1",
        "",
        "a=0.5,=0.5",
    ],
)
def test_shares_and_names_that_make_no_sense_are_refused(text):
    """With the option in the message."""
    with pytest.raises(UsageError, match="--split"):
        parse_splits(text, None)


def test_one_split_takes_all():
    """A share of 1 is a share."""
    assert not members("all=1", None, "1").any()
