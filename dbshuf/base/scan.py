"""What gives the rows of a run to the workers that order them."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from dbshuf.base.block_io import U8
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.spans import Spans


class Scan(Protocol):
    """Where rows come from.

    most_workers  how many may call `batches` at once
    is_in_pieces  whether every batch says which rows of the inputs it was made of (`spans`), so
                  that a later run can leave them out
    """

    most_workers: int
    is_in_pieces: bool

    @property
    def ended(self) -> Mapping[int, int]:
        """As `Spans.ended`, of what was read to its end so far."""

    def leave_out(self, known: Spans) -> None:
        """Give out no row that is in `known`; before `batches`, where it is in pieces."""

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        """Yield rows until none are left for this worker; those of one call share `buffer`."""

    def check(self) -> None:
        """Raise unless all that the inputs hold has been read, and they are as they were."""

    def stop(self) -> None:
        """Wake and turn away the workers."""

    def close(self) -> None:
        """Close the inputs."""


class ThroughScan:
    """A scan of what another yields: all but `batches` is that other's."""

    def __init__(self, feed: Scan, *, is_in_pieces: bool = False) -> None:
        self._feed = feed
        self.most_workers, self.is_in_pieces = feed.most_workers, is_in_pieces

    @property
    def ended(self) -> Mapping[int, int]:
        return self._feed.ended

    def leave_out(self, known: Spans) -> None:
        self._feed.leave_out(known)

    def check(self) -> None:
        self._feed.check()

    def stop(self) -> None:
        self._feed.stop()

    def close(self) -> None:
        self._feed.close()


class InnerScan:
    """A scan by one worker of what is within the run: no input is read, and none is open."""

    most_workers, is_in_pieces = 1, False
    ended: Mapping[int, int] = MappingProxyType({})
    _is_stopped = False  # which `batches` looks at

    def leave_out(self, known: Spans) -> None:
        """Nothing is read here."""

    def check(self) -> None:
        """Nothing is read here."""

    def stop(self) -> None:
        self._is_stopped = True

    def close(self) -> None:
        """Nothing is open."""
