"""A comparison of inputs and outputs: sums first, and where they differ, the rows."""

import contextlib
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from dbshuf.base.line_batch import LineBatch
from dbshuf.base.process_memory import peak_resident_bytes
from dbshuf.base.progress import Progress
from dbshuf.base.row_batch import arrow_numbers
from dbshuf.base.temporary import private_folder
from dbshuf.errors import InputUnreadable, MemoryTooSmall, UsageError, VerifyFailed
from dbshuf.options import Options
from dbshuf.pipeline.verify.differences import Differences, Entry
from dbshuf.pipeline.verify.forms import HASHING_BYTES, Rows, ids_of_rows
from dbshuf.pipeline.verify.hashed_order import OrderByHashes
from dbshuf.pipeline.verify.order import first_misplaced, order_plan
from dbshuf.pipeline.verify.parts import check_mix, check_parts
from dbshuf.pipeline.verify.places import Places
from dbshuf.pipeline.verify.result import Place, RowsVerified
from dbshuf.pipeline.verify.samples import is_sampled, sampled_side, without_sample
from dbshuf.pipeline.verify.sides import ReadBytes, Side, open_sides
from dbshuf.pipeline.verify.totals import Totals
from dbshuf.plan.least_memory import with_least_named
from dbshuf.plan.order_by import option_of
from dbshuf.plan.plan import Plan
from dbshuf.units import MIB

SHOWN_PLACES = 10  # of missing and of added rows, each
_SHOWN_BYTES = 300  # of a row
_LEAST_ROOM_BYTES = 4 * MIB


def verify_rows(
    options: Options,
    output: str,
    reporter: Progress,
    *,
    checks_order: bool = False,
    sample: float | None = None,
    show_rows: bool = False,
    mix_told: dict[str, Any] | None = None,
) -> RowsVerified:
    """Compare the inputs with the rows of an output, in any order.

    options       of the shuffle, as far as rows depend on them; `format` of the output
    checks_order  whether the order of `options.seed` is checked too
    sample        share of the rows to look at; None: all
    show_rows     whether the content of rows that differ is part of the result
    mix_told      what a manifest says of the sources of a mix
    Raises        VerifyFailed if the outputs cannot even be compared; what reading raises
    """
    started = time.monotonic()
    inputs, outputs, in_order = with_least_named(
        options,
        partial(_opened, output=output, sample=sample, checks_order=checks_order),
    )
    if mix_told is not None and inputs.plan.mix is not None:
        check_mix(inputs.plan.mix, mix_told)
    times = 1 if is_sampled(options) else options.epochs or 1
    ours, theirs = Totals(), Totals()
    reading = ReadBytes(reporter)
    if in_order is None:
        inputs.scan(lambda batch: ours.add(*inputs.hash_(batch)), reading)
    else:
        in_order.read_inputs(ours, reading)
    ours.repeat(times)
    outputs.scan(partial(_count, outputs, theirs, in_order), reading)
    found, order, places = _Found(), None, None
    if ours.differing(theirs).any():
        found = _differences(inputs, outputs, (ours, theirs), times, reporter)
        if show_rows:
            found = found.with_content(inputs, outputs, reporter)
    else:
        if outputs.places is not None:
            places = outputs.places.wrong(outputs)
        if checks_order:
            order = _order(options, (inputs, outputs), in_order, reporter)
        is_placed = in_order is None or in_order.placed is None or in_order.placed.are_same
        if not is_placed and (order, places) == ("same", "same"):
            places = f"`{options.number}` of some rows of one split is that of rows of another"
    read = reading.text_bytes
    known = {"sample": sample, "order": order, "places": places, "text_bytes": read}
    return _result((inputs, outputs), (ours, theirs), found, started, known)


def _result(
    sides: tuple[Side, Side],
    totals: tuple[Totals, Totals],
    found: "_Found",
    started: float,
    known: dict[str, Any],
) -> RowsVerified:
    """Return what was found of inputs and outputs, since a moment of the monotonic clock.

    known   the fields of RowsVerified that are taken as they are
    """
    (inputs, outputs), (ours, theirs) = sides, totals
    return RowsVerified(
        rows_in=ours.row_count,
        rows_out=theirs.row_count,
        missing=found.missing,
        added=found.added,
        first_missing=tuple(map(partial(_place, inputs), found.first_missing)),
        first_added=tuple(map(partial(_place, outputs), found.first_added)),
        sum_in=ours.checksum,
        sum_out=theirs.checksum,
        elapsed_s=time.monotonic() - started,
        peak_rss_bytes=peak_resident_bytes(),
        **known,
    )


