"""What is noted of the files of an output, and who writes of it: for manifests."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class WrittenFile:
    """One file of an output: its rows, its bytes, and their SHA-256."""

    rows: int
    bytes: int
    sha256: str


NamedFile = tuple[str, WrittenFile]  # its name below the directory, or the last part of its path


class Marked(Protocol):
    """A directory of files that takes others, which say something of them."""

    def mark(self, name: str, pieces: Iterable[bytes]) -> None:
        """Add such a file, whose name is one of `manifest/names.py`.

        Where files are shown one by one, all such files of an older run go before the first new
        file comes, and these come after the last, in the order of these calls.
        """


class Seal(Protocol):
    """What a run leaves in writing about its output."""

    def write(self, files: Sequence[NamedFile], directory: Marked | None) -> None:
        """Write what there is to say of finished files; a directory is given its own of that."""

    def publish(self) -> None:
        """Show what is not in the directory; it is the last thing that a run does."""
