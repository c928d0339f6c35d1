"""`dbshuf plan`: what a run would do and need, told before it does it. And what a run tells."""

import json
import os
import select
import subprocess
import time

import pytest
import reference

LINES = b"".join(b"%d words on a line\n" % i for i in range(2000))
ROWS, WIDTH = 3_000_000, 147  # 0.44 GB


def flat(value: object, path: str = "") -> dict[str, object]:
    """Return every leaf of a JSON value: dotted lower-case path -> value."""
    if isinstance(value, dict):
        pairs = [(f"{path}.{name}".lower(), item) for name, item in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{path}.{number}", item) for number, item in enumerate(value)]
    else:
        return {path: value}
    return {leaf: item for name, part in pairs for leaf, item in flat(part, name).items()}


def having(leaves: dict[str, object], *words: str) -> list[object]:
    return [value for path, value in leaves.items() if all(word in path for word in words)]


@pytest.fixture
def plan(cli, home, snapshot):
    """Run `plan --json`, which must write nothing, and return its leaves."""

    def run(*args: object) -> dict[str, object]:
        before = snapshot(home)
        ran = cli("plan", *args, "--json")
        assert ran.code == 0, ran.err
        assert snapshot(home) == before
        return flat(json.loads(ran.out))

    return run


def test_plan_tells_inputs_bytes_strategy_memory_and_space(plan, corpus):
    """All that the user needs to judge a run of hours, for programs too."""
    corpus("in/a.txt", LINES)
    corpus("in/b.txt", LINES)
    leaves = plan("in", "-o", "out.txt", "--memory", "1GB", "--strategy", "partition")
    assert len(LINES) * 2 in leaves.values()
    assert any("a.txt" in str(v) for v in having(leaves, "input")) or 2 in having(leaves, "input")
    assert "partition" in having(leaves, "strategy")
    reasons = having(leaves, "reason") + having(leaves, "why")
    assert any(isinstance(reason, str) and reason for reason in reasons)
    assert any(isinstance(v, int) and v >= 1 for v in having(leaves, "bucket"))
    assert 1_000_000_000 in having(leaves, "memory")
    assert sum(isinstance(v, int) for v in having(leaves, "memory")) >= 3
    for place in ("temp", "output"):
        assert any(isinstance(v, int) for v in having(leaves, place, "free"))
        assert any(isinstance(v, int) for v in having(leaves, place, "need"))
    assert max(v for v in having(leaves, "output", "need") if isinstance(v, int)) >= len(LINES) * 2


def test_plan_splits_no_more_memory_than_there_is(plan, corpus):
    """The parts of the split sum to the cap at most."""
    leaves = plan(corpus("in.txt", LINES), "-o", "out.txt", "--memory", "1GB")
    parts = {p: v for p, v in leaves.items() if "memory" in p and isinstance(v, int)}
    assert all(value <= 1_000_000_000 for value in parts.values()), parts


def test_plan_as_text_names_the_same_things(cli, corpus, home, snapshot):
    """Readable as it is; stdout, because it is what was asked for."""
    corpus("in.txt", LINES)
    before = snapshot(home)
    ran = cli("plan", "in.txt", "-o", "out.txt", "--memory", "1GB")
    assert ran.code == 0, ran.err
    text = ran.out.decode().lower()
    for word in ("input", "bytes", "strategy", "bucket", "memory", "temp", "output", "free"):
        assert word in text or (word == "bytes" and "kb" in text), word
    assert "need" in text
    assert "\x1b" not in text
    assert snapshot(home) == before


def test_auto_takes_memory_when_it_fits_and_partition_when_not(plan, home):
    """The fast way where it is safe, the one that cannot fail where it is not."""
    reference.write_numbered(home / "in.txt", ROWS, WIDTH)
    fits = plan("in.txt", "-o", "out.txt", "--memory", "4GB")
    assert having(fits, "strategy")[0] == "memory"
    tight = plan("in.txt", "-o", "out.txt", "--memory", "300MB")
    assert having(tight, "strategy")[0] == "partition"
    assert max(v for v in having(tight, "temp", "need") if isinstance(v, int)) >= ROWS * WIDTH


def test_auto_takes_no_spill_for_wide_lines(plan, home):
    """One ORDER BY pins rows by number; 24 kB lines at 256 MB killed it."""
    reference.write_numbered(home / "in.txt", 10_000, 24_000)
    leaves = plan("in.txt", "-o", "out.txt", "--memory", "300MB")
    assert having(leaves, "strategy")[0] == "partition"


def test_plan_fails_where_the_run_would(cli, corpus):
    """The same errors with the same exit codes, before anything is begun."""
    path = corpus("in.txt", LINES)
    for code, options in (
        (3, ("missing.txt",)),
        (11, (path, "--memory", "1MB")),
        (2, (path, "--memory", "much")),
        (5, ("*.csv",)),
        (13, (path, "--manifest", "/dev/full")),
        (15, (path, "--manifest", "/proc/out.json")),
        (2, (path, "--work-dir", "/proc/run")),
        (2, (path, "--temp-dir", "/proc")),
    ):
        ran = cli("plan", *options, "-o", "out.txt")
        assert ran.code == code, ran.err
        assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--format", "csv", "--select", "line, cast('a' as int)"), 19),
        (("--where", "{}"), 19),
        (("--manifest", "/dev/full"), 13),
        (("--work-dir", "/proc/x"), 2),
    ],
)
def test_plan_refuses_what_the_run_refuses_before_its_first_row(options, code, cli, home):
    """Otherwise who plans a night's run finds its folder empty in the morning."""
    (home / "a.txt").write_bytes(b"a\n")
    told = [cli(one, "a.txt", "-o", home / "o", *options) for one in ("plan", "shuffle")]
    assert [one.code for one in told] == [code, code]
    assert told[0].err == told[1].err
    assert not (home / "o").exists()


