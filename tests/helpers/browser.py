"""A headless Chromium that opens one page and says what is on it, over the DevTools pipe.

The protocol's messages are JSON ended by NUL, on the descriptors 3 and 4 of the browser: no port,
no driver beside it and no package, so it runs as any user and with any version.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",  # which root and containers do not have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
)
_PATIENCE_S = 120


def need_chromium() -> str:
    """Return the browser's path; skip the test without one, and fail it where it is required."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None and os.environ.get("DBSHUF_REQUIRE_CHROMIUM"):
        pytest.fail("Chromium is required here, and there is none", pytrace=False)
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    return path


class Browser:
    """One page in a browser that is up.

    requests  the URLs that were asked for since it began
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._unread, self._number, self._session = b"", 0, ""
        self.requests: list[str] = []
        self._events: set[str] = set()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network"):
            self.call(f"{domain}.enable")

    def open(self, page: Path, width: int, height: int = 900) -> None:
        """Open a file in a window of that many pixels, and wait until it is drawn."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self._events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def read(self, script: str) -> Any:
        """Return what an expression of JavaScript gives."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def call(self, method: str, **params: Any) -> Any:
        """Send a command and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            pass
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _receive(self) -> dict[str, Any]:
        """Return the next message; what it says of the page is noted."""
        until = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._from], [], [], max(until - time.monotonic(), 0))
            piece = os.read(self._from, 1 << 16) if ready else b""
            assert piece, "the browser ended" if ready else "the browser is silent"
            self._unread += piece
        text, _, self._unread = self._unread.partition(b"\0")
        message = json.loads(text)
        self._events.add(message.get("method", ""))
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        return message


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser that keeps all it writes in a folder; end it."""
    path = need_chromium()
    theirs_in, to_browser = _high_pipe()
    from_browser, theirs_out = _high_pipe()
    nowhere = os.devnull
    short = tempfile.mkdtemp(dir="/tmp")  # the path of a socket in it may have 107 bytes
    process = os.posix_spawn(
        path,
        [path, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
        {"HOME": str(folder), "TMPDIR": short, "PATH": os.environ["PATH"]},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, nowhere, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, nowhere, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(folder / "browser.log"), os.O_WRONLY | os.O_CREAT, 0o600),
            (os.POSIX_SPAWN_DUP2, theirs_in, 3),
            (os.POSIX_SPAWN_DUP2, theirs_out, 4),
        ],
        setpgroup=0,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(to_browser, from_browser)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        shutil.rmtree(short, ignore_errors=True)
        os.close(to_browser)
        os.close(from_browser)


def _high_pipe() -> tuple[int, int]:
    """Return a pipe whose descriptors are in nobody's way, and are closed in other children."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(end)
    return ends[0], ends[1]
