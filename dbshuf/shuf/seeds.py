"""Where chance comes from: the system, a text, or a file of bytes."""

import math
import os
from collections.abc import Callable
from io import RawIOBase

from dbshuf.base.plain_key import seed_words
from dbshuf.errors import ShufFailed

# Of a source at most so much is read and hashed: /dev/zero and /dev/urandom never end. With so
# many bytes GNU shuf permutes 44,000 lines; beyond that no source is too short.
_SOURCE_BYTES = 64 << 10

_LARGEST_EXACT = 1 << 40  # from here on lgamma(n + 1) - lgamma(n - k + 1) loses its digits


class Chance:
    """What an order is made of.

    text   the seed, as `--seed` of `dbshuf shuffle` takes it
    words  its two words of 64 bits
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = seed_words(text)

    def open(self) -> None:
        """Read what the order is made of; harmless when repeated. Raises ShufFailed."""

    def check(self, lines: int, wanted: int, *, repeat: bool = False) -> None:
        """Raise ShufFailed unless the source has the bytes to choose `wanted` of `lines`."""


class ChanceOfFile(Chance):
    """The bytes of a file: the same file gives the same order.

    It is opened and read when the lines are known, as by GNU shuf: for no line not even opened,
    for one not read.
    """

    def __init__(self, name: str, quoted: str, failed: Callable[[OSError], ShufFailed]) -> None:
        """Name the file.

        quoted  its name, for messages
        failed  the error of a file that cannot be read
        """
        super().__init__("random-source:")
        self._name, self._quoted, self._failed = name, quoted, failed
        self._bytes: int | None = None  # that were read

    def open(self) -> None:
        if self._bytes is not None:
            return
        try:
            with open(self._name, "rb", buffering=0) as file:
                found = _first_bytes(file)
        except OSError as error:
            raise self._failed(error) from error
        self._bytes = len(found)
        import hashlib

        super().__init__(f"random-source:{hashlib.sha256(found).hexdigest()}")

    def check(self, lines: int, wanted: int, *, repeat: bool = False) -> None:
        needed = min(_bytes_of_choice(lines, wanted, repeat=repeat), _SOURCE_BYTES)
        if needed:
            self.open()
        elif lines:
            self._open_unread()
        if (self._bytes or 0) < needed:
            raise ShufFailed(f"{self._quoted}: end of file")

    def _open_unread(self) -> None:
        """Raise ShufFailed where the file cannot be opened; a directory can be."""
        try:
            os.close(os.open(self._name, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise self._failed(error) from error


def _first_bytes(file: RawIOBase) -> bytes:
    found = b""
    while (left := _SOURCE_BYTES - len(found)) and (more := file.read(left)):
        found += more
    return found


def drawn_chance() -> Chance:
    """Return what the system gives, anew each time."""
    return Chance(os.urandom(16).hex())


def _bytes_of_choice(lines: int, wanted: int, *, repeat: bool) -> int:
    """Return how many bytes it takes to tell one choice from all others.

    lines   to choose from
    wanted  how many are chosen, in an order
    repeat  whether a line may come again
    """
    if lines < 2 or not wanted:
        return 0
    if repeat or lines >= _LARGEST_EXACT:
        bits = wanted * math.log2(lines)
    else:
        chosen = math.lgamma(lines + 1) - math.lgamma(lines - min(wanted, lines) + 1)
        bits = chosen / math.log(2)
    return math.ceil(bits / 8 - 1e-9)
