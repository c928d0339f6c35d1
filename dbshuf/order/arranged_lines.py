"""Lines in the slices of a run, with their text, and several such pieces as one run."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dbshuf.base.block_io import U8
from dbshuf.order.runs import as_bytes

Column = npt.NDArray[np.generic]


@dataclass(frozen=True)
class ArrangedLines:
    """Lines in slices, which need no other memory any more.

    columns    keys, prefixes if rows have them, and lengths, each of shape (rows,)
    text       of all lines, one after the other
    row_ends   where slices begin and end in the columns; one value more than slices
    text_ends  where they do in the text
    """

    columns: list[Column]
    text: U8
    row_ends: list[int]
    text_ends: list[int]


class JoinedLines:
    """Several pieces of lines as one run; see Cargo."""

    def __init__(self, pieces: list[ArrangedLines]) -> None:
        self._pieces = pieces

    def parts(self, number: int) -> Iterator[U8]:
        """Yield the bytes of a slice: of all pieces each column, and the text."""
        pieces = [
            (piece, slice(piece.row_ends[number], piece.row_ends[number + 1]))
            for piece in self._pieces
        ]
        for column in range(len(self._pieces[0].columns)):
            values = [piece.columns[column][rows] for piece, rows in pieces]
            yield as_bytes(np.concatenate(values))
        ends = [piece.text_ends[number : number + 2] for piece in self._pieces]
        yield np.concatenate(
            [piece.text[at:end] for piece, (at, end) in zip(self._pieces, ends, strict=True)]
        )
