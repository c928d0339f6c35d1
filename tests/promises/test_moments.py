"""Signals at the steps of a run that change the disk: nothing or everything, and nothing left."""

import os
import signal
from pathlib import Path

import pytest
from moments import Stepped

LINES = b"".join(b"%07d some words on a line\n" % n for n in range(3000))
SHUFFLE = ("shuffle", "in.txt", "--temp-dir", "temp", "--seed", "1")
COMMANDS = {
    "partition": (*SHUFFLE, "-o", "out.txt", "--strategy", "partition"),
    "memory": (*SHUFFLE, "-o", "out.parquet", "--strategy", "memory"),
    "spill": (*SHUFFLE, "-o", "out.txt.gz", "--strategy", "spill"),
    "sqlite": (*SHUFFLE, "-o", "out.txt", "--engine", "sqlite"),
    "new folder": (*SHUFFLE, "-o", "new", "--shards", 3),
    "old folder": (*SHUFFLE, "-o", "shards", "--shards", 3, "--force"),
    "split": (*SHUFFLE, "-o", "out.txt", "--split", "a=0.5,b=0.5"),
    "query": ("query", "in.txt", "select line from lines", "-o", "out.csv", "--temp-dir", "temp"),
    "duckdb store": ("ingest", "s.duckdb", "in.txt", "--temp-dir", "temp"),
    "sqlite store": ("ingest", "s.sqlite", "in.txt", "--temp-dir", "temp"),
}
# Of 18 to 33 steps, in CI every seventh, with another signal each; all of them by hand: 1.
EVERY = int(os.environ.get("DBSHUF_MOMENTS_EVERY", "7"))
STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU]


@pytest.fixture
def stepped(home: Path, fork_server) -> Stepped:
    (home / "temp").mkdir()
    (home / "shards").mkdir()
    (home / "in.txt").write_bytes(LINES)
    for name in ("out.txt", "out.a.txt", "out.parquet", "shards/part-00000-of-00001.txt"):
        (home / name).write_bytes(b"old")
    return Stepped(fork_server, home)


def hidden(home: Path) -> list[str]:
    return [str(path) for path in home.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_at_any_step_leaves_the_old_output_or_the_new(command, stepped, home, snapshot):
    """Ended by it, and all is as it was; or too late to end it, and all is done, with code 0."""
    before = snapshot(home)
    for count, step in enumerate(range(2, 1000, EVERY)):
        number = STOPS[count % len(STOPS)]
        ran = stepped.run(step, number, *COMMANDS[command])
        if ran is None:
            break
        assert ran.code in (0, 128 + number), (step, ran.err)
        assert "Traceback" not in ran.err
        assert "bug" not in ran.err
        assert hidden(home) == [], (step, number)
        if ran.code == 0:
            break
        after = snapshot(home)
        after.pop("s.duckdb", None)  # a store that was made, and has nothing in it
        after.pop("s.sqlite", None)
        assert after == before, (step, number)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_kill_at_any_step_leaves_is_gone_after_the_next_run(command, stepped, home, cli):
    """And old files are old, or new as a whole."""
    assert stepped.run(10_000, signal.SIGKILL, *COMMANDS[command]) is None
    new = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    for step in range(3, 1000, 2 * EVERY):
        if stepped.run(step, signal.SIGKILL, *COMMANDS[command]) is None:
            break
        assert (home / "in.txt").read_bytes() == LINES
        for path in hidden(home):  # nobody else could look into what was growing
            assert os.stat(path).st_mode & 0o077 == 0, path
        ran = cli(*COMMANDS[command], *(["--force"] if command == "new folder" else []))
        assert ran.code == 0, (step, ran.err)
        assert hidden(home) == [], step
        for path, data in new.items():
            assert "store" in command or path.read_bytes() == data, step
