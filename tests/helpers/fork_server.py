"""The command in a forked process, for tests of what it does rather than of how it starts.

`python -m dbshuf` takes 0.3 s of CPU time to import what it runs on, and the run of a test's
few lines 0.01 (2 cores, Python 3.11.7). One server a test process has imported all of it,
without opening or starting anything, and forks a child for every call. The child gets what a
started process gets: argv, directory, environment, umask, three descriptors and no other,
Python's streams over them; it runs `dbshuf/__main__.py` and ends as that ends it.

What differs from a start: one hash seed for all calls, modules that are there already, and
resident bytes: a fork has none of the libraries' pages until it touches them, so it has as
many of another mapping instead. The smallest cap that it names is then a few MB above a start's.
Tests of those are marked `fresh`, and every file starts one process (conftest.py).
"""

import contextlib
import dataclasses
import functools
import gc
import importlib
import mmap
import os
import pickle
import pkgutil
import runpy
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NoReturn, TextIO

# What the command reads of its environment when it runs. Another variable may count when
# Python or a library starts, which is over in a fork.
_READ_LATE = frozenset(
    {"TMPDIR", "HOME", "TZ", "DBSHUF_DEBUG", "NO_COLOR", "TERM", "PYTEST_CURRENT_TEST"}
    | {"MPLCONFIGDIR"}  # which matplotlib sets where the home cannot be written
    | {"_RJEM_MALLOC_CONF"}  # which a library sets when it is loaded, here as in a started process
)
# Likewise those that begin or end so: for clients of object stores, which are made in a run.
_READ_BY_CLIENTS = ("AWS_", "GOOGLE_", "GCS_", "AZURE_", "HF_", "STORAGE_EMULATOR")
_NUMBER = struct.Struct("!q")


@dataclasses.dataclass(frozen=True)
class Call:
    """One run of the command: its arguments, where it runs, and what its stdin gives."""

    arguments: tuple[bytes, ...]
    folder: Path
    environment: dict[str, str]
    data: bytes = b""
    timeout_s: float = 180
    script: str | None = None  # instead of the command, to look at its process
    umask: int = 0o022


class ForkServer:
    """A server of this test process.

    environment  of what is imported; None: that of the moment it starts
    with_rare  whether it has loaded what few runs load, too: a report's pictures, clients of
               object stores
    """

    def __init__(
        self, environment: dict[str, str] | None = None, *, with_rare: bool = False
    ) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._settings = None
        if with_rare and "MPLCONFIGDIR" not in self._environment:
            # Without a home matplotlib makes a folder when it is loaded, which the first fork that
            # ends would remove, and each later one miss.
            self._settings = tempfile.TemporaryDirectory(prefix="settings-")
            self._environment["MPLCONFIGDIR"] = self._settings.name
        self._turn = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), str(int(with_rare))],
                stdin=subprocess.DEVNULL,
                env=self._environment,
                pass_fds=[theirs.fileno()],
            )

    def close(self) -> None:
        self._control.close()
        self._process.wait(timeout=30)
        if self._settings is not None:
            self._settings.cleanup()

    def takes(self, call: Call) -> bool:
        """Return whether a fork can be what a start is, and have the environment of a call."""
        given, own = call.environment, self._environment
        # On macOS, system libraries refuse to work in a fork.
        return sys.platform == "linux" and all(
            given.get(name) == own.get(name)
            for name in {*given, *own} - _READ_LATE
            if not name.startswith(_READ_BY_CLIENTS) and not name.lower().endswith("_proxy")
        )

    def run(self, call: Call) -> "subprocess.CompletedProcess[bytes]":
        """Run the command to its end, as subprocess.run does with three pipes; one at a time."""
        with self._turn, contextlib.ExitStack() as ours:
            pipes = [os.pipe() for _ in range(3)]
            mine = [
                ours.enter_context(open(pipes[number][number == 0], mode))
                for number, mode in enumerate(("wb", "rb", "rb"))
            ]
            its = [pipes[number][number > 0] for number in range(3)]
            try:
                self._ask(call, its)
            finally:
                for end in its:
                    os.close(end)
            return self._attend(call, *mine)

    def _ask(self, call: Call, ends: list[int]) -> None:
        request = pickle.dumps(dataclasses.replace(call, data=b""))
        socket.send_fds(self._control, [_NUMBER.pack(len(request))], ends)
        self._control.sendall(request)

    def _attend(
        self, call: Call, stdin: BinaryIO, stdout: BinaryIO, stderr: BinaryIO
    ) -> "subprocess.CompletedProcess[bytes]":
        """Feed a child and read what it says until both its pipes and itself have ended."""
        pid = _receive_number(self._control)
        end_s = time.monotonic() + call.timeout_s
        said: dict[int, bytes] = {}
        works = (
            lambda: _feed(stdin, call.data),
            lambda: said.update({1: stdout.read()}),
            lambda: said.update({2: stderr.read()}),
        )
        threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(end_s - time.monotonic(), 0))
        self._control.settimeout(max(end_s - time.monotonic(), 0.01))
        try:
            status = _receive_number(self._control)
        except TimeoutError:
            self._control.settimeout(None)
            os.kill(pid, signal.SIGKILL)
            _receive_number(self._control)
            raise subprocess.TimeoutExpired(list(call.arguments), call.timeout_s) from None
        self._control.settimeout(None)
        for thread in threads:
            thread.join()
        code = os.waitstatus_to_exitcode(status)
        return subprocess.CompletedProcess(call.arguments, code, said[1], said[2])


def _feed(stdin: BinaryIO, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), stdin:
        stdin.write(data)


