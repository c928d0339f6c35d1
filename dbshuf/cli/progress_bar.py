"""Progress as a bar on a terminal, drawn by rich.

rich takes 0.09 s and 2 MB to import, so it is, in the progress thread, when the first bar is
drawn: 0.25 s after the work began. It draws into a string, which goes out in one write.
"""

import atexit
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from dbshuf.base.progress import NO_PROGRESS, Progress
from dbshuf.cli.progress import JsonProgress, LineProgress, Mode, Reporter, Snapshot, saying_above

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn

    from dbshuf.cli.output_options import Report

_FRAMES_S = 0.25  # seconds between two frames
_LEAST_BAR_COLUMNS = 8
_DUMB = ("dumb", "unknown")  # values of TERM


@contextlib.contextmanager
def progress_of(given: "Report") -> Iterator[Progress]:
    """Give the progress that a command was asked to report, as long as there is something to."""
    reporter = open_progress(Mode.never if given.quiet else given.progress, sys.stderr)
    try:
        yield reporter
    finally:
        reporter.close()


def open_progress(mode: str, stream: TextIO | None) -> Progress:
    """Return the progress that `mode` asks for; it writes to `stream` (None: nowhere)."""
    if stream is None or mode == Mode.never:
        return NO_PROGRESS
    if mode == Mode.json:
        return JsonProgress(stream)
    is_terminal, is_dumb = stream.isatty(), os.environ.get("TERM", "").lower() in _DUMB
    if is_terminal and not os.environ.get("NO_COLOR") and not is_dumb:
        return TerminalProgress(stream)
    return LineProgress(stream) if is_terminal or mode == Mode.always else NO_PROGRESS


class TerminalProgress(Reporter):
    """One line with a bar, redrawn in place at the window's width and taken away at the end."""

    every_s = _FRAMES_S
    events = frozenset({"progress"})  # a stage shorter than a frame is not shown

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._page = _Page(stream)
        self._bar: RichProgress | None = None
        self._shown = contextlib.ExitStack()

    def _render(self, event: str, now: Snapshot) -> str:
        if self._bar is None:
            self._bar = _rich_progress(self._page)
            self._shown.enter_context(saying_above(self._above))
            # Where a terminal that takes no text, or a signal, kept close() from it.
            atexit.register(self._end, wait_s=0)
            self._bar.start()
        columns, lines = self._window()
        self._bar.console.size = (columns, lines)
        self._bar.columns = _columns(now, columns)
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._bar.add_task(now.stage, total=now.total_bytes or None, completed=now.bytes)
        return self._page.take()

    def _above(self, text: str) -> None:
        """Print `text` above the bar."""

        def drawn() -> str:
            if self._bar is None:
                return text
            self._bar.console.out(text, end="", highlight=False)
            return self._page.take()

        self._write(drawn)

    def _end(self, wait_s: float) -> None:
        """Take the bar away and show the cursor again."""

        def drawn() -> str:
            if self._bar is None:
                return ""
            bar, self._bar = self._bar, None
            bar.stop()
            return self._page.take()

        self._shown.close()
        self._write(drawn, wait_s)

    def _window(self) -> tuple[int, int]:
        """The columns and lines to draw in now; in the last column some terminals wrap."""
        columns, lines = 80, 25
        with contextlib.suppress(OSError, ValueError):
            columns, lines = os.get_terminal_size(self._stream.fileno())
        return max((columns or 80) - 1, 1), lines or 25


class _Page(io.StringIO):
    """What rich draws on, in the characters that a stream can show."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._encoding = stream.encoding or "utf-8"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def take(self) -> str:
        """Return what was drawn since the last call."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


def _rich_progress(page: _Page) -> "RichProgress":
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    return RichProgress(
        console=Console(file=page, force_terminal=True, force_interactive=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,  # that is data
        redirect_stderr=False,
    )


def _columns(now: Snapshot, columns: int) -> "tuple[ProgressColumn, ...]":
    """Return what a line of so many columns has room for, the bar in what the words leave."""
    from rich.progress import BarColumn

    words = [text for text in (now.share, now.amount, now.speed, now.clock) if text]
    room = columns - len(now.stage) - 1
    for dropped in (now.speed, now.amount):
        if room - _length(words) < _LEAST_BAR_COLUMNS and dropped in words:
            words.remove(dropped)
    bar = room - _length(words)
    while words and room < _length(words) - 1:
        words.pop()
    shown: list[ProgressColumn] = [_text_column(now.stage), *map(_text_column, words)]
    if bar >= _LEAST_BAR_COLUMNS:
        shown.insert(1, BarColumn(bar_width=bar))
    return tuple(shown)


def _text_column(text: str) -> "ProgressColumn":
    from rich.progress import TextColumn
    from rich.table import Column

    literal = text.replace("{", "{{").replace("}", "}}")  # a format, where braces name a field
    return TextColumn(literal, markup=False, table_column=Column(no_wrap=True, overflow="crop"))


def _length(words: list[str]) -> int:
    return sum(len(word) + 1 for word in words)
