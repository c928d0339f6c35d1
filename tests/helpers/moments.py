"""A signal at a chosen moment of a run: at its n-th step that changes what is on the disk."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from command import Ran, child_environment
from fork_server import Call, ForkServer

# What the process does before the command runs in it. Every change of files that Python makes
# is told to an audit hook first; SQLite's and DuckDB's own files are opened without.
_PRELUDE = """
import os, signal, sys

seen = 0

def hook(event, arguments):
    global seen
    if event not in {events}:
        return
    if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        return
    seen += 1
    if seen == {step}:
        with open({mark!r}, "w"):
            pass
        os.kill(os.getpid(), {number})

sys.addaudithook(hook)
"""
_EVENTS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"}
_EVENTS |= {"fcntl.flock", "sqlite3.connect"}


@dataclasses.dataclass(frozen=True)
class Stepped:
    """Runs of the command in forks that get a signal at one of their steps."""

    server: ForkServer
    folder: Path

    def run(self, step: int, number: int, *args: object, stdin: bytes = b"") -> Ran | None:
        """Run `dbshuf ARGS`, with a signal at its step; None where it has fewer steps."""
        mark, script = self.folder.parent / "mark", self.folder.parent / "prelude.py"
        mark.unlink(missing_ok=True)
        text = _PRELUDE.format(events=_EVENTS, step=step, mark=str(mark), number=int(number))
        script.write_text(text)
        arguments = tuple(os.fsencode(str(one)) for one in args)
        environment = child_environment(self.folder)
        call = Call(arguments, self.folder, environment, stdin, script=str(script))
        done = self.server.run(call)
        ran = Ran(done.returncode, done.stdout, done.stderr.decode(errors="replace"))
        return ran if mark.exists() else None

    def every(self, number: int, *args: object, by: int = 1) -> Iterator[tuple[int, Ran]]:
        """Run the command again and again, with the signal at each of its steps, or one of `by`."""
        step = 1
        while (ran := self.run(step, number, *args)) is not None:
            yield step, ran
            step += by
