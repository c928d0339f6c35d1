"""A sink made of several, each of which takes a part of the rows: all are published, or none."""

from abc import abstractmethod

from dbshuf.sink.publish import Directory, Place
from dbshuf.sink.seal import NamedFile
from dbshuf.sink.single_file import PlacedSink
from dbshuf.sink.target import Target


class PartsSink(PlacedSink):
    """The sinks that `_open` adds to `_parts`, and the places of all of them."""

    def __init__(self, target: Target) -> None:
        self._parts: list[PlacedSink] = []
        self._directory: Directory | None = None
        self._places: list[Place] = []
        super().__init__(self._places)
        try:
            self._open(target)
        except BaseException:
            self.abort()
            raise

    @abstractmethod
    def _open(self, target: Target) -> None:
        """Fill `_parts` and `_places`, and name the `_directory` if there is one for all."""

    @property
    def directory(self) -> Directory | None:
        return self._directory

    @property
    def files(self) -> list[NamedFile]:
        return [file for part in self._parts for file in part.files]

    def flush(self) -> None:
        for part in self._parts:
            part.flush()

    def complete(self) -> None:
        for part in self._parts:
            part.complete()

    def stop(self) -> None:
        for part in self._parts:
            part.stop()
