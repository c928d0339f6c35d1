"""What gives the rows of a run to the workers that order them."""

from collections.abc import Iterator, Mapping
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
