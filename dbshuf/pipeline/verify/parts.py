"""The parts of an output that rows belong to: its splits, and the folders of --partition-by.

A part is a text for each of these: the name of a split, if there are splits, then the value of
every column that folders name. Of a file of the output its path says it; of a row of the inputs
what decides of splits, and its values. Rows are hashed with their part, so that one in another file
of the same folder is the same row, and one in another folder is not.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dbshuf.base.filenames import hidden_in
from dbshuf.base.key import POSITION_BITS, U64, mix
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.remote_names import is_remote
from dbshuf.base.row_batch import I64, RowBatch, arrow_numbers
from dbshuf.base.row_hash import Hashes, hash_rows
from dbshuf.base.window import Window
from dbshuf.errors import UsageError, VerifyFailed
from dbshuf.options import Options
from dbshuf.pipeline.verify.forms import Hashed, Rows, ids_of_rows, window_of
from dbshuf.plan.epoch_plan import asks_for_keys
from dbshuf.plan.mix import Mix
from dbshuf.plan.plan import Plan
from dbshuf.plan.splits import Splits, parse_splits
from dbshuf.sink import output_path
from dbshuf.sink.target import split_path
from dbshuf.source.hive import folder_keys

Part = tuple[str | None, ...]  # None is null
Members = Callable[[Window], I64]
_NO_PART = ""  # of a file that lies in no folder of that kind: no split or value is named so


@dataclass(frozen=True)
class Parts:
    """What rows are told apart by.

    split_names  of the splits; empty: there is one
    columns      of the rows of the inputs, whose values are folders
    of_files     the part of every file of the output, by its ordinal
    """

    split_names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    of_files: tuple[Part, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.split_names or self.columns)

    def shown(self, part: Part) -> str:
        """Name the rows of a part, for people."""
        if not part:
            return "the outputs"
        texts = ["NULL" if text is None else text for text in part]
        split = texts[: len(part) - len(self.columns)]
        values = zip(self.columns, texts[len(split) :], strict=True)
        return f"`{'/'.join([*split, *(f'{name}={text}' for name, text in values)])}`"

    def narrow(self, batch: Rows) -> Rows:
        """Return rows of the inputs without the columns that are in no file."""
        if isinstance(batch, LineBatch) or not self.columns:
            return batch
        names = [name for name in batch.batch.schema.names if name not in self.columns]
        return RowBatch(batch.batch.select(names), batch.ids)

    def of_window(self, window: Window, members: Members | None) -> Iterator[tuple[Part, Window]]:
        """Yield rows of the inputs by their parts, those of each in their order.

        members  tells the split of each row; None: there is one
        """
        texts = self._texts(window.batch, None if members is None else members(window))
        codes = [text.dictionary_encode(null_encoding="encode").indices for text in texts]
        is_new = np.ones(window.rows, np.bool_)
        order = np.lexsort([one.to_numpy() for one in reversed(codes)])  # stable
        is_new[1:] = False
        for one in codes:
            sorted_codes = one.to_numpy()[order]
            is_new[1:] |= sorted_codes[1:] != sorted_codes[:-1]
        firsts = np.flatnonzero(is_new)
        for rows in np.split(order, firsts[1:]):
            part = tuple(text[int(rows[0])].as_py() for text in texts)
            yield part, window if len(rows) == window.rows else window.take(rows)

    def hashed_inputs(self, plain: Hashed, plan: Plan, members: Members | None) -> Hashed:
        """Return what hashes rows of the inputs with their parts.

        plain    hashes them without
        members  of splits; None: rows of all splits are one part
        """

        def hashed(batch: Rows) -> tuple[Hashes, U64]:
            hashes, ids = plain(batch)
            every = ids_of_rows(batch)
            found = None if members is None else members(window_of(batch, plan.words))
            texts = self._texts(None if isinstance(batch, LineBatch) else batch.batch, found)
            if len(ids) < len(every):  # a sample
                rows = arrow_numbers(np.flatnonzero(np.isin(every, ids)))
                texts = [text.take(rows) for text in texts]
            return (_together(hashes, _hashes_of(texts)) if texts else hashes), ids

        return hashed

    def hashed_outputs(self, plain: Hashed, *, is_split: bool) -> Hashed:
        """Return what hashes rows of the outputs with their parts."""
        first = 0 if is_split or not self.split_names else 1
        texts = [pa.array(one, pa.string()) for one in zip(*self.of_files, strict=True)][first:]
        by_file = _hashes_of(texts) if texts else None

        def hashed(batch: Rows) -> tuple[Hashes, U64]:
            hashes, ids = plain(batch)
            if by_file is not None:
                hashes = _together(hashes, by_file.take(ids >> np.uint64(POSITION_BITS)))
            return hashes, ids

        return hashed

    def _texts(self, batch: pa.RecordBatch | None, members: I64 | None) -> list[pa.Array]:
        """Return the parts of rows of the inputs, an array of texts for each kind of part."""
        found = []
        if members is not None:
            names = pa.array(self.split_names, pa.string())
            found.append(names.take(arrow_numbers(members.astype(np.int64))))
        if batch is not None:
            found += [batch.column(name).cast(pa.string()) for name in self.columns]
        return found


def _hashes_of(texts: Sequence[pa.Array]) -> Hashes:
    return hash_rows(pa.RecordBatch.from_arrays(list(texts), [str(n) for n in range(len(texts))]))


def _together(hashes: Hashes, parts: Hashes) -> Hashes:
    """Return the hashes of rows with their parts."""
    # Not a sum: of two rows that changed places it would be the same.
    return Hashes(mix(hashes.high ^ parts.high), mix(hashes.low ^ parts.low))


def files_of(output: str, options: Options) -> tuple[str, ...]:
    """Return the names of what is read of an output: of splits that are no folders, their files."""
    splits = splits_of(options)
    if splits is None:
        return (output,)
    path = output_path(output)
    if path.is_dir() or (is_remote(output) and output.endswith("/")):
        return (output,)
    return tuple(str(split_path(path, name)) for name in splits.names)


def check_parts(options: Options, *, checks_order: bool) -> None:
    """Raise UsageError for what cannot be told of rows that are in no order."""
    if options.split is not None and options.stratify is not None and not checks_order:
        raise UsageError(
            "--stratify gives each split its rows by an order of all, and none is checked",
            hint="add --seed, or --order where there is a manifest",
        )
    asks = options.epochs is not None and asks_for_keys(replace(options, seed=options.seed or ""))
    if asks:
        raise UsageError(
            "SQL may give each epoch other rows by its seed, and all of them are in one output",
            hint="write them with -o DIR/, and each epoch is compared with its own",
        )


def check_mix(mix: Mix, told: dict[str, Any]) -> None:
    """Raise VerifyFailed where sources of a mix are not as the manifest has them."""
    names = ("asked", "where", "repeats", "inputs", "rows", "bytes", "taken_rows", "taken_bytes")
    ours, theirs = mix.to_json()["sources"], told.get("sources", [])
    if len(ours) != len(theirs):
        raise VerifyFailed(
            f"the mix has {len(ours):,} sources, and in the manifest {len(theirs):,}",
            hint="pass each --mix of the shuffle",
        )
    for name in names:
        for one, other in zip(ours, theirs, strict=True):
            if one[name] != other.get(name):
                raise VerifyFailed(
                    f"the source `{one['source']}`: {name.replace('_', ' ')} {one[name]}, and in"
                    f" the manifest {other.get(name)}",
                    hint="pass the --mix, --mix-by, --mix-size and --where of the shuffle; or the"
                    " inputs have changed since",
                )


def place_for(options: Options) -> str:
    """Return an output for a plan of which nothing is written: parts need a directory."""
    if options.split is None and not options.partition_by:
        return os.devnull
    return f"{hidden_in(Path(options.temp_dir or tempfile.gettempdir()))}/"


def splits_of(options: Options) -> Splits | None:
    """Return the splits that options ask for. Raises UsageError."""
    return None if options.split is None else parse_splits(options.split, options.split_seed)


def parts_of(options: Options, names: Sequence[str], plan: Plan, written: Plan) -> Parts:
    """Return what rows are told apart by.

    names    of the output, as `files_of` has them
    plan     how the inputs are read
    written  how the outputs are read, without columns of folders
    Raises   UsageError for columns that the rows have not
    """
    splits = splits_of(options)
    columns = options.partition_by or _columns_in_folders(plan, written)
    known = () if plan.schema is None else plan.schema.names
    for name in columns:
        if name not in known:
            raise UsageError(
                f"--partition-by `{name}`: the rows have no such column",
                hint="pass the --select, --from, --table and --schema of the shuffle",
            )
    of_files = []
    for number, one in enumerate(written.inputs):
        below = one.below or ""
        part: Part = ()
        if splits is not None:
            name = splits.names[number] if len(names) > 1 else below.split("/", 1)[0]
            part = (name if name in splits.names else _NO_PART,)
        values = {key.name: key.text for key in folder_keys(below)}
        of_files.append((*part, *(values.get(column, _NO_PART) for column in columns)))
    return Parts(() if splits is None else splits.names, columns, tuple(of_files))


def _columns_in_folders(plan: Plan, written: Plan) -> tuple[str, ...]:
    """Return the columns of the inputs that no file has, and the folders of the outputs name."""
    if plan.schema is None or written.schema is None:  # text, where nobody knows what a file has
        return ()
    lacking = set(plan.schema.names) - set(written.schema.names)
    found = (key.name for one in written.inputs for key in folder_keys(one.below or ""))
    return tuple(dict.fromkeys(name for name in found if name in lacking))


def members_of(options: Options, plan: Plan) -> Members | None:
    """Return what tells the split of rows of the inputs, without an order, in any thread.

    None: there are no splits, or an order is needed for it
    """
    member_of = plan.target.member_of
    if member_of is None or options.stratify is not None:
        return None
    lock = threading.Lock()  # what tells splits by values is for one thread

    def members(window: Window) -> I64:
        with lock:
            return member_of(window)

    return members
