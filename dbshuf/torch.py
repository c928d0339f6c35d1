"""`dbshuf.torch.ShuffledDataset`: a stream as a PyTorch dataset; the one file that needs torch."""

from collections.abc import Iterator, Mapping
from typing import Any

from dbshuf.api import stream
from dbshuf.errors import ExtraMissing
from dbshuf.options import Names
from dbshuf.pipeline.stream import Stream

try:
    from torch import distributed
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError as error:
    raise ExtraMissing(
        f"dbshuf.torch needs torch, which is not installed: {error}", hint="pip install torch"
    ) from error

__all__ = ["ShuffledDataset"]


class ShuffledDataset(IterableDataset):  # type: ignore[misc]
    """Batches of shuffled rows, each row to one worker of one rank.

    Every item is a batch, a dict of lists by column: give it to a DataLoader with
    `batch_size=None`. Workers of a DataLoader count as ranks of their own, world_size times
    num_workers of them: each orders all rows, with --memory of its own.

    torchdata's StatefulDataLoader keeps its place: with num_workers=0 it can be loaded in another
    world_size, otherwise by as many workers and ranks as it was saved by.
    """

    def __init__(
        self,
        inputs: Names,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        epoch: int = 0,
        **options: Any,
    ) -> None:
        """Remember what to stream; inputs are looked at where it is iterated.

        rank, world_size  default: those of torch.distributed where it is initialized, else 0 of 1
        others            as for `dbshuf.stream`; more than one rank or worker needs a seed
        """
        super().__init__()
        is_group = distributed.is_available() and distributed.is_initialized()
        if rank is None:
            rank = distributed.get_rank() if is_group else 0
        if world_size is None:
            world_size = distributed.get_world_size() if is_group else 1
        self._inputs, self._options = inputs, options
        self._rank, self._world_size, self._epoch = rank, world_size, epoch
        self._state: Mapping[str, Any] | None = None  # to go on from with the next pass
        self._stream: Stream | None = None  # of the pass that has begun

    def __iter__(self) -> Iterator[dict[str, list[Any]]]:
        self._stream = rows = self._opened()
        self._state = None
        return (batch.to_pydict() for batch in rows)

    def set_epoch(self, epoch: int) -> None:
        """Take another order from the next pass on; not seen by workers that persist."""
        self._epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """Return where the pass is, see `Stream.state_dict`."""
        return (self._stream or self._opened()).state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass go on there, in the epoch of the state."""
        self._state, self._stream = state, None

    def __getstate__(self) -> dict[str, Any]:
        """A worker gets all but the pass that has begun here."""
        return {**self.__dict__, "_stream": None}

    def _opened(self) -> Stream:
        """Plan a pass for the process that this is."""
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        rows = stream(
            self._inputs,
            rank=self._rank * workers + number,
            world_size=self._world_size * workers,
            epoch=self._epoch,
            **self._options,
        )
        if self._state is not None:
            rows.load_state_dict(self._state)
        return rows
