"""Rows of several sides, each side to an output of its own: source, target and alignment."""

import os

from dbshuf.base.window import Window
from dbshuf.sink.numbered import Numbering
from dbshuf.sink.publish import directory_of
from dbshuf.sink.seal import NamedFile
from dbshuf.sink.shards import ShardSink
from dbshuf.sink.single_file import FileSink, PartsSink, PlacedSink
from dbshuf.sink.splits import SplitSink
from dbshuf.sink.target import Target


class PairedSink(PartsSink):
    """The lines of each side, a column of the rows, to its output; all are published, or none.

    Shards of a side lie in a folder of its name in the one output directory. They are cut by
    keys, or by counts of rows, so those of one number hold the same rows.
    """

    def __init__(self, target: Target) -> None:
        self._folders = _folders(target)
        is_numbered = target.number is not None
        self._numberings = [Numbering(one) for one in target.of_sides()] if is_numbered else []
        super().__init__(target)

    def _open(self, target: Target) -> None:
        if target.in_shards:
            self._directory = directory_of(target)
            self._places.append(self._directory)
        for side, output in zip(target.sides, target.of_sides(), strict=True):
            part: PlacedSink
            if target.in_shards:
                part = ShardSink(output, directory=self._directory, folder=side.name)
            else:
                part = FileSink(output) if not output.split_names else SplitSink(output)
                self._places.extend(part.places)
            self._parts.append(part)

    @property
    def files(self) -> list[NamedFile]:
        return [
            (os.path.join(folder, name), file)
            for folder, part in zip(self._folders, self._parts, strict=True)
            for name, file in part.files
        ]

    def encode(self, window: Window) -> None:
        for side, (part, lines) in enumerate(zip(self._parts, window.batch.columns, strict=True)):
            own = Window.of_lines(lines, window.keys)
            part.encode(self._numberings[side].of(own) if self._numberings else own)


def _folders(target: Target) -> list[str]:
    """Return where the files of each side lie, as seen from the folder that holds all of them."""
    if target.in_shards:  # their names say it
        return [""] * len(target.sides)
    folders = [os.path.dirname(os.path.abspath(str(side.path))) for side in target.sides]
    common = os.path.commonpath(folders)
    return ["" if one == common else os.path.relpath(one, common) for one in folders]
