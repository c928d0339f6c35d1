"""Completion: a real shell gets the options, their values, and else files."""

import os
import shutil
import subprocess
import sys

import pytest
from fork_server import Call

from dbshuf.options import ENGINES, STRATEGIES
from dbshuf.sink import FORMATS
from dbshuf.source.formats import NAMES


def dbshuf(*arguments, home, **variables):
    environment = os.environ | {"HOME": str(home)} | variables
    command = [sys.executable, "-m", "dbshuf", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def completed(fork_server, tmp_path):
    """What bash is told for a line whose last word is half typed; how it asks is tried below."""

    def ask(line):
        asked = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        environment = {**os.environ, "_DBSHUF_COMPLETE": "complete_bash", **asked}
        return fork_server.run(Call((), tmp_path, environment)).stdout.decode().split()

    return ask


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--format", FORMATS),
        ("--strategy", STRATEGIES),
        ("--engine", ENGINES),
        ("--from", tuple(NAMES)),
        ("--schema", ("same", "union")),
        ("--progress", ("auto", "always", "never", "json")),
        ("--compression", ("gzip", "zstd", "none", "snappy", "lz4", "brotli")),
    ],
)
def test_the_values_of_an_option_are_completed(option, values, completed):
    assert set(completed(f"dbshuf shuffle {option} ")) == set(values)
    first = values[0][:2]
    want = {value for value in values if value.startswith(first)}
    assert set(completed(f"dbshuf shuffle {option} {first}")) == want


def test_commands_and_options_are_completed_and_files_are_left_to_the_shell(completed):
    assert completed("dbshuf ex") == ["export"]
    assert completed("dbshuf ingest --engine ") == ["duckdb", "sqlite"]
    assert "--shard-bytes" in completed("dbshuf shuffle --sh")
    assert completed("dbshuf shuffle a") == []
    assert completed("dbshuf shuffle -o ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_script(shell, tmp_path):
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # not by the parent process
    ran = dbshuf("--show-completion", shell, home=tmp_path, **named)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"_DBSHUF_COMPLETE=complete_{shell}" in ran.stdout
    ran = dbshuf("--install-completion", shell, home=tmp_path, **named)
    assert (ran.returncode, ran.stderr) == (0, "")
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(f"_DBSHUF_COMPLETE=complete_{shell}" in text for text in written)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_what_the_script_says(tmp_path):
    # a run that no shell is above is told which one
    told = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    script = dbshuf("--show-completion", "bash", home=tmp_path, **told).stdout
    program = tmp_path / "dbshuf"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dbshuf "$@"\n')
    program.chmod(0o755)
    asks = f"""{script}
COMP_WORDS=(dbshuf shuffle --strategy sp); COMP_CWORD=3
_dbshuf_completion {program} sp --strategy; echo "${{COMPREPLY[*]}}"
"""
    ran = subprocess.run(["bash", "-c", asks], capture_output=True, text=True, check=True)
    assert ran.stdout == "spill\n", ran.stderr