def _count(outputs: Side, totals: Totals, in_order: OrderByHashes | None, batch: Rows) -> None:
    places = None if outputs.places is None else outputs.places.look(batch)
    hashes, ids = outputs.hash_(batch)
    totals.add(hashes, ids)
    if in_order is not None:
        in_order.written.add(hashes, ids)
        if in_order.placed is not None and places is not None:
            in_order.placed.add(hashes, places, -1)


def _opened(
    options: Options, output: str, sample: float | None, *, checks_order: bool
) -> tuple[Side, Side, OrderByHashes | None]:
    """Return both sides, ready to be compared; a sample is made by an order of the inputs.

    Beside them the order, where hashes tell it and it is checked
    """
    has_sample = is_sampled(options)
    _check_asked(options, checks_order=checks_order or has_sample)
    places = None if options.number is None else Places(options)
    plain = without_sample(replace(options, epochs=None, number=None))
    inputs, outputs = open_sides(plain, output, sample, places)
    if has_sample:
        inputs = sampled_side(inputs, options, order_plan)
    if checks_order or has_sample:
        _check_orderable(inputs.plan)
    in_order = None
    if checks_order:
        own = options if sample is None else replace(options, number=None)
        in_order = OrderByHashes.of(own, inputs)
    return inputs, outputs, in_order


def _differences(
    inputs: Side, outputs: Side, totals: tuple[Totals, Totals], times: int, reporter: Progress
) -> "_Found":
    """Find the rows that differ; of a pipe nobody can tell which."""
    if any(one.pipe is not None for one in inputs.plan.inputs):
        return _Found(None, None)
    return _details(inputs, outputs, totals, times, reporter)


def _check_asked(options: Options, *, checks_order: bool) -> None:
    """Raise UsageError for what options say of an order that is not checked."""
    option = option_of(replace(options, partition_by=()))
    if option is not None and not checks_order:
        raise UsageError(
            f"{option} says in which order the rows were written, and the order is not checked",
            hint=f"add --seed, or --order where there is a manifest; or leave out {option}",
        )
    check_parts(options, checks_order=checks_order)


def _check_orderable(plan: Plan) -> None:
    """Raise InputUnreadable or UsageError where a second order need not be the first."""
    if any(one.pipe is not None for one in plan.inputs):
        raise InputUnreadable(
            "the inputs are a pipe, which cannot be read again, and --order reads them twice",
            hint="write it to a file first",
        )
    whole = plan.shape.whole_query
    if whole is not None and not whole.has_id:
        is_data = plan.schema is not None and "id" in (name.lower() for name in plan.schema.names)
        lacking = "whose `id` is a column of the inputs" if is_data else "without a column `id`"
        raise UsageError(
            f"the order of a --sql {lacking} cannot be checked: its rows are numbered as DuckDB"
            " gives them, which is another order each time",
            hint="pass --no-order" + ("" if is_data else "; or carry it: select id, ..."),
        )


@dataclass(frozen=True)
class _Row:
    id: int
    count: int
    content: str | None = None


@dataclass(frozen=True)
class _Found:
    missing: int | None = 0
    added: int | None = 0
    first_missing: tuple[_Row, ...] = ()
    first_added: tuple[_Row, ...] = ()

    def with_entry(self, entry: Entry) -> "_Found":
        """Count what one partition holds."""
        assert self.missing is not None
        assert self.added is not None
        return _Found(
            self.missing + int(entry.net[entry.net > 0].sum()),
            self.added - int(entry.net[entry.net < 0].sum()),
            _first(self.first_missing, entry, 1),
            _first(self.first_added, entry, -1),
        )

    def with_content(self, inputs: Side, outputs: Side, reporter: Progress) -> "_Found":
        """Read the rows that are named once more, and keep them."""
        return replace(
            self,
            first_missing=_with_content(self.first_missing, inputs, reporter),
            first_added=_with_content(self.first_added, outputs, reporter),
        )


