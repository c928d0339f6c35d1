"""What the promise tests share: the real command, files to feed it, what it leaves behind."""

import page_cache  # noqa: F401  # isort: skip

import bz2
import contextlib
import gc
import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from command import DBSHUF, MEASURE, Limits, Ran, child_environment, started
from fork_server import Call, ForkServer
from hypothesis import settings
from remote_fixtures import (  # noqa: F401
    bucket,
    clean_settings,
    clients,
    gs_bucket,
    held_upload,
    moto,
    new_bucket,
    proxy,
    seaweed,
    web,
)

from dbshuf.base.leftovers import find_leftovers

# Collecting makes nothing but what stays: Python's collector would go through it again and again,
# for 3 of 12 s of CPU (6,000 tests, Python 3.11.7). Until pytest_collection_finish.
gc.disable()

# One set of examples everywhere, and none that fails for being slow.
settings.register_profile("dbshuf", deadline=None, derandomize=True, database=None)
settings.load_profile("dbshuf")

os.environ.pop("PYTHONUNBUFFERED", None)  # children run as they do for users
os.environ["PYTHONSAFEPATH"] = "1"  # and import what is installed, not what they stand in
ENVIRONMENT = dict(os.environ)  # before any test changes it

# A background job of a script, or what nohup starts, ignores these and hands that on to its
# children: they are to run as from a terminal. A test that wants a signal ignored says so.
for _number, _answer in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, lambda number, frame: None),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _answer)


@pytest.fixture(autouse=True)
def _tidy(tmp_path: Path) -> Iterator[None]:
    """Give the disk back at once: some tests make hundreds of megabytes."""
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty directory to run in; $TMPDIR is beside it and must be empty at the end."""
    (tmp_path / "home").mkdir()
    (tmp_path / "tmpdir").mkdir()
    yield tmp_path / "home"
    left = os.listdir(tmp_path / "tmpdir")
    assert left == [], f"temporary files stayed behind: {told_of(tmp_path / 'tmpdir')}"


def told_of(folder: Path) -> list[str]:
    """Return what there is to know of all that is in a folder, and of this process.

    What a record beside something hidden says of whose it is, too, and whether that run lives.
    """
    found = []
    for path in sorted(folder.iterdir()):
        status, text = path.lstat(), ""
        if stat.S_ISREG(status.st_mode):
            text = path.read_bytes()[:4096].decode(errors="replace")
        changed = f"{status.st_size} bytes, changed {time.time() - status.st_mtime:.3f} s ago"
        found.append(f"{stat.filemode(status.st_mode)} {path.name}: {changed}: {text}")
    states = [f"{one.record.name} is {one.state.value}" for one in find_leftovers(folder)]
    return [*found, *states, f"at {time.time():.3f}, process {os.getpid()}"]


BEGINS_FRESH = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the first test of a file that runs the command: its first run starts a process.

    Spark's tests come first: they are the longest, and no process waits for another's at the end.
    """
    items.sort(key=lambda item: not item.path.name.startswith("test_spark"))
    seen = set()
    for item in items:
        if "cli" in getattr(item, "fixturenames", ()) and item.path not in seen:
            seen.add(item.path)
            item.stash[BEGINS_FRESH] = True


def pytest_collection_finish() -> None:
    """Have Python's collector look at 300,000 objects of the collected tests once, not each time.

    That was 0.14 s of CPU a time, 3.5 of the 140 s of base, order and query (Python 3.11.7).
    """
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """What runs the command for `cli` in a fork: the same run, without 0.3 s of imports."""
    server = ForkServer(ENVIRONMENT)
    yield server
    server.close()


@pytest.fixture(scope="session")
def rare_fork_server() -> Iterator[ForkServer]:
    """Likewise, for a report and for buckets: without 0.3 to 1 s more."""
    server = ForkServer(ENVIRONMENT, with_rare=True)
    yield server
    server.close()


def is_rare(arguments: tuple[bytes, ...]) -> bool:
    return arguments[:1] == (b"report",) or any(b"://" in argument for argument in arguments)


