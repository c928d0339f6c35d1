"""The README is true: its commands are the ones that run, its tables those of the code."""

import re
import subprocess
import sys
from pathlib import Path

from dbshuf import errors
from dbshuf.errors import DbshufError

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def commands() -> list[str]:
    return re.findall(r"^\(python3 -m venv .*$", README, re.MULTILINE)


def test_ci_runs_the_very_test_command_of_the_readme():
    """What a newcomer runs is what has been seen to pass."""
    main, tests = commands()
    assert tests in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert "\n" not in main


def test_the_main_command_prints_what_the_readme_shows():
    """The first thing that a newcomer sees must be what the page said."""
    arguments = commands()[0].partition(".venv/bin/dbshuf ")[2].split()
    found = subprocess.run(
        [sys.executable, "-m", "dbshuf", *arguments], cwd=ROOT, capture_output=True, check=True
    )
    shown = re.search(r"```text\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    lines = shown[1].splitlines(keepends=True)
    assert found.stdout.decode() == "".join(lines[:-1])
    summary = re.sub(r"[\d.]+ (s|kB/s|MB/s|MB)\b", "N", found.stderr.decode())
    assert summary == re.sub(r"[\d.]+ (s|kB/s|MB/s|MB)\b", "N", lines[-1])


def test_every_error_class_is_in_the_readme_with_its_own_code():
    """A script that checks exit codes reads this table."""
    classes = [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, DbshufError) and one is not DbshufError
    ]
    codes = [one.exit_code for one in classes]
    assert len(set(codes)) == len(codes)
    for one in classes:
        assert f"| {one.exit_code} | {one.__name__} | " in README
        assert re.search(rf"{one.__name__} +{one.exit_code}  ", errors.__doc__ or "")