def _details(
    inputs: Side, outputs: Side, totals: tuple[Totals, Totals], times: int, reporter: Progress
) -> _Found:
    """Find the rows that differ: of the ranges whose sums do, in one more pass over each side.

    times  that each row of the inputs counts
    """
    ours, theirs = totals
    differing = ours.differing(theirs)
    rows = int((ours.rows + theirs.rows)[differing].sum())
    found = _Found()
    with (
        private_folder(inputs.plan.temp_dir) as folder,
        contextlib.closing(
            Differences(differing, rows, _room(inputs.plan, outputs.plan), folder)
        ) as differences,
    ):
        for side, sign in ((inputs, times), (outputs, -1)):
            side.scan(partial(_add, differences, side, sign), reporter)
        for entry in differences.found():
            found = found.with_entry(entry)
    _check_again(found, ours.row_count - theirs.row_count)
    return found


def _check_again(found: "_Found", lacking: int) -> None:
    """Raise VerifyFailed where the second reading cannot have been of the same rows."""
    if (found.missing or 0) - (found.added or 0) != lacking:
        raise VerifyFailed(
            "the rows differ, and when they were read again they were not the same either",
            hint="a result of --sql that depends on the order of rows, as a sum of doubles does,"
            " cannot be compared",
        )


def _add(differences: Differences, side: Side, sign: int, batch: Rows) -> None:
    differences.add(*side.hash_(batch), sign)


def _room(*plans: Plan) -> int:
    """Return the memory (bytes) for rows that differ, while others are read and hashed."""
    left = []
    for plan in plans:
        layout = plan.layout
        reading = int(layout.buffer_bytes * (plan.shape.copies + 1)) + HASHING_BYTES
        left.append(plan.memory_bytes - layout.base_bytes - layout.workers * reading)
    return max(min(left) * 3 // 4, _LEAST_ROOM_BYTES)


def _first(known: tuple[_Row, ...], entry: Entry, sign: int) -> tuple[_Row, ...]:
    """Return the first rows by their ids, of those known and those of one more pass."""
    places = np.flatnonzero(entry.net * sign > 0)
    places = places[np.argsort(entry.id_[places])][:SHOWN_PLACES]
    rows = [_Row(int(entry.id_[at]), abs(int(entry.net[at]))) for at in places.tolist()]
    return tuple(sorted([*known, *rows], key=lambda row: row.id)[:SHOWN_PLACES])


def _with_content(rows: tuple[_Row, ...], side: Side, reporter: Progress) -> tuple[_Row, ...]:
    wanted = np.array([row.id for row in rows], np.uint64)
    contents: dict[int, str] = {}
    lock = threading.Lock()

    def look(batch: Rows) -> None:
        ids = ids_of_rows(batch)
        for at in np.flatnonzero(np.isin(ids, wanted)).tolist():
            text = _content(batch, at)
            with lock:
                contents[int(ids[at])] = text

    if rows:
        side.scan(look, reporter)
    return tuple(replace(row, content=contents.get(row.id)) for row in rows)


def _content(batch: Rows, row: int) -> str:
    """Return a row as people read it, cut where it is long."""
    if isinstance(batch, LineBatch):
        at = row if batch.kept is None else int(batch.kept[row])
        first, last = int(batch.offsets[at]), int(batch.offsets[at + 1]) - 1
        text = batch.buffer[first : min(last, first + 4 * _SHOWN_BYTES)].tobytes()
        shown = text.decode("utf-8", "replace")
    else:
        shown = str(batch.batch.take(arrow_numbers(np.array([row]))).to_pylist()[0])
    return shown if len(shown) <= _SHOWN_BYTES else f"{shown[:_SHOWN_BYTES]}..."


def _place(side: Side, row: _Row) -> Place:
    return Place(side.place(row.id), side.place_json(row.id), row.count, row.content)


def _order(
    options: Options,
    sides: tuple[Side, Side],
    by_hashes: OrderByHashes | None,
    reporter: Progress,
) -> str:
    """Return "same", or what is out of order first, for people; see `RowsVerified.order`."""
    if by_hashes is not None and by_hashes.is_same:
        return "same"
    inputs, outputs = sides
    try:
        found = first_misplaced(options, inputs, outputs, reporter)
    except MemoryTooSmall as error:
        if by_hashes is None:
            raise
        return f"which row is the first out of place takes more memory to tell: {error.message}"
    if found is None:
        return "same"
    should = "no row" if found.expected is None else inputs.place(found.expected)
    where = "the end" if found.found is None else outputs.place(found.found)
    return f"row {found.row:,} of {found.of}, {where}, should be {should}"