def _receive_number(control: socket.socket) -> int:
    return int(_NUMBER.unpack(_receive(control, _NUMBER.size))[0])


def _receive(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = control.recv(size - len(data))
        if not part:
            raise EOFError("the fork server has ended")
        data += part
    return data


# ---- the server's process ------------------------------------------------------------------


def serve(control: socket.socket, *, with_rare: bool) -> None:
    """Fork a child for every request until the other end is closed."""
    _import_all()
    if with_rare:
        _import_rare()
    pages = _pages_lacking()  # noqa: F841, a fork has them, too
    gc.collect()
    gc.freeze()  # what is shared stays shared
    while True:
        header, ends, _, _ = socket.recv_fds(control, _NUMBER.size, 3)
        if not header:
            return
        header += _receive(control, _NUMBER.size - len(header))
        call = pickle.loads(_receive(control, _NUMBER.unpack(header)[0]))
        pid = _fork()
        if pid == 0:
            _become(call, ends)
        for end in ends:
            os.close(end)
        control.sendall(_NUMBER.pack(pid))
        control.sendall(_NUMBER.pack(os.waitpid(pid, 0)[1]))


def _import_all() -> None:
    from dbshuf.cli.process import prepare

    prepare()
    import dbshuf

    # What few runs load stays away: it would be in the memory that the others begin with.
    for module in pkgutil.walk_packages(dbshuf.__path__, "dbshuf."):
        rare = ("dbshuf.remote.", "dbshuf.pipeline.spark.", "dbshuf.reporting.", "dbshuf.torch")
        is_rare = module.name.startswith(rare)
        if not is_rare and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("numpy.ma")  # DuckDB does, for a result in arrays
    _parse_one_line()


def _import_rare() -> None:
    """Import what opens an object in a bucket, and what draws; in neither is anything opened.

    Not the client of Hugging Face, which reads its environment when it is imported.
    """
    for name in (
        "aws", "bucket", "retry", "s3_client", "s3_upload", "gs_upload", "plain_http", "web",
        "opening",
    ):  # fmt: skip
        with contextlib.suppress(ImportError):
            importlib.import_module(f"dbshuf.remote.{name}")
    for name in ("dbshuf.reporting.contents", "dbshuf.reporting.page"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(ImportError):
        share_botocore_files()


def share_botocore_files() -> None:
    """Let all clients of this process have what botocore reads of S3, here for the first.

    Each session would read and parse its files anew: 0.2 s of CPU time (botocore 1.44.8, 2 cores).
    """
    import botocore.session

    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    session = botocore.session.Session()
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    session.create_client("s3", region_name="us-east-1", **keys).close()


def _parse_one_line() -> None:
    """Let typer import what it needs for the first command line it parses."""
    import typer

    from dbshuf.cli.app import app

    command = typer.main.get_command(app)
    with command.make_context("dbshuf", ["shuffle", "-"]) as context:
        _, shuffle, arguments = command.resolve_command(context, ["shuffle", "-"])
        shuffle.make_context("shuffle", arguments, parent=context).close()


def _pages_lacking() -> mmap.mmap:
    """Return as much resident memory as this process has more than a fork of it begins with.

    Huge pages, where there are such: a fork takes them on in no time. It took 8 ms of CPU time to
    touch as many pages of a file in each (100 MB, Linux 6.18).
    """
    size = max(_resident_bytes() - _resident_bytes_of_a_fork(), mmap.PAGESIZE)
    pages = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        pages.madvise(mmap.MADV_HUGEPAGE)
    for place in range(0, size, mmap.PAGESIZE):
        pages[place] = 1
    return pages


def _fork() -> int:
    with warnings.catch_warnings():  # of jemalloc's thread, which knows about forks
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _resident_bytes_of_a_fork() -> int:
    reading, writing = os.pipe()
    pid = _fork()
    if pid == 0:
        os.write(writing, _NUMBER.pack(_resident_bytes()))
        os._exit(0)
    os.waitpid(pid, 0)
    with open(reading, "rb") as answer:
        os.close(writing)
        return int(_NUMBER.unpack(answer.read())[0])


def _resident_bytes() -> int:
    with contextlib.suppress(OSError), open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE
    return 0


def _become(call: Call, ends: Iterable[int]) -> NoReturn:
    """Turn this fork into a process that was just started, and run the command in it."""
    try:
        for number, end in enumerate(ends):
            os.dup2(end, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.umask(call.umask)
        os.chdir(call.folder)
        os.environ.clear()
        os.environ.update(call.environment)
        tempfile.tempdir = None  # what a library asked for at its import is the server's
        time.tzset()
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            stream = _stream(number, getattr(sys, name))
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        sys.argv = ["-m", *map(os.fsdecode, call.arguments)]
        if call.script is not None:
            runpy.run_path(call.script, run_name="__main__")
        runpy.run_module("dbshuf", run_name="__main__", alter_sys=True)
    except BaseException:  # main() ends its process and lets nothing out
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    os._exit(1)


def _stream(number: int, like: TextIO) -> TextIO:
    """Open what Python opens for a standard descriptor at its start."""
    return open(
        number,
        "w" if number else "r",
        buffering=1 if number == 2 else -1,
        encoding=like.encoding,
        errors=like.errors,
        newline="\n",
        closefd=False,
    )


if __name__ == "__main__":
    sys.modules["fork_server"] = sys.modules["__main__"]  # what the requests call it
    with socket.socket(fileno=int(sys.argv[1])) as other_end:
        serve(other_end, with_rare=sys.argv[2] == "1")
