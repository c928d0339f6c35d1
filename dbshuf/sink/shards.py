"""A directory of shards, each a file of its own, cut from the one order."""

from dbshuf.key import U64
from dbshuf.order.window import Window
from dbshuf.sink.cuts import Bounds, Cut, KeyCut, SizeCut, bounds_of
from dbshuf.sink.file import Encoder, open_encoder
from dbshuf.sink.publish import HiddenDirectory, shard_names
from dbshuf.sink.target import Target


class ShardSink:
    """Rows to shards by range of the key, or by size; one file is open at a time.

    Every shard exists, also one without rows: it holds the header, or in Parquet the
    schema. By size there is at least one shard, and how many is known at the end only.
    """

    def __init__(self, target: Target) -> None:
        assert target.path is not None
        self.text_bytes = 0
        self.rows = 0
        self._target = target
        self._cut: Cut = (
            SizeCut(target.shard_bytes, target.shard_rows)
            if target.shards is None
            else KeyCut(target.shards)
        )
        self._directory = HiddenDirectory(target.path, force=target.force)
        self._shard = -1
        self._encoder: Encoder | None = None

    def write(self, window: Window) -> None:
        bounds = bounds_of(window.lines)
        for shard, first, last in self._cut.runs(bounds, window.keys):
            self._open(shard).write(_part_of(window, bounds, first, last))
        self.text_bytes += window.text_bytes
        self.rows += len(window.lines)

    def finish(self) -> None:
        self._open(self._cut.parts - 1)
        self._close()
        self._directory.publish(shard_names(self._cut.parts, self._target.format))

    def abort(self) -> None:
        if self._encoder is not None:
            self._encoder.abort()
            self._encoder = None
        self._directory.discard()

    def _open(self, shard: int) -> Encoder:
        """Return the encoder of a shard; those before it are finished, empty or not."""
        while self._encoder is None or self._shard < shard:
            self._close()
            output = self._directory.create()
            try:
                self._encoder = open_encoder(output, self._target)
            except BaseException:
                output.abort()
                raise
            self._shard += 1
        return self._encoder

    def _close(self) -> None:
        if self._encoder is not None:
            self._encoder.finish()
            self._encoder = None


def _part_of(window: Window, bounds: Bounds, first: int, last: int) -> Window:
    """Rows [first, last) of a window; nothing is copied."""
    if first == 0 and last == len(window.lines):
        return window
    keys: U64 = window.keys[first:last]
    text_bytes = int(bounds[last]) - int(bounds[first])
    return Window(window.lines.slice(first, last - first), keys, text_bytes)
