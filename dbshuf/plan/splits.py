"""Which split a row belongs to: train, valid, test, in every epoch the same.

Membership depends on the row's id (or on the value of --split-by) and on the split
seed, never on the seed of the order, so that a row stays where it is when the order
changes and when inputs are appended.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from dbshuf.base.key import U64, ids_of, ids_of_first, row_keys
from dbshuf.base.row_batch import I64
from dbshuf.base.window import Window
from dbshuf.errors import UsageError
from dbshuf.query.relation import AnyRelation, check_uncounted, columns_of, place_of
from dbshuf.source.input import Input

if TYPE_CHECKING:
    from dbshuf.query.row_expression import RowKeyQuery

DEFAULT_SEED = "dbshuf-split-1"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")  # files are named so
_HINT = "as in --split train=0.98,valid=0.01,test=0.01"


@dataclass(frozen=True)
class Splits:
    """Named parts of all rows.

    names   of the parts, in the order in which they were given
    ends    uint64, one a part but the last: the hashes below belong to it
    seed    of the membership
    shares  of the parts, as they were given
    """

    names: tuple[str, ...]
    ends: tuple[int, ...]
    seed: str
    shares: tuple[float, ...] = ()

    def of_hashes(self, hashes: U64) -> I64:
        """Return the part of each row by a hash of it (uint64, shape (rows,))."""
        return np.searchsorted(np.array(self.ends, np.uint64), hashes, side="right")

    def of_ids(self, ids: U64) -> I64:
        """Return the part of each row by its id."""
        return self.of_hashes(row_keys(ids, f"split:{self.seed}"))


def parse_splits(text: str, seed: str | None) -> Splits:
    """Return the splits of `train=0.98,valid=0.01,test=0.01`.

    seed    of the membership; None is DEFAULT_SEED
    Raises  UsageError for names that make no file name, or shares that do not sum to 1
    """
    names, shares = [], []
    for part in text.split(","):
        name, _, share = (piece.strip(" ") for piece in part.partition("="))
        if not _NAME.fullmatch(name) or name in names:
            raise UsageError(
                f"--split: `{name}` is no name for a split, or there twice", hint=_HINT
            )
        names.append(name)
        shares.append(_share(name, share))
    if abs(sum(shares) - 1) > 1e-9:
        raise UsageError(f"--split: the shares sum to {sum(shares):.10g}, not to 1", hint=_HINT)
    ends = [min(round(end * 2**64), 2**64 - 1) for end in np.cumsum(shares)[:-1].tolist()]
    seed = DEFAULT_SEED if seed is None else seed
    return Splits(tuple(names), tuple(ends), seed, tuple(shares))


def member_of(
    splits: Splits,
    words: tuple[int, int],
    inputs: Sequence[Input],
    *,
    schema: pa.Schema | None,
    by: str | None,
    copies: bool = False,
) -> Callable[[Window], I64]:
    """Return what tells the split of every row of a window.

    words   of the seed of the order, which turn a key back into its id
    schema  of the rows; None: they are lines
    by      an SQL expression: rows with one value of it share a split
    copies  whether rows may be there several times, all copies in one split
    Raises  QueryInvalid; what is returned raises QueryFailed
    """
    of = _RowIds(words, len(inputs) if copies else None)
    if by is None:
        return lambda window: splits.of_ids(of(window))
    from dbshuf.query.row_expression import RowKeyQuery

    query = RowKeyQuery(by, columns_of(schema), splits.seed)
    check_uncounted("--split-by", query.columns, schema, "splits are told apart")
    return _ByValue(splits, of, inputs, query)


@dataclass(frozen=True)
class _RowIds:
    """The ids of the rows of a window, which their keys under a seed's words tell.

    inputs  of a run whose rows may be copies; None: none is
    """

    words: tuple[int, int]
    inputs: int | None

    def __call__(self, window: Window) -> U64:
        ids = ids_of(window.keys, self.words)
        return ids if self.inputs is None else ids_of_first(ids, self.inputs)


class _ByValue:
    """The split of every row of a window by the value of an expression."""

    def __init__(
        self, splits: Splits, of: _RowIds, inputs: Sequence[Input], query: "RowKeyQuery"
    ) -> None:
        self._splits, self._ids, self._inputs = splits, of, inputs
        self._evaluator = query.evaluator()
        self._relation = AnyRelation(inputs, query.columns)

    def __call__(self, window: Window) -> I64:
        ids = self._ids(window)
        relation = self._relation.of_window(window, ids)
        hashes = self._evaluator.run(
            relation, lambda row: place_of(int(ids[row]), self._inputs, "position")
        )
        return self._splits.of_hashes(hashes)


def _share(name: str, text: str) -> float:
    try:
        share = float(text) if text.isascii() and "_" not in text else -1  # float() takes more
    except ValueError:
        share = -1
    if not 0 < share <= 1:
        raise UsageError(f"--split: `{name}={text}` is no share between 0 and 1", hint=_HINT)
    return share