@pytest.fixture
def cli(home: Path, request: pytest.FixtureRequest) -> Callable[..., Ran]:
    """Run `dbshuf ARGS` to its end, in an empty directory.

    In a fork where that is the same; in a started process where a test is marked `fresh`,
    says so, or changes what a process is started with; once a file in any case; and always
    with DBSHUF_TESTS_FRESH=1.
    """
    always = request.node.get_closest_marker("fresh") or os.environ.get("DBSHUF_TESTS_FRESH")
    stash = request.node.stash

    def run(
        *args: object,
        stdin: bytes | Path = b"",
        stdout: object = subprocess.PIPE,
        timeout_s: int = 180,
        fresh: bool = bool(always),
        **limits: object,
    ) -> Ran:
        data = stdin.read_bytes() if isinstance(stdin, Path) else stdin
        arguments = tuple(a if isinstance(a, bytes) else os.fsencode(str(a)) for a in args)
        umask = limits.pop("umask", 0o022)
        call = Call(arguments, home, child_environment(home), data, timeout_s, umask=umask)
        begins = stash.get(BEGINS_FRESH, False)
        stash[BEGINS_FRESH] = False
        is_fresh = fresh or begins or limits or stdout != subprocess.PIPE
        server = (
            None
            if is_fresh
            else request.getfixturevalue(
                "rare_fork_server" if is_rare(arguments) else "fork_server"
            )
        )
        if server is not None and server.takes(call):
            done = server.run(call)
        else:
            done = started(call, stdout, Limits(umask=umask, **limits))
        return Ran(done.returncode, done.stdout or b"", done.stderr.decode(errors="replace"))

    return run


@pytest.fixture
def refused(cli: Callable[..., Ran], home: Path, snapshot: Callable) -> Callable[..., Ran]:
    """Run a command line that must end with one exit code and change nothing on disk."""

    def run(code: int, *args: object) -> Ran:
        before = snapshot(home)
        ran = cli("shuffle", *args)
        assert (ran.code, ran.out) == (code, b""), ran.err
        assert not re.search("Traceback|No such option", ran.err), ran.err
        assert snapshot(home) == before
        return ran

    return run


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start `dbshuf ARGS` with pipes on all three ends; killed if a test forgets it."""
    with contextlib.ExitStack() as stack:

        def begin(*args: object, **popen: object) -> subprocess.Popen[bytes]:
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            child = subprocess.Popen(
                [*DBSHUF, *map(str, args)], cwd=home, env=child_environment(home), **pipes | popen
            )
            stack.enter_context(child)
            stack.callback(child.kill)
            return child

        yield begin


@pytest.fixture
def measured(home: Path) -> Callable[..., Ran]:
    """Run `dbshuf ARGS` to its end and measure the peak RSS that the kernel saw.

    by  what dbshuf is started by
    """

    def run(*args: object, timeout_s: int = 240, by: tuple[str, ...] = DBSHUF) -> Ran:
        report = home.parent / "peak.json"
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", MEASURE, str(report), *by, *map(str, args)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=home,
            env=child_environment(home),
            timeout=timeout_s,
            check=True,
        )
        code, peak = json.loads(report.read_text())
        return Ran(code, done.stdout, done.stderr.decode(errors="replace"), peak)

    return run


@pytest.fixture
def corpus(home: Path) -> Callable[[str | bytes, bytes], Path]:
    """Write bytes to a file under the run's directory, with its parents; return its path."""

    def write(name: str | bytes, data: bytes) -> Path:
        path = home / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, str]]:
    """List a directory, hidden and nested files too: path -> mode and hash of content."""

    def look(top: Path) -> dict[str, str]:
        seen = {}
        for path in sorted(top.rglob("*")):
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            mode = oct(path.lstat().st_mode)
            seen[str(path.relative_to(top))] = f"{mode} {hashlib.sha256(data).hexdigest()}"
        return seen

    return look


@pytest.fixture
def pack() -> Callable[[str, bytes], bytes]:
    """Compress bytes by the name of a format, without any tool from PATH."""

    def compress(codec: str, data: bytes) -> bytes:
        if codec == "gzip":
            return gzip.compress(data, compresslevel=1, mtime=0)
        if codec == "bz2":
            return bz2.compress(data)
        if codec == "xz":
            return lzma.compress(data, preset=0)
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(data)
        return sink.getvalue().to_pybytes()

    return compress


@pytest.fixture
def wait_for() -> Callable[..., object]:
    """Poll a condition until it is true; fail with its description when it never is."""

    def poll(condition: Callable[[], object], what: str, timeout_s: float = 30) -> object:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if value := condition():
                return value
            time.sleep(0.002)
        pytest.fail(f"never saw {what}")

    return poll


@pytest.fixture
def smallest(cli: Callable[..., Ran]) -> Callable[..., str]:
    """Return the smallest workable --memory for a command line, as its refusal names it."""

    def ask(*args: object, stdin: Path | None = None) -> str:
        given = {} if stdin is None else {"stdin": stdin}
        ran = cli(*args, "--memory", "1MB", fresh=True, **given)
        assert ran.code == 11, ran.err
        return ran.largest_amount()

    return ask
