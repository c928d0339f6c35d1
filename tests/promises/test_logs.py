"""A database is its file and the log beside it: one that changes between readings ends the run."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable

import duckdb
import pytest

import dbshuf
from dbshuf.errors import InputChanged, RunDiffers
from dbshuf.source.tables.database import DatabaseInput

USUAL = {"seed": "42", "memory": "2GB", "threads": 1}
ROWS = 500


@pytest.fixture(params=["a.sqlite", "b.sqlite", "a.duckdb"])
def base(request, home, monkeypatch):
    """A database with a log beside it, what writes to that, and the log's name."""
    monkeypatch.chdir(home)
    name = request.param
    if name == "a.duckdb":
        with duckdb.connect(name) as writer:
            writer.execute(
                "set checkpoint_threshold = '1GB'; pragma disable_checkpoint_on_shutdown"
            )
            writer.execute(f"create table t as select range as n from range({ROWS})")
            writer.execute("checkpoint")

        def write():
            with duckdb.connect(name) as writer:
                writer.execute("pragma disable_checkpoint_on_shutdown")
                writer.execute("update t set n = n + 1")

        write()
        yield name, write, "a.duckdb.wal"
        return
    with contextlib.closing(sqlite3.connect(name, check_same_thread=False)) as writer:
        writer.execute(f"pragma journal_mode = {'wal' if name[0] == 'a' else 'delete'}")
        writer.execute("create table t (n integer)")
        writer.executemany("insert into t values (?)", [(n,) for n in range(ROWS)])
        writer.commit()
        writer.execute("pragma wal_checkpoint(truncate)")

        def write():
            writer.execute("update t set n = n + 1")
            if name[0] == "a":  # else what is to be undone waits in the journal
                writer.commit()

        yield name, write, f"{name}-{'wal' if name[0] == 'a' else 'journal'}"
        writer.rollback()


@pytest.fixture
def at_reading(monkeypatch):
    """Return what has something done as rows are read the n-th time, and counts these times."""

    def set_up(number: int, act: Callable[[], None]) -> list[str]:
        seen: list[str] = []
        given = DatabaseInput._read

        def reading(self, names, batch_size):
            if not batch_size.is_look:
                seen.append(self.input.name)
                if len(seen) == number:
                    act()
            return given(self, names, batch_size)

        monkeypatch.setattr(DatabaseInput, "_read", reading)
        return seen

    return set_up


def _epochs(name):
    dbshuf.shuffle([name], "out.csv", epochs=2, **USUAL)


def _mix(name):
    mixed = [f"{name}=0.5", f"other{name[1:]}=0.5"]
    dbshuf.shuffle([], "out.csv", mix=mixed, mix_size="10rows", **USUAL)


def _once(name):
    dbshuf.shuffle([name], "out.csv", **USUAL)


def _verify(name):
    dbshuf.verify([name], output="first.csv", **{**USUAL, "seed": "43"})


def _stream(name):
    list(dbshuf.stream([name], **USUAL))


@pytest.mark.parametrize(
    ("mode", "number", "readings"),
    [(_once, 1, 1), (_stream, 1, 1), (_epochs, 2, 2), (_mix, 2, None), (_verify, 2, 2)],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_a_log_that_changes_between_two_readings_ends_the_run(
    mode, number, readings, base, at_reading
):
    """Otherwise each epoch, count and check would be of other rows than the next."""
    name, write, log = base
    dbshuf.shuffle([name], "first.csv", **USUAL)
    if mode is _mix:
        shutil.copy(name, f"other{name[1:]}")
    seen = at_reading(number, write)
    with pytest.raises(InputChanged) as caught:
        mode(name)
    assert caught.value.message == f"`{log}`, the log of `{name}`, changed while it was read"
    assert readings in (None, len(seen))
    assert not os.path.exists("out.csv")


def test_a_stream_goes_on_only_with_the_log_that_its_state_is_of(base):
    """A state says where a stream is among rows; of others it says nothing."""
    name, write, log = base
    with dbshuf.stream([name], **USUAL, batch_rows=10) as rows:
        next(rows)
        state = rows.state_dict()
        write()
        with pytest.raises(InputChanged, match=log):
            rows.load_state_dict(state)
    with dbshuf.stream([name], **USUAL, batch_rows=10) as rows, pytest.raises(RunDiffers):
        rows.load_state_dict(state)


def test_a_link_to_a_database_has_the_log_beside_what_it_points_to(base, at_reading):
    """Both engines read that one, and none beside the link."""
    name, write, log = base
    os.mkdir("links")
    os.symlink(os.path.join("..", name), "links/base")
    at_reading(1, write)
    with pytest.raises(InputChanged, match=f"{log}`, the log of `links/base`, changed"):
        _once("links/base")
