"""Figures are worth what their accounting is."""

import os
import sys

import pytest
from measure import Command, run_all, run_one

pytestmark = pytest.mark.any_version

FLOOR_BYTES = 20_000_000  # launch.py holds about 10 MB


def python(code: str) -> Command:
    """Return a command that runs a small program."""
    return Command([sys.executable, "-I", "-S", "-c", code])


def test_peak_memory_is_that_of_the_command_and_not_of_this_process(tmp_path):
    """Linux carries the peak of a parent into its child; the launcher stands between."""
    ours = bytearray(os.urandom(1 << 20) * 100)
    small = run_one(Command(["true"]), tmp_path / "stderr", timeout_s=60)
    large = run_one(python("x = b'x' * 50_000_000"), tmp_path / "stderr", timeout_s=60)
    assert (small.exit, large.exit) == (0, 0)
    assert small.peak_rss_bytes < FLOOR_BYTES < len(ours)
    assert 50_000_000 < large.peak_rss_bytes < 50_000_000 + FLOOR_BYTES


def test_processor_time_is_that_of_the_command(tmp_path):
    busy = python("import time\nwhile time.process_time() < 0.2: pass")
    usage = run_one(busy, tmp_path / "stderr", timeout_s=60)
    assert 0.2 <= usage.user_s + usage.system_s < usage.wall_s + 0.1


def test_streams_are_files_and_no_shell_is_between(tmp_path):
    (tmp_path / "in").write_bytes(b"b\na\n")
    command = Command(["sort"], {}, tmp_path / "in", tmp_path / "out")
    assert run_one(command, tmp_path / "stderr", timeout_s=60).exit == 0
    assert (tmp_path / "out").read_bytes() == b"a\nb\n"


def test_a_failure_is_reported_with_its_message(tmp_path):
    usage = run_one(python("raise SystemExit('no room')"), tmp_path / "stderr", timeout_s=60)
    assert (usage.exit, usage.message) == (1, "no room")
    usage = run_one(Command(["no-such-program"]), tmp_path / "stderr", timeout_s=60)
    assert usage.exit == 127
    assert "no-such-program" in usage.message


def test_a_command_that_hangs_is_killed(tmp_path):
    usage = run_one(Command(["sleep", "60"]), tmp_path / "stderr", timeout_s=1)
    assert usage.exit == -9
    assert "killed after 1 s" in usage.message
    assert usage.wall_s < 30


def test_commands_in_a_row_add_up_and_stop_at_a_failure(tmp_path):
    nap, fail = python("import time; time.sleep(0.1)"), python("raise SystemExit(3)")
    assert run_all([nap, nap], tmp_path / "stderr", timeout_s=60).wall_s > 0.2
    usage = run_all([fail, nap], tmp_path / "stderr", timeout_s=60)
    assert usage.exit == 3
