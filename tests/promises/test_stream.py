"""stream(rank=...): every row to one rank, in every epoch another order, and runs that go on."""

import itertools
import json
import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference

import dbshuf
from dbshuf.errors import DbshufError, RunDiffers, UsageError

LINES = b"".join(b"%d words\n" % i for i in range(20_011))
WANT = reference.shuffled([LINES], "42").decode().split("\n")[:-1]
ONCE = "select id, line from lines where bytes > 0"


@pytest.fixture
def opened(home):
    """Return a stream of the lines, of two ranks and seed 42 unless it is said."""
    (home / "in.txt").write_bytes(LINES)

    def opened(name: str = "in.txt", **options: object) -> dbshuf.Stream:
        given = {"seed": "42", "memory": "2GB", "temp_dir": home, "batch_rows": 100, **options}
        return dbshuf.stream([home / name], **given)

    return opened


def texts(batch: pa.RecordBatch) -> list[str]:
    return [str(value) for value in batch.column(0).to_pylist()]


def dealt_again(streams: list[dbshuf.Stream], rounds: int | None = None) -> list[str]:
    """Take from every rank in turn, as training in step does: the whole order again."""
    turns = itertools.zip_longest(*(itertools.islice(stream, rounds) for stream in streams))
    return [text for turn in turns for batch in turn if batch is not None for text in texts(batch)]


def test_all_ranks_together_give_each_row_once_in_the_one_order(opened):
    """Batch i is for rank i % world_size: what a rank gets depends on nothing else."""
    for ranks, rows in ((1, 1000), (2, 1024), (3, 7), (5, 5000), (2, 100_000)):
        streams = [opened(rank=i, world_size=ranks, batch_rows=rows) for i in range(ranks)]
        assert dealt_again(streams) == WANT
        even = [
            list(opened(rank=i, world_size=ranks, batch_rows=rows, drop_last=True))
            for i in range(ranks)
        ]
        rounds = len(WANT) // (ranks * rows)
        assert [len(batches) for batches in even] == [rounds] * ranks
        assert dealt_again(even) == WANT[: rounds * ranks * rows]
        assert all(batch.num_rows == rows for batches in even for batch in batches)


def test_an_epoch_is_the_order_of_a_seed_that_the_command_takes_too(opened):
    """Epoch 0 is the seed; another is another order of the same rows, to be made anywhere."""
    assert dealt_again([opened(epoch=0)]) == WANT
    third = dealt_again([opened(epoch=3)])
    assert third == reference.shuffled([LINES], "42/epoch-3").decode().split("\n")[:-1]
    assert third != WANT


@pytest.mark.parametrize("strategy", ["memory", "partition", "spill"])
def test_a_run_goes_on_where_it_was_also_with_another_world_size(opened, strategy, home):
    """No row twice, none lost; the state is JSON, and is taken again of a run that went on."""
    streams = [opened(rank=i, world_size=2, epoch=1, strategy=strategy) for i in range(2)]
    whole = dealt_again([opened(epoch=1)])
    seen = dealt_again(streams, 30)
    for stream in streams:
        stream.close()
    assert [name for name in os.listdir(home) if name != "in.txt"] == []
    for ranks, state in ((3, streams[0].state_dict()), (1, streams[1].state_dict())):
        kept = json.loads(json.dumps(state))
        more = [opened(rank=i, world_size=ranks, strategy=strategy) for i in range(ranks)]
        for stream in more:
            stream.load_state_dict(kept)
        assert {stream.epoch for stream in more} == {1}
        got = dealt_again(more, 5)
        last = opened(batch_rows=999, strategy=strategy)
        last.load_state_dict(more[0].state_dict())
        assert seen + got + dealt_again([last]) == whole
        over = opened()
        over.load_state_dict(last.state_dict())
        assert list(over) == []


def test_each_rank_goes_on_from_its_own_state_if_they_were_not_in_step(opened):
    """One process was ahead when the run ended."""
    streams = [opened(rank=i, world_size=2) for i in range(2)]
    first = [list(itertools.islice(streams[i], 7 + i)) for i in range(2)]
    again = [opened(rank=i, world_size=2) for i in range(2)]
    for new, old in zip(again, streams, strict=True):
        new.load_state_dict(old.state_dict())
    assert dealt_again([[*first[i], *again[i]] for i in range(2)]) == WANT


