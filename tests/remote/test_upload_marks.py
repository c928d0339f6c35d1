"""Whose an upload is: by its mark, whatever its key; and whether that run lives."""

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dbshuf.base.leftovers import State
from dbshuf.remote.upload_marks import OVERDUE_S, Run, mark_key, mark_prefix, marked

pytestmark = pytest.mark.any_version
HERE = Run.here()


def begun_elsewhere(ago_s: float) -> Run:
    return replace(HERE, boot="0" * 32, started=int(time.time() - ago_s))


def test_a_run_lives_as_long_as_its_process() -> None:
    """Not one that was given its number later, nor one that waits for its parent to see its end."""
    child = subprocess.Popen(["sleep", "60"])
    ticks = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
    run = replace(HERE, pid=child.pid, ticks=ticks)
    assert run.state is HERE.state is State.LIVE
    assert replace(run, ticks=ticks - 1).state is State.DEAD
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert run.state is State.DEAD
    child.wait()
    assert run.state is State.DEAD


def test_a_run_of_another_machine_or_container_has_a_week() -> None:
    """Its process cannot be looked for, whatever has its number here."""
    assert begun_elsewhere(OVERDUE_S - 60).state is State.ELSEWHERE
    assert begun_elsewhere(OVERDUE_S + 60).state is State.DEAD
    assert replace(HERE, namespace=HERE.namespace + 1).state is State.ELSEWHERE
    assert replace(HERE, namespace=0).state is State.ELSEWHERE


@pytest.mark.parametrize("key", ["out.txt", "a\nb/.dbshuf-0123", "é" * 500, "x.dbshuf-" * 100])
def test_an_upload_is_its_own_marks_alone(key: str) -> None:
    """Others of the same key are nobody's; a mark that is left alone is found too."""
    mine, gone = (key, "id 1"), (mark_key(key, "id 3", str(HERE)), "mark 3")
    mark = (mark_key(key, "id 1", str(HERE)), "mark 1")
    found = marked([mine, (key, "id 2"), mark, gone])
    assert {(one.upload_id, one.mark) for one in found} == {("id 1", mark), (None, gone)}
    assert {one.owner for one in found} == {HERE}
    assert {one.key for one in found} <= {key, mark_prefix(key)}
    assert all(one[0].startswith(mark_prefix(key)) for one in (mark, gone))
    assert len(mark[0].encode()) <= 1024
