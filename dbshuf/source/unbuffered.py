"""Unbuffered inputs as the system gives them: files, pipes, descriptors that do not block."""

import select
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class RawInput(Protocol):
    """What is read from: an unbuffered file or a pipe; reads may be short."""

    def read(self, size: int, /) -> bytes | None: ...
    def readinto(self, view: memoryview, /) -> int | None: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


def when_ready(raw: RawInput, attempt: Callable[[], T | None]) -> T:
    """Return what a read of `raw` gives, waiting for it if need be.

    attempt  the read; it gives None where a descriptor that does not block has nothing yet,
             which is not the end
    Raises   whatever the read raises
    """
    while (got := attempt()) is None:
        waiting = select.poll()  # unlike select(), also above descriptor 1023
        waiting.register(raw.fileno(), select.POLLIN)
        waiting.poll()
    return got
