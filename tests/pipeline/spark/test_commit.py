"""What the driver makes of the files of tasks: all rows that were read, or nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sink_windows import target_of

from dbshuf.base.counters import Tally
from dbshuf.errors import CheckFailed
from dbshuf.pipeline.spark.commit import OneCommit


def test_one_output_without_all_rows_that_were_read_is_not_published(home: Path) -> None:
    """As shards are not: a row that is lost between the stages is never lost silently."""
    plan: Any = SimpleNamespace(
        target=target_of(home / "out.txt"), schema=None, sample=None, order_by=None
    )
    commit = OneCommit(plan, home)
    with pytest.raises(CheckFailed):
        commit.publish(home, [], lambda _: None, Tally(rows=1, text_bytes=2, key_sum=3), None)
    assert list(home.iterdir()) == []
    commit.publish(home, [], lambda _: None, Tally(), None)
    assert (home / "out.txt").read_bytes() == b""
