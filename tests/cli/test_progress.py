"""Progress on stderr: cheap for the worker, readable for people, exact for programs."""

import io
import json
import sys
import threading
import time
from dataclasses import dataclass

import pytest

from dbshuf.base.progress import NO_PROGRESS, Progress
from dbshuf.cli.progress import JsonProgress, LineProgress, Snapshot, say
from dbshuf.cli.summary import summary


@dataclass
class Result:
    """The fields of the pipeline's result that a summary reads."""

    rows: int = 6_802_721
    text_bytes: int = 1_000_000_000
    seed: str = "42"
    strategy: str = "partition"
    elapsed_s: float = 2.1
    peak_rss_bytes: int = 402_000_000
    unit: str = "line"
    tables: tuple[str, ...] = ()
    seen_rows: int | None = None
    asked_rows: int | None = None
    epochs: int | None = None


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """Look at the counters every 10 ms, so that a test need not wait."""
    for kind in (LineProgress, JsonProgress):
        monkeypatch.setattr(kind, "every_s", 0.01)


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("snapshot", "text"),
    [
        (
            Snapshot("write", 250_000_000, 1_000_000_000, 2.0),
            "write: 250 MB of 1 GB, 25%, 125 MB/s, ETA 0:06",
        ),
        (Snapshot("read", 0, 5_000, 1.0), "read: 0 bytes of 5 kB, 0%, elapsed 0:01"),
        (Snapshot("read", 3_000, None, 3700.0), "read: 3 kB, 1 bytes/s, elapsed 1:01:40"),
        (Snapshot("read", 9_000, 6_000, 1.0), "read: 9 kB of 6 kB, 100%, 9 kB/s, ETA 0:00"),
        (Snapshot("publish", 0, None, 61.0), "publish: elapsed 1:01"),
        (Snapshot("read", 0, 0, 0.0), "read: elapsed 0:00"),
    ],
)
def test_a_line_says_stage_amount_share_rate_and_what_is_left(snapshot, text):
    """Unknown totals and totals that were too low read well too."""
    assert snapshot.to_text() == text


def test_a_log_gets_a_line_now_and_then_and_one_a_stage():
    """The last line of a stage holds its final figures."""
    stream = io.StringIO()
    progress = LineProgress(stream)
    progress.stage("read", 100)
    progress.advance(50)
    wait_for(lambda: "dbshuf: read: 50 bytes of 100 bytes, 50%" in stream.getvalue())
    progress.advance(50)
    progress.stage("write", None)
    progress.advance(7)
    progress.close()
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if "read" in line][-1].startswith(
        "dbshuf: read: 100 bytes of 100 bytes, 100%"
    )
    assert lines[-1].startswith("dbshuf: write: 7 bytes")
    assert "\r" not in stream.getvalue()


def test_json_is_one_object_a_line_with_every_field():
    """A program can follow a run without guessing."""
    stream = io.StringIO()
    progress = JsonProgress(stream)
    progress.stage("read", 100)
    progress.advance(50)
    wait_for(lambda: '"progress"' in stream.getvalue())
    progress.close()
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["stage", "stage_done"]
    assert {event["event"] for event in events[1:-1]} == {"progress"}
    fields = {"event", "stage", "bytes", "total_bytes", "rate", "eta_s", "elapsed_s"}
    assert all(set(event) == fields for event in events)
    assert events[0]["eta_s"] is None
    assert events[-1]["bytes"] == 50
    assert events[-1]["eta_s"] == pytest.approx(events[-1]["elapsed_s"], abs=0.002)


def test_no_byte_is_lost_between_threads():
    stream = io.StringIO()
    progress = JsonProgress(stream)
    progress.stage("read", 8 * 20_000 * 3)

    def work() -> None:
        for _ in range(20_000):
            progress.advance(3)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress.close()
    assert json.loads(stream.getvalue().splitlines()[-1])["bytes"] == 8 * 20_000 * 3


def test_a_broken_stream_does_not_break_the_run():
    """`2>&1 | head` and a full disk under a log are no reason to fail."""

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for kind in (LineProgress, JsonProgress):
        progress = kind(Broken())
        progress.stage("read", 10)
        progress.advance(10)
        progress.stage("write", 10)
        progress.close()


def test_closing_ends_the_thread_and_may_be_repeated():
    before = set(threading.enumerate())
    for progress in (LineProgress(io.StringIO()), NO_PROGRESS):
        follower: Progress = progress
        follower.close()
        follower.stage("read", 1)
        follower.advance(1)
        follower.close()
        follower.close()
    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended


def test_the_summary_names_what_a_reader_needs_to_repeat_the_run():
    assert summary(Result()) == (
        "dbshuf: 6,802,721 lines, 1 GB in 2.10 s (476 MB/s), peak memory 402 MB, partition, seed 42"
    )


@pytest.mark.parametrize(
    ("result", "part"),
    [
        (Result(rows=1), "dbshuf: 1 line, "),
        (Result(rows=0, text_bytes=0, elapsed_s=0.0), "0 lines, 0 bytes in 0.00 s (0 bytes/s)"),
        (Result(elapsed_s=44.04), "in 44.0 s"),
        (Result(elapsed_s=1234.5), "in 1234 s"),
        (Result(seed="a b"), "seed 'a b'"),
        (Result(rows=2, seen_rows=9), "dbshuf: 2 of 9 lines, "),
        (Result(rows=2, seen_rows=2, asked_rows=5), "2 of 2 lines (5 were asked for), "),
        (Result(rows=9, seen_rows=2, asked_rows=9), "9 drawn of 2 lines, "),
        (Result(rows=4, epochs=2), "4 lines in 2 epochs, "),
        (Result(seed=""), "seed ''"),
    ],
)
def test_the_summary_reads_well_at_the_edges(result, part):
    assert part in summary(result)


def test_what_is_said_cannot_command_a_terminal(capsys):
    """A file name may hold escape codes and bytes that are no UTF-8."""
    say("dbshuf: error: `a\x1b[2Jb\x9b\udce9\t`", "hint: é")
    assert capsys.readouterr().err == ("dbshuf: error: `a\\x1b[2Jb\\x9b\\xe9\\x09`\nhint: é\n")


def test_saying_to_a_closed_stderr_is_harmless(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    say("lost")
    assert capsys.readouterr().out == ""