def test_rows_of_tables_and_of_sql_are_dealt_and_gone_on_with_too(opened, home):
    """Whatever gives the rows: dropped as they are read, or behind the one statement."""
    rows = pa.table({"n": range(5_000), "text": [f"row {i}" for i in range(5_000)]})
    pq.write_table(rows, home / "in.parquet", row_group_size=700)
    some = {"where": "bytes % 2 = 0", "select": "line || '!' as text"}
    for name, options in (
        ("in.parquet", {}),
        ("in.parquet", {"where": "n % 3 = 0", "engine": "sqlite"}),
        ("in.txt", some),
        ("in.txt", {"engine": "sqlite"}),
        ("in.txt", {"sql": ONCE, "binary": True}),
        ("in.txt", {"take": 3000, "skip": 50}),
        ("in.txt", {"sample": "20%", "number": "place", "select": "raw, line as text"}),
    ):
        whole = [text for batch in opened(name, **options) for text in texts(batch)]
        assert len(set(whole)) == len(whole) > 1000
        streams = [opened(name, rank=i, world_size=2, **options) for i in range(2)]
        seen = dealt_again(streams, 4)
        rest = opened(name, **options)
        rest.load_state_dict(streams[0].state_dict())
        assert rest.schema == streams[0].schema
        assert seen + dealt_again([rest]) == whole


def test_a_state_of_other_rows_is_refused(opened, home):
    """With what differs, before any row."""
    first = opened()
    next(first)
    state = first.state_dict()
    first.close()
    for options, what in (
        ({"seed": "7"}, "seed was `42`, and is `7`"),
        ({"where": "bytes > 5"}, "where was not given, and is `bytes > 5`"),
        ({"header": 1}, "header was not given, and is `1`"),
    ):
        with pytest.raises(RunDiffers, match=what):
            opened(**options).load_state_dict(state)
    for broken in ({}, {**state, "rows": -1}, {**state, "given": {"key": "x"}}):
        with pytest.raises(UsageError, match="no state of a stream"):
            opened().load_state_dict(broken)

    (home / "in.txt").write_bytes(LINES + b"more\n")
    with pytest.raises(RunDiffers, match="names or sizes"):
        opened().load_state_dict(state)
    (home / "in.txt").write_bytes(LINES.replace(b" words", b"\n words"[:1] + b"words"))
    changed = opened()
    changed.load_state_dict(state)  # of that size
    with pytest.raises(RunDiffers, match=r"100 rows .* were given out"):
        next(changed)
    assert os.listdir(home) == ["in.txt"]


def test_a_drawn_seed_is_in_the_state(opened):
    """Who gave no seed can go on all the same."""
    first = opened(seed=None)
    seen = texts(next(first))
    again = opened(seed=None)
    again.load_state_dict(first.state_dict())
    assert again.seed == first.seed
    assert sorted(seen + dealt_again([again])) == sorted(WANT)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"rank": 2, "world_size": 2}, "rank 2 is not below world_size 2"),
        ({"rank": -1}, "rank -1"),
        ({"world_size": 0}, "world_size 0"),
        ({"batch_rows": 0}, "batch_rows 0"),
        ({"epoch": "1"}, "epoch `1` is no whole number"),
        ({"seed": None, "world_size": 2}, "a seed of its own"),
        ({"sql": "select line from lines"}, "numbered otherwise"),
        ({"ranks": 2}, "stream takes no `ranks`"),
        ({"engine": "spark"}, "gives no rows to a program"),
    ],
)
def test_what_cannot_be_dealt_is_refused_at_once(opened, options, what):
    """In words, before a run begins."""
    with pytest.raises(DbshufError, match=what):
        opened(**options)


def test_pipes_are_refused_and_empty_inputs_are_no_batches(opened, home):
    """A pipe cannot be read by every rank, nor again."""
    os.mkfifo(home / "pipe")
    writer = threading.Thread(target=(home / "pipe").write_bytes, args=(b"a line\n",))
    writer.start()
    with pytest.raises(UsageError, match="a pipe can be read once"):
        opened("pipe")
    writer.join()
    Path(home / "empty.txt").write_bytes(b"")
    with opened("empty.txt", rank=1, world_size=2) as stream:
        assert list(stream) == []
        assert stream.schema.names == ["line"]
