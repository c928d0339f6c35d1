"""`dbshuf shuf` in this process, with three descriptors of its own."""

import contextlib
import os
import tempfile
import threading
from dataclasses import dataclass

from dbshuf.cli.shuf import shuf


@dataclass(frozen=True)
class Shuffled:
    """How one run ended."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[bytes]:
        return self.out.splitlines()


def call(*arguments: object, data: bytes = b"", name: str = "shuf") -> Shuffled:
    """Run `shuf ARGS` with `data` in a pipe as its standard input."""
    reading, writing = os.pipe()
    feeder = threading.Thread(target=_feed, args=(writing, data))
    feeder.start()
    kept = [os.dup(fd) for fd in range(3)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        for fd, given in enumerate((reading, out.fileno(), err.fileno())):
            os.dup2(given, fd)
        os.close(reading)
        try:
            code = shuf([_text(one) for one in arguments], name)
        finally:
            for fd, old in enumerate(kept):
                os.dup2(old, fd)
                os.close(old)
            feeder.join()
        out.seek(0)
        err.seek(0)
        return Shuffled(code, out.read(), err.read().decode())


def _text(argument: object) -> str:
    return os.fsdecode(argument) if isinstance(argument, bytes) else str(argument)


def _feed(fd: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(fd, "wb", buffering=0) as pipe:
        left = memoryview(data)
        while left:
            left = left[pipe.write(left) :]
