"""A fork of the tests' server is the command as users start it."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys

import fork_server as forks
import pytest
from command import child_environment

FACTS = forks.__file__.replace("fork_server", "process_facts")
FIGURES = re.compile(r"in \S+ s \([^)]*\), peak memory \S+ \S+,")


@pytest.fixture
def call(home):
    """A call that looks at its process and ends with code 7."""
    return forks.Call((b"7", b"\xff"), home, child_environment(home), b"to stdin", 60, FACTS)


def script(home, text):
    path = home / "script.py"
    path.write_text(text)
    return str(path)


def test_a_fork_is_given_what_a_start_is_given(call, fork_server):
    """Descriptors, streams, signals, limits, environment: all that a process begins with."""
    begun = subprocess.run(
        [sys.executable, FACTS, *call.arguments],
        input=call.data,
        cwd=call.folder,
        env=call.environment,
        capture_output=True,
        check=False,
    )
    forked = fork_server.run(call)
    assert (forked.returncode, forked.stderr) == (begun.returncode, begun.stderr) == (7, b"")
    assert json.loads(forked.stdout) == json.loads(begun.stdout)


@pytest.mark.parametrize(
    "line",
    ["shuffle in.txt --seed 1", "query in.txt ''", "plan in.txt --seed 1 --json", "--help",
     "shuffle none", "shuffle in.txt --seed 1 -o out.parquet", "shuffle - --seed 1", "no"],
)  # fmt: skip
def test_a_fork_says_and_does_what_a_start_does(line, cli, corpus, home, snapshot):
    corpus("in.txt", b"a\nb\nc\n")
    seen = []
    for fresh in (True, False):
        ran = cli(*(word.strip("'") for word in line.split()), stdin=b"x\ny\n", fresh=fresh)
        out = re.sub(rb'"(\w+_bytes|\w+_s)": ?[\d.]+', b"", ran.out)
        seen.append((ran.code, out, FIGURES.sub("", ran.err), snapshot(home)))
        (home / "out.parquet").unlink(missing_ok=True)
    assert seen[0] == seen[1]


def test_what_one_call_does_to_its_process_stays_there(call, fork_server, home):
    before = fork_server.run(call).stdout
    text = (
        "import os, sys, signal, dbshuf\nos.environ['HOME'] = '/'\nos.umask(0)\nos.chdir('/')\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsys.argv.append('x')\nsys.path.clear()\n"
        "dbshuf.__version__ = '9'\nos._exit(0)\n"
    )
    assert fork_server.run(dataclasses.replace(call, script=script(home, text))).returncode == 0
    assert fork_server.run(call).stdout == before
    tells = "import dbshuf, os, sys\nos.write(1, dbshuf.__version__.encode())\nos._exit(0)\n"
    told = fork_server.run(dataclasses.replace(call, script=script(home, tells)))
    assert told.stdout not in (b"", b"9")


def test_the_end_of_a_fork_is_told_as_that_of_a_process(call, fork_server, home):
    killed = script(home, "import os\nos.kill(os.getpid(), 9)\n")
    assert fork_server.run(dataclasses.replace(call, script=killed)).returncode == -signal.SIGKILL
    fails = dataclasses.replace(call, script=script(home, "raise ValueError('no')\n"))
    failed = fork_server.run(fails)
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (1, b"ValueError: no")
    assert fork_server.run(call).returncode == 7


def test_a_fork_that_takes_too_long_is_killed(call, fork_server, home, wait_for):
    slow = "import os, sys, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(100)\n"
    slow = dataclasses.replace(call, script=script(home, slow), timeout_s=1)
    with pytest.raises(subprocess.TimeoutExpired):
        fork_server.run(slow)
    pid = int((home / "pid").read_text())
    wait_for(lambda: not is_running(pid), "the end of the fork")
    assert fork_server.run(call).returncode == 7


@pytest.mark.parametrize("server", ["fork_server", "rare_fork_server"])
def test_a_fork_has_its_own_temporary_directory(server, call, home, request):
    """Also where a library of the server asked for one when it was imported."""
    tells = "import os, tempfile\nos.write(1, os.fsencode(tempfile.gettempdir()))\nos._exit(0)\n"
    forked = dataclasses.replace(call, script=script(home, tells))
    told = request.getfixturevalue(server).run(forked)
    assert told.stdout == os.fsencode(home.parent / "tmpdir")


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_more_than_a_pipe_holds_goes_both_ways(cli):
    data = b"".join(b"%d\n" % n for n in range(100_000))
    ran = cli("shuffle", "-", "--seed", "1", stdin=data, fresh=False)
    assert ran.code == 0, ran.err
    assert sorted(ran.out.splitlines()) == sorted(data.splitlines())


def test_an_environment_that_counts_at_the_start_gets_one(call, fork_server):
    """Python, its libraries and the C library read theirs before a fork can change it."""
    for name in ("PYTHONHASHSEED", "LC_ALL", "MALLOC_ARENA_MAX", "_DBSHUF_COMPLETE"):
        changed = dataclasses.replace(call, environment={**call.environment, name: "1"})
        assert not fork_server.takes(changed), name
    assert fork_server.takes(call)
