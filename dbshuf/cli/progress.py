"""What a run is doing, told on stderr while it works.

    stage(), advance()  ->  counters  ->  a thread  ->  stderr
    any thread, often       a lock        now and then   a line

The caller of `advance` pays for one addition under a lock (0.2 us); a small daemon
thread reads the counters and writes, so a slow terminal never holds up the work. The bar on a
terminal is drawn in cli/progress_bar.py.
"""

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TextIO

from dbshuf.base.messages import printable
from dbshuf.base.progress import Progress
from dbshuf.units import human

_JSON_S = 1.0  # seconds between two reports
_LINES_S = 5.0
_JOIN_S = 1.0  # a terminal that takes no more text delays the end by this much


class Mode(StrEnum):
    """When and how to report: `auto` is `always` on a terminal and `never` elsewhere."""

    auto = "auto"
    always = "always"
    never = "never"
    json = "json"


@dataclass(frozen=True)
class Snapshot:
    """The state of one stage at one moment."""

    stage: str
    bytes: int
    total_bytes: int | None
    elapsed_s: float  # since the stage began

    @property
    def rate(self) -> float:
        """Bytes a second, on average since the stage began."""
        return self.bytes / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left at this rate; None while nothing can be said."""
        if not self.total_bytes or not self.rate:
            return None
        return max(0, self.total_bytes - self.bytes) / self.rate

    @property
    def amount(self) -> str:
        """How much is done: `412 MB of 1 GB`; empty while nothing is known."""
        if self.total_bytes:
            return f"{human(self.bytes)} of {human(self.total_bytes)}"
        return human(self.bytes) if self.bytes else ""

    @property
    def share(self) -> str:
        """`41%`; empty if the total is unknown."""
        return f"{min(100, 100 * self.bytes // self.total_bytes)}%" if self.total_bytes else ""

    @property
    def speed(self) -> str:
        """`476 MB/s`; empty before the first byte."""
        return f"{human(self.rate)}/s" if self.bytes else ""

    @property
    def clock(self) -> str:
        """`ETA 0:02`, or `elapsed 0:07` while nothing can be said of the rest."""
        eta_s = self.eta_s
        return f"elapsed {_clock(self.elapsed_s)}" if eta_s is None else f"ETA {_clock(eta_s)}"

    def to_text(self) -> str:
        """Return it for people: `partition: 412 MB of 1 GB, 41%, 476 MB/s, ETA 0:02`."""
        parts = [self.amount, self.share, self.speed, self.clock]
        return f"{self.stage}: {', '.join(filter(None, parts))}"

    def to_json(self, event: str) -> str:
        """Return it for programs: one JSON object, times in seconds, rate in bytes a second."""
        eta_s = None if self.eta_s is None else round(self.eta_s, 3)
        derived = {"rate": round(self.rate), "eta_s": eta_s, "elapsed_s": round(self.elapsed_s, 3)}
        return json.dumps({"event": event} | asdict(self) | derived)


class Reporter:
    """Counters that any thread may move, and the thread that shows them every `every_s`."""

    every_s: float
    events = frozenset({"stage", "progress", "stage_done"})  # those that are shown

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._counters = threading.Lock()
        self._writing = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._stage = ""
        self._bytes = 0
        self._total_bytes: int | None = None
        self._began_s = 0.0

    def stage(self, name: str, total_bytes: int | None) -> None:
        with self._counters:
            before = self._snapshot()
            self._stage, self._total_bytes = name, total_bytes
            self._bytes, self._began_s = 0, time.monotonic()
            now = self._snapshot()
        if before.stage:
            self._show("stage_done", before)
        self._show("stage", now)
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
            self._thread.start()

    def advance(self, count: int) -> None:
        with self._counters:
            self._bytes += count

    def close(self) -> None:
        if self._thread is None:
            return
        is_first = not self._closed.is_set()
        self._closed.set()
        try:
            self._thread.join(_JOIN_S)
        finally:  # also where a signal ends the wait
            if is_first:
                with self._counters:
                    last = self._snapshot()
                self._show("stage_done", last, wait_s=_JOIN_S)
            self._end(wait_s=_JOIN_S)

    def _snapshot(self) -> Snapshot:
        elapsed_s = time.monotonic() - self._began_s
        return Snapshot(self._stage, self._bytes, self._total_bytes, elapsed_s)

    def _watch(self) -> None:
        while not self._closed.wait(self.every_s):
            with self._counters:
                now = self._snapshot()
            self._show("progress", now)

    def _show(self, event: str, now: Snapshot, wait_s: float = -1) -> None:
        """Write what this event is worth, if the stream is free within `wait_s` (-1: ever)."""
        if event in self.events:
            is_late = event == "progress"  # once closed
            self._write(
                lambda: "" if is_late and self._closed.is_set() else self._render(event, now),
                wait_s,
            )

    def _write(self, made: Callable[[], str], wait_s: float = -1) -> None:
        """Write a text that is made when its turn comes.

        A stream that fails is not worth a failed run; it gets no more.
        """
        if not self._writing.acquire(timeout=wait_s):
            return
        try:
            text = made()
            if text:
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError):
            self._closed.set()
        finally:
            self._writing.release()

    def _end(self, wait_s: float) -> None:
        """Leave the stream as it was, if it is free within `wait_s`; harmless when repeated."""

    def _render(self, event: str, now: Snapshot) -> str:
        raise NotImplementedError


class Telling:
    """A progress that also says what is told of the run, unless it is to be quiet."""

    def __init__(self, inner: Progress, *, quiet: bool, as_json: bool) -> None:
        self.stage, self.advance, self.close = inner.stage, inner.advance, inner.close
        self._quiet, self._as_json = quiet, as_json

    def tell(self, text: str) -> None:
        if self._as_json:
            say(json.dumps({"event": "note", "text": text}))
        elif not self._quiet:
            say(f"dbshuf: {text}")


class LineProgress(Reporter):
    """A plain line every few seconds and one at the end of each stage, for logs."""

    every_s = _LINES_S
    events = frozenset({"progress", "stage_done"})

    def _render(self, event: str, now: Snapshot) -> str:
        return f"dbshuf: {now.to_text()}\n"


class JsonProgress(Reporter):
    """A JSON object a line: `stage` begins one, `progress` each second, `stage_done`."""

    every_s = _JSON_S

    def _render(self, event: str, now: Snapshot) -> str:
        return f"{now.to_json(event)}\n"


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds + 0.5), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


_bars: list[Callable[[str], None]] = []  # what prints above itself; the last is on the screen


def say(*lines: str) -> None:
    """Print to stderr, above a bar there; a stderr that is gone changes nothing about the run."""
    if sys.stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):
        for line in lines:
            shown = line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            text = printable(shown, is_one_line=False) + "\n"
            if _bars:
                _bars[-1](text)
            else:
                print(text, end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def saying_above(bar: Callable[[str], None]) -> Iterator[None]:
    """Let a bar on the terminal print what is said, so that neither tears the other."""
    _bars.append(bar)
    try:
        yield
    finally:
        _bars.remove(bar)