def test_plan_keeps_the_promise_of_the_run(plan, cli, home):
    """The strategy told is the strategy used, and the temp told is enough."""
    reference.write_numbered(home / "in.txt", ROWS, WIDTH)
    told = having(plan("in.txt", "-o", "out.txt", "--memory", "300MB"), "strategy")[0]
    ran = cli(
        "shuffle",
        "in.txt",
        "-o",
        "out.txt",
        "--memory",
        "300MB",
        "--seed",
        "42",
        "--progress",
        "json",
    )
    assert ran.code == 0, ran.err
    assert str(told) in ran.err
    reference.check_numbered(home / "out.txt", ROWS, WIDTH, "42")


@pytest.mark.parametrize("text", ["1GB", "1000MB", "1.0GB", "1000000kB"])
def test_memory_is_read_in_si_units(text, plan, corpus):
    """GB is 10^9 bytes, however it is typed."""
    leaves = plan(corpus("in.txt", LINES), "-o", "out.txt", "--memory", text)
    assert 1_000_000_000 in having(leaves, "memory")


def test_memory_is_read_in_iec_units(plan, corpus):
    """GiB is 2^30 bytes: 7 % more, enough to be killed for."""
    leaves = plan(corpus("in.txt", LINES), "-o", "out.txt", "--memory", "1GiB")
    assert 2**30 in having(leaves, "memory")


def test_progress_as_json_is_json_on_every_line(cli, home):
    """For programs: stage and bytes, one object a line, on stderr."""
    reference.write_numbered(home / "in.txt", 600_000, WIDTH)
    ran = cli("shuffle", "in.txt", "-o", "out.txt", "--progress", "json", "--memory", "400MB")
    assert ran.code == 0, ran.err
    told = [json.loads(line) for line in ran.err.splitlines()]
    assert told
    leaves = flat(told)
    assert having(leaves, "stage")
    assert having(leaves, "bytes")
    assert having(leaves, "seed")


def test_quiet_says_nothing_and_never_says_one_line(cli, corpus):
    """A cron job wants silence; a log wants the summary."""
    path = corpus("in.txt", LINES)
    assert cli("shuffle", path, "--quiet", "--seed", "42").err == ""
    for options in ((), ("--progress", "never"), ("--progress", "auto")):
        ran = cli("shuffle", path, "--seed", "42", *options)
        assert ran.err.count("\n") == 1
        assert ran.out == reference.shuffled([LINES], "42")


def test_quiet_still_tells_errors(cli):
    """Silence is for success."""
    ran = cli("shuffle", "missing.txt", "--quiet")
    assert ran.code == 3
    assert "missing.txt" in ran.err


def test_progress_is_shown_on_a_terminal(start):
    """stage, bytes, rate and the time left, while the user waits."""
    terminal, end = os.openpty()
    child = start("shuffle", "-", stderr=end, stdout=subprocess.DEVNULL)
    os.close(end)
    shown, end_s = b"", time.monotonic() + 60
    while shown.count(b"B/s") < 2 and time.monotonic() < end_s:  # until it was drawn again
        child.stdin.write(LINES * 20)
        child.stdin.flush()
        if select.select([terminal], [], [], 0.05)[0]:
            shown += os.read(terminal, 65536)
    child.stdin.close()
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:  # the terminal's other end is closed
        pass
    os.close(terminal)
    assert child.wait(timeout=30) == 0
    assert shown.count(b"\r") + shown.count(b"\x1b[") > 2
    assert b"B/s" in shown


# --- outputs in a bucket ---------------------------------------------------------------


def test_an_output_in_a_bucket_has_its_place_and_its_parts(bucket, corpus, cli):
    """As text and as JSON; no room is known in a bucket."""
    given = ("plan", corpus("in.txt", LINES), "-o", f"{bucket.url}/out/", "--shards", 3)
    ran = cli(*given)
    assert f"{bucket.url}/out/: " in ran.out.decode()
    assert "about 3 parts of 8.39 MB, 4 at once" in ran.out.decode()
    plan = json.loads(cli(*given, "--json").out)["output"]
    assert plan["path"] == f"{bucket.url}/out/"
    assert plan["free_bytes"] is None
    assert plan["upload"]["part_bytes"] == 8 << 20
    assert plan["upload"]["parts"] == 3
    assert not plan["upload"]["waits_in_temp"]
    assert bucket.keys() == bucket.uploads() == []


def test_shards_that_wait_for_their_names_before_they_are_sent_are_counted(bucket, corpus, cli):
    """They are in --temp-dir until the number of all is known."""
    source = corpus("in.txt", LINES)
    ran = cli("plan", source, "-o", f"{bucket.url}/out/", "--shard-bytes", "1MB", "--json")
    plan = json.loads(ran.out)
    assert plan["output"]["upload"]["waits_in_temp"]
    assert plan["temp"]["needed_bytes"] >= len(LINES)
