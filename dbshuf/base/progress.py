"""What a run tells of itself while it works, to whoever wants to know."""

from typing import Protocol


class Progress(Protocol):
    """What the library tells while it works; every method may be called from any thread."""

    def stage(self, name: str, total_bytes: int | None) -> None:
        """Begin a stage (which ends the one before) of `total_bytes`, None if unknown."""

    def advance(self, count: int) -> None:
        """Add `count` bytes to what the stage has done."""

    def close(self) -> None:
        """End the last stage and take the line off the terminal; harmless when repeated."""


class NoProgress:
    """A progress that tells nobody."""

    def stage(self, name: str, total_bytes: int | None) -> None:
        pass

    def advance(self, count: int) -> None:
        pass

    def close(self) -> None:
        pass


def tell(progress: Progress, text: str) -> None:
    """Say something in a line of its own, where a progress takes that (`tell`)."""
    take = getattr(progress, "tell", None)
    if take is not None:
        take(text)


NO_PROGRESS = NoProgress()
