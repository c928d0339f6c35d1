"""What gives the rows of a run to the workers that order them."""

from collections.abc import Iterator
from typing import Protocol

from dbshuf.base.block_io import U8
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.row_batch import RowBatch


class Scan(Protocol):
    """Where rows come from.

    most_workers  how many may call `batches` at once
    """

    most_workers: int

    def batches(self, buffer: U8) -> Iterator[LineBatch | RowBatch]:
        """Yield rows until none are left for this worker; those of one call share `buffer`."""

    def check(self) -> None:
        """Raise unless all that the inputs hold has been read, and they are as they were."""

    def stop(self) -> None:
        """Wake and turn away the workers."""

    def close(self) -> None:
        """Close the inputs."""
